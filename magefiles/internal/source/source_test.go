package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/webui"
	"palisade/patches"
	"palisade/recipes"
)

const (
	goMod = "module example.org/bell\n\ngo 1.24.0\n"
	code  = "package bell\n\n// Sound is what it says.\nconst Sound = \"ding\"\n"
)

// header is of a patch for the variants named in place of the verb.
const header = `Description: the sound
 is another
Forwarded: no
Drop-When: never
Variants: `

const louder = `
diff --git a/bell.go b/bell.go
--- a/bell.go
+++ b/bell.go
@@ -1,4 +1,4 @@
 package bell
 
 // Sound is what it says.
-const Sound = "ding"
+const Sound = "DING"
`

const licence = `
diff --git a/NOTICE b/NOTICE
new file mode 100644
--- /dev/null
+++ b/NOTICE
@@ -0,0 +1 @@
+changed
`

// A ui is a web interface of files that were made elsewhere.
type ui struct {
	inputs string
	files  map[string]string
	dir    string
	made   int
}

func (u *ui) Inputs(*recipes.Recipe) ([]string, error) {
	return []string{u.inputs}, nil
}

func (u *ui) Make(_ context.Context, _ Tree, dir string, fits func(webui.Assets) error) (webui.Assets, error) {
	u.made++
	if text, err := os.ReadFile(filepath.Join(dir, "bell.go")); err != nil || !strings.Contains(string(text), "DING") {
		return webui.Assets{}, errors.New("made of source that is not patched")
	}
	a := webui.Assets{Dir: u.dir, UI: artifact.UI{Kind: "bundle", Note: "a test"}, Embedded: []artifact.Embedded{{PURL: "pkg:npm/gong@1.0.0"}}}
	for name, text := range u.files {
		full := filepath.Join(u.dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			return a, err
		}
		a.Files = append(a.Files, artifact.File{Name: name, Size: int64(len(text)), Digest: artifact.DigestBytes([]byte(text))})
	}
	return a, fits(a)
}

// bench is a workshop with a recipe whose module is fetched.
type bench struct {
	*Workshop
	client *modules.Client
	tree   Tree
	series fstest.MapFS
}

func newBench(t *testing.T, u *ui) *bench {
	t.Helper()
	p := proxytest.New(t)
	upstream := module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	p.Add(t, upstream.Path, upstream.Version, map[string]string{"go.mod": goMod, "bell.go": code, "LICENSE": "free\n"})
	dir := t.TempDir()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(dir, "mod")) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &recipes.Recipe{
		Name: "bell", Module: upstream.Path, Version: "1.2.0", Revision: 1,
		Patches: []string{upstream.Path}, Lock: p.Lock(upstream), Patched: recipes.Sums{},
	}
	if u != nil {
		r.UI = &recipes.UI{Bundle: &recipes.Bundle{}}
		u.dir = t.TempDir()
	}
	series := fstest.MapFS{
		"bell/v1.2.0/series":            {Data: []byte("0001-louder.patch\n0002-notice.patch\n")},
		"bell/v1.2.0/0001-louder.patch": {Data: []byte(header + "hardened, vanilla\n" + louder)},
		"bell/v1.2.0/0002-notice.patch": {Data: []byte(header + "hardened\n" + licence)},
	}
	b := &bench{
		Workshop: &Workshop{Store: s, Distribution: &recipes.Distribution{Name: "palisade"}, Patches: series, UI: u},
		client:   &modules.Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2},
		series:   series,
	}
	if b.tree, err = Fetch(t.Context(), b.client, r); err != nil {
		t.Fatal(err)
	}
	return b
}

