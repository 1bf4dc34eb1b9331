package verify

import (
	"bytes"
	"fmt"
	"path"

	"palisade/attestations/artifact"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

func (v *verifier) imageProvenance(i artifact.Image) (signed, provenance.Image, error) {
	name := i.Name + provenanceSuffix
	s, statement, err := v.attested(name, provenance.PredicateType)
	if err == nil {
		err = about(statement, provenance.ImageSubjects(i)...)
	}
	if err != nil {
		return signed{}, provenance.Image{}, err
	}
	p, err := provenance.ParseImage(statement)
	if err != nil {
		return signed{}, provenance.Image{}, fmt.Errorf("%w: %s: %w", ErrProvenance, bundleOf(name), err)
	}
	return s, p, v.beside(name, s.payload)
}

// archives is the provenance of each archive, which has to say what its record
// does, and who signed it.
func (v *verifier) archives(records []artifact.Record) (built []provenance.Provenance, by []voucher, err error) {
	for _, r := range records {
		as, said, err := v.attestedProvenance(r)
		if err != nil {
			return nil, nil, err
		}
		if err := said.Check(r); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		v.madeBy(r.Name, said.Run())
		built, by = append(built, said), append(by, voucher{as, said.Run().Workflow})
	}
	return built, by, nil
}

// judgeImage has a policy judge the archives that an image was made of, and the
// image: of the same upstream and patches, made by its own builder in its
// own way. What was compiled hermetically is in the archives.
func judgeImage(by policy.Policy, said provenance.Image, built []provenance.Provenance) error {
	for _, p := range built {
		c, err := claim(p)
		if err != nil {
			return fmt.Errorf("%.300s: %w", p.Subject[0].Name, err)
		}
		if err := by.Judge(c); err != nil {
			return err
		}
		c.Builder, c.BuildType, c.CleanTree = said.RunDetails.Builder.ID, said.BuildDefinition.BuildType, false
		if repository, ok := said.Repository(); ok {
			c.CleanTree = repository.Clean
		}
		if err := by.Judge(c); err != nil {
			return err
		}
	}
	return nil
}

// imageAudits holds the test results of the archives against the policy.
func (v *verifier) imageAudits(records []artifact.Record) (string, error) {
	ran := 0
	for _, r := range records {
		_, audit, err := v.verdict(r)
		if err == nil {
			err = v.policy.JudgeAudit(r.Component, r.Variant, audit)
		}
		if err != nil {
			return "", err
		}
		if audit.Ran {
			ran++
		}
	}
	return fmt.Sprintf("of %d of %d archives", ran, len(records)), nil
}

// checkImageContents holds the document against the image as it was found:
// every file of every platform, what it was made of, and which documents say
// the rest.
func checkImageContents(doc document, i artifact.Image, in insideImage) error {
	fail := func(err error) error { return fmt.Errorf("%w: %w", ErrContents, err) }
	d, err := spdx.Parse(bytes.NewReader(doc.beside))
	if err != nil {
		return fail(err)
	}
	said, err := d.Image()
	if err != nil {
		return fail(err)
	}
	if err := doc.same(); err != nil {
		return fmt.Errorf("%s: %w", i.Name+spdxSuffix, err)
	}
	documents := map[string]spdx.Reference{}
	for _, p := range i.Platforms {
		for _, m := range membersOf(p) {
			text, ok := in.documents[m.Digest]
			if !ok || path.Dir(m.Name) != sbomFolder {
				continue
			}
			d, err := spdx.Parse(bytes.NewReader(text))
			if err != nil {
				return fail(fmt.Errorf("%.200s for %s: %w", m.Name, p.Platform, err))
			}
			documents[p.Artifact] = spdx.ReferenceTo(d, text)
		}
	}
	if err := said.Same(spdx.ContentsOf(i, documents)); err != nil {
		return fail(err)
	}
	return nil
}
