package dist

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"palisade/attestations/artifact"
)

// What was said of a file goes when the file does, and stays as long as the
// file stays.
func TestRetract(t *testing.T) {
	of := func(r artifact.Record) []string {
		return []string{Bundle(r.Name), Bundle(Document(r, "")), Bundle(Provenance(r)), TestResult(r), Bundle(TestResult(r)), VEX(r), Bundle(VEX(r)), Bundle(Index), Rebuilds(r.Name) + "/0001020304050607.sigstore.json"}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f fixture, item *Item)
		gone   func(r artifact.Record) []string
	}{
		{"nothing", func(*testing.T, fixture, *Item) {}, func(artifact.Record) []string { return nil }},
		{"a binary", func(t *testing.T, f fixture, _ *Item) {
			forge(t, filepath.Join(f.dir, "bin/linux-amd64/hardened/bell"))
		},
			func(artifact.Record) []string { return nil }},
		{"the provenance", func(t *testing.T, f fixture, item *Item) { forge(t, filepath.Join(f.dir, Provenance(item.Record))) },
			func(r artifact.Record) []string {
				return []string{Bundle(Provenance(r)), Rebuilds(r.Name) + "/0001020304050607.sigstore.json"}
			}},
		{"the document", func(t *testing.T, f fixture, item *Item) { forge(t, filepath.Join(f.dir, Document(item.Record, ""))) },
			func(r artifact.Record) []string { return []string{Bundle(Document(r, ""))} }},
		{"the archive", func(t *testing.T, f fixture, item *Item) { forge(t, filepath.Join(f.dir, item.Record.Name)) },
			func(r artifact.Record) []string {
				return []string{Bundle(r.Name), TestResult(r), Bundle(TestResult(r)), VEX(r), Bundle(VEX(r)), Rebuilds(r.Name) + "/0001020304050607.sigstore.json"}
			}},
		{"the record", func(t *testing.T, f fixture, item *Item) { item.Record.Revision = "another" },
			func(artifact.Record) []string { return []string{Bundle(Index)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			f.publish(t, item)
			all := of(item.Record)
			for _, name := range all {
				file := filepath.Join(f.dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(t, f, &item)
			f.publish(t, item)
			files := f.files(t)
			for _, name := range all {
				_, stays := files[name]
				if want := !slices.Contains(tt.gone(item.Record), name); stays != want {
					t.Errorf("%s is there: %v, want %v", name, stays, want)
				}
			}
		})
	}
}

// The names are those that attestations/verify looks for.
func TestNames(t *testing.T) {
	r := artifact.Record{Name: "a.tar.gz"}
	for got, want := range map[string]string{
		Bundle(r.Name): "a.tar.gz.sigstore.json", Bundle(Document(r, "")): "a.tar.gz.spdx.sigstore.json",
		Bundle(Provenance(r)): "a.tar.gz.provenance.sigstore.json", Bundle(TestResult(r)): "a.tar.gz.test-result.sigstore.json",
		Bundle(VEX(r)): "a.tar.gz.vex.sigstore.json",
		Bundle(Index):  "release.json.sigstore.json",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if subject := subjectOf(got); subject != r.Name && subject != Index {
			t.Errorf("%s speaks of %s", got, subject)
		}
	}
	if got := Rebuilds(r.Name); got != "a.tar.gz.rebuilds" || subjectOf(got) != r.Name {
		t.Errorf("%s speaks of %s", got, subjectOf(got))
	}
}
