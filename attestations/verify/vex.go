package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/vex"
)

// ErrVEX is what is said of known vulnerabilities, if that cannot be read, or is of
// something that the artifact does not hold.
var ErrVEX = errors.New("OpenVEX document is not well-formed, or not of what is in the artifact")

// vulnerable makes the check of the OpenVEX document of each of these archives,
// where the policy demands one or there is one.
func (v *verifier) vulnerable(s *subject, records ...artifact.Record) {
	if !v.policy.Requires(policy.VEX) && !slices.ContainsFunc(records, v.hasVEX) {
		return
	}
	s.check(VEX, []Check{Digest}, func() (string, error) {
		var detail string
		for _, r := range records {
			got, d, err := v.vex(r)
			if err == nil {
				err = v.policy.JudgeVEX(claimOfVEX(d), v.now)
			}
			if err != nil {
				return "", err
			}
			if detail = known(d) + ", " + got.String(); d == nil {
				detail = "nothing says which are known, and the policy does not demand it"
			}
		}
		if len(records) > 1 {
			detail = fmt.Sprintf("of %d archives", len(records))
		}
		return detail, nil
	})
}

func (v *verifier) hasVEX(r artifact.Record) bool {
	name := r.Name + vexSuffix
	return v.dir.has(name) || v.dir.has(bundleOf(name))
}

// vex verifies the OpenVEX document of an artifact; there is none if it is nil.
func (v *verifier) vex(r artifact.Record) (signed, *vex.Document, error) {
	name := r.Name + vexSuffix
	if !v.hasVEX(r) {
		if v.policy.Requires(policy.VEX) {
			return signed{}, nil, fmt.Errorf("%w: %w", policy.ErrNoVEX, missing(name))
		}
		return signed{}, nil, nil
	}
	s, statement, err := v.attested(name, vex.PredicateType)
	if err != nil {
		return signed{}, nil, err
	}
	d, err := vex.Parse(statement)
	if err == nil {
		err = d.Check(r, v.distribution)
	}
	if err != nil {
		return signed{}, nil, refusedVEX(name, err)
	}
	return s, &d, v.beside(name, s.payload)
}

func refusedVEX(name string, err error) error {
	refusal := ErrVEX
	if errors.Is(err, vex.ErrSubject) {
		refusal = ErrSubject
	}
	return fmt.Errorf("%w: %s: %w", refusal, name, err)
}

// claimOfVEX is what a policy judges of a document.
func claimOfVEX(d *vex.Document) (c policy.VEXClaim) {
	if d == nil {
		return c
	}
	c.Modified = d.Data.Modified
	for _, one := range d.Open() {
		c.Open = append(c.Open, one.ID+" in "+one.Module)
	}
	return c
}

// known tells a report of a document.
func known(d *vex.Document) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("%d known of what it links, %d left open, by data of %s", len(d.Verdicts), len(d.Open()), d.Data.Modified.Format(time.RFC3339))
}

// carriedVEX wants the very predicate that is signed with an archive of which the
// image is made.
func (v *verifier) carriedVEX(c carrier, s intoto.Statement, records []artifact.Record) error {
	for _, r := range records {
		if !slices.Contains(c.artifacts, r.Name) {
			continue
		}
		data, err := v.dir.read(r.Name+vexSuffix, maxStatement)
		if err != nil {
			return err
		}
		said, err := intoto.Parse(data)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrVEX, r.Name+vexSuffix, err)
		}
		if bytes.Equal(said.Predicate, s.Predicate) {
			return nil
		}
	}
	return fmt.Errorf("%w: it differs from that of the archive that the image is made of", ErrDocument)
}

// vulnerable makes the check of the OpenVEX documents that are attached to a
// manifest: the one of the newest data counts, and each of these, if there are
// several.
func (v *imageVerifier) vulnerable(s *subject, said statements, a *provenance.Archive) {
	all := said.of(vex.PredicateType)
	if len(all) == 0 && !v.policy.Requires(policy.VEX) {
		return
	}
	s.check(VEX, []Check{Record}, func() (string, error) {
		if len(all) == 0 {
			return "", said.none(policy.ErrNoVEX, "OpenVEX document", vex.PredicateType)
		}
		var newest []vex.Document
		for _, one := range all {
			d, err := vex.Parse(one.statement)
			if err != nil {
				return "", refusedVEX("what is attached", err)
			}
			if d.Product.Digest != a.Digest {
				return "", fmt.Errorf("%w: the OpenVEX document is of %s, not of %s %s", ErrSubject, d.Product.Digest, a.Name, a.Digest)
			}
			if len(newest) > 0 && d.Data.Modified.After(newest[0].Data.Modified) {
				newest = nil
			}
			if len(newest) == 0 || d.Data.Modified.Equal(newest[0].Data.Modified) {
				newest = append(newest, d)
			}
		}
		for _, d := range newest {
			if err := v.policy.JudgeVEX(claimOfVEX(&d), v.now); err != nil {
				return "", err
			}
		}
		return known(&newest[0]) + ", " + said.who(vex.PredicateType), nil
	})
}
