package command

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/attest"
	"palisade/magefiles/internal/audit"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/release"
	"palisade/patches"
	"palisade/recipes"
)

// accounted holds what was assembled against the plan before any of it is unpacked:
// its index has every cell and every image of the plan and nothing else, and each
// file is one that the index accounts for, with the digest that it has there. The
// snapshot of the database is bounded where it is read.
func (r *signatory) accounted() error {
	if err := r.plan.Whole(*r.manifest); err != nil {
		return err
	}
	for _, a := range r.manifest.Artifacts {
		if err := documented(a); err != nil {
			return err
		}
	}
	known := assembledFiles(r.manifest)
	there := map[string]artifact.File{}
	for _, f := range r.assembled.Header().Files {
		if !known(f.Name) {
			return fmt.Errorf("%w: %.200q, in what release:assemble handed over: assemble it anew", release.ErrForeign, f.Name)
		}
		there[f.Name] = f
	}
	for _, want := range demanded(r.manifest) {
		f, ok := there[path.Join(handedDist, want.Name)]
		if !ok {
			return fmt.Errorf("%w: %s, in what release:assemble handed over: assemble it anew", release.ErrMissing, want.Name)
		}
		if !want.Digest.IsZero() && (f.Digest != want.Digest || f.Size != want.Size) {
			return fmt.Errorf("%w: %s handed over has %d bytes and the digest %s, and %s says %d and %s: assemble it anew", release.ErrForeign, want.Name, f.Size, f.Digest, dist.Index, want.Size, want.Digest)
		}
	}
	return nil
}

// documented refuses documents of an artifact other than those that a build writes:
// one of the archive, and one of each binary.
func documented(a artifact.Record) error {
	left := []string{dist.Document(a, "")}
	for _, b := range a.Binaries {
		left = append(left, dist.Document(a, b.Name))
	}
	for _, f := range a.Documents {
		i := slices.Index(left, f.Name)
		if i < 0 {
			return fmt.Errorf("%w: %.200q is no document of %s, or there twice: build it again", release.ErrForeign, f.Name, a.Name)
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s, of %s: build it again", release.ErrMissing, left[0], a.Name)
	}
	return nil
}

// demanded are the files of dist/ that have to be there, with the digests that the
// index has of them. Of the other files that it accounts for, those of components
// that no audit knows, there may be none.
func demanded(m *artifact.Manifest) []artifact.File {
	files := []artifact.File{{Name: dist.Index}, {Name: dist.Sums}, {Name: releases.NotesName}}
	for _, a := range m.Artifacts {
		files = append(append(files, dist.Beside(a)...), artifact.File{Name: dist.VEX(a)})
		if slices.Contains(audit.Components(), a.Component) {
			files = append(files, artifact.File{Name: dist.TestResult(a)})
		}
	}
	for _, i := range m.Images {
		files = append(files, dist.BesideImage(i)...)
	}
	return files
}

// held holds every artifact and image against this checkout.
func (r *signatory) held(ctx context.Context, work *os.Root) error {
	d, recipe, err := r.recipes()
	if err != nil {
		return err
	}
	root, err := work.OpenRoot(handedDist)
	if err != nil {
		return err
	}
	defer root.Close()
	inPatches := os.DirFS(filepath.Join(r.config.Root, "patches"))
	series := func(name, version string) (patches.Series, error) { return patches.Load(inPatches, name, version) }
	for _, a := range r.manifest.Artifacts {
		rec, err := recipe(a.Component)
		if err == nil {
			err = attest.Hold(a, rec, d, series)
		}
		if err == nil {
			err = attest.Inside(ctx, root, a)
		}
		if err != nil {
			return err
		}
	}
	for _, i := range r.manifest.Images {
		rec, err := recipe(i.Component)
		if err == nil {
			err = attest.HoldImage(i, rec, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recipes are those of this checkout, each read once.
func (r *signatory) recipes() (*recipes.Distribution, func(component string) (*recipes.Recipe, error), error) {
	fsys := os.DirFS(filepath.Join(r.config.Root, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	known := map[string]*recipes.Recipe{}
	return d, func(component string) (*recipes.Recipe, error) {
		if rec := known[component]; rec != nil {
			return rec, nil
		}
		rec, err := recipes.Load(fsys, d, component)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", attest.ErrObserved, err)
		}
		known[component] = rec
		return rec, nil
	}, err
}
