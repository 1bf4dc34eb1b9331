package verify

import (
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
