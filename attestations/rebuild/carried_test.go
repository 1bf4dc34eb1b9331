package rebuild_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
)

// A registry carries provenance about one digest alone. What was rebuilt from
// that holds there, and so does what was rebuilt from the one that it was cut
// from; nothing else does.
func TestCheckCarried(t *testing.T) {
	whole, _ := signedAs(t, "image.json")
	if len(whole.Subject) < 4 {
		t.Fatal("the documented image has no two platforms: this test sees too little")
	}
	cut := func(s intoto.Statement, n int) []byte {
		d := must(artifact.ParseDigest("sha256:" + s.Subject[n].Digest["sha256"]))(t)
		return must(intoto.Marshal(must(provenance.About(s, d))(t)))(t)
	}
	attested := func(statement []byte, change func(*rebuild.Given)) rebuild.Rebuild {
		p := must(provenance.ParseImage(must(intoto.Parse(statement))(t)))(t)
		g := must(rebuild.Image(p, artifact.DigestBytes(statement)))(t)
		if change != nil {
			change(&g)
		}
		return must(rebuild.Parse(must(rebuild.Statement(g, same(t, g)))(t)))(t)
	}
	all := must(intoto.Marshal(whole))(t)
	index, manifest := cut(whole, 1), cut(whole, 2)
	other := whole
	other.Predicate = []byte(strings.Replace(string(whole.Predicate), `"cache": "shared"`, `"cache": "fresh"`, 1))
	again := cut(other, 1)
	if string(again) == string(index) {
		t.Fatal("the other provenance is the same")
	}
	rename := func(n int, name string) func(*rebuild.Given) {
		return func(g *rebuild.Given) {
			was := g.Subject[n].Name
			g.Subject = slices.Clone(g.Subject)
			g.Subject[n].Name = name
			for i, s := range g.Compare {
				if s.Name == was {
					g.Compare[i].Name = name
				}
			}
			slices.SortFunc(g.Compare, func(a, b intoto.Subject) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	for _, tt := range []struct {
		name    string
		r       rebuild.Rebuild
		carried [][]byte
		want    error
	}{
		{"of the index alone", attested(index, nil), [][]byte{index}, nil},
		{"of a manifest alone", attested(manifest, nil), [][]byte{manifest}, nil},
		{"of the whole, with the index", attested(all, nil), [][]byte{index}, nil},
		{"of the whole, with a manifest", attested(all, nil), [][]byte{manifest}, nil},
		{"of one of two", attested(all, nil), [][]byte{again, index}, nil},
		{"where nothing is carried", attested(all, nil), nil, rebuild.ErrOriginal},
		{"of a manifest, with the index", attested(manifest, nil), [][]byte{index}, rebuild.ErrOriginal},
		{"of the index, from another", attested(again, nil), [][]byte{index}, rebuild.ErrOriginal},
		{"of the whole, from another", attested(must(intoto.Marshal(other))(t), nil), [][]byte{index}, rebuild.ErrOriginal},
		{"with the whole", attested(all, nil), [][]byte{all}, rebuild.ErrOriginal},
		{"of the whole, without a manifest", attested(all, func(g *rebuild.Given) {
			g.Subject = g.Subject[:len(g.Subject)-1]
		}), [][]byte{index}, rebuild.ErrSubject},
		{"of the whole, without the index", attested(all, func(g *rebuild.Given) {
			g.Subject = slices.Concat(g.Subject[:1], g.Subject[2:])
		}), [][]byte{index}, rebuild.ErrSubject},
		{"of the whole under another name", attested(all, rename(0, "x.oci.tar")), [][]byte{index}, rebuild.ErrSubject},
		{"of the whole, and less was compared", attested(all, func(g *rebuild.Given) {
			g.Compare = slices.DeleteFunc(g.Compare, func(s intoto.Subject) bool { return strings.HasSuffix(s.Name, ".spdx.json") })
		}), [][]byte{index}, rebuild.ErrCompared},
		{"of the whole with another file", attested(all, func(g *rebuild.Given) {
			g.Subject, g.Compare = slices.Clone(g.Subject), slices.Clone(g.Compare)
			for _, list := range [][]intoto.Subject{g.Subject, g.Compare} {
				i := slices.IndexFunc(list, func(s intoto.Subject) bool { return s.Name == whole.Subject[0].Name })
				list[i].Digest = intoto.Digests{"sha256": strings.Repeat("0", 64)}
			}
		}), [][]byte{index}, rebuild.ErrOriginal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.r.CheckCarried(tt.carried...)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	for name, carried := range map[string][]byte{"no statement": []byte("{}"), "an archive's": must(intoto.Marshal(first(signedAs(t, "hardened.json"))))(t)} {
		if err := attested(index, nil).CheckCarried(carried); err == nil {
			t.Errorf("it was taken for that of an image: %s", name)
		}
	}
}

func first(s intoto.Statement, _ artifact.Digest) intoto.Statement { return s }
