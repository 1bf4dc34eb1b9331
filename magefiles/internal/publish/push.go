package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/verify/registry"
)

// atOnce is how many blobs of an image are sent at a time.
const atOnce = 4

// A sender sends to one repository.
type sender struct {
	to     *registry.Repository
	pusher *remote.Pusher

	sent  atomic.Int64
	bytes atomic.Int64
}

// A push is an image on its way.
type push struct {
	sender
	image     artifact.Image
	layout    *layout
	attached  []subject // the index first
	overwrite bool
	note      func(string, ...any)
}

// connect connects to a repository below the registry.
func (s *sender) connect(ctx context.Context, o Options, name string) (err error) {
	s.to, err = registry.Connect(ctx, strings.TrimSuffix(o.Registry, "/")+"/"+name, registry.Options{
		Keychain: o.Keychain, Transport: o.Transport, Write: true, Pause: o.Pause,
	})
	return err
}

func (s *sender) ready(ctx context.Context) (err error) {
	s.pusher, err = remote.NewPusher(s.to.Remote(ctx)...)
	return err
}

func (p *push) done() Published {
	return Published{
		Image: p.image.Name, Repository: p.to.Name().Name(), Index: p.image.Index, Tag: p.image.Version,
		Sent: int(p.sent.Load()), Bytes: p.bytes.Load(),
	}
}

// freeTag refuses a version that names another image, and reports whether it
// names this one already.
func (p *push) freeTag(ctx context.Context) (named bool, err error) {
	m, err := p.to.Manifest(ctx, p.image.Version)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case m.Digest != p.image.Index && !p.overwrite:
		return false, fmt.Errorf("%w: %s:%s is %s, and this image is %s: whoever relies on the tag would get something else; ask for it with -overwrite",
			ErrTag, p.to.Name(), p.image.Version, m.Digest, p.image.Index)
	}
	return m.Digest == p.image.Index, nil
}

