package publish

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/dist"
)

const epoch = 1700000000

// imageDocument is the bill of materials of the image.
const imageDocument = `{"spdxVersion":"SPDX-2.3"}`

// A release is a signed one on disk, of one image for two platforms.
type release struct {
	dir    string
	image  artifact.Image
	key    []byte // cosign.pub
	signer signing.Signer
}

// newRelease makes one whose binary holds that, for two architectures unless
// some are named.
func newRelease(t testing.TB, content string, arches ...string) *release {
	t.Helper()
	r := &release{dir: t.TempDir()}
	var err error
	if r.signer, err = signing.WithKey(signing.Local(signer())); err != nil {
		t.Fatal(err)
	}
	r.key = publicKey(t, signer())
	if len(arches) == 0 {
		arches = []string{"amd64", "arm64"}
	}
	r.build(t, content, arches)
	return r
}

func (r *release) build(t testing.TB, content string, arches []string) {
	t.Helper()
	const version = "1.2.0-palisade.1"
	var in imagetest.Image
	in.Ref, in.Epoch, in.Annotations = ocilayout.Ref("beacon", version), epoch, map[string]string{"org.opencontainers.image.version": version}
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	for _, arch := range arches {
		p := artifact.Platform{OS: "linux", Arch: arch}
		name := "beacon-" + version + "." + p.Slug() + ".tar.gz"
		binary := content + " for " + arch
		in.Platforms = append(in.Platforms, imagetest.Platform{Platform: p, Artifact: name, Config: map[string]any{"User": "65532:65532"}, Layers: []imagetest.Layer{
			{Name: "base", Entries: []imagetest.Entry{imagetest.File("etc/passwd", 0o644, "root:x:0:0::/:\n")}},
			{Name: "licences", Entries: []imagetest.Entry{imagetest.File("usr/share/licenses/beacon/LICENSE", 0o644, "Do as you like.\n")}},
			{Name: "binaries", Entries: []imagetest.Entry{imagetest.File("bin/beacon", 0o755, binary)}},
		}})
		m.Artifacts = append(m.Artifacts, artifact.Record{
			Name: name, Digest: artifact.DigestBytes([]byte(name)), Component: "beacon", Version: version, Variant: "hardened", Platform: p, Epoch: epoch, Recipe: artifact.DigestBytes(nil),
			Source:   artifact.Module{Path: "example.org/beacon", Version: "v1.2.0", Sum: "h1:x"},
			Binaries: []artifact.Binary{{Name: "beacon", Size: int64(len(binary)), Digest: artifact.DigestBytes([]byte(binary))}},
		})
	}
	built := in.Build()
	file := built.Tar()
	r.image = artifact.Image{
		Name: artifact.ImageName("beacon", version), Size: int64(len(file)), Digest: artifact.DigestBytes(file), Component: "beacon", Version: version, Variant: "hardened",
		Epoch: epoch, Index: built.Index, Roots: artifact.Module{Path: "example.org/roots", Version: "v0.1.0", Sum: "h1:y"}, Platforms: built.Platforms,
	}
	r.image.Documents = []artifact.File{{Name: r.image.Name + ".spdx.json", Size: int64(len(imageDocument)), Digest: artifact.DigestBytes([]byte(imageDocument))}}
	m.Images = []artifact.Image{r.image}
	index, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "release.json", index)
	r.write(t, r.image.Name, file)
	for _, d := range r.digests() {
		for _, k := range kinds {
			r.sign(t, r.bundle(d, k.name), k.predicateType, "beacon", d)
		}
	}
	for _, a := range m.Artifacts {
		r.sign(t, a.Name+".provenance.sigstore.json", provenance.PredicateType, a.Name, a.Digest)
	}
	r.signIndex(t)
}

// signIndex signs release.json as it lies there.
func (r *release) signIndex(t testing.TB) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := signing.File(artifact.DigestBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := r.signer.Sign(context.Background(), content)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "release.json.sigstore.json", signature)
}

// signer has signed every release here.
var signer = sync.OnceValue(newSigner)

