package provenance

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// ImageBuildType identifies how "mage image" makes a container image of
// archives: attestations/predicates/image.md.
const ImageBuildType = "https://palisade.example/predicates/image/v1"

// The roles of an image's dependencies, beside RoleRepository. The annotation
// "platform" of an archive and a document says for which they are.
const (
	RoleArchive  Role = "archive"  // whose files an image holds
	RoleDocument Role = "document" // the SPDX document of that archive, which the image holds too
	RoleRoots    Role = "roots"    // the module whose certificates it holds
)

const platform = "platform" // key of an annotation

// An Image is the provenance of an image, as ParseImage read it.
type Image struct {
	Subject         []intoto.Subject `json:"-"`
	BuildDefinition ImageDefinition  `json:"buildDefinition"`
	RunDetails      RunDetails       `json:"runDetails"`
}

// An ImageDefinition is the input to the making of an image.
type ImageDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   ImageExternal     `json:"externalParameters"`
	InternalParameters   ImageInternal     `json:"internalParameters"`
	ResolvedDependencies []intoto.Resource `json:"resolvedDependencies"` // sorted by URI, then by name
}

// ImageExternal is what a user may choose, and nothing else.
type ImageExternal struct {
	Component    string              `json:"component"`
	Distribution artifact.Digest     `json:"distribution"` // of recipes/distribution.yaml
	Platforms    []artifact.Platform `json:"platforms"`    // in the order of the index
	Recipe       artifact.Digest     `json:"recipe"`       // of every file of the recipe, as the archives' records have it
	Variant      string              `json:"variant"`
	Version      string              `json:"version"` // ours: 3.15.0-palisade.1
}

// ImageInternal is what the builder set.
type ImageInternal struct {
	Cache           Cache     `json:"cache"`
	SourceDateEpoch int64     `json:"sourceDateEpoch"`
	Workflow        *Workflow `json:"workflow,omitempty"` // as of an artifact
}

// ImageSubjects are what every statement about i is about, by the names that
// it has there: the file, the index under the component's name, and the image
// of each platform as component/linux-amd64.
func ImageSubjects(i artifact.Image) []intoto.Subject {
	subjects := []intoto.Subject{{Name: i.Name, Digest: sha256Of(i.Digest)}, {Name: i.Component, Digest: sha256Of(i.Index)}}
	for _, p := range i.Platforms {
		subjects = append(subjects, intoto.Subject{Name: i.Component + "/" + p.Platform.Slug(), Digest: sha256Of(p.Manifest)})
	}
	return subjects
}

// ImageStatement is the provenance of i, which was made of these artifacts; of
// others that are among them it says nothing. It refuses (ErrInput) what it
// could not say in full.
func ImageStatement(i artifact.Image, records []artifact.Record, b Builder, run Run) (intoto.Statement, error) {
	fail := func(err error) (intoto.Statement, error) {
		return intoto.Statement{}, fmt.Errorf("writing the provenance of %s: %w: %w", i.Name, ErrInput, err)
	}
	p, err := observedImage(i, records, b, run)
	if err == nil {
		err = p.validate()
	}
	if err != nil {
		return fail(err)
	}
	predicate, err := encode(p)
	if err != nil {
		return fail(err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: p.Subject, Predicate: predicate}, nil
}

// About is s about one of its subjects alone, as a registry wants it that
// keeps a statement with each digest.
func About(s intoto.Statement, d artifact.Digest) (intoto.Statement, error) {
	for _, sub := range s.Subject {
		if sub.Digest["sha256"] == d.Hex() {
			s.Subject = []intoto.Subject{sub}
			return s, nil
		}
	}
	return intoto.Statement{}, fmt.Errorf("%w: %s is none of %s", ErrSubject, d, list(s.Subject))
}

// observedImage is the provenance as the release gives it.
func observedImage(i artifact.Image, records []artifact.Record, b Builder, run Run) (Image, error) {
	all := resolution{}
	if err := all.module(RoleRoots, i.Roots); err != nil {
		return Image{}, err
	}
	external := ImageExternal{Component: i.Component, Distribution: run.Distribution, Platforms: []artifact.Platform{}, Variant: i.Variant, Version: i.Version}
	for _, p := range i.Platforms {
		external.Platforms = append(external.Platforms, p.Platform)
		r, err := recordOf(p, records)
		if err != nil {
			return Image{}, err
		}
		if external.Recipe.IsZero() {
			external.Recipe = r.Recipe
		}
		if r.Recipe != external.Recipe {
			return Image{}, fmt.Errorf("artifact %s is of another recipe than %s: build again", r.Name, i.Platforms[0].Artifact)
		}
		if err := all.archive(p, r); err != nil {
			return Image{}, err
		}
	}
	if run.Repository != (Repository{}) {
		if err := all.repository(run.Repository); err != nil {
			return Image{}, err
		}
	}
	return Image{
		Subject: ImageSubjects(i),
		BuildDefinition: ImageDefinition{
			BuildType: ImageBuildType, ExternalParameters: external,
			InternalParameters:   ImageInternal{Cache: run.Cache, SourceDateEpoch: i.Epoch, Workflow: run.Workflow},
			ResolvedDependencies: sorted(slices.Collect(maps.Values(all))),
		},
		RunDetails: detailsOf(b, run, i.Documents),
	}, nil
}

func recordOf(p artifact.PlatformImage, records []artifact.Record) (artifact.Record, error) {
	n := slices.IndexFunc(records, func(r artifact.Record) bool { return r.Name == p.Artifact })
	if n < 0 {
		return artifact.Record{}, fmt.Errorf("artifact %s, of which the image for %s is made, is not there: build again", p.Artifact, p.Platform)
	}
	return records[n], nil
}

// archive enters an archive and its document. The image has to hold both: the
// binaries are compared by the manifest of the release, the document here.
func (all resolution) archive(p artifact.PlatformImage, r artifact.Record) error {
	if err := all.add(RoleArchive, intoto.Resource{Name: r.Name, Digest: sha256Of(r.Digest)}, platform, p.Platform.String()); err != nil {
		return err
	}
	for _, d := range r.Documents {
		if path.Dir(d.Name) != "." { // of a loose binary
			continue
		}
		held := slices.ContainsFunc(p.Layers, func(l artifact.Layer) bool {
			return slices.ContainsFunc(l.Members, func(m artifact.File) bool { return m.Digest == d.Digest })
		})
		if !held {
			return fmt.Errorf("the image for %s does not hold %s: make it again", p.Platform, d.Name)
		}
		return all.add(RoleDocument, intoto.Resource{Name: d.Name, Digest: sha256Of(d.Digest)}, platform, p.Platform.String())
	}
	return fmt.Errorf("artifact %s has no document: build again", r.Name)
}
