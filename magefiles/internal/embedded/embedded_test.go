package embedded

import (
	"archive/tar"
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/recipes"
)

const (
	bell   = "example.org/bell"
	assets = "asset/assets_vfsdata.go"
)

// vfs is Go source that holds files, as vfsgen writes it.
func vfs(files map[string]string) string {
	var b strings.Builder
	b.WriteString("package asset\n\nvar Assets = vfsgen۰FS{\n")
	for name, text := range files {
		fmt.Fprintf(&b, "%q: &vfsgen۰FileInfo{name: %q, content: []byte(%q)},\n", "/"+name, filepath.Base(name), text)
	}
	return b.String() + "}\n"
}

// A bench is a recipe, its modules, and a registry of one npm package.
type bench struct {
	recipe *recipes.Recipe
	client *npm.Client
	files  map[string]string // of the module in the lock
	ui     map[string]string // of the one that its interface is taken from
}

// newBench states each kind of work: an npm package's, in a generated file
// system and beside it; Elm's; one with a version; and what is nobody else's.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{client: &npm.Client{Dir: t.TempDir(), Offline: true}}
	integrity := b.store(t, map[string]string{"dist/boot.css": "css", "dist/js/boot.js": "js", "LICENSE": "free"})
	b.files = map[string]string{
		"fonts/icon.ttf": "css", // what it is called does not matter
		"data/list":      "list of revision abc123",
		"mail.tmpl":      "mail",
	}
	b.ui = map[string]string{
		assets: vfs(map[string]string{
			"static/boot/boot.css": "css", "static/boot/js/boot.js": "js",
			"static/script.js": "elm", "static/index.html": "own",
		}),
		"elm.json": `{"type": "application", "elm-version": "0.19.1",
			"dependencies": {"direct": {"elm/core": "1.0.0"}, "indirect": {"ada/date": "3.2.0"}},
			"test-dependencies": {"direct": {"elm/test": "1.0.0"}, "indirect": {}}}`,
	}
	in := bell + "@v0.1.0"
	b.recipe = &recipes.Recipe{Name: "bell", Bundled: []recipes.Bundled{
		{In: in, Files: map[string]string{assets + "#static/boot/": "dist/"}, Npm: "@s/boot@4.0.0", Integrity: integrity},
		{In: bell, Files: map[string]string{"fonts/icon.ttf": "dist/boot.css"}, Npm: "boot@1.0.0", Integrity: integrity},
		{In: in, Files: map[string]string{assets + "#static/script.js": ""}, PURL: "pkg:elm/elm/core@1.0.0", Why: "told", Told: "elm.json"},
		{In: in, Files: map[string]string{assets + "#static/script.js": ""}, PURL: "pkg:elm/ada/date@3.2.0", Why: "told", Told: "elm.json"},
		{In: in, Files: map[string]string{assets + "#static/script.js": ""}, PURL: "pkg:github/elm/compiler@0.19.1", Why: "runtime", Told: "elm.json"},
		{In: in, Files: map[string]string{assets + "#static/index.html": ""}, Why: "its own"},
		{In: bell, Files: map[string]string{"data/": ""}, PURL: "pkg:github/ada/list@abc123", Why: "made from it", Told: "data/list"},
		{In: bell, Files: map[string]string{"mail.tmpl": ""}, PURL: "pkg:github/ada/mail@1", Why: "derived from it"},
	}}
	return b
}

