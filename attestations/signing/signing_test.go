package signing_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

func publicKeys(k signing.Key) []crypto.PublicKey { return []crypto.PublicKey{k.Public()} }

// A lying key signs something else than it is asked to.
type lying struct{ signing.Key }

func (l lying) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	digest = bytes.Clone(digest)
	digest[0] ^= 1
	return l.Key.SignDigest(ctx, digest)
}

type broken struct{ signing.Key }

var errBroken = errors.New("the key is elsewhere")

func (broken) SignDigest(context.Context, []byte) ([]byte, error) { return nil, errBroken }

func TestSign(t *testing.T) {
	key := newKey(t)
	file := must(signing.File(artifact.DigestBytes([]byte("x"))))(t)
	statement := signing.Statement([]byte("{}"))
	for _, tt := range []struct {
		name    string
		key     signing.Key
		content signing.Content
		want    error
	}{
		{"a file", key, file, nil},
		{"a statement", key, statement, nil},
		{"a key that lies", lying{key}, file, bundle.ErrSignature},
		{"a key that fails", broken{key}, file, errBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer := must(signing.WithKey(tt.key))(t)
			data, err := signer.Sign(context.Background(), tt.content)
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			if _, err := tt.content.Open(data, bundle.Trust{Keys: publicKeys(tt.key)}); err != nil {
				t.Error(err)
			}
			if !bytes.HasSuffix(data, []byte("}\n")) || bytes.Count(data, []byte("\n")) != 1 || bytes.ContainsAny(data, " \t") {
				t.Errorf("not in its one form: %s", data)
			}
		})
	}

	signer := must(signing.WithKey(key))(t)
	for _, nothing := range []signing.Content{{}, signing.Statement(nil)} {
		if _, err := signer.Sign(context.Background(), nothing); err == nil {
			t.Error("nothing was signed")
		}
	}
	if _, err := signing.File(artifact.Digest{}); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("a file without a digest: %v", err)
	}
	other := must(signer.Sign(context.Background(), signing.Statement([]byte("[]"))))(t)
	if _, err := statement.Open(other, bundle.Trust{Keys: publicKeys(key)}); !errors.Is(err, bundle.ErrDigest) {
		t.Errorf("the attestation of another statement: %v", err)
	}
}
