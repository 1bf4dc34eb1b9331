package webui

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// A workspace is one that was installed and built, and the report of it.
type workspace struct {
	dir       string // where the report lies
	installed []artifact.Package
	report    report
}

// at is where pnpm puts a file of a package.
func at(pkg, file string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pkg, "@"), "@")
	if strings.HasPrefix(pkg, "@") {
		name = "@" + name
	}
	return path.Join("node_modules/.pnpm", strings.ReplaceAll(pkg, "/", "+")+"_peer@1.0.0", "node_modules", name, file)
}

const uiDir = "web/ui"

// newWorkspace has an application (app) and a library (module/lib) of its own,
// and these packages:
//
//	@s/view 1.0.0   script and style, imports state through barrel, and dead
//	barrel 1.0.0    nothing of it is written
//	state 1.0.0     imports view back
//	dead 1.0.0      read, and left out
//	vite 8.0.0, rolldown 1.0.0   the bundler
//	other 2.0.0     installed, and not read
func newWorkspace(t testing.TB) *workspace {
	t.Helper()
	w := &workspace{dir: t.TempDir()}
	for _, p := range []string{"@s/view@1.0.0", "barrel@1.0.0", "dead@1.0.0", "other@2.0.0", "rolldown@1.0.0", "state@1.0.0", "vite@8.0.0"} {
		i := strings.LastIndexByte(p, '@')
		w.installed = append(w.installed, artifact.Package{Name: p[:i], Version: p[i+1:], Integrity: "sha512-of-" + p})
		w.write(t, at(p, "package.json"), fmt.Sprintf(`{"name": %q, "version": %q}`, p[:i], p[i+1:]))
	}
	for name, text := range map[string]string{
		"app/package.json":                          `{"name": "@own/app", "version": "3.0.0"}`,
		"app/dist/esm/package.json":                 `{"type": "module"}`, // without a name: app's still
		"module/lib/package.json":                   `{"name": "@own/lib", "version": "3.0.0"}`,
		at("@s/view@1.0.0", "styles.css"):           ".view { color: red }",
		at("@s/view@1.0.0", "deep/er/package.json"): `{"type": "module"}`,
		"static/app/index.html":                     "<html>",
		"static/app/assets/index.js":                "script",
		"static/app/assets/index.css":               "style",
		"static/app/assets/view.svg":                "<svg>",
		"static/app/assets/" + licenceList:          licenceText("state", "1.0.0", "@s/view", "1.0.0", "@own/lib", "3.0.0"),
	} {
		w.write(t, name, text)
	}
	view := at("@s/view@1.0.0", "deep/er/index.js")
	w.report = report{
		Modules: []reportModule{
			{"app/index.html", true, 1, []string{"app/src/main.tsx", "\x00vite/modulepreload-polyfill.js"}},
			{"app/src/main.tsx", true, 10, []string{view, at("@s/view@1.0.0", "styles.css"), "module/lib/dist/index.js"}},
			{"app/dist/esm/a.js", true, 10, nil},
			{"module/lib/dist/index.js", true, 10, []string{at("state@1.0.0", "index.js")}},
			{view, true, 10, []string{at("barrel@1.0.0", "index.js"), at("dead@1.0.0", "index.js")}},
			{at("@s/view@1.0.0", "styles.css"), true, 0, nil},
			{at("barrel@1.0.0", "index.js"), true, 0, []string{at("barrel@1.0.0", "index.js"), at("state@1.0.0", "index.js")}},
			{at("state@1.0.0", "index.js"), true, 10, []string{view, "\x00rolldown/runtime.js"}},
			{at("dead@1.0.0", "index.js"), false, 0, nil},
			{"\x00vite/modulepreload-polyfill.js", true, 10, nil},
			{"\x00rolldown/runtime.js", true, 10, nil},
			{"__vite-browser-external", false, 0, nil},
		},
		Files: []reportFile{
			{"static/app/assets/index.js", true, nil},
			{"static/app/assets/index.css", false, []string{"app/index.html"}},
			{"static/app/assets/view.svg", false, []string{at("@s/view@1.0.0", "img/view.svg")}},
			{"static/app/index.html", false, []string{"app/index.html"}},
		},
	}
	return w
}

