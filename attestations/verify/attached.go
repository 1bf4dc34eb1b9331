package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

// statements are what is attached to an index or a manifest.
type statements struct {
	subject artifact.Digest
	all     []stated // about the subject alone
	beside  []stated // about something else
	rebuilt []stated // of a rebuild, by whom the policy names as a rebuilder, about whatever
	others  []error  // why the rest is passed over
	unread  error    // why nothing of this is known
}

// stated is a statement of somebody whom the policy names.
type stated struct {
	signed
	statement intoto.Statement
	bundle    artifact.Digest // that it came in
}

// attached opens what is attached to d, which s is about. If that cannot be read
// the check of its signature has failed, unless nothing can be told at all.
func (v *imageVerifier) attached(ctx context.Context, s *subject, d artifact.Digest) (statements, error) {
	said := statements{subject: d}
	bundles, err := v.source.Bundles(ctx, d)
	if err != nil {
		said.unread = fmt.Errorf("reading what is attached to %s: %w", d, err)
		if errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
			return said, fmt.Errorf("%s: %w", s.name, said.unread)
		}
		return said, nil
	}
	seen := map[artifact.Digest]bool{} // whoever can attach one can attach it a hundred times
	for _, data := range bundles {
		content := artifact.DigestBytes(data)
		if seen[content] {
			continue
		}
		seen[content] = true
		if one, is, err := v.openedRebuild(data); err != nil {
			said.others = append(said.others, err)
			continue
		} else if is {
			said.rebuilt = append(said.rebuilt, one)
			continue
		}
		one, err := v.opened(data)
		if err != nil {
			said.others = append(said.others, err)
			continue
		}
		v.inputs[content] = d.String()
		if one.about(d) {
			said.all = append(said.all, one)
		} else {
			said.beside = append(said.beside, one)
		}
	}
	return said, nil
}

func (v *imageVerifier) opened(data []byte) (stated, error) {
	if len(data) > maxStatement {
		return stated{}, fmt.Errorf("%w: a bundle of %d bytes", ErrTooLarge, len(data))
	}
	got, err := v.open.attestation(data)
	if err != nil {
		return stated{}, err
	}
	if err := v.policy.JudgeTime(got.at, v.now); err != nil {
		return stated{}, err
	}
	statement, err := intoto.Parse(got.payload)
	return stated{got, statement, artifact.DigestBytes(data)}, err
}

// about reports whether a statement is about d alone. What it calls it is
// looked at nowhere: a registry knows no names.
func (one stated) about(d artifact.Digest) bool {
	subjects := one.statement.Subject
	return len(subjects) == 1 && len(subjects[0].Digest) == 1 && subjects[0].Digest["sha256"] == d.Hex()
}

func ofType(all []stated, predicateType string) []stated {
	return slices.DeleteFunc(slices.Clone(all), func(one stated) bool { return one.statement.PredicateType != predicateType })
}

// of are the statements of one type about the subject.
func (s statements) of(predicateType string) []stated { return ofType(s.all, predicateType) }

// who signed the statements of that type, and how much was passed over.
func (s statements) who(predicateType string) string {
	var all []string
	for _, one := range s.of(predicateType) {
		if by := one.signed.String(); !slices.Contains(all, by) {
			all = append(all, by)
		}
	}
	if n := len(s.others); n > 0 {
		all = append(all, fmt.Sprintf("%d bundles of others passed over", n))
	}
	return strings.Join(all, "; ")
}

