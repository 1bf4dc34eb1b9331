package sign

import (
	"fmt"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/signing"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/dist"
)

// vulnerabilities is the OpenVEX document of an archive, signed as it lies there,
// if it is of that and of what that links. Whether it is true, whoever signs has to
// know.
func (r *release) vulnerabilities(rec artifact.Record) (signing.Content, error) {
	data, _, err := r.vulnerable(rec)
	return signing.Statement(data), err
}

// vulnerabilitiesAbout is the same, about the image that is made of the archive,
// which is the product that it speaks of.
func (r *release) vulnerabilitiesAbout(rec artifact.Record, of intoto.Subject) (signing.Content, error) {
	_, statement, err := r.vulnerable(rec)
	if err != nil {
		return signing.Content{}, err
	}
	return state(of, statement.PredicateType, statement.Predicate)
}

func (r *release) vulnerable(rec artifact.Record) ([]byte, intoto.Statement, error) {
	name := dist.VEX(rec)
	data, statement, err := r.statement(name)
	if err != nil {
		return nil, intoto.Statement{}, err
	}
	d, err := vex.Parse(statement)
	if err == nil {
		err = d.Check(rec, r.distribution)
	}
	if err != nil {
		return nil, intoto.Statement{}, fmt.Errorf("%w: %s: %w: run mage vuln -vex again, or remove it", ErrMismatch, name, err)
	}
	return data, statement, nil
}
