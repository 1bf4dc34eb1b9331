package consume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/verify/registry"
)

// atOnce is how many files are fetched at a time.
const atOnce = 4

// A Place is where releases were published.
type Place interface {
	// Index is the index of releases there, and its bundle, which is nil if there is
	// none. Nobody vouches for them.
	Index(ctx context.Context) (index, bundle []byte, err error)
	// Files fetches a release that the index of releases lists into a folder that is
	// empty: exactly what was built, and what is said of it there.
	Files(ctx context.Context, r releases.Release, to *os.Root) error
	// String is what it is called.
	String() string
}

// A Registry is a registry, with a folder of it if it has any.
type Registry struct {
	name string
	from *registry.Repository
}

// InRegistry connects to where a registry has releases: HOST/PATH.
func InRegistry(ctx context.Context, name string, o registry.Options) (*Registry, error) {
	name = strings.TrimSuffix(name, "/")
	from, err := registry.Connect(ctx, name+"/"+Repository, o)
	if err != nil {
		return nil, err
	}
	return &Registry{name, from}, nil
}

// String is its name, without the repository of releases.
func (r *Registry) String() string { return r.name }

// Image is the name of an image there.
func (r *Registry) Image(i releases.Image) string {
	return r.name + "/" + i.Component + "@" + i.Digest.String()
}

// Index is Place's.
func (r *Registry) Index(ctx context.Context) (index, bundle []byte, err error) {
	m, err := r.from.Manifest(ctx, IndexTag)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil, fmt.Errorf("%w: %s has no index of releases: %w", ErrNone, r.name, err)
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := parseManifest(m, releasesType)
	if err == nil && (len(files) != 2 || files[0].Name != releases.FileName || files[1].Name != releases.BundleName) {
		err = fmt.Errorf("%w: %s is no index of releases and its bundle", ErrForm, m.Digest)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.from.Name().Tag(IndexTag), err)
	}
	for n, most := range []int64{releases.MaxSize, maxBundle} {
		if files[n].Size > most {
			return nil, nil, fmt.Errorf("%w: %s of %d bytes", ErrTooLarge, files[n].Name, files[n].Size)
		}
	}
	if index, err = r.small(ctx, files[0]); err == nil {
		bundle, err = r.small(ctx, files[1])
	}
	return index, bundle, err
}

// Files is Place's. Whatever the tag names, it is what was built.
func (r *Registry) Files(ctx context.Context, of releases.Release, to *os.Root) error {
	return r.Some(ctx, of, to, all)
}

// Some is Files of those that keep says.
func (r *Registry) Some(ctx context.Context, of releases.Release, to *os.Root, keep func(name string) bool) error {
	if of.Files.IsZero() {
		return fmt.Errorf("%w: the index of releases knows of no files of %s in a registry: take them from a directory", ErrNone, of.Version)
	}
	m, err := r.from.Manifest(ctx, Tag(of.Version))
	if errors.Is(err, registry.ErrNotFound) {
		err = fmt.Errorf("%w: %s: %w", ErrNone, r.from.Name().Tag(Tag(of.Version)), err)
	}
	if err != nil {
		return err
	}
	return r.files(ctx, m, of, to, keep)
}

// FilesAt is Files of what no tag names yet, by the digest of its index.
func (r *Registry) FilesAt(ctx context.Context, index artifact.Digest, of releases.Release, to *os.Root) error {
	m, err := r.from.Manifest(ctx, index.String())
	if err != nil {
		return err
	}
	return r.files(ctx, m, of, to, all)
}

func all(string) bool { return true }

func (r *Registry) files(ctx context.Context, m registry.Manifest, of releases.Release, to *os.Root, keep func(name string) bool) error {
	l, err := r.list(ctx, m, of)
	if err != nil {
		return fmt.Errorf("release %s in %s: %w", of.Version, r.from.Name(), err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, f := range l.all() {
		if !keep(f.Name) {
			continue
		}
		group.Go(func() error { return r.fetch(ctx, f, to) })
	}
	return group.Wait()
}

// list reads which files there are, and refuses those of another release.
func (r *Registry) list(ctx context.Context, m registry.Manifest, of releases.Release) (l Listing, err error) {
	release, said, err := parseIndex(m)
	if err != nil {
		return l, err
	}
	if release.Digest != of.Files && !of.Files.IsZero() {
		return l, mismatch("the files of %s are %s, and the tag is of %s", of.Version, of.Files, release.Digest)
	}
	if l.Release, err = r.manifest(ctx, release); err != nil {
		return l, err
	}
	if l.Said, err = r.manifest(ctx, said); err != nil {
		return l, err
	}
	if err := l.validate(); err != nil {
		return l, err
	}
	return l, l.held(of)
}

func (r *Registry) manifest(ctx context.Context, c child) ([]File, error) {
	m, err := r.from.Manifest(ctx, c.Digest.String())
	if errors.Is(err, registry.ErrNotFound) {
		return nil, fmt.Errorf("%w: %v", ocilayout.ErrMissing, err)
	}
	if err == nil && int64(len(m.Data)) != c.Size {
		err = fmt.Errorf("%w: the manifest %s has %d bytes, and its index says %d", ErrForm, c.Digest, len(m.Data), c.Size)
	}
	if err != nil {
		return nil, err
	}
	return parseManifest(m, c.ArtifactType)
}

// fetch writes a file of a release.
func (r *Registry) fetch(ctx context.Context, f File, to *os.Root) error {
	return r.blob(ctx, f, func(ctx context.Context, content io.Reader) error { return f.put(ctx, to, content, nil) })
}

// small reads a file whole.
func (r *Registry) small(ctx context.Context, f File) ([]byte, error) {
	var data bytes.Buffer
	err := r.blob(ctx, f, func(_ context.Context, content io.Reader) error {
		data.Reset()
		digest, n, err := artifact.DigestReader(io.TeeReader(io.LimitReader(content, f.Size+1), &data))
		if err == nil && (n != f.Size || digest != f.Digest) {
			err = fmt.Errorf("%w: %q is %s of %d bytes", ErrMismatch, f.Name, digest, n)
		}
		return err
	})
	return data.Bytes(), err
}

// blob has take read the content of f, again if the connection breaks meanwhile.
func (r *Registry) blob(ctx context.Context, f File, take func(context.Context, io.Reader) error) error {
	var unopened error // was tried often enough
	err := r.from.Try(ctx, fmt.Sprintf("fetching %s from %s", f.Name, r.from.Name()), func(ctx context.Context) error {
		content, err := r.from.Blob(ctx, ocilayout.Descriptor{MediaType: FileType, Digest: f.Digest, Size: f.Size})
		if err != nil {
			unopened = err
			return nil
		}
		defer content.Close()
		err = take(ctx, content)
		if errors.Is(err, ErrMismatch) {
			err = fmt.Errorf("%w: %w", registry.ErrDigest, err)
		}
		return err
	})
	if unopened != nil {
		return fmt.Errorf("%s: %w", f.Name, unopened)
	}
	return err
}
