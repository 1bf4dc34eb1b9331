package resultcache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/step"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/store"
)

// atOnce is how many blobs of an entry are read or sent at a time.
const atOnce = 4

// Take is store.Remote's.
func (c *Cache) Take(ctx context.Context, key store.Key, dir string, accept func(store.Left) error) (bool, error) {
	name, inputs, tag, ok := parts(key)
	if !ok {
		return false, nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, wholeEntry, errLate)
	defer cancel()
	by, there, err := c.take(bounded, name, inputs, tag, dir, accept)
	switch err = late(bounded, err); {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, errGone):
		return false, nil
	case unreachable(err):
		c.reading.giveUp(err, "what it may have is made here")
		return false, nil
	case errors.Is(err, store.ErrHere):
		c.o.Note("cache %s: %s was not taken: %v: it is made here", c.o.Repository, tag, registry.Brief(err, maxTold))
		return false, nil
	case err != nil:
		c.count(&c.tally.Refused)
		c.o.Note("REFUSED from cache %s: %s: %v: it is made here", c.o.Repository, tag, registry.Brief(err, maxTold))
		return false, nil
	case !there:
		return false, nil
	}
	c.count(&c.tally.Taken)
	c.o.Note("%s was made elsewhere, by %s", tag, by)
	return true, nil
}

// unreachable reports whether nothing was learned of an entry.
func unreachable(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrDenied) || errors.Is(err, registry.ErrPlaintext)
}

// take reads an entry, in the order of step.md, "To rely on it".
func (c *Cache) take(ctx context.Context, name string, inputs artifact.Digest, tag, dir string, accept func(store.Left) error) (by bundle.Signer, there bool, err error) {
	from, err := c.reading.connect(ctx)
	if err != nil {
		return by, false, err
	}
	m, b, err := c.open(ctx, from, tag)
	if errors.Is(err, errMiss) {
		return by, false, nil
	}
	if err != nil {
		return by, true, err
	}
	said, by, err := c.believe(b, name, inputs)
	if err != nil {
		return by, true, err
	}
	want, err := form(said, describe(bundle.MediaType, b))
	if err != nil {
		return by, true, err
	}
	if !bytes.Equal(m.Data, want) {
		return by, true, fmt.Errorf("%w: it names other content, or something beside it", ErrForm)
	}
	left := store.Left{Files: said.Files}
	if left.Value, err = whole(ctx, from, descriptor{valueType, said.Value.Digest, said.Value.Size}); err != nil {
		return by, true, fmt.Errorf("its value: %w", err)
	}
	if err := files(ctx, from, said, dir); err != nil {
		return by, true, err
	}
	return by, true, accept(left)
}

// errMiss is that there is no such entry.
var errMiss = errors.New("it is not in the cache")

// open reads the manifest and the bundle that it names, of which nothing is
// believed yet.
func (c *Cache) open(ctx context.Context, from *registry.Repository, tag string) (m registry.Manifest, b []byte, err error) {
	bounded, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	m, err = from.Manifest(bounded, tag)
	if errors.Is(err, registry.ErrNotFound) {
		return m, nil, errMiss
	}
	if err != nil {
		return m, nil, late(bounded, err)
	}
	if m.MediaType != ocilayout.ManifestType {
		return m, nil, fmt.Errorf("%w: it is a %.100s", ErrForm, m.MediaType)
	}
	d, err := bundleOf(m.Data)
	if err != nil {
		return m, nil, err
	}
	b, err = whole(bounded, from, d)
	if err != nil {
		return m, nil, fmt.Errorf("its bundle: %w", late(bounded, err))
	}
	return m, b, nil
}

// whole reads a blob, of a size that was bounded before.
func whole(ctx context.Context, from *registry.Repository, d descriptor) ([]byte, error) {
	var data bytes.Buffer
	err := blobTo(ctx, from, d, &data)
	return data.Bytes(), err
}

// blobTo writes a blob to w, and no more of it than its size. What was written is
// worth nothing if there is an error.
func blobTo(ctx context.Context, from *registry.Repository, d descriptor, w io.Writer) error {
	in, err := from.Blob(ctx, d.oci())
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, here{w}), io.LimitReader(in, d.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != d.Size || got != d.Digest.Hex() {
		return fmt.Errorf("%w: for %s, of %d bytes, it sent others", registry.ErrDigest, d.Digest, d.Size)
	}
	return nil
}

// here is a writer whose failures are of this machine.
type here struct{ io.Writer }

func (h here) Write(b []byte) (int, error) {
	n, err := h.Writer.Write(b)
	return n, ours(err)
}

func ours(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrHere, err)
}

// files fills dir with the files of a step.
func files(ctx context.Context, from *registry.Repository, said step.Step, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ours(err)
	}
	defer root.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, f := range said.Files {
		if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
			group.Go(func() error { return ours(err) })
			break
		}
		group.Go(func() error {
			if err := file(ctx, from, f, root); err != nil {
				return fmt.Errorf("its file %s: %w", f.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func file(ctx context.Context, from *registry.Repository, f artifact.File, root *os.Root) error {
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil {
		return err
	}
	out, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(mode))
	if err != nil {
		return ours(err)
	}
	if f.Size > 0 {
		err = blobTo(ctx, from, descriptor{fileType, f.Digest, f.Size}, out)
	}
	return errors.Join(err, ours(errors.Join(out.Chmod(fs.FileMode(mode)), out.Close())))
}
