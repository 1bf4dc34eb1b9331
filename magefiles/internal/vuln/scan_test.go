package vuln

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// scanned looks into one binary by the database of testdata.
func scanned(t *testing.T, data []byte, edits ...[3]string) ([]Finding, string, error) {
	t.Helper()
	dir := t.TempDir()
	db, err := Snapshot(t.Context(), unpackTxtar(t, "database.txtar", filepath.Join(dir, "db"), edits...), nil,
		[]string{"stdlib", "example.org/lamp", "example.org/lamp/o", "example.org/beacon"}, filepath.Join(dir, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	binary, home := filepath.Join(dir, "binary"), filepath.Join(dir, "home")
	put(t, binary, string(data))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := Scan(t.Context(), db, binary, home)
	return found, home, err
}

func text(found []Finding) (all []string) {
	for _, f := range found {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%s %s@%s %s %s", f.ID, f.Module, f.Version, f.Level, strings.Join(f.Symbols, " ")), " "))
	}
	return all
}

// Every level, of modules that were replaced, of the main module, of the standard
// library; and nothing that was withdrawn, or is of another version or system.
func TestScan(t *testing.T) {
	std := "@" + golang(t)
	for _, tt := range []struct {
		name string
		of   variant
		want []string
	}{
		{"vanilla", vanilla, []string{
			"GO-2026-9001 example.org/lamp@v0.4.0 reachable example.org/lamp.Lamp.Light",
			"GO-2026-9002 example.org/lamp@v0.4.0 imported",
			"GO-2026-9003 example.org/lamp@v0.4.0 linked",
			"GO-2026-9004 example.org/beacon@v1.2.0 reachable example.org/beacon.main",
			"GO-2026-9005 example.org/lamp@v0.4.0 reachable example.org/lamp.New",
			"GO-2026-9009 stdlib" + std + " reachable os.File.Write",
		}},
		// A patched version counts as before the one that follows it, and upstream's
		// version of the main module counts: that a patch answered it is for a triage.
		{"hardened", hardened, []string{
			"GO-2026-9001 example.org/lamp@v0.4.1-0.palisade.1 reachable example.org/lamp.Lamp.Light",
			"GO-2026-9002 example.org/lamp@v0.4.1-0.palisade.1 imported",
			"GO-2026-9003 example.org/lamp@v0.4.1-0.palisade.1 linked",
			"GO-2026-9004 example.org/beacon@v1.2.1-0.palisade.1 reachable example.org/beacon.main",
			"GO-2026-9005 example.org/lamp@v0.4.1-0.palisade.1 reachable example.org/lamp.New",
			"GO-2026-9009 stdlib" + std + " reachable os.File.Write",
		}},
		// One dependency raised answers the advisories that its new version lacks.
		{"raised", raised, []string{
			"GO-2026-9002 example.org/lamp@v0.9.0 imported",
			"GO-2026-9004 example.org/beacon@v1.2.0 reachable example.org/beacon.main",
			"GO-2026-9009 stdlib" + std + " reachable os.File.Write",
		}},
		// The scanner looks for example.org/lamp/oil in the module example.org/lamp/o, and
		// does not find it: of 9003 it says no more than that the module is linked.
		{"nested", nested, []string{
			"GO-2026-9001 example.org/lamp@v0.5.0 reachable example.org/lamp.Lamp.Light",
			"GO-2026-9002 example.org/lamp@v0.5.0 imported",
			"GO-2026-9003 example.org/lamp@v0.5.0 reachable",
			"GO-2026-9004 example.org/beacon@v1.2.0 reachable example.org/beacon.main",
			"GO-2026-9009 stdlib" + std + " reachable os.File.Write",
			"GO-2026-9011 example.org/lamp/o@v0.1.0 reachable example.org/lamp/o.Shine",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, home, err := scanned(t, compile(t, tt.of))
			if err != nil {
				t.Fatal(err)
			}
			if got := text(found); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
				t.Errorf("the scanner left %v in its home, %v", left, err)
			}
		})
	}
}

// golang is the version of Go that compiles here.
func golang(t *testing.T) string {
	t.Helper()
	r, _ := record(t, vanilla)
	version, _, _ := strings.Cut(strings.TrimPrefix(r.Binaries[0].GoVersion, "go"), " ")
	return version
}

func TestScanOtherSystem(t *testing.T) {
	found, _, err := scanned(t, compile(t, windows))
	if err != nil || !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == "GO-2026-9007" && f.Level == Reachable && f.limited }) {
		t.Errorf("%q, %v", text(found), err)
	}
	// Of a binary without symbols every function of a linked module counts as there.
	found, _, err = scanned(t, compile(t, stripped))
	if err != nil || !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == "GO-2026-9003" && f.Level == Reachable }) {
		t.Errorf("%q, %v", text(found), err)
	}
}

