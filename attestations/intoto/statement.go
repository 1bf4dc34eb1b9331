// Package intoto holds what every statement of this project shares: the
// in-toto Statement v1, its ResourceDescriptor and DigestSet, and the decoder
// for JSON from outside. It is a leaf: it imports the standard library alone.
// A statement has one form, the one that Marshal writes; what Parse returns
// says exactly what its bytes say to any other reader.
//
// # Refusals
//
// Parse and Decode refuse what two readers could read in two ways, or what
// would cost more than it is worth: input that is too large or too deep, that
// is not UTF-8, a key twice or unknown or in other capitals, null, anything
// behind the value. Parse refuses a statement without a subject, and a subject
// without a sha256. The framework asks consumers to ignore fields that they do
// not know (spec/v1, "Parsing rules"); these statements are written here and
// have none, so that one more field means one more hand.
//
// Section names are those of github.com/in-toto/attestation, spec/v1.
package intoto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type identifies the form of statement that this package reads and writes.
const Type = "https://in-toto.io/Statement/v1"

// MediaType is a statement's, as the payloadType of a DSSE envelope has it
// (spec/v1/envelope.md).
const MediaType = "application/vnd.in-toto+json"

// Types of predicate that others define and more than one package speaks of.
// Signature is that of cosign's signature of an image, whose predicate is empty:
// that somebody whose key it is stated it, says all.
const (
	Signature  = "https://sigstore.dev/cosign/sign/v1"
	SPDX       = "https://spdx.dev/Document"
	TestResult = "https://in-toto.io/attestation/test-result/v0.1"
)

// statementLimits is what Parse and Marshal allow. In size and elements the bill
// of materials of the largest component stays below a tenth of it.
var statementLimits = Limits{Size: 64 << 20, Depth: 32, Items: 2_000_000}

// MaxSubjects is how many subjects a statement may have.
const MaxSubjects = 1000

// ErrStatement is what every refusal of a statement wraps, beside the sentinel
// of its reason where there is one.
var ErrStatement = errors.New("malformed in-toto statement")

// The reasons that the JSON of a statement has nothing to do with.
var (
	ErrType      = errors.New("it is no in-toto Statement v1")
	ErrNoSubject = errors.New("a statement needs a subject with a sha256")
)

// A Statement says something of its subjects (statement.md).
type Statement struct {
	Type          string          `json:"_type"` // Type
	PredicateType string          `json:"predicateType"`
	Subject       []Subject       `json:"subject"`   // one at least, each name once
	Predicate     json.RawMessage `json:"predicate"` // an object
}

// A Subject is an artifact that a statement speaks of, named by its digest:
// readers match it by that alone.
type Subject struct {
	Name   string  `json:"name,omitempty"`
	Digest Digests `json:"digest"` // has a sha256
}

// A Resource is anything else that a statement names (resource_descriptor.md).
// It has a URI or a digest at least.
type Resource struct {
	Annotations      map[string]string `json:"annotations,omitempty"`
	Digest           Digests           `json:"digest,omitempty"`
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
}

// Validate refuses a resource that names nothing, whose digests are malformed,
// or that holds characters which are not printable.
func (r Resource) Validate() error {
	if r.URI == "" && len(r.Digest) == 0 {
		return fmt.Errorf("resource %.200q has neither a URI nor a digest", r.Name)
	}
	for _, uri := range []string{r.URI, r.DownloadLocation} {
		if uri == "" {
			continue
		}
		if err := ValidateURI(uri); err != nil {
			return fmt.Errorf("resource %.200q: %w", r.Name, err)
		}
	}
	if err := r.Digest.Validate(); err != nil {
		return fmt.Errorf("resource %.200q: %w", r.Name+r.URI, err)
	}
	for _, s := range []string{r.Name, r.MediaType} {
		if !Printable(s) {
			return fmt.Errorf("resource %.200q holds characters that are not printable", s)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Annotations)) {
		if key == "" || !Printable(key) || !Printable(r.Annotations[key]) {
			return fmt.Errorf("resource %.200q: annotation %.200q has no name or is not printable", r.Name, key)
		}
	}
	return nil
}

