package stories

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/elm"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// elmInput is alertmanager's own way to build its interface, with the pinned Node
// and the pinned compiler and the npm packages of its lock file, of another source:
// the tiny application of package elm's tests and its packages, whose real
// ones no server that every machine can reach has.
func elmInput(t *testing.T) webui.ElmInput {
	t.Helper()
	if built.skip != "" {
		t.Skip(built.skip)
	}
	r, err := recipes.Load(os.DirFS(filepath.Join(built.root, "recipes")), built.distribution, "alertmanager")
	if err != nil {
		t.Fatal(err)
	}
	upstream := module.Version{Path: r.Module, Version: r.Lock.Upstream}
	m, err := built.box.Modules.One(t.Context(), upstream, r.Lock.Sums[upstream])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source, script := filepath.Join(dir, "source"), filepath.Join(built.root, "recipes", "alertmanager", "ui.mjs")
	for _, name := range []string{"index.html", "package.json", "package-lock.json", "vite.config.mjs", "public/favicon.ico"} {
		data, err := os.ReadFile(filepath.Join(m.Dir, "ui", "app", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(source, "ui", "app", filepath.FromSlash(name)), string(data))
	}
	put(t, filepath.Join(source, "ui", "app", "src", "main.js"),
		"import 'bootstrap/dist/css/bootstrap.min.css';\nimport { Elm } from './Main.elm';\nElm.Main.init({ node: document.getElementById('root') });\n")
	a, err := txtar.ParseFile(filepath.Join(built.root, "magefiles", "internal", "elm", "testdata", "tiny.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	in := webui.ElmInput{Input: webui.Input{
		Module: artifact.Module{Path: m.Path, Version: m.Version.Version}, Source: source, UI: "ui/app", Script: script,
		Host: built.box.Host, NPM: built.box.NPM, Scratch: filepath.Join(dir, "scratch"), Out: filepath.Join(dir, "out"),
		Epoch: time.Unix(1_700_000_000, 0), Require: true,
	}}
	for _, f := range a.Files {
		name, ok := strings.CutPrefix(f.Name, "app/")
		if ok {
			put(t, filepath.Join(source, "ui", "app", filepath.FromSlash(name)), string(f.Data))
			continue
		}
		put(t, filepath.Join(dir, filepath.FromSlash(f.Name)), string(f.Data))
		if id, ok := strings.CutSuffix(f.Name, "/elm.json"); ok {
			at := strings.LastIndexByte(id, '/')
			p := elm.Package{Name: id[:at], Version: id[at+1:], Dir: filepath.Join(dir, filepath.FromSlash(id))}
			in.Packages = append(in.Packages, webui.ElmPackage{Package: p, Commit: artifact.Git{Name: p.String(), Commit: strings.Repeat("0", 40)}})
		}
	}
	for _, tool := range []struct {
		into *string
		pin  func(string) (artifact.Tool, error)
		at   string
	}{{&in.Node, built.box.PinnedNode, built.distribution.Toolchains.Node[0].Version}, {&in.Compiler, built.box.PinnedElm, built.distribution.Toolchains.Elm[0].Version}} {
		pinned, err := tool.pin(tool.at)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := built.box.NPMTool(t.Context(), pinned)
		if err != nil {
			t.Fatal(err)
		}
		*tool.into = unpacked.Dir
	}
	return in
}

func put(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// An interface in Elm is compiled, bundled and compressed as upstream does, in a
// sandbox and twice with the same bytes, and it is told what is in it.
func TestElmInterface(t *testing.T) {
	in := elmInput(t)
	assets, err := webui.Elm(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var script, names []string
	for _, f := range assets.Files {
		if strings.HasSuffix(f.Name, ".js.gz") {
			script = append(script, f.Name)
		}
		name := f.Name
		if dir, base, ok := strings.Cut(name, "index-"); ok { // behind which is a hash
			name = dir + "index-" + base[strings.IndexByte(base, '.'):]
		}
		names = append(names, strings.TrimPrefix(name, "ui/app/dist/"))
	}
	if got, want := strings.Join(names, " "), "assets/index-.css.br assets/index-.css.gz assets/index-.js.br assets/index-.js.gz favicon.ico.br favicon.ico.gz index.html.br index.html.gz"; got != want || len(script) != 1 {
		t.Fatalf("built\n%s\nwant\n%s", got, want)
	}
	if code := unzipped(t, filepath.Join(assets.Dir, filepath.FromSlash(script[0]))); !strings.Contains(code, " dong") || strings.Contains(code, "\n\n") {
		t.Errorf("the script is not what was compiled, or not made small:\n%s", code)
	}
	var got []string
	for _, e := range assets.Embedded {
		got = append(got, e.PURL+" "+string(e.Evidence)+" "+strings.Join(e.Requires, " "))
	}
	want := []string{
		"pkg:elm/elm/core@1.0.0 compiler ",
		"pkg:elm/elm/virtual-dom@1.0.0 compiler pkg:elm/elm/core@1.0.0",
		"pkg:elm/tiny-bells/sound-ing@2.1.0 compiler pkg:elm/elm/core@1.0.0",
		"pkg:github/elm/compiler@0.19.1 compiler ",
		"pkg:npm/bootstrap@4.6.2 bundler ",
		"pkg:npm/vite@8.0.0 bundler ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("embedded are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	ui := assets.UI
	if ui.Kind != "elm" || len(ui.Commits) != 5 || len(ui.Packages) < 100 || ui.Report == nil || !ui.Report.Hermetic || len(ui.Host) == 0 {
		t.Errorf("it is said to be %s of %d commits and %d packages, %+v", ui.Kind, len(ui.Commits), len(ui.Packages), ui.Report)
	}

	// Again, elsewhere.
	again := in
	again.Scratch, again.Out = filepath.Join(t.TempDir(), "another", "scratch"), filepath.Join(t.TempDir(), "out")
	second, err := webui.Elm(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(second.Files, assets.Files) {
		t.Errorf("a second time the files are %v, not %v", second.Files, assets.Files)
	}
	if held, err := os.ReadDir(again.Scratch); err != nil || len(held) > 0 {
		t.Errorf("left behind: %v, %v", held, err)
	}
}

func unzipped(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(gz)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestElmInterfaceRefuses(t *testing.T) {
	in := elmInput(t)
	app := filepath.Join(in.Source, "ui", "app")
	for name, test := range map[string]struct {
		file, old, new string
		change         func(in *webui.ElmInput)
		want           error
		says           string
	}{
		"a package more": {"elm.json", `"elm/core": "1.0.0",`, `"elm/core": "1.0.0", "elm/url": "1.0.0",`, nil, webui.ErrElmLock, "elm.json names elm/url@1.0.0"},
		"another version": {"elm.json", `"tiny-bells/unused": "1.0.0"`, `"tiny-bells/unused": "1.0.1"`, nil, webui.ErrElmLock,
			"elm.json does not name tiny-bells/unused@1.0.0; elm.json names tiny-bells/unused@1.0.1"},
		"a package that is another": {change: func(in *webui.ElmInput) { in.Packages[0].Dir = in.Packages[1].Dir }, want: elm.ErrMalformed, says: "package elm/core@1.0.0"},
		"what does not compile":     {"src/Main.elm", "Sound.Ing.ding", "Sound.Ing.dong", nil, nil, "Sound.Ing.dong"},
		"a build that was changed":  {"package.json", `"build": "vite build"`, `"build": "vite build && curl example.org"`, nil, nil, "upstream changed how the interface is built: package.json runs"},
		"one with a hook":           {"package.json", `"build": "vite build"`, `"prebuild": "true", "build": "vite build"`, nil, nil, "a script prebuild"},
		"plugins that were changed": {"vite.config.mjs", "elm(),", "elm({ debug: false }),", nil, nil, "vite.config.mjs has sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := in
			changed.Packages = slices.Clone(in.Packages)
			changed.Scratch, changed.Out = filepath.Join(t.TempDir(), "scratch"), filepath.Join(t.TempDir(), "out")
			if test.file != "" {
				full := filepath.Join(app, filepath.FromSlash(test.file))
				before, err := os.ReadFile(full)
				if err != nil {
					t.Fatal(err)
				}
				defer put(t, full, string(before))
				if !strings.Contains(string(before), test.old) {
					t.Fatalf("%s does not hold %q", test.file, test.old)
				}
				put(t, full, strings.Replace(string(before), test.old, test.new, 1))
			}
			if test.change != nil {
				test.change(&changed)
			}
			_, err := webui.Elm(t.Context(), changed)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got  %v\nwant %v %q", err, test.want, test.says)
			}
			if held, err := os.ReadDir(changed.Scratch); err != nil && !errors.Is(err, fs.ErrNotExist) || len(held) > 0 {
				t.Errorf("left behind: %v, %v", held, err)
			}
		})
	}
}
