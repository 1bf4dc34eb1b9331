package kms_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/kms"
)

// install compiles the plugin and puts it, alone, on PATH.
func install(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "sigstore-kms-palisade-test"), "./testdata/plugin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("PATH", dir)
}

func keyFile(t *testing.T, curve elliptic.Curve) (name string, public crypto.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, key.Public()
}

func TestPlugin(t *testing.T) {
	install(t)
	p256, public := keyFile(t, elliptic.P256())
	p384, _ := keyFile(t, elliptic.P384())
	digest := artifact.DigestBytes([]byte("x"))
	content, err := signing.File(digest)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, ref  string
		open, sign error // nil if it works
	}{
		{"a key", "palisade-test://sign" + p256, nil, nil},
		{"a plugin that signs something else", "palisade-test://lie" + p256, nil, bundle.ErrSignature},
		{"a service that refuses", "palisade-test://refuse" + p256, nil, kms.ErrPlugin},
		{"a key that is not there", "palisade-test://sign/none.pem", kms.ErrPlugin, nil},
		{"a key that is not opened", "palisade-test://sign" + p384, signing.ErrKey, nil},
		{"a plugin that babbles", "palisade-test://garbage" + p256, kms.ErrPlugin, nil},
		{"a plugin that leaves out the answer", "palisade-test://empty" + p256, kms.ErrPlugin, nil},
		{"a plugin that is not there", "palisade-none://sign" + p256, kms.ErrPlugin, nil},
		{"a plugin by its path", "../sigstore-kms-palisade-test://sign" + p256, kms.ErrReference, nil},
		{"no plugin", "://sign" + p256, kms.ErrReference, nil},
		{"no key", "palisade-test://", kms.ErrReference, nil},
		{"a file", "cosign.key", kms.ErrReference, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := kms.Open(t.Context(), tt.ref)
			if !errors.Is(err, tt.open) {
				t.Fatalf("%v, want %v", err, tt.open)
			}
			if err != nil {
				return
			}
			signer, err := signing.WithKey(key)
			if err != nil {
				t.Fatal(err)
			}
			data, err := signer.Sign(t.Context(), content)
			if !errors.Is(err, tt.sign) {
				t.Fatalf("%v, want %v", err, tt.sign)
			}
			if err != nil {
				return
			}
			if _, err := bundle.OpenSignature(data, bundle.Trust{Keys: []crypto.PublicKey{public}}, digest); err != nil {
				t.Error(err)
			}
		})
	}

	// A plugin that does not answer is ended with the context.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := kms.Open(ctx, "palisade-test://hang/"); !errors.Is(err, kms.ErrPlugin) {
		t.Errorf("a plugin that hangs: %v", err)
	}
}

func TestIsReference(t *testing.T) {
	for s, want := range map[string]bool{
		"awskms:///alias/release": true, "gcpkms://projects/p/locations/l": true, "hashivault://release": true,
		"cosign.key": false, "/etc/keys/cosign.key": false, "a/b://c": false, "": false, "x://a b": false, "-x://a": false,
	} {
		if got := kms.IsReference(s); got != want {
			t.Errorf("%q: %t, want %t", s, got, want)
		}
	}
}
