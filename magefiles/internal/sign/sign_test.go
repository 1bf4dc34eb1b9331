package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
)

func digestOf(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func module(path string) artifact.Module {
	h1, err := intoto.H1(digestOf(path).Hex())
	if err != nil {
		panic(err)
	}
	return artifact.Module{Path: path, Version: "v1.0.0", Sum: h1}
}

// record is of an archive that holds its own name.
func record(component string) artifact.Record {
	name := component + "-1.0.0-vanilla.linux-amd64.tar.gz"
	golang := module("golang.org/toolchain")
	document := name + ".spdx.json"
	return artifact.Record{
		Name: name, Size: int64(len(name)), Digest: digestOf(name), Component: component, Version: "1.0.0-vanilla", UpstreamVersion: "1.0.0",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "vanilla", Recipe: digestOf("recipe"), Epoch: 1700000000,
		Source: module("example.org/" + component), Toolchains: []artifact.Tool{{Name: "go", Version: "1.26.8", Package: "golang.org/toolchain@v1.0.0", Hash: golang.Sum}},
		Build:     artifact.Invocation{Args: []string{"go", "build"}, Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
		Binaries:  []artifact.Binary{{Name: component, Digest: digestOf(component), Main: module("example.org/" + component)}},
		Members:   []artifact.File{{Name: component + "/" + component, Digest: digestOf(component)}},
		Documents: []artifact.File{{Name: document, Digest: digestOf(documentOf(component))}},
	}
}

func documentOf(component string) string { return `{"name": "` + component + `"}` }

// built writes what a build leaves of components.
func built(t *testing.T, components ...string) string {
	t.Helper()
	dir := t.TempDir()
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	for _, c := range components {
		r := record(c)
		m.Artifacts = append(m.Artifacts, r)
		write(t, dir, r.Name, r.Name)
		write(t, dir, r.Name+".spdx.json", documentOf(c))
		write(t, dir, r.Name+".provenance.json", provenanceOf(t, r))
	}
	m.Sort()
	index, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "release.json", string(index))
	return dir
}

func provenanceOf(t *testing.T, r artifact.Record) string {
	t.Helper()
	when := time.Unix(1700000000, 0)
	s, err := provenance.Statement(r, provenance.Builder{ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"palisade": "devel"}},
		provenance.Run{InvocationID: "1", Started: when, Finished: when, Distribution: digestOf("d"), Cache: provenance.Shared})
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, s)
}

