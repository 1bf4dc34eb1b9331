package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
)

// notes opens the signature of the release notes. There need be none; but people do
// what they say, so nobody's are refused.
func (v *verifier) notes() error {
	if !v.dir.has(releases.NotesName) && !v.dir.has(releases.NotesName+bundleSuffix) {
		return nil
	}
	digest, err := v.digestOfNotes()
	if err == nil {
		_, err = v.signature(releases.NotesName, digest, ErrNotes)
	}
	return err
}

// listedNotes holds them against the entry of the release in an index of releases:
// their signature does not say which release they are of.
func (v *verifier) listedNotes(r releases.Release) error {
	if r.Notes.IsZero() {
		if v.dir.has(releases.NotesName) {
			return fmt.Errorf("%w: the index of releases lists none of %s, and there is %s", ErrNotes, r.Version, releases.NotesName)
		}
		return nil
	}
	digest, err := v.digestOfNotes()
	if err == nil && digest != r.Notes {
		err = fmt.Errorf("%w: %s is %s, and the index of releases lists %s of %s: take the release anew", ErrNotes, releases.NotesName, digest, r.Notes, r.Version)
	}
	return err
}

func (v *verifier) digestOfNotes() (artifact.Digest, error) {
	data, err := v.dir.read(releases.NotesName, maxStatement)
	return artifact.DigestBytes(data), err
}

// keyName is the public key that lies in a release for other tools.
const keyName = "cosign.pub"

// publicKey refuses one that the policy does not accept, byte for byte: it is read by
// nobody here, but people verify by it who believe that it is the publisher's. There
// need be none.
func (v *verifier) publicKey() error {
	if !v.dir.has(keyName) {
		return nil
	}
	data, err := v.dir.read(keyName, maxKey)
	if err != nil {
		return err
	}
	for _, key := range v.keys {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			continue
		}
		// The file as it is written: readers of PEM differ in what they pass over.
		if form := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}); bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(form)) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s: remove it, or take the release anew", ErrKey, keyName)
}
