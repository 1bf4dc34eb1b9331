package gobuild

import (
	"io/fs"
	"slices"
	"strings"

	"palisade/recipes"
)

// A Place is a file of an archive, before there is one: a binary, a member that
// the recipe names, or the texts of licences.
type Place struct {
	Name   string         // below the archive's folder
	Mode   fs.FileMode    // 0755 of a binary, 0644 of all else
	Binary bool           // what it holds was compiled
	Member recipes.Member // where it comes from; zero of a binary and of the texts
}

// Layout is what the archive of r for a target is called, which one folder it has,
// and what lies there: the binaries by name, then what the recipe names, then the
// texts. Whoever packs and whoever holds what was packed read the same list.
func Layout(r *recipes.Recipe, d *recipes.Distribution, t Target) (name, folder string, places []Place) {
	folder = r.Name + "-" + r.FullVersion(d, t.Variant) + "." + t.Platform.Slug()
	name = folder + ".tar.gz"
	if t.Platform.OS == "windows" {
		name = folder + ".zip"
	}
	for _, b := range r.Binaries {
		places = append(places, Place{Name: fileName(b.Name, t), Mode: 0o755, Binary: true})
	}
	slices.SortFunc(places, func(a, b Place) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range r.Members(t.Platform, t.Variant) {
		places = append(places, Place{Name: m.As, Mode: 0o644, Member: m})
	}
	return name, folder, append(places, Place{Name: recipes.TextsName, Mode: 0o644})
}