func marshal(t *testing.T, s intoto.Statement) string {
	t.Helper()
	data, err := intoto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func resultOf(t *testing.T, r artifact.Record, binary, archive artifact.Digest) string {
	t.Helper()
	predicate := fmt.Sprintf(`{"result": "PASSED", "configuration": [{"name": %q, "digest": {"sha256": %q}}]}`, r.Name, archive.Hex())
	return marshal(t, intoto.Statement{
		Type: intoto.Type, PredicateType: intoto.TestResult, Predicate: []byte(predicate),
		Subject: []intoto.Subject{{Name: r.Component, Digest: intoto.Digests{"sha256": binary.Hex()}}},
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hand is somebody with a key of his own, and how often he was asked for it.
func hand(t *testing.T) (Hand, *int) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	opened := new(int)
	return Hand{
		Trust: &bundle.Trust{Keys: []crypto.PublicKey{private.Public()}}, Public: public, Root: bundle.EmptyRoot(),
		Open: func(context.Context) (signing.Signer, error) {
			*opened++
			return signing.WithKey(signing.Local(private))
		},
	}, opened
}

// signed signs, and wants the counts.
func signed(t *testing.T, dir string, h Hand, made, kept int) {
	t.Helper()
	got, err := Release(t.Context(), dir, h)
	if err != nil || got.Signed != made || got.Kept != kept || (got.By == "") != (made == 0) {
		t.Fatalf("got %+v, %v, want %d signed and %d kept", got, err, made, kept)
	}
}

// files is every file of a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func TestRelease(t *testing.T) {
	dir := built(t, "bell", "clock")
	r := record("bell")
	write(t, dir, r.Name+".test-result.json", resultOf(t, r, digestOf("bell"), r.Digest))
	h, opened := hand(t)
	signed(t, dir, h, 8, 0)
	got := files(t, dir)
	for name, digest := range map[string]artifact.Digest{r.Name: r.Digest, "release.json": digestOf(got["release.json"])} {
		if _, err := bundle.OpenSignature([]byte(got[name+".sigstore.json"]), *h.Trust, digest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []string{".spdx", ".provenance", ".test-result"} {
		v, err := bundle.OpenAttestation([]byte(got[r.Name+kind+".sigstore.json"]), *h.Trust)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		s, err := intoto.Parse(v.Payload())
		if err != nil {
			t.Fatal(err)
		}
		// A document is signed as the predicate of a statement; a statement, as its bytes.
		if kind == ".spdx" && (s.PredicateType != intoto.SPDX || len(s.Subject) != 1 || s.Subject[0].Name != r.Name || s.Subject[0].Digest["sha256"] != r.Digest.Hex()) {
			t.Errorf("%s is %+v", kind, s)
		} else if kind != ".spdx" && string(v.Payload()) != got[r.Name+kind+".json"] {
			t.Errorf("%s is not what was signed", kind)
		}
	}
	if got["cosign.pub"] != string(h.Public) || got["trusted_root.json"] != string(h.Root) || *opened != 1 || len(got) != 8+8+2 {
		t.Errorf("opened %d times, %d files", *opened, len(got))
	}
}

// What is signed already stays as it is, and the key is not needed for that.
func TestAgain(t *testing.T) {
	dir := built(t, "bell", "clock")
	h, opened := hand(t)
	signed(t, dir, h, 7, 0)
	before := files(t, dir)
	signed(t, dir, h, 0, 7)
	if after := files(t, dir); *opened != 1 || len(after) != len(before) {
		t.Errorf("the key was opened %d times", *opened)
	} else {
		for name := range before {
			if after[name] != before[name] {
				t.Errorf("%s changed", name)
			}
		}
	}
	// An interrupted signing goes on where it stopped.
	for _, name := range []string{"release.json.sigstore.json", "cosign.pub"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	signed(t, dir, h, 1, 6)
	// A damaged bundle, or one of something else, is none.
	r := record("bell")
	write(t, dir, r.Name+".sigstore.json", "{}")
	write(t, dir, r.Name+".spdx.sigstore.json", before[record("clock").Name+".spdx.sigstore.json"])
	write(t, dir, r.Name+".provenance.sigstore.json", before[r.Name+".sigstore.json"])
	signed(t, dir, h, 3, 4)
	// So is every one of another key; of an identity nobody knows before.
	other, _ := hand(t)
	signed(t, dir, other, 7, 0)
	other.Trust, other.Public = nil, nil
	signed(t, dir, other, 7, 0)
	if _, ok := files(t, dir)["cosign.pub"]; ok {
		t.Error("there is a public key, though none signed")
	}
}

// A run that remembers reads nothing until a file is written, or another signs.
func TestRemembering(t *testing.T) {
	dir, name := built(t, "bell"), filepath.Join(t.TempDir(), "memo")
	h, _ := hand(t)
	r := record("bell")
	do := func(h Hand, made, kept int) {
		t.Helper()
		got, err := Remembering(t.Context(), dir, h, name)
		if err != nil || got.Signed != made || got.Kept != kept {
			t.Fatalf("got %+v, %v, want %d signed and %d kept", got, err, made, kept)
		}
	}
	do(h, 4, 0)
	do(h, 0, 4)
	for _, change := range []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, r.Name+".sigstore.json"), []byte("{}"), 0o644) },
		func() error { return os.Remove(filepath.Join(dir, r.Name+".sigstore.json")) },
		func() error {
			return os.WriteFile(filepath.Join(dir, r.Name+".test-result.json"), []byte(resultOf(t, r, digestOf("bell"), r.Digest)), 0o644)
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		got, err := Remembering(t.Context(), dir, h, name)
		if err != nil || got.Signed != 1 {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	other, _ := hand(t)
	do(other, 5, 0)
	do(h, 5, 0)
	if err := os.WriteFile(name, []byte("no memo"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(h, 0, 5)
	// It is believed: nothing is read.
	if err := os.WriteFile(name, []byte(`{"stamp":"`+stamp(t, dir, h)+`","kept":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	do(h, 0, 9)
	write(t, dir, r.Name, strings.ToUpper(r.Name))
	write(t, dir, "release.json.sigstore.json", "{}")
	if _, err := Remembering(t.Context(), dir, h, name); !errors.Is(err, ErrMismatch) {
		t.Errorf("got %v", err)
	}
}

func stamp(t *testing.T, dir string, h Hand) string {
	t.Helper()
	d, err := stampOf(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// Nothing is signed of a release in which one file is not what the index says.
func TestRefuses(t *testing.T) {
	r := record("bell")
	for _, tt := range []struct {
		name, want string
		is         error
		change     func(t *testing.T, dir string)
	}{
		{"no release", "run mage build", ErrNothing, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "release.json")) }},
		{"another archive", r.Name + " has the digest", ErrMismatch, func(t *testing.T, dir string) { write(t, dir, r.Name, strings.ToUpper(r.Name)) }},
		{"another archive, signed before", r.Name + " has the digest", ErrMismatch, func(t *testing.T, dir string) {
			h, _ := hand(t)
			signed(t, dir, h, 7, 0)
			write(t, dir, r.Name, strings.ToUpper(r.Name))
		}},
		{"no archive", r.Name, os.ErrNotExist, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, r.Name)) }},
		{"a link to the archive", "not a regular file", ErrMismatch, func(t *testing.T, dir string) {
			os.Rename(filepath.Join(dir, r.Name), filepath.Join(dir, "x"))
			os.Symlink("x", filepath.Join(dir, r.Name))
		}},
		{"another document", r.Name + ".spdx.json has the digest", ErrMismatch, func(t *testing.T, dir string) { write(t, dir, r.Name+".spdx.json", documentOf("ball")) }},
		{"no document", r.Name + ".spdx.json", os.ErrNotExist, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, r.Name+".spdx.json")) }},
		{"the provenance of another", "subjects", provenance.ErrSubject, func(t *testing.T, dir string) {
			write(t, dir, r.Name+".provenance.json", provenanceOf(t, record("clock")))
		}},
		{"a provenance that says something else", "build again", provenance.ErrMismatch, func(t *testing.T, dir string) {
			other := record("bell")
			other.Recipe = digestOf("another")
			write(t, dir, r.Name+".provenance.json", provenanceOf(t, other))
		}},
		{"no provenance", r.Name + ".provenance.json", os.ErrNotExist, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, r.Name+".provenance.json")) }},
		{"the result of another binary", "run mage audit again", ErrMismatch, func(t *testing.T, dir string) {
			write(t, dir, r.Name+".test-result.json", resultOf(t, r, digestOf("ball"), r.Digest))
		}},
		{"the result of another archive", "run mage audit again", ErrMismatch, func(t *testing.T, dir string) {
			write(t, dir, r.Name+".test-result.json", resultOf(t, r, digestOf("bell"), digestOf("ball")))
		}},
		{"a provenance as a result", "run mage audit again", ErrMismatch, func(t *testing.T, dir string) {
			write(t, dir, r.Name+".test-result.json", provenanceOf(t, r))
		}},
		{"a result that is none", "test-result.json", intoto.ErrStatement, func(t *testing.T, dir string) { write(t, dir, r.Name+".test-result.json", "{}") }},
		{"a malformed index", "release", artifact.ErrManifest, func(t *testing.T, dir string) { write(t, dir, "release.json", "{}") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := built(t, "bell", "clock")
			tt.change(t, dir)
			before := len(files(t, dir))
			h, opened := hand(t)
			_, err := Release(t.Context(), dir, h)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v: %s", err, tt.is, tt.want)
			}
			if *opened != 0 || len(files(t, dir)) != before {
				t.Error("it signed something")
			}
		})
	}
	if _, err := Release(t.Context(), filepath.Join(t.TempDir(), "none"), Hand{}); !errors.Is(err, ErrNothing) {
		t.Errorf("no directory: %v", err)
	}
}

// Who stops it finds what was signed, whole, and no index signed.
func TestInterrupted(t *testing.T) {
	dir := built(t, "bell", "clock")
	h, _ := hand(t)
	ctx, cancel := context.WithCancel(t.Context())
	open := h.Open
	h.Open = func(ctx context.Context) (signing.Signer, error) {
		s, err := open(ctx)
		return &stopping{Signer: s, left: 3, stop: cancel}, err
	}
	_, err := Release(ctx, dir, h)
	bundles := 0
	for name, text := range files(t, dir) {
		if strings.HasSuffix(name, ".sigstore.json") {
			bundles++
			if !strings.HasSuffix(text, "}\n") {
				t.Errorf("%s is half-made", name)
			}
		}
		if name == "release.json.sigstore.json" || strings.HasPrefix(name, ".") {
			t.Errorf("there is %s", name)
		}
	}
	h.Open = open
	signed(t, dir, h, 7-bundles, bundles)
	if bundles != 3 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d bundles were made: %v", bundles, err)
	}
}

// stopping signs so often, one after the other, and has itself stopped then.
type stopping struct {
	signing.Signer
	mu   sync.Mutex
	left int
	stop func()
}

func (s *stopping) Sign(ctx context.Context, content signing.Content) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := s.Signer.Sign(ctx, content)
	if s.left--; s.left == 0 {
		s.stop()
	}
	return data, err
}