// ValidateURI refuses what is neither a ResourceURI nor a TypeURI
// (field_types.md): one that is relative, that holds a password, or whose
// scheme or authority is not in lower case.
func ValidateURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() || u.User != nil || !Printable(uri) || strings.ContainsRune(uri, ' ') {
		return fmt.Errorf("%.200q is no absolute URI without user and password", uri)
	}
	if !strings.HasPrefix(uri, u.Scheme+":") || u.Host != strings.ToLower(u.Host) {
		return fmt.Errorf("scheme or host of %.200q are not in lower case", uri)
	}
	return nil
}

// Printable reports whether s can be shown to a person as it is: UTF-8 of
// letters, marks, digits, punctuation, symbols and the space alone, so neither
// control characters nor what turns the direction of text.
func Printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Marshal writes s in the one form that it has: keys sorted at every depth,
// indented by two spaces, no character escaped that JSON allows as it is but
// U+2028 and U+2029, a newline at the end. It refuses what Parse would.
func Marshal(s Statement) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("writing a statement: %w: %w", ErrStatement, err)
	}
	inside := statementLimits
	inside.Depth--
	if err := check(s.Predicate, nil, inside); err != nil {
		return nil, fmt.Errorf("writing a statement: %w: its predicate: %w", ErrStatement, err)
	}
	data, err := Canonical(s)
	if err != nil {
		return nil, fmt.Errorf("writing a statement: %w: %w", ErrStatement, err)
	}
	if len(data) > statementLimits.Size {
		return nil, fmt.Errorf("writing a statement: %w: %w: more than %d bytes", ErrStatement, ErrTooLarge, statementLimits.Size)
	}
	return data, nil
}

// Canonical is the JSON of v in the form of Marshal. Numbers stay as they are
// written.
func Canonical(v any) ([]byte, error) {
	plain, err := encode(v, "")
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	var tree any // its objects are maps, whose keys are written sorted
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return encode(tree, "  ")
}

func encode(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// Parse reads a statement of at most 64 MiB and 32 levels. It need not be in
// the form of Marshal, but it has to say one thing only; see the package's
// Refusals.
func Parse(data []byte) (Statement, error) {
	var s Statement
	if err := Decode(data, &s, statementLimits); err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if err := s.validate(); err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	return s, nil
}

// validate holds s against statement.md, but for the inside of its predicate.
func (s Statement) validate() error {
	if s.Type != Type {
		return fmt.Errorf("%w: _type is %.200q, want %s", ErrType, s.Type, Type)
	}
	if err := ValidateURI(s.PredicateType); err != nil {
		return fmt.Errorf("predicateType: %w", err)
	}
	if len(s.Subject) == 0 {
		return fmt.Errorf("%w: it has none", ErrNoSubject)
	}
	if len(s.Subject) > MaxSubjects {
		return fmt.Errorf("%w: more than %d subjects", ErrTooLarge, MaxSubjects)
	}
	names := make(map[string]bool, len(s.Subject))
	for _, sub := range s.Subject {
		if sub.Digest["sha256"] == "" {
			return fmt.Errorf("%w: %.200q has none", ErrNoSubject, sub.Name)
		}
		if err := sub.Digest.Validate(); err != nil {
			return fmt.Errorf("subject %.200q: %w", sub.Name, err)
		}
		if !Printable(sub.Name) || names[sub.Name] && sub.Name != "" {
			return fmt.Errorf("subject %.200q is there twice, or its name is not printable", sub.Name)
		}
		names[sub.Name] = true
	}
	if !bytes.HasPrefix(bytes.TrimLeft(s.Predicate, " \t\r\n"), []byte("{")) {
		return errors.New("its predicate is no object")
	}
	return nil
}
