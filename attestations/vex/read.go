package vex

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

// limits is what Parse allows: for every verdict some twenty lines of text.
var limits = intoto.Limits{Size: 16 << 20, Depth: 12, Items: maxVerdicts}

// A document, field by field, as OpenVEX has it (openvex_json_schema.json).
// https://github.com/openvex/spec
type (
	document struct {
		Context    string      `json:"@context"`
		ID         string      `json:"@id"`
		Author     string      `json:"author"`
		Timestamp  time.Time   `json:"timestamp"`
		Version    int         `json:"version"`
		Tooling    string      `json:"tooling"`
		Statements []statement `json:"statements"`
	}
	statement struct {
		Vulnerability   vulnerability `json:"vulnerability"`
		Products        []product     `json:"products"`
		Status          Status        `json:"status"`
		StatusNotes     string        `json:"status_notes,omitempty"`
		Justification   string        `json:"justification,omitempty"`
		ImpactStatement string        `json:"impact_statement,omitempty"`
		ActionStatement string        `json:"action_statement,omitempty"`
	}
	vulnerability struct {
		ID      string   `json:"@id"`
		Name    string   `json:"name"`
		Aliases []string `json:"aliases,omitempty"`
	}
	product struct {
		ID            string            `json:"@id"`
		Hashes        map[string]string `json:"hashes"`
		Identifiers   map[string]string `json:"identifiers"`
		Subcomponents []subcomponent    `json:"subcomponents"`
	}
	subcomponent struct {
		ID          string            `json:"@id"`
		Identifiers map[string]string `json:"identifiers"`
	}
)

// Parse reads the document that s holds. It refuses everything that Statement
// would not have written; that it is of an artifact, and of what that links, is
// for Check to find.
func Parse(s intoto.Statement) (Document, error) {
	if s.PredicateType != PredicateType {
		return Document{}, fmt.Errorf("%w: its predicateType is %.200q, want %s", ErrPredicateType, s.PredicateType, PredicateType)
	}
	d, err := parse(s.Predicate)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	d.Subject = s.Subject
	return d, nil
}

func parse(predicate json.RawMessage) (Document, error) {
	var read document
	if err := intoto.Decode(predicate, &read, limits); err != nil {
		return Document{}, err
	}
	d := Document{Author: read.Author, Data: Data{Modified: read.Timestamp}}
	var err error
	if d.Data.Scanner, d.Data.Digest, err = readTooling(read.Tooling); err != nil {
		return d, err
	}
	// The rest of the name is seen when it is written again.
	if d.Product.Digest, err = artifact.ParseDigest("sha256:" + productIn(read.ID)); err != nil {
		return d, fmt.Errorf("its @id names no product: %w", err)
	}
	for i, s := range read.Statements {
		v, purl, err := s.verdict()
		if err != nil {
			return d, fmt.Errorf("statement %d: %w", i+1, err)
		}
		d.Product.PURL, d.Verdicts = purl, append(d.Verdicts, v)
	}
	if err := d.validate(); err != nil {
		return d, err
	}
	// That every field is there, of one product, and has its one form, is seen when
	// it is written again.
	form, err := d.predicate()
	if err != nil {
		return d, err
	}
	got, err := intoto.Canonical(predicate)
	if err != nil || !bytes.Equal(got, form) {
		return d, errors.New("not in the form that it is written in (another product, a field that is missing, empty or in another place, order of statements, time)")
	}
	return d, nil
}

// productIn is the part of a document's name that tells which product it is of.
func productIn(id string) string {
	digest, _, _ := strings.Cut(strings.TrimPrefix(id, namespace), "-")
	return digest
}

func (s statement) verdict() (v Verdict, product string, err error) {
	if len(s.Products) != 1 || len(s.Products[0].Subcomponents) != 1 {
		return v, "", errors.New("it is of one product and one module of that, and names more or less")
	}
	v = Verdict{ID: s.Vulnerability.Name, Aliases: s.Vulnerability.Aliases, Status: s.Status, Justification: s.Justification}
	v.Note = s.ImpactStatement + s.ActionStatement + s.StatusNotes
	v.Module, v.Version, err = readPURL(s.Products[0].Subcomponents[0].ID)
	return v, s.Products[0].ID, err
}

// readPURL is the module that spdx.GoPURL names so.
func readPURL(purl string) (path, version string, err error) {
	text, golang := strings.CutPrefix(purl, "pkg:golang/")
	path, version, _ = strings.Cut(text, "@")
	if path, err = url.PathUnescape(path); err == nil {
		version, err = url.PathUnescape(version)
	}
	if err != nil || !golang || spdx.GoPURL(path, version) != purl {
		return "", "", fmt.Errorf("%.200q names no Go module", purl)
	}
	return path, version, nil
}

// Check refuses a document that is not of the artifact of r, of that
// distribution, or that speaks of a module which that does not link.
func (d Document) Check(r artifact.Record, distribution string) error {
	want, err := provenance.Subjects(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if !slices.EqualFunc(d.Subject, want, func(a, b intoto.Subject) bool {
		return a.Name == b.Name && len(a.Digest) == 1 && a.Digest["sha256"] == b.Digest["sha256"]
	}) {
		return fmt.Errorf("%w: its subjects are not %s and the binaries in it", ErrSubject, r.Name)
	}
	return d.CheckProduct(r, distribution)
}

// CheckProduct is Check but for the subject: of what is said of an image that was
// made of the artifact.
func (d Document) CheckProduct(r artifact.Record, distribution string) error {
	product := productOf(r, distribution)
	if d.Product.Digest != product.Digest || len(d.Verdicts) > 0 && d.Product != product {
		return fmt.Errorf("%w: it is of %.300q %s, not of %s %s", ErrSubject, d.Product.PURL, d.Product.Digest, r.Name, r.Digest)
	}
	linked := Linked(r)
	for _, v := range d.Verdicts {
		if !slices.Contains(linked[v.Module], v.Version) {
			return fmt.Errorf("%w: %s is said of %s %s, which no binary of it links", ErrMismatch, v.ID, v.Module, v.Version)
		}
	}
	return nil
}

// Linked are the versions that were compiled of each module in the binaries of r,
// and of the standard library.
func Linked(r artifact.Record) map[string][]string {
	all := map[string][]string{}
	for _, b := range r.Binaries {
		golang, _, _ := strings.Cut(strings.TrimPrefix(b.GoVersion, "go"), " ")
		all[Std] = append(all[Std], golang)
		for _, m := range append(slices.Clone(b.Modules), b.Main) {
			version := m.Version
			if m.Replace != nil {
				version = m.Replace.Version
			}
			all[m.Path] = append(all[m.Path], version)
		}
	}
	return all
}
