package ocilayout

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// Read reads the image whose index d names, with all that it is made of. Of d
// the media type has to be IndexType, and the size may be -1.
func Read(ctx context.Context, d Descriptor, from Source, v Visitor) (*Index, error) {
	r := reader{ctx: ctx, from: from, visitor: v, layers: map[artifact.Digest]Layer{}}
	i, err := r.index(d)
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", d.Digest, err)
	}
	return i, nil
}

type reader struct {
	ctx     context.Context
	from    Source
	visitor Visitor
	layers  map[artifact.Digest]Layer // that were read
	total   int64                     // bytes of their members
	members int                       // and how many those are
}

func (r *reader) index(d Descriptor) (*Index, error) {
	if d.MediaType != IndexType {
		return nil, fmt.Errorf("%w: it is called %.100q, want %s", ErrMediaType, d.MediaType, IndexType)
	}
	data, err := r.document("index", d)
	if err != nil {
		return nil, err
	}
	var doc indexJSON
	if err := decode("index", data, &doc); err != nil {
		return nil, err
	}
	if err := typed("index", doc.SchemaVersion, doc.MediaType, IndexType); err != nil {
		return nil, err
	}
	if n := len(doc.Manifests); n == 0 || n > maxPlatforms {
		return nil, fmt.Errorf("%w: the index names %d manifests, want 1 to %d", ErrLayout, n, maxPlatforms)
	}
	d.Size = int64(len(data))
	index := &Index{Descriptor: d, Annotations: doc.Annotations}
	for _, m := range doc.Manifests {
		if m.Platform == nil {
			return nil, fmt.Errorf("%w: manifest %s has none in the index", ErrPlatform, m.Digest)
		}
		platform, err := m.Platform.of()
		if err != nil {
			return nil, err
		}
		// Statements and documents know a platform by its slug.
		if slices.ContainsFunc(index.Images, func(i Image) bool { return i.Platform.Slug() == platform.Slug() }) {
			return nil, fmt.Errorf("%w: the index names %s twice", ErrPlatform, platform.Slug())
		}
		image, err := r.image(m, platform)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", platform, err)
		}
		index.Images = append(index.Images, image)
	}
	return index, nil
}

func (r *reader) image(named descriptorJSON, platform artifact.Platform) (Image, error) {
	d, err := named.of("manifest", ManifestType, MaxDocument)
	if err != nil {
		return Image{}, err
	}
	data, err := r.document("manifest", d)
	if err != nil {
		return Image{}, err
	}
	var doc manifestJSON
	if err := decode("manifest", data, &doc); err != nil {
		return Image{}, err
	}
	if err := typed("manifest", doc.SchemaVersion, doc.MediaType, ManifestType); err != nil {
		return Image{}, err
	}
	if n := len(doc.Layers); n == 0 || n > maxLayers {
		return Image{}, fmt.Errorf("%w: the manifest names %d layers, want 1 to %d", ErrLayout, n, maxLayers)
	}
	image := Image{Descriptor: d, Platform: platform, Annotations: doc.Annotations}
	config, diffIDs, err := r.config(doc.Config, platform)
	if err != nil {
		return Image{}, err
	}
	if len(diffIDs) != len(doc.Layers) {
		return Image{}, fmt.Errorf("%w: it tells of %d layers, and the manifest names %d", ErrDiffID, len(diffIDs), len(doc.Layers))
	}
	image.Config = config
	for n, named := range doc.Layers {
		what := fmt.Sprintf("layer %d", n+1)
		d, err := named.of(what, LayerType, maxLayer)
		if err != nil {
			return Image{}, err
		}
		layer, err := r.layer(what, d)
		if err != nil {
			return Image{}, err
		}
		if layer.DiffID != diffIDs[n] {
			return Image{}, fmt.Errorf("%w: %s is %s, not %s", ErrDiffID, what, layer.DiffID, diffIDs[n])
		}
		image.Layers = append(image.Layers, layer)
	}
	return image, stacked(image.Layers)
}

func (r *reader) config(named descriptorJSON, platform artifact.Platform) (Config, []artifact.Digest, error) {
	const what = "configuration"
	fail := func(err error) (Config, []artifact.Digest, error) { return Config{}, nil, err }
	d, err := named.of(what, ConfigType, MaxDocument)
	if err != nil {
		return fail(err)
	}
	data, err := r.document(what, d)
	if err != nil {
		return fail(err)
	}
	var doc configJSON
	if err := decode(what, data, &doc); err != nil {
		return fail(err)
	}
	if got := (artifact.Platform{OS: doc.OS, Arch: doc.Architecture, Variant: doc.Variant}); got != platform {
		return fail(fmt.Errorf("%w: the configuration is for %.100q", ErrPlatform, got.String()))
	}
	config, err := doc.of(d)
	return config, doc.RootFS.DiffIDs, err
}

// document reads a small blob whole.
func (r *reader) document(what string, d Descriptor) ([]byte, error) {
	if d.Size > MaxDocument {
		return nil, tooLarge(what, d.Size, MaxDocument)
	}
	b, err := r.blob(what, d, MaxDocument)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	data, _ := io.ReadAll(b) // b keeps its error
	if b.err == nil && len(data) > MaxDocument {
		return nil, tooLarge(what, b.n, MaxDocument)
	}
	return data, b.check(nil)
}

func tooLarge(what string, size, max int64) error {
	return fmt.Errorf("%w: the %s has %d bytes, more than %d", unpack.ErrTooLarge, what, size, max)
}

// A blob is read no further than its descriptor says and one byte.
type blob struct {
	in   io.Reader
	what string
	want Descriptor
	sum  hash.Hash
	n    int64
	err  error // of the source
	io.Closer
}

func (r *reader) blob(what string, d Descriptor, max int64) (*blob, error) {
	in, err := r.from.Blob(r.ctx, d)
	if err != nil {
		return nil, fmt.Errorf("reading the %s %s: %w", what, d.Digest, err)
	}
	if d.Size >= 0 {
		max = d.Size
	}
	return &blob{in: io.LimitReader(unpack.Cancellable(r.ctx, in), max+1), what: what, want: d, sum: sha256.New(), Closer: in}, nil
}

func (b *blob) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.n += int64(n)
	b.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// check holds the blob against its descriptor, when the reading of it ended
// with why. That the source failed, or gave another blob than the one that is
// named, says more than what was found in it.
func (b *blob) check(why error) error {
	if why != nil && b.err == nil {
		_, _ = io.Copy(io.Discard, b) // b keeps its error
	}
	switch got := digestOf(b.sum); {
	case b.err != nil:
		return fmt.Errorf("reading the %s %s: %w", b.what, b.want.Digest, b.err)
	case b.want.Size >= 0 && b.n != b.want.Size:
		return fmt.Errorf("%w: the %s %s has another size than %d bytes", ErrDigest, b.what, b.want.Digest, b.want.Size)
	case got != b.want.Digest:
		return fmt.Errorf("%w: the %s is %s, not %s", ErrDigest, b.what, got, b.want.Digest)
	}
	return why
}

func digestOf(h hash.Hash) artifact.Digest {
	d, _ := artifact.ParseDigest(fmt.Sprintf("sha256:%x", h.Sum(nil)))
	return d
}
