// Package keyfile makes and opens the files that cosign keeps a key pair in,
// with cosign's own code: what is made here cosign signs with, and the reverse.
// A private key is PKCS #8, encrypted with a password (scrypt, secretbox), in
// PEM; a public key is PKIX in PEM.
//
// It refuses to write over a key, keys of which package bundle would not open a
// signature, and a file that holds anything beside its key.
package keyfile

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

var (
	// ErrPassword is what opening a key with a password that is not its own
	// wraps.
	ErrPassword = errors.New("wrong password")
	// ErrExists is what the refusal to write over a key wraps.
	ErrExists = errors.New("there is a key already")
)

const maxKey = 64 << 10

// Generate makes a new ECDSA P-256 key pair. With an empty password the file's
// mode is all that protects the private key.
func Generate(password []byte) (private, public []byte, err error) {
	pair, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	return pair.PrivateBytes, pair.PublicBytes, nil
}

// Load opens a private key. Its public key is derived from it, never read from
// elsewhere. Its errors wrap ErrPassword or signing.ErrKey.
func Load(private, password []byte) (signing.Key, error) {
	if len(private) > maxKey {
		return nil, fmt.Errorf("%w: a file of %d bytes, at most %d are read", signing.ErrKey, len(private), maxKey)
	}
	switch block, rest := pem.Decode(private); {
	case block == nil:
		return nil, fmt.Errorf("%w: not PEM", signing.ErrKey)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: something follows the block of %s", signing.ErrKey, block.Type)
	}
	signer, err := cosign.LoadPrivateKey(private, password, nil)
	if err != nil {
		if strings.Contains(err.Error(), "decryption failed") { // it has no type
			return nil, fmt.Errorf("opening the private key: %w", ErrPassword)
		}
		return nil, fmt.Errorf("%w: reading the private key: %w", signing.ErrKey, err)
	}
	public, err := signer.PublicKey()
	if err == nil {
		_, err = bundle.KeyID(public)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrKey, err)
	}
	return key{signer, public}, nil
}

type key struct {
	signer signature.Signer
	public crypto.PublicKey
}

func (k key) Public() crypto.PublicKey { return k.public }

func (k key) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	return k.signer.SignMessage(nil, options.WithContext(ctx), options.WithDigest(digest), options.WithCryptoSignerOpts(crypto.SHA256))
}

// Write writes a key pair: private, readable by its owner alone, and public,
// by all. Both files are whole, or there is an error and neither is there. What
// is stopped in between leaves the private key, of which LoadKey has the public
// one. A file that is there stays as it is, and the error wraps ErrExists.
func Write(privateFile, publicFile string, private, public []byte) error {
	for _, name := range []string{privateFile, publicFile} {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%w: %s: move it away, or sign with it", ErrExists, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for %s: %w", name, err)
		}
	}
	if err := writeNew(privateFile, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(publicFile, public, 0o644); err != nil {
		return errors.Join(err, os.Remove(privateFile)) // which was made here
	}
	return nil
}

// writeNew links a finished file to its name: unlike a rename, that fails where
// another process was first.
func writeNew(name string, data []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // 0600 from the first
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), name)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s: move it away, or sign with it", ErrExists, name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
