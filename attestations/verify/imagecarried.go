package verify

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/vex"
)

// What registries carry with each digest of an image, in a folder that is
// called by it.
const (
	signatureKind  = "signature"
	spdxKind       = "spdx"
	provenanceKind = "provenance"
	resultKind     = "test-result"
	vexKind        = "vex"
)

// carriedName is where what a bundle of that kind holds would lie, if it lay
// anywhere; bundleOf names the bundle.
func carriedName(i artifact.Image, d artifact.Digest, kind string) string {
	return path.Join(i.BundlesDir(), d.Hex(), kind)
}

// A carrier is what registries carry bundles with: the index, or a manifest.
type carrier struct {
	digest    artifact.Digest
	artifacts []string // that it is made of
}

func carriers(i artifact.Image) []carrier {
	all := []carrier{{digest: i.Index}}
	for _, p := range i.Platforms {
		all[0].artifacts = append(all[0].artifacts, p.Artifact)
		all = append(all, carrier{p.Manifest, []string{p.Artifact}})
	}
	return all
}

// listImages adds the files of images to a listing. The folder of what
// registries carry may be left out as a whole.
func (v *verifier) listImages(all map[string]bool, images []artifact.Image, required func(suffix string) bool) {
	for _, i := range images {
		all[i.Name], all[i.Name+bundleSuffix] = true, true
		for _, suffix := range []string{spdxSuffix, provenanceSuffix} {
			document := i.Name + suffix
			all[document], all[bundleOf(document)] = required(suffix), required(suffix)
		}
		for _, f := range i.Documents {
			all[f.Name] = true
		}
		if !v.dir.has(i.BundlesDir()) {
			continue
		}
		for _, c := range carriers(i) {
			for kind, must := range map[string]bool{signatureKind: true, spdxKind: required(spdxSuffix), provenanceKind: true, resultKind: false, vexKind: false} {
				all[bundleOf(carriedName(i, c.digest, kind))] = must
			}
		}
	}
}

// carried verifies the bundles that registries carry with an image: each says
// of one digest what is said of the whole.
func (v *verifier) carried(i artifact.Image, said provenance.Image, records []artifact.Record) (string, error) {
	n := 0
	for _, c := range carriers(i) {
		for _, k := range []struct {
			kind, predicateType string
			must                bool
			same                func(intoto.Statement) error
		}{
			{signatureKind, intoto.Signature, true, emptyPredicate},
			{spdxKind, intoto.SPDX, v.policy.Requires(policy.SPDX), func(s intoto.Statement) error { return v.carriedDocument(i, s) }},
			{provenanceKind, provenance.PredicateType, true, func(s intoto.Statement) error { return carriedProvenance(s, said) }},
			{resultKind, intoto.TestResult, false, func(s intoto.Statement) error { return v.carriedResult(c, s, records) }},
			{vexKind, vex.PredicateType, false, func(s intoto.Statement) error { return v.carriedVEX(c, s, records) }},
		} {
			name := carriedName(i, c.digest, k.kind)
			if !k.must && !v.dir.has(bundleOf(name)) {
				continue
			}
			as, s, err := v.attested(name, k.predicateType)
			if err == nil {
				err = aboutDigest(s, c.digest)
			}
			if err == nil {
				err = k.same(s)
			}
			if err == nil && k.kind == provenanceKind {
				err = voucher{as, said.Run().Workflow}.check()
			}
			if err != nil {
				return "", fmt.Errorf("%s: %w", bundleOf(name), err)
			}
			n++
		}
	}
	return fmt.Sprintf("%d bundles", n), nil
}

// aboutDigest refuses a statement that is about anything but one digest, under
// whatever name: registries have none.
func aboutDigest(s intoto.Statement, d artifact.Digest) error {
	if len(s.Subject) != 1 || len(s.Subject[0].Digest) != 1 || s.Subject[0].Digest["sha256"] != d.Hex() {
		return fmt.Errorf("%w: it is not about %s alone", ErrSubject, d)
	}
	return nil
}

func emptyPredicate(s intoto.Statement) error {
	var predicate map[string]json.RawMessage
	if err := json.Unmarshal(s.Predicate, &predicate); err != nil || len(predicate) > 0 {
		return fmt.Errorf("%w: a signature says something", ErrAttestation)
	}
	return nil
}

func (v *verifier) carriedDocument(i artifact.Image, s intoto.Statement) error {
	beside, err := v.listedDocument(i.Name+spdxSuffix, i.Documents)
	if err != nil {
		return err
	}
	return document{beside, s.Predicate}.same()
}

// carriedProvenance wants the very predicate that is signed with the file.
func carriedProvenance(s intoto.Statement, said provenance.Image) error {
	p, err := provenance.ParseImage(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	p.Subject = said.Subject
	fields := p.Differs(said)
	if p.RunDetails.Metadata != said.RunDetails.Metadata {
		fields = append(fields, "runDetails.metadata")
	}
	if !reflect.DeepEqual(p.Run().Workflow, said.Run().Workflow) {
		fields = append(fields, "buildDefinition.internalParameters.workflow")
	}
	if len(fields) > 0 {
		return fmt.Errorf("%w: it differs from that of the file in %.300s", ErrDocument, strings.Join(fields, ", "))
	}
	return nil
}

// carriedResult wants the result of the component's own binary in an archive
// that the image is made of: both are in the configuration, for the subject is
// the image.
func (v *verifier) carriedResult(c carrier, s intoto.Statement, records []artifact.Record) error {
	result, err := parseResult(s.Predicate)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTestResult, err)
	}
	for _, r := range records {
		if !slices.Contains(c.artifacts, r.Name) || !result.ran(r) {
			continue
		}
		audit, err := result.audit(r.Component)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTestResult, err)
		}
		return v.policy.JudgeAudit(r.Component, r.Variant, audit)
	}
	return fmt.Errorf("%w: it is of no binary and archive that the image is made of", ErrSubject)
}