// lock makes patched.sum what it ought to be.
func (b *bench) lock(t *testing.T) recipes.Sums {
	t.Helper()
	for _, v := range recipes.Variants() {
		sums, err := b.Sums(t.Context(), b.tree, v)
		if err != nil {
			t.Fatal(err)
		}
		for m, sum := range sums {
			b.tree.recipe.Patched[m] = sum
		}
	}
	return b.tree.recipe.Patched
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func TestPatch(t *testing.T) {
	b := newBench(t, nil)
	if sums := b.lock(t); len(sums) != 4 {
		t.Fatalf("locked %v", sums)
	}
	for _, tt := range []struct {
		variant, version, notice string
		patches                  int
	}{
		{"hardened", "v1.2.1-0.palisade.1", "changed\n", 2},
		{"vanilla", "v1.2.1-0.vanilla.1", "", 1},
	} {
		t.Run(tt.variant, func(t *testing.T) {
			p, err := b.Patch(t.Context(), b.tree, tt.variant)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Sealed) != 1 || p.UI != nil || len(p.Sealed[0].Patches) != tt.patches || len(p.Sealed[0].Added) != 0 {
				t.Fatalf("patched is %+v", p)
			}
			s := p.Sealed[0]
			want, err := dirhash.HashDir(s.To.Dir, "example.org/bell@"+tt.version, dirhash.Hash1)
			if err != nil {
				t.Fatal(err)
			}
			if s.To.Version != (module.Version{Path: "example.org/bell", Version: tt.version}) || s.To.Sum != want || string(s.To.GoMod) != goMod {
				t.Errorf("sealed as %s %s, want %s", s.To.Version, s.To.Sum, want)
			}
			if !strings.Contains(read(t, s.To.Dir, "bell.go"), `"DING"`) || read(t, s.To.Dir, "NOTICE") != tt.notice || read(t, s.To.Dir, "LICENSE") != "free\n" {
				t.Errorf("the tree holds %q and NOTICE %q", read(t, s.To.Dir, "bell.go"), read(t, s.To.Dir, "NOTICE"))
			}
			if s.Patches[0].Name != "bell/v1.2.0/0001-louder.patch" || s.Patches[0].Digest != artifact.DigestBytes(b.series["bell/v1.2.0/0001-louder.patch"].Data) {
				t.Errorf("patches are %+v", s.Patches)
			}
			if a := s.Artifact(); a.To.Sum != want || a.To.Version != tt.version || a.From.Sum != s.From.Sum || a.To.Replace != nil {
				t.Errorf("artifact is %+v", a)
			}
			if err := p.Verify(t.Context(), b.client); err != nil {
				t.Error(err)
			}
		})
	}
}

// The hash is the one by which the go command will know the module: that of
// the zip file which a proxy would serve.
func TestSumIsThatOfTheZip(t *testing.T) {
	b := newBench(t, nil)
	b.lock(t)
	p, err := b.Patch(t.Context(), b.tree, "hardened")
	if err != nil {
		t.Fatal(err)
	}
	to := p.Sealed[0].To
	f, err := os.Create(filepath.Join(t.TempDir(), "m.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := modzip.CreateFromDir(f, to.Version, to.Dir); err != nil {
		t.Fatal(err)
	}
	if sum, err := dirhash.HashZip(f.Name(), dirhash.Hash1); err != nil || sum != to.Sum {
		t.Errorf("the zip file is %s, %v, want %s", sum, err, to.Sum)
	}
}

func TestPatchUnsealed(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(sums recipes.Sums, sealed module.Version)
	}{
		{"no patched.sum", "patched.sum has no hash of example.org/bell@v1.2.1-0.palisade.1", func(s recipes.Sums, _ module.Version) { clear(s) }},
		{"hash missing", "patched.sum has no hash", func(s recipes.Sums, m module.Version) { delete(s, m) }},
		{"hash of go.mod missing", "patched.sum has no hash", func(s recipes.Sums, m module.Version) { m.Version += "/go.mod"; delete(s, m) }},
		{"another hash", "but patched.sum says h1:other=", func(s recipes.Sums, m module.Version) { s[m] = "h1:other=" }},
		{"another hash of go.mod", "but patched.sum says h1:other=", func(s recipes.Sums, m module.Version) { m.Version += "/go.mod"; s[m] = "h1:other=" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			tt.change(b.lock(t), module.Version{Path: "example.org/bell", Version: "v1.2.1-0.palisade.1"})
			p, err := b.Patch(t.Context(), b.tree, "hardened")
			if !errors.Is(err, ErrUnsealed) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "run mage lock bell") {
				t.Errorf("got %v, want %s and what to do", err, tt.want)
			}
			if len(p.Sealed) != 0 {
				t.Errorf("it hands over %+v", p)
			}
		})
	}
}

// An edited patch does not reach the compiler under the old hash.
func TestEditedPatchIsUnsealed(t *testing.T) {
	b := newBench(t, nil)
	b.lock(t)
	f := b.series["bell/v1.2.0/0001-louder.patch"]
	f.Data = []byte(strings.Replace(string(f.Data), "DING", "DONG", 1))
	if _, err := b.Patch(t.Context(), b.tree, "hardened"); !errors.Is(err, ErrUnsealed) {
		t.Errorf("got %v", err)
	}
}

