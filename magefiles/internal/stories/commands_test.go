package stories

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

var commands = map[string]command{
	"status":    status,
	"publish":   func(ts *testscript.TestScript, neg bool, args []string) { serve(ts, args, true) },
	"serve":     func(ts *testscript.TestScript, neg bool, args []string) { serve(ts, args, false) },
	"hold":      hold,
	"shut":      shut,
	"poison":    poison,
	"npm":       publishNPM,
	"flip":      flip,
	"edit":      edit,
	"drop":      drop,
	"own":       own,
	"fifo":      fifo,
	"remember":  remember,
	"unchanged": unchanged,
	"whole":     func(ts *testscript.TestScript, neg bool, args []string) { ts.Check(whole(ts, false)) },
	"tidy":      func(ts *testscript.TestScript, neg bool, args []string) { ts.Check(whole(ts, true)) },
	"interrupt": interrupt,
	"release":   release,
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// status runs a command and wants exactly one exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("it ended with status %d, not %d", got, want)
	}
}

func serve(ts *testscript.TestScript, args []string, everywhere bool) {
	path, version, ok := strings.Cut(args[0], "@")
	if !ok {
		ts.Fatalf("%q is not module@version", args[0])
	}
	ts.Check(worldOf(ts).change(module.Version{Path: path, Version: version}, ts.MkAbs(args[1]), everywhere))
}

// publishNPM tells the story the package's integrity as $INTEGRITY.
func publishNPM(ts *testscript.TestScript, neg bool, args []string) {
	at := strings.LastIndexByte(args[0], '@')
	integrity, err := worldOf(ts).publishNPM(args[0][:at], args[0][at+1:], ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Setenv("INTEGRITY", integrity)
}

func hold(ts *testscript.TestScript, neg bool, args []string) {
	path, version, _ := strings.Cut(args[0], "@")
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[module.Version{Path: path, Version: version}] = !neg
}

func shut(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut[args[0]] = !neg
}

// flip changes one bit of a file in place, and makes no other change that
// could be seen: not of its size, and not of when it was modified.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	name := oneFile(ts, args[0])
	info, err := os.Stat(name)
	ts.Check(err)
	ts.Check(os.Chmod(name, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	ts.Check(err)
	one := make([]byte, 1)
	_, err = f.ReadAt(one, info.Size()/2)
	ts.Check(err)
	one[0] ^= 1
	_, err = f.WriteAt(one, info.Size()/2)
	ts.Check(err)
	ts.Check(f.Close())
	ts.Check(os.Chtimes(name, info.ModTime(), info.ModTime()))
	ts.Check(os.Chmod(name, info.Mode()))
}

// oneFile is the file that a pattern matches.
func oneFile(ts *testscript.TestScript, pattern string) string {
	names, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%s matches %d files, not one: %q", pattern, len(names), names)
	}
	return names[0]
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	name := oneFile(ts, args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	if !bytes.Contains(data, []byte(args[1])) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	info, err := os.Stat(name)
	ts.Check(err)
	ts.Check(os.Chmod(name, 0o600)) // module caches are read-only
	ts.Check(os.WriteFile(name, bytes.ReplaceAll(data, []byte(args[1]), []byte(args[2])), 0o600))
	ts.Check(os.Chmod(name, info.Mode()))
}

func drop(ts *testscript.TestScript, neg bool, args []string) {
	name := oneFile(ts, args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	var kept []string
	lines := strings.SplitAfter(string(data), "\n")
	for _, line := range lines {
		if !strings.Contains(line, args[1]) {
			kept = append(kept, line)
		}
	}
	if len(kept) == len(lines) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(name, []byte(strings.Join(kept, "")), 0o644))
}

// own gives the story a directory of its own where it had a symbolic link.
// The files are copies: what the user has must not change with them.
func own(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	from, err := filepath.EvalSymlinks(name)
	ts.Check(err)
	ts.Check(os.Remove(name))
	ts.Check(filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(name, rel), 0o755)
		}
		return copyFile(filepath.Join(name, rel), path)
	}))
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// remembered is what remember saw: the directory, and its state.
type remembered struct{ dir, state string }

