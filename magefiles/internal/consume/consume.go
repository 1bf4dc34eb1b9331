// Package consume gets a release from where it was published: out of a registry or
// a directory, into a new folder, as whoever has nothing but its name. It guarantees
// that what lies there in the end is what the index of releases names, byte for byte
// as far as that says, and that nothing is written before it is known how much there
// is. It verifies no signature: what it returned is for package verify to judge.
//
// # Form
//
// A release is in a registry as REGISTRY/release, an OCI image index of two artifacts
// (image-spec v1.1), whose layers are files, each called by the annotation
// org.opencontainers.image.title, as oras writes and reads it:
//
//   - application/vnd.palisade.release.v1: what was built. release.json, and all that
//     it names but the folder bin of loose binaries; and SHA256SUMS. Whoever builds
//     the same gets the same manifest. Its digest is what an entry of the index of
//     releases calls files.
//   - application/vnd.palisade.release.said.v1: what is said of it. Provenance, test
//     results, every bundle, notes. Nothing pins it but signatures, and the notes the
//     entry of the index: more may be said of a release later, and then the tag is of
//     another index with the same first artifact.
//
// The tag is v and the version. The tag "index" is of an artifact
// application/vnd.palisade.releases.v1, with the index of releases and its bundle.
// In a directory lie these two as files, and of each release a folder vVERSION.
//
// # Refusals
//
//   - ErrNone: nothing of the kind was published there.
//   - ErrForm: a manifest that Form would not write: another key, order or media type,
//     a name that leads out of the folder, is there twice, or is a folder's too
//     (with the errors of package unpack).
//   - ErrTooLarge: more files, or larger ones, than any release has.
//   - ErrMismatch: it is not what the index of releases names.
//   - the errors of package verify/registry, and ocilayout.ErrMissing of a blob that
//     is named and not there.
package consume

import (
	"errors"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/unpack"
)

// maxBundle bounds the bundle of an index of releases, in bytes. What a release has
// is bounded as an archive is (package unpack).
const maxBundle = 8 << 20

// Where releases are published.
const (
	Repository = "release" // below the registry, beside the images
	IndexTag   = "index"   // of the index of releases
)

// Tag is that of a release, and the name of its folder in a directory.
func Tag(version string) string { return "v" + version }

// Why nothing was fetched, each its own.
var (
	ErrNone     = errors.New("nothing was published there")
	ErrForm     = errors.New("it is not in the form in which releases are published")
	ErrTooLarge = unpack.ErrTooLarge
	ErrMismatch = errors.New("it is not what the index of releases names")
)

// A File is one of a release, by its path below the folder.
type File struct {
	Name   string
	Size   int64 // bytes, one at least
	Digest artifact.Digest
}

// A Listing is the files of a release, each list sorted by name.
type Listing struct {
	Release []File // what was built
	Said    []File // what is said of it
}

// held refuses files that are not those of r: of which release.json or the notes are
// others, or that were published under another digest.
func (l Listing) held(r releases.Release) error {
	var notes artifact.Digest
	for _, f := range l.Said {
		if f.Name == releases.NotesName {
			notes = f.Digest
		}
	}
	switch {
	case notes == r.Notes:
	case r.Notes.IsZero():
		return mismatch("of %s no notes are listed, and what was published has some, %s", r.Version, notes)
	case notes.IsZero():
		return mismatch("the notes of %s are %s, and what was published has none", r.Version, r.Notes)
	default:
		return mismatch("the notes of %s are %s, and what was published has %s", r.Version, r.Notes, notes)
	}
	for _, f := range l.Release {
		if f.Name == manifestName && f.Digest != r.Manifest {
			return mismatch("release.json of %s is %s, and what was published has %s", r.Version, r.Manifest, f.Digest)
		}
	}
	if r.Files.IsZero() {
		return nil
	}
	form, err := l.Form()
	if err == nil && form.Release.Digest != r.Files {
		err = mismatch("the files of %s are %s, and what was published is %s", r.Version, r.Files, form.Release.Digest)
	}
	return err
}
