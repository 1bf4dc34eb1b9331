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
	for _, field := range pa.Differs(pb) {
		c.add(p.at(field, -1, "differs; of one builder and commit it may not"))
	}
	return nil
}

func (c *comparison) provenance(a content) (provenance.Provenance, error) {
	data, err := a.all(c.lim.parsed)
	if err != nil {
		return provenance.Provenance{}, err
	}
	s, err := intoto.Parse(data)
	if err != nil {
		return provenance.Provenance{}, err
	}
	form, err := intoto.Marshal(s)
	if err == nil && string(form) != string(data) {
		err = errors.New("it is not in the form that it is written in")
	}
	if err != nil {
		return provenance.Provenance{}, err
	}
	return provenance.Parse(s)
}