// none is the refusal that there is no statement of a kind, with what there is.
func (s statements) none(refusal error, what, predicateType string) error {
	if s.unread != nil {
		return fmt.Errorf("%w: %w", refusal, s.unread)
	}
	err := fmt.Errorf("%w: nothing that is attached to %s is a %s, %s", refusal, s.subject, what, predicateType)
	if beside := ofType(s.beside, predicateType); len(beside) > 0 && len(beside[0].statement.Subject) > 0 {
		sub := beside[0].statement.Subject[0]
		err = fmt.Errorf("%w: %w: %.100q %.64s", err, ErrSubject, sub.Name, sub.Digest["sha256"])
	} else if len(s.all) > 0 {
		var types []string
		for _, one := range s.all {
			types = append(types, one.statement.PredicateType)
		}
		err = fmt.Errorf("%w: %w: there are %.300q", err, ErrPredicateType, types)
	}
	if len(s.others) > 0 {
		err = fmt.Errorf("%w: and of others: %w", err, errors.Join(s.others[:min(len(s.others), 4)]...))
	}
	return err
}

// signed makes the check of signatures. That of cosign passes over the type of
// a statement.
func (v *imageVerifier) signed(s *subject, said statements) {
	s.check(Signature, []Check{Digest}, func() (string, error) {
		all := said.of(intoto.Signature)
		for _, one := range all {
			if text := bytes.Join(bytes.Fields(one.statement.Predicate), nil); string(text) != "{}" {
				return "", fmt.Errorf("%w: the statement says more than that it signs: %.100q", ErrSignature, text)
			}
		}
		if len(all) == 0 {
			return "", said.none(ErrSignature, "signature", intoto.Signature)
		}
		return said.who(intoto.Signature), nil
	})
}

// provenances makes the check that there is a provenance of the image, and
// returns all, with who signed each.
func (v *imageVerifier) provenances(s *subject, said statements) (made []provenance.Image, by []voucher) {
	s.check(Provenance, []Check{Digest}, func() (string, error) {
		for _, one := range said.of(provenance.PredicateType) {
			p, err := provenance.ParseImage(one.statement)
			if err != nil {
				return "", fmt.Errorf("%w: %w", ErrProvenance, err)
			}
			made, by = append(made, p), append(by, voucher{one.signed, p.Run().Workflow})
		}
		if len(made) == 0 {
			return "", said.none(ErrAttestation, "provenance", provenance.PredicateType)
		}
		return said.who(provenance.PredicateType), nil
	})
	return made, by
}

// built are the provenances of the archive that an image was made of. They are
// about the archive, and attached to the manifest for whoever has no release.
func (s statements) built(a provenance.Archive) (all []provenance.Provenance, by []voucher, err error) {
	for _, one := range ofType(s.beside, provenance.PredicateType) {
		if sub := one.statement.Subject[0]; sub.Name != a.Name || sub.Digest["sha256"] != a.Digest.Hex() {
			continue
		}
		p, err := provenance.Parse(one.statement)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrProvenance, err)
		}
		all, by = append(all, p), append(by, voucher{one.signed, p.Run().Workflow})
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("%w: the provenance of %s is not attached to %s: publish the image again", ErrAttestation, a.Name, s.subject)
	}
	return all, by, nil
}

// tested makes the check of test results, which have to be of the archive, and
// of that binary, which the image holds under the component's name. The newest counts.
func (v *imageVerifier) tested(said statements, a provenance.Archive, binary artifact.Digest) (string, error) {
	e := v.made[0].BuildDefinition.ExternalParameters
	results := said.of(intoto.TestResult)
	if len(results) == 0 {
		if v.policy.Requires(policy.TestResult) {
			return "", said.none(policy.ErrNoAudit, "test result", intoto.TestResult)
		}
		return "no audit ran, and the policy does not demand one", v.policy.JudgeAudit(e.Component, e.Variant, policy.Audit{})
	}
	counting := newest(results)
	for _, one := range results {
		result, err := parseResult(one.statement.Predicate)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrTestResult, err)
		}
		if !result.names(a.Name, a.Digest) || !result.names(e.Component, binary) {
			return "", fmt.Errorf("%w: the test result is not of %s and the %s that is in the image", ErrSubject, a.Name, e.Component)
		}
		audit, err := result.audit(e.Component)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrTestResult, err)
		}
		if !counting(one) {
			continue
		}
		if err := v.policy.JudgeAudit(e.Component, e.Variant, audit); err != nil {
			return "", err
		}
	}
	return said.who(intoto.TestResult), nil
}

