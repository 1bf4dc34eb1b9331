package spdx

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// The two kinds of refusal.
var (
	// ErrInput is what every refusal of an Input wraps.
	ErrInput = errors.New("incomplete description")
	// ErrDocument is what every refusal of a document wraps.
	ErrDocument = errors.New("malformed SPDX document")
)

// Tool names the maker of a document's content; its number is raised when the
// same Input comes to be described otherwise.
const Tool = "palisade-1"

// sbomType is CISA's and OpenChain's word for what is made during a build.
const sbomType = "SBOM Type: Build"

// A Document is an SPDX 2.3 document that was made here, or read and found
// valid. Only Describe, DescribeBinary and Parse make one.
type Document struct{ doc *v2_3.Document }

// Encode writes d in the one form that it has: UTF-8 JSON, indented by two
// spaces, keys in the order of SPDX's model.
func (d *Document) Encode() ([]byte, error) {
	data, err := encode(d.doc)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDocument, MaxSize)
	}
	return data, nil
}

func encode(doc *v2_3.Document) ([]byte, error) {
	var buf bytes.Buffer
	if err := spdxjson.Write(doc, &buf, spdxjson.Indent("  "), spdxjson.EscapeHTML(false)); err != nil {
		return nil, fmt.Errorf("%w: encoding: %w", ErrDocument, err)
	}
	return buf.Bytes(), nil
}

// seal gives doc the namespace that only its content has.
func seal(doc *v2_3.Document, namespace string) error {
	digest, err := contentDigest(doc)
	doc.DocumentNamespace = namespace + "/spdx/" + namePath(doc) + "/" + digest
	return err
}

// contentDigest is the SHA-256 of doc, encoded with an empty namespace.
func contentDigest(doc *v2_3.Document) (string, error) {
	unnamed := *doc
	unnamed.DocumentNamespace = ""
	data, err := encode(&unnamed)
	return artifact.DigestBytes(data).Hex(), err
}

// namePath is doc's name as a path of an address.
func namePath(doc *v2_3.Document) string {
	parts := strings.Split(doc.DocumentName, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
