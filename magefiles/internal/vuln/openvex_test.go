package vuln

import (
	"path/filepath"
	"testing"

	govex "github.com/openvex/go-vex/pkg/vex"

	"palisade/attestations/intoto"
	"palisade/attestations/vex"
)

// What is written OpenVEX's own library reads, and finds there what was said: by
// the id of the Go database and by that of others, of the artifact by its package
// URL, by its digest, and of the module in it.
func TestOpenVEX(t *testing.T) {
	dir := release(t, hardened)
	report, err := Describe(t.Context(), options(t, answers), dir, filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := record(t, hardened)
	s, err := intoto.Parse([]byte(files(t, dir)[r.Name+".vex.json"]))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := govex.Parse(s.Predicate)
	if err != nil || len(doc.Statements) != 6 || !doc.Timestamp.Equal(report.Database.Modified) || doc.Author != "Palisade" || doc.Version != 1 {
		t.Fatalf("%+v, %v", doc, err)
	}
	product := doc.Statements[0].Products[0].ID
	for _, id := range []string{"GO-2026-9001", "CVE-2026-90010", "https://pkg.go.dev/vuln/GO-2026-9001"} {
		for _, of := range []string{product, r.Digest.Hex()} {
			got := doc.Matches(id, of, []string{"pkg:golang/example.org/lamp@v0.4.1-0.palisade.1"})
			if id == "https://pkg.go.dev/vuln/GO-2026-9001" && len(got) == 0 {
				t.Errorf("nothing is said of %s in %s", id, of)
			}
			if len(got) != 1 || got[0].Status != govex.StatusNotAffected || got[0].Justification != govex.VulnerableCodeCannotBeControlledByAdversary {
				t.Errorf("of %s in %s is said %+v", id, of, got)
			}
		}
	}
	if got := doc.Matches("GO-2026-9001", product, []string{"pkg:golang/example.org/lamp@v0.4.0"}); len(got) != 0 {
		t.Errorf("of another version is said %+v", got)
	}
	if vex.PredicateType != govex.TypeURI {
		t.Errorf("the type is %s", vex.PredicateType)
	}
}

// The words are those of the library, which may come to know others.
func TestWords(t *testing.T) {
	known := govex.Justifications()
	if len(known) != len(vex.Justifications) {
		t.Errorf("it knows %q", known)
	}
	for _, j := range vex.Justifications {
		if !govex.Justification(j).Valid() {
			t.Errorf("it does not know %s", j)
		}
	}
	for _, s := range []vex.Status{vex.NotAffected, vex.Affected, vex.Fixed, vex.UnderInvestigation} {
		if !govex.Status(s).Valid() {
			t.Errorf("it does not know %s", s)
		}
	}
	if len(govex.Statuses()) != 4 {
		t.Errorf("it knows %q", govex.Statuses())
	}
}

// Reading alone holds nothing against the rules.
func TestOpenVEXRefuses(t *testing.T) {
	for _, text := range []string{
		`[]`,
		`{"@context":"https://openvex.dev/ns/v0.1.0","statements":[]}`,
		`{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"GO-2026-9001"},"status":"not_affected"}]}`,
		`{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"GO-2026-9001"},"status":"fine"}]}`,
	} {
		if err := openVEX(intoto.Statement{Predicate: []byte(text)}); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
