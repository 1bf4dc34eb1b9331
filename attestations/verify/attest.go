package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

// attested opens the bundle of a document and parses its statement, which must
// be of that type.
func (v *verifier) attested(document, predicateType string) (signed, intoto.Statement, error) {
	fail := func(err error) (signed, intoto.Statement, error) { return signed{}, intoto.Statement{}, err }
	s, err := v.bundle(bundleOf(document), ErrAttestation, v.open.attestation)
	if err != nil {
		return fail(err)
	}
	statement, err := intoto.Parse(s.payload)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", bundleOf(document), err))
	}
	if statement.PredicateType != predicateType {
		return fail(fmt.Errorf("%w: %s holds %.200q, want %s", ErrPredicateType, bundleOf(document), statement.PredicateType, predicateType))
	}
	return s, statement, nil
}

// about refuses a statement whose subjects are not exactly these.
func about(s intoto.Statement, want ...intoto.Subject) error {
	if !slices.EqualFunc(s.Subject, want, func(a, b intoto.Subject) bool {
		return a.Name == b.Name && len(a.Digest) == 1 && a.Digest["sha256"] == b.Digest["sha256"]
	}) {
		var names []string
		for _, sub := range s.Subject[:min(len(s.Subject), 4)] {
			names = append(names, fmt.Sprintf("%.100q %.64s", sub.Name, sub.Digest["sha256"]))
		}
		return fmt.Errorf("%w: it has %d, %s; wanted is %q %s alone", ErrSubject, len(s.Subject), strings.Join(names, ", "), want[0].Name, want[0].Digest["sha256"])
	}
	return nil
}

func subjectOf(name string, d artifact.Digest) intoto.Subject {
	return intoto.Subject{Name: name, Digest: intoto.Digests{"sha256": d.Hex()}}
}

// A document is a bill of materials, as it lies beside the artifact and as it
// was signed.
type document struct{ beside, signed []byte }

// attestedDocument verifies the bill of materials of what lies in the file of
// that name. That both are one is for same to tell, which takes a while.
func (v *verifier) attestedDocument(file string, documents []artifact.File, of ...intoto.Subject) (signed, document, error) {
	name := file + spdxSuffix
	s, statement, err := v.attested(name, intoto.SPDX)
	if err == nil {
		err = about(statement, of...)
	}
	if err != nil {
		return signed{}, document{}, err
	}
	data, err := v.listedDocument(name, documents)
	if err != nil {
		return signed{}, document{}, err
	}
	return s, document{data, statement.Predicate}, nil
}

// listedDocument reads the bill of materials of that name, which must be the
// one of these that release.json names.
func (v *verifier) listedDocument(name string, documents []artifact.File) ([]byte, error) {
	data, err := v.dir.read(name, maxStatement)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(documents, func(f artifact.File) bool {
		return f.Name == name && f.Digest == artifact.DigestBytes(data)
	}) {
		return nil, fmt.Errorf("%w: %s has not the digest that release.json names", ErrDocument, name)
	}
	return data, nil
}

// same compares values, not bytes: statements have a form of their own. Both
// were read strictly before.
func (d document) same() error {
	var trees [2]any
	for i, data := range [][]byte{d.beside, d.signed} {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&trees[i]); err != nil {
			return fmt.Errorf("%w: %w", ErrDocument, err)
		}
	}
	if !reflect.DeepEqual(trees[0], trees[1]) {
		return fmt.Errorf("%w: sign it again", ErrDocument)
	}
	return nil
}

// beside refuses a document that is not what was signed, byte for byte.
func (v *verifier) beside(document string, payload []byte) error {
	data, err := v.dir.read(document, maxStatement)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, payload) {
		return fmt.Errorf("%w: %s", ErrDocument, document)
	}
	return nil
}

func (v *verifier) attestedProvenance(r artifact.Record) (signed, provenance.Provenance, error) {
	name := r.Name + provenanceSuffix
	s, statement, err := v.attested(name, provenance.PredicateType)
	if err != nil {
		return signed{}, provenance.Provenance{}, err
	}
	if sub := statement.Subject[0]; sub.Name != r.Name || sub.Digest["sha256"] != r.Digest.Hex() {
		return signed{}, provenance.Provenance{}, about(statement, subjectOf(r.Name, r.Digest))
	}
	p, err := provenance.Parse(statement)
	if err != nil {
		return signed{}, provenance.Provenance{}, fmt.Errorf("%w: %s: %w", ErrProvenance, bundleOf(name), err)
	}
	return s, p, v.beside(name, s.payload)
}

// hermeticity is how far every sandbox was seen to be hermetic, and whose promise
// it is where the builder did not look.
func hermeticity(in provenance.Internal) (how policy.Hermeticity, promise string) {
	if !in.Hermetic || len(in.Sandboxes) == 0 {
		return policy.NotHermetic, ""
	}
	how = policy.Observed
	if in.Cache == provenance.Registry {
		how, promise = policy.Promised, "a cache in a registry"
	}
	for _, s := range in.Sandboxes {
		switch {
		case !s.Hermetic, s.Executor == "" && len(s.Namespaces) == 0:
			return policy.NotHermetic, ""
		case s.Executor != "": // there is one that is known, see package provenance
			how, promise = policy.Promised, "a worker of "+s.Executor
		}
	}
	return how, promise
}

// builtBy tells a report who built, and what nobody saw of it.
func builtBy(p provenance.Provenance) string { return p.RunDetails.Builder.ID + promised(p) }

// promised tells a report of the first of these that was hermetic by promise.
func promised(all ...provenance.Provenance) string {
	for _, p := range all {
		if how, promise := hermeticity(p.BuildDefinition.InternalParameters); how == policy.Promised {
			return "; that it was hermetic is the promise of " + promise
		}
	}
	return ""
}

// claim is what a policy judges of a provenance.
func claim(p provenance.Provenance) (policy.Claim, error) {
	b, external := p.BuildDefinition, p.BuildDefinition.ExternalParameters
	c := policy.Claim{
		Builder: p.RunDetails.Builder.ID, BuildType: b.BuildType,
		Component: external.Component, Variant: external.Variant, Version: external.Version,
	}
	c.Hermetic, c.Promise = hermeticity(b.InternalParameters)
	if repository, ok := p.Repository(); ok {
		c.CleanTree = repository.Clean
	}
	source, err := p.Modules(provenance.RoleSource)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	if len(source) != 1 {
		return c, fmt.Errorf("%w: it names %d sources", ErrProvenance, len(source))
	}
	c.UpstreamModule, c.UpstreamVersion = source[0].Path, source[0].Version
	changed, err := p.Modules(provenance.RolePatched)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	for _, m := range changed {
		patches, err := p.Patches(m.Path + "@" + m.Version)
		if err != nil {
			return c, fmt.Errorf("%w: %w", ErrProvenance, err)
		}
		if len(patches) > 0 {
			c.Patched = append(c.Patched, policy.Series{Module: m.Path, Version: m.Version, Digest: policy.SeriesDigest(patches)})
		} else if m.Path != c.UpstreamModule || len(p.Dependencies(provenance.RoleInterface)) == 0 { // an interface sealed in is no patch
			return c, fmt.Errorf("%w: %s was changed, and it names no patch", ErrProvenance, m.Path)
		}
	}
	return c, nil
}
