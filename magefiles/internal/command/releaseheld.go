package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"palisade/magefiles/internal/attest"
	"palisade/magefiles/internal/release"
	"palisade/patches"
	"palisade/recipes"
)

// accounted refuses a release that is not that of the plan, and a hand-over with a
// file that its release.json does not account for: nothing would look at it, and all
// of it is signed.
func (r *signatory) accounted() error {
	if err := r.plan.Whole(*r.manifest); err != nil {
		return err
	}
	known := assembledFiles(r.manifest)
	for _, f := range r.assembled.Header().Files {
		if !known(f.Name) {
			return fmt.Errorf("%w: %.200q, in what release:assemble handed over: release.json does not account for it: assemble anew", release.ErrForeign, f.Name)
		}
	}
	return nil
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
