package patches

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// agree refuses a trial of s that says otherwise than applying it does, and one
// that changes the tree.
func agree(t *testing.T, dir string, s Series, before map[string]string, applied func() error) error {
	t.Helper()
	trials := try(t, dir, s)
	compare(t, dir, before)
	err := applied()
	i := slices.IndexFunc(trials, func(tr Trial) bool { return len(tr.Errors) > 0 })
	switch {
	case len(trials) != len(s.Patches):
		t.Errorf("%d trials of %d patches", len(trials), len(s.Patches))
	case (err == nil) != (i < 0):
		t.Errorf("applying: %v; trying: %+v", err, trials)
	case err != nil && trials[i].Errors[0].Error() != err.Error():
		t.Errorf("trying:   %v\napplying: %v", trials[i].Errors[0], err)
	}
	return err
}

func try(t *testing.T, dir string, s Series) []Trial {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return Try(root, s)
}

func change(file, from, to string) string {
	return fmt.Sprintf("diff --git a/%s b/%[1]s\n--- a/%[1]s\n+++ b/%[1]s\n@@ -1 +1 @@\n-%s\n+%s\n", file, from, to)
}

// Every patch is tried: one that fails says of each file where, and leaves
// nothing to the next.
func TestTry(t *testing.T) {
	files := map[string]string{"a": "1\n", "b": "1\n", "c": "x\n"}
	dir := plant(t, files)
	fsys := fstest.MapFS{"m/v1.0.0/series": {}}
	for i, diff := range []string{
		change("a", "1", "2"),
		change("a", "2", "3") + change("b", "9", "3") + change("c", "y", "z"),
		change("a", "2", "4"),
		change("a", "3", "5"), // upon the one that failed
		"diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n",
		change("new", "n", "m") + change("b", "1", "2"),
	} {
		name := fmt.Sprintf("%04d-x.patch", i+1)
		fsys["m/v1.0.0/"+name] = &fstest.MapFile{Data: []byte(header + "\n" + diff)}
		fsys["m/v1.0.0/series"].Data = append(fsys["m/v1.0.0/series"].Data, name+"\n"...)
	}
	s, err := Load(fsys, "m", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tr := range try(t, dir, s) {
		line := strings.TrimPrefix(tr.Patch.Name, "m/v1.0.0/")
		for _, e := range tr.Errors {
			if !errors.Is(e, ErrDrift) || e.Patch != tr.Patch.Name {
				t.Errorf("got %v", e)
			}
			line += fmt.Sprintf(" %s:%d", e.File, e.Hunk)
		}
		got = append(got, line)
	}
	want := []string{"0001-x.patch", "0002-x.patch b:1 c:1", "0003-x.patch", "0004-x.patch a:1", "0005-x.patch", "0006-x.patch"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	compare(t, dir, files)
	if made := try(t, dir, Series{Patches: []Patch{{Name: "m/v1.0.0/0001-x.patch"}}}); len(made) != 1 || len(made[0].Errors) != 1 {
		t.Errorf("a patch that was not loaded: %+v", made)
	}
}
