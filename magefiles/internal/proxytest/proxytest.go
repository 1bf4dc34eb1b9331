// Package proxytest is a module proxy and a checksum database on loopback for
// tests: the real go command fetches from it and checks against it. What the
// proxy serves may be made to differ from what the database says, which is
// what an attacker who has the proxy can do.
package proxytest

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
	modzip "golang.org/x/mod/zip"

	"palisade/recipes"
)

// A Proxy serves what Add gave it until the test ends.
type Proxy struct {
	URL  string
	Key  string // the database's, as GOSUMDB wants it
	Sums recipes.Sums

	mu       sync.Mutex
	files    map[string][]byte // by path below URL
	answers  map[string]reply  // likewise, in their place
	hidden   map[module.Version]bool
	requests []string
	server   *httptest.Server
}

const database = "sum.test"

// New starts a proxy that knows no module.
func New(t testing.TB) *Proxy {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, database)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Key: verifier, Sums: recipes.Sums{}, files: map[string][]byte{}, answers: map[string]reply{}, hidden: map[module.Version]bool{}}
	sums := sumdb.NewServer(sumdb.NewTestServer(signer, p.goSum))
	mux := http.NewServeMux()
	mux.HandleFunc("/sumdb/"+database+"/supported", func(http.ResponseWriter, *http.Request) {})
	for _, path := range sumdb.ServerPaths {
		mux.Handle("/sumdb/"+database+path, http.StripPrefix("/sumdb/"+database, sums))
	}
	mux.HandleFunc("/", p.serve)
	p.server = httptest.NewServer(mux)
	p.URL = p.server.URL
	t.Cleanup(p.server.Close)
	return p
}

// Stop makes every later request fail, as without a network.
func (p *Proxy) Stop() { p.server.Close() }

// Requests is the path of every module file that was asked for, in order.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	data, ok := p.files[r.URL.Path]
	if !ok {
		data, ok = p.listed(r.URL.Path)
	}
	instead, answered := p.answer(r.URL.Path)
	p.requests = append(p.requests, r.URL.Path)
	p.mu.Unlock()
	if answered {
		w.WriteHeader(instead.status)
		io.WriteString(w, instead.text)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

func (p *Proxy) goSum(path, version string) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := module.Version{Path: path, Version: version}
	goMod := module.Version{Path: path, Version: version + "/go.mod"}
	if p.Sums[m] == "" {
		return nil, fs.ErrNotExist
	}
	return recipes.Sums{m: p.Sums[m], goMod: p.Sums[goMod]}.Encode(), nil
}

// Add puts a module version of the given files, one of them go.mod, into proxy
// and database, and returns its h1.
func (p *Proxy) Add(t testing.TB, path, version string, files map[string]string) string {
	t.Helper()
	m := module.Version{Path: path, Version: version}
	sum := p.Serve(t, path, version, files)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Sums[m] = sum
	goMod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files["go.mod"])), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Sums[module.Version{Path: path, Version: version + "/go.mod"}] = goMod
	return sum
}

// Serve makes the proxy serve other files for a module version than those
// that the database knows, and returns their h1.
func (p *Proxy) Serve(t testing.TB, path, version string, files map[string]string) string {
	t.Helper()
	m := module.Version{Path: path, Version: version}
	var list []modzip.File
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, file{name, files[name]})
	}
	var buf bytes.Buffer
	if err := modzip.Create(&buf, m, list); err != nil {
		t.Fatal(err)
	}
	escaped, err := module.EscapePath(path)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := "/" + escaped + "/@v/" + version
	p.files[at+".info"] = fmt.Appendf(nil, `{"Version":%q,"Time":%q}`, version, Added.Format(time.RFC3339))
	p.files[at+".mod"] = []byte(files["go.mod"])
	p.files[at+".zip"] = buf.Bytes()
	return hashZip(t, buf.Bytes())
}

// Lock is a recipe's lock that requires the given module versions, with every
// hash that the database knows. The first is upstream.
func (p *Proxy) Lock(require ...module.Version) recipes.Lock {
	var b strings.Builder
	b.WriteString("module palisade/recipes/test\n\ngo 1.24.0\n\ntoolchain go1.26.8\n")
	for _, m := range require {
		fmt.Fprintf(&b, "\nrequire %s %s\n", m.Path, m.Version)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sums := maps.Clone(p.Sums)
	return recipes.Lock{
		Go: "1.26.8", Upstream: require[0].Version, Requires: require,
		GoMod: []byte(b.String()), GoSum: sums.Encode(), Sums: sums,
	}
}

// Env is an environment for the go command in which there are this proxy and
// this database alone. It has no home: the go command leaves a process behind
// that counts its use there, and would meet the end of the test.
func (p *Proxy) Env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/dev/null", "GOPROXY=" + p.URL, "GOSUMDB=" + p.Key}
}

// Go is the path of the go command that runs the test.
func Go(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command: ", err)
	}
	return path
}

func hashZip(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// Repack rewrites the zip file called name so that its bytes differ and its
// content, and so its h1, does not.
func Repack(t testing.TB, name string) {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range z.File {
		f.FileHeader.Comment = "packed again"
		if err := w.Copy(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	Overwrite(t, name, buf.Bytes())
}

// Overwrite replaces the content of a file whose directory, or which itself,
// is read-only, as a module cache's are.
func Overwrite(t testing.TB, name string, data []byte) {
	t.Helper()
	for _, p := range []string{filepath.Dir(name), name} {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Remove removes a file or a tree as a person would who was told to.
func Remove(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_ = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
}

// file is a modzip.File in memory.
type file struct{ name, content string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (fs.FileInfo, error)  { return f, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }
func (f file) Name() string                 { return filepath.Base(f.name) }
func (f file) Size() int64                  { return int64(len(f.content)) }
func (f file) Mode() fs.FileMode            { return 0o644 }
func (f file) ModTime() time.Time           { return time.Time{} }
func (f file) IsDir() bool                  { return false }
func (f file) Sys() any                     { return nil }
