package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"palisade/attestations/bundle"
)

// ErrKey is what every refusal of a malformed key, or of one of an unfit kind,
// wraps.
var ErrKey = errors.New("unusable key")

const (
	publicType = "PUBLIC KEY" // of a PEM block
	maxKey     = 64 << 10
)

// Local is a key that this process holds.
func Local(signer crypto.Signer) Key { return local{signer} }

type local struct{ crypto.Signer }

func (l local) SignDigest(_ context.Context, digest []byte) ([]byte, error) {
	return l.Sign(rand.Reader, digest, crypto.SHA256)
}

// ParsePublicKey reads a public key in PEM, as cosign.pub holds it.
func ParsePublicKey(public []byte) (crypto.PublicKey, error) {
	if len(public) > maxKey {
		return nil, fmt.Errorf("%w: a file of %d bytes, at most %d are read", ErrKey, len(public), maxKey)
	}
	block, rest := pem.Decode(public)
	switch {
	case block == nil || block.Type != publicType:
		return nil, fmt.Errorf("%w: not PEM of a block of %s", ErrKey, publicType)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: something follows the block of %s", ErrKey, publicType)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err == nil {
		_, err = bundle.KeyID(key)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return key, nil
}

// MarshalPublicKey is the inverse of ParsePublicKey.
func MarshalPublicKey(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicType, Bytes: der}), nil
}
