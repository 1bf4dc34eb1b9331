package publish

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"palisade/attestations/verify/registry"
)

// at is a fault in the requests of that method whose path holds that: those
// numbered from first, count of them; all, if count is 0.
func at(method, path string, first, count int, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var n atomic.Int64
	return func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method != method || !strings.Contains(q.URL.Path, path) {
			return false
		}
		i := int(n.Add(1))
		return i >= first && (count == 0 || i < first+count) && fault(w, q)
	}
}

func says(code int, diagnostic string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		return answer(w, code, diagnostic)
	}
}

// hangUp reads half of what is sent and closes the connection.
func hangUp(w http.ResponseWriter, q *http.Request) bool {
	_, _ = io.CopyN(io.Discard, q.Body, q.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// Whatever goes wrong, nothing is tagged that is not whole; and the next run,
// when it is over, goes on where this one stopped.
func TestFaults(t *testing.T) {
	r := newRelease(t, "binary")
	version := r.image.Version
	for _, tt := range []struct {
		name   string
		fault  func(http.ResponseWriter, *http.Request) bool
		want   error // nil if it is overcome
		says   string
		pauses []time.Duration // not looked at if nil
	}{
		{"not logged in", at("POST", "/uploads/", 1, 0, says(401, "UNAUTHORIZED")), registry.ErrDenied, "docker login", []time.Duration{}},
		{"no leave", at("POST", "/uploads/", 1, 0, says(403, "DENIED")), registry.ErrDenied, "ask whoever runs it", []time.Duration{}},
		{"no leave to tag", at("PUT", "/manifests/"+version, 1, 0, says(403, "DENIED")), registry.ErrDenied, "", nil},
		{"busy for a while", at("POST", "/uploads/", 3, 2, says(429, "TOOMANYREQUESTS", "Retry-After", "7")), nil, "", nil},
		{"busy by the clock", at("PUT", "/manifests/", 1, 1, says(503, "UNAVAILABLE", "Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After", "Sun, 06 Nov 1994 08:49:57 GMT")), nil, "", []time.Duration{20 * time.Second}},
		{"busy for too long", at("PUT", "/manifests/", 1, 0, says(429, "TOOMANYREQUESTS", "Retry-After", "3600")), registry.ErrUnavailable, "left alone for 1h0m0s", []time.Duration{}},
		{"down", at("PUT", "/manifests/", 2, 0, says(503, "UNAVAILABLE")), registry.ErrUnavailable, "tried 5 times", []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond}},
		{"down when the index comes", at("PUT", "/manifests/"+r.image.Index.String(), 1, 0, says(500, "UNKNOWN")), registry.ErrUnavailable, "", nil},
		{"down when bundles come", at("PUT", "/manifests/", 5, 0, says(502, "UNKNOWN")), registry.ErrUnavailable, "", nil},
		{"an upload that breaks", at("PATCH", "/uploads/", 2, 1, hangUp), nil, "", nil},
		{"uploads that always break", at("PATCH", "/uploads/", 2, 0, hangUp), registry.ErrUnavailable, "", nil},
		{"an upload that arrives cut", at("PUT", "/uploads/", 1, 1, says(400, "DIGEST_INVALID")), nil, "", nil},
		{"no space", at("PUT", "/manifests/", 1, 0, says(413, "SIZE_INVALID")), registry.ErrAnswer, "", nil},
		{"another manifest than was put", at("GET", "/manifests/sha256:", 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			_, _ = io.WriteString(w, `{"schemaVersion":2}`)
			return true
		}), registry.ErrDigest, "", nil},
		// An index is not taken before its parts, or, if it is, is read back with them.
		{"a manifest that is said to be there", at("HEAD", "/manifests/"+r.image.Platforms[0].Manifest.String(), 1, 0, func(http.ResponseWriter, *http.Request) bool { return true }), registry.ErrNotFound, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, p := newServer(t, strings.Contains(tt.name, "bundles")), &pauses{}
			o := s.options()
			o.Pause = p.pause
			s.spoil(tt.fault)
			_, err := Publish(context.Background(), o, r.dir)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want %v that says %q", err, tt.want, tt.says)
			}
			if tt.pauses != nil && !slices.Equal(p.all, tt.pauses) {
				t.Errorf("waited %s, want %s", p.all, tt.pauses)
			}
			before := s.heard("PUT")
			if tagged := slices.Contains(before, "PUT manifests/"+version); tagged != (tt.want == nil) {
				t.Errorf("tagged: %t, of %q", tagged, before)
			}
			s.mend()
			mustPublish(t, s.options(), r)
			for _, again := range s.heard("PUT") {
				if strings.Contains(again, "manifests/sha256:") && slices.Contains(before, again) {
					t.Errorf("%s a second time", again)
				}
			}
		})
	}
}

// Somebody else takes the tag while the image is on its way.
func TestTagTakenMeanwhile(t *testing.T) {
	r, other := newRelease(t, "binary"), newRelease(t, "another")
	s := newServer(t, true)
	s.spoil(at("PUT", "/manifests/"+r.image.Index.String(), 1, 1, func(http.ResponseWriter, *http.Request) bool {
		s.spoil(nil)
		mustPublish(t, s.options(), other)
		return false
	}))
	if _, err := Publish(context.Background(), s.options(), r.dir); !errors.Is(err, ErrTag) {
		t.Errorf("%v, want %v", err, ErrTag)
	}
}

// Somebody else writes the tag that stands for the referrers, and takes an entry
// away: it is put back.
func TestReferrersLost(t *testing.T) {
	r := newRelease(t, "binary")
	s := newServer(t, false)
	tag := registry.FallbackTag(r.image.Index)
	var lost atomic.Int64
	s.spoil(at("PUT", "/manifests/"+tag, 2, 1, func(w http.ResponseWriter, _ *http.Request) bool {
		lost.Add(1)
		w.WriteHeader(http.StatusCreated)
		return true
	}))
	mustPublish(t, s.options(), r)
	if lost.Load() != 1 {
		t.Fatal("nothing was lost: this test looks at nothing")
	}
	image, err := registry.Open(context.Background(), s.address+"/palisade/beacon:"+r.image.Version, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := image.Bundles(context.Background(), r.image.Index)
	if err != nil || len(all) != len(kinds) {
		t.Errorf("%d bundles: %v", len(all), err)
	}
	s.spoil(at("PUT", "/manifests/"+tag, 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusCreated)
		return true
	}))
	other := newRelease(t, "another")
	s.spoil(at("PUT", "/manifests/sha256-", 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusCreated)
		return true
	}))
	o := s.options()
	o.Overwrite = true
	if _, err := Publish(context.Background(), o, other.dir); !errors.Is(err, registry.ErrAnswer) {
		t.Errorf("%v, want %v", err, registry.ErrAnswer)
	}
}

func TestCancelled(t *testing.T) {
	r, s := newRelease(t, "binary"), newServer(t, true)
	ctx, cancel := context.WithCancel(context.Background())
	s.spoil(at("PUT", "/manifests/", 1, 0, func(http.ResponseWriter, *http.Request) bool {
		cancel()
		panic(http.ErrAbortHandler)
	}))
	if _, err := Publish(ctx, s.options(), r.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
