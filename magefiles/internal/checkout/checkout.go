// Package checkout tells what a checkout of this repository holds: which commit
// it is of, whether it differs from that in any byte, and one hash over
// everything that makes the tool. It reads the files themselves; git is asked
// for names and hashes, and by Extract for what was committed, by commands that
// run no hook, filter or monitor that a configuration could name, take no lock
// and reach no network.
//
// It refuses to guess. What git does not say in time, or says of a directory
// above the checkout, is not known, and the State says why.
package checkout

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"palisade/magefiles/internal/child"
)

// A State is what was seen of a checkout. Without Commit nothing is known of
// its version, and Unknown says why.
type State struct {
	Address string // git+https://…, of the remote "origin"; "" if that has no public one
	Commit  string // lower-case hexadecimal digits
	Clean   bool   // each file is that of the commit, to the byte, and no other is there but ignored ones that make nothing
	Unknown string // why Commit is ""
	Tool    Tool
}

// Bounds of what git may say, and of how long it may take.
const (
	maxOutput = 64 << 20
	maxFile   = 256 << 20
	patience  = time.Minute
)

// Observe looks at the checkout at root, an absolute path, with the git command
// at that path; "" if there is none.
func Observe(ctx context.Context, root, git string) (State, error) {
	g := repository{root, git}
	var s State
	names, err := g.state(ctx, &s)
	if err := ctx.Err(); err != nil {
		return State{}, err
	}
	if err != nil {
		s = State{Unknown: err.Error()}
		if names, err = walk(root); err != nil {
			return State{}, fmt.Errorf("looking at the checkout %s: %w", root, err)
		}
	}
	version := Develop
	if s.Clean {
		version = s.Commit
	}
	if s.Tool, err = toolOf(root, names, version); err != nil {
		return State{}, fmt.Errorf("hashing what makes this tool, in %s: %w", root, err)
	}
	return s, nil
}

// A repository is what git is asked about.
type repository struct{ root, git string }

// state fills s and returns the names of all files that are of the commit or
// would be of the next one.
func (g repository) state(ctx context.Context, s *State) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.there(); err != nil {
		return nil, err
	}
	commit, err := g.ask(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return nil, err
	}
	s.Commit = strings.TrimSpace(commit)
	tree, err := g.ask(ctx, "ls-tree", "-r", "-z", "--full-tree", s.Commit)
	if err != nil {
		return nil, err
	}
	committed, err := parseTree(tree)
	if err != nil {
		return nil, err
	}
	list, err := g.ask(ctx, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	names := strings.FieldsFunc(list, func(r rune) bool { return r == 0 })
	for _, name := range names {
		if !fs.ValidPath(strings.TrimSuffix(name, "/")) { // a folder that is a repository of its own has the slash
			return nil, fmt.Errorf("git ls-files: it says %.200q", name)
		}
	}
	made, err := walk(g.root) // what git was told to ignore is built all the same
	if err != nil {
		return nil, err
	}
	names = append(names, made...)
	slices.Sort(names)
	names = slices.Compact(names) // one with conflicts is there several times
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(g.root, filepath.FromSlash(name)))
		return errors.Is(err, fs.ErrNotExist)
	})
	if s.Clean, err = same(ctx, g.root, names, committed); err != nil {
		return nil, err
	}
	if remote, err := g.ask(ctx, "config", "--local", "--get", "remote.origin.url"); err == nil {
		s.Address = address(strings.TrimSpace(remote))
	}
	return names, ctx.Err()
}

// command is a run of git. Nothing that the repository's configuration could
// name is started, so its owner need not be the user.
func (g repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.git, append([]string{
		"--no-pager", "--no-optional-locks", "--literal-pathspecs",
		"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "protocol.allow=never",
	}, args...)...)
	cmd.Dir = g.root
	cmd.Env = []string{
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1",
		// No configuration may allow one all the same, which protocol.allow lets it.
		"GIT_ALLOW_PROTOCOL=",
		// What is above, or where a configuration points, is something else.
		"GIT_DIR=" + filepath.Join(g.root, ".git"), "GIT_WORK_TREE=" + g.root,
	}
	cmd.WaitDelay = time.Second
	return cmd
}

// ask is what git prints.
func (g repository) ask(ctx context.Context, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	out, said := &child.Bounded{Room: maxOutput}, &child.Bounded{Room: maxOutput}
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Run(); err != nil {
		return "", failed(ctx, args[0], err, said.String())
	}
	if out.Full() {
		return "", fmt.Errorf("git %s: it says more than %d bytes", args[0], maxOutput)
	}
	return out.String(), nil
}

// failed is why a run of git did not do what it was to do.
func failed(ctx context.Context, what string, err error, said string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("git %s: it did not end in %v", what, patience)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return fmt.Errorf("git %s: %w: %.200q", what, err, line)
}

// A blob is a file as a commit has it.
type blob struct{ mode, hash string }

// parseTree reads what git ls-tree -r -z prints.
func parseTree(text string) (map[string]blob, error) {
	all := map[string]blob{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(text, "\x00"), "\x00") {
		about, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(about)
		if !ok || len(fields) != 3 || !fs.ValidPath(name) {
			return nil, fmt.Errorf("git ls-tree: it says %.200q", entry)
		}
		all[name] = blob{fields[0], fields[2]}
	}
	return all, nil
}

// same reports whether the files at root are those that were committed.
func same(ctx context.Context, root string, names []string, committed map[string]blob) (bool, error) {
	if len(names) != len(committed) {
		return false, nil
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		want, ok := committed[name]
		if !ok {
			return false, nil
		}
		got, err := blobOf(filepath.Join(root, filepath.FromSlash(name)), len(want.hash))
		if err != nil {
			return false, err
		}
		if got != want {
			return false, nil
		}
	}
	return true, nil
}

// blobOf is what git would commit of a file if it changed nothing of it.
func blobOf(name string, digits int) (blob, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return blob{}, err
	}
	var data []byte
	mode := "100644"
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(name)
		if err != nil {
			return blob{}, err
		}
		mode, data = "120000", []byte(target)
	case !info.Mode().IsRegular():
		return blob{mode: "another kind"}, nil // a submodule: not of this commit
	case info.Size() > maxFile:
		return blob{}, fmt.Errorf("%s has %d bytes", name, info.Size())
	default:
		if info.Mode()&0o100 != 0 {
			mode = "100755"
		}
		if data, err = os.ReadFile(name); err != nil {
			return blob{}, err
		}
	}
	return blob{mode, nameOf(data, digits)}, nil
}

// nameOf is what git calls a blob of this content.
func nameOf(data []byte, digits int) string {
	var h hash.Hash = sha1.New() // what git names its objects by; SHA-256 where it was told to
	if digits == hex.EncodedLen(sha256.Size) {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
