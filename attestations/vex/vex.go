// Package vex says of an artifact, in an OpenVEX document, which of the
// vulnerabilities that are known of what it links affect it, and reads that back.
// A document says of one artifact, one set of data and one verdict for each
// vulnerability and module; nobody's clock is in it: two that were made of the
// same are the same to the byte. What finds vulnerabilities is elsewhere.
//
// The predicate, field by field and with an example, is
// attestations/predicates/vex.md; its form is OpenVEX v0.2.0
// (https://github.com/openvex/spec).
//
// # Refusals
//
// Statement refuses what would say less than it has to (ErrInput): a status that
// OpenVEX wants a reason for and that has none, a verdict twice, data without a
// digest or time. Parse refuses another predicate (ErrPredicateType) and whatever
// Statement would not write, byte for byte but for indentation (ErrMalformed).
// Check refuses a document of another artifact (ErrSubject), and one that speaks
// of a module that the artifact does not link (ErrMismatch).
package vex

import (
	"errors"
	"fmt"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

// PredicateType identifies an OpenVEX document, of any version, as
// "cosign verify-blob-attestation --type openvex" has it.
const PredicateType = "https://openvex.dev/ns"

// Why something is refused, each its own.
var (
	ErrInput         = errors.New("what was found does not make an OpenVEX document")
	ErrPredicateType = errors.New("it is no OpenVEX document")
	ErrMalformed     = errors.New("malformed OpenVEX document")
	ErrSubject       = errors.New("it is of another artifact")
	ErrMismatch      = errors.New("it does not say what the record says")
)

// A Status is what a document says of a vulnerability
// (https://github.com/openvex/spec, "Status Labels").
type Status string

// The statuses of OpenVEX.
const (
	NotAffected        Status = "not_affected"        // with a Justification
	Affected           Status = "affected"            // the note says what to do
	Fixed              Status = "fixed"               // though the module's version is one that had it
	UnderInvestigation Status = "under_investigation" // nobody knows yet
)

// CodeNotPresent is the justification of what is in no binary.
const CodeNotPresent = "vulnerable_code_not_present"

// Justifications are all that OpenVEX knows for NotAffected.
var Justifications = []string{
	"component_not_present", CodeNotPresent, "vulnerable_code_not_in_execute_path",
	"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
}

// A Verdict is what is said of one vulnerability in one module of the artifact.
type Verdict struct {
	ID            string   // of the Go vulnerability database: GO-2026-4771
	Aliases       []string // in other databases, sorted: CVE-2026-12345
	Module        string   // path; "stdlib" for the standard library
	Version       string   // that was compiled: v1.2.3, of the standard library 1.26.8
	Status        Status
	Justification string // of NotAffected, one of OpenVEX's
	Note          string // what to do, of Affected; else why, where there is more to say
}

// Open reports whether the verdict leaves something to do or to find out.
func (v Verdict) Open() bool { return v.Status != NotAffected && v.Status != Fixed }

// Data is what was known when the verdicts were made, and what looked.
type Data struct {
	Scanner  string          // module path@version
	Digest   artifact.Digest // of the snapshot of the database
	Modified time.Time       // when the database last changed; whole seconds
}

// A Document is what is said of one artifact.
type Document struct {
	Subject  []intoto.Subject // the archive and its binaries; of an image its manifest
	Product  Product
	Author   string
	Data     Data
	Verdicts []Verdict // sorted by ID and module
}

// A Product names the archive that the verdicts are of, also where the subject
// is an image that was made of it.
type Product struct {
	PURL   string // that the bill of materials has; Parse knows none of a document without a verdict
	Digest artifact.Digest
}

// Statement says of the artifact of r, of that distribution, what was found with
// that data. No verdict says that nothing was found.
func Statement(r artifact.Record, distribution string, of Data, verdicts []Verdict, author string) (intoto.Statement, error) {
	fail := func(err error) (intoto.Statement, error) {
		return intoto.Statement{}, fmt.Errorf("saying which vulnerabilities affect %s: %w: %w", r.Name, ErrInput, err)
	}
	subjects, err := provenance.Subjects(r)
	if err != nil {
		return fail(err)
	}
	d := Document{Subject: subjects, Product: productOf(r, distribution), Author: author, Data: of, Verdicts: verdicts}
	d.Data.Modified = of.Modified.UTC().Truncate(time.Second)
	if err := d.validate(); err != nil {
		return fail(err)
	}
	if err := d.Check(r, distribution); err != nil {
		return fail(err)
	}
	predicate, err := d.predicate()
	if err != nil {
		return fail(err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: subjects, Predicate: predicate}, nil
}

func productOf(r artifact.Record, distribution string) Product {
	return Product{PURL: spdx.ArtifactPURL(distribution, r, r.Name), Digest: r.Digest}
}

// Open are the verdicts that leave something to do or to find out.
func (d Document) Open() (open []Verdict) {
	for _, v := range d.Verdicts {
		if v.Open() {
			open = append(open, v)
		}
	}
	return open
}
