package resultcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/signing"
	"palisade/attestations/step"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/store"
)

// Offer is store.Remote's. It sends the entry beside whatever follows; Wait waits
// for that.
func (c *Cache) Offer(ctx context.Context, key store.Key, left store.Left, entry store.Entry) {
	name, inputs, tag, ok := parts(key)
	if !ok || c.o.Signer == nil {
		return
	}
	c.sending.Go(func() {
		// The context of a step ends with the step.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), wholeEntry, errLate)
		defer cancel()
		select {
		case c.room <- struct{}{}:
			defer func() { <-c.room }()
		case <-c.stop:
			return
		}
		done := make(chan struct{})
		defer close(done)
		go func() {
			select {
			case <-c.stop:
				cancel()
			case <-done:
			}
		}()
		c.sent(tag, late(ctx, c.offer(ctx, name, inputs, tag, left, entry)))
	})
}

// sent tells how it went.
func (c *Cache) sent(tag string, err error) {
	select {
	case <-c.stop:
		return
	default:
	}
	switch {
	case errors.Is(err, errGone):
	case errors.Is(err, errOurs), unreachable(err):
		c.writing.giveUp(err, "what is made here is not handed on")
	case err != nil:
		c.o.Note("cache %s: %s is not handed on: %v", c.o.Repository, tag, registry.Brief(err, maxTold))
	default:
		c.count(&c.tally.Sent)
	}
}

// errOurs is that nothing can be offered, whatever it is.
var errOurs = errors.New("what is signed here would not be believed here")

func (c *Cache) offer(ctx context.Context, name string, inputs artifact.Digest, tag string, left store.Left, entry store.Entry) error {
	to, err := c.writing.connect(ctx)
	if err != nil {
		return err
	}
	said, signed, err := c.attest(ctx, name, inputs, left)
	if err != nil {
		return err
	}
	document, err := form(said, describe(bundle.MediaType, signed))
	if err != nil {
		return err
	}
	pusher, err := remote.NewPusher(to.Remote(ctx)...)
	if err != nil {
		return err
	}
	all := []*blob{inMemory(emptyType, []byte(empty)), inMemory(bundle.MediaType, signed), inMemory(valueType, left.Value)}
	for _, f := range said.Files {
		if f.Size > 0 {
			all = append(all, &blob{descriptor{fileType, f.Digest, f.Size}, func() (io.ReadCloser, error) { return entry.Open(f.Name) }})
		}
	}
	if err := send(ctx, to, pusher, all); err != nil {
		return err
	}
	// The tag comes last: what it names is there.
	return to.Try(ctx, fmt.Sprintf("sending the manifest %s to %s", tag, to.Name()), func(ctx context.Context) error {
		return pusher.Put(ctx, to.Name().Tag(tag), taggable(document))
	})
}

// attest signs what a step left. What the policy would not let in again is not
// handed on: others with the same policy could not use it.
func (c *Cache) attest(ctx context.Context, name string, inputs artifact.Digest, left store.Left) (said step.Step, signed []byte, err error) {
	builder, err := c.o.Builder(ctx)
	if err != nil {
		return said, nil, err
	}
	statement, err := step.Statement(step.Step{Builder: builder, Files: left.Files, Inputs: inputs, Name: name, Value: step.ValueOf(left.Value)})
	if err != nil {
		return said, nil, err
	}
	data, err := intoto.Marshal(statement)
	if err != nil {
		return said, nil, err
	}
	c.signing.Lock()
	defer c.signing.Unlock()
	if signed, err = c.o.Signer.Sign(ctx, signing.Statement(data)); err != nil {
		return said, nil, err
	}
	if len(signed) > maxBundle {
		return said, nil, fmt.Errorf("its bundle of %d bytes is larger than %d", len(signed), maxBundle)
	}
	if said, _, err = c.believe(signed, name, inputs); err != nil {
		return said, nil, fmt.Errorf("%w: policy %s: %w", errOurs, c.o.Policy.Name(), err)
	}
	return said, signed, nil
}

// send sends the blobs that are not there, each once.
func send(ctx context.Context, to *registry.Repository, pusher *remote.Pusher, all []*blob) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	begun := map[artifact.Digest]bool{}
	for _, b := range all {
		if begun[b.descriptor.Digest] {
			continue
		}
		begun[b.descriptor.Digest] = true
		group.Go(func() error {
			return to.Try(ctx, fmt.Sprintf("sending the blob %s to %s", b.descriptor.Digest, to.Name()), func(ctx context.Context) error {
				return pusher.Upload(ctx, to.Name(), b)
			})
		})
	}
	return group.Wait()
}

// A blob is what package remote uploads, where the registry does not have it. It
// is opened for nothing else.
type blob struct {
	descriptor descriptor
	open       func() (io.ReadCloser, error)
}

var _ v1.Layer = (*blob)(nil)

func inMemory(mediaType string, data []byte) *blob {
	return &blob{describe(mediaType, data), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

func (b *blob) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: b.descriptor.Digest.Hex()}, nil
}
func (b *blob) DiffID() (v1.Hash, error) { return v1.Hash{}, errors.ErrUnsupported }
func (b *blob) Size() (int64, error)     { return b.descriptor.Size, nil }
func (b *blob) MediaType() (types.MediaType, error) {
	return types.MediaType(b.descriptor.MediaType), nil
}
func (b *blob) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }
func (b *blob) Compressed() (io.ReadCloser, error)   { return b.open() }

// A taggable is a manifest that package remote puts.
type taggable []byte

func (t taggable) RawManifest() ([]byte, error)        { return t, nil }
func (t taggable) MediaType() (types.MediaType, error) { return ocilayout.ManifestType, nil }
