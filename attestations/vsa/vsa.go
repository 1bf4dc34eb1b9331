// Package vsa holds Verification Summary Attestations: that a verifier found
// artifacts to be what a policy demands. What Open returns was signed by
// somebody the caller trusts, by and about what the caller expects, and says
// that it passed.
//
// It refuses a summary that lacks a field, holds one that is not known here, or
// says of itself what no verifier of this project can: that something failed,
// more than one level of a track, a level that SLSA does not have. The
// specification lets consumers ignore fields that they do not know; as in every
// statement here, one more field means one more hand.
//
// Section names are those of https://slsa.dev/spec/v1.1/verification_summary;
// predicates/verification-summary.md says what this project writes.
package vsa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
)

// PredicateType is the type of statement that this package reads and writes.
const PredicateType = "https://slsa.dev/verification_summary/v1"

// SLSAVersion is the version of SLSA whose levels are meant.
const SLSAVersion = "1.1"

// Passed is the one result that is written here: of what did not pass there is
// no summary.
const Passed = "PASSED"

// The levels of SLSA's build track. Each implies those before it.
const (
	BuildLevel0 = "SLSA_BUILD_LEVEL_0"
	BuildLevel1 = "SLSA_BUILD_LEVEL_1"
	BuildLevel2 = "SLSA_BUILD_LEVEL_2"
	BuildLevel3 = "SLSA_BUILD_LEVEL_3"
)

var buildLevels = []string{BuildLevel0, BuildLevel1, BuildLevel2, BuildLevel3}

// Why a summary is refused, beside the errors of packages bundle and intoto.
var (
	ErrSummary       = errors.New("malformed verification summary")
	ErrPredicateType = errors.New("it is no verification summary")
	ErrSubject       = errors.New("the summary is about something else")
	ErrVerifier      = errors.New("the summary is another verifier's")
	ErrResource      = errors.New("the summary is of another resource")
	ErrPolicy        = errors.New("the summary is of another policy")
	ErrLevel         = errors.New("the summary does not reach the level")
)

// A Summary is a predicate. Every field is needed.
type Summary struct {
	Inputs      []intoto.Resource `json:"inputAttestations"`  // all that were used, each by its sha256
	Policy      intoto.Resource   `json:"policy"`             // by URI and sha256
	ResourceURI string            `json:"resourceUri"`        // what the subjects are parts of
	SLSAVersion string            `json:"slsaVersion"`        // SLSAVersion
	Time        time.Time         `json:"timeVerified"`       // in UTC, to the second
	Result      string            `json:"verificationResult"` // Passed
	Levels      []string          `json:"verifiedLevels"`     // one of the build track
	Verifier    Verifier          `json:"verifier"`
}

// A Verifier is who says so. Whom to believe it of is for the reader to know:
// see Want.
type Verifier struct {
	ID string `json:"id"`
}

// limits is what Parse allows: four inputs for each of a statement's subjects,
// those of as many rebuilders as there may be (package rebuild), and some more.
var limits = intoto.Limits{Size: 16 << 20, Depth: 6, Items: 40 * intoto.MaxSubjects}

// Statement says s of the subjects.
func (s Summary) Statement(subjects []intoto.Subject) (intoto.Statement, error) {
	if err := s.validate(); err != nil {
		return intoto.Statement{}, fmt.Errorf("%w: %w", ErrSummary, err)
	}
	predicate, err := intoto.Canonical(s)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("%w: %w", ErrSummary, err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: subjects, Predicate: predicate}, nil
}

// Parse reads the summary that st holds. Who signed it, and of what it is, are
// for Open to look at.
func Parse(st intoto.Statement) (Summary, error) {
	if st.PredicateType != PredicateType {
		return Summary{}, fmt.Errorf("%w: its predicateType is %.200q, want %s", ErrPredicateType, st.PredicateType, PredicateType)
	}
	var s Summary
	err := intoto.Decode(st.Predicate, &s, limits)
	if err == nil {
		err = s.validate()
	}
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrSummary, err)
	}
	// That every field is there, and in its one form, is seen when it is written
	// again.
	var got, form bytes.Buffer
	again, err := intoto.Canonical(s)
	if err == nil {
		err = errors.Join(json.Compact(&form, again), json.Compact(&got, st.Predicate))
	}
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrSummary, err)
	}
	if !bytes.Equal(got.Bytes(), form.Bytes()) {
		return Summary{}, fmt.Errorf("%w: not in the form that it is written in (a field that is missing, order of keys, time, an escape)", ErrSummary)
	}
	return s, nil
}

