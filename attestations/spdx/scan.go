package spdx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// A shape is what SPDX 2.3's JSON schema allows at one place: a kind, an
// object or a list.
type shape interface{}

// kind is the shape of a value that holds no others.
type kind byte

const (
	stringKind kind = iota
	boolKind
	numberKind
)

// object allows these keys and no others, as the schema does.
type object map[string]shape

// A list allows so many elements of one shape.
type list struct {
	of  shape
	max int
}

// What a document may hold at most. A release of the largest component stays
// below a hundredth of each.
const (
	maxPackages      = 50_000
	maxFiles         = 200_000
	maxRelationships = 2_000_000
	maxOthers        = 50_000 // elements of any other list
)

func several(of shape) list { return list{of, maxOthers} }

var (
	annotationShape = object{"annotationDate": stringKind, "annotationType": stringKind, "annotator": stringKind, "comment": stringKind}
	checksumShape   = object{"algorithm": stringKind, "checksumValue": stringKind}
	pointerShape    = object{"lineNumber": numberKind, "offset": numberKind, "reference": stringKind}

	packageShape = object{
		"SPDXID": stringKind, "annotations": several(annotationShape), "attributionTexts": several(stringKind), "builtDate": stringKind,
		"checksums": several(checksumShape), "comment": stringKind, "copyrightText": stringKind, "description": stringKind, "downloadLocation": stringKind,
		"externalRefs":  several(object{"comment": stringKind, "referenceCategory": stringKind, "referenceLocator": stringKind, "referenceType": stringKind}),
		"filesAnalyzed": boolKind, "hasFiles": list{stringKind, maxFiles}, "homepage": stringKind, "licenseComments": stringKind, "licenseConcluded": stringKind,
		"licenseDeclared": stringKind, "licenseInfoFromFiles": several(stringKind), "name": stringKind, "originator": stringKind, "packageFileName": stringKind,
		"packageVerificationCode": object{"packageVerificationCodeExcludedFiles": several(stringKind), "packageVerificationCodeValue": stringKind},
		"primaryPackagePurpose":   stringKind, "releaseDate": stringKind, "sourceInfo": stringKind, "summary": stringKind, "supplier": stringKind, "validUntilDate": stringKind, "versionInfo": stringKind,
	}
	fileShape = object{
		"SPDXID": stringKind, "annotations": several(annotationShape), "artifactOfs": several(object{"name": stringKind, "homePage": stringKind, "URI": stringKind}),
		"attributionTexts": several(stringKind), "checksums": several(checksumShape), "comment": stringKind, "copyrightText": stringKind,
		"fileContributors": several(stringKind), "fileDependencies": several(stringKind), "fileName": stringKind, "fileTypes": several(stringKind),
		"licenseComments": stringKind, "licenseConcluded": stringKind, "licenseInfoInFiles": several(stringKind), "noticeText": stringKind,
	}
	snippetShape = object{
		"SPDXID": stringKind, "annotations": several(annotationShape), "attributionTexts": several(stringKind), "comment": stringKind, "copyrightText": stringKind,
		"licenseComments": stringKind, "licenseConcluded": stringKind, "licenseInfoInSnippets": several(stringKind), "name": stringKind,
		"ranges": several(object{"endPointer": pointerShape, "startPointer": pointerShape}), "snippetFromFile": stringKind,
	}
	licenceShape = object{
		"comment": stringKind, "crossRefs": several(object{"isLive": boolKind, "isValid": boolKind, "isWayBackLink": boolKind, "match": stringKind, "order": numberKind, "timestamp": stringKind, "url": stringKind}),
		"extractedText": stringKind, "licenseId": stringKind, "name": stringKind, "seeAlsos": several(stringKind),
	}
	documentShape = object{
		"SPDXID": stringKind, "annotations": several(annotationShape), "comment": stringKind,
		"creationInfo": object{"comment": stringKind, "created": stringKind, "creators": several(stringKind), "licenseListVersion": stringKind},
		"dataLicense":  stringKind, "documentDescribes": several(stringKind), "documentNamespace": stringKind,
		"externalDocumentRefs": several(object{"checksum": checksumShape, "externalDocumentId": stringKind, "spdxDocument": stringKind}),
		"files":                list{fileShape, maxFiles}, "hasExtractedLicensingInfos": several(licenceShape), "name": stringKind, "packages": list{packageShape, maxPackages},
		"relationships": list{object{"comment": stringKind, "relatedSpdxElement": stringKind, "relationshipType": stringKind, "spdxElementId": stringKind}, maxRelationships},
		"revieweds":     several(object{"comment": stringKind, "reviewDate": stringKind, "reviewer": stringKind}), "snippets": several(snippetShape), "spdxVersion": stringKind,
	}
)

// scan refuses JSON that is not of SPDX 2.3's shape before anything is made of
// it: an unknown key, a key twice, null, too many elements, a value of another
// kind, invalid UTF-8, anything behind the value. The shape bounds the depth.
func scan(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := scanValue(dec, documentShape); err != nil {
		return fmt.Errorf("near byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("near byte %d: something follows its value", dec.InputOffset())
	}
	return nil
}

func scanValue(dec *json.Decoder, s shape) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	ok := false
	switch s := s.(type) {
	case object:
		if token == json.Delim('{') {
			return scanObject(dec, s)
		}
	case list:
		if token == json.Delim('[') {
			return scanList(dec, s)
		}
	case kind:
		switch token.(type) {
		case string:
			ok = s == stringKind
		case bool:
			ok = s == boolKind
		case json.Number:
			ok = s == numberKind
		}
	}
	if !ok {
		return fmt.Errorf("%v is not what may stand there", token)
	}
	return nil
}

func scanObject(dec *json.Decoder, s object) error {
	seen := make(map[string]bool, len(s))
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		of, known := s[key]
		switch {
		case !known:
			return fmt.Errorf("key %.100q is not SPDX 2.3's", key)
		case seen[key]:
			return fmt.Errorf("key %q is there twice", key)
		}
		seen[key] = true
		if err := scanValue(dec, of); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	_, err := dec.Token()
	return err
}

func scanList(dec *json.Decoder, s list) error {
	for n := 0; dec.More(); n++ {
		if n == s.max {
			return fmt.Errorf("more than %d elements", s.max)
		}
		if err := scanValue(dec, s.of); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}
