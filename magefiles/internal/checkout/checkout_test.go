package checkout

import (
	"bytes"
	"crypto/sha1"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// committed is a checkout with one commit.
func committed(t *testing.T, config ...string) (root, git string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("there is no git command")
	}
	root = filepath.Join(t.TempDir(), "checkout")
	for name, text := range map[string]string{
		"go.mod": "module palisade\n", "go.sum": "", "magefiles/build.go": "package main\n", "recipes/bell/recipe.yaml": "name: bell\n",
		"patches/series": "", "README.md": "# Bell\n", ".gitignore": "/dist/\n", "scripts/run": "#!/bin/sh\n",
	} {
		write(t, root, name, text)
	}
	if err := os.Chmod(filepath.Join(root, "scripts/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("README.md", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	run(t, root, git, append([]string{"init", "-q"}, config...)...)
	run(t, root, git, "add", ".")
	run(t, root, git, "-c", "user.name=A", "-c", "user.email=a@example.test", "commit", "-q", "-m", "one")
	return root, git
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, root, git string, args ...string) {
	t.Helper()
	cmd := exec.Command(git, args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

func observe(t *testing.T, root, git string) State {
	t.Helper()
	s, err := Observe(t.Context(), root, git)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestObserve(t *testing.T) {
	for _, config := range [][]string{nil, {"--object-format=sha256"}} {
		root, git := committed(t, config...)
		s := observe(t, root, git)
		digits := 40
		if config != nil {
			digits = 64
		}
		if !s.Clean || len(s.Commit) != digits || s.Address != "" || s.Unknown != "" || s.Tool.Version != s.Commit {
			t.Errorf("%q: %+v", config, s)
		}
	}
}

// The tool's hash is the one that the go command would have of a module that
// holds these files.
func TestToolSum(t *testing.T) {
	root, git := committed(t)
	s := observe(t, root, git)
	module := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "magefiles/build.go", "recipes/bell/recipe.yaml", "patches/series"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, module, name, string(data))
	}
	want, err := dirhash.HashDir(module, Module+"@"+s.Commit, dirhash.Hash1)
	if err != nil || s.Tool.Sum != want {
		t.Errorf("got %s, want %s, %v", s.Tool.Sum, want, err)
	}
	// An editor's lock is no file of a module, though it keeps a checkout from being clean.
	if err := os.Symlink("nowhere", filepath.Join(root, "recipes", ".#recipe.yaml")); err != nil {
		t.Fatal(err)
	}
	if locked := observe(t, root, git); locked.Clean || locked.Tool.Version != "devel" {
		t.Errorf("got %+v", locked)
	}
	// Without git it is the same files under another version.
	want, err = dirhash.HashDir(module, Module+"@devel", dirhash.Hash1)
	if without := observe(t, root, ""); err != nil || without.Tool != (Tool{"devel", want}) || without.Commit != "" || without.Unknown == "" {
		t.Errorf("got %+v, want %s, %v", without, want, err)
	}
	// And a folder of recipes alone is no tool.
	if err := os.Remove(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	if s := observe(t, root, git); s.Tool != (Tool{}) || s.Clean {
		t.Errorf("got %+v", s)
	}
}

// Every way in which a checkout differs from its commit is seen, and what git
// is told to ignore is not.
func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name   string
		clean  bool
		change func(t *testing.T, root, git string)
	}{
		{"ignored", true, func(t *testing.T, root, _ string) { write(t, root, "dist/release.json", "{}") }},
		{"touched", true, func(t *testing.T, root, _ string) { write(t, root, "README.md", "# Bell\n") }},
		{"changed", false, func(t *testing.T, root, _ string) { write(t, root, "README.md", "# Ball\n") }},
		{"changed, and git told that it is not", false, func(t *testing.T, root, git string) {
			run(t, root, git, "update-index", "--assume-unchanged", "README.md")
			write(t, root, "README.md", "# Ball\n")
		}},
		{"ignored, and built all the same", false, func(t *testing.T, root, _ string) {
			write(t, root, ".git/info/exclude", "new.go\n")
			write(t, root, "magefiles/new.go", "package main\n")
		}},
		{"ignored, and a link", false, func(t *testing.T, root, _ string) {
			write(t, root, ".git/info/exclude", "new.yaml\n")
			os.Symlink("/dev/null", filepath.Join(root, "recipes/new.yaml"))
		}},
		{"ignored, and in place of modules", false, func(t *testing.T, root, _ string) {
			write(t, root, ".git/info/exclude", "go.work\n")
			write(t, root, "go.work", "go 1.26\n")
		}},
		{"what mage leaves", true, func(t *testing.T, root, _ string) {
			write(t, root, ".git/info/exclude", "mage_output_file.go\n")
			write(t, root, "magefiles/mage_output_file.go", "package main\n")
		}},
		{"what mage does not leave there", false, func(t *testing.T, root, _ string) {
			write(t, root, ".git/info/exclude", "mage_output_file.go\n")
			write(t, root, "magefiles/build/mage_output_file.go", "package build\n")
		}},
		{"git told to look elsewhere", false, func(t *testing.T, root, git string) {
			run(t, root, git, "config", "core.worktree", t.TempDir())
			write(t, root, "new", "")
		}},
		{"staged", false, func(t *testing.T, root, git string) {
			write(t, root, "patches/new", "")
			run(t, root, git, "add", ".")
		}},
		{"another file", false, func(t *testing.T, root, _ string) { write(t, root, "patches/new", "") }},
		{"a file in place of another", false, func(t *testing.T, root, _ string) {
			write(t, root, "patches/new", "")
			os.Remove(filepath.Join(root, "patches/series"))
		}},
		{"a file less", false, func(t *testing.T, root, _ string) { os.Remove(filepath.Join(root, "README.md")) }},
		{"mode", false, func(t *testing.T, root, _ string) { os.Chmod(filepath.Join(root, "scripts/run"), 0o644) }},
		{"a link elsewhere", false, func(t *testing.T, root, _ string) {
			os.Remove(filepath.Join(root, "link"))
			os.Symlink("go.mod", filepath.Join(root, "link"))
		}},
		{"a filter that would hide it", false, func(t *testing.T, root, git string) {
			run(t, root, git, "config", "filter.hide.clean", "echo '# Bell'")
			write(t, root, ".git/info/attributes", "README.md filter=hide\n")
			write(t, root, "README.md", "# Ball\n")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, git := committed(t)
			tt.change(t, root, git)
			s := observe(t, root, git)
			if s.Clean != tt.clean || s.Commit == "" || (s.Tool.Version == s.Commit) != tt.clean {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// What was told to be ignored is in the tool's hash too.
func TestToolSumIgnored(t *testing.T) {
	root, git := committed(t)
	write(t, root, "README.md", "# Ball\n") // not clean, so of the same version
	before := observe(t, root, git).Tool
	write(t, root, ".git/info/exclude", "new.patch\n")
	write(t, root, "patches/new.patch", "")
	if after := observe(t, root, git).Tool; after == before || after.Version != before.Version {
		t.Errorf("got %+v, before %+v", after, before)
	}
}

// An index that leads out of the checkout is not followed.
func TestNames(t *testing.T) {
	root, git := committed(t)
	write(t, root, "patches/xx/a", "")
	run(t, root, git, "add", ".")
	index := filepath.Join(root, ".git/index")
	data, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data[:len(data)-sha1.Size], []byte("patches/xx/a"), []byte("patches/../a"), 1)
	sum := sha1.Sum(data)
	if err := os.WriteFile(index, append(data, sum[:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := observe(t, root, git); s.Commit != "" || !strings.Contains(s.Unknown, "patches/../a") {
		t.Errorf("got %+v", s)
	}
}

// Nothing that a repository's configuration names is run.
func TestRunsNothing(t *testing.T) {
	root, git := committed(t)
	ran := filepath.Join(t.TempDir(), "ran")
	program := filepath.Join(root, ".git", "program")
	write(t, root, ".git/program", "#!/bin/sh\ntouch "+ran+"\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, root, ".git/info/attributes", "* filter=own diff=own\n")
	for _, key := range []string{"core.fsmonitor", "filter.own.clean", "filter.own.process", "diff.own.textconv", "diff.external", "core.pager", "core.sshCommand", "credential.helper"} {
		run(t, root, git, "config", key, program)
	}
	run(t, root, git, "config", "core.hooksPath", filepath.Join(root, ".git"))
	for _, hook := range []string{"post-index-change", "fsmonitor-watchman", "reference-transaction"} {
		if err := os.Link(program, filepath.Join(root, ".git", hook)); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(ran) // git itself may have, above
	write(t, root, "README.md", "# Ball\n")
	if s := observe(t, root, git); s.Commit == "" || s.Clean {
		t.Errorf("got %+v", s)
	}
	// Which others would have done.
	cmd := exec.Command(git, "-C", root, "status")
	out, _ := cmd.CombinedOutput()
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("the configuration names nothing that is run: %s", out)
	}
	// An object that is missing is fetched from nowhere.
	for key, value := range map[string]string{
		"core.repositoryFormatVersion": "1", "extensions.partialClone": "origin", "remote.origin.promisor": "true",
		"remote.origin.url": "ext::" + program, "protocol.ext.allow": "always",
	} {
		run(t, root, git, "config", key, value)
	}
	os.Remove(ran)
	tree, err := exec.Command(git, "-C", root, "rev-parse", "HEAD^{tree}").Output()
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimSpace(string(tree))
	if err := os.Remove(filepath.Join(root, ".git/objects", hash[:2], hash[2:])); err != nil {
		t.Fatal(err)
	}
	if s := observe(t, root, git); s.Commit != "" {
		t.Errorf("got %+v", s)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it ran a program that the configuration names")
	}
}

func TestUnknown(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, root, git string) (string, string)
	}{
		{"no git", "no git command", func(t *testing.T, root, git string) (string, string) { return root, "" }},
		{"no version control", "under no version control", func(t *testing.T, root, git string) (string, string) {
			os.RemoveAll(filepath.Join(root, ".git"))
			return root, git
		}},
		{"a folder of another repository", "under no version control", func(t *testing.T, root, git string) (string, string) {
			write(t, root, "inner/go.mod", "module palisade\n")
			return filepath.Join(root, "inner"), git
		}},
		{"an empty .git, in another repository", "git rev-parse: ", func(t *testing.T, root, git string) (string, string) {
			write(t, root, "inner/go.mod", "module palisade\n")
			os.Mkdir(filepath.Join(root, "inner", ".git"), 0o755)
			return filepath.Join(root, "inner"), git
		}},
		{"no commit", "git rev-parse: ", func(t *testing.T, root, git string) (string, string) {
			os.RemoveAll(filepath.Join(root, ".git"))
			run(t, root, git, "init", "-q")
			return root, git
		}},
		{"a lost tree", "git ls-tree: ", func(t *testing.T, root, git string) (string, string) {
			out, err := exec.Command(git, "-C", root, "rev-parse", "HEAD^{tree}").Output()
			if err != nil {
				t.Fatal(err)
			}
			hash := strings.TrimSpace(string(out))
			os.Remove(filepath.Join(root, ".git/objects", hash[:2], hash[2:]))
			return root, git
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, git := committed(t)
			root, git = tt.change(t, root, git)
			if s := observe(t, root, git); s.Commit != "" || s.Clean || !strings.Contains(s.Unknown, tt.want) || s.Tool.Version != "devel" {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"https://Example.test/house/palisade.git":       "git+https://example.test/house/palisade.git",
		"https://user:secret@example.test/palisade.git": "git+https://example.test/palisade.git",
		"https://example.test:8443/p":                   "git+https://example.test:8443/p",
		"git@example.test:house/palisade.git":           "",
		"ssh://git@example.test/palisade.git":           "",
		"http://example.test/p":                         "",
		"https://example.test/p?token=x":                "",
		"https://example.test/p@v1":                     "",
		"/srv/git/palisade":                             "",
		"https:///p":                                    "",
		"":                                              "",
	} {
		if got := address(remote); got != want {
			t.Errorf("%s: got %q, want %q", remote, got, want)
		}
	}
	root, git := committed(t)
	run(t, root, git, "remote", "add", "origin", "https://somebody:secret@example.test/p")
	if s := observe(t, root, git); s.Address != "git+https://example.test/p" {
		t.Errorf("got %q", s.Address)
	}
}

// What is seen in a copy is what is seen in the checkout.
func TestCopy(t *testing.T) {
	for _, clean := range []bool{true, false} {
		root, git := committed(t)
		write(t, root, "dist/large", "ignored")
		if !clean {
			write(t, root, "patches/new", "")
			os.Remove(filepath.Join(root, "README.md"))
		}
		for _, git := range []string{git, ""} {
			dir := filepath.Join(t.TempDir(), "copy")
			if err := Copy(t.Context(), root, git, dir); err != nil {
				t.Fatal(err)
			}
			if a, b := observe(t, root, git), observe(t, dir, git); git != "" && a != b || a.Tool != b.Tool {
				t.Errorf("%+v was copied to %+v", a, b)
			}
			if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
				t.Error("what is ignored was copied")
			}
		}
	}
	if names, err := walk(t.TempDir()); err != nil || !slices.Equal(names, nil) {
		t.Errorf("%q, %v", names, err)
	}
}
