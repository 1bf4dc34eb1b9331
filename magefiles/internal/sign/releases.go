package sign

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
)

// maxNotes bounds the notes of a release, which lie beside its files, in bytes.
const maxNotes = 4 << 20

// notes are signed as a file: they are for people, and nothing is decided by them. The
// index of releases has their digest.
func (r *release) notes() (signing.Content, error) {
	data, err := r.read(releases.NotesName, maxNotes)
	if err != nil {
		return signing.Content{}, err
	}
	return signing.File(artifact.DigestBytes(data))
}

// A Listing is what the next index of releases is made of.
type Listing struct {
	Distribution string
	Previous     *releases.Index // nil if the release is the first
	Digest       artifact.Digest // of the file of Previous
	Release      releases.Release
	Issued       time.Time
	Life         time.Duration
}

// Releases writes the index of releases that lists one more into dir, and signs it.
// One that lies there, goes on from the same and lists the same release is kept, and
// so is its signature if the same hand has made it: it says when it was issued.
func Releases(ctx context.Context, dir string, hand Hand, l Listing) (releases.Index, Result, error) {
	fail := func(err error) (releases.Index, Result, error) {
		return releases.Index{}, Result{}, fmt.Errorf("signing the index of releases: %w", err)
	}
	next, err := l.next()
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	r := release{dir: dir, root: root}
	if there, ok := r.listed(next); ok {
		next = there
	}
	data, err := next.Encode()
	if err != nil {
		return fail(err)
	}
	// The index first: nobody but this looks here before both are there, and who goes
	// on finds when it was issued.
	if err := r.write(releases.FileName, data); err != nil {
		return fail(err)
	}
	t := task{of: releases.FileName, bundle: releases.BundleName, read: func() (signing.Content, error) { return signing.File(artifact.DigestBytes(data)) }}
	pending, err := r.pending(t, hand.Trust)
	if err != nil || !pending {
		return next, Result{Kept: 1}, err
	}
	by, err := r.signEach(ctx, []task{t}, []bool{true}, hand)
	if err != nil {
		return fail(err)
	}
	return next, Result{Signed: 1, By: by}, nil
}

func (l Listing) next() (releases.Index, error) {
	if l.Previous == nil {
		return releases.First(l.Distribution, l.Release, l.Issued, l.Life)
	}
	if l.Previous.Distribution != l.Distribution {
		return releases.Index{}, fmt.Errorf("%w: the index before is of %q, the release of %q", ErrMismatch, l.Previous.Distribution, l.Distribution)
	}
	return l.Previous.Next(l.Digest, l.Release, l.Issued, l.Life)
}

// listed is the index that lies there, if it says what next does, and was issued
// for as long, but not at the same time.
func (r *release) listed(next releases.Index) (releases.Index, bool) {
	data, err := r.read(releases.FileName, releases.MaxSize)
	if err != nil {
		return releases.Index{}, false
	}
	there, err := releases.Parse(data)
	if err != nil || there.Issued.After(next.Issued) || !next.Issued.Before(there.Expires) || there.Expires.Sub(there.Issued) != next.Expires.Sub(next.Issued) {
		return releases.Index{}, false
	}
	issued := next
	issued.Issued, issued.Expires = there.Issued, there.Expires
	same, err := issued.Encode()
	return there, err == nil && bytes.Equal(same, data)
}
