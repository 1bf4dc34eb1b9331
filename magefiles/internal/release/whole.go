package release

import (
	"fmt"
	"slices"

	"palisade/attestations/artifact"
)

// Whole refuses a release that is not the plan's: every cell has to be there once,
// of the plan's version and recipe, every image once, of the plan's platforms, and
// nothing else.
func (p Plan) Whole(m artifact.Manifest) error {
	if m.Distribution != p.Distribution {
		return fmt.Errorf("%w: release.json is of %.80q, and the plan of %q: assemble it anew", ErrForeign, m.Distribution, p.Distribution)
	}
	there := map[string]string{} // names, by key of the cell
	for _, r := range m.Artifacts {
		c, ok := p.cellOf(r)
		if !ok {
			return fmt.Errorf("%w: %.200q: the plan does not have it: assemble it anew", ErrForeign, r.Name)
		}
		if _, err := p.accept(r, c.Shard); err != nil {
			return err
		}
		if other, ok := there[key(c)]; ok {
			return fmt.Errorf("%w: %s and %s are both %s: assemble it anew", ErrDouble, other, r.Name, c)
		}
		there[key(c)] = r.Name
	}
	if err := p.complete(func(c Cell) bool { return there[key(c)] != "" }); err != nil {
		return err
	}
	return p.wholeImages(m, there)
}

// wholeImages holds the images, which are made of the artifacts with these names.
func (p Plan) wholeImages(m artifact.Manifest, artifacts map[string]string) error {
	there := make([]bool, len(p.Images))
	for _, i := range m.Images {
		at := slices.IndexFunc(p.Images, func(want Image) bool { return want.Component == i.Component && want.Variant == i.Variant })
		if at < 0 {
			return fmt.Errorf("%w: image %.200q: the plan does not have it: assemble it anew", ErrForeign, i.Name)
		}
		if there[at] {
			return fmt.Errorf("%w: the %s image of %s, the second time as %.200q: assemble it anew", ErrDouble, i.Variant, i.Component, i.Name)
		}
		there[at] = true
		if err := p.wholeImage(i, p.Images[at], artifacts); err != nil {
			return err
		}
	}
	if at := slices.Index(there, false); at >= 0 {
		return fmt.Errorf("%w: the %s image of %s: assemble it anew", ErrMissing, p.Images[at].Variant, p.Images[at].Component)
	}
	return nil
}

func (p Plan) wholeImage(i artifact.Image, want Image, artifacts map[string]string) error {
	var platforms []artifact.Platform
	for _, image := range i.Platforms {
		c, ok := p.cellOf(artifact.Record{Component: i.Component, Platform: image.Platform, Variant: i.Variant})
		if !ok || !slices.Contains(want.Platforms, image.Platform) {
			return fmt.Errorf("%w: image %.200q for %s: the plan does not have it: assemble it anew", ErrForeign, i.Name, image.Platform)
		}
		if i.Version != c.Version || image.Artifact != artifacts[key(c)] {
			return fmt.Errorf("%w: image %.200q for %s: it is version %.80q made of %.200q, and the plan has %s of %s: assemble it anew", ErrForeign, i.Name, image.Platform, i.Version, image.Artifact, c.Version, artifacts[key(c)])
		}
		platforms = append(platforms, image.Platform)
	}
	slices.SortFunc(platforms, comparePlatforms)
	if !slices.Equal(platforms, want.Platforms) {
		return fmt.Errorf("%w: image %.200q is for %v, and the plan has %v: assemble it anew", ErrMissing, i.Name, platforms, want.Platforms)
	}
	return nil
}
