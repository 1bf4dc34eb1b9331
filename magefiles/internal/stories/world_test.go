package stories

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/tools/txtar"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

// A world is what a story can reach: a module proxy, a checksum database, an
// npm registry and one for images. It is the same for all stories until one of
// them changes it.
type world struct {
	url, verifier string
	close         func()

	work   string
	mu     sync.Mutex
	sent   map[module.Version]packed // by the proxy
	known  map[module.Version]packed // says the checksum database
	held   map[module.Version]bool
	shut   map[string]bool   // modules whose versions the proxy does not list
	npm    map[string][]byte // tarballs of the registry, by path
	memory remembered

	poisoned int           // larger blobs of the registry for images are changed; -1 for none
	end      chan struct{} // closed when the story ends
}

// packed is a module version as a proxy sends it.
type packed struct {
	mod, zip      []byte
	sum, goModSum string
	path          module.Version
}

type worldKey struct{}

// released is when every fixture module was.
var released = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

func newWorld(work string) (*world, error) {
	w := &world{work: work, sent: map[module.Version]packed{}, known: map[module.Version]packed{}, held: map[module.Version]bool{}, shut: map[string]bool{}, poisoned: -1, npm: map[string][]byte{}, end: make(chan struct{})}
	all, err := packAll()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		w.sent[p.path], w.known[p.path] = p, p
	}
	signer, verifier, err := note.GenerateKey(rand.Reader, "sums.example.test")
	if err != nil {
		return nil, err
	}
	w.verifier = verifier
	mux := http.NewServeMux()
	mux.Handle("/proxy/", http.StripPrefix("/proxy/", http.HandlerFunc(w.proxy)))
	mux.Handle("/sumdb/", http.StripPrefix("/sumdb", sumdb.NewServer(sumdb.NewTestServer(signer, w.sums))))
	mux.Handle("/npm/", http.StripPrefix("/npm/", http.HandlerFunc(w.registry)))
	mux.Handle("/v2/", w.images(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))))
	server := httptest.NewServer(mux)
	w.url = server.URL
	w.close = func() {
		close(w.end)
		server.CloseClientConnections()
		server.Close()
	}
	return w, nil
}

// sums is what the checksum database knows of a module.
func (w *world) sums(path, version string) ([]byte, error) {
	p, ok := w.find(w.known, module.Version{Path: path, Version: version})
	if !ok {
		return nil, os.ErrNotExist
	}
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, p.sum, path, version, p.goModSum), nil
}

func (w *world) proxy(rw http.ResponseWriter, r *http.Request) {
	escaped, file, ok := strings.Cut(r.URL.Path, "/@v/")
	ext := filepath.Ext(file)
	path, err := module.UnescapePath(escaped)
	if !ok || err != nil {
		http.NotFound(rw, r)
		return
	}
	if file == "list" {
		w.list(rw, path)
		return
	}
	version, err := module.UnescapeVersion(strings.TrimSuffix(file, ext))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	v := module.Version{Path: path, Version: version}
	p, ok := w.find(w.sent, v)
	w.mu.Lock()
	held := w.held[v]
	w.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(rw, r)
	case ext == ".info":
		_ = json.NewEncoder(rw).Encode(map[string]any{"Version": version, "Time": released})
	case ext == ".mod":
		_, _ = rw.Write(p.mod)
	case ext == ".zip" && held:
		w.hold(rw, r, p.zip)
	case ext == ".zip":
		_, _ = rw.Write(p.zip)
	default:
		http.NotFound(rw, r)
	}
}

// list names the versions of a module, the newest first, or refuses to.
func (w *world) list(rw http.ResponseWriter, path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var versions []string
	for v := range w.sent {
		if v.Path == path {
			versions = append(versions, v.Version)
		}
	}
	if len(versions) == 0 || w.shut[path] {
		http.Error(rw, "not listed", http.StatusForbidden)
		return
	}
	semver.Sort(versions)
	slices.Reverse(versions)
	_, _ = io.WriteString(rw, strings.Join(versions, "\n"))
}

// hold sends half of a zip file, says so by a file, and waits for the end of
// the client or of the story.
func (w *world) hold(rw http.ResponseWriter, r *http.Request, zip []byte) {
	rw.Header().Set("Content-Length", fmt.Sprint(len(zip)))
	_, _ = rw.Write(zip[:len(zip)/2])
	_ = http.NewResponseController(rw).Flush()
	_ = os.WriteFile(filepath.Join(w.work, "held"), nil, 0o644)
	select {
	case <-r.Context().Done():
	case <-w.end:
	}
}

// change makes the proxy, and the checksum database too if it is told, have
// another content for v.
func (w *world) change(v module.Version, dir string, everywhere bool) error {
	p, err := pack(v, dir)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[v] = p
	if everywhere {
		w.known[v] = p
	}
	return nil
}

func (w *world) registry(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	tarball, ok := w.npm[r.URL.Path]
	w.mu.Unlock()
	if !ok {
		http.NotFound(rw, r)
		return
	}
	_, _ = rw.Write(tarball)
}

// publishNPM gives the registry a package that holds what lies below dir.
func (w *world) publishNPM(name, version, dir string) (integrity string, err error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	t := tar.NewWriter(z)
	err = fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Name: "package/" + file, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	})
	if err := errors.Join(err, t.Close(), z.Close()); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.npm[npm.TarballPath(artifact.Package{Name: name, Version: version})] = packed.Bytes()
	sum := sha512.Sum512(packed.Bytes())
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:]), nil
}

// packAll packs every fixture module, once.
var packAll = sync.OnceValues(func() ([]packed, error) {
	var all []packed
	for name, dir := range built.modules {
		path, version, _ := strings.Cut(name, "@")
		p, err := pack(module.Version{Path: path, Version: version}, dir)
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
		all = append(all, p)
	}
	return all, nil
})

func pack(v module.Version, dir string) (packed, error) {
	p := packed{path: v}
	var zip bytes.Buffer
	err := modzip.CreateFromDir(&zip, v, dir)
	if err != nil {
		return packed{}, err
	}
	p.zip = zip.Bytes()
	if p.mod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
		return packed{}, err
	}
	if p.sum, err = dirhash.HashDir(dir, v.String(), dirhash.Hash1); err != nil {
		return packed{}, err
	}
	p.goModSum, err = goModSum(p.mod)
	return p, err
}

// ballastSize makes every stage that reads, packs or writes the ballast last
// long enough to be met in the middle.
const ballastSize = 24 << 20

// unpackModules lays out testdata/modules.txtar below dir, gives the
// module ballast its weight, bytes that do not compress, the same every time,
// and that of the certificate authorities its certificates.
func unpackModules(dir string) (map[string]string, error) {
	a, err := txtar.ParseFile("testdata/modules.txtar")
	if err != nil {
		return nil, err
	}
	weight := make([]byte, ballastSize)
	_, _ = mathrand.NewChaCha8([32]byte{}).Read(weight)
	a.Files = append(a.Files, txtar.File{Name: "example.test/ballast@v1.0.0/weight.bin", Data: weight})
	roots, err := rootsFiles()
	if err != nil {
		return nil, err
	}
	a.Files = append(a.Files, roots...)
	all := map[string]string{}
	for _, f := range a.Files {
		at := strings.Index(f.Name, "@")
		end := at + strings.Index(f.Name[at:], "/")
		all[f.Name[:end]] = filepath.Join(dir, filepath.FromSlash(f.Name[:end]))
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return nil, err
		}
	}
	return all, nil
}
