package command

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/repro"
	"palisade/magefiles/internal/reproduce"
)

func TestNewReproduceRequest(t *testing.T) {
	given, empty, no := "x", "", false
	req, err := NewReproduceRequest(nil, &given, nil, nil, nil, &given, &given, nil, nil, &given, nil)
	if err != nil || req.Image != given || req.Repository != given || req.Folder != given || req.Output != "" || !req.Sign {
		t.Errorf("got %+v, %v", req, err)
	}
	if req, err = NewReproduceRequest(&given, nil, nil, nil, nil, nil, nil, nil, nil, nil, &no); err != nil || req.Sign || req.Path != given {
		t.Errorf("got %+v, %v", req, err)
	}
	if _, err := NewReproduceRequest(nil, nil, nil, nil, nil, nil, &empty, nil, nil, nil, nil); status(err) != 2 || !strings.Contains(err.Error(), "-output= is empty") {
		t.Errorf("got %v", err)
	}
}

// What a person can mend by saying something else is status 2, and said before
// anything is verified.
func TestReproduceUsage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("PALISADE_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("PALISADE_DIST", filepath.Join(dir, "dist"))
	t.Setenv("PALISADE_KEY", "")
	t.Setenv("PALISADE_SIGNING_CONFIG", "")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "signer.pub")
	if err := os.WriteFile(key, public, 0o644); err != nil {
		t.Fatal(err)
	}
	release := filepath.Join(dir, "release")
	if err := os.Mkdir(release, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		req  ReproduceRequest
		want string
	}{
		{"no release", ReproduceRequest{}, "there is no release in "},
		{"two things", ReproduceRequest{VerifyRequest: VerifyRequest{Path: release, Image: "localhost:1/a:b"}}, "leave one out"},
		{"no policy", ReproduceRequest{VerifyRequest: VerifyRequest{Path: release, Policy: "none"}}, `there is no policy "none"`},
		{"an image to nowhere", ReproduceRequest{VerifyRequest: VerifyRequest{Image: "localhost:1/a:b", Key: key}, Sign: true}, "say where to write that the image was rebuilt: -output=DIR"},
		{"into the release", ReproduceRequest{VerifyRequest: VerifyRequest{Path: release, Key: key}, Folder: filepath.Join(release, "rebuilds"), Sign: true}, "lies in the release, where every file that release.json does not list is refused"},
		{"no key", ReproduceRequest{VerifyRequest: VerifyRequest{Path: release, Key: key}, Sign: true}, "signing that something was rebuilt, unless with -sign=false: there is no key to sign with"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := Reproduce(t.Context(), tt.req); status(err) != 2 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v with status %d, want %s", err, status(err), tt.want)
			}
		})
	}
	// What does not pass is not rebuilt.
	text, err := said(t, func() error {
		return Reproduce(t.Context(), ReproduceRequest{VerifyRequest: VerifyRequest{Path: release, Key: key}})
	})
	if status(err) != 3 || !strings.Contains(text, "FAIL  release.json") || !strings.Contains(text, "REFUSED") {
		t.Errorf("%v with status %d\n%s", err, status(err), text)
	}
}

// Workers of BuildKit compile neither of two builds that have to be equal: one
// whose address is refused is not even looked at.
func TestCompileHere(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	dir := t.TempDir()
	t.Setenv("PALISADE_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("PALISADE_DIST", filepath.Join(dir, "dist"))
	t.Setenv("GOSUMDB", "")
	t.Setenv("BUILDKIT_HOST", "docker-container://x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Build(ctx, BuildRequest{Selection: Selection{Component: "node_exporter"}}); status(err) != 2 || !strings.Contains(err.Error(), "BUILDKIT_HOST") {
		t.Fatalf("it is not refused where it is heard: %v", err)
	}
	if err := Reproducible(ctx, Selection{Component: "node_exporter"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	t.Setenv("BUILDKIT_HOST", "tcp://127.0.0.1:1")
	if err := Build(ctx, BuildRequest{Selection: Selection{Component: "node_exporter"}, Hermetic: true}); status(err) != 2 || !strings.Contains(err.Error(), "-hermetic") {
		t.Errorf("a worker is asked for what nobody sees: %v", err)
	}
}

func TestPrintResults(t *testing.T) {
	d := artifact.DigestBytes([]byte("a"))
	text, err := said(t, func() error {
		return printResults(reproduce.Report{Results: []reproduce.Result{
			{Name: "a.tar.gz", Digest: d},
			{
				Name: "b.tar.gz", Digest: d, Changes: []reproduce.Change{{What: "module x", There: "v1", Here: "v2"}}, Differs: []string{"b.tar.gz"},
				Differences: []repro.Difference{{File: "b.tar.gz", Member: "b", Offset: 7, Why: "time stamp: one"}}, More: []string{"diffoscope is not installed"},
			},
		}})
	})
	want := "PASS a.tar.gz " + d.String() + "\nFAIL b.tar.gz " + d.String() + "\n  built of something else: module x: v1 there, v2 here\n" +
		"  differs: b.tar.gz\n  likely cause: time stamp\n  b.tar.gz!b at byte 7: time stamp: one\n  diffoscope is not installed\n"
	if err != nil || text != want {
		t.Errorf("%v, got\n%swant\n%s", err, text, want)
	}
}

// Who does not want to sign writes nothing.
func TestUnsigned(t *testing.T) {
	if err := (attester{}).write(t.Context(), nil, []reproduce.Attested{{Target: "a"}}); err != nil {
		t.Error(err)
	}
}
