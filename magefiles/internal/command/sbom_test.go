package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// silentDocument is a document that says next to nothing.
const silentDocument = `{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "NAME",
"documentNamespace": "https://example.test/NAME", "creationInfo": {"creators": ["Tool: none"], "created": "2026-01-02T03:04:05Z"},
"packages": [{"name": "NAME", "SPDXID": "SPDXRef-A", "downloadLocation": "NONE", "filesAnalyzed": false}],
"relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-A"}]}
`

func TestSBOM(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	a, b := file("a", strings.ReplaceAll(silentDocument, "NAME", "a")), file("b", strings.ReplaceAll(silentDocument, "NAME", "b"))
	broken := file("broken", "{")
	diff := func(from, to, format string) func() error { return func() error { return DiffSBOM(from, to, format) } }
	show := func(req SBOMRequest) func() error { return func() error { return SBOM(t.Context(), req) } }
	for name, tt := range map[string]struct {
		do     func() error
		status int
		text   string
	}{
		"equal":             {diff(a, a, ""), 0, ""},
		"they differ":       {diff(a, b, "text"), 0, "artifact changed  a -> b\n"},
		"as a page":         {diff(a, a, "markdown"), 0, "# From a to a\n\nNothing changed.\n"},
		"broken":            {diff(a, broken, ""), 1, ""},
		"missing":           {diff(filepath.Join(dir, "none"), b, ""), 1, ""},
		"a directory":       {diff(dir, b, ""), 1, ""},
		"an option first":   {diff("-format=text", a, ""), 2, ""},
		"no name":           {diff(a, "", ""), 2, ""},
		"unknown format":    {diff(a, b, "table"), 2, ""},
		"shown":             {show(SBOMRequest{Path: a}), 0, "WHAT      NAME  VERSION  LICENCE  NOTE\nartifact  a     -        -\n"},
		"shown broken":      {show(SBOMRequest{Path: broken}), 1, ""},
		"path and platform": {show(SBOMRequest{Path: a, Selection: Selection{Platform: "linux/amd64"}}), 2, ""},
	} {
		text, err := said(t, tt.do)
		got := 0
		if err != nil {
			got = status(err)
		}
		if got != tt.status || text != tt.text {
			t.Errorf("%s: status %d, want %d: %v\n%q, want %q", name, got, tt.status, err, text, tt.text)
		}
	}
}

// An artifact without a document is an error, and never left out.
func TestDocuments(t *testing.T) {
	with := artifact.Record{Name: "a.tar.gz", Documents: []artifact.File{{Name: "a.tar.gz.spdx.json"}, {Name: "bin/linux-amd64/hardened/a.spdx.json"}}}
	names, err := documents("dist", []artifact.Record{with})
	if want := []string{filepath.Join("dist", "a.tar.gz.spdx.json")}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v", names, err)
	}
	without := artifact.Record{Name: "b.tar.gz", Documents: []artifact.File{{Name: "bin/linux-amd64/hardened/b.spdx.json"}}}
	if names, err := documents("dist", []artifact.Record{with, without}); err == nil || !strings.Contains(err.Error(), "b.tar.gz") {
		t.Errorf("got %q, %v", names, err)
	}
}
