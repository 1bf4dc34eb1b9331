// Package keys makes and opens what a release is signed with: the user's own
// key in a file, the key of a key service, or an identity for which Sigstore's
// services vouch. A private key that it makes can be read by its owner alone;
// a password is taken from where it was said or asked for, and put nowhere.
//
// It refuses to write over a key, a key that others may read or change, and a
// public key that is not of the private one beside it.
package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/keyfile"
	"palisade/attestations/signing/kms"
	"palisade/magefiles/internal/config"
)

var (
	// ErrNone is what the refusal to sign without a key wraps.
	ErrNone = errors.New("there is no key to sign with")
	// ErrExists is what the refusal to write over a key wraps.
	ErrExists = keyfile.ErrExists
)

// Ask asks a person for a password. It is nil where nobody can be asked.
type Ask func(ctx context.Context, prompt string) ([]byte, error)

// Made is a key that was made.
type Made struct {
	Private, Public string // files
	ID              string // as in bundles
	Protected       bool   // by a password
}

// Generate makes a key pair where s says that the private key is. The password
// is the one that s has, or else one that is asked for, or none.
func Generate(ctx context.Context, s config.Signing, ask Ask) (Made, error) {
	made := Made{Private: s.Key, Public: config.PublicKey(s.Key)}
	switch {
	case s.Key == "":
		return Made{}, fmt.Errorf("%w: there is no place for a key: set PALISADE_KEY to a file, or HOME", config.ErrUsage)
	case kms.IsReference(s.Key):
		return Made{}, fmt.Errorf("%w: PALISADE_KEY names the key of a key service, which makes its keys itself", config.ErrUsage)
	}
	for _, name := range []string{made.Private, made.Public} {
		if _, err := os.Lstat(name); err == nil {
			return Made{}, fmt.Errorf("%w: %s: move it away, or sign with it", ErrExists, name)
		}
	}
	password, err := newPassword(ctx, s, ask)
	if err != nil {
		return Made{}, err
	}
	private, public, err := keyfile.Generate(password)
	if err != nil {
		return Made{}, err
	}
	key, err := signing.ParsePublicKey(public)
	if err == nil {
		made.ID, err = bundle.KeyID(key)
	}
	if err != nil {
		return Made{}, err
	}
	made.Protected = len(password) > 0
	if err := os.MkdirAll(filepath.Dir(made.Private), 0o700); err != nil {
		return Made{}, fmt.Errorf("making room for a key: %w", err)
	}
	return made, keyfile.Write(made.Private, made.Public, private, public)
}

func newPassword(ctx context.Context, s config.Signing, ask Ask) ([]byte, error) {
	if s.Password.Given() {
		return []byte(s.Password.Reveal()), nil
	}
	if ask == nil {
		return nil, nil
	}
	first, err := ask(ctx, "Password for the new key "+s.Key+" (empty for none): ")
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := ask(ctx, "Again: ")
	if err == nil && string(first) != string(second) {
		err = errors.New("the two passwords differ; no key was made")
	}
	return first, err
}

// Open opens the key that s names.
func Open(ctx context.Context, s config.Signing, ask Ask) (signing.Key, error) {
	if s.Key == "" {
		return nil, fmt.Errorf("%w: set PALISADE_KEY to a file, or HOME", ErrNone)
	}
	if kms.IsReference(s.Key) {
		return kms.Open(ctx, s.Key)
	}
	private, err := readPrivate(s)
	if err != nil {
		return nil, err
	}
	key, err := unlock(ctx, s, private, ask)
	if err != nil {
		return nil, fmt.Errorf("the key %s: %w", s.Key, err)
	}
	public, err := readPublic(s)
	if errors.Is(err, fs.ErrNotExist) {
		return key, nil
	}
	if err == nil {
		err = sameKey(public, key.Public())
	}
	if err != nil {
		return nil, fmt.Errorf("the public key %s, beside %s: %w: remove it", config.PublicKey(s.Key), s.Key, err)
	}
	return key, nil
}

func sameKey(a, b crypto.PublicKey) error {
	if k, ok := a.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(b) {
		return fmt.Errorf("%w: it is of another key", signing.ErrKey)
	}
	return nil
}

// unlock tries the password that was said; or none, and then a person.
func unlock(ctx context.Context, s config.Signing, private []byte, ask Ask) (signing.Key, error) {
	if s.Password.Given() {
		key, err := keyfile.Load(private, []byte(s.Password.Reveal()))
		if errors.Is(err, keyfile.ErrPassword) {
			err = fmt.Errorf("%w: COSIGN_PASSWORD is another's", err)
		}
		return key, err
	}
	key, err := keyfile.Load(private, nil)
	for try := 0; errors.Is(err, keyfile.ErrPassword) && ask != nil && try < 3; try++ {
		password, askErr := ask(ctx, "Password of the key "+s.Key+": ")
		if askErr != nil {
			return nil, askErr
		}
		key, err = keyfile.Load(private, password)
	}
	if errors.Is(err, keyfile.ErrPassword) {
		err = fmt.Errorf("%w: say it in COSIGN_PASSWORD", err)
	}
	return key, err
}

// maxKey bounds a file with a key, in bytes.
const maxKey = 64 << 10

func readPrivate(s config.Signing) ([]byte, error) {
	info, err := os.Stat(s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist: make one with mage keys:generate, or name another in PALISADE_KEY", ErrNone, s.Key)
	} else if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	// Who names a key may have it in a folder of secrets that others share.
	others := os.FileMode(0o022)
	if !s.KeyChosen {
		others = 0o077
	}
	if info.Mode().Perm()&others != 0 {
		return nil, fmt.Errorf("%w: %s is open to others than its owner (mode %04o): make another key if they may have used that; else chmod 600 it", signing.ErrKey, s.Key, info.Mode().Perm())
	}
	return readSmall(s.Key)
}

func readPublic(s config.Signing) (crypto.PublicKey, error) {
	data, err := readSmall(config.PublicKey(s.Key))
	if err != nil {
		return nil, err
	}
	return signing.ParsePublicKey(data)
}

func readSmall(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKey {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, maxKey)
	}
	return os.ReadFile(name)
}
