package webui

import (
	"errors"
	"strings"
	"testing"
)

const goodReport = `{"modules": [
	{"id": "app/main.js", "bundled": true, "bytes": 9, "imports": ["app/style.css", "\u0000vite/preload-helper.js"]},
	{"id": "app/style.css", "bundled": true, "bytes": 0, "imports": []},
	{"id": "app/types.js", "bundled": true, "bytes": 0, "imports": []},
	{"id": "\u0000vite/preload-helper.js", "bundled": false, "bytes": 0, "imports": null}
], "files": [
	{"name": "static/main.js", "chunk": true, "from": []},
	{"name": "static/main.css", "chunk": false, "from": ["app/main.js"]}
]}`

func TestReadReport(t *testing.T) {
	r, err := readReport([]byte(goodReport))
	if err != nil || len(r.Modules) != 4 || len(r.Files) != 2 {
		t.Fatalf("got %+v, %v", r, err)
	}
	// A style sheet goes into a file of its own; what is left of script is told in bytes.
	for i, want := range []bool{true, true, false, false} {
		if got := r.Modules[i].written(); got != want {
			t.Errorf("%q is written: %v, want %v", r.Modules[i].ID, got, want)
		}
	}
}

func TestReadReportRefuses(t *testing.T) {
	module := func(fields string) string { return `{"modules": [{` + fields + `}], "files": []}` }
	file := func(fields string) string { return `{"modules": [], "files": [{` + fields + `}]}` }
	for name, text := range map[string]string{
		"nothing":               "",
		"no JSON":               "modules",
		"a list":                "[]",
		"two values":            goodReport + "{}",
		"an unknown key":        `{"modules": [], "files": [], "more": 1}`,
		"an unknown field":      module(`"id": "a", "code": ""`),
		"no id":                 module(`"id": "", "bundled": true`),
		"a long id":             module(`"id": "` + strings.Repeat("a", maxID+1) + `"`),
		"a module twice":        `{"modules": [{"id": "a"}, {"id": "a"}], "files": []}`,
		"negative bytes":        module(`"id": "a", "bundled": true, "bytes": -1`),
		"bytes of no chunk":     module(`"id": "a", "bytes": 1`),
		"fractions of bytes":    module(`"id": "a", "bundled": true, "bytes": 0.5`),
		"an unknown import":     module(`"id": "a", "imports": ["b"]`),
		"a file without a name": file(`"name": "", "chunk": true`),
		"a file twice":          `{"modules": [], "files": [{"name": "a", "chunk": true}, {"name": "a", "chunk": true}]}`,
		"an asset of nothing":   file(`"name": "static/a.css", "from": []`),
		"another's script":      file(`"name": "static/worker-1.js", "from": ["app/worker.js"]`),
	} {
		if _, err := readReport([]byte(text)); !errors.Is(err, ErrReport) {
			t.Errorf("%s: error %v, want ErrReport", name, err)
		}
	}
	big := strings.Repeat(" ", maxReport) + goodReport
	if _, err := readReport([]byte(big)); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("beyond its bound: %v", err)
	}
	many := `{"modules": [` + strings.Repeat(`{"id": ""},`, maxModules) + `{"id": ""}], "files": []}`
	if _, err := readReport([]byte(many)); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too many modules: %v", err)
	}
}

func TestStyleOf(t *testing.T) {
	for id, want := range map[string]style{
		"a/b.css": css, "a/b.module.css?inline": css, "a/b.scss": otherStyle, "a/b.less?used": otherStyle,
		"a/b.js": noStyle, "a/b.js?x=.css": noStyle, "css": css, "\x00a": noStyle, "": noStyle,
	} {
		// A file that is called css alone is read as one: rather too much than too little.
		if got := styleOf(id); got != want {
			t.Errorf("%q is of style %v, want %v", id, got, want)
		}
	}
}

// FuzzReadReport: a report is taken whole or refused, and what is taken can be
// attributed or is refused, without reading outside the workspace.
func FuzzReadReport(f *testing.F) {
	f.Add([]byte(goodReport))
	f.Add([]byte(`{"modules": [{"id": "../../../etc/passwd", "bundled": true, "bytes": 1}], "files": []}`))
	f.Add([]byte(`{"modules": [{"id": "node_modules/.pnpm/a@1.0.0/node_modules/a/../../../../b.css", "bundled": true}], "files": [{"name": "a", "from": ["/etc/passwd"]}]}`))
	w := newWorkspace(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readReport(data)
		if err != nil {
			if !errors.Is(err, ErrReport) {
				t.Errorf("error %v is not an ErrReport", err)
			}
			return
		}
		o := newOwners(w.root(t), w.installed, pnpmDir)
		packages, requires, err := o.attribute(r)
		if err != nil {
			if !errors.Is(err, ErrReport) {
				t.Errorf("error %v is not an ErrReport", err)
			}
			return
		}
		for from, to := range requires {
			for p := range to {
				if !packages[from] || !packages[p] || from == p {
					t.Errorf("edge %v -> %v, of %v", from, p, packages)
				}
			}
		}
		for p := range packages {
			if _, ok := o.installed[p.Name+"@"+p.Version]; !ok {
				t.Errorf("package %v was never installed", p)
			}
		}
	})
}