func TestNothingChanged(t *testing.T) {
	b := newBench(t, nil)
	b.tree.recipe.Patches = nil
	p, err := b.Patch(t.Context(), b.tree, "hardened")
	if err != nil || p.Sealed != nil || p.UI != nil || p.Embedded != nil {
		t.Errorf("got %+v, %v", p, err)
	}
	if p.Tree.Recipe() != b.tree.recipe || len(p.Tree.Modules()) != 1 {
		t.Errorf("tree is %+v", p.Tree)
	}
	if err := p.Verify(t.Context(), b.client); err != nil {
		t.Error(err)
	}
}

func TestSeriesRefused(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(b *bench)
	}{
		{"no series", "patches/bell/v1.2.0 has none", func(b *bench) { clear(b.series) }},
		{"malformed", "0001-louder.patch", func(b *bench) { b.series["bell/v1.2.0/0001-louder.patch"].Data = []byte("x") }},
		{"drifted", "0001-louder.patch", func(b *bench) {
			f := b.series["bell/v1.2.0/0001-louder.patch"]
			f.Data = []byte(strings.Replace(string(f.Data), " package bell", " package ring", 1))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			tt.change(b)
			_, err := b.Sums(t.Context(), b.tree, "hardened")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "recipe bell") {
				t.Errorf("got %v", err)
			}
			var drift *patches.ApplyError
			if got := errors.As(err, &drift); got != (tt.name == "drifted") {
				t.Errorf("%v says %v", err, drift)
			}
			// What failed is not kept: the seal is made once it can be.
			if left, _ := filepath.Glob(filepath.Join(b.Store.Dir("steps"), "seal-2", "*")); len(left) != 0 {
				t.Errorf("it left %q", left)
			}
		})
	}
}

func TestWebUI(t *testing.T) {
	u := &ui{files: map[string]string{"ui/index.html": "<h1>ding</h1>"}}
	b := newBench(t, u)
	b.lock(t)
	p, err := b.Patch(t.Context(), b.tree, "hardened")
	if err != nil {
		t.Fatal(err)
	}
	s := p.Sealed[0]
	if p.UI == nil || p.UI.Note != "a test" || len(s.Added) != 1 || s.Added[0].Name != "ui/index.html" || read(t, s.To.Dir, "ui/index.html") != "<h1>ding</h1>" {
		t.Errorf("sealed is %+v, UI is %+v", s, p.UI)
	}
	// What it was bundled of is known also when it was sealed before.
	if len(p.Embedded) != 1 || p.Embedded[0].PURL != "pkg:npm/gong@1.0.0" {
		t.Errorf("bundled of %+v", p.Embedded)
	}
	if u.made != 2 {
		t.Errorf("made %d times for two variants", u.made)
	}
	// An interface that comes out otherwise is not what the lock says, and not
	// kept: the next one may be.
	before := b.seals()
	u.inputs, u.files["ui/index.html"] = "another machine", "<h1>dong</h1>"
	if _, err := b.Patch(t.Context(), b.tree, "hardened"); !errors.Is(err, ErrUnsealed) || !strings.Contains(err.Error(), "building the web interface") {
		t.Errorf("another interface: %v", err)
	}
	if after := b.seals(); after != before {
		t.Errorf("%d seals were kept, there were %d", after, before)
	}
	u.files["ui/index.html"] = "<h1>ding</h1>"
	if p, err := b.Patch(t.Context(), b.tree, "hardened"); err != nil || p.Sealed[0].To.Sum != s.To.Sum {
		t.Errorf("made again: %v", err)
	}
}

// seals is how many are kept.
func (b *bench) seals() int {
	kept, _ := filepath.Glob(filepath.Join(b.Store.Dir("steps"), "seal-2", "*"))
	return len(kept)
}

// An interface adds files; what upstream or a patch wrote stays.
func TestWebUIOverwrites(t *testing.T) {
	for _, name := range []string{"bell.go", "NOTICE", "go.mod"} {
		b := newBench(t, &ui{files: map[string]string{name: "other"}})
		_, err := b.Sums(t.Context(), b.tree, "hardened")
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "adding the web interface") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFetchRefuses(t *testing.T) {
	b := newBench(t, nil)
	r := *b.tree.recipe
	r.Module = "example.org/drum"
	if _, err := Fetch(t.Context(), b.client, &r); err == nil || !strings.Contains(err.Error(), "recipe bell: its lock does not hold module example.org/drum") {
		t.Errorf("got %v", err)
	}
}
