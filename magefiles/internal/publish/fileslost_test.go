package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/consume"
)

// Whichever request the connection breaks at, for good: no tag names what is not
// whole, and the next run ends with the same digests and sends no blob again.
func TestFilesBreakAnywhere(t *testing.T) {
	r := newFiles(t, "binary")
	opened := openRelease(t, r)
	of, want := entry(t, opened), published(t, r)
	s := newServer(t, true)
	var n atomic.Int64
	s.spoil(func(http.ResponseWriter, *http.Request) bool { n.Add(1); return false })
	whole, err := publishFiles(s.options(), opened, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests, sent := n.Load(), s.taken()
	for at := int64(1); at <= requests; at += 3 {
		for _, arrives := range []bool{false, true} {
			s := newServer(t, true)
			var n atomic.Int64
			s.spoil(func(w http.ResponseWriter, q *http.Request) bool {
				i := n.Add(1)
				if i < at {
					return false
				}
				if i == at && arrives {
					s.handle(httptest.NewRecorder(), q)
				}
				panic(http.ErrAbortHandler)
			})
			_, err := publishFiles(s.options(), opened, nil)
			s.mend()
			if err == nil {
				t.Errorf("broken at request %d of %d: no error", at, requests)
			}
			if there, err := fetch(t, s.place(t), of); err == nil {
				same(t, there, want)
			} else if !errors.Is(err, consume.ErrNone) {
				t.Errorf("broken at request %d of %d: half is there: %v", at, requests, err)
			}
			again, err := publishFiles(s.options(), openRelease(t, r), nil)
			if err != nil || again.Index != whole.Index || again.Release != whole.Release {
				t.Errorf("broken at request %d of %d: then %+v, %v", at, requests, again, err)
			}
			if got := s.taken(); !slices.Equal(got, sent) {
				t.Errorf("broken at request %d of %d: the registry was sent\n%q\nand not\n%q", at, requests, got, sent)
			}
			there, err := fetch(t, s.place(t), of)
			if err != nil {
				t.Fatal(err)
			}
			same(t, there, want)
			s.Close()
		}
	}
}

// A registry that says that it has what it lost, and one that gives something else,
// is found out by whoever fetches, before anything is tagged.
func TestFilesLost(t *testing.T) {
	r := newFiles(t, "binary")
	opened := openRelease(t, r)
	of := entry(t, opened)
	archive := artifact.DigestBytes([]byte(r.image.Platforms[0].Artifact)).String()
	for _, tt := range []struct {
		name  string
		fault func(s *server) func(http.ResponseWriter, *http.Request) bool
		want  error
	}{
		{"a blob that is said to be there", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("HEAD", "/blobs/"+archive, 1, 0, func(http.ResponseWriter, *http.Request) bool { return true })
		}, ocilayout.ErrMissing},
		{"another blob of its length", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("GET", "/blobs/"+archive, 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
				fmt.Fprint(w, strings.Repeat("x", len(r.image.Platforms[0].Artifact)))
				return true
			})
		}, registry.ErrDigest},
		{"a longer blob", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("GET", "/blobs/"+archive, 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
				fmt.Fprint(w, strings.Repeat("x", 100_000))
				return true
			})
		}, registry.ErrDigest},
		{"a blob that always breaks off", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("GET", "/blobs/"+archive, 1, 0, func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", fmt.Sprint(len(r.image.Platforms[0].Artifact)))
				fmt.Fprint(w, "x")
				panic(http.ErrAbortHandler)
			})
		}, registry.ErrUnavailable},
		{"a blob that breaks off once", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("GET", "/blobs/"+archive, 1, 1, func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", fmt.Sprint(len(r.image.Platforms[0].Artifact)))
				fmt.Fprint(w, r.image.Platforms[0].Artifact[:5])
				panic(http.ErrAbortHandler)
			})
		}, nil},
		{"a manifest that is lost", func(*server) func(http.ResponseWriter, *http.Request) bool {
			return at("GET", "/manifests/"+opened.Form.Said.Digest.String(), 2, 0, says(404, "MANIFEST_UNKNOWN"))
		}, ocilayout.ErrMissing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, true)
			s.spoil(tt.fault(s))
			_, err := publishFiles(s.options(), opened, func(f *Files) error {
				dir := t.TempDir()
				root, err := os.OpenRoot(dir)
				if err != nil {
					t.Fatal(err)
				}
				defer root.Close()
				err = s.place(t).FilesAt(context.Background(), f.Done().Index, of, root)
				if _, there := contents(t, dir)[r.image.Platforms[0].Artifact]; there != (tt.want == nil) {
					t.Errorf("half a file is there: %t", there)
				}
				return err
			})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if tagged := slices.Contains(s.heard("PUT"), "PUT manifests/v1.0.0"); tagged != (tt.want == nil) {
				t.Errorf("tagged: %t", tagged)
			}
			s.mend()
			if _, err := publishFiles(s.options(), opened, nil); err != nil {
				t.Error(err)
			}
			if _, err := fetch(t, s.place(t), of); err != nil {
				t.Error(err)
			}
		})
	}
}

// Before is asked when all of the images is there, and no tag.
func TestBefore(t *testing.T) {
	r := newRelease(t, "binary")
	forBoth(t, func(t *testing.T, s *server) {
		o, refuse := s.options(), errors.New("not this one")
		asked := 0
		o.Before = func(ctx context.Context, images []Published) error {
			asked++
			if len(images) != 1 || images[0].Index != r.image.Index || slices.Contains(s.heard("PUT"), "PUT manifests/"+r.image.Version) {
				t.Errorf("asked about %+v", images)
			}
			image, err := registry.Open(ctx, images[0].Repository+"@"+images[0].Index.String(), registry.Options{})
			if err != nil {
				t.Fatal(err)
			}
			all, err := image.Bundles(ctx, r.image.Index)
			if err != nil || len(all) != len(kinds) {
				t.Errorf("%d bundles: %v", len(all), err)
			}
			if asked == 1 {
				return refuse
			}
			return nil
		}
		if report, err := Publish(context.Background(), o, r.dir); !errors.Is(err, refuse) || len(report.Images) > 0 || s.complete(t, r) {
			t.Errorf("refused, and %+v is there: %v", report, err)
		}
		mustPublish(t, o, r)
		if !s.complete(t, r) {
			t.Error("it is not tagged")
		}
	})
}
