package stories

import (
	"os"
	"path/filepath"
	"testing"

	"palisade/magefiles/internal/source"
	"palisade/patches"
	"palisade/recipes"
)

// Every series applies to what upstream released, for each variant and each kind of
// web interface, whichever of them the recipe takes.
func TestSeriesApply(t *testing.T) {
	if built.skip != "" {
		t.Skip(built.skip)
	}
	from, series := os.DirFS(filepath.Join(built.root, "recipes")), os.DirFS(filepath.Join(built.root, "patches"))
	names, err := recipes.Names(from)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, name := range names {
		r, err := recipes.Load(from, built.distribution, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range r.Patches {
			m, _ := r.Lock.Find(path) // Load saw to it
			all, err := patches.Load(series, recipes.ShortName(path), m.Version)
			if err != nil {
				t.Fatal(err)
			}
			upstream, err := built.box.Modules.One(t.Context(), m, r.Lock.Sums[m])
			if err != nil {
				t.Fatal(err)
			}
			for _, variant := range recipes.Variants() {
				for _, kind := range []string{"", recipes.BundleUI, recipes.ElmUI, recipes.PnpmUI} {
					some, id := all.For(variant, kind), m.String()
					for _, p := range some.Patches {
						id += " " + p.Name
					}
					if tried[id] || len(some.Patches) == 0 {
						continue
					}
					tried[id] = true
					if err := source.Unpack(t.TempDir(), upstream, some); err != nil {
						t.Errorf("%s, with an interface of kind %q: %v", variant, kind, err)
					}
				}
			}
		}
	}
	if len(tried) < 6 { // the toolkit's, four of a component's own, and those of alertmanager in three ways
		t.Errorf("tried were %v", tried)
	}
}
