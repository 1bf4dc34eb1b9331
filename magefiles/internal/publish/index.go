package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/store"
)

// Why an index of releases is not published.
var (
	ErrIndex = errors.New("the index of releases there is not the one that this one follows")
	ErrFirst = errors.New("there is no index of releases there")
)

// An Index is an index of releases that is to take the place of the one before it.
type Index struct {
	releases.Index
	Alone bool // is published without a release, and must not list one more

	data, bundle []byte
	digest       artifact.Digest
	first        bool
}

// OpenIndex reads an index of releases, which has to be signed by who is trusted
// (ErrUnsigned). Where none is published it is put only if it may be the first
// there: one that was removed would be missed by nobody.
func OpenIndex(o Options, data, signature []byte, first bool) (*Index, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	digest := artifact.DigestBytes(data)
	if _, err := bundle.OpenSignature(signature, o.Trust, digest); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", releases.FileName, ErrUnsigned, err)
	}
	i, err := releases.Parse(data)
	if err != nil {
		return nil, err
	}
	return &Index{Index: i, data: data, bundle: signature, digest: digest, first: first}, nil
}

// Look refuses to take the place of what is published at a place (ErrIndex,
// ErrFirst), and reports whether it is this very one. Two who make an index of the
// same one at once are told apart here: the second finds that of the first.
func (i *Index) Look(ctx context.Context, at consume.Place) (there bool, err error) {
	data, signature, err := at.Index(ctx)
	switch {
	case errors.Is(err, consume.ErrNone) && i.first:
		return false, nil
	case errors.Is(err, consume.ErrNone):
		return false, fmt.Errorf("%w: %s: if it is the first, say -first; if there was one, put it back, for whoever saw it refuses a lower number: %w", ErrFirst, at, err)
	case err != nil:
		return false, fmt.Errorf("looking at the index of releases in %s: %w", at, err)
	}
	digest := artifact.DigestBytes(data)
	if digest == i.digest {
		return string(signature) == string(i.bundle), nil
	}
	before, err := releases.Parse(data)
	if err == nil && digest != i.Previous {
		err = fmt.Errorf("it has the number %d, and this one %d: another was published meanwhile: plan and sign anew, on that one", before.Number, i.Number)
	} else if err == nil {
		err = i.Follows(before)
	}
	if err == nil && i.Alone && len(i.Releases) > len(before.Releases) {
		err = fmt.Errorf("this one lists %s too: publish it with that release", i.Releases[len(i.Releases)-1].Version)
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s has %s: %w", ErrIndex, at, digest, err)
	}
	return false, nil
}

// ToRegistry puts the index under the tag of a registry, as the last of all that is
// published there, unless Look refuses it. It reports whether it was there.
func (i *Index) ToRegistry(ctx context.Context, o Options) (there bool, err error) {
	at, err := consume.InRegistry(ctx, o.Registry, registry.Options{Keychain: o.Keychain, Transport: o.Transport, Pause: o.Pause})
	if err != nil {
		return false, err
	}
	if there, err = i.Look(ctx, at); err != nil || there {
		return there, err
	}
	form, err := consume.IndexForm(i.data, i.bundle)
	if err != nil {
		return false, err
	}
	var s sender
	if err := s.connect(ctx, o, consume.Repository); err != nil {
		return false, err
	}
	if err := s.ready(ctx); err != nil {
		return false, err
	}
	blobs := []*blob{inMemory(emptyType, []byte(empty)), inMemory(consume.FileType, i.data), inMemory(consume.FileType, i.bundle)}
	if err := s.blobs(ctx, blobs); err != nil {
		return false, err
	}
	if there, err = i.Look(ctx, at); err != nil || there { // for sending took its time
		return there, err
	}
	if err := s.put(ctx, consume.IndexTag, document{form.MediaType, form.Digest, form.Data}); err != nil {
		return false, err
	}
	return false, s.names(ctx, consume.IndexTag, form.Digest, ErrIndex)
}

// ToDirectory puts the index into a directory, likewise. Its bundle comes first: who
// reads both in between, or after a run that was killed there, has an index that is
// not signed, and the next run ends it.
func (i *Index) ToDirectory(ctx context.Context, dir string) (there bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	unlock, err := store.LockFolder(ctx, dir)
	if err != nil {
		return false, err
	}
	defer unlock()
	if there, err = i.Look(ctx, consume.Directory(dir)); err != nil || there {
		return there, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{releases.BundleName, i.bundle}, {releases.FileName, i.data}} {
		err := store.WriteFile(filepath.Join(dir, f.name), 0o644, func(w io.Writer) error {
			_, err := w.Write(f.data)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// Digest is that of the file.
func (i *Index) Digest() artifact.Digest { return i.digest }
