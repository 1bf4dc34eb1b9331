package publish

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify/registry"
)

// complete reports whether the version is a tag there, and fails if it is, and
// anything that it names or that has to be attached is not.
func (s *server) complete(t *testing.T, r *release) bool {
	t.Helper()
	ctx := context.Background()
	image, err := registry.Open(ctx, s.address+"/palisade/beacon:"+r.image.Version, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := image.Resolve(ctx)
	if errors.Is(err, registry.ErrNotFound) {
		return false
	}
	if err != nil || d != r.image.Index {
		t.Fatalf("the tag is of %s: %v", d, err)
	}
	if _, err := ocilayout.Read(ctx, ocilayout.Descriptor{MediaType: ocilayout.IndexType, Digest: d, Size: -1}, image, ocilayout.Visitor{}); err != nil {
		t.Errorf("it is tagged and not whole: %v", err)
	}
	for n, d := range r.digests() {
		want := len(kinds)
		if n > 0 {
			want++ // of the archive
		}
		all, err := image.Bundles(ctx, d)
		if err != nil || len(all) != want {
			t.Errorf("it is tagged, and %s has %d bundles, want %d: %v", d, len(all), want, err)
		}
	}
	return true
}

// taken is what a registry was sent: the manifests, each once, and as many blobs
// as there were.
func (s *server) taken() []string {
	var all []string
	for _, line := range s.heard("PUT") {
		if strings.HasPrefix(line, "PUT blobs/") {
			line = "a blob"
		} else if slices.Contains(all, line) {
			continue
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// Whichever request the connection breaks at, on the way there or back, once or
// for good: what is tagged is whole and signed, one break is overcome, and the
// next run ends what this one began and sends no blob a second time.
func TestBreaksAnywhere(t *testing.T) {
	r := newRelease(t, "binary", "amd64")
	for _, tt := range []struct {
		name          string
		arrives, once bool
	}{
		{"down after a request", true, false}, // or before the next
		{"one request is lost", false, true},
		{"one answer is lost", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forBoth(t, func(t *testing.T, s *server) {
				var n atomic.Int64
				s.spoil(func(http.ResponseWriter, *http.Request) bool { n.Add(1); return false })
				mustPublish(t, s.options(), r)
				requests, want := n.Load(), s.taken()
				if !s.complete(t, r) {
					t.Fatal("it is not tagged")
				}
				for at := int64(1); at <= requests; at++ {
					s := newServer(t, s.referrers)
					var n atomic.Int64
					s.spoil(func(w http.ResponseWriter, q *http.Request) bool {
						i := n.Add(1)
						switch {
						case i < at || i > at && tt.once:
							return false
						case i == at && tt.arrives:
							s.handle(httptest.NewRecorder(), q)
						}
						panic(http.ErrAbortHandler)
					})
					_, err := Publish(context.Background(), s.options(), r.dir)
					s.mend()
					if (err == nil) != tt.once {
						t.Errorf("broken at request %d of %d: %v", at, requests, err)
					}
					if err != nil {
						s.complete(t, r)
						mustPublish(t, s.options(), r)
					}
					if got := s.taken(); !slices.Equal(got, want) {
						t.Errorf("broken at request %d of %d: the registry was sent\n%q\nand not\n%q", at, requests, got, want)
					}
					s.Close()
				}
			})
		})
	}
}

// A registry may have a manifest and have lost what it names, and its list of
// referrers may name what was deleted: that is sent anew before anything is
// tagged.
func TestLostMeanwhile(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		mustPublish(t, s.options(), r)
		to, err := registry.Connect(context.Background(), s.address+"/palisade/beacon", registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bundles, err := to.Referrers(context.Background(), r.image.Index)
		if err != nil || len(bundles) == 0 {
			t.Fatal(bundles, err)
		}
		remove := []string{"manifests/" + r.image.Version, "blobs/" + r.image.Platforms[1].Layers[2].Digest.String()}
		for _, d := range bundles {
			remove = append(remove, "manifests/"+d.String())
		}
		for _, name := range remove {
			answer := httptest.NewRecorder()
			s.handle(answer, httptest.NewRequest(http.MethodDelete, "/v2/palisade/beacon/"+name, nil))
			if answer.Code >= 400 {
				t.Fatalf("removing %s: %d %s", name, answer.Code, answer.Body)
			}
		}
		s.heard()
		got := mustPublish(t, s.options(), r)
		if !s.complete(t, r) || got.Sent != len(remove) {
			t.Errorf("of %d that were lost %d were sent", len(remove), got.Sent)
		}
	})
}

// What others attached stays attached.
func TestOthersStay(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		mustPublish(t, s.options(), r)
		other := resigned(t, r)
		mustPublish(t, s.options(), other)
		for _, r := range []*release{r, other} {
			s.attached(t, r)
		}
	})
}

// resigned is the release signed again: with other bundles.
func resigned(t *testing.T, r *release) *release {
	t.Helper()
	other := &release{dir: t.TempDir(), signer: r.signer}
	other.build(t, "binary", []string{"amd64", "arm64"})
	if other.image.Index != r.image.Index {
		t.Fatal("it is another image")
	}
	return other
}

// attached fails if a bundle of the release is not attached.
func (s *server) attached(t *testing.T, r *release) {
	t.Helper()
	to, err := registry.Connect(context.Background(), s.address+"/palisade/beacon", registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.digests() {
		all, err := to.Bundles(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		var there []artifact.Digest
		for _, data := range all {
			there = append(there, artifact.DigestBytes(data))
		}
		for _, k := range kinds {
			if want := artifact.DigestBytes(r.read(t, r.bundle(d, k.name))); !slices.Contains(there, want) {
				t.Errorf("%s of %s is not attached", k.name, d)
			}
		}
	}
}

// Whoever publishes the same image at the same moment may take a tag's list of
// referrers away: then this is told, and what is tagged has all that its
// publisher attached, or the other's.
func TestTogether(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		all := []*release{r, resigned(t, r), resigned(t, r)}
		failed := make(chan error, len(all))
		for _, r := range all {
			go func() {
				_, err := Publish(context.Background(), s.options(), r.dir)
				failed <- err
			}()
		}
		for range all {
			if err := <-failed; err != nil && (s.referrers || !errors.Is(err, registry.ErrAnswer)) {
				t.Errorf("%v, want none, or %v where a tag lists referrers", err, registry.ErrAnswer)
			}
		}
		for _, r := range all { // one after the other, nobody takes anything away
			mustPublish(t, s.options(), r)
		}
		for _, r := range all {
			s.attached(t, r)
		}
	})
}

// Of two who found the tag free, the one whose image it does not name is told.
func TestTagTakenAtOnce(t *testing.T) {
	r, other := newRelease(t, "binary"), newRelease(t, "another")
	s := newServer(t, true)
	s.spoil(at("PUT", "/manifests/"+r.image.Version, 1, 1, func(w http.ResponseWriter, q *http.Request) bool {
		s.spoil(nil)
		s.handle(w, q)
		o := s.options()
		o.Overwrite = true
		mustPublish(t, o, other)
		return true
	}))
	if _, err := Publish(context.Background(), s.options(), r.dir); !errors.Is(err, ErrTag) || !strings.Contains(err.Error(), other.image.Index.String()) {
		t.Errorf("%v, want %v and what the tag names", err, ErrTag)
	}
}
