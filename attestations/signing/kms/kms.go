// Package kms signs with keys that never leave where they are kept: a cloud's
// key service, a vault, a hardware module. It speaks sigstore's protocol for
// plugins, so that no cloud's library is linked: for awskms://KEY it starts the
// program sigstore-kms-awskms, found on PATH, once for each signature. What the
// program reads from the environment, and what it may reach, is its own.
//
// It refuses a reference that names a program in any other way, and a plugin
// whose signature its own public key does not verify.
package kms

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

var (
	// ErrReference is what the refusal of a malformed key reference wraps.
	ErrReference = errors.New("malformed key reference")
	// ErrPlugin is what every failure of a plugin wraps.
	ErrPlugin = errors.New("the plugin of the key service failed")
)

// A plugin's name becomes part of a program's: no slash, no dot.
var reference = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}://[!-~]{1,1000}$`)

// IsReference reports whether s has the form of a key reference, NAME://KEY,
// rather than of a file name.
func IsReference(s string) bool { return reference.MatchString(s) }

// Open asks the plugin for the public key of a reference as cosign writes it
// (awskms://…, gcpkms://…, hashivault://…).
func Open(ctx context.Context, ref string) (signing.Key, error) {
	if !IsReference(ref) {
		return nil, fmt.Errorf("%w %q: want NAME://KEY, where the plugin sigstore-kms-NAME is on PATH", ErrReference, ref)
	}
	client, err := cliplugin.LoadSignerVerifier(ctx, ref, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w: install its plugin on PATH", ErrPlugin, ref, err)
	}
	var public crypto.PublicKey
	err = answered(func() (err error) {
		public, err = client.PublicKey(options.WithContext(ctx))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: asking for the public key of %s: %w", ErrPlugin, ref, err)
	}
	if _, err := bundle.KeyID(public); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", signing.ErrKey, ref, err)
	}
	return key{client, public, ref}, nil
}

type key struct {
	client signature.Signer
	public crypto.PublicKey
	ref    string
}

func (k key) Public() crypto.PublicKey { return k.public }

// SignDigest starts the plugin; the end of ctx ends it.
func (k key) SignDigest(ctx context.Context, digest []byte) (sig []byte, err error) {
	err = answered(func() (err error) {
		sig, err = k.client.SignMessage(bytes.NewReader(nil), options.WithContext(ctx), options.WithDigest(digest), options.WithCryptoSignerOpts(crypto.SHA256))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: signing with %s: %w", ErrPlugin, k.ref, err)
	}
	return sig, nil
}

// answered makes an error of the panic with which sigstore's client meets a
// plugin that leaves out its answer.
func answered(ask func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the plugin's answer holds no result")
		}
	}()
	return ask()
}
