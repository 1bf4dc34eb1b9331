package publish

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/rebuild"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/dist"
)

// Who builds again what lies in a registry has it attached there, once, whatever
// else is attached; so does who built a release's image again.
func TestRebuilds(t *testing.T) {
	r := newRebuildable(t, "binary")
	one, two := newSigner(), newSigner()
	manifest := r.image.Platforms[1].Manifest
	ofIndex, ofManifest := rebuiltBy(t, one, r.about(t, r.image.Index)), rebuiltBy(t, one, r.about(t, manifest))
	ofWhole := rebuiltBy(t, two, r.whole)
	forBoth(t, func(t *testing.T, s *server) {
		r := r.copy(t)
		mustPublish(t, s.options(), r.release)
		before := s.holds(t, r.image.Index, r.read(t, r.bundle(r.image.Index, "signature")))
		r.lay(t, artifact.RebuildsDir(r.image.Index.Hex()), map[*ecdsa.PrivateKey][]byte{one: ofIndex})
		r.lay(t, artifact.RebuildsDir(manifest.Hex()), map[*ecdsa.PrivateKey][]byte{one: ofManifest})
		r.lay(t, "", map[*ecdsa.PrivateKey][]byte{two: ofWhole})
		r.write(t, artifact.RebuildsDir(strings.Repeat("0", 64))+"/of another image", nil)
		o := s.options()
		o.Rebuilders = bundle.Trust{Keys: []crypto.PublicKey{two.Public()}}
		s.heard()
		for n, reference := range []string{r.image.Version, r.image.Version, "@" + r.image.Index.String()} {
			if n < 2 {
				reference = ":" + reference
			}
			got, err := Rebuilds(context.Background(), o, s.address+"/palisade/beacon"+reference, r.dir)
			if err != nil {
				t.Fatal(err)
			}
			var want []RebuiltBundle
			for _, b := range []struct {
				folder string
				of     artifact.Digest
				by     *ecdsa.PrivateKey
			}{{r.image.Index.Hex(), r.image.Index, one}, {r.image.Name, r.image.Index, two}, {manifest.Hex(), manifest, one}} {
				want = append(want, RebuiltBundle{path.Join(artifact.RebuildsDir(b.folder), called(t, b.by)), b.of, bundle.Signer{KeyID: keyID(t, b.by)}, b.by == two, n > 0})
			}
			if !slices.Equal(got.Bundles, want) || got.Index != r.image.Index || got.Repository != s.address+"/palisade/beacon" {
				t.Errorf("%+v, want %+v", got, want)
			}
			sent := s.heard("PUT", "POST", "PATCH")
			if n == 0 && got.Sent != 2*3 || n > 0 && (got.Sent != 0 || len(sent) > 0) {
				t.Errorf("%d were sent: %q", got.Sent, sent)
			}
			for _, line := range sent {
				if strings.HasSuffix(line, "/"+r.image.Version) || strings.Contains(line, r.image.Index.String()) && s.referrers {
					t.Errorf("it was changed: %s", line)
				}
			}
		}
		if s.holds(t, r.image.Index, ofIndex, ofWhole, r.read(t, r.bundle(r.image.Index, "signature"))) != 2+before || s.holds(t, manifest, ofManifest) != 1 {
			t.Error("it is not attached, or something is no longer")
		}
		if again := mustPublish(t, s.options(), r.release); again.Sent != 0 {
			t.Errorf("published otherwise than attached: %q", s.heard("PUT"))
		}
		s.names(t, r)

		// It is known for what it is, also where somebody else attached it in another form.
		elsewhere := &release{dir: t.TempDir()}
		foreign := rebuiltBy(t, two, r.about(t, r.image.Index))
		elsewhere.write(t, path.Join(artifact.RebuildsDir(r.image.Index.Hex()), called(t, two)), foreign)
		s.attach(t, r.image.Index, foreign, epoch+1)
		got, err := Rebuilds(context.Background(), o, s.address+"/palisade/beacon:"+r.image.Version, elsewhere.dir)
		if err != nil || got.Sent != 0 || len(got.Bundles) != 1 || !got.Bundles[0].There {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// What is not of that very image is attached to nothing.
func TestRebuildsRefuses(t *testing.T) {
	r, other := newRebuildable(t, "binary"), newRebuildable(t, "another")
	s := newServer(t, true)
	mustPublish(t, s.options(), r.release)
	// Anybody can attach what the publisher once signed of something else.
	s.attach(t, r.image.Index, other.read(t, other.bundle(other.image.Index, dist.CarriedProvenance)), epoch)
	one := newSigner()
	index := artifact.RebuildsDir(r.image.Index.Hex())
	manifest := r.image.Platforms[0].Manifest
	good := rebuiltBy(t, one, r.about(t, r.image.Index))
	with := func(folder string, data []byte) map[string][]byte {
		return map[string][]byte{path.Join(folder, called(t, one)): data}
	}
	for _, tt := range []struct {
		name      string
		files     map[string][]byte
		reference string // ":" and the version, if it is empty
		change    func(*Options)
		want      error
	}{
		{"nothing", nil, "", nil, ErrNoRebuild},
		{"of another image alone", with(artifact.RebuildsDir(other.image.Index.Hex()), rebuiltBy(t, one, other.about(t, other.image.Index))), "", nil, ErrNoRebuild},
		{"of another image, as of this", with(index, rebuiltBy(t, one, other.about(t, other.image.Index))), "", nil, ErrRebuild},
		{"of another release, as of this", with(dist.Rebuilds(r.image.Name), rebuiltBy(t, one, other.whole)), "", nil, ErrRebuild},
		{"of a manifest, as of the index", with(index, rebuiltBy(t, one, r.about(t, manifest))), "", nil, ErrRebuild},
		{"of the index, as of a manifest", with(artifact.RebuildsDir(manifest.Hex()), good), "", nil, ErrRebuild},
		{"another file", map[string][]byte{index + "/README": nil}, "", nil, ErrRebuild},
		{"an image that is not there", with(index, good), ":none", nil, registry.ErrNotFound},
		{"an image for one platform", with(index, good), "@" + manifest.String(), nil, registry.ErrMediaType},
		{"no reference", with(index, good), "/", nil, registry.ErrReference},
		{"a provenance by nobody who is trusted", with(index, good), "", func(o *Options) {
			o.Trust = bundle.Trust{Keys: []crypto.PublicKey{one.Public()}}
		}, ErrUnsigned},
		{"trust in nobody", with(index, good), "", func(o *Options) { o.Trust = bundle.Trust{} }, bundle.ErrTrust},
		{"rebuilders that nobody could show to be", with(index, good), "", func(o *Options) {
			o.Rebuilders = bundle.Trust{Identities: []bundle.Identity{{Issuer: "https://i.example", Subject: "https://s.example", Repository: bundle.NoRepository}}}
		}, bundle.ErrTrust},
		{"who is named, and did not sign", with(index, breakSignature(t, good)), "", func(o *Options) {
			o.Rebuilders = bundle.Trust{Keys: []crypto.PublicKey{one.Public()}}
		}, bundle.ErrSignature},
		{"one good, and one of another image", func() map[string][]byte {
			all := with(index, good)
			all[path.Join(artifact.RebuildsDir(manifest.Hex()), called(t, one))] = good
			return all
		}(), "", nil, ErrRebuild},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := &release{dir: t.TempDir()}
			for name, data := range tt.files {
				dir.write(t, name, data)
			}
			o := s.options()
			if tt.change != nil {
				tt.change(&o)
			}
			if tt.reference == "" {
				tt.reference = ":" + r.image.Version
			}
			s.heard()
			_, err := Rebuilds(context.Background(), o, s.address+"/palisade/beacon"+tt.reference, dir.dir)
			if !errors.Is(err, tt.want) || errors.Is(tt.want, bundle.ErrTrust) && errors.Is(err, ErrRebuild) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if sent := s.heard("PUT", "POST"); len(sent) > 0 {
				t.Errorf("sent %q", sent)
			}
		})
	}
	if _, err := Rebuilds(context.Background(), s.options(), s.address+"/palisade/beacon:"+r.image.Version, filepath.Join(r.dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no folder: %v", err)
	}
}

// Nobody attaches more than anybody reads: of that image nothing could be told.
func TestRebuildsFull(t *testing.T) {
	r, one := newRebuildable(t, "binary"), newSigner()
	s := newServer(t, true)
	mustPublish(t, s.options(), r.release)
	r.lay(t, artifact.RebuildsDir(r.image.Index.Hex()), map[*ecdsa.PrivateKey][]byte{one: rebuiltBy(t, one, r.about(t, r.image.Index))})
	to, err := registry.Connect(context.Background(), s.address+"/palisade/beacon", registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	real, err := to.Referrers(context.Background(), r.image.Index)
	if err != nil {
		t.Fatal(err)
	}
	for listed, want := range map[int]error{registry.MaxReferrers - 1: registry.ErrAnswer, registry.MaxReferrers: registry.ErrTooLarge} {
		var all []map[string]any
		for n := range listed {
			d := artifact.DigestBytes([]byte(fmt.Sprint(n)))
			if n < len(real) {
				d = real[n]
			}
			all = append(all, map[string]any{"mediaType": ocilayout.ManifestType, "artifactType": bundle.MediaType, "digest": d.String(), "size": 1})
		}
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocilayout.IndexType, "manifests": all})
		if err != nil {
			t.Fatal(err)
		}
		s.spoil(at("GET", "/referrers/", 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", ocilayout.IndexType)
			_, _ = w.Write(text)
			return true
		}))
		s.heard()
		_, err = Rebuilds(context.Background(), s.options(), s.address+"/palisade/beacon:"+r.image.Version, r.dir)
		if !errors.Is(err, want) {
			t.Errorf("beside %d: %v, want %v", listed, err, want)
		}
		if sent := s.heard("PUT", "POST"); errors.Is(want, registry.ErrTooLarge) && len(sent) > 0 {
			t.Errorf("sent %q", sent)
		}
		s.mend()
	}
}

// That holds of their bytes, too.
func TestReadable(t *testing.T) {
	for size, want := range map[int64]error{0: nil, registry.MaxBundles: nil, registry.MaxBundles + 1: registry.ErrTooLarge} {
		if err := readable(artifact.DigestBytes(nil), size); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%d: %v, want %v", size, err, want)
		}
	}
}

