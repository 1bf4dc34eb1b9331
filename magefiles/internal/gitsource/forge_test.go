package gitsource

import (
	"fmt"
	"maps"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// A forge has bare repositories, which it makes with git itself.
type forge struct {
	t    testing.TB
	git  string
	root string // the repositories', laid out as a mirror
	dir  string // of the one that is worked on
}

const project = "git.example.org/bands/drum"

func newForge(t testing.TB) *forge {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("these tests need git: %v", err)
	}
	root := t.TempDir()
	f := &forge{t: t, git: git, root: root, dir: filepath.Join(root, filepath.FromSlash(project)+".git")}
	f.run("", "init", "--quiet", "--bare", "--initial-branch=main", f.dir)
	return f
}

// run is what git prints.
func (f *forge) run(stdin string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command(f.git, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GIT_DIR=" + f.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "HOME=" + f.root,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// tree makes a tree of files, by path. A name may begin with a mode and a space:
// then the content is what a link leads to, or a submodule's commit.
func (f *forge) tree(files map[string]string) string {
	f.t.Helper()
	below := map[string]map[string]string{}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode, rest, special := strings.Cut(name, " ")
		if !special || len(mode) != 6 {
			mode, rest = "100644", name
		}
		if dir, inner, ok := strings.Cut(rest, "/"); ok {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][strings.TrimPrefix(mode+" ", "100644 ")+inner] = files[name]
			continue
		}
		kind, hash := "blob", files[name]
		if mode == "160000" {
			kind = "commit"
		} else {
			hash = f.run(files[name], "hash-object", "-w", "--stdin")
		}
		lines = append(lines, fmt.Sprintf("%s %s %s\t%s", mode, kind, hash, rest))
	}
	for _, dir := range slices.Sorted(maps.Keys(below)) {
		lines = append(lines, fmt.Sprintf("040000 tree %s\t%s", f.tree(below[dir]), dir))
	}
	var listed strings.Builder
	for _, line := range lines {
		listed.WriteString(line + "\x00")
	}
	return f.run(listed.String(), "mktree", "-z", "--missing")
}

// commit puts files on the branch main.
func (f *forge) commit(files map[string]string) string {
	f.t.Helper()
	args := []string{"commit-tree", "-m", "beat", f.tree(files)}
	if exec.Command(f.git, "--git-dir="+f.dir, "rev-parse", "--verify", "--quiet", "main").Run() == nil {
		args = append(args, "-p", "main")
	}
	commit := f.run("", args...)
	f.run("", "update-ref", "refs/heads/main", commit)
	return commit
}

var drum = map[string]string{"go.mod": "module example.org/drum\n", "drum.go": "package drum\n", "vendor/stick/stick.go": "package stick\n"}

// source is what a recipe says of a commit with these files.
func (f *forge) source(commit string, files map[string]string) recipes.Git {
	f.t.Helper()
	dir := f.t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	g := recipes.Git{Name: "example.org/drum@v0.9.1", Repository: "https://" + project, Commit: commit}
	var err error
	if g.Hash, err = dirhash.HashDir(dir, g.Name, dirhash.Hash1); err != nil {
		f.t.Fatal(err)
	}
	return g
}

// client fetches from the forge's folder as its mirror. There is no other place.
func (f *forge) client() *Client {
	f.t.Helper()
	s, err := store.Open(f.t.TempDir())
	if err != nil {
		f.t.Fatal(err)
	}
	return &Client{
		Git: f.git, Env: os.Environ(), Store: s, Mirror: f.root,
		origin: func(recipes.Git) string { return "https://127.0.0.1:1/nowhere" },
	}
}

// serve serves the repositories by git's own server, until the test ends.
func (f *forge) serve() *httptest.Server {
	f.t.Helper()
	backend := &cgi.Handler{
		Path: filepath.Join(f.run("", "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + f.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
	}
	if _, err := os.Stat(backend.Path); err != nil {
		f.t.Fatalf("these tests need git's server: %v", err)
	}
	server := httptest.NewUnstartedServer(backend)
	f.t.Cleanup(server.Close)
	return server
}

// left is everything in the store's folder of work in progress.
func left(t testing.TB, c *Client) []string {
	t.Helper()
	entries, err := os.ReadDir(c.Store.Dir("tmp"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
