package patchtest

import (
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/module"

	"palisade/patches"
)

// stronger is a patch of example.org/rope.
const stronger = header + `diff --git a/strength.go b/strength.go
new file mode 100644
--- /dev/null
+++ b/strength.go
@@ -0,0 +1,3 @@
+package rope
+
+const Strength = 9
`

// tied has the bell use what stronger brings.
const tied = header + `diff --git a/ring/tied_test.go b/ring/tied_test.go
new file mode 100644
--- /dev/null
+++ b/ring/tied_test.go
@@ -0,0 +1,13 @@
+package ring
+
+import (
+	"testing"
+
+	"example.org/rope"
+)
+
+func TestTied(t *testing.T) {
+	if rope.Strength != 9 || rope.Length != 3 {
+		t.Error(rope.Strength, rope.Length)
+	}
+}
`

// beside is a version of the rope that the bell's lock does not know, with
// patches: it needs a module that the lock does not know either.
func (b *bench) beside(t *testing.T) Subject {
	t.Helper()
	b.proxy.Add(t, "example.org/hemp", "v1.0.0", map[string]string{"go.mod": "module example.org/hemp\n", "hemp.go": "package hemp\n\nconst Fibre = 3\n"})
	s := Subject{Module: module.Version{Path: "example.org/rope", Version: "v1.1.0"}}
	s.Sum = b.proxy.Add(t, s.Module.Path, s.Module.Version, map[string]string{
		"go.mod":  "module example.org/rope\n\ngo 1.24.0\n\nrequire example.org/hemp v1.0.0\n",
		"rope.go": "package rope\n\nimport \"example.org/hemp\"\n\nconst Length = hemp.Fibre\n",
	})
	var err error
	fsys := fstest.MapFS{"rope/v1.1.0/series": {Data: []byte("0001-x.patch\n")}, "rope/v1.1.0/0001-x.patch": {Data: []byte(stronger)}}
	if s.Series, err = patches.Load(fsys, "rope", "v1.1.0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// What a module's patches use may come from the patches of one that it
// requires; its lock gets what that needs.
func TestRunBeside(t *testing.T) {
	b := newBench(t)
	unrelated := Subject{Module: module.Version{Path: "example.org/drum", Version: "v1.0.0"}}
	report, err := b.run(t, tied, "", b.beside(t), unrelated)
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Packages[0]; p.String() != "PASS example.org/bell/ring: 5 passed" || len(p.Problems) > 0 {
		t.Errorf("got %s %q\n%s", p, p.Problems, p.Output)
	}
	if report, err = b.run(t, tied, ""); err != nil {
		t.Fatal(err)
	}
	if p := report.Packages[0]; !strings.Contains(p.Output, "undefined: rope.Strength") {
		t.Errorf("without the patched rope: %s\n%s", p, p.Output)
	}
}

// What stands beside is checked as the module itself is, and what its lock
// gains as what it had.
func TestRunBesideRefuses(t *testing.T) {
	t.Run("another hash", func(t *testing.T) {
		b := newBench(t)
		other := b.beside(t)
		other.Sum = "h1:" + strings.Repeat("A", 43) + "="
		if _, err := b.run(t, tied, "", other); err == nil || !strings.Contains(err.Error(), "rope@v1.1.0") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("proxy differs from database", func(t *testing.T) {
		b := newBench(t)
		other := b.beside(t)
		b.proxy.Serve(t, "example.org/hemp", "v1.0.0", map[string]string{"go.mod": "module example.org/hemp\n", "hemp.go": "package hemp\n\nconst Fibre = 4\n"})
		if _, err := b.run(t, tied, "", other); err == nil || !strings.Contains(err.Error(), "SECURITY ERROR") {
			t.Errorf("got %v", err)
		}
	})
}
