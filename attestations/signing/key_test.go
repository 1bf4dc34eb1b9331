package signing_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"testing"

	"palisade/attestations/signing"
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

func newKey(t *testing.T) signing.Key {
	t.Helper()
	return signing.Local(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
}

func TestParsePublicKeyRefuses(t *testing.T) {
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	for name, public := range map[string][]byte{
		"nothing":      nil,
		"garbage":      pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"P-384":        must(signing.MarshalPublicKey(p384.Public()))(t),
		"a private":    pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("x")}),
		"two in a row": bytes.Repeat(must(signing.MarshalPublicKey(newKey(t).Public()))(t), 2),
	} {
		if _, err := signing.ParsePublicKey(public); !errors.Is(err, signing.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := signing.WithKey(signing.Local(p384)); err == nil {
		t.Error("signing with P-384, which is not opened")
	}
}
