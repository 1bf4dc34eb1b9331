package recipes

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/patches"
)

// shipped loads every recipe of the repository.
func shipped(t *testing.T) (*Distribution, []*Recipe) {
	t.Helper()
	fsys := os.DirFS(".")
	d, err := LoadDistribution(fsys)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Names(fsys)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"alertmanager", "blackbox_exporter", "node_exporter", "prometheus", "pushgateway", "snmp_exporter"}
	for _, name := range want {
		if !slices.Contains(names, name) {
			t.Errorf("there is no recipe %s", name)
		}
	}
	var all []*Recipe
	for _, name := range names {
		r, err := Load(fsys, d, name)
		if err != nil {
			t.Error(err)
			continue
		}
		all = append(all, r)
	}
	return d, all
}

func TestShipped(t *testing.T) {
	const toolkit = "github.com/prometheus/exporter-toolkit"
	_, all := shipped(t)
	for _, r := range all {
		if m, _ := r.Lock.Find(toolkit); m.Version != "v0.20.0" {
			t.Errorf("%s requires exporter-toolkit %q", r.Name, m.Version)
		}
		// Whatever is required is locked: its files, or its go.mod alone.
		for _, m := range r.Lock.Requires {
			if r.Lock.Sums[module.Version{Path: m.Path, Version: m.Version + "/go.mod"}] == "" {
				t.Errorf("%s: go.sum has no hash of the go.mod of %s", r.Name, m)
			}
		}
	}
	// Every folder is a recipe: one without recipe.yaml would be passed over.
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		known := e.Name() == "testdata" || slices.ContainsFunc(all, func(r *Recipe) bool { return r.Name == e.Name() })
		if e.IsDir() && !known {
			t.Errorf("folder %s holds no recipe that loads", e.Name())
		}
	}
}

// tools.go keeps the lock, so it has to name the commands that are built.
func TestShippedTools(t *testing.T) {
	_, all := shipped(t)
	for _, r := range all {
		text, err := fs.ReadFile(r.Dir, "tools.go")
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), r.Name+"/tools.go", text, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		var imported, built []string
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			imported = append(imported, path)
		}
		for _, b := range r.Binaries {
			built = append(built, b.Package)
		}
		slices.Sort(imported)
		slices.Sort(built)
		if !slices.Equal(imported, built) {
			t.Errorf("%s/tools.go imports %q, but the recipe builds %q", r.Name, imported, built)
		}
	}
}

// patched.sum holds the sealed versions that recipe and patches imply, with
// their go.mod, and no other: neither one too few nor a leftover.
func TestShippedPatched(t *testing.T) {
	d, all := shipped(t)
	for _, r := range all {
		var want []string
		for _, v := range Variants() {
			for _, m := range r.Lock.Requires {
				changed := m.Path == r.Module && r.UI != nil
				if slices.Contains(r.Patches, m.Path) {
					s, err := patches.Load(os.DirFS("../patches"), ShortName(m.Path), m.Version)
					if err != nil {
						t.Fatal(err)
					}
					if len(s.Patches) == 0 {
						t.Errorf("%s names patches of %s, which has none", r.Name, m)
					}
					changed = changed || len(s.For(v).Patches) > 0
				}
				if !changed {
					continue
				}
				sealed, err := r.SealedVersion(d, m, v)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, m.Path+" "+sealed, m.Path+" "+sealed+"/go.mod")
			}
		}
		var got []string
		for m := range r.Patched {
			got = append(got, m.Path+" "+m.Version)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s/patched.sum holds\n\t%s\nwant\n\t%s\nmage lock %s writes it", r.Name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), r.Name)
		}
	}
}
