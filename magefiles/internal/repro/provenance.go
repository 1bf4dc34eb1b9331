package repro

import (
	"errors"

	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// provenances compares two files of provenance, in which what is particular to
// a run may differ. Anything that is not a provenance, or not in its one form,
// is compared as the bytes it is.
func (c *comparison) provenances(p place, a, b content) error {
	first, err := firstDifference(a, b)
	if err != nil || first < 0 {
		return err
	}
	pa, errA := c.provenance(a)
	pb, errB := c.provenance(b)
	if err := errors.Join(errA, errB); err != nil {
		c.add(p.at("", first, "cannot be read as provenance, so compared as bytes: %v", err))
		return c.contents(p, a, b)
	}
	for _, field := range differs(pa, pb) {
		c.add(p.at(field, -1, "differs; of one builder and commit it may not"))
	}
	return nil
}

// A read provenance is of an archive or of an image; the other is nil.
type readProvenance struct {
	archive *provenance.Provenance
	image   *provenance.Image
}

func differs(a, b readProvenance) []string {
	switch {
	case a.archive != nil && b.archive != nil:
		return a.archive.Differs(*b.archive)
	case a.image != nil && b.image != nil:
		return a.image.Differs(*b.image)
	}
	return []string{"buildDefinition.buildType"}
}

func (c *comparison) provenance(a content) (readProvenance, error) {
	data, err := a.all(c.lim.parsed)
	if err != nil {
		return readProvenance{}, err
	}
	s, err := intoto.Parse(data)
	if err != nil {
		return readProvenance{}, err
	}
	form, err := intoto.Marshal(s)
	if err == nil && string(form) != string(data) {
		err = errors.New("it is not in the form that it is written in")
	}
	if err != nil {
		return readProvenance{}, err
	}
	archive, err := provenance.Parse(s)
	if errors.Is(err, provenance.ErrBuildType) {
		image, err := provenance.ParseImage(s)
		return readProvenance{image: &image}, err
	}
	return readProvenance{archive: &archive}, err
}
