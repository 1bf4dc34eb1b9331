package update

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		to := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func holds(t *testing.T, root string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		got[name] = string(data)
		return err
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v: got %q, want %q", err, got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(root, stagePrefix+"*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

var before = map[string]string{"recipes/a/go.mod": "old", "recipes/a/patched.sum": "sum", "patches/x/v1/series": "s"}

func files() []File {
	return []File{
		{"recipes/a/go.mod", []byte("new")}, {"recipes/a/patched.sum", nil}, {"recipes/a/go.sum", []byte{}},
		{"patches/x/v2/series", []byte("s2")}, {"patches/x/v2/0001-x.patch", []byte("p")}, {"patches/y/v1/series", []byte("y")}, {"recipes/a/none", nil},
	}
}

func TestReplace(t *testing.T) {
	root := plant(t, before)
	if err := os.Mkdir(filepath.Join(root, stagePrefix+"dead"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Replace(t.Context(), root, files()); err != nil {
		t.Fatal(err)
	}
	holds(t, root, map[string]string{"recipes/a/go.mod": "new", "recipes/a/go.sum": "", "patches/x/v1/series": "s", "patches/x/v2/series": "s2", "patches/x/v2/0001-x.patch": "p", "patches/y/v1/series": "y"})
	for _, f := range files() {
		if !f.Same(root) {
			t.Errorf("%s is not what it was to be", f.Name)
		}
	}
	if (File{"recipes/a/go.mod", []byte("other")}).Same(root) || (File{"recipes/a/go.sum", nil}).Same(root) || (File{"recipes/a/none", []byte{}}).Same(root) {
		t.Error("what differs is the same")
	}
}

// What fails leaves the checkout as it was, wherever it fails.
func TestReplaceFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Replace(ended, plant(t, before), files()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"../out", "/etc/x", "a//b", "recipes/a/go.mod/below", "patches"} {
		root := plant(t, before)
		if err := Replace(t.Context(), root, append(files(), File{bad, []byte("x")})); err == nil {
			t.Errorf("%s: no error", bad)
		}
		holds(t, root, before)
	}
}

// Each place where a rename may fail is met once.
func TestReplaceTakesBack(t *testing.T) {
	all := files()
	for i := range all {
		moved := slices.Concat(all[:i], []File{{"patches", []byte("a file where a folder is")}}, all[i:])
		root := plant(t, before)
		if err := Replace(t.Context(), root, moved); err == nil {
			t.Errorf("%d: no error", i)
		}
		holds(t, root, before)
	}
}