func licenceText(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "Name: %s\nVersion: %s\nLicense: MIT\nLicense Text:\n===\n\nName: of nobody\n\n---\n\n", pairs[i], pairs[i+1])
	}
	return b.String()
}

func (w *workspace) write(t testing.TB, name, text string) {
	t.Helper()
	if err := writeBytes(filepath.Join(w.dir, uiDir), name, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (w *workspace) root(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(filepath.Join(w.dir, uiDir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// embedded is what a build that ended like this says.
func (w *workspace) embedded(t testing.TB) ([]artifact.Embedded, error) {
	t.Helper()
	data, err := json.Marshal(w.report)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeBytes(w.dir, reportName, data); err != nil {
		t.Fatal(err)
	}
	b := &pnpmBuild{build: &build{Input: Input{Module: artifact.Module{Path: "example.org/p"}, UI: uiDir}, work: w.dir}}
	return b.embedded(w.installed)
}

func TestEmbedded(t *testing.T) {
	all, err := newWorkspace(t).embedded(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.PURL+" -> "+strings.Join(e.Requires, " "))
		if e.Evidence != artifact.ByBundler || e.In != "example.org/p" || e.Integrity != "sha512-of-"+e.Name+"@"+e.Version || len(e.Files) > 0 || e.Note != "" {
			t.Errorf("said of %s: %+v", e.PURL, e)
		}
	}
	want := []string{
		"pkg:npm/%40s/view@1.0.0 -> pkg:npm/state@1.0.0",
		"pkg:npm/rolldown@1.0.0 -> ",
		"pkg:npm/state@1.0.0 -> pkg:npm/%40s/view@1.0.0 pkg:npm/rolldown@1.0.0",
		"pkg:npm/vite@8.0.0 -> ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is there for its style or its picture alone is there.
func TestEmbeddedByStyleAndAsset(t *testing.T) {
	w := newWorkspace(t)
	w.report.Modules[8].ID, w.report.Modules[8].Bundled = at("dead@1.0.0", "a.css?inline"), true
	w.report.Modules[4].Imports = nil
	w.write(t, at("dead@1.0.0", "a.css"), "a {}")
	w.report.Files[2].From = []string{at("other@2.0.0", "view.svg")}
	all, err := w.embedded(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, purl := range []string{"pkg:npm/dead@1.0.0", "pkg:npm/other@2.0.0"} {
		if !slices.ContainsFunc(all, func(e artifact.Embedded) bool { return e.PURL == purl }) {
			t.Errorf("%s is missing in %+v", purl, all)
		}
	}
}

func TestEmbeddedRefuses(t *testing.T) {
	id := func(id string) func(*workspace) {
		return func(w *workspace) { w.report.Modules = append(w.report.Modules, reportModule{ID: id}) }
	}
	style := func(text string) func(*workspace) {
		return func(w *workspace) { w.write(t, at("@s/view@1.0.0", "styles.css"), text) }
	}
	list := func(text string) func(*workspace) {
		return func(w *workspace) { w.write(t, "static/app/assets/"+licenceList, text) }
	}
	for name, tt := range map[string]struct {
		want string
		do   func(*workspace)
	}{
		"unknown helper":          {"nor known to come from the bundler", id("\x00commonjsHelpers.js")},
		"helper of a file":        {"nor known to come from the bundler", id("\x00/work/web/ui/app/a.js?commonjs")},
		"another scheme":          {"nor known to come from the bundler", id("data:text/javascript,1")},
		"outside the workspace":   {"nor known to come from the bundler", id("../../node/lib/a.js")},
		"absolute":                {"nor known to come from the bundler", id("/etc/passwd")},
		"the workspace itself":    {"nor known to come from the bundler", id("?x")},
		"climbing":                {"nor known to come from the bundler", id("app/../../a.js")},
		"in no package":           {"lies in no package", id("app2/a.js")},
		"not pnpm's folder":       {"no folder where pnpm installs", id("node_modules/state/index.js")},
		"package's own modules":   {"no folder where pnpm installs", id("app/node_modules/state/index.js")},
		"the virtual store":       {"no folder where pnpm installs", id("node_modules/.pnpm/lock.yaml")},
		"a folder, not a package": {"no folder where pnpm installs", id("node_modules/.pnpm/a@1.0.0/node_modules/a")},
		"scope without a package": {"no folder where pnpm installs", id("node_modules/.pnpm/a@1.0.0/node_modules/@a/a.js")},
		"not installed":           {"lies in no package", id(at("nobody@1.0.0", "a.js"))},
		"carried along": {"hidden@1.0.0, which is not in the lock file", func(w *workspace) {
			inner := at("state@1.0.0", "node_modules/hidden/")
			w.write(t, inner+"/package.json", `{"name": "hidden", "version": "1.0.0"}`)
			id(inner + "/a.js")(w)
		}},
		"another version": {"state@6.6.6, which is not in the lock file", func(w *workspace) {
			w.write(t, at("state@1.0.0", "package.json"), `{"name": "state", "version": "6.6.6"}`)
		}},
		"two bundlers": {"2 versions are installed", func(w *workspace) {
			w.installed = append(w.installed, artifact.Package{Name: "vite", Version: "9.0.0"})
		}},
		"no bundler": {"0 versions are installed", func(w *workspace) {
			w.installed = slices.DeleteFunc(w.installed, func(p artifact.Package) bool { return p.Name == "rolldown" })
		}},
		"an asset of nobody": {"lies in no package", func(w *workspace) { w.report.Files[2].From = []string{at("nobody@1.0.0", "a.svg")} }},
		"a file unspoken of": {"of built file static/app/more.wasm it says nothing", func(w *workspace) { w.write(t, "static/app/more.wasm", "") }},
		"a file not built": {"which was not built", func(w *workspace) {
			w.report.Files = append(w.report.Files, reportFile{Name: "static/b.js", Chunk: true})
		}},
		"a file elsewhere":     {"of built file static/app/assets/index.js it says nothing", func(w *workspace) { w.report.Files[0].Name = "app/index.js" }},
		"style takes in style": {"takes in another", style(`@import "../other/a.css";`)},
		"in other capitals":    {"takes in another", style(`@IMPORT url(a.css);`)},
		"style takes in parts": {"takes in another", style(`.a { composes: b c from "./b.css"; }`)},
		"style in another form": {"language whose imports", func(w *workspace) {
			w.report.Modules[5].ID = at("@s/view@1.0.0", "a.scss")
			w.report.Modules[1].Imports = nil
		}},
		"style that is gone": {"no such file", func(w *workspace) {
			w.report.Modules[5].ID = at("@s/view@1.0.0", "b.css")
			w.report.Modules[1].Imports = nil
		}},
		"list names another":  {"lists other@2.0.0", list(licenceText("state", "1.0.0", "other", "2.0.0"))},
		"list names the dead": {"lists dead@1.0.0", list(licenceText("dead", "1.0.0"))},
		"list of old":         {"lists state@0.9.0", list(licenceText("state", "0.9.0"))},
		"empty list":          {"lists no package", list("")},
		"two lists":           {"it says nothing", func(w *workspace) { w.write(t, "static/b/"+licenceList, "") }},
		"no list": {"upstream's build left no", func(w *workspace) {
			if err := os.Remove(filepath.Join(w.dir, uiDir, "static/app/assets", licenceList)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t)
			tt.do(w)
			all, err := w.embedded(t)
			if !errors.Is(err, ErrReport) || !strings.Contains(fmt.Sprint(err), tt.want) || all != nil {
				t.Errorf("got %d packages, error %v; want ErrReport with %q", len(all), err, tt.want)
			}
		})
	}
}

// A build that leaves no report, or a link where it is to lie, is refused.
func TestEmbeddedWithoutReport(t *testing.T) {
	w := newWorkspace(t)
	b := &pnpmBuild{build: &build{Input: Input{UI: uiDir}, work: w.dir}}
	if _, err := b.embedded(w.installed); !errors.Is(err, ErrReport) {
		t.Errorf("without a report: %v", err)
	}
	elsewhere := filepath.Join(t.TempDir(), "report")
	if err := os.WriteFile(elsewhere, []byte(goodReport), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(w.dir, reportName)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.embedded(w.installed); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("report that is a link: %v", err)
	}
}