// content sends everything but the tag, from the ground up. That a manifest is
// there says nothing of what it names: not every registry looks, and some lose it.
func (p *push) content(ctx context.Context) error {
	for n, m := range p.layout.platforms {
		if err := p.blobs(ctx, p.fromLayout(m.blobs)); err != nil {
			return err
		}
		there, err := p.to.Has(ctx, m.digest)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		p.note("%s for %s", p.image.Name, p.image.Platforms[n].Platform)
		if err := p.put(ctx, m.digest.String(), m.document); err != nil {
			return err
		}
	}
	there, err := p.to.Has(ctx, p.image.Index)
	if err != nil {
		return err
	}
	if !there {
		if err := p.put(ctx, p.image.Index.String(), p.layout.index); err != nil {
			return err
		}
	}
	for _, s := range p.attached {
		if err := p.attach(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *push) fromLayout(descriptors []v1.Descriptor) []*blob {
	var all []*blob
	for _, d := range descriptors {
		all = append(all, &blob{Descriptor: d, open: func() (io.ReadCloser, error) { return io.NopCloser(p.layout.open(digestOf(d.Digest))), nil }})
	}
	return all
}

// blobs sends those that are not there. Each is sent once, though several
// bundles have the same configuration.
func (s *sender) blobs(ctx context.Context, all []*blob) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	begun := map[v1.Hash]bool{}
	for _, b := range all {
		if begun[b.Descriptor.Digest] {
			continue
		}
		begun[b.Descriptor.Digest] = true
		group.Go(func() error {
			err := s.to.Try(ctx, fmt.Sprintf("sending the blob %s to %s", b.Descriptor.Digest, s.to.Name()), func(ctx context.Context) error {
				return s.pusher.Upload(ctx, s.to.Name(), b)
			})
			if err == nil && b.sent.Load() {
				s.sent.Add(1)
				s.bytes.Add(b.Descriptor.Size)
			}
			return err
		})
	}
	return group.Wait()
}

// put sends a manifest under a tag or its digest.
func (s *sender) put(ctx context.Context, reference string, d document) error {
	ref := s.to.Name().Tag(reference)
	err := s.to.Try(ctx, fmt.Sprintf("sending the manifest %s to %s", reference, s.to.Name()), func(ctx context.Context) error {
		if reference == d.digest.String() {
			return s.pusher.Put(ctx, s.to.Name().Digest(reference), d)
		}
		return s.pusher.Put(ctx, ref, d)
	})
	if err == nil {
		s.sent.Add(1)
	}
	return err
}

// RawManifest and MediaType are what package remote puts.
func (d document) RawManifest() ([]byte, error)        { return d.data, nil }
func (d document) MediaType() (types.MediaType, error) { return types.MediaType(d.mediaType), nil }

// rounds is how often the bundles of a subject are attached before they are
// said to be lost: where a tag stands for the referrers, whoever writes it at
// the same time takes the entry of the other away.
const rounds = 3

// attach attaches the bundles of a subject that the registry does not list, or
// lists and has not, and has it list them.
func (p *push) attach(ctx context.Context, s subject) error {
	var all []*blob
	for _, a := range s.attached {
		all = append(all, a.blobs...)
	}
	if err := p.blobs(ctx, all); err != nil {
		return err
	}
	for range rounds {
		missing, err := p.missing(ctx, s)
		if err != nil || len(missing) == 0 {
			return err
		}
		for _, a := range missing {
			p.note("%s of %s", a.kind, s.digest)
			if err := p.put(ctx, a.manifest.digest.String(), a.manifest); err != nil {
				return err
			}
		}
	}
	return p.unlisted(s)
}

func (p *push) unlisted(s subject) error {
	return fmt.Errorf("%w: %s does not list what was attached to %s: see that nobody else publishes there, and try again", registry.ErrAnswer, p.to.Name(), s.digest)
}

// missing are the bundles of a subject that the registry does not list, or does
// not have: where a tag stands for the referrers, it stays as it is when one of
// them is deleted. It is an error if with them nobody could read what is attached.
func (p *push) missing(ctx context.Context, s subject) ([]attachment, error) {
	listed, err := p.to.Referrers(ctx, s.digest)
	if err != nil {
		return nil, err
	}
	if _, err := p.counted(s, listed); err != nil {
		return nil, err
	}
	there := make([]bool, len(s.attached))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for n, a := range s.attached {
		if !slices.Contains(listed, a.manifest.digest) {
			continue
		}
		group.Go(func() (err error) {
			there[n], err = p.seen(ctx, a.manifest)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []attachment
	for n, a := range s.attached {
		if !there[n] {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

// counted is how many bundles a subject would have of which these are listed. It is
// an error if they were more than anybody reads.
func (p *push) counted(s subject, listed []artifact.Digest) (int, error) {
	added := 0
	for _, a := range s.attached {
		if !slices.Contains(listed, a.manifest.digest) {
			added++
		}
	}
	n := len(listed) + added
	if added > 0 && n > registry.MaxReferrers {
		return n, fmt.Errorf("%w: %s would have %d bundles attached in %s, and of an image with more than %d nobody can tell anything: "+
			"have those removed that nobody needs or believes; or raise revision in the recipe of an image that was released often and never changed: the next one has none",
			registry.ErrTooLarge, s.digest, n, p.to.Name(), registry.MaxReferrers)
	}
	return n, nil
}

// roomFor is for how many more releases there has to be room, or it is told.
const roomFor = 4

// room refuses, before anything is sent, an image that would have more bundles than
// anybody reads: each release of an image that did not change attaches its own. It
// tells when there is room for a few more only.
func (p *push) room(ctx context.Context) error {
	more := roomFor
	for _, s := range p.attached {
		listed, err := p.to.Referrers(ctx, s.digest)
		if err != nil {
			return err
		}
		n, err := p.counted(s, listed)
		if err != nil {
			return err
		}
		more = min(more, (registry.MaxReferrers-n)/len(s.attached))
	}
	if more < roomFor {
		p.note("of this image, %s, nobody can read the bundles of more than %d further releases: raise revision in the recipe of %s before", p.image.Index, more, p.image.Component)
	}
	return nil
}

// seen reports whether the registry gives a manifest for its digest.
func (s *sender) seen(ctx context.Context, d document) (bool, error) {
	_, err := s.to.Manifest(ctx, d.digest.String())
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// tag names the image, once all that was sent is seen to be there, and looks
// whether it does. No registry moves a tag only if it still is what it was: of
// two who publish at the same moment, both may have seen it free, and the one
// whose image it does not name then is told so.
func (p *push) tag(ctx context.Context) error {
	for _, s := range p.attached {
		if _, err := p.to.Manifest(ctx, s.digest.String()); err != nil {
			return err
		}
		listed, err := p.to.Referrers(ctx, s.digest)
		if err != nil {
			return err
		}
		for _, a := range s.attached { // by now others may have written the list
			if !slices.Contains(listed, a.manifest.digest) {
				return p.unlisted(s)
			}
		}
	}
	named, err := p.freeTag(ctx)
	if err != nil || named {
		return err
	}
	if err := p.put(ctx, p.image.Version, p.layout.index); err != nil {
		return err
	}
	return p.names(ctx, p.image.Version, p.image.Index, ErrTag)
}
