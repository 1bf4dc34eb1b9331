package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/consume"
)

var update = flag.Bool("update", false, "write golden files anew")

const version = "1.0.0"

// newFiles is a release with all that its release.json names.
func newFiles(t testing.TB, content string) *release {
	t.Helper()
	r := newRelease(t, content, "amd64")
	r.fill(t)
	return r
}

func (r *release) fill(t testing.TB) {
	t.Helper()
	for _, p := range r.image.Platforms {
		r.write(t, p.Artifact, []byte(p.Artifact)) // of which it has the digest
		r.write(t, p.Artifact+".sigstore.json", []byte("signed"))
		r.write(t, p.Artifact+".vex.json", []byte("said"))
		r.write(t, filepath.Join("bin", p.Platform.Slug(), "hardened", "beacon"), []byte("left here"))
	}
	r.write(t, r.image.Documents[0].Name, []byte(imageDocument))
	r.write(t, "SHA256SUMS", []byte("sums of "+r.image.Digest.String()))
	r.write(t, "RELEASE_NOTES.md", []byte("# Notes\n"))
	r.write(t, r.image.Name+".rebuilds/of.sigstore.json", []byte("rebuilt"))
}

func openRelease(t testing.TB, r *release) *Release {
	t.Helper()
	opened, err := OpenRelease(context.Background(), Options{Trust: trust()}, r.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

// entry is the release in an index of releases.
func entry(t testing.TB, r *Release) releases.Release {
	t.Helper()
	data, err := r.Manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	of := releases.Release{
		Version: version, Tag: "v" + version, Commit: strings.Repeat("0a", 20),
		Manifest: artifact.DigestBytes(data), Files: r.Form.Release.Digest, Images: releases.ImagesOf(r.Manifest),
	}
	for _, f := range r.Listing.Said {
		if f.Name == releases.NotesName {
			of.Notes = f.Digest
		}
	}
	return of
}

// publishFiles does what is done with the files, with what comes between.
func publishFiles(o Options, r *Release, before func(*Files) error) (PublishedFiles, error) {
	ctx := context.Background()
	f, err := r.ToRegistry(ctx, o, version)
	if err == nil {
		err = f.Send(ctx)
	}
	if err == nil && before != nil {
		err = before(f)
	}
	if err == nil {
		err = f.Tag(ctx)
	}
	if err != nil {
		return PublishedFiles{}, err
	}
	return f.Done(), nil
}

// fetch gets the release from a place as a stranger, into a folder, and returns
// what is there.
func fetch(t testing.TB, from consume.Place, of releases.Release) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = from.Files(context.Background(), of, root)
	return contents(t, dir), err
}

func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// published is what of a folder is: all but loose binaries.
func published(t testing.TB, r *release) map[string]string {
	all := contents(t, r.dir)
	for name := range all {
		if strings.HasPrefix(name, "bin/") {
			delete(all, name)
		}
	}
	return all
}

func (s *server) place(t testing.TB) *consume.Registry {
	t.Helper()
	at, err := consume.InRegistry(context.Background(), s.address+"/palisade", registry.Options{Pause: new(pauses).pause})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is %.60q, want %.60q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there too", name)
		}
	}
}

