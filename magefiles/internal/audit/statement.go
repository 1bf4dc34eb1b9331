package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"palisade/attestations/artifact"
)

// What Statement writes, field by field.
// https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
// https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     testResult `json:"predicate"`
	}
	testResult struct {
		Result        string     `json:"result"`
		Configuration []resource `json:"configuration"`
		PassedTests   []string   `json:"passedTests"`
		WarnedTests   []string   `json:"warnedTests"`
		FailedTests   []string   `json:"failedTests"`
		// Ours: the parsing rules of the framework let a reader ignore it.
		Findings []Finding `json:"findings"`
	}
	// resource is a ResourceDescriptor.
	resource struct {
		Name   string            `json:"name,omitempty"`
		Digest map[string]string `json:"digest"`
	}
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://in-toto.io/attestation/test-result/v0.1"
)

// Passed reports whether no check failed and one at least passed.
func Passed(findings []Finding) bool {
	passed := false
	for _, f := range findings {
		switch f.Status {
		case Pass:
			passed = true
		case Skip:
		default:
			return false
		}
	}
	return passed
}

// Statement is the result as an in-toto Statement v1 with the predicate
// test-result v0.1, in JSON. Its subject is the binary. configuration names
// the checks, by the digest of their ids, rows and promises, and the archive
// that carries the binary where there is a record of it. A check that was
// skipped is neither in passedTests nor in failedTests; it is in findings, an
// extension, which holds every Finding in the order of the checks.
func Statement(s Subject, findings []Finding) ([]byte, error) {
	if s.Digest.IsZero() || len(findings) == 0 {
		return nil, errors.New("a result needs the digest of a binary and a finding")
	}
	p := testResult{Result: "FAILED", PassedTests: []string{}, WarnedTests: []string{}, FailedTests: []string{}, Findings: findings}
	if Passed(findings) {
		p.Result = "PASSED"
	}
	for _, f := range findings {
		switch f.Status {
		case Pass:
			p.PassedTests = append(p.PassedTests, f.Check)
		case Fail:
			p.FailedTests = append(p.FailedTests, f.Check)
		case Skip:
		default:
			return nil, fmt.Errorf("the finding of %s has status %q", f.Check, f.Status)
		}
	}
	p.Configuration = []resource{descriptor("checks of "+s.Component, ChecksDigest(s.Component))}
	if s.Record != nil {
		p.Configuration = append(p.Configuration, descriptor(s.Record.Name, s.Record.Digest))
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(statement{statementType, []resource{descriptor(filepath.Base(s.Binary), s.Digest)}, predicateType, p})
	return buf.Bytes(), err
}

func descriptor(name string, d artifact.Digest) resource {
	return resource{Name: name, Digest: map[string]string{"sha256": d.Hex()}}
}

// ChecksDigest names what is promised of a component: it is the digest of a line
// for each check, id, rows and promise.
func ChecksDigest(component string) artifact.Digest {
	var text bytes.Buffer
	for _, c := range Checks() {
		if c.For(component) {
			fmt.Fprintln(&text, c.ID, c.Rows, c.Doc)
		}
	}
	return artifact.DigestBytes(text.Bytes())
}
