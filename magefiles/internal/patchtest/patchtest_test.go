package patchtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/module"

	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/patches"
)

const header = `Description: the sound
 is another
Forwarded: no
Drop-When: never
Variants: hardened

`

// louder changes what TestSound holds the package to, and adds a test.
const louder = header + `diff --git a/ring/ring.go b/ring/ring.go
--- a/ring/ring.go
+++ b/ring/ring.go
@@ -1,4 +1,4 @@
 package ring
 
 // Sound is what it says.
-const Sound = "ding"
+const Sound = "DING"
diff --git a/ring/loud_test.go b/ring/loud_test.go
new file mode 100644
--- /dev/null
+++ b/ring/loud_test.go
@@ -0,0 +1,9 @@
+package ring
+
+import "testing"
+
+func TestLoud(t *testing.T) {
+	if Sound != "DING" {
+		t.Error(Sound)
+	}
+}
`

const broken = header + `diff --git a/ring/ring.go b/ring/ring.go
--- a/ring/ring.go
+++ b/ring/ring.go
@@ -1,4 +1,4 @@
 package ring
 
 // Sound is what it says.
-const Sound = "ding"
+const Sound = ding
`

// ringTest needs a module that the package itself does not, and looks at
// where it runs.
const ringTest = `package ring

import (
	"net"
	"os"
	"testing"

	"example.org/rope"
)

func TestSound(t *testing.T) {
	if Sound != "ding" {
		t.Errorf("it says %s", Sound)
	}
}

func TestRope(t *testing.T) {
	if rope.Length != 3 {
		t.Error(rope.Length)
	}
}

func TestPrivate(t *testing.T) {
	if err := os.WriteFile("made", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"made", "testdata/key", "testdata", "ui/index.html"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Error(name, info, err)
		}
	}
	if err := os.WriteFile(os.Getenv("HOME")+"/x", nil, 0o600); err != nil {
		t.Error(err)
	}
	_ = t.TempDir()
	if os.Getenv("CI") != "true" {
		t.Error("CI is not set")
	}
	if err := os.MkdirAll(os.Getenv("PALISADE_CREDENTIALS_DIR"), 0o700); err != nil {
		t.Error(err)
	}
}

func TestLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
`

// bench is a Bench for a module of two packages, of which the series touches
// one.
type bench struct {
	*Bench
	proxy  *proxytest.Proxy
	module module.Version
	sum    string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	p := proxytest.New(t)
	rope := module.Version{Path: "example.org/rope", Version: "v1.0.0"}
	p.Add(t, rope.Path, rope.Version, map[string]string{
		"go.mod": "module example.org/rope\n\ngo 1.24.0\n", "rope.go": "package rope\n\nconst Length = 3\n",
	})
	b := &bench{proxy: p, module: module.Version{Path: "example.org/bell", Version: "v1.2.0"}}
	b.sum = p.Add(t, b.module.Path, b.module.Version, map[string]string{
		"go.mod": "module example.org/bell\n\ngo 1.24.0\n\nrequire example.org/rope v1.0.0\n", "go.sum": string(p.Sums.Encode()),
		"ring/ring.go":      "package ring\n\n// Sound is what it says.\nconst Sound = \"ding\"\n",
		"ring/ring_test.go": ringTest, "ring/testdata/key": "secret\n",
		"tower/tower_test.go": "package tower\n\nimport \"testing\"\n\nfunc TestTower(t *testing.T) { t.Fatal(\"not to be run\") }\n",
	})
	out, err := exec.Command(proxytest.Go(t), "env", "GOROOT", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	goEnv := strings.Split(string(out), "\n")
	dir := t.TempDir()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(dir, "mod")) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Else each run would compile the standard library.
	if err := os.Symlink(goEnv[1], filepath.Join(dir, "go-build")); err != nil {
		t.Fatal(err)
	}
	b.Bench = &Bench{
		Modules: &modules.Client{Go: filepath.Join(goEnv[0], "bin", "go"), Env: p.Env(), Store: s, CPUs: 2},
		Go:      toolchain.Installed{Dir: goEnv[0]}, Store: s,
	}
	return b
}

