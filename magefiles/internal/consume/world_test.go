package consume

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/verify/registry"
)

// A world is a registry, and what of it was asked for.
type world struct {
	address string
	handler http.Handler
	blobs   atomic.Int64 // that were read
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{handler: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
			w.blobs.Add(1)
		}
		w.handler.ServeHTTP(rw, q)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // HTTPS is tried first
	t.Cleanup(s.Close)
	w.address = strings.TrimPrefix(s.URL, "http://")
	return w
}

func (w *world) send(t testing.TB, method, path, mediaType string, data []byte) {
	t.Helper()
	q := httptest.NewRequest(method, "/v2/palisade/release/"+path, bytes.NewReader(data))
	q.Header.Set("Content-Type", mediaType)
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, q)
	if answer.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

func (w *world) blob(t testing.TB, data []byte) {
	t.Helper()
	w.send(t, http.MethodPost, "blobs/uploads/?digest="+artifact.DigestBytes(data).String(), "application/octet-stream", data)
}

func (w *world) manifest(t testing.TB, reference string, m registry.Manifest) {
	t.Helper()
	w.send(t, http.MethodPut, "manifests/"+reference, m.MediaType, m.Data)
}

func (w *world) place(t testing.TB) *Registry {
	t.Helper()
	r, err := InRegistry(context.Background(), w.address+"/palisade", registry.Options{Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// files are of these contents, under names.
func files(names ...string) (all []File) {
	for _, name := range names {
		all = append(all, File{name, int64(len(name)), artifact.DigestBytes([]byte(name))})
	}
	return all
}

func listing() Listing {
	return Listing{Release: files("SHA256SUMS", "a.tar.gz", "release.json"), Said: files("a.tar.gz.rebuilds/x.sigstore.json", "a.tar.gz.sigstore.json")}
}

func entry(l Listing) releases.Release {
	r := releases.Release{Version: "1.0.0", Manifest: artifact.DigestBytes([]byte("release.json"))}
	if f, err := l.Form(); err == nil {
		r.Files = f.Release.Digest
	}
	return r
}

func fetched(t testing.TB, p Place, r releases.Release) ([]string, error) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = p.Files(context.Background(), r, root)
	var names []string
	_ = filepath.WalkDir(root.Name(), func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(root.Name(), name)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	return names, err
}

// A hostile registry: its documents as it likes, and consistent among themselves.
type hostile struct {
	index         index
	release, said manifest
	spaced        bool // the index is indented
	kind          string
}

// honest are the documents of l as they ought to be.
func honest(t testing.TB, l Listing) hostile {
	t.Helper()
	h := hostile{kind: ocilayout.IndexType}
	for _, one := range []struct {
		files []File
		kind  string
		into  *manifest
	}{{l.Release, releaseType, &h.release}, {l.Said, saidType, &h.said}} {
		m, err := manifestOf(one.kind, one.files)
		if err == nil {
			err = json.Unmarshal(m.Data, one.into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h.index = index{SchemaVersion: 2, MediaType: ocilayout.IndexType, Manifests: make([]child, 2)}
	return h
}

// publish puts them under the tag, and says what it names.
func (h hostile) publish(t testing.TB, w *world, change func(*index)) (built artifact.Digest) {
	t.Helper()
	for n, m := range []manifest{h.release, h.said} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := artifact.DigestBytes(data)
		w.manifest(t, d.String(), registry.Manifest{MediaType: ocilayout.ManifestType, Data: data})
		h.index.Manifests[n] = child{ocilayout.ManifestType, m.ArtifactType, d, int64(len(data))}
	}
	built = h.index.Manifests[0].Digest
	if change != nil {
		change(&h.index)
	}
	data, err := json.Marshal(h.index)
	if err != nil {
		t.Fatal(err)
	}
	if h.spaced {
		data = append(data, '\n')
	}
	w.manifest(t, "v1.0.0", registry.Manifest{MediaType: h.kind, Data: data})
	return built
}
