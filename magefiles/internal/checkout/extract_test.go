package checkout

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listing is a line for each file below dir: kind and run bit, name, content.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		var text string
		if info.Mode().Type() == fs.ModeSymlink {
			text, err = os.Readlink(name)
		} else {
			var data []byte
			data, err = os.ReadFile(name)
			text = string(data)
		}
		fmt.Fprintf(&all, "%v %v %s %q\n", info.Mode().Type(), info.Mode()&0o100 != 0, rel, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func head(t *testing.T, root, git, what string) string {
	t.Helper()
	out, err := exec.Command(git, "-C", root, "rev-parse", what).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// What is extracted is what was committed, though the checkout has gone on, and
// whatever a configuration and attributes would make of it.
func TestExtract(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		root, git := committed(t, "--object-format="+format)
		commit := head(t, root, git, "HEAD")
		want := filepath.Join(t.TempDir(), "want")
		if err := Copy(t.Context(), root, git, want); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(want, ".git"))

		ran := filepath.Join(t.TempDir(), "ran")
		write(t, root, ".git/program", "#!/bin/sh\ntouch "+ran+"\ncat\n")
		os.Chmod(filepath.Join(root, ".git/program"), 0o755)
		write(t, root, ".git/info/attributes", "* filter=own diff=own text eol=crlf ident export-subst\nREADME.md export-ignore\n")
		for _, key := range []string{"filter.own.smudge", "filter.own.process", "diff.own.textconv", "core.fsmonitor"} {
			run(t, root, git, "config", key, filepath.Join(root, ".git/program"))
		}
		run(t, root, git, "config", "core.autocrlf", "true")
		write(t, root, "README.md", "# Another\n")
		write(t, root, "new", "")
		os.Remove(filepath.Join(root, "link"))
		os.Remove(ran)

		dir := t.TempDir()
		if err := Extract(t.Context(), root, git, commit, dir); err != nil {
			t.Fatal(err)
		}
		if got, want := listing(t, dir), listing(t, want); got != want {
			t.Errorf("%s: got\n%swant\n%s", format, got, want)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("%s: it ran a program that the configuration names", format)
		}
		// Nothing is written over.
		if err := Extract(t.Context(), root, git, commit, dir); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: a second time: %v", format, err)
		}
	}
}

// commitTree makes a commit of a tree as "git mktree" reads it, which git add
// would not make.
func commitTree(t *testing.T, root, git, tree string) string {
	t.Helper()
	cmd := exec.Command(git, "-C", root, "mktree", "--missing")
	cmd.Stdin = strings.NewReader(tree)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(git, "-C", root, "-c", "user.name=A", "-c", "user.email=a@example.test", "commit-tree", "-m", "x", strings.TrimSpace(string(out)))
	if out, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestExtractRefuses(t *testing.T) {
	const unknown = "0123456789012345678901234567890123456789"
	for _, tt := range []struct {
		name, want string
		noCommit   bool
		change     func(t *testing.T, root, git string) (commit, from, with string)
	}{
		{"a commit of elsewhere", "", true, func(t *testing.T, root, git string) (string, string, string) { return unknown, root, git }},
		{"a branch", "that is no commit in full", false, func(t *testing.T, root, git string) (string, string, string) { return "HEAD", root, git }},
		{"an option", "that is no commit in full", false, func(t *testing.T, root, git string) (string, string, string) { return "--all", root, git }},
		{"a tree", "", true, func(t *testing.T, root, git string) (string, string, string) {
			return head(t, root, git, "HEAD^{tree}"), root, git
		}},
		{"no git", "no git command", false, func(t *testing.T, root, git string) (string, string, string) { return unknown, root, "" }},
		{"no version control", "under no version control", false, func(t *testing.T, root, git string) (string, string, string) {
			return unknown, t.TempDir(), git
		}},
		{"a lost file", "git cat-file: it says", false, func(t *testing.T, root, git string) (string, string, string) {
			hash := head(t, root, git, "HEAD:README.md")
			os.Remove(filepath.Join(root, ".git/objects", hash[:2], hash[2:]))
			return head(t, root, git, "HEAD"), root, git
		}},
		{"a damaged file", "the repository is damaged", false, func(t *testing.T, root, git string) (string, string, string) {
			hash := head(t, root, git, "HEAD:README.md")
			name := filepath.Join(root, ".git/objects", hash[:2], hash[2:])
			var packed bytes.Buffer
			z := zlib.NewWriter(&packed)
			fmt.Fprint(z, "blob 7\x00# Ball\n")
			z.Close()
			os.Chmod(name, 0o644)
			if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			return head(t, root, git, "HEAD"), root, git
		}},
		{"a folder of git's", "would be git's own", false, func(t *testing.T, root, git string) (string, string, string) {
			blob := head(t, root, git, "HEAD:README.md")
			return commitTree(t, root, git, "100644 blob "+blob+"\t.Git\n"), root, git
		}},
		{"a replacement", "", true, func(t *testing.T, root, git string) (string, string, string) {
			// refs/replace would have another commit be this one.
			write(t, root, ".git/refs/replace/"+unknown, head(t, root, git, "HEAD")+"\n")
			return unknown, root, git
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, git := committed(t)
			commit, from, with := tt.change(t, root, git)
			err := Extract(t.Context(), from, with, commit, t.TempDir())
			if err == nil || errors.Is(err, ErrNoCommit) != tt.noCommit || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// What a commit leads to elsewhere is left where it is: a submodule is no file,
// and nothing is written through a link.
func TestExtractStaysInside(t *testing.T) {
	root, git := committed(t)
	outside := t.TempDir()
	blob := head(t, root, git, "HEAD:README.md")
	write(t, root, "to", outside)
	out, err := exec.Command(git, "-C", root, "hash-object", "-w", "to").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Two entries of one name: a link, and a folder with a file.
	inner := commitTree(t, root, git, "100644 blob "+blob+"\tfile\n")
	tree := head(t, root, git, inner+"^{tree}")
	commit := commitTree(t, root, git, "120000 blob "+strings.TrimSpace(string(out))+"\tx\n040000 tree "+tree+"\tx\n160000 commit "+inner+"\tsub\n")
	dir := t.TempDir()
	if err := Extract(t.Context(), root, git, commit, dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("%v was written outside, %v", entries, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "sub")); err == nil {
		t.Error("a submodule was written")
	}
}

// The reader of what git prints is given anything.
func FuzzNextBlob(f *testing.F) {
	hash := nameOf([]byte("text"), 40)
	f.Add([]byte(hash+" blob 4\ntext\n"), hash)
	f.Add([]byte(hash+" missing\n"), hash)
	f.Add([]byte(hash+" blob 99999999999999999999\n"), hash)
	f.Add([]byte(hash+" blob -1\n"), hash)
	f.Fuzz(func(t *testing.T, printed []byte, hash string) {
		data, err := nextBlob(bufio.NewReader(bytes.NewReader(printed)), hash, 1<<20)
		if err == nil && nameOf(data, len(hash)) != hash {
			t.Errorf("%q is not %s", data, hash)
		}
	})
}
