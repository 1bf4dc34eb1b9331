package reproduce

import (
	"context"
	"errors"
	"fmt"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
)

// A Target is what is to be made again: an archive or an image, by its verified
// provenance.
type Target struct {
	Name   string // for people: of the file, or the reference to an image
	Said   []Said // one at least, all of the same thing; of an image in a registry one of the index, and of each manifest
	Folder string // where its files lie, with those that are said of it; "" if they lie in none
	Attest bool   // that it was rebuilt is to be said; false of an archive that an image alone needs

	// Explain tells what changed from what was given to the file called rebuilt, for
	// people, where there is no Folder; nil if nobody can.
	Explain func(ctx context.Context, rebuilt string) ([]string, error)
}

// A Said is one verified provenance: of an archive or of an image, of which the
// other is nil.
type Said struct {
	Archive *provenance.Provenance
	Image   *provenance.Image
	Given   rebuild.Given // what has to come out

	bundle artifact.File // of a release in a folder, what it was read from
}

// Read reads a verified statement of provenance, as it was signed.
func Read(statement []byte) (said Said, err error) {
	s, err := intoto.Parse(statement)
	if err != nil {
		return Said{}, err
	}
	digest := artifact.DigestBytes(statement)
	archive, err := provenance.Parse(s)
	if err == nil {
		said.Archive = &archive
		said.Given, err = rebuild.Artifact(archive, digest)
		return said, err
	}
	if !errors.Is(err, provenance.ErrBuildType) {
		return Said{}, err
	}
	image, err := provenance.ParseImage(s)
	if err != nil {
		return Said{}, err
	}
	said.Image = &image
	said.Given, err = rebuild.Image(image, digest)
	return said, err
}

// details are what s says of one execution.
func (s Said) details() provenance.RunDetails {
	if s.Image != nil {
		return s.Image.RunDetails
	}
	return s.Archive.RunDetails
}

// repository is the state of the sources that s names.
func (s Said) repository() (provenance.Repository, bool) {
	if s.Image != nil {
		return s.Image.Repository()
	}
	return s.Archive.Repository()
}

// changes compares the definition of s with a rebuilt one.
func (s Said) changes(rebuilt Said) []Change {
	switch {
	case s.Image != nil && rebuilt.Image != nil:
		return ImageChanges(*s.Image, *rebuilt.Image)
	case s.Archive != nil && rebuilt.Archive != nil:
		return ArchiveChanges(*s.Archive, *rebuilt.Archive)
	}
	return []Change{{"what it is", "an archive or an image", "the other"}}
}

// file is the name of the archive, or of the layout of the image.
func (t Target) file() string {
	if i := t.Said[0].Image; i != nil {
		e := i.BuildDefinition.ExternalParameters
		return artifact.ImageName(e.Component, e.Version)
	}
	return t.Said[0].Archive.Subject[0].Name
}

// step makes t again.
func (t Target) step() Step {
	if i := t.Said[0].Image; i != nil {
		e := i.BuildDefinition.ExternalParameters
		return ImageStep(t.Name, e.Component, e.Platforms, e.Variant)
	}
	e := t.Said[0].Archive.BuildDefinition.ExternalParameters
	return ArchiveStep(t.Name, e.Component, e.Platform, e.Variant)
}

// archives are those of all that an image was made of.
func archives(i *provenance.Image, all []Target) ([]*provenance.Provenance, error) {
	made, err := i.Archives()
	if err != nil {
		return nil, err
	}
	var found []*provenance.Provenance
	for _, a := range made {
		p := archiveOf(a, all)
		if p == nil {
			return nil, fmt.Errorf("the provenance of %s, of which the image is made, is not known", shown(a.Name))
		}
		found = append(found, p)
	}
	return found, nil
}

func archiveOf(a provenance.Archive, all []Target) *provenance.Provenance {
	for _, t := range all {
		p := t.Said[0].Archive
		if p != nil && p.Subject[0].Name == a.Name && p.Subject[0].Digest["sha256"] == a.Digest.Hex() {
			return p
		}
	}
	return nil
}