func remember(ts *testscript.TestScript, neg bool, args []string) {
	state, err := stateOf(ts.MkAbs(args[0]))
	ts.Check(err)
	worldOf(ts).memory = remembered{ts.MkAbs(args[0]), state}
}

func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	m := worldOf(ts).memory
	state, err := stateOf(m.dir)
	ts.Check(err)
	if state != m.state {
		ts.Fatalf("%s changed from\n%s\nto\n%s", m.dir, m.state, state)
	}
}

// stateOf is a line for each file and directory below dir: mode, and of a file
// when it was modified, size and content.
func stateOf(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", strings.TrimPrefix(path, dir), info.Mode())
		if info.Mode().IsRegular() {
			digest, size, err := artifact.DigestFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %v %v", info.ModTime().UnixNano(), size, digest)
		}
		b.WriteByte('\n')
		return nil
	})
	return b.String(), err
}

// release prints what release.json says, a fact in a line; arguments are
// patterns, of which each line has to match one.
func release(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.Stdout() // also where nothing comes, lest an earlier command's output stays
	f, err := os.Open(filepath.Join(distOf(ts), "release.json"))
	ts.Check(err)
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	ts.Check(err)
	var lines []string
	for _, r := range m.Artifacts {
		fact := func(format string, more ...any) {
			lines = append(lines, r.Name+" "+fmt.Sprintf(format, more...))
		}
		fact("component %s version %s upstream %s platform %s variant %s", r.Component, r.Version, r.UpstreamVersion, r.Platform, r.Variant)
		fact("digest %s size %d epoch %d revision %s", r.Digest, r.Size, r.Epoch, r.Revision)
		fact("source %s@%s %s zip %v", r.Source.Path, r.Source.Version, r.Source.Sum, r.Source.Zip != nil)
		for _, p := range r.Patched {
			fact("patched %s@%s => %s %s", p.From.Path, p.From.Version, p.To.Version, p.To.Sum)
			for _, file := range p.Patches {
				fact("patch %s %s", file.Name, file.Digest)
			}
		}
		for _, e := range r.Embedded {
			fact("embedded %s %s in %s", e.PURL, e.Evidence, e.In)
		}
		for _, t := range r.Toolchains {
			fact("toolchain %s %s %s", t.Name, t.Package, t.Hash)
		}
		fact("hermetic %v %s%s", r.Build.Sandbox.Hermetic, strings.Join(r.Build.Sandbox.Namespaces, ","), r.Build.Sandbox.Reason)
		for _, b := range r.Binaries {
			fact("binary %s %s", b.Name, b.Digest)
			for _, m := range append([]artifact.Module{b.Main}, b.Modules...) {
				if m.Replace != nil {
					fact("links %s@%s => %s %s", m.Path, m.Version, m.Replace.Version, m.Replace.Sum)
				} else {
					fact("links %s@%s %s", m.Path, m.Version, m.Sum)
				}
			}
		}
		for _, member := range r.Members {
			fact("member %s %s", member.Mode, member.Name)
		}
		for _, d := range r.Documents {
			fact("document %s %s", d.Name, d.Digest)
		}
	}
	for _, i := range m.Images {
		lines = append(lines, factsOf(i)...)
	}
	for _, line := range lines {
		keep := len(args) == 0
		for _, a := range args {
			re, err := regexp.Compile(a)
			ts.Check(err)
			keep = keep || re.MatchString(line)
		}
		if keep {
			fmt.Fprintln(out, line)
		}
	}
}

// distOf is where the story's results lie.
func distOf(ts *testscript.TestScript) string {
	if d := ts.Getenv("PALISADE_DIST"); d != "" {
		return d
	}
	return ts.MkAbs("dist")
}

func goModSum(data []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}
