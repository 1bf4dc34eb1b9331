package sign

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/dist"
)

// vexOf is what is known of an archive: nothing.
func vexOf(t *testing.T, r artifact.Record) string {
	t.Helper()
	s, err := vex.Statement(r, "palisade", vex.Data{Scanner: "golang.org/x/vuln@v1.8.0", Digest: digestOf("database"), Modified: time.Unix(1700000000, 0)}, nil, "Palisade")
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, s)
}

// What is known of an archive is signed as it lies there, and once more of the
// image of its platform.
func TestVEX(t *testing.T) {
	dir, i, records := imaged(t)
	r := records[1]
	write(t, dir, dist.VEX(r), vexOf(t, r))
	h, _ := hand(t)
	signed(t, dir, h, ofArchives+ofImage+3, 0) // and the index, and two of the document
	got := tree(t, dir)
	beside, err := bundle.OpenAttestation([]byte(got[dist.Bundle(dist.VEX(r))]), *h.Trust)
	if err != nil || string(beside.Payload()) != got[dist.VEX(r)] {
		t.Errorf("beside the archive: %s, %v", beside.Payload(), err)
	}
	carried, err := bundle.OpenAttestation([]byte(got[dist.ImageBundle(i, i.Platforms[1].Manifest, dist.CarriedVEX)]), *h.Trust)
	if err != nil {
		t.Fatal(err)
	}
	about, err := intoto.Parse(carried.Payload())
	if err != nil {
		t.Fatal(err)
	}
	of, err := intoto.Parse(beside.Payload())
	want := provenance.ImageSubjects(i)[3]
	if err != nil || about.PredicateType != vex.PredicateType || !bytes.Equal(about.Predicate, of.Predicate) ||
		len(about.Subject) != 1 || about.Subject[0].Name != want.Name || !maps.Equal(about.Subject[0].Digest, want.Digest) {
		t.Errorf("with the image: %+v, %v", about, err)
	}
	signed(t, dir, h, 0, ofArchives+ofImage+3)
	// Another document is signed anew, in both places.
	write(t, dir, dist.VEX(r), strings.Replace(vexOf(t, r), "\n", "\n ", 1))
	signed(t, dir, h, 1, ofArchives+ofImage+2) // of the image it is the same
	names := slices.Sorted(maps.Keys(tree(t, dir)))
	if !slices.Contains(names, dist.Bundle(dist.VEX(r))) {
		t.Errorf("there are %q", names)
	}
}

func TestVEXRefused(t *testing.T) {
	for name, text := range map[string]func(t *testing.T, r artifact.Record) string{
		"of another archive": func(t *testing.T, _ artifact.Record) string { return vexOf(t, record("clock")) },
		"of another content": func(t *testing.T, r artifact.Record) string {
			r.Digest = digestOf("x")
			return vexOf(t, r)
		},
		"of another type": func(t *testing.T, r artifact.Record) string {
			return strings.Replace(vexOf(t, r), vex.PredicateType+`"`, `https://example.org/x"`, 1)
		},
		"malformed": func(t *testing.T, r artifact.Record) string {
			return strings.Replace(vexOf(t, r), `"version": 1`, `"version": 2`, 1)
		},
		"no statement": func(*testing.T, artifact.Record) string { return "{}" },
	} {
		t.Run(name, func(t *testing.T) {
			dir, r := built(t, "bell"), record("bell")
			write(t, dir, dist.VEX(r), text(t, r))
			h, opened := hand(t)
			if got, err := Release(t.Context(), dir, h); !errors.Is(err, ErrMismatch) || *opened > 0 {
				t.Errorf("got %+v, %v; the key was opened %d times", got, err, *opened)
			}
		})
	}
}
