package spdx

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

// MaxSize bounds a document, in bytes.
const MaxSize = 64 << 20

// Parse reads a valid SPDX 2.3 JSON document of anybody's making, of at most
// MaxSize bytes. It refuses what scan does, and a document that contradicts
// itself: an identifier twice, a relationship to nothing, a checksum that is
// none. Whether it keeps the promises of this package is for Check to say.
func Parse(r io.Reader) (*Document, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDocument, MaxSize)
	}
	if err := scan(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	var doc v2_3.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if err := rereadPeople(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if err := validate(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return &Document{&doc}, nil
}

// rereadPeople reads the names of people and organisations again:
// tools-golang takes them as they are escaped in JSON.
func rereadPeople(data []byte, doc *v2_3.Document) error {
	type annotations []struct{ Annotator string }
	var said struct {
		CreationInfo struct{ Creators []string }
		Annotations  annotations
		Packages     []struct {
			Supplier, Originator string
			Annotations          annotations
		}
		Files []struct{ Annotations annotations }
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return err
	}
	reread := func(kind, name *string, s string) {
		if k, n, ok := strings.Cut(s, ":"); ok && s != "NOASSERTION" {
			*kind, *name = strings.TrimSpace(k), strings.TrimSpace(n)
		}
	}
	for i, s := range said.CreationInfo.Creators {
		reread(&doc.CreationInfo.Creators[i].CreatorType, &doc.CreationInfo.Creators[i].Creator, s)
	}
	for i, a := range said.Annotations {
		reread(&doc.Annotations[i].Annotator.AnnotatorType, &doc.Annotations[i].Annotator.Annotator, a.Annotator)
	}
	for i, p := range said.Packages {
		if s := doc.Packages[i].PackageSupplier; s != nil {
			reread(&s.SupplierType, &s.Supplier, p.Supplier)
		}
		if o := doc.Packages[i].PackageOriginator; o != nil {
			reread(&o.OriginatorType, &o.Originator, p.Originator)
		}
		for j, a := range p.Annotations {
			reread(&doc.Packages[i].Annotations[j].Annotator.AnnotatorType, &doc.Packages[i].Annotations[j].Annotator.Annotator, a.Annotator)
		}
	}
	for i, f := range said.Files {
		for j, a := range f.Annotations {
			reread(&doc.Files[i].Annotations[j].Annotator.AnnotatorType, &doc.Files[i].Annotations[j].Annotator.Annotator, a.Annotator)
		}
	}
	return nil
}

// idForm is an element's identifier behind "SPDXRef-" (7.2, 8.2).
var idForm = regexp.MustCompile(`^[a-zA-Z0-9.\-]+$`)

// validate holds doc against what SPDX 2.3 itself demands.
func validate(doc *v2_3.Document) error {
	switch c := doc.CreationInfo; {
	case doc.SPDXVersion != v2_3.Version:
		return fmt.Errorf("spdxVersion is %.40q, want %s", doc.SPDXVersion, v2_3.Version)
	case doc.DataLicense != v2_3.DataLicense:
		return fmt.Errorf("dataLicense is %.40q, want %s", doc.DataLicense, v2_3.DataLicense)
	case doc.SPDXIdentifier != "DOCUMENT":
		return fmt.Errorf("SPDXID is %.40q, want SPDXRef-DOCUMENT", doc.SPDXIdentifier)
	case doc.DocumentName == "" || doc.DocumentNamespace == "":
		return fmt.Errorf("it has no name or no namespace")
	case c == nil || len(c.Creators) == 0:
		return fmt.Errorf("it does not say who made it")
	default:
		if _, err := time.Parse(time.RFC3339, c.Created); err != nil {
			return fmt.Errorf("created: %w", err)
		}
		for _, creator := range c.Creators {
			if err := person(creator.CreatorType, creator.Creator, "Person", "Organization", "Tool"); err != nil {
				return err
			}
		}
	}
	known, err := elements(doc)
	if err != nil {
		return err
	}
	return validateRelationships(doc, known)
}

func person(kind, name string, kinds ...string) error {
	for _, k := range kinds {
		if kind == k && name != "" {
			return nil
		}
	}
	return fmt.Errorf("%.80q is no %s", kind+": "+name, strings.Join(kinds, ", "))
}

// elements holds every package, file and snippet against SPDX 2.3 and returns
// their identifiers, the document's among them.
func elements(doc *v2_3.Document) (map[common.ElementID]bool, error) {
	known := map[common.ElementID]bool{"DOCUMENT": true}
	enter := func(id common.ElementID) error {
		if !idForm.MatchString(string(id)) || known[id] {
			return fmt.Errorf("SPDXID %.200q is malformed or there twice", id)
		}
		known[id] = true
		return nil
	}
	for _, p := range doc.Packages {
		err := enter(p.PackageSPDXIdentifier)
		if err == nil && (p.PackageName == "" || p.PackageDownloadLocation == "") {
			err = fmt.Errorf("it has no name or no downloadLocation")
		}
		if s := p.PackageSupplier; err == nil && s != nil && s.Supplier != "NOASSERTION" {
			err = person(s.SupplierType, s.Supplier, "Person", "Organization")
		}
		if o := p.PackageOriginator; err == nil && o != nil && o.Originator != "NOASSERTION" {
			err = person(o.OriginatorType, o.Originator, "Person", "Organization")
		}
		if err == nil {
			err = validateDetails(p.PackageChecksums, p.Annotations)
		}
		if err != nil {
			return nil, fmt.Errorf("package %.200q: %w", p.PackageSPDXIdentifier, err)
		}
	}
	for _, f := range doc.Files {
		err := enter(f.FileSPDXIdentifier)
		if err == nil && f.FileName == "" {
			err = fmt.Errorf("it has no fileName")
		}
		if err == nil {
			err = validateDetails(f.Checksums, f.Annotations)
		}
		if err != nil {
			return nil, fmt.Errorf("file %.200q: %w", f.FileSPDXIdentifier, err)
		}
	}
	for _, s := range doc.Snippets {
		if err := enter(s.SnippetSPDXIdentifier); err != nil {
			return nil, err
		}
	}
	for _, a := range doc.Annotations {
		if err := validateDetails(nil, []v2_3.Annotation{*a}); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func validateDetails(sums []common.Checksum, annotations []v2_3.Annotation) error {
	for _, c := range sums {
		if !isDigest(c.Algorithm, c.Value) {
			return fmt.Errorf("%.140q is no %.20q checksum", c.Value, c.Algorithm)
		}
	}
	for _, a := range annotations {
		if err := person(a.Annotator.AnnotatorType, a.Annotator.Annotator, "Person", "Organization", "Tool"); err != nil {
			return err
		}
	}
	return nil
}

// validateRelationships refuses a relationship whose end is in neither this
// document nor one that it refers to.
func validateRelationships(doc *v2_3.Document, known map[common.ElementID]bool) error {
	others := map[common.DocumentID]bool{}
	for _, ref := range doc.ExternalDocumentReferences {
		others[ref.DocumentRefID] = true
	}
	snippets := map[common.ElementID]bool{}
	for _, s := range doc.Snippets {
		snippets[s.SnippetSPDXIdentifier] = true
	}
	// tools-golang's own validation knows neither snippets, nor other
	// documents, nor NONE and NOASSERTION (11.1): it gets the rest.
	plain := *doc
	plain.Relationships = nil
	for _, r := range doc.Relationships {
		ours := true
		for i, end := range []common.DocElementID{r.RefA, r.RefB} {
			switch {
			case end.SpecialID != "" && i == 1, end.DocumentRefID != "" && others[end.DocumentRefID]:
				ours = false
			case end.SpecialID != "" || end.DocumentRefID != "" || !known[end.ElementRefID]:
				return fmt.Errorf("relationship %.200q %.40q %.200q: one end does not exist", common.RenderDocElementID(r.RefA), r.Relationship, common.RenderDocElementID(r.RefB))
			case snippets[end.ElementRefID]:
				ours = false
			}
		}
		if r.Relationship == "" {
			return fmt.Errorf("a relationship of %.200q has no type", r.RefA.ElementRefID)
		}
		if ours {
			plain.Relationships = append(plain.Relationships, r)
		}
	}
	return spdxlib.ValidateDocument(&plain)
}
