package resultcache

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policies"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/attestations/step"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/store"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t testing.TB) signing.Key {
	t.Helper()
	return signing.Local(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
}

// A world is a registry, and who builds with it.
type world struct {
	address string // of the repository
	key     signing.Key
	policy  policy.Policy
	trust   verify.Trust

	mu    sync.Mutex
	fault func(http.ResponseWriter, *http.Request) bool // answers in place of the registry
	asked []string                                      // method and path of each request
	inner http.Handler
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{key: newKey(t), policy: must(policies.Load("workstation"))(t), inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	w.trust = verify.Trust{Keys: []crypto.PublicKey{w.key.Public()}}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.address = strings.TrimPrefix(server.URL, "http://") + "/house/cache"
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, q *http.Request) {
	w.mu.Lock()
	fault := w.fault
	w.asked = append(w.asked, q.Method+" "+q.URL.Path)
	w.mu.Unlock()
	if fault == nil || !fault(rw, q) {
		w.inner.ServeHTTP(rw, q)
	}
}

func (w *world) breaks(fault func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.asked = fault, nil
}

// forget forgets who asked.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}

func (w *world) count(text string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		if strings.Contains(a, text) {
			n++
		}
	}
	return n
}

// does is a request of the registry, past all faults.
func (w *world) does(t testing.TB, method, path, mediaType, body string) *httptest.ResponseRecorder {
	t.Helper()
	q := httptest.NewRequest(method, "/v2/house/cache/"+path, strings.NewReader(body))
	q.Header.Set("Content-Type", mediaType)
	answer := httptest.NewRecorder()
	w.inner.ServeHTTP(answer, q)
	if answer.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return answer
}

func (w *world) put(t testing.TB, data []byte) {
	t.Helper()
	w.does(t, "POST", "blobs/uploads/?digest="+artifact.DigestBytes(data).String(), "application/octet-stream", string(data))
}

// A machine has a store of its own.
type machine struct {
	store *store.Store
	cache *Cache
	made  int

	mu    sync.Mutex
	notes []string
	errs  []error // that were noted
}

func (w *world) machine(t testing.TB, change ...func(*Options)) *machine {
	t.Helper()
	m := &machine{store: must(store.Open(t.TempDir()))(t)}
	o := Options{
		Repository: w.address, Policy: w.policy, Trust: w.trust, Now: time.Now, Signer: must(signing.WithKey(w.key))(t),
		Builder: func(context.Context) (provenance.Builder, error) { return builder, nil },
		Pause:   func(context.Context, time.Duration) error { return nil },
		Note: func(format string, args ...any) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.notes = append(m.notes, fmt.Sprintf(format, args...))
			for _, a := range args {
				if err, ok := a.(error); ok {
					m.errs = append(m.errs, err)
				}
			}
		},
	}
	for _, c := range change {
		c(&o)
	}
	m.cache = must(Open(o))(t)
	m.store.Remote = m.cache
	return m
}

var builder = provenance.Builder{
	ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"palisade": "v0.7.0"},
	Dependencies: []intoto.Resource{{Name: "palisade@v0.7.0", Digest: intoto.Digests{"sha256": artifact.DigestBytes([]byte("palisade")).Hex()}}},
}

// What the step that is shared returns and leaves.
type value struct {
	Says string `json:"says"`
}

// said is that of the long step as it is written.
var said = []byte(`{"says":"\u003chello\u003e"}`)

var (
	leaves = map[string]string{"beacon": "the beacon", "web/empty": "", "web/same": "the same", "web/twice": "the same"}
	long   = store.NewKey("compile-2", "hello")
)

// do does a step, which leaves the same on every machine.
func (m *machine) do(t testing.TB, key store.Key) (cached bool) {
	t.Helper()
	v, entry, cached, err := store.Shared(t.Context(), m.store, key, nil, func(_ context.Context, dir string) (value, error) {
		m.made++
		for name, content := range leaves {
			path, mode := filepath.Join(dir, name), os.FileMode(0o644)
			if name == "beacon" {
				mode = 0o755
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return value{}, err
			}
			if err := os.WriteFile(path, []byte(content), mode); err != nil {
				return value{}, err
			}
		}
		return value{"<hello>"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.cache.Wait(t.Context())
	if v.Says != "<hello>" || len(entry.Files) != len(leaves) || entry.Files[0].Mode != "0755" {
		t.Errorf("%+v, %+v", v, entry.Files)
	}
	for _, f := range entry.Files {
		if f.Digest != artifact.DigestBytes([]byte(leaves[f.Name])) {
			t.Errorf("%s is another", f.Name)
		}
	}
	if err := entry.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	return cached
}

// An entry is what the registry has of a key, taken apart so that a test can put
// something else in its place.
type entry struct {
	Manifest manifest
	Step     step.Step
	Value    []byte
	Signed   []byte // the bundle
}

// entry makes one of the long step, signed by that key.
func (w *world) entry(t testing.TB, key signing.Key, change ...func(*step.Step)) entry {
	t.Helper()
	return w.entryOf(t, long, must(signing.WithKey(key))(t), change...)
}

func (w *world) entryOf(t testing.TB, of store.Key, signer signing.Signer, change ...func(*step.Step)) entry {
	t.Helper()
	name, inputs, _, _ := parts(of)
	e := entry{Value: said}
	e.Step = step.Step{Builder: builder, Inputs: inputs, Name: name, Value: step.ValueOf(e.Value)}
	for _, name := range []string{"beacon", "web/empty", "web/same", "web/twice"} {
		f := artifact.File{Name: name, Mode: "0644", Size: int64(len(leaves[name])), Digest: artifact.DigestBytes([]byte(leaves[name]))}
		if name == "beacon" {
			f.Mode = "0755"
		}
		e.Step.Files = append(e.Step.Files, f)
	}
	for _, c := range change {
		c(&e.Step)
	}
	// As whoever has a key can: past what Statement refuses.
	good := e.Step
	good.Name, good.Inputs, good.Value, good.Files = name, inputs, step.ValueOf(e.Value), nil
	statement := must(step.Statement(good))(t)
	statement.Predicate = must(intoto.Canonical(e.Step))(t)
	statement.Subject = []intoto.Subject{{Name: "value.json", Digest: intoto.Digests{"sha256": e.Step.Value.Digest.Hex()}}}
	for _, f := range e.Step.Files {
		statement.Subject = append(statement.Subject, intoto.Subject{Name: "files/" + f.Name, Digest: intoto.Digests{"sha256": f.Digest.Hex()}})
	}
	e.Signed = must(signer.Sign(t.Context(), signing.Statement(must(intoto.Marshal(statement))(t))))(t)
	if err := json.Unmarshal(must(form(e.Step, describe(bundle.MediaType, e.Signed)))(t), &e.Manifest); err != nil {
		t.Fatal(err)
	}
	return e
}

// publish puts an entry, and every blob that it is made of, under the tag of key.
func (e entry) publish(t testing.TB, w *world, key store.Key) {
	t.Helper()
	for _, data := range [][]byte{[]byte(empty), e.Signed, e.Value} {
		w.put(t, data)
	}
	for _, content := range leaves {
		w.put(t, []byte(content))
	}
	e.tag(t, w, key, string(must(json.Marshal(e.Manifest))(t)))
}

func (e entry) tag(t testing.TB, w *world, key store.Key, manifest string) {
	t.Helper()
	_, _, tag, _ := parts(key)
	w.does(t, "PUT", "manifests/"+tag, e.Manifest.MediaType, manifest)
}