// It is the same in registries of others, with and without a password, and what
// stock cosign verifies there it still does.
func TestRebuildsConsumers(t *testing.T) {
	rel := newRebuildable(t, "binary")
	one, two := newSigner(), newSigner()
	rel.lay(t, "", map[*ecdsa.PrivateKey][]byte{one: rebuiltBy(t, one, rel.whole)})
	later := &rebuildable{&release{dir: t.TempDir(), image: rel.image}, rel.whole}
	later.lay(t, artifact.RebuildsDir(rel.image.Index.Hex()), map[*ecdsa.PrivateKey][]byte{two: rebuiltBy(t, two, rel.about(t, rel.image.Index))})
	for _, server := range programs(t, *servers, "registry") {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/closed=%t", filepath.Base(server), closed), func(t *testing.T) {
				r := start(t, server, closed)
				mustPublish(t, r.options, rel.release)
				reference := r.address + "/palisade/beacon:" + rel.image.Version
				if closed {
					o := r.options
					o.Keychain = nil
					if _, err := Rebuilds(context.Background(), o, reference, later.dir); !errors.Is(err, registry.ErrDenied) {
						t.Errorf("without a password: %v", err)
					}
				}
				for _, want := range []int{2, 0} { // a blob and a manifest; the empty configuration is there
					got, err := Rebuilds(context.Background(), r.options, reference, later.dir)
					if err != nil || got.Sent != want || len(got.Bundles) != 1 {
						t.Fatalf("%+v, %v", got, err)
					}
				}
				if again := mustPublish(t, r.options, rel.release); again.Sent != 0 {
					t.Errorf("sent again: %+v", again)
				}
				put(t, filepath.Join(r.home, "trusted_root.json"), string(bundle.EmptyRoot()))
				if *clis == "" {
					return
				}
				for _, program := range programs(t, *clis, "cosign") {
					for by, good := range map[*ecdsa.PrivateKey]bool{signer(): false, one: true, two: true, newSigner(): false} {
						put(t, filepath.Join(r.home, "by.pub"), string(publicKey(t, by)))
						out, ok := r.cosign(t, program, "verify-attestation", "--key", "by.pub", "--type", rebuild.PredicateType, "--insecure-ignore-tlog", "--trusted-root", "trusted_root.json", reference)
						if ok != good {
							t.Errorf("%s: %t, want %t\n%.2000s", filepath.Base(program), ok, good, out)
						}
					}
				}
			})
		}
	}
}