func newSigner() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// publicKey is a key's, in PEM.
func publicKey(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	text, err := signing.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// trust is in who signed the releases.
func trust() bundle.Trust { return bundle.Trust{Keys: []crypto.PublicKey{signer().Public()}} }

// digests are those of the index and of the manifests.
func (r *release) digests() []artifact.Digest {
	all := []artifact.Digest{r.image.Index}
	for _, p := range r.image.Platforms {
		all = append(all, p.Manifest)
	}
	return all
}

func (r *release) bundle(d artifact.Digest, kind dist.Carried) string {
	return dist.ImageBundle(r.image, d, kind)
}

// sign writes a bundle of a statement about d.
func (r *release) sign(t testing.TB, name, predicateType, of string, d artifact.Digest) {
	t.Helper()
	predicate := map[string]string{intoto.SPDX: `{"spdxVersion":"SPDX-2.3"}`}[predicateType]
	if predicate == "" {
		predicate = "{}"
	}
	statement, err := intoto.Marshal(intoto.Statement{
		Type: intoto.Type, PredicateType: predicateType, Predicate: []byte(predicate),
		Subject: []intoto.Subject{{Name: of, Digest: intoto.Digests{"sha256": d.Hex()}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.signer.Sign(context.Background(), signing.Statement(statement))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, name, data)
}

func (r *release) write(t testing.TB, name string, data []byte) {
	t.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *release) read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A server is a registry, and what may go wrong on the way to it.
type server struct {
	*httptest.Server
	address   string
	referrers bool
	registry  http.Handler
	mu        sync.Mutex
	answering sync.RWMutex // read-locked by each request until it is answered
	log       []string     // "PUT manifests/1.2.0": what the registry did
	// fault answers in place of the registry, if it returns true.
	fault func(w http.ResponseWriter, q *http.Request) bool
}

func newServer(t testing.TB, referrers bool) *server {
	t.Helper()
	s := &server{referrers: referrers, registry: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers))}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.answering.RLock()
		defer s.answering.RUnlock()
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
		if fault != nil && fault(w, q) {
			return
		}
		s.handle(w, q)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // HTTPS is tried first
	t.Cleanup(s.Close)
	s.address = strings.TrimPrefix(s.URL, "http://")
	return s
}

// handle has the registry answer.
func (s *server) handle(w http.ResponseWriter, q *http.Request) {
	seen := &status{ResponseWriter: w}
	s.registry.ServeHTTP(seen, q)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.URL.Path != "/v2/" && seen.code < 400 {
		path := strings.TrimPrefix(strings.TrimPrefix(q.URL.Path, "/v2/palisade/beacon/"), "/v2/palisade/release/")
		s.log = append(s.log, q.Method+" "+path)
	}
}

func (s *server) spoil(fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// mend ends the fault, every connection, and what is still being answered to a client
// that has gone: a registry may keep what it was sent after the sender gave up. No
// fault can call it.
func (s *server) mend() {
	s.CloseClientConnections()
	s.answering.Lock()
	defer s.answering.Unlock()
	s.spoil(nil)
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// heard is what the registry did since it was asked last, by method.
func (s *server) heard(methods ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, line := range s.log {
		for _, m := range methods {
			if strings.HasPrefix(line, m+" ") {
				all = append(all, line)
			}
		}
	}
	s.log = nil
	return all
}

// pauses records for how long was waited, and waits for nothing.
type pauses struct {
	mu  sync.Mutex
	all []time.Duration
}

func (p *pauses) pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, d)
	return ctx.Err()
}

func (s *server) options() Options {
	return Options{Registry: s.address + "/palisade", Trust: trust(), Pause: new(pauses).pause}
}

func mustPublish(t testing.TB, o Options, r *release) Published {
	t.Helper()
	report, err := Publish(context.Background(), o, r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Images) != 1 {
		t.Fatalf("%d images were published", len(report.Images))
	}
	return report.Images[0]
}

func answer(w http.ResponseWriter, code int, diagnostic string) bool {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"so it is"}]}`, diagnostic)
	return true
}