// What is sent can be fetched by its digest before a tag names it, and by its tag
// afterwards; a second run sends nothing.
func TestFiles(t *testing.T) {
	r, s := newFiles(t, "binary"), newServer(t, true)
	opened := openRelease(t, r)
	of, from, want := entry(t, opened), s.place(t), published(t, r)
	got, err := publishFiles(s.options(), opened, func(f *Files) error {
		if _, err := fetch(t, from, of); !errors.Is(err, consume.ErrNone) {
			t.Errorf("before it is tagged: %v", err)
		}
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := from.FilesAt(context.Background(), f.Done().Index, of, root); err != nil {
			t.Error(err)
		}
		same(t, contents(t, root.Name()), want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Repository != s.address+"/palisade/release" || got.Tag != "v1.0.0" || got.Release != of.Files || got.Sent == 0 {
		t.Errorf("published %+v", got)
	}
	there, err := fetch(t, from, of)
	if err != nil {
		t.Fatal(err)
	}
	same(t, there, want)
	s.heard()
	again, err := publishFiles(s.options(), openRelease(t, r), nil)
	if sent := s.heard("PUT", "POST", "PATCH"); err != nil || len(sent) > 0 || again.Index != got.Index || again.Sent != 0 {
		t.Errorf("sent again: %q, %+v, %v", sent, again, err)
	}
}

// Stock tools read what is published: it is well-formed, every part is there, and
// each layer is a file called by its name.
func TestFilesStock(t *testing.T) {
	r, s := newFiles(t, "binary"), newServer(t, true)
	opened := openRelease(t, r)
	if _, err := publishFiles(s.options(), opened, nil); err != nil {
		t.Fatal(err)
	}
	index := newIndex(t, nil, entry(t, opened), true)
	if _, err := index.ToRegistry(context.Background(), s.options()); err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(s.address + "/palisade/release:v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	stock, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(stock); err != nil {
		t.Error(err)
	}
	m, err := stock.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	titles := map[string]string{}
	for n, want := range []string{"application/vnd.palisade.release.v1", "application/vnd.palisade.release.said.v1"} {
		d := m.Manifests[n]
		image, err := stock.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if d.ArtifactType != want || doc.ArtifactType != want || doc.Config.MediaType != "application/vnd.oci.empty.v1+json" || doc.Config.Size != 2 {
			t.Errorf("manifest %d: %+v, %+v", n+1, d, doc)
		}
		for _, l := range doc.Layers {
			titles[l.Annotations["org.opencontainers.image.title"]] = l.Digest.String()
		}
	}
	want := published(t, r)
	for name, content := range want {
		if titles[name] != artifact.DigestBytes([]byte(content)).String() {
			t.Errorf("%s is %s", name, titles[name])
		}
	}
	if len(titles) != len(want) {
		t.Errorf("%d files, want %d", len(titles), len(want))
	}
	one, err := remote.Image(ref.Context().Tag("index"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(one); err != nil {
		t.Error(err)
	}
}

// What was built has one digest, whatever order its files were written in and
// whoever said what of it; and its form is known.
func TestFilesForm(t *testing.T) {
	r := newFiles(t, "binary")
	first := openRelease(t, r)
	other := &release{dir: t.TempDir(), image: r.image, signer: r.signer}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range contents(t, r.dir) {
			if !yield(name) {
				return
			}
		}
	})
	slices.Reverse(names)
	for _, name := range names {
		other.write(t, name, r.read(t, name))
	}
	if second := openRelease(t, other); second.Form.Index.Digest != first.Form.Index.Digest {
		t.Errorf("the same files are %s and %s", first.Form.Index.Digest, second.Form.Index.Digest)
	}
	if err := os.RemoveAll(filepath.Join(other.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	other.signIndex(t)
	third := openRelease(t, other)
	if third.Form.Release.Digest != first.Form.Release.Digest || third.Form.Said.Digest == first.Form.Said.Digest {
		t.Errorf("signed again, what was built is %s and was %s", third.Form.Release.Digest, first.Form.Release.Digest)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, first.Form.Release.Data, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "files.json")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, append(text.Bytes(), '\n'), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || strings.TrimSuffix(string(want), "\n") != text.String() {
		t.Errorf("got\n%s\nwant (-update)\n%s\n%v", &text, want, err)
	}
}

// What is not of the release is not published with it, and nothing that lacks.
func TestFilesRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, r *release)
		want  error
	}{
		{"a stray", func(t *testing.T, r *release) { r.write(t, "cosign.key", []byte("secret")) }, ErrMismatch},
		{"a stray in a folder", func(t *testing.T, r *release) { r.write(t, "old/x.sigstore.json", []byte("x")) }, ErrMismatch},
		{"a hidden one", func(t *testing.T, r *release) { r.write(t, ".env", []byte("secret")) }, ErrMismatch},
		{"a link", func(t *testing.T, r *release) {
			if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "cosign.pub")); err != nil {
				t.Fatal(err)
			}
		}, ErrMismatch},
		{"an empty file", func(t *testing.T, r *release) { r.write(t, "cosign.pub", nil) }, ErrMismatch},
		{"no archive", func(t *testing.T, r *release) { os.Remove(filepath.Join(r.dir, r.image.Platforms[0].Artifact)) }, ErrMismatch},
		{"no sums", func(t *testing.T, r *release) { os.Remove(filepath.Join(r.dir, "SHA256SUMS")) }, ErrMismatch},
		{"no signature", func(t *testing.T, r *release) { os.Remove(filepath.Join(r.dir, "release.json.sigstore.json")) }, ErrUnsigned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newFiles(t, "binary")
			tt.spoil(t, r)
			if _, err := OpenRelease(context.Background(), Options{Trust: trust()}, r.dir); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// A version is of one content; of that more may be said.
func TestFilesTag(t *testing.T) {
	r, s := newFiles(t, "binary"), newServer(t, true)
	first, err := publishFiles(s.options(), openRelease(t, r), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.heard()
	other := openRelease(t, newFiles(t, "another"))
	if _, err := publishFiles(s.options(), other, nil); !errors.Is(err, ErrTag) || !strings.Contains(err.Error(), first.Index.String()) {
		t.Errorf("%v, want %v and what the tag names", err, ErrTag)
	}
	if sent := s.heard("PUT", "POST"); len(sent) > 0 {
		t.Errorf("sent before the tag was looked at: %q", sent)
	}
	r.write(t, r.image.Platforms[0].Artifact+".vex.json", []byte("found out since"))
	again := openRelease(t, r)
	second, err := publishFiles(s.options(), again, nil)
	if err != nil || second.Release != first.Release || second.Index == first.Index {
		t.Fatalf("said anew: %+v, %v", second, err)
	}
	there, err := fetch(t, s.place(t), entry(t, again))
	if err != nil || there[r.image.Platforms[0].Artifact+".vex.json"] != "found out since" {
		t.Errorf("what was said anew is not there: %v", err)
	}
	// Somebody takes the tag meanwhile, before it is looked at and after.
	for _, method := range []string{"GET", "PUT"} {
		s := newServer(t, true)
		if f, err := other.ToRegistry(context.Background(), s.options(), version); err != nil || f.Send(context.Background()) != nil {
			t.Fatal(err)
		}
		s.spoil(at(method, "/manifests/v1.0.0", map[string]int{"GET": 2, "PUT": 1}[method], 1, func(w http.ResponseWriter, q *http.Request) bool {
			s.spoil(nil)
			if method == "PUT" {
				s.handle(w, q)
				document := other.Form.Index
				put := httptest.NewRequest(http.MethodPut, "/v2/palisade/release/manifests/v1.0.0", bytes.NewReader(document.Data))
				put.Header.Set("Content-Type", document.MediaType)
				s.handle(httptest.NewRecorder(), put)
				return true
			}
			if _, err := publishFiles(s.options(), other, nil); err != nil {
				t.Error(err)
			}
			return false
		}))
		if _, err := publishFiles(s.options(), again, nil); !errors.Is(err, ErrTag) {
			t.Errorf("taken at %s: %v, want %v", method, err, ErrTag)
		}
	}
}
