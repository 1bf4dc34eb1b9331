package vex

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/spdx"
)

// Std is the module path that stands for the standard library.
const Std = "stdlib"

// What every document has: the version of OpenVEX that it is of, and the space of
// names that is for everybody's documents.
const (
	context   = "https://openvex.dev/ns/v0.2.0"
	namespace = "https://openvex.dev/docs/public/vex-"
)

// Bounds of one document. Real ones have a few dozen verdicts.
const (
	maxVerdicts = 5000
	maxAliases  = 50
	maxNote     = 2000 // bytes
)

var (
	idForm      = regexp.MustCompile(`^GO-[0-9]{4}-[0-9]{4,10}$`)
	aliasForm   = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,19}-[A-Za-z0-9.\-]{1,60}$`)
	scannerForm = regexp.MustCompile(`^[a-z0-9.\-/]{1,100}@v[0-9A-Za-z.\-+]{1,100}$`)
)

// ValidID reports whether id is one of the Go vulnerability database, of which no
// reader makes a path that leads elsewhere.
func ValidID(id string) bool { return idForm.MatchString(id) }

// ValidAlias reports whether a name is of the form that other databases have.
func ValidAlias(name string) bool { return aliasForm.MatchString(name) }

// validate holds every field against what is documented of it; Check knows what
// the artifact is.
func (d Document) validate() error {
	switch {
	case d.Author == "" || len(d.Author) > 200 || !intoto.Printable(d.Author):
		return fmt.Errorf("its author is %.200q", d.Author)
	case d.Product.Digest.IsZero():
		return errors.New("its product has no digest")
	case !scannerForm.MatchString(d.Data.Scanner):
		return fmt.Errorf("what looked is %.200q", d.Data.Scanner)
	case d.Data.Digest.IsZero() || d.Data.Modified.Unix() <= 0 || d.Data.Modified.Nanosecond() != 0 || d.Data.Modified.Location() != time.UTC:
		return errors.New("its data has no digest, or no time in whole seconds")
	case len(d.Verdicts) > maxVerdicts:
		return fmt.Errorf("more than %d verdicts", maxVerdicts)
	}
	for i, v := range d.Verdicts {
		if err := v.validate(); err != nil {
			return fmt.Errorf("%.40q in %.200q: %w", v.ID, v.Module, err)
		}
		if i > 0 && Order(d.Verdicts[i-1], v) >= 0 {
			return fmt.Errorf("%s in %s is there twice or out of order", v.ID, v.Module)
		}
	}
	return nil
}

// Order is the one in which verdicts stand.
func Order(a, b Verdict) int {
	if n := strings.Compare(a.ID, b.ID); n != 0 {
		return n
	}
	return strings.Compare(a.Module, b.Module)
}

func (v Verdict) validate() error {
	if !ValidID(v.ID) {
		return errors.New("it is no id of the Go vulnerability database")
	}
	if len(v.Aliases) > maxAliases || !slices.IsSorted(v.Aliases) || len(slices.Compact(slices.Clone(v.Aliases))) != len(v.Aliases) {
		return errors.New("its aliases are too many, not sorted, or there twice")
	}
	for _, a := range v.Aliases {
		if !ValidAlias(a) {
			return fmt.Errorf("its alias is %.100q", a)
		}
	}
	version := v.Version
	if v.Module == Std {
		version = "v" + version
	} else if err := module.CheckPath(v.Module); err != nil {
		return err
	}
	if !semver.IsValid(version) || len(version) > 200 {
		return fmt.Errorf("the version is %.100q", v.Version)
	}
	if len(v.Note) > maxNote || !intoto.Printable(v.Note) || v.Note != strings.TrimSpace(v.Note) {
		return fmt.Errorf("the note is not one printable line of at most %d bytes: %.200q", maxNote, v.Note)
	}
	switch {
	case !slices.Contains([]Status{NotAffected, Affected, Fixed, UnderInvestigation}, v.Status):
		return fmt.Errorf("%.40q is no status of OpenVEX", v.Status)
	case v.Status == NotAffected && !slices.Contains(Justifications, v.Justification):
		return fmt.Errorf("%s needs a justification, and %.80q is none of OpenVEX's", v.Status, v.Justification)
	case v.Status != NotAffected && v.Justification != "":
		return fmt.Errorf("%s has no justification", v.Status)
	case v.Status == Affected && v.Note == "":
		return fmt.Errorf("%s has to say what to do", v.Status)
	}
	return nil
}

// purl names the module as the bill of materials does.
func (v Verdict) purl() string { return spdx.GoPURL(v.Module, v.Version) }

// toolingOf says what looked and what it knew, and tooling reads it.
func toolingOf(d Data) string { return fmt.Sprintf("%s, database %s", d.Scanner, d.Digest) }

func readTooling(text string) (scanner string, digest artifact.Digest, err error) {
	scanner, name, ok := strings.Cut(text, ", database ")
	if !ok {
		return "", digest, fmt.Errorf("its tooling is %.200q", text)
	}
	digest, err = artifact.ParseDigest(name)
	return scanner, digest, err
}

// predicate is the document in JSON, in the form of intoto.Marshal.
func (d Document) predicate() (json.RawMessage, error) {
	doc := document{
		Context: context, Author: d.Author, Timestamp: d.Data.Modified, Version: 1, Tooling: toolingOf(d.Data),
		Statements: []statement{},
	}
	of := product{
		ID: d.Product.PURL, Hashes: map[string]string{"sha-256": d.Product.Digest.Hex()}, Identifiers: map[string]string{"purl": d.Product.PURL},
	}
	for _, v := range d.Verdicts {
		doc.Statements = append(doc.Statements, v.statement(of))
	}
	text, err := intoto.Canonical(doc)
	if err != nil {
		return nil, err
	}
	// By its product, which a document without statements does not name, and by what it says.
	doc.ID = namespace + d.Product.Digest.Hex() + "-" + artifact.DigestBytes(text).Hex()
	return intoto.Canonical(doc)
}

func (v Verdict) statement(of product) statement {
	of.Subcomponents = []subcomponent{{ID: v.purl(), Identifiers: map[string]string{"purl": v.purl()}}}
	s := statement{
		Vulnerability: vulnerability{ID: addressOf(v.ID), Name: v.ID, Aliases: v.Aliases},
		Products:      []product{of}, Status: v.Status, Justification: v.Justification,
	}
	switch v.Status {
	case NotAffected:
		s.ImpactStatement = v.Note
	case Affected:
		s.ActionStatement = v.Note
	default:
		s.StatusNotes = v.Note
	}
	return s
}

// addressOf is where a person reads of a vulnerability.
func addressOf(id string) string { return "https://pkg.go.dev/vuln/" + id }
