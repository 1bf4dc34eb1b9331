// Package releases reads and makes the index of releases: the one document by
// which a consumer knows that a release is the newest, or that it was withdrawn.
// It lies beside releases, not in them, for it is signed anew while nothing is
// released: what has expired says no longer what is newest, and a number that
// rises with every index shows an older one for what it is.
//
// The format, field by field and with an example, is
// attestations/predicates/releases.md.
//
// # Making one
//
// First makes the first index of a distribution, Next the one that adds a release,
// and Renew the one that adds none, or withdraws some. Each follows the one before
// it by its digest, and all else of that stays as it was; Follows holds two that
// are there against each other. Encode gives the bytes to be signed as a file:
//
//	index, err := releases.Parse(data) // whose signature was verified before
//	next, err := index.Next(artifact.DigestBytes(data), release, time.Now(), releases.DefaultLife)
//	data, err = next.Encode()
//
// # Relying on one
//
// The signature is another's to verify: it is a Sigstore bundle of the file, under
// the name BundleName. Then Check holds number and times against what is known, and
// Find a release against the entries; FindImage likewise an image.
//
// # Refusals
//
// Parse refuses whatever Encode would not write (ErrMalformed). Check refuses an
// index older than one that was seen (ErrRollback), one that has expired (ErrExpired)
// and one that is not issued yet (ErrFuture). Find and FindImage refuse what is in no
// release (ErrNotReleased), what was withdrawn (ErrWithdrawn), what is not the
// newest (ErrSuperseded) and what is not of the version asked for (ErrVersion).
// Follows refuses what does not go on where another index ended (ErrPrevious).
package releases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// Schema identifies the format that this package reads and writes.
const Schema = "palisade.releases.v1"

// The names under which an index and its signature lie beside releases, and that of
// the notes in one, whose digest its entry has.
const (
	FileName   = "releases.json"
	BundleName = FileName + ".sigstore.json"
	NotesName  = "RELEASE_NOTES.md"
)

// Bounds of an index: bytes, releases, images of each, and its number, which
// every reader of JSON can hold.
const (
	MaxSize     = 4 << 20
	MaxReleases = 4096
	MaxImages   = 256
	MaxNumber   = 1<<53 - 1
)

// How long an index says what is newest: one that never ends would say it for
// ever to whoever is kept from a newer one.
const (
	DefaultLife = 90 * 24 * time.Hour
	MinLife     = time.Hour
	MaxLife     = 366 * 24 * time.Hour
)

// Why something is refused, each its own.
var (
	ErrMalformed   = errors.New("malformed index of releases")
	ErrPrevious    = errors.New("it does not follow the index that was before it")
	ErrRollback    = errors.New("the index of releases is older than one that was seen")
	ErrExpired     = errors.New("the index of releases has expired")
	ErrFuture      = errors.New("the index of releases is from the future")
	ErrNotReleased = errors.New("it is in no release that the index of releases lists")
	ErrSuperseded  = errors.New("there is a newer release")
	ErrVersion     = errors.New("it is another release than the one that was asked for")
	ErrWithdrawn   = errors.New("the release was withdrawn")
)

// An Index lists the releases of a distribution. Only what Parse read, or First,
// Next and Renew made, is known to be well-formed.
type Index struct {
	Schema       string          `json:"schema"`            // Schema
	Distribution string          `json:"distribution"`      // who publishes; as release.json has it
	Number       uint64          `json:"number"`            // 1 of the first, one more of each that follows
	Previous     artifact.Digest `json:"previous,omitzero"` // of the file of the index before it; absent of the first
	Issued       time.Time       `json:"issued"`            // UTC, whole seconds
	Expires      time.Time       `json:"expires"`           // UTC, whole seconds: after it the index says nothing
	Releases     []Release       `json:"releases"`          // one at least, ascending by version
}

// A Release is one of them. Nothing of an entry changes in a later index but that
// it is withdrawn, which lasts.
type Release struct {
	Version   string          `json:"version"`             // of the release, three numbers: 1.4.0. A pre-release is in no index
	Tag       string          `json:"tag"`                 // that it was built at: v and the version
	Commit    string          `json:"commit"`              // that the tag was at: 40 or 64 hexadecimal digits
	Manifest  artifact.Digest `json:"manifest"`            // of release.json
	Files     artifact.Digest `json:"files,omitzero"`      // under which a registry has its files; absent where none has
	Notes     artifact.Digest `json:"notes,omitzero"`      // of the release notes; absent where there are none
	Images    []Image         `json:"images"`              // of all variants, sorted by component, then by variant; may be empty
	Withdrawn string          `json:"withdrawn,omitempty"` // why it must not be used, in a sentence; absent of what may be
}

// An Image is a container image of a release. The same digest is listed again by
// every release in which the image did not change.
type Image struct {
	Component string          `json:"component"`
	Variant   string          `json:"variant"`
	Digest    artifact.Digest `json:"digest"` // of the image index, which a registry serves
}

// ImagesOf are the images of a release as its entry has to list them.
func ImagesOf(m *artifact.Manifest) []Image {
	all := []Image{}
	for _, i := range m.Images {
		all = append(all, Image{Component: i.Component, Variant: i.Variant, Digest: i.Index})
	}
	sortImages(all)
	return all
}

// limits bound what is decoded, by far.
var limits = intoto.Limits{Size: MaxSize, Depth: 8, Items: MaxReleases}

// Parse reads an index: its one form, as Encode writes it, byte for byte. So its
// digest is that of what Encode returns of the result.
func Parse(data []byte) (Index, error) {
	var i Index
	if err := intoto.Decode(data, &i, limits); err != nil {
		return Index{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	form, err := i.Encode()
	if err != nil {
		return Index{}, err
	}
	if !bytes.Equal(form, data) {
		return Index{}, fmt.Errorf("%w: not in the form that it is written in (order of keys, indentation, times in UTC)", ErrMalformed)
	}
	return i, nil
}

// Encode is the index as it is signed: indented by two spaces, keys in the order of
// the fields, a newline at its end. It refuses an index that breaks a rule
// (ErrMalformed).
func (i Index) Encode() ([]byte, error) {
	if err := i.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(i); err != nil {
		return nil, fmt.Errorf("%w: encoding: %w", ErrMalformed, err)
	}
	if buf.Len() > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxSize)
	}
	return buf.Bytes(), nil
}

// Newest is the newest release that was not withdrawn; false if all were.
func (i Index) Newest() (Release, bool) {
	for n := len(i.Releases) - 1; n >= 0; n-- {
		if i.Releases[n].Withdrawn == "" {
			return i.Releases[n], true
		}
	}
	return Release{}, false
}
