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

	"palisade/attestations/bundle"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
)

// What a person can mend by saying something else is status 2, and the message
// says what; what must not be used is status 3. The stories tell the rest.
func TestVerifyStatus(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("HOME", filepath.Join(dir, "home"))
	for _, name := range []string{"PALISADE_KEY", "PALISADE_SIGNING_CONFIG", "PALISADE_TRUSTED_ROOT", "COSIGN_PASSWORD"} {
		t.Setenv(name, "")
	}
	t.Setenv("PALISADE_DIST", filepath.Join(dir, "nothing"))
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key, root, noKey := file("signer.pub", string(public)), file("root.json", string(bundle.EmptyRoot())), file("no.pub", "none")
	release := filepath.Dir(file("release/release.json", "{}"))
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		req    VerifyRequest
		status int
		says   string
		want   error
	}{
		{"another output", VerifyRequest{Output: "xml"}, 2, "there are: text, json", nil},
		{"nothing was built", VerifyRequest{}, 2, "run mage build", nil},
		{"nothing there", VerifyRequest{Path: filepath.Join(dir, "x")}, 2, "name a release's folder", nil},
		{"no key", VerifyRequest{Path: release}, 2, "run mage build, which makes one", nil},
		{"a key that is not there", VerifyRequest{Path: release, Key: filepath.Join(dir, "x.pub")}, 2, "x.pub", nil},
		{"a key that is none", VerifyRequest{Path: release, Key: noKey}, 2, "no.pub", signing.ErrKey},
		{"a key that the policy has no use for", VerifyRequest{Path: release, Policy: "release", Key: key}, 2, "leave -key out", nil},
		{"no trusted root", VerifyRequest{Path: release, Policy: "release"}, 2, "-trustedRoot=FILE", nil},
		{"a trusted root of nobody", VerifyRequest{Path: release, Policy: "release", TrustedRoot: root}, 2, "authority", bundle.ErrTrust},
		{"a trusted root that is none", VerifyRequest{Path: release, Policy: "release", TrustedRoot: key}, 2, "signer.pub", bundle.ErrTrust},
		{"a policy that is not there", VerifyRequest{Path: release, Policy: "strict"}, 2, "release, workstation", nil},
		{"a policy that is none", VerifyRequest{Path: release, Policy: root}, 2, "root.json", policy.ErrPolicy},
		{"a summary in the release", VerifyRequest{Path: release, Key: key, Summary: filepath.Join(release, "vsa.json")}, 2, "write it elsewhere", nil},
		{"a summary without a key", VerifyRequest{Path: release, Key: key, Summary: filepath.Join(dir, "vsa.json")}, 2, "keys:generate", nil},
		{"a summary of an image without a key", VerifyRequest{Image: "registry.example/beacon:1.2.0", Key: key, Summary: filepath.Join(dir, "vsa.json")}, 2, "keys:generate", nil},
		{"an image of no registry", VerifyRequest{Image: "beacon:1.2.0", Key: key}, 2, "it names no image in a registry", nil},
		{"no release", VerifyRequest{Path: empty, Key: key}, 3, "do not use it", verify.ErrRefused},
		{"a release that nobody signed", VerifyRequest{Path: release, Key: key}, 3, "1 of 2 checks failed", verify.ErrRefused},
		{"the same, by its index", VerifyRequest{Path: filepath.Join(release, "release.json"), Key: key}, 3, "1 of 2 checks failed", verify.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Verify(context.Background(), tt.req)
			var status interface{ Status() int }
			if !errors.As(err, &status) || status.Status() != tt.status || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v: want status %d, and %q said", err, tt.status, tt.says)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v: want %v", err, tt.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "vsa.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a summary was written: %v", err)
	}
}

// An empty flag is not one that was left out.
func TestNewVerifyRequest(t *testing.T) {
	empty, some := "", "x"
	if req, err := NewVerifyRequest(&some, nil, nil, &some, nil, nil, &some, &some, nil, &some); err != nil || req != (VerifyRequest{Path: "x", Key: "x", Summary: "x", FreshRequest: FreshRequest{Index: "x", Version: "x"}}) {
		t.Errorf("got %+v, %v", req, err)
	}
	for i, name := range []string{"path", "image", "policy", "key", "trustedRoot", "output", "vsa", "index", "seen", "version"} {
		flags := make([]*string, 10)
		flags[i] = &empty
		if _, err := NewVerifyRequest(flags[0], flags[1], flags[2], flags[3], flags[4], flags[5], flags[6], flags[7], flags[8], flags[9]); status(err) != 2 || !strings.Contains(err.Error(), "-"+name+"= is empty") {
			t.Errorf("%s: got %v with status %d", name, err, status(err))
		}
	}
}

// What ships is not a file's to replace, and a file is known by its digest.
func TestChoosePolicy(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("release", []byte("name: mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, uri, err := choosePolicy("release")
	if err != nil || p.Name() != "release" || uri != "https://palisade.example/policies/release" {
		t.Errorf("%s, %s, %v", p.Name(), uri, err)
	}
	if p, _, err := choosePolicy(""); err != nil || p.Name() != "workstation" {
		t.Errorf("by default: %s, %v", p.Name(), err)
	}
	if _, _, err := choosePolicy("./release"); !errors.Is(err, policy.ErrPolicy) {
		t.Errorf("the file: %v", err)
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name, dir string
		want      bool
	}{
		{"dist/x", "dist", true}, {"dist/a/x", "dist", true}, {"dist/../x", "dist", false}, {"dist2/x", "dist", false}, {"x", ".", true}, {"../x", ".", false},
	} {
		if got := within(tt.name, tt.dir); got != tt.want {
			t.Errorf("%s in %s: %t", tt.name, tt.dir, got)
		}
	}
}

// A policy whose rebuilders are identities needs a trusted root, though a key
// signs the release.
func TestRebuildersNeedRoot(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "attestations", "policies", "workstation.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cosign.pub")
	if err := os.WriteFile(file, public, 0o600); err != nil {
		t.Fatal(err)
	}
	const rebuilders = "rebuilders: {count: 1, keys: none, identities: [{issuer: https://issuer.example, subject: https://rebuild.example, repository: none}]}"
	for demand, want := range map[string]error{"rebuilders: not-required": nil, rebuilders: config.ErrUsage} {
		p, err := policy.Parse([]byte(strings.Replace(string(text), "rebuilders: not-required", demand, 1)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = chooseTrust(&config.Verifying{}, p, file, "")
		if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "-trustedRoot=FILE") {
			t.Errorf("%s: %v", demand, err)
		}
	}
}