// newest tells those of some statements that were signed last: an image that did not
// change keeps the results of its former audits. Where nothing tells of one when that
// was, all of them count: and of a key's signature anybody can get another timestamp.
func newest(all []stated) func(stated) bool {
	last := slices.MaxFunc(all, func(a, b stated) int { return a.at.Compare(b.at) }).at
	if slices.ContainsFunc(all, func(one stated) bool { return one.at.IsZero() || one.by.KeyID != "" }) {
		return func(stated) bool { return true }
	}
	return func(one stated) bool { return one.at.Equal(last) }
}

// described makes the checks of the bills of materials. What they are held
// against is known only if the record of the index is.
func (v *imageVerifier) described(s *subject, said statements, known bool) {
	documents := said.of(intoto.SPDX)
	if len(documents) == 0 && !v.policy.Requires(policy.SPDX) {
		s.skip(SPDX, "the policy does not demand it, and none is attached")
		return
	}
	s.check(SPDX, []Check{Digest}, func() (string, error) {
		if len(documents) == 0 {
			return "", said.none(ErrAttestation, "bill of materials", intoto.SPDX)
		}
		return said.who(intoto.SPDX), nil
	})
	if !known {
		s.skip(Contents, "record of the index did not pass")
		return
	}
	s.check(Contents, []Check{SPDX}, func() (string, error) {
		for _, one := range documents {
			if err := v.compared(one.statement.Predicate); err != nil {
				return "", err
			}
		}
		return "the bill of materials is that of the image", nil
	})
}

// compared holds a bill of materials against what was found, once.
func (v *imageVerifier) compared(text []byte) error {
	d := artifact.DigestBytes(text)
	err, known := v.contents[d]
	if !known {
		err = v.compare(text)
		v.contents[d] = err
	}
	return err
}

func (v *imageVerifier) compare(text []byte) error {
	doc, err := spdx.Parse(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContents, err)
	}
	said, err := doc.Image()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContents, err)
	}
	found, err := v.found()
	if err != nil {
		return err
	}
	if err := said.Same(found); err != nil {
		return fmt.Errorf("%w: %w", ErrContents, err)
	}
	return nil
}

// found is what is in the image, as its bill of materials has to say it.
func (v *imageVerifier) found() (spdx.ImageContents, error) {
	e := v.made[0].BuildDefinition.ExternalParameters
	c := spdx.ImageContents{Component: e.Component, Version: e.Version, Index: v.digest}
	var err error
	if c.Roots, err = v.made[0].Roots(); err != nil {
		return c, fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	for _, i := range v.index.Images {
		one := spdx.PlatformContents{Platform: i.Platform.Slug(), Manifest: i.Digest, Files: map[string]artifact.Digest{}}
		for _, l := range i.Layers {
			for _, m := range l.Members {
				if !m.Folder {
					one.Files[m.Name] = m.Digest
				}
			}
		}
		if one.Document, err = v.reference(i); err != nil {
			return c, err
		}
		c.Platforms = append(c.Platforms, one)
	}
	return c, nil
}

// reference is how the document of the archive, which the image has to hold, is
// referred to.
func (v *imageVerifier) reference(i ocilayout.Image) (spdx.Reference, error) {
	a, err := archiveOf(v.made[0], i.Platform)
	if err != nil {
		return spdx.Reference{}, err
	}
	text, there := v.documents[a.Document]
	if !there {
		return spdx.Reference{}, fmt.Errorf("%w: the image for %s does not hold the document of %s in /%s", ErrContents, i.Platform, a.Name, sbomFolder)
	}
	doc, err := spdx.Parse(bytes.NewReader(text))
	if err == nil {
		err = doc.Check()
	}
	if err != nil {
		return spdx.Reference{}, fmt.Errorf("%w: the document of %s in the image: %w", ErrContents, a.Name, err)
	}
	return spdx.ReferenceTo(doc, text), nil
}
