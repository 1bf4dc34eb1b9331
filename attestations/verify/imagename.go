package verify

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// A calling is what an image is called by, as far as that says which it is.
// The zero calling says nothing.
type calling struct{ component, tag string }

// calledBy is what HOST/…/COMPONENT:TAG says of an image. With a digest behind
// it nobody is asked what the tag names.
func calledBy(name string) calling {
	if strings.Contains(name, "@") {
		return calling{}
	}
	component, tag, _ := strings.Cut(path.Base(name), ":")
	return calling{component, tag}
}

// means refuses an image that is another than the reference says.
func (r calling) means(e provenance.ImageExternal) error {
	switch {
	case r == calling{}:
		return nil
	case r.component != e.Component:
		return fmt.Errorf("%w: it is an image of %s, and is called %.100q: if that is what you want, name it by its digest", ErrRecord, e.Component, r.component)
	case r.tag != e.Version && isVersion(r.tag):
		return fmt.Errorf("%w: it is version %s, and is called %.130q: if that is what you want, name it by its digest", ErrRecord, e.Version, r.tag)
	}
	return nil
}

// isVersion reports whether a tag is a version in full: 3.15.0-palisade.1, but not
// 3.15 or latest, which move.
func isVersion(tag string) bool { return semver.Canonical("v"+tag) == "v"+tag }

// believed are the bundles that were, each called by what it is attached to.
func (v *imageVerifier) believed() []intoto.Resource {
	var all []intoto.Resource
	for _, d := range slices.SortedFunc(maps.Keys(v.inputs), func(a, b artifact.Digest) int { return strings.Compare(v.inputs[a]+a.Hex(), v.inputs[b]+b.Hex()) }) {
		all = append(all, intoto.Resource{Name: v.inputs[d], Digest: intoto.Digests{"sha256": d.Hex()}, MediaType: bundle.MediaType})
	}
	return all
}

// summed is what a summary is of, and about: the index, and the manifest of each
// platform, as their provenance calls them.
func (v *imageVerifier) summed() (resource string, subjects []intoto.Subject) {
	component := v.made[0].BuildDefinition.ExternalParameters.Component
	subjects = append(subjects, subjectOf(component, v.digest))
	for _, i := range v.index.Images {
		subjects = append(subjects, subjectOf(component+"/"+i.Platform.Slug(), i.Digest))
	}
	return ImageURI(component, v.digest), subjects
}
