package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/kms"
	"palisade/attestations/signing/sigstore"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/sign"
)

// Hand is who signs, as s says. A file's private key is opened when there is
// something to sign, and not before: its password may have to be asked for.
// Without a key the error wraps ErrNone.
func Hand(ctx context.Context, s config.Signing, now func() time.Time, ask Ask) (sign.Hand, error) {
	if s.Config == "" {
		return withKey(ctx, s, ask, bundle.EmptyRoot(), nil)
	}
	o, err := optionsOf(s, now)
	if err != nil {
		return sign.Hand{}, err
	}
	if s.KeyChosen {
		return withKey(ctx, s, ask, o.Root, &o)
	}
	token, err := tokenOf(s)
	if err != nil {
		return sign.Hand{}, err
	}
	return sign.Hand{Root: o.Root, Open: func(context.Context) (signing.Signer, error) { return sigstore.Keyless(o, token) }}, nil
}

func tokenOf(s config.Signing) (sigstore.Token, error) {
	switch {
	case s.TokenFile != "":
		return sigstore.TokenFile(s.TokenFile), nil
	case s.Token.Given():
		return sigstore.TokenValue(s.Token.Reveal()), nil
	case s.RequestURL != "":
		return sigstore.Actions(s.RequestURL, s.RequestToken.Reveal()), nil
	}
	return nil, fmt.Errorf("%w: PALISADE_SIGNING_CONFIG without PALISADE_KEY signs as an identity: give its token in PALISADE_TOKEN_FILE or SIGSTORE_ID_TOKEN", ErrNone)
}

// withKey signs with a key, and with services as witnesses if there are any.
func withKey(ctx context.Context, s config.Signing, ask Ask, root []byte, o *sigstore.Options) (sign.Hand, error) {
	public, key, err := publicKey(ctx, s, ask)
	if err != nil {
		return sign.Hand{}, err
	}
	hand := sign.Hand{Root: root, Trust: &bundle.Trust{Keys: []crypto.PublicKey{public}, RequireTimestamp: o != nil}}
	if hand.Public, err = signing.MarshalPublicKey(public); err != nil {
		return sign.Hand{}, err
	}
	if o != nil {
		if hand.Trust.Root, err = bundle.ParseRoot(root); err != nil {
			return sign.Hand{}, fmt.Errorf("%w: reading PALISADE_TRUSTED_ROOT: %w", config.ErrUsage, err)
		}
		if hand.Trust.RequireLog, err = o.Logs(); err != nil {
			return sign.Hand{}, fmt.Errorf("%w: PALISADE_SIGNING_CONFIG: %w", config.ErrUsage, err)
		}
		if err := hand.Trust.Validate(); err != nil {
			return sign.Hand{}, fmt.Errorf("%w: PALISADE_TRUSTED_ROOT: %w", config.ErrUsage, err)
		}
	}
	hand.Open = func(ctx context.Context) (signing.Signer, error) {
		if key == nil {
			if key, err = Open(ctx, s, ask); err != nil {
				return nil, err
			}
		}
		if o != nil {
			return sigstore.WithKey(*o, key)
		}
		return signing.WithKey(key)
	}
	return hand, nil
}

// publicKey reads the public key of a file from the one beside it; otherwise
// the key has to be opened for it.
func publicKey(ctx context.Context, s config.Signing, ask Ask) (crypto.PublicKey, signing.Key, error) {
	if s.Key != "" && !kms.IsReference(s.Key) {
		if _, err := readPrivate(s); err != nil {
			return nil, nil, err
		}
		public, err := readPublic(s)
		if err == nil {
			return public, nil, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("the public key %s: %w: remove it", config.PublicKey(s.Key), err)
		}
	}
	key, err := Open(ctx, s, ask)
	if err != nil {
		return nil, nil, err
	}
	return key.Public(), key, nil
}

func readRoot(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > bundle.MaxRoot {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, bundle.MaxRoot)
	}
	return os.ReadFile(name)
}
