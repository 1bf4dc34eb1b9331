package attest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
	"palisade/recipes"
)

// A member is what a build puts into an archive under a name.
type member struct {
	mode   string
	digest artifact.Digest // zero of what only who builds it again can tell
	from   string          // for people
}

// members holds what an archive carries against what a build of the recipe packs:
// the binaries, the files that recipe.yaml names, and the texts of the licences; each
// once, with its mode, and nothing else. That is how package pipeline packs them.
func members(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution) error {
	folder := fmt.Sprintf("%s-%s.%s", rec.Name, rec.FullVersion(d, r.Variant), r.Platform.Slug())
	name := folder + ".tar.gz"
	if r.Platform.OS == "windows" {
		name = folder + ".zip"
	}
	if err := same("its file name", r.Name, name); err != nil {
		return err
	}
	want, err := packed(r, rec)
	if err != nil {
		return err
	}
	for _, f := range r.Members {
		var m member
		as := ""
		for name := range want {
			if f.Name == folder+"/"+name {
				as, m = name, want[name]
			}
		}
		switch {
		case as == "":
			return fmt.Errorf("its archive holds %.200q, or holds that twice, which the recipe does not put there", f.Name)
		case f.Mode != m.mode:
			return fmt.Errorf("its %s has mode %.10q, here it has %s", as, f.Mode, m.mode)
		case !m.digest.IsZero() && f.Digest != m.digest:
			return fmt.Errorf("its %s is not the one of %s", as, m.from)
		}
		delete(want, as)
	}
	if len(want) > 0 {
		return fmt.Errorf("its archive does not hold %q", slices.Sorted(maps.Keys(want)))
	}
	return nil
}

// packed are the members of the archive of an artifact, by name in its folder.
func packed(r artifact.Record, rec *recipes.Recipe) (map[string]member, error) {
	plain, program := fmt.Sprintf("%04o", unpack.PlainMode), fmt.Sprintf("%04o", unpack.ProgramMode)
	all := map[string]member{recipes.TextsName: {mode: plain}}
	for _, b := range r.Binaries {
		all[b.Name] = member{program, b.Digest, "the record"}
	}
	for _, m := range rec.Members(r.Platform, r.Variant) {
		is := member{mode: plain}
		if m.Own != "" {
			data, err := fs.ReadFile(rec.Dir, m.Own)
			if err != nil {
				return nil, err
			}
			is.digest, is.from = artifact.DigestBytes(data), fmt.Sprintf("recipes/%s/%s", rec.Name, m.Own)
		}
		all[m.As] = is
	}
	return all, nil
}
