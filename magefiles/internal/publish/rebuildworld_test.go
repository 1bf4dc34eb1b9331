package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"os"
	"path"
	"regexp"
	"slices"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/attestations/signing"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/dist"
)

// A rebuildable release has a provenance that says what it was made of.
type rebuildable struct {
	*release
	whole intoto.Statement
}

func newRebuildable(t testing.TB, content string) rebuildable {
	t.Helper()
	r := rebuildable{release: newRelease(t, content)}
	zip := artifact.DigestBytes([]byte("zip"))
	sum, err := intoto.H1(zip.Hex())
	if err != nil {
		t.Fatal(err)
	}
	image := r.image
	image.Roots.Sum, image.Roots.Zip = sum, &zip
	var records []artifact.Record
	for _, p := range image.Platforms {
		records = append(records, artifact.Record{
			Name: p.Artifact, Platform: p.Platform, Digest: artifact.DigestBytes([]byte(p.Artifact)), Recipe: zip,
			Documents: []artifact.File{{Name: p.Artifact + ".spdx.json", Digest: p.Layers[1].Members[len(p.Layers[1].Members)-1].Digest}},
		})
	}
	when := time.Unix(epoch, 0)
	r.whole, err = provenance.ImageStatement(image, records, builder(), provenance.Run{InvocationID: content, Started: when, Finished: when, Distribution: zip, Cache: provenance.Shared})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.digests() {
		r.write(t, r.bundle(d, dist.CarriedProvenance), bundleOf(t, signer(), r.about(t, d)))
	}
	return r
}

func builder() provenance.Builder {
	return provenance.Builder{ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"palisade": "devel"}}
}

// about is the provenance that a registry carries with one digest.
func (r rebuildable) about(t testing.TB, d artifact.Digest) intoto.Statement {
	t.Helper()
	s, err := provenance.About(r.whole, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bundleOf is a statement that somebody signed.
func bundleOf(t testing.TB, by *ecdsa.PrivateKey, s intoto.Statement) []byte {
	t.Helper()
	with, err := signing.WithKey(signing.Local(by))
	if err != nil {
		t.Fatal(err)
	}
	text, err := intoto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := with.Sign(context.Background(), signing.Statement(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rebuiltBy is what somebody attests who built again what that provenance says.
func rebuiltBy(t testing.TB, by *ecdsa.PrivateKey, from intoto.Statement) []byte {
	t.Helper()
	text, err := intoto.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.ParseImage(from)
	if err != nil {
		t.Fatal(err)
	}
	g, err := rebuild.Image(p, artifact.DigestBytes(text))
	if err != nil {
		t.Fatal(err)
	}
	when := time.Unix(epoch, 0)
	run := rebuild.Run{
		Rebuilder: builder(), Rebuilt: map[string]artifact.Digest{}, Varied: []rebuild.Variation{{Name: "umask", Value: "0077"}},
		Metadata: provenance.Metadata{InvocationID: "again", StartedOn: when, FinishedOn: when},
	}
	for _, s := range g.Compare {
		if run.Rebuilt[s.Name], err = artifact.ParseDigest("sha256:" + s.Digest["sha256"]); err != nil {
			t.Fatal(err)
		}
	}
	s, err := rebuild.Statement(g, run)
	if err != nil {
		t.Fatal(err)
	}
	return bundleOf(t, by, s)
}

func keyID(t testing.TB, of *ecdsa.PrivateKey) string {
	t.Helper()
	id, err := bundle.KeyID(of.Public())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// called is what the bundle of that rebuilder is called.
func called(t testing.TB, by *ecdsa.PrivateKey) string {
	t.Helper()
	name, err := rebuild.BundleName(bundle.Signer{KeyID: keyID(t, by)})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// lay writes the bundles of rebuilders to a folder, that of the release's image by
// default.
func (r rebuildable) lay(t testing.TB, folder string, all map[*ecdsa.PrivateKey][]byte) {
	t.Helper()
	if folder == "" {
		folder = dist.Rebuilds(r.image.Name)
	}
	for by, data := range all {
		r.write(t, path.Join(folder, called(t, by)), data)
	}
}

func (r rebuildable) copy(t testing.TB) rebuildable {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	return rebuildable{&release{dir: dir, image: r.image, key: r.key, signer: r.signer}, r.whole}
}

// holds is how many of these are attached to a digest.
func (s *server) holds(t testing.TB, d artifact.Digest, all ...[]byte) (found int) {
	t.Helper()
	to, err := registry.Connect(context.Background(), s.address+"/palisade/beacon", registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	there, err := to.Bundles(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range all {
		if slices.ContainsFunc(there, func(b []byte) bool { return bytes.Equal(b, data) }) {
			found++
		}
	}
	return found
}

var broken = regexp.MustCompile(`"sig": ?"[^"]*"`)

func breakSignature(t testing.TB, data []byte) []byte {
	t.Helper()
	other := broken.ReplaceAll(data, []byte(`"sig":"MEUCIQ=="`))
	if bytes.Equal(other, data) {
		t.Fatal("there is no signature to break")
	}
	return other
}

// names fails if the version is no longer that of the release's image.
func (s *server) names(t *testing.T, r rebuildable) {
	t.Helper()
	image, err := registry.Open(context.Background(), s.address+"/palisade/beacon:"+r.image.Version, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := image.Resolve(context.Background()); err != nil || d != r.image.Index {
		t.Errorf("the tag is of %s: %v", d, err)
	}
}

// attach attaches a bundle to a digest, as anybody can, at that time.
func (s *server) attach(t testing.TB, d artifact.Digest, data []byte, created int64) {
	t.Helper()
	to, err := registry.Connect(context.Background(), s.address+"/palisade/beacon", registry.Options{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := to.Manifest(context.Background(), d.String())
	if err != nil {
		t.Fatal(err)
	}
	one := subject{document: document{m.MediaType, m.Digest, m.Data}}
	a, err := attach(one.document, data, rebuild.PredicateType, created)
	if err != nil {
		t.Fatal(err)
	}
	one.attached = []attachment{a}
	p := &push{sender: sender{to: to}, note: func(string, ...any) {}}
	if err := errors.Join(p.ready(context.Background()), p.attach(context.Background(), one)); err != nil {
		t.Fatal(err)
	}
}
