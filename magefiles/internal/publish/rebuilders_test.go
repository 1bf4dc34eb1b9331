package publish

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/rebuild"
	"palisade/magefiles/internal/dist"
)

// With the image goes what lies beside it of those who built it again, and
// nothing that is anything else: then nothing goes.
func TestPublishRebuilds(t *testing.T) {
	full, other := newRebuildable(t, "binary"), newRebuildable(t, "another")
	one, two, folder := newSigner(), newSigner(), dist.Rebuilds(full.image.Name)
	good := rebuiltBy(t, one, full.whole)
	unlike := full.whole
	unlike.Predicate = bytes.Replace(unlike.Predicate, []byte(`"shared"`), []byte(`"fresh"`), 1)
	for _, tt := range []struct {
		name string
		lay  func(t *testing.T, r rebuildable)
		want error
		is   error // too, of the refusal
		many int   // rebuilders that are attached
	}{
		{"none", func(*testing.T, rebuildable) {}, nil, nil, 0},
		{"an empty folder", func(t *testing.T, r rebuildable) {
			if err := os.Mkdir(filepath.Join(r.dir, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil, nil, 0},
		{"one who is named", func(t *testing.T, r rebuildable) { r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: good}) }, nil, nil, 1},
		{"one whom nobody knows, too", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: good, two: rebuiltBy(t, two, full.whole)})
		}, nil, nil, 2},
		{"who signed it", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{signer(): rebuiltBy(t, signer(), full.whole)})
		}, nil, nil, 1},
		// Without the key nothing can be told of it; whoever has that will refuse it.
		{"a broken signature of one whom nobody knows", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{two: breakSignature(t, rebuiltBy(t, two, full.whole))})
		}, nil, nil, 1},
		{"a broken signature of one who is named", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: breakSignature(t, good)})
		}, ErrRebuild, bundle.ErrSignature, 0},
		{"a broken signature of who signed it", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{signer(): breakSignature(t, rebuiltBy(t, signer(), full.whole))})
		}, ErrRebuild, bundle.ErrSignature, 0},
		{"called after another", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{two: good})
		}, ErrRebuild, nil, 0},
		{"of the index alone", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: rebuiltBy(t, one, full.about(t, full.image.Index))})
		}, ErrRebuild, nil, 0},
		{"of another image", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: rebuiltBy(t, one, other.whole)})
		}, ErrRebuild, nil, 0},
		{"from another provenance", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: rebuiltBy(t, one, unlike)})
		}, ErrRebuild, rebuild.ErrOriginal, 0},
		{"the provenance itself", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: bundleOf(t, one, full.whole)})
		}, ErrRebuild, rebuild.ErrPredicateType, 0},
		{"no bundle", func(t *testing.T, r rebuildable) { r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: []byte("{}")}) }, ErrRebuild, bundle.ErrMalformed, 0},
		{"the signature of a file", func(t *testing.T, r rebuildable) {
			r.write(t, path.Join(folder, called(t, signer())), r.read(t, "release.json.sigstore.json"))
		}, ErrRebuild, bundle.ErrNotAttestation, 0},
		{"another file", func(t *testing.T, r rebuildable) { r.write(t, folder+"/README", nil) }, ErrRebuild, nil, 0},
		{"a link", func(t *testing.T, r rebuildable) {
			r.write(t, "elsewhere", good)
			r.write(t, folder+"/0000000000000000.sigstore.json", nil)
			link := filepath.Join(r.dir, folder, called(t, one))
			if err := os.Symlink("../elsewhere", link); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(r.dir, folder, "0000000000000000.sigstore.json")); err != nil {
				t.Fatal(err)
			}
		}, ErrRebuild, nil, 0},
		{"a file in place of the folder", func(t *testing.T, r rebuildable) { r.write(t, folder, good) }, ErrRebuild, nil, 0},
		{"too many", func(t *testing.T, r rebuildable) {
			for n := range rebuild.MaxBundles + 1 {
				r.write(t, fmt.Sprintf("%s/%016x.sigstore.json", folder, n), nil)
			}
		}, ErrRebuild, nil, 0},
		{"too large", func(t *testing.T, r rebuildable) {
			r.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: append(slices.Clone(good), bytes.Repeat([]byte(" "), maxRebuild)...)})
		}, ErrRebuild, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, s := full.copy(t), newServer(t, true)
			tt.lay(t, r)
			o := s.options()
			o.Rebuilders = bundle.Trust{Keys: []crypto.PublicKey{one.Public()}}
			_, err := Publish(context.Background(), o, r.dir)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("%v, want %v and %v", err, tt.want, tt.is)
			}
			if tt.name == "too many" && !strings.Contains(err.Error(), fmt.Sprintf("more than %d files", rebuild.MaxBundles)) {
				t.Errorf("%v, want the bound", err)
			}
			if sent := s.heard("PUT", "POST"); err != nil && len(sent) > 0 {
				t.Errorf("sent all the same: %q", sent)
			}
			if err != nil {
				return
			}
			var laid [][]byte
			names, err := filepath.Glob(filepath.Join(r.dir, folder, "*"))
			if err != nil || len(names) != tt.many {
				t.Fatal(names, err)
			}
			for _, name := range names {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				laid = append(laid, data)
			}
			if n := s.holds(t, r.image.Index, laid...); n != tt.many {
				t.Errorf("%d are attached to the index, want %d", n, tt.many)
			}
			if n := s.holds(t, r.image.Platforms[0].Manifest, laid...); n != 0 {
				t.Errorf("%d are attached to a manifest", n)
			}
			s.heard()
			if again := mustPublish(t, o, r.release); again.Sent != 0 {
				t.Errorf("sent again: %q", s.heard("PUT"))
			}
		})
	}
}

// Whatever a bundle of a rebuilder holds, what is taken of it is called after its
// signer and in the one form; and whoever is known did sign it.
func FuzzRebuilt(f *testing.F) {
	r := newRebuildable(f, "binary")
	// The same in every process that takes part: each has to know who signed the seeds.
	one, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	good := rebuiltBy(f, one, r.whole)
	file := called(f, one)
	for _, seed := range [][]byte{good, breakSignature(f, good), bundleOf(f, one, r.whole), r.read(f, "release.json.sigstore.json"), []byte("{}"), nil} {
		f.Add(seed)
	}
	o := Options{Rebuilders: bundle.Trust{Keys: []crypto.PublicKey{one.Public()}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := o.rebuilt(file, data)
		if err != nil {
			if !errors.Is(err, ErrRebuild) {
				t.Errorf("%v, want %v", err, ErrRebuild)
			}
			return
		}
		if name, err := rebuild.BundleName(got.by); err != nil || name != file {
			t.Errorf("it is of %s: %v", got.by, err)
		}
		opened, err := bundle.OpenAttestation(data, o.Rebuilders)
		if !got.known || err != nil {
			t.Fatalf("taken though nothing shows who signed: %v", err)
		}
		s, err := intoto.Parse(opened.Payload())
		if err != nil || !slices.EqualFunc(s.Subject, got.says.Subject, func(a, b intoto.Subject) bool { return a.Name == b.Name && a.Digest["sha256"] == b.Digest["sha256"] }) {
			t.Errorf("what was read is not what was signed: %v", err)
		}
	})
}
