package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"palisade/attestations/artifact"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/consume"
)

// Files are those of a release on their way into a registry, as REGISTRY/release.
type Files struct {
	sender
	release *Release
	tag     string
	note    func(string, ...any)
}

// PublishedFiles are the files of a release in a registry.
type PublishedFiles struct {
	Repository string          // with its registry in front
	Index      artifact.Digest // under which all of them are
	Release    artifact.Digest // under which what was built is
	Tag        string          // that names the index, once Tag has
	Sent       int             // blobs, manifests and tags that were not there
	Bytes      int64           // of the blobs among them
}

// ToRegistry connects to where the files go, and sends nothing. A version that names
// what was built otherwise is refused (ErrTag).
func (r *Release) ToRegistry(ctx context.Context, o Options, version string) (*Files, error) {
	f := &Files{release: r, tag: consume.Tag(version), note: o.Note}
	if f.note == nil {
		f.note = func(string, ...any) {}
	}
	err := f.connect(ctx, o, consume.Repository)
	if err == nil {
		err = f.ready(ctx)
	}
	if err == nil {
		_, err = f.freeTag(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("publishing the files of %s: %w", version, err)
	}
	return f, nil
}

// Done is what has come to its end.
func (f *Files) Done() PublishedFiles {
	return PublishedFiles{
		Repository: f.to.Name().Name(), Index: f.release.Form.Index.Digest, Release: f.release.Form.Release.Digest, Tag: f.tag,
		Sent: int(f.sent.Load()), Bytes: f.bytes.Load(),
	}
}

// Send sends what is not there of everything but the tag. What is there then can be
// fetched by the digest of its index.
func (f *Files) Send(ctx context.Context) error {
	f.note("%d files to %s", len(f.release.Listing.Release)+len(f.release.Listing.Said), f.to.Name())
	all := []*blob{inMemory(emptyType, []byte(empty))}
	for _, file := range slices.Concat(f.release.Listing.Release, f.release.Listing.Said) {
		all = append(all, f.release.blob(file))
	}
	err := f.blobs(ctx, all)
	for _, m := range f.manifests() {
		if err == nil {
			err = f.putNew(ctx, m)
		}
	}
	if err != nil {
		return fmt.Errorf("publishing the files of %s: %w", f.tag, err)
	}
	return nil
}

func (f *Files) manifests() (all []document) {
	for _, m := range []registry.Manifest{f.release.Form.Release, f.release.Form.Said, f.release.Form.Index} {
		all = append(all, document{m.MediaType, m.Digest, m.Data})
	}
	return all
}

// putNew sends a manifest that the registry does not give for its digest.
func (s *sender) putNew(ctx context.Context, d document) error {
	there, err := s.seen(ctx, d)
	if err != nil || there {
		return err
	}
	return s.put(ctx, d.digest.String(), d)
}

// blob is a file as it is sent: held against its digest meanwhile.
func (r *Release) blob(f consume.File) *blob {
	d := v1.Descriptor{MediaType: types.MediaType(consume.FileType), Digest: hashOf(f.Digest), Size: f.Size}
	return &blob{Descriptor: d, open: func() (io.ReadCloser, error) {
		in, err := r.root.Open(f.Name)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{&held{in: in, want: f.Digest, left: f.Size, sum: newHash()}, in}, nil
	}}
}

// freeTag refuses a tag of what was built otherwise, and reports whether it names
// these very files. More may have been said of a release since.
func (f *Files) freeTag(ctx context.Context) (named bool, err error) {
	m, err := f.to.Manifest(ctx, f.tag)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case m.Digest == f.release.Form.Index.Digest:
		return true, nil
	}
	if built, bad := consume.ReleaseOf(m); bad != nil || built != f.release.Form.Release.Digest {
		return false, fmt.Errorf("%w: %s is %s, and these files are %s: a version is released once; release the next one",
			ErrTag, f.to.Name().Tag(f.tag), m.Digest, f.release.Form.Index.Digest)
	}
	f.note("%s is of the same files, of which something else is said now", f.to.Name().Tag(f.tag))
	return false, nil
}

// Tag names the files by their version, once all of them were seen in the registry,
// and looks whether it does.
func (f *Files) Tag(ctx context.Context) error {
	if err := f.name(ctx); err != nil {
		return fmt.Errorf("publishing the files of %s: %w", f.tag, err)
	}
	return nil
}

func (f *Files) name(ctx context.Context) error {
	all := f.manifests()
	for _, d := range all {
		if _, err := f.to.Manifest(ctx, d.digest.String()); err != nil {
			return err
		}
	}
	named, err := f.freeTag(ctx)
	if err != nil || named {
		return err
	}
	index := all[len(all)-1]
	if err := f.put(ctx, f.tag, index); err != nil {
		return err
	}
	return f.names(ctx, f.tag, index.digest, ErrTag)
}

// names refuses a tag that is not of what was put there. No registry moves a tag
// only if it still is what it was.
func (s *sender) names(ctx context.Context, tag string, want artifact.Digest, refusal error) error {
	m, err := s.to.Manifest(ctx, tag)
	if err == nil && m.Digest != want {
		err = fmt.Errorf("%w: %s:%s was made %s, and is %s now: somebody else publishes there", refusal, s.to.Name(), tag, want, m.Digest)
	}
	return err
}
