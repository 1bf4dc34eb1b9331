package patches

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestCases runs testdata/*.txtar. Their files are
//
//	tree/...   the tree before
//	NNNN-...   a patch of the series; its header is added, and the series file
//	series     the series file, where it is not just those patches in order
//	want/...   the tree after; without it the tree must be as before
//	error      one per line, what the error must contain; of Load or Apply
//
// An error of Apply whose case is called drift-... must be ErrDrift, and no other.
func TestCases(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fsys := fstest.MapFS{"m/v1.0.0/series": {}}
			before, after, wantErrors := map[string]string{}, map[string]string{}, ""
			for _, f := range ar.Files {
				switch top, rest, below := strings.Cut(f.Name, "/"); {
				case below && top == "tree":
					before[rest] = string(f.Data)
				case below && top == "want":
					after[rest] = string(f.Data)
				case f.Name == "error":
					wantErrors = string(f.Data)
				case f.Name == "series":
					fsys["m/v1.0.0/series"].Data = f.Data
				case strings.HasSuffix(f.Name, ".patch"):
					fsys["m/v1.0.0/"+f.Name] = &fstest.MapFile{Data: append([]byte(header+"\n"), f.Data...)}
					fsys["m/v1.0.0/series"].Data = append(fsys["m/v1.0.0/series"].Data, f.Name+"\n"...)
				default:
					t.Fatalf("unknown file %s", f.Name)
				}
			}
			if wantErrors != "" {
				after = before
			}
			dir := plant(t, before)
			s, err := Load(fsys, "m", "v1.0.0")
			if err == nil {
				err = agree(t, dir, s, before, func() error { return apply(t, dir, s) })
				if is, want := errors.Is(err, ErrDrift), strings.Contains(name, "drift-"); is != want {
					t.Errorf("error is ErrDrift: %v, want %v: %v", is, want, err)
				}
			} else if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
			if (err != nil) != (wantErrors != "") {
				t.Errorf("got error %v", err)
			}
			for want := range strings.Lines(wantErrors) {
				if want = strings.TrimSpace(want); err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
			compare(t, dir, after)
		})
	}
}

// A txtar file cannot hold a file without a newline at its end.
func TestNoNewlineAtEnd(t *testing.T) {
	const marker = `\ No newline at end of file` + "\n"
	head := "diff --git a/f b/f\n--- a/f\n+++ b/f\n"
	for _, tt := range []struct{ name, src, diff, want, err string }{
		{"kept", "a\nb", head + "@@ -1,2 +1,2 @@\n-a\n+A\n b\n" + marker, "A\nb", ""},
		{"added", "a", head + "@@ -1 +1 @@\n-a\n" + marker + "+a\n", "a\n", ""},
		{"removed", "a\n", head + "@@ -1 +1 @@\n-a\n+a\n" + marker, "a", ""},
		{"unexpected", "a\nb\n", head + "@@ -1,2 +1,2 @@\n-a\n+A\n b\n" + marker, "", `hunk 1 at line 2: source has drifted from the patch: want "b", found "b\n"`},
		{"in the middle", "a\nb\n", head + "@@ -1 +1,2 @@\n-a\n+A\n" + marker + "+c\n", "", "hunk 1: adds lines behind one without a newline"},
		{"before more", "a\nb\n", head + "@@ -1 +1 @@\n-a\n+A\n" + marker, "", `want the end of the file, found "b\n"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := plant(t, map[string]string{"f": tt.src})
			s, err := Load(series(header+"\n"+tt.diff), "m", "v1.0.0")
			if err == nil {
				err = apply(t, dir, s)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if tt.err != "" {
				tt.want = tt.src
			}
			compare(t, dir, map[string]string{"f": tt.want})
		})
	}
}

func TestApplyErrorNames(t *testing.T) {
	dir := plant(t, map[string]string{"d/f": "a\nb\nc\nd\nE\nf\n"})
	s := mustLoad(t, "diff --git a/d/f b/d/f\n--- a/d/f\n+++ b/d/f\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -4,3 +4,3 @@\n d\n-e\n+x\n f\n")
	err := apply(t, dir, s)
	var ae *ApplyError
	if !errors.As(err, &ae) || ae.Patch != "m/v1.0.0/0001-x.patch" || ae.File != "d/f" || ae.Hunk != 2 || ae.Line != 5 {
		t.Errorf("got %#v: %v", ae, err)
	}
	want := `applying m/v1.0.0/0001-x.patch: d/f: hunk 2 at line 5: source has drifted from the patch: want "e\n", found "E\n"` +
		": make the patch anew against this source, or drop it if its Drop-When has come true"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}

func TestExcerptsShowTheDifference(t *testing.T) {
	a := strings.Repeat("x", 500) + "old" + strings.Repeat("y", 500)
	b := strings.Repeat("x", 500) + "new" + strings.Repeat("y", 500)
	if head, _ := excerpts(a, ""); len(head) > 130 {
		t.Errorf("got %q", head)
	}
	a, b = excerpts(a, b)
	if len(a) > 130 || !strings.Contains(a, "xxold") || !strings.Contains(b, "xxnew") {
		t.Errorf("got %q, %q", a, b)
	}
}

func TestModes(t *testing.T) {
	setUmask(t, 0o077)
	dir := plant(t, map[string]string{"run": "a\n", "locked": "a\n"})
	for name, perm := range map[string]fs.FileMode{"run": 0o755, "locked": 0o444} {
		if err := os.Chmod(filepath.Join(dir, name), perm); err != nil {
			t.Fatal(err)
		}
	}
	change := func(name string) string { return strings.ReplaceAll(oneDiff[1:], "/f", "/"+name) }
	s := mustLoad(t, change("run")+change("locked")+"diff --git a/new/f b/new/f\nnew file mode 100644\nindex 000..e69\n")
	if err := apply(t, dir, s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"run": 0o755, "locked": 0o444, "new/f": 0o644, "new": 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %o", name, info, err, want)
		}
	}
	compare(t, dir, map[string]string{"run": "b\n", "locked": "b\n", "new/f": ""})
}

// TestLinks: a patch changes no file through a symbolic link, be its target
// in the tree or outside.
func TestLinks(t *testing.T) {
	outside := plant(t, map[string]string{"f": "a\n"})
	for name, target := range map[string]string{
		"file inside": "g", "file outside": filepath.Join(outside, "f"), "directory inside": "d", "directory outside": outside,
	} {
		t.Run(name, func(t *testing.T) {
			dir := plant(t, map[string]string{"g": "a\n", "d/f": "a\n"})
			file := "f"
			if strings.HasPrefix(name, "directory") {
				file = "link/f"
			}
			if err := os.Symlink(target, filepath.Join(dir, strings.TrimSuffix(file, "/f"))); err != nil {
				t.Skip(err)
			}
			err := apply(t, dir, mustLoad(t, strings.ReplaceAll(oneDiff[1:], "/f", "/"+file)))
			var ae *ApplyError
			if !errors.As(err, &ae) || errors.Is(err, ErrDrift) || !strings.Contains(err.Error(), "L---------") {
				t.Errorf("got %v", err)
			}
			compare(t, outside, map[string]string{"f": "a\n"})
		})
	}
}

// TestHardLink: a tree may be linked from a store, which must stay as it is.
func TestHardLink(t *testing.T) {
	dir, store := plant(t, nil), plant(t, map[string]string{"f": "a\n"})
	if err := os.Link(filepath.Join(store, "f"), filepath.Join(dir, "f")); err != nil {
		t.Skip(err)
	}
	if err := apply(t, dir, mustLoad(t, oneDiff[1:])); err != nil {
		t.Fatal(err)
	}
	compare(t, dir, map[string]string{"f": "b\n"})
	compare(t, store, map[string]string{"f": "a\n"})
}

func TestApplyBounds(t *testing.T) {
	grow := "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n+a\n a\n"
	swap := "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+a\n a\n"
	for _, tt := range []struct {
		name string
		size int
		diff string
		n    int // patches
		want string
	}{
		{"source", maxSourceSize + 1, swap, 1, "f: larger than 16777216 bytes"},
		{"result", maxSourceSize - 1, grow, 1, "f: result is larger than 16777216 bytes"},
		{"results", maxSourceSize, swap, maxTreeSize/maxSourceSize + 1, "applying m/v1.0.0/0005-x.patch: f: result is larger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := "a\na\n" + strings.Repeat("b", tt.size-5) + "\n"
			dir := plant(t, map[string]string{"f": src})
			s, err := Load(series(slices.Repeat([]string{header + "\n" + tt.diff}, tt.n)...), "m", "v1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			if err := apply(t, dir, s); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestFailedWrite: a file that is in the way of a temporary one stays.
func TestFailedWrite(t *testing.T) {
	dir := plant(t, map[string]string{"f": "a\n", "f.palisade-tmp": "mine\n"})
	err := apply(t, dir, mustLoad(t, oneDiff[1:]))
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	compare(t, dir, map[string]string{"f": "a\n", "f.palisade-tmp": "mine\n"})
}

func TestApplyWantsLoaded(t *testing.T) {
	var ae *ApplyError
	if err := apply(t, t.TempDir(), Series{Patches: []Patch{{Name: "p"}}}); !errors.As(err, &ae) {
		t.Errorf("got %v", err)
	}
	if err := apply(t, t.TempDir(), Series{}); err != nil {
		t.Errorf("empty series: %v", err)
	}
}

func mustLoad(t *testing.T, diff string) Series {
	t.Helper()
	s, err := Load(series(header+"\n"+diff), "m", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t *testing.T, dir string, s Series) error {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return Apply(root, s)
}

func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// compare holds the regular files below dir against want.
func compare(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		names = append(names, name)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if text, ok := want[name]; !ok || text != string(data) {
			t.Errorf("%s holds %q, want %q (%v)", name, data, text, ok)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not there", name)
		}
	}
}
