package publish

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/attestations/verify/registry"
)

func forBoth(t *testing.T, test func(t *testing.T, s *server)) {
	for name, referrers := range map[string]bool{"referrers": true, "fallback tag": false} {
		t.Run(name, func(t *testing.T) { test(t, newServer(t, referrers)) })
	}
}

// Tags come last, after everything that they name and that is said of it; and
// what was published can be read back, whole.
func TestPublish(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		got := mustPublish(t, s.options(), r)
		if want := s.address + "/palisade/beacon"; got.Repository != want || got.Index != r.image.Index || got.Tag != r.image.Version {
			t.Errorf("published %+v", got)
		}
		puts := s.heard("PUT")
		if last := "PUT manifests/" + r.image.Version; puts[len(puts)-1] != last || slices.Index(puts, last) != len(puts)-1 {
			t.Errorf("what was put is %q", puts)
		}
		image, err := registry.Open(context.Background(), got.Repository+":"+got.Tag, registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := image.Resolve(context.Background())
		if err != nil || d != r.image.Index {
			t.Fatalf("resolved %s: %v", d, err)
		}
		if _, err := ocilayout.Read(context.Background(), ocilayout.Descriptor{MediaType: ocilayout.IndexType, Digest: d, Size: -1}, image, ocilayout.Visitor{}); err != nil {
			t.Error(err)
		}
		for _, d := range r.digests() {
			all, err := image.Bundles(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range kinds {
				want, err := os.ReadFile(filepath.Join(r.dir, r.bundle(d, k.name)))
				if err != nil || !slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, want) }) {
					t.Errorf("%s of %s is not there: %v", k.name, d, err)
				}
			}
			want := len(kinds)
			if d != r.image.Index {
				want++ // of the archive
			}
			if len(all) != want {
				t.Errorf("%s has %d bundles, want %d", d, len(all), want)
			}
		}
	})
}

// A second run sends nothing, and one after another bundle was signed sends
// that one.
func TestAgain(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		mustPublish(t, s.options(), r)
		s.heard()
		got := mustPublish(t, s.options(), r)
		if sent := s.heard("PUT", "POST", "PATCH"); len(sent) > 0 || got.Sent != 0 || got.Bytes != 0 {
			t.Errorf("sent again: %q, %+v", sent, got)
		}
		other := &release{dir: t.TempDir(), image: r.image, signer: r.signer}
		if err := os.CopyFS(other.dir, os.DirFS(r.dir)); err != nil {
			t.Fatal(err)
		}
		other.sign(t, r.bundle(r.image.Index, "spdx"), kinds[1].predicateType, "beacon", r.image.Index) // ECDSA: another signature
		got = mustPublish(t, s.options(), other)
		if sent := s.heard("POST"); len(sent) != 1 || got.Sent != 2 {
			t.Errorf("of one new bundle was sent: %q, %+v", sent, got)
		}
	})
}

// A tag that names another image stays, unless it is asked for.
func TestTagsStay(t *testing.T) {
	first, second := newRelease(t, "binary"), newRelease(t, "another")
	s := newServer(t, true)
	mustPublish(t, s.options(), first)
	s.heard()
	_, err := Publish(context.Background(), s.options(), second.dir)
	if !errors.Is(err, ErrTag) || !strings.Contains(err.Error(), first.image.Index.String()) {
		t.Fatalf("%v, want %v and what the tag names", err, ErrTag)
	}
	if sent := s.heard("PUT", "POST"); len(sent) > 0 {
		t.Errorf("sent before the tag was looked at: %q", sent)
	}
	o := s.options()
	o.Overwrite = true
	if got := mustPublish(t, o, second); got.Index != second.image.Index {
		t.Errorf("published %+v", got)
	}
}

