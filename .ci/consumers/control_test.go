package consumers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestControl breaks a document in ways that the programs have to see: none of
// the tests above passes because nothing is looked at.
func TestControl(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	smallest := slices.MinFunc(docs, func(a, b *document) int { return len(a.Packages) - len(b.Packages) })
	module := slices.IndexFunc(smallest.Packages, func(p *spdxPackage) bool {
		return strings.HasPrefix(p.purl(), "pkg:golang/github.com/") && p.CopyrightText != "NONE" && !p.generated
	})
	for _, tt := range []struct {
		field, value string // of a Go module; no value takes it away
		guideline    string // "" for the schema
		short        string
	}{
		{"supplier", `"Organization: nobody"`, "ntia", "Package Supplier"},
		{"versionInfo", "", "ntia", "Package Version"},
		{"checksums", "", "bsi", "Hash value of the executable component"},
		{"licenseConcluded", `"NOASSERTION"`, "bsi-v2", "associated license"},
		{"licenseConcluded", `"No-Such-Licence-1.0"`, "bsi-v2", "associated license"},
		{"copyrightText", `"NOASSERTION"`, "oct", "Package copyright"},
		{"externalRefs", "", "fsct", "Component Unique ID"},
		{"downloadLocation", "", "", ""},
		{"primaryPackagePurpose", `"MODULE"`, "", ""},
		{"h1", `"h1:"`, "", ""},
	} {
		t.Run(tt.field+tt.value, func(t *testing.T) {
			t.Parallel()
			var raw map[string]json.RawMessage
			read(t, smallest.path, &raw)
			var packages []map[string]json.RawMessage
			if err := json.Unmarshal(raw["packages"], &packages); err != nil {
				t.Fatal(err)
			}
			if delete(packages[module], tt.field); tt.value != "" {
				packages[module][tt.field] = json.RawMessage(tt.value)
			}
			broken := write(t, raw, packages)
			if tt.guideline == "" {
				if err := validate(t, broken.path); err == nil {
					t.Error("sbom-utility takes it for valid")
				}
				return
			}
			want := shortfall{tt.guideline, tt.short, elementID(broken.Packages[module])}
			if judge(t, smallest, tt.guideline)[shortfall{tt.guideline, tt.short, elementID(smallest.Packages[module])}] {
				t.Fatalf("%v is short before it is broken", want)
			}
			if !judge(t, broken, tt.guideline)[want] {
				t.Errorf("sbomqs does not find %v", want)
			}
		})
	}
}

// write puts a document with other packages into a new file and reads it.
func write(t *testing.T, raw map[string]json.RawMessage, packages any) *document {
	t.Helper()
	var err error
	if raw["packages"], err = json.Marshal(packages); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{path: filepath.Join(t.TempDir(), "broken.spdx.json")}
	if err := os.WriteFile(d.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, d); err != nil {
		t.Fatal(fmt.Errorf("reading it back: %w", err))
	}
	return d
}