func TestFinding(t *testing.T) {
	found, _, err := scanned(t, compile(t, vanilla), [3]string{"ID/GO-2026-9001.json", "Of a method", `\u001b[2KOf\n a  method`})
	if err != nil {
		t.Fatal(err)
	}
	f := found[0]
	if f.Summary != "\ufffd[2KOf a method that is in the binary" || !slices.Equal(f.Aliases, []string{"CVE-2026-90010", "GHSA-xxxx-yyyy-zzzz"}) || f.Fixed != "v0.9.0" || f.limited {
		t.Errorf("%+v", f)
	}
}

// A package belongs to the longest linked module that the entry is of, whatever the
// scanner takes it for; and what it may have missed counts as there.
func TestModuleOf(t *testing.T) {
	read := func(text string) (e entry) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	of := func(module string, packages ...string) string {
		var imports []string
		for _, p := range packages {
			imports = append(imports, `{"path":"`+p+`"}`)
		}
		return `{"package":{"name":"` + module + `"},"ecosystem_specific":{"imports":[` + strings.Join(imports, ",") + `]}}`
	}
	compiled := map[string]string{"stdlib": "1.26.8", "a.b/c": "v1.0.0", "a.b/c/d": "v1.0.0", "a.b/x": "v1.0.0"}
	for _, tt := range []struct {
		name, affected, pkg, module string
		hidden                      map[string]bool
	}{
		{"its own", of("a.b/c", "a.b/c/e"), "a.b/c/e", "a.b/c", map[string]bool{"a.b/c": false}},
		{"the root", of("a.b/c", "a.b/c"), "a.b/c", "a.b/c", map[string]bool{"a.b/c": false}},
		{"the nested one", of("a.b/c", "a.b/c/d") + "," + of("a.b/c/d", "a.b/c/d"), "a.b/c/d", "a.b/c/d", map[string]bool{"a.b/c": true, "a.b/c/d": false}},
		{"of the nested one alone", of("a.b/c/d", "a.b/c/d/e"), "a.b/c/d/e", "a.b/c/d", map[string]bool{"a.b/c/d": false, "a.b/c": false}},
		{"as the nested one begins", of("a.b/c", "a.b/c/de"), "a.b/c/de", "a.b/c", map[string]bool{"a.b/c": true}},
		{"one of two", of("a.b/c", "a.b/c/e", "a.b/c/de"), "a.b/c/e", "a.b/c", map[string]bool{"a.b/c": true}},
		{"every package", of("a.b/c"), "a.b/c/e", "a.b/c", map[string]bool{"a.b/c": true}},
		{"every package of one that has none below", of("a.b/x"), "a.b/x/y", "a.b/x", map[string]bool{"a.b/x": false}},
		{"no module of the entry", of("a.b/x", "a.b/x"), "a.b/c", "", nil},
		{"a module that begins likewise", of("a.b/c/d", "a.b/c/d"), "a.b/c/de", "", nil},
		{"a module that is not linked", of("a.b/y", "a.b/y"), "a.b/y", "", nil},
		{"the standard library", of("stdlib", "net/http"), "net/http", "stdlib", map[string]bool{"stdlib": false}},
		{"not of the standard library", of("stdlib", "net/http"), "a.b/c", "", nil},
	} {
		e := read(`{"affected":[` + tt.affected + `]}`)
		if got := e.moduleOf(tt.pkg, compiled); got != tt.module {
			t.Errorf("%s: it is of %q", tt.name, got)
		}
		for module, want := range tt.hidden {
			if got := e.hidden(module, compiled); got != want {
				t.Errorf("%s: of %s it says %v", tt.name, module, got)
			}
		}
		// Whatever module the scanner names.
		db := Database{entries: map[string]entry{"GO-2026-9001": e}}
		for _, said := range []string{"a.b/c", "a.b/c/d", "unknown", ""} {
			f, err := db.finding("GO-2026-9001", "", frame{Module: said, Package: tt.pkg}, compiled)
			if (err == nil) != (tt.module != "") || err == nil && f.Module != tt.module || err != nil && !errors.Is(err, ErrUnknown) {
				t.Errorf("%s, said to be of %q: %+v, %v", tt.name, said, f, err)
			}
		}
	}
}

