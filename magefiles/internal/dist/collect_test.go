package dist

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// collected is a directory that holds what two items have beside each other, and
// the manifest of them.
func collected(t *testing.T) (f fixture, d *Dir, m *artifact.Manifest) {
	t.Helper()
	f = newFixture(t)
	items := []Item{f.item(t, "prom", "1.0.0-palisade.1", "linux/amd64", "hardened"), f.item(t, "bell", "1.0.0-vanilla", "linux/arm/v7", "vanilla")}
	m = &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	d, err := OpenCollected(f.dir, "palisade", f.store)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		m.Artifacts = append(m.Artifacts, i.Record)
		err := errors.Join(
			i.Archive.CopyTo(i.Record.Name, filepath.Join(f.dir, i.Record.Name), 0o644),
			i.Documents.CopyTo(Document(i.Record, ""), filepath.Join(f.dir, Document(i.Record, "")), 0o644),
			i.Provenance.CopyTo(Provenance(i.Record), filepath.Join(f.dir, Provenance(i.Record)), 0o644),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	// What a record says of loose files is not looked for where there are none.
	m.Artifacts[0].Documents = append(m.Artifacts[0].Documents, artifact.File{Name: Document(m.Artifacts[0], "prom"), Digest: artifact.DigestBytes(nil)})
	return f, d, m
}

func TestCollect(t *testing.T) {
	f, d, m := collected(t)
	if err := os.WriteFile(filepath.Join(f.dir, "prom-0.9.0-palisade.1.linux-amd64.tar.gz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Collect(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := f.files(t)
		var want []string
		for _, r := range m.Artifacts {
			want = append(want, r.Name, Document(r, ""), Provenance(r))
		}
		want = append(want, Index, Sums)
		slices.Sort(want)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("it holds %q, want %q", names, want)
		}
		if names := f.index(t); len(names) != 2 || !slices.IsSorted(names) {
			t.Errorf("the index names %q", names)
		}
		if got[Sums] != sumOf(m.Artifacts[0])+sumOf(m.Artifacts[1]) {
			t.Errorf("%s is\n%s", Sums, got[Sums])
		}
		if held, err := d.Manifest(); err != nil || len(held.Artifacts) != 2 {
			t.Errorf("it holds %v, %v", held, err)
		}
	}
}

func sumOf(r artifact.Record) string {
	return r.Digest.Hex() + "  " + r.Name + "\n" + r.Documents[0].Digest.Hex() + "  " + Document(r, "") + "\n"
}

func TestCollectRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, f fixture, m *artifact.Manifest)
	}{
		{"another distribution", `of "other", not of "palisade"`, func(_ *testing.T, _ fixture, m *artifact.Manifest) { m.Distribution = "other" }},
		{"images", "says what its images are", func(_ *testing.T, _ fixture, m *artifact.Manifest) { m.Images = make([]artifact.Image, 1) }},
		{"an archive that changed", "and its record says", func(t *testing.T, f fixture, m *artifact.Manifest) {
			forge(t, filepath.Join(f.dir, m.Artifacts[0].Name))
		}},
		{"a document that changed", "and its record says", func(t *testing.T, f fixture, m *artifact.Manifest) {
			forge(t, filepath.Join(f.dir, Document(m.Artifacts[0], "")))
		}},
		{"no provenance", "no such file", func(t *testing.T, f fixture, m *artifact.Manifest) {
			if err := os.Remove(filepath.Join(f.dir, Provenance(m.Artifacts[0]))); err != nil {
				t.Fatal(err)
			}
		}},
		{"a link", "is no regular file", func(t *testing.T, f fixture, m *artifact.Manifest) {
			name := filepath.Join(f.dir, m.Artifacts[0].Name)
			if err := errors.Join(os.Rename(name, name+".1"), os.Symlink(name+".1", name)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, d, m := collected(t)
			tt.change(t, f, m)
			if err := d.Collect(t.Context(), m); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(f.dir, Index)); err == nil {
				t.Error("it wrote an index")
			}
		})
	}
}