// What is not whole and signed is not published, and nothing of it is sent.
func TestRefusals(t *testing.T) {
	whole := newRelease(t, "binary")
	child := whole.image.Platforms[1].Manifest
	remove := func(name string) func(t *testing.T, r *release) {
		return func(t *testing.T, r *release) {
			if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, r *release)
		want  error
	}{
		{"no signature of the index", remove(whole.bundle(whole.image.Index, "signature")), ErrUnsigned},
		{"no signature of a manifest", remove(whole.bundle(child, "signature")), ErrUnsigned},
		{"no bill of materials", remove(whole.bundle(child, "spdx")), ErrUnsigned},
		{"no provenance", remove(whole.bundle(child, "provenance")), ErrUnsigned},
		{"no provenance of the archive", remove("beacon-1.2.0-palisade.1.linux-arm64.tar.gz.provenance.sigstore.json"), ErrUnsigned},
		{"no test result", remove(whole.bundle(child, "test-result")), nil},
		{"an audit that is not signed", func(t *testing.T, r *release) {
			r.write(t, "beacon-1.2.0-palisade.1.linux-arm64.tar.gz.test-result.json", []byte("{}"))
			remove(r.bundle(child, "test-result"))(t, r)
		}, ErrUnsigned},
		{"an OpenVEX document that is not signed", func(t *testing.T, r *release) {
			r.write(t, "beacon-1.2.0-palisade.1.linux-arm64.tar.gz.vex.json", []byte("{}"))
			remove(r.bundle(child, "vex"))(t, r)
		}, ErrUnsigned},
		{"no OpenVEX document", remove(whole.bundle(child, "vex")), nil},
		{"an OpenVEX document about another digest", func(t *testing.T, r *release) {
			r.sign(t, r.bundle(child, "vex"), "https://openvex.dev/ns", "beacon", r.image.Index)
		}, ErrMismatch},
		{"a statement about another digest", func(t *testing.T, r *release) {
			r.sign(t, r.bundle(child, "signature"), kinds[0].predicateType, "beacon", r.image.Index)
		}, ErrMismatch},
		{"a statement of another type", func(t *testing.T, r *release) {
			r.sign(t, r.bundle(child, "signature"), kinds[1].predicateType, "beacon", child)
		}, ErrMismatch},
		{"the provenance of another archive", func(t *testing.T, r *release) {
			r.sign(t, "beacon-1.2.0-palisade.1.linux-arm64.tar.gz.provenance.sigstore.json", provenance.PredicateType, "x.tar.gz", child)
		}, ErrMismatch},
		{"no bundle", func(t *testing.T, r *release) { r.write(t, r.bundle(child, "signature"), []byte("{}")) }, ErrMismatch},
		{"a signature that does not verify", func(t *testing.T, r *release) {
			name := r.bundle(child, "test-result")
			r.write(t, name, regexp.MustCompile(`"sig": ?"[^"]*"`).ReplaceAll(r.read(t, name), []byte(`"sig":"MEUCIQ=="`)))
		}, ErrUnsigned},
		{"no signature of release.json", remove("release.json.sigstore.json"), ErrUnsigned},
		{"release.json changed after it was signed", func(t *testing.T, r *release) {
			r.write(t, "release.json", append(r.read(t, "release.json"), '\n'))
		}, ErrUnsigned},
		{"a signature of somebody else", func(t *testing.T, r *release) {
			var err error
			if r.signer, err = signing.WithKey(signing.Local(newSigner())); err != nil {
				t.Fatal(err)
			}
			r.sign(t, r.bundle(child, "signature"), kinds[0].predicateType, "beacon", child)
		}, ErrUnsigned},
		{"another file", func(t *testing.T, r *release) {
			other := newRelease(t, "else")
			data, err := os.ReadFile(filepath.Join(other.dir, other.image.Name))
			if err != nil {
				t.Fatal(err)
			}
			r.write(t, r.image.Name, append(data, make([]byte, max(0, int(r.image.Size)-len(data)))...)[:r.image.Size])
		}, ErrMismatch},
		{"a changed layer", func(t *testing.T, r *release) {
			data, err := os.ReadFile(filepath.Join(r.dir, r.image.Name))
			if err != nil {
				t.Fatal(err)
			}
			i := bytes.Index(data, []byte("blobs/sha256/"+r.image.Platforms[0].Layers[2].Digest.Hex()))
			data[i+512+40] ^= 1
			r.write(t, r.image.Name, data)
		}, ErrMismatch},
		{"a changed manifest", func(t *testing.T, r *release) {
			data, err := os.ReadFile(filepath.Join(r.dir, r.image.Name))
			if err != nil {
				t.Fatal(err)
			}
			i := bytes.Index(data, []byte("blobs/sha256/"+r.image.Platforms[0].Manifest.Hex())) + 512
			data[i+bytes.Index(data[i:], []byte("palisade"))] = 'P' // in an annotation
			r.write(t, r.image.Name, data)
		}, ErrMismatch},
		{"a cut file", func(t *testing.T, r *release) {
			if err := os.Truncate(filepath.Join(r.dir, r.image.Name), r.image.Size/2); err != nil {
				t.Fatal(err)
			}
		}, ErrMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &release{dir: t.TempDir(), image: whole.image, signer: whole.signer}
			if err := os.CopyFS(r.dir, os.DirFS(whole.dir)); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, r)
			s := newServer(t, true)
			_, err := Publish(context.Background(), s.options(), r.dir)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if puts := strings.Join(s.heard("PUT"), "\n"); tt.want != nil && strings.Contains(puts, "manifests/") && tt.name != "a changed layer" {
				t.Errorf("put all the same:\n%s", puts)
			} else if tt.want != nil && strings.Contains(puts, "manifests/"+r.image.Version) {
				t.Error("tagged all the same")
			}
		})
	}
}

func TestNothing(t *testing.T) {
	r := newRelease(t, "binary")
	s := newServer(t, true)
	o := s.options()
	o.Only = func(component, variant string) bool { return variant == "vanilla" }
	if _, err := Publish(context.Background(), o, r.dir); !errors.Is(err, ErrNothing) {
		t.Errorf("%v, want %v", err, ErrNothing)
	}
	if _, err := Publish(context.Background(), s.options(), t.TempDir()); err == nil {
		t.Error("an empty folder was published")
	}
	for _, spoil := range []func(*Options){
		func(o *Options) { o.Trust = bundle.Trust{} }, // in nobody
		func(o *Options) { o.Registry = "" },
		func(o *Options) { o.Registry = "palisade" }, // of no registry
		func(o *Options) { o.Registry = "https://" + s.address },
	} {
		o := s.options()
		spoil(&o)
		if _, err := Publish(context.Background(), o, r.dir); err == nil {
			t.Errorf("published to %q", o.Registry)
		}
	}
	if sent := s.heard("PUT", "POST"); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}
