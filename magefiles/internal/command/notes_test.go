package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/magefiles/internal/audit"
	"palisade/magefiles/internal/dist"
)

// withLamp is silentDocument of a thing that has a lamp in it of some version.
func withLamp(version string) string {
	return strings.NewReplacer("NAME", "beacon", `"filesAnalyzed": false}]`, `"filesAnalyzed": false},
{"name": "example.org/lamp", "SPDXID": "SPDXRef-L", "versionInfo": "`+version+`", "downloadLocation": "NONE", "filesAnalyzed": false,
"externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:golang/example.org/lamp@`+version+`"}]}]`,
		`"relatedSpdxElement": "SPDXRef-A"}`, `"relatedSpdxElement": "SPDXRef-A"}, {"spdxElementId": "SPDXRef-A", "relationshipType": "CONTAINS", "relatedSpdxElement": "SPDXRef-L"}`).Replace(silentDocument)
}

// notable writes a release of one archive into a folder: its index and document.
func notable(t *testing.T, dir, lamp string) artifact.Record {
	t.Helper()
	document := []byte(withLamp(lamp))
	p := artifact.Platform{OS: "linux", Arch: "amd64"}
	binary := artifact.Binary{Name: "beacon", Digest: artifact.DigestBytes([]byte("beacon")), Main: artifact.Module{Path: "example.org/beacon", Version: "v1.0.0", Sum: "h1:x"}}
	r := artifact.Record{
		Name: "beacon-1.0.0-palisade.1.linux-amd64.tar.gz", Component: "beacon", Version: "1.0.0-palisade.1", UpstreamVersion: "1.0.0",
		Platform: p, Variant: "hardened", Digest: artifact.DigestBytes([]byte(lamp)), Recipe: artifact.DigestBytes(nil), Source: binary.Main, Binaries: []artifact.Binary{binary},
	}
	r.Documents = []artifact.File{{Name: dist.Document(r, ""), Size: int64(len(document)), Digest: artifact.DigestBytes(document)}}
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{r}}
	index, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, dist.Index), index)
	put(t, filepath.Join(dir, dist.Document(r, "")), document)
	return r
}

func put(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNotes(t *testing.T) {
	before, now := t.TempDir(), t.TempDir()
	notable(t, before, "v1.0.0")
	r := notable(t, now, "v1.1.0")
	result, err := audit.Statement(audit.Subject{Component: "beacon", Binary: "beacon", Digest: r.Binaries[0].Digest, Record: &r}, []audit.Finding{{Check: "web.headers", Row: 6, Status: audit.Pass, Observation: "there"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(now, dist.TestResult(r)), result)
	fsys := fstest.MapFS{}
	for name, s := range map[string]notesSource{
		"a folder": {dir: now, since: before, patches: fsys},
		"a file":   {dir: now, since: filepath.Join(before, dist.Index), patches: fsys},
	} {
		data, err := s.markdown()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range []string{"| raised | `example.org/lamp` | `v1.0.0` | `v1.1.0` | beacon |\n", "| `beacon-1.0.0-palisade.1.linux-amd64.tar.gz` | passed | 1 | 0 | 0 |\n", "Nobody looked.\n"} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s: it does not say %s:\n%s", name, want, data)
			}
		}
	}

	// What is not what it should be is refused.
	for name, tt := range map[string]struct {
		file, text string
		want       int
	}{
		"another document":         {filepath.Join(before, dist.Document(r, "")), silentDocument, 3},
		"no document":              {filepath.Join(before, dist.Document(r, "")), "", 2},
		"an index of another form": {filepath.Join(before, dist.Index), "{}", 1},
		"no index":                 {filepath.Join(before, dist.Index), "", 2},
		"a result of another type": {filepath.Join(now, dist.TestResult(r)), strings.Replace(string(result), intoto.TestResult, "https://other.example/x", 1), 1},
		"a result that says two things": {filepath.Join(now, dist.TestResult(r)),
			strings.Replace(string(result), `"result": "PASSED"`, `"result": "FAILED"`, 1), 1},
		"advisories of another kind":   {filepath.Join(now, dist.VEX(r)), string(result), 1},
		"an index of releases, broken": {filepath.Join(filepath.Dir(before), "releases.json"), "{", 1},
	} {
		was, err := os.ReadFile(tt.file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		there := err == nil
		if put(t, tt.file, []byte(tt.text)); tt.text == "" {
			if err := os.Remove(tt.file); err != nil {
				t.Fatal(err)
			}
		}
		_, err = notesSource{dir: now, since: before, patches: fsys}.markdown()
		if err == nil || status(outcome(err)) != tt.want {
			t.Errorf("%s: got %v, want status %d", name, err, tt.want)
		}
		if put(t, tt.file, was); !there {
			if err := os.Remove(tt.file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Notes(t.Context(), NotesRequest{Since: "x", First: true}); err == nil || status(err) != 2 {
		t.Errorf("the first one with one before: %v", err)
	}
	empty := ""
	if _, err := NewNotesRequest(nil, &empty, nil); err == nil || status(err) != 2 {
		t.Errorf("an empty flag: %v", err)
	}
}
