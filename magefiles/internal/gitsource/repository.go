package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"palisade/magefiles/internal/child"
	"palisade/recipes"
)

// A place is an address that git understands.
type place struct{ address, protocol string }

// placeOf refuses an address of which more than the repository could be read: a
// password would be seen on git's command line.
func placeOf(address string) (place, error) {
	const want = "the address of a folder, or of a server by http or https, without user, query and fragment"
	u, err := url.Parse(address)
	if err != nil { // which quotes it
		return place{}, errors.New("it is not " + want)
	}
	if !slices.Contains([]string{"file", "http", "https"}, u.Scheme) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return place{}, fmt.Errorf("%.200q is not %s", (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), want)
	}
	if u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")) {
		return place{}, fmt.Errorf("%.200q is not file:///…, with an absolute path", address)
	}
	return place{address, u.Scheme}, nil
}

func fileAddress(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// there reports whether a folder may be a repository; of a server it is not known.
func (p place) there() bool {
	if p.protocol != "file" {
		return true
	}
	u, err := url.Parse(p.address)
	if err != nil {
		return false
	}
	info, err := os.Stat(filepath.FromSlash(u.Path))
	return err == nil && info.IsDir()
}

// repository is an empty one, into which git fetches.
type repository struct {
	git    string
	env    []string
	tmp    string // a folder of its own, with home/
	dir    string // in that
	bounds Bounds
}

// fetchedRef is where the commit is found once it was fetched.
const fetchedRef = "refs/palisade/commit"

// maxSaid bounds what is kept of what git says, in bytes.
const maxSaid = 16 << 10

// fetch asks each place until one has the commit, and the tag.
func (r *repository) fetch(ctx context.Context, places []place, g recipes.Git) error {
	if err := os.Mkdir(filepath.Join(r.tmp, "home"), 0o700); err != nil {
		return err
	}
	var failed []error
	for _, p := range places {
		err := r.from(ctx, p, g)
		if err == nil || !errors.Is(err, ErrFetch) || ctx.Err() != nil {
			return err
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// refusals are what is said of servers that do not give a commit by its name, or do
// not give a part of the history; not what those say that lack the commit.
var refusals = []string{"unadvertised object", "does not allow request", "not support shallow"}

// from fetches from one place.
func (r *repository) from(ctx context.Context, p place, g recipes.Git) error {
	if err := os.RemoveAll(r.dir); err != nil { // what another place left
		return err
	}
	if err := r.init(ctx); err != nil {
		return err
	}
	args := []string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head", "--no-write-commit-graph"}
	wanted := []string{g.Commit + ":" + fetchedRef}
	var tag []string
	if g.Tag != "" {
		tag = []string{"refs/tags/" + g.Tag + ":refs/tags/" + g.Tag}
	}
	err := r.run(ctx, p.protocol, nil, slices.Concat(args, []string{"--depth=1", "--", p.address}, wanted, tag)...)
	if err != nil && slices.ContainsFunc(refusals, func(said string) bool { return strings.Contains(err.Error(), said) }) {
		err = r.whole(ctx, p, g, args)
	}
	if err != nil {
		return fmt.Errorf("from %s: %w", p.address, err)
	}
	kind, err := r.ask(ctx, "cat-file", "-t", g.Commit)
	if err != nil {
		return err
	}
	if kind = strings.TrimSpace(kind); kind != "commit" {
		return fmt.Errorf("%w: %s is a %s there", ErrRefused, g.Commit, kind)
	}
	return nil
}

// init makes the repository, for which no attribute of a commit has anything put
// into files that is not of the commit: that would be of the repository, or said by
// programs that git asks.
func (r *repository) init(ctx context.Context) error {
	if err := r.run(ctx, "", nil, "init", "--quiet", "--bare", "--template=", r.dir); err != nil {
		return err
	}
	info := filepath.Join(r.dir, "info")
	if err := os.MkdirAll(info, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "attributes"), []byte("* -export-subst\n"), 0o600)
}

// whole fetches all that a place has: the commit has to be in some branch, or the
// tag's. What speaks against all of it speaks against the place, and not against
// the commit.
func (r *repository) whole(ctx context.Context, p place, g recipes.Git, fetch []string) error {
	err := r.run(ctx, p.protocol, nil, slices.Concat(fetch, []string{"--", p.address, "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"})...)
	switch {
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("%w: it gives nothing but all of its history: %v", ErrFetch, err)
	case err != nil:
		return err
	case r.run(ctx, "", nil, "cat-file", "-e", g.Commit) != nil:
		return fmt.Errorf("%w: no branch or tag has that commit", ErrFetch)
	case g.Tag != "" && r.run(ctx, "", nil, "rev-parse", "--quiet", "--verify", "--end-of-options", "refs/tags/"+g.Tag) != nil:
		return fmt.Errorf("%w: there is no tag %s", ErrFetch, g.Tag)
	}
	return nil
}

// command is a run of git. Protocol is the one that it may use, "" for none.
func (r *repository) command(ctx context.Context, protocol string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.git, append([]string{
		"--no-pager", "--no-optional-locks", "--literal-pathspecs",
		// Nothing is started that anybody's configuration could name.
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "credential.helper=",
		// No attributes but those of the commit, as git archive has them anywhere, and
		// line ends as they are.
		"-c", "core.attributesFile=" + os.DevNull, "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "tar.umask=0022",
		// What comes is kept as it came, in one file that is watched, and looked over
		// for what could harm a git that checks it out. Old repositories have commits
		// that are merely malformed; their content is pinned.
		"-c", "fetch.unpackLimit=1", "-c", "transfer.unpackLimit=1", "-c", "fetch.fsckObjects=true",
		"-c", "fetch.fsck.zeroPaddedFilemode=ignore", "-c", "fetch.fsck.missingSpaceBeforeDate=ignore", "-c", "fetch.fsck.badTimezone=ignore",
		"-c", "fetch.fsck.missingNameBeforeEmail=ignore", "-c", "fetch.fsck.missingEmail=ignore", "-c", "fetch.fsck.missingTaggerEntry=ignore",
		// Names are judged here, where the error can say which.
		"-c", "fetch.fsck.hasDot=ignore", "-c", "fetch.fsck.hasDotdot=ignore", "-c", "fetch.fsck.hasDotgit=ignore", "-c", "fetch.fsck.fullPathname=ignore",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "submodule.recurse=false",
		"-c", "pack.threads=1",
		// A server may send elsewhere once, before anything was asked of it, and may not
		// keep silent.
		"-c", "http.followRedirects=initial", "-c", "protocol.version=2", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60",
	}, args...)...)
	if protocol != "" {
		// Large files go past memory, to the disk that is watched. Not so where they are
		// read: attributes do not count for what is large.
		cmd.Args = slices.Insert(cmd.Args, 1, "-c", "core.bigFileThreshold=16m")
	}
	cmd.Dir = r.tmp
	cmd.Env = append(r.passed(),
		"LC_ALL=C", "GIT_DIR="+r.dir,
		"HOME="+filepath.Join(r.tmp, "home"), "XDG_CONFIG_HOME="+filepath.Join(r.tmp, "home"), "TMPDIR="+r.tmp,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"GIT_ALLOW_PROTOCOL="+protocol, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS=false",
		"GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0",
		// What claims to be huge is not made room for: git has no other bound on trees
		// and deltas, which it holds in memory.
		"GIT_ALLOC_LIMIT=1g",
	)
	cmd.WaitDelay = time.Second
	group(cmd)
	return cmd
}

// passedOn is what of the caller's environment git gets: where it is, and how
// servers are reached.
var passedOn = []string{"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}

func (r *repository) passed() []string {
	var env []string
	for _, kv := range r.env {
		switch name, value, _ := strings.Cut(kv, "="); {
		case slices.Contains(passedOn, name):
			env = append(env, kv)
		case name == "SSL_CERT_FILE" && value != "":
			env = append(env, "GIT_SSL_CAINFO="+value) // as git calls it
		}
	}
	return env
}

// run runs git until it ends, or what it keeps is beyond the bound.
func (r *repository) run(ctx context.Context, protocol string, stdout io.Writer, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := r.command(ctx, protocol, args...)
	said := &child.Bounded{Room: maxSaid}
	cmd.Stdout, cmd.Stderr = stdout, said
	ended, err := child.Start(cmd)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("git %s: %w", args[0], err)
	}
	watch := time.NewTicker(50 * time.Millisecond)
	defer watch.Stop()
	for {
		select {
		case err := <-ended:
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				return failure(protocol, said.String(), fmt.Errorf("git %s: %w: %s", args[0], err, shown(said.String())))
			}
			return r.within()
		case <-watch.C:
			if err := r.within(); err != nil {
				cancel(err)
			}
		}
	}
}

// failure tells what git itself refuses from what is not to be had, and both from
// what fails here.
func failure(protocol, said string, err error) error {
	switch {
	case protocol == "":
		return err
	case strings.Contains(said, "dubious ownership"):
		return fmt.Errorf("the repository belongs to another user, and git reads such a folder by no leave that is given here; serve it by http, or copy it: %w", err)
	case strings.Contains(said, "fsck error"):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrFetch, err)
}

// within refuses to keep more than may be received.
func (r *repository) within() error {
	var total int64
	err := filepath.WalkDir(r.dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // git renames and removes meanwhile
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	if err == nil && total > r.bounds.Received {
		err = fmt.Errorf("%w: more than %d bytes of it were received", ErrRefused, r.bounds.Received)
	}
	return err
}

// maxAnswer bounds what git answers, in bytes.
const maxAnswer = 64 << 20

// ask is what git prints.
func (r *repository) ask(ctx context.Context, args ...string) (string, error) {
	out := &answer{child.Bounded{Room: maxAnswer}}
	err := r.run(ctx, "", out, args...)
	if out.Full() && ctx.Err() == nil {
		return "", fmt.Errorf("%w: git %s says more than %d bytes", ErrRefused, args[0], maxAnswer)
	}
	return out.String(), err
}

// answer takes no more than there is room for, which ends git: a few kilobytes can
// name more files than anybody could ever list.
type answer struct{ child.Bounded }

func (a *answer) Write(p []byte) (int, error) {
	if n, err := a.Bounded.Write(p); err != nil || !a.Full() {
		return n, err
	}
	return 0, io.ErrShortWrite
}

// shown is what a server or git said, for a line of an error.
func shown(said string) string {
	said = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, said)
	const most = 500
	if said = strings.Join(strings.Fields(said), " "); len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "…"
	}
	return said
}
