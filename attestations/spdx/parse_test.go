package spdx

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func golden(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "sample-beaconctl.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Each edit of a good document breaks it.
func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, old, new, says string }{
		{"not JSON", `"spdxVersion"`, `spdxVersion`, "invalid"},
		{"a list", `{`, `[{`, "may stand there"},
		{"cut off", "  ]\n}\n", "", "EOF"},
		{"something behind it", "  ]\n}\n", "  ]\n}\n{}", "follows"},
		{"not UTF-8", `"name": "stdlib"`, "\"name\": \"std\xfflib\"", "UTF-8"},
		{"unknown key", `"name": "stdlib"`, `"name": "stdlib", "colour": "red"`, "colour"},
		{"key in other capitals", `"name": "stdlib"`, `"Name": "stdlib"`, "Name"},
		{"key of a CycloneDX document", `"dataLicense"`, `"specVersion": "1.6", "dataLicense"`, "specVersion"},
		{"files inside a package, as only one tool writes", `"name": "stdlib"`, `"name": "stdlib", "files": []`, "files"},
		{"key twice", `"name": "stdlib"`, `"name": "stdlib", "name": "stdlib"`, "twice"},
		{"null", `"name": "stdlib"`, `"name": null`, "may stand there"},
		{"null as an element", `"relationships": [`, `"relationships": [ null,`, "may stand there"},
		{"number for text", `"name": "stdlib"`, `"name": 1`, "may stand there"},
		{"object for text", `"name": "stdlib"`, `"name": {"a": 1}`, "may stand there"},
		{"text for truth", `"filesAnalyzed": false`, `"filesAnalyzed": "false"`, "may stand there"},
		{"deep", `"name": "stdlib"`, `"name": ` + strings.Repeat("[", 100_000), "may stand there"},
		{"other version", `"SPDX-2.3"`, `"SPDX-2.2"`, "spdxVersion"},
		{"other licence of the data", `"CC0-1.0"`, `"MIT"`, "dataLicense"},
		{"other identifier of its own", `"SPDXID": "SPDXRef-DOCUMENT"`, `"SPDXID": "SPDXRef-DOC"`, "SPDXID"},
		{"no name", `"name": "beacon-1.2.0-palisade.1.linux-amd64/beaconctl",`, ``, "no name"},
		{"no time", `"created": "2023-11-14T22:13:20Z"`, `"created": "yesterday"`, "created"},
		{"creator of no kind", `"Tool: palisade-1"`, `"Robot: palisade-1"`, "Robot"},
		{"creator without a name", `"Tool: palisade-1"`, `"Tool: "`, "Tool"},
		{"identifier without its prefix", `"SPDXID": "SPDXRef-Go-stdlib-1.26.8"`, `"SPDXID": "Go-stdlib-1.26.8"`, "stdlib"},
		{"identifier with a space", `"SPDXID": "SPDXRef-Go-stdlib-1.26.8"`, `"SPDXID": "SPDXRef-Go stdlib"`, "malformed"},
		{"identifier twice", `"SPDXID": "SPDXRef-Go-stdlib-1.26.8"`, `"SPDXID": "SPDXRef-Tool-go-1.26.8"`, "twice"},
		{"package without a name", `"name": "stdlib"`, `"name": ""`, "no name"},
		{"supplier of no kind", `"supplier": "Organization: golang.org`, `"supplier": "Company: golang.org`, "Company"},
		{"supplier without a kind", `"supplier": "Organization: golang.org`, `"supplier": "golang.org`, "golang.org"},
		{"h1 as SHA256", `"checksumValue": "` + digestOf("beaconctl").Hex(), `"checksumValue": "` + h1Of("beaconctl"), "SHA256"},
		{"SHA1 as SHA256", `"checksumValue": "` + digestOf("beaconctl").Hex(), `"checksumValue": "` + hashesOf("beaconctl").SHA1, "SHA256"},
		{"unknown checksum", `"algorithm": "SHA512"`, `"algorithm": "CRC32"`, "CRC32"},
		{"file without a name", `"fileName": "./beaconctl"`, `"fileName": ""`, "fileName"},
		{"relationship to nothing", `"relatedSpdxElement": "SPDXRef-Go-stdlib-1.26.8"`, `"relatedSpdxElement": "SPDXRef-Go-stdlib-1.26.9"`, "does not exist"},
		{"relationship from nothing", `"spdxElementId": "SPDXRef-Tool-go-1.26.8"`, `"spdxElementId": "SPDXRef-Tool-go-1.26.9"`, "does not exist"},
		{"relationship from NONE", `"spdxElementId": "SPDXRef-Tool-go-1.26.8"`, `"spdxElementId": "NONE"`, "does not exist"},
		{"relationship to an unknown document", `"relatedSpdxElement": "SPDXRef-Go-stdlib-1.26.8"`, `"relatedSpdxElement": "DocumentRef-x:SPDXRef-y"`, "does not exist"},
		{"relationship of no type", `"relationshipType": "DESCRIBES"`, `"relationshipType": ""`, "no type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			broken := strings.Replace(golden(t), tt.old, tt.new, 1)
			if broken == golden(t) {
				t.Fatal("the edit changes nothing")
			}
			d, err := Parse(strings.NewReader(broken))
			if !errors.Is(err, ErrDocument) || d != nil {
				t.Fatalf("Parse: %v, %v, want ErrDocument", d, err)
			}
			if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 1000 {
				t.Errorf("%v\ndoes not say %q, or too much", err, tt.says)
			}
		})
	}
}