// store puts a tarball of files where the client keeps them.
func (b *bench) store(t *testing.T, files map[string]string) (integrity string) {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(buf.Bytes())
	if err := os.WriteFile(filepath.Join(b.client.Dir, hex.EncodeToString(sum[:])+".tgz"), buf.Bytes(), 0o444); err != nil {
		t.Fatal(err)
	}
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (b *bench) find(t *testing.T) ([]artifact.Embedded, error) {
	t.Helper()
	dirs := map[module.Version]string{}
	for m, files := range map[module.Version]map[string]string{{Path: bell}: b.files, {Path: bell, Version: "v0.1.0"}: b.ui} {
		dirs[m] = t.TempDir()
		for name, text := range files {
			full := filepath.Join(dirs[m], filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Find(t.Context(), b.recipe, b.client, func(m module.Version) (modules.Module, error) {
		if dirs[m] == "" {
			return modules.Module{}, errors.New("no module " + m.String())
		}
		return modules.Module{Version: m, Dir: dirs[m]}, nil
	})
}

func TestFind(t *testing.T) {
	all, err := newBench(t).find(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%s %s %s %s: %s", e.PURL, e.Name, e.Version, e.Evidence, strings.Join(e.Files, " ")))
		if e.In != bell || (e.Integrity != "") != (e.Evidence == artifact.ByIdentity) || (e.Note != "") != (e.Evidence == artifact.Stated) {
			t.Errorf("said of %s: %+v", e.PURL, e)
		}
	}
	want := []string{
		"pkg:elm/ada/date@3.2.0 ada/date 3.2.0 stated: " + assets + "#static/script.js",
		"pkg:elm/elm/core@1.0.0 elm/core 1.0.0 stated: " + assets + "#static/script.js",
		"pkg:github/ada/list@abc123 ada/list abc123 stated: data/list",
		"pkg:github/ada/mail@1 ada/mail 1 stated: mail.tmpl",
		"pkg:github/elm/compiler@0.19.1 elm/compiler 0.19.1 stated: " + assets + "#static/script.js",
		"pkg:npm/%40s/boot@4.0.0 @s/boot 4.0.0 identical: " + assets + "#static/boot/boot.css " + assets + "#static/boot/js/boot.js",
		"pkg:npm/boot@1.0.0 boot 1.0.0 identical: fonts/icon.ttf",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFindRefuses(t *testing.T) {
	generated := func(change func(map[string]string)) func(*bench) {
		return func(b *bench) {
			files := map[string]string{
				"static/boot/boot.css": "css", "static/boot/js/boot.js": "js", "static/script.js": "elm", "static/index.html": "own",
			}
			change(files)
			b.ui[assets] = vfs(files)
		}
	}
	elm := func(old, changed string) func(*bench) {
		return func(b *bench) { b.ui["elm.json"] = strings.Replace(b.ui["elm.json"], old, changed, 1) }
	}
	for name, tt := range map[string]struct {
		want string
		do   func(*bench)
	}{
		"file differs from npm's": {"is not the package's dist/boot.css, byte for byte", func(b *bench) { b.files["fonts/icon.ttf"] += "." }},
		"embedded one differs":    {"#static/boot/js/boot.js is not the package's", generated(func(f map[string]string) { f["static/boot/js/boot.js"] = "js " })},
		"npm has no such file":    {"is not the package's dist/more.css", generated(func(f map[string]string) { f["static/boot/more.css"] = "css" })},
		"file gone":               {"has no mail.tmpl", func(b *bench) { delete(b.files, "mail.tmpl") }},
		"embedded one gone":       {"has no " + assets + "#static/script.js", generated(func(f map[string]string) { delete(f, "static/script.js") })},
		"folder gone":             {"has no data/", func(b *bench) { delete(b.files, "data/list") }},
		"embedded folder gone":    {"has no " + assets + "#static/boot/", generated(func(f map[string]string) { delete(f, "static/boot/boot.css"); delete(f, "static/boot/js/boot.js") })},
		"folder only begins like it": {"has no " + assets + "#static/boot/", generated(func(f map[string]string) {
			delete(f, "static/boot/boot.css")
			delete(f, "static/boot/js/boot.js")
			f["static/boots.css"] = ""
		})},
		"generated file gone":      {"has no " + assets, func(b *bench) { delete(b.ui, assets) }},
		"generated by another":     {"reading " + assets, func(b *bench) { b.ui[assets] = "package asset\n" }},
		"something new among them": {"nothing is said of " + assets + "#static/new.js", generated(func(f map[string]string) { f["static/new.js"] = "" })},
		"another version":          {"does not speak of version abc123", func(b *bench) { b.files["data/list"] = "list of revision def456" }},
		"elm.json gone":            {"has no elm.json", func(b *bench) { delete(b.ui, "elm.json") }},
		"elm.json names more":      {"it names pkg:elm/elm/url@1.0.0: add", elm(`"elm/core"`, `"elm/url": "1.0.0", "elm/core"`)},
		"elm.json names another":   {"it names pkg:elm/elm/core@1.0.1: add", elm(`"elm/core": "1.0.0"`, `"elm/core": "1.0.1"`)},
		"elm.json names less":      {"does not name pkg:elm/ada/date@3.2.0: take", elm(`"ada/date": "3.2.0"`, ``)},
		"elm.json of a package":    {`of type "package"`, elm(`"application"`, `"package"`)},
		"elm.json of nobody":       {"package \"core\" at version", elm(`"elm/core"`, `"core"`)},
		"elm.json is none":         {"malformed package or application of Elm", func(b *bench) { b.ui["elm.json"] = "0.19.1" }},
		"a file named twice":       {"named twice", func(b *bench) { b.recipe.Bundled[6].Files["data/list"] = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			tt.do(b)
			all, err := b.find(t)
			if !errors.Is(err, ErrBundled) || !strings.Contains(fmt.Sprint(err), tt.want) || !strings.Contains(fmt.Sprint(err), "recipe bell") || all != nil {
				t.Errorf("got %d, error %v; want ErrBundled with %q", len(all), err, tt.want)
			}
		})
	}
}

// What cannot be had is an error of its own kind.
func TestFindWithout(t *testing.T) {
	b := newBench(t)
	b.recipe.Bundled[0].Integrity = "sha512-" + base64.StdEncoding.EncodeToString(make([]byte, sha512.Size))
	if _, err := b.find(t); !errors.Is(err, npm.ErrOffline) {
		t.Errorf("package that is not stored: %v", err)
	}
	b = newBench(t)
	b.recipe.Bundled[0].In = "example.org/other"
	if _, err := b.find(t); err == nil || !strings.Contains(err.Error(), "no module example.org/other") {
		t.Errorf("module that is not there: %v", err)
	}
	if all, err := Find(t.Context(), &recipes.Recipe{}, nil, nil); err != nil || len(all) > 0 {
		t.Errorf("nothing bundled: %v, %v", all, err)
	}
}

func FuzzElmPackages(f *testing.F) {
	f.Add([]byte(`{"type": "application", "dependencies": {"direct": {"elm/core": "1.0.0"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		purls, err := elmPackages(data)
		if err != nil && purls != nil {
			t.Errorf("%q with error %v", purls, err)
		}
		if !slices.IsSorted(purls) {
			t.Errorf("%q is not sorted", purls)
		}
	})
}