// What the scanner would pass over in silence.
func TestScanRefuses(t *testing.T) {
	for name, place := range map[string]string{"another module in its place": "example.org/light v0.4.0", "a folder in its place": "../source/example.org/lamp@v0.4.1-0.palisade.1"} {
		t.Run(name, func(t *testing.T) {
			other := variant{"other", "linux", "v0.4.0", "replace example.org/lamp v0.4.0 => " + place + "\n", ""}
			if found, _, err := scanned(t, compile(t, other)); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q, %v", text(found), err)
			}
		})
	}
	t.Run("no binary", func(t *testing.T) {
		if found, _, err := scanned(t, []byte("#!/bin/sh\n")); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q, %v", text(found), err)
		}
	})
	t.Run("half a binary", func(t *testing.T) {
		data := compile(t, vanilla)
		if found, _, err := scanned(t, data[:len(data)/2]); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q, %v", text(found), err)
		}
	})
	t.Run("another snapshot", func(t *testing.T) {
		dir := t.TempDir()
		db, err := Snapshot(t.Context(), unpackTxtar(t, "database.txtar", filepath.Join(dir, "db")), nil, []string{"stdlib", "example.org/beacon"}, filepath.Join(dir, "snapshot"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "binary"), string(compile(t, vanilla)))
		if found, err := Scan(t.Context(), db, filepath.Join(dir, "binary"), dir); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%q, %v", text(found), err)
		}
	})
}

// The words of the scanner, which are of our own process, are read no less
// carefully.
func TestFindingsRefuses(t *testing.T) {
	const config = `{"config":{"protocol_version":"v1.0.0","scan_level":"symbol","scan_mode":"binary"}}`
	const sbom = `{"SBOM":{"modules":[{"path":"stdlib","version":"go1.26.8"}]}}`
	db := Database{entries: map[string]entry{"GO-2026-9001": {}}}
	compiled := map[string]string{"stdlib": "1.26.8"}
	if found, err := db.findings([]byte(config+sbom), compiled); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	for name, out := range map[string]string{
		"nothing":                 "",
		"no configuration":        sbom,
		"no modules":              config,
		"fewer modules":           config + `{"SBOM":{"modules":[]}}`,
		"another protocol":        strings.Replace(config, "v1.0.0", "v2.0.0", 1) + sbom,
		"another level":           strings.Replace(config, "symbol", "module", 1) + sbom,
		"half a message":          config + sbom + `{"finding":`,
		"a finding nowhere":       config + sbom + `{"finding":{"osv":"GO-2026-9001","trace":[]}}`,
		"a finding of no entry":   config + sbom + `{"finding":{"osv":"GO-2026-9002","trace":[{"module":"stdlib"}]}}`,
		"a finding of no module":  config + sbom + `{"finding":{"osv":"GO-2026-9001","trace":[{"module":"example.org/x"}]}}`,
		"more than anybody reads": config + sbom + strings.Repeat(`{"progress":{}}`, maxMessages),
	} {
		if found, err := db.findings([]byte(out), compiled); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

// What is said to have scanned is what is compiled in.
func TestScanner(t *testing.T) {
	data, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(m.Require, func(r *modfile.Require) bool { return r.Mod.String() == Scanner }) {
		t.Errorf("go.mod does not require %s", Scanner)
	}
	if len(m.Replace) > 0 {
		t.Errorf("go.mod replaces %v: another may scan", m.Replace)
	}
}