func (s Summary) validate() error {
	for _, uri := range []string{s.Verifier.ID, s.ResourceURI, s.Policy.URI} {
		if err := intoto.ValidateURI(uri); err != nil {
			return fmt.Errorf("verifier.id, resourceUri and policy.uri are needed: %w", err)
		}
	}
	if s.Time.IsZero() || s.Time.Location() != time.UTC || s.Time.Nanosecond() != 0 {
		return errors.New("timeVerified is not a second in UTC")
	}
	for _, r := range append([]intoto.Resource{s.Policy}, s.Inputs...) {
		if err := r.Validate(); err != nil {
			return err
		}
		if r.Digest["sha256"] == "" {
			return fmt.Errorf("policy or attestation %.200q has no sha256", r.Name+r.URI)
		}
	}
	if len(s.Inputs) == 0 {
		return errors.New("inputAttestations are not there: nothing is verified without one")
	}
	if s.Result != Passed {
		return fmt.Errorf("verificationResult is %.40q, and only %s is written", s.Result, Passed)
	}
	if len(s.Levels) != 1 || !slices.Contains(buildLevels, s.Levels[0]) {
		return fmt.Errorf("verifiedLevels are %.200q, want one of %s", s.Levels, strings.Join(buildLevels, ", "))
	}
	if s.SLSAVersion != SLSAVersion {
		return fmt.Errorf("slsaVersion is %.40q, want %s", s.SLSAVersion, SLSAVersion)
	}
	return nil
}

// A Want is what a reader expects of a summary. Every field is needed.
type Want struct {
	// Trust is of this verifier alone: whoever it names may speak as Verifier.
	Trust    bundle.Trust
	Verifier string

	Subject     artifact.Digest // one of those that the summary is about
	ResourceURI string
	Policy      artifact.Digest // of the file
	Level       string          // at least
}

// Open reads a summary in a bundle by the steps of the specification's "How to
// verify VSAs", and holds the policy's digest against what is expected as well.
func Open(data []byte, want Want) (Summary, error) {
	// 1. Signed by the verifier.
	v, err := bundle.OpenAttestation(data, want.Trust)
	if err != nil {
		return Summary{}, fmt.Errorf("opening a verification summary: %w", err)
	}
	st, err := intoto.Parse(v.Payload())
	if err != nil {
		return Summary{}, fmt.Errorf("opening a verification summary: %w", err)
	}
	// 3. Of this type. And 6., passed: nothing else is well-formed.
	s, err := Parse(st)
	if err != nil {
		return Summary{}, fmt.Errorf("opening a verification summary: %w", err)
	}
	if err := want.fits(s, st.Subject); err != nil {
		return Summary{}, fmt.Errorf("opening a verification summary: %w", err)
	}
	return s, nil
}

func (w Want) fits(s Summary, subjects []intoto.Subject) error {
	// 2. About this artifact.
	if w.Subject.IsZero() || !slices.ContainsFunc(subjects, func(sub intoto.Subject) bool { return sub.Digest["sha256"] == w.Subject.Hex() }) {
		return fmt.Errorf("%w: %s is none of its %d subjects", ErrSubject, w.Subject, len(subjects))
	}
	// 4. By the verifier that the signer may speak for.
	if s.Verifier.ID != w.Verifier {
		return fmt.Errorf("%w: %q, want %q", ErrVerifier, s.Verifier.ID, w.Verifier)
	}
	// 5. Of this resource.
	if s.ResourceURI != w.ResourceURI {
		return fmt.Errorf("%w: %q, want %q", ErrResource, s.ResourceURI, w.ResourceURI)
	}
	if w.Policy.IsZero() || s.Policy.Digest["sha256"] != w.Policy.Hex() {
		return fmt.Errorf("%w: %s, whose digest is not %s", ErrPolicy, s.Policy.URI, w.Policy)
	}
	// 7. At this level.
	level := slices.Index(buildLevels, w.Level)
	if level < 0 || slices.Index(buildLevels, s.Levels[0]) < level {
		return fmt.Errorf("%w: it says %s, want %q", ErrLevel, s.Levels[0], w.Level)
	}
	return nil
}