// run tests the module with one patch and a list of broken tests.
func (b *bench) run(t *testing.T, patch, list string, beside ...Subject) (Report, error) {
	t.Helper()
	fsys := fstest.MapFS{"bell/v1.2.0/series": {Data: []byte("0001-x.patch\n")}, "bell/v1.2.0/0001-x.patch": {Data: []byte(patch)}}
	if list != "" {
		fsys["bell/v1.2.0/upstream-tests"] = &fstest.MapFile{Data: []byte(list)}
	}
	series, err := patches.Load(fsys, "bell", "v1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	return b.Run(t.Context(), Subject{Module: b.module, Sum: b.sum, Series: series, Interface: fstest.MapFS{"ring/ui/index.html": {Data: []byte("<p>")}}, Beside: beside})
}

func TestRun(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct{ name, patch, list, want, output string }{
		{"as listed", louder, "ring TestSound it rings louder\n", "PASS example.org/bell/ring: 4 passed, 1 failed as listed", ""},
		{"not listed", louder, "", "FAIL example.org/bell/ring: 4 passed\nTestSound fails", "it says DING"},
		{"does not compile", broken, "", "FAIL example.org/bell/ring: 0 passed\nit does not compile", "undefined: ding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report, err := b.run(t, tt.patch, tt.list)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Packages) != 1 {
				t.Fatalf("tested %v", report.Packages)
			}
			p := report.Packages[0]
			if got := strings.Join(append([]string{p.String()}, p.Problems...), "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s\n%s", got, tt.want, p.Output)
			}
			if !strings.Contains(p.Output, tt.output) || tt.output == "" && p.Output != "" {
				t.Errorf("the output is %q, want %q", p.Output, tt.output)
			}
			if report.Passed() != strings.HasPrefix(tt.want, "PASS") {
				t.Errorf("passed: %v", report.Passed())
			}
			if report.Sandbox.Hermetic != (sandbox.Available() == nil) && report.Sandbox.Reason == "" {
				t.Errorf("sandbox: %+v", report.Sandbox)
			}
		})
	}
}

// Nothing can be said of another series, or of source that is not upstream's.
func TestRunRefuses(t *testing.T) {
	b := newBench(t)
	if _, err := b.run(t, louder, "tower TestTower it rings louder\n"); err == nil || !strings.Contains(err.Error(), "touches no file of that package") {
		t.Errorf("a list for an untouched package: %v", err)
	}
	if _, err := b.run(t, strings.Replace(louder, "const Sound = \"ding\"", "const Sound = \"dong\"", 1), ""); err == nil || !strings.Contains(err.Error(), "drifted") {
		t.Errorf("another series: %v", err)
	}
	b.sum = "h1:" + strings.Repeat("A", 43) + "="
	if _, err := b.run(t, louder, ""); err == nil || !strings.Contains(err.Error(), "testing the patches of example.org/bell@v1.2.0") {
		t.Errorf("another hash: %v", err)
	}
}

func TestTouched(t *testing.T) {
	tree := fstest.MapFS{
		"web/web.go": {}, "web/testdata/key": {}, "web/testdata/prog/main.go": {}, "web/ui/index.html": {}, "api/v1/api.go": {}, "docs/x.md": {}, "go.mod": {},
	}
	for files, want := range map[string]string{
		"web/web.go web/new_test.go":              "web",
		"web/testdata/key api/v1/api.go":          "api/v1 web",
		"web/ui/index.html docs/x.md go.mod":      "web",
		"web/testdata/prog/main.go":               "web",
		"docs/x.md go.mod":                        "",
		"web/testdata/prog/data/x api/v1/gone.go": "api/v1 web",
	} {
		var text strings.Builder
		text.WriteString(header)
		for _, name := range strings.Fields(files) {
			text.WriteString("diff --git a/" + name + " b/" + name + "\n--- a/" + name + "\n+++ b/" + name + "\n@@ -1 +1 @@\n-a\n+b\n")
		}
		s, err := patches.Load(fstest.MapFS{"m/v1.0.0/series": {Data: []byte("0001-x.patch\n")}, "m/v1.0.0/0001-x.patch": {Data: []byte(text.String())}}, "m", "v1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		got, err := touched(tree, s)
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %s", files, got, err, want)
		}
	}
}