// What is too large is refused before anything is made of it.
func TestParseBounds(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(`{"name": "`), strings.NewReader(strings.Repeat("a", MaxSize)))
	if _, err := Parse(endless); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a document above MaxSize: %v, want ErrDocument", err)
	}
	crowded := `{"packages": [` + strings.Repeat("{},", maxPackages) + `{}]}`
	if _, err := Parse(strings.NewReader(crowded)); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), "more than 50000 elements") {
		t.Errorf("a document with too many packages: %v, want ErrDocument", err)
	}
}

// foreign is a valid document that we would not make.
const foreign = `{
  "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "theirs", "documentNamespace": "urn:uuid:1",
  "creationInfo": {"created": "2020-01-02T03:04:05+01:00", "creators": ["Person: Ada \"A\" <x>", "Tool: other"], "licenseListVersion": "3.9"},
  "documentDescribes": ["SPDXRef-p"],
  "externalDocumentRefs": [{"externalDocumentId": "DocumentRef-x", "spdxDocument": "urn:uuid:2", "checksum": {"algorithm": "SHA1", "checksumValue": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}}],
  "packages": [{"SPDXID": "SPDXRef-p", "name": "p", "downloadLocation": "NOASSERTION", "hasFiles": ["SPDXRef-f"], "supplier": "Person: \"Cowboy\" Ben \\ \"B\"", "originator": "NOASSERTION",
    "externalRefs": [{"referenceCategory": "PACKAGE_MANAGER", "referenceType": "purl", "referenceLocator": "pkg:npm/p@1"}], "checksums": [{"algorithm": "MD5", "checksumValue": "D41D8CD98F00B204E9800998ECF8427E"}]}],
  "files": [{"SPDXID": "SPDXRef-f", "fileName": "f", "checksums": []}],
  "snippets": [{"SPDXID": "SPDXRef-s", "snippetFromFile": "SPDXRef-f", "ranges": [{"startPointer": {"reference": "SPDXRef-f", "offset": 1}, "endPointer": {"reference": "SPDXRef-f", "offset": 2}}]}],
  "revieweds": [{"reviewer": "Person: Eve", "reviewDate": "2020-01-02T03:04:05Z"}],
  "annotations": [{"annotator": "Person: \"Eve\"", "annotationDate": "2020-01-02T03:04:05Z", "annotationType": "REVIEW", "comment": "fine"}],
  "relationships": [
    {"spdxElementId": "SPDXRef-p", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": "NONE"},
    {"spdxElementId": "SPDXRef-p", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": "DocumentRef-x:SPDXRef-q"},
    {"spdxElementId": "SPDXRef-s", "relationshipType": "COPY_OF", "relatedSpdxElement": "SPDXRef-f"}]
}`

// A valid document of another maker is read, written and read again, though
// Check says that it is none of ours. Names are as they were meant, not as
// JSON escapes them.
func TestParseForeign(t *testing.T) {
	d, err := Parse(strings.NewReader(foreign))
	if err != nil {
		t.Fatal(err)
	}
	p := d.doc.Packages[0]
	for got, want := range map[string]string{
		p.PackageSupplier.Supplier:               `"Cowboy" Ben \ "B"`,
		d.doc.CreationInfo.Creators[0].Creator:   `Ada "A" <x>`,
		d.doc.Annotations[0].Annotator.Annotator: `"Eve"`,
	} {
		if got != want {
			t.Errorf("a name reads as %s, want %s", got, want)
		}
	}
	if got := related(d, "p", "CONTAINS"); len(got) != 1 || got[0] != "f" {
		t.Errorf("hasFiles reads as %q", got)
	}
	first := encoded(t, d, nil)
	again, err := Parse(bytes.NewReader(first))
	if second := encoded(t, again, err); !bytes.Equal(first, second) {
		t.Errorf("written, read and written again it is\n%s\nand was\n%s", second, first)
	}
	if err := d.Check(); !errors.Is(err, ErrDocument) {
		t.Errorf("Check: %v, want ErrDocument", err)
	}
}

// Whatever is read can be written, and reads as the same again. Nothing makes
// reading or checking panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(golden(f)))
	image, err := os.ReadFile(filepath.Join("testdata", "sample-image.spdx.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image)
	f.Add(bytes.Replace(image, []byte("DocumentRef-linux-arm64:"), []byte("DocumentRef-linux-amd64:"), 1))
	f.Add(bytes.Replace(image, []byte("./bin/beaconctl"), []byte("./bin/beacon"), 1))
	f.Add([]byte(foreign))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"spdxVersion": "SPDX-2.3", "packages": [{"SPDXID": "SPDXRef-a"}]}`))
	f.Add([]byte(strings.Replace(golden(f), `"licenseConcluded": "Apache-2.0"`, `"licenseConcluded": "((GPL-2.0-or-later+ WITH"`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Fatalf("%v does not wrap ErrDocument", err)
			}
			return
		}
		if said, err := d.Image(); err == nil {
			listed := map[string]bool{}
			for _, p := range said.Platforms {
				for name := range p.Files {
					listed["./"+name] = true
				}
			}
			for _, f := range d.doc.Files {
				if !listed[f.FileName] {
					t.Errorf("%s is in no platform's image", f.FileName)
				}
			}
			if err := said.Same(said); err != nil {
				t.Error(err)
			}
		}
		first, err := d.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := Parse(bytes.NewReader(first))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if second, err := back.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("reading it again changes it: %v\n%s\n%s", err, first, second)
		}
	})
}
