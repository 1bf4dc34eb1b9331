package ocilayout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// A Layout is an image in an OCI image layout (image-layout.md).
type Layout struct {
	Index
	Ref string // what the layout calls the image: its annotation RefName

	file io.ReaderAt
	at   map[artifact.Digest]extent
}

// An extent is where a blob lies in the file.
type extent struct{ offset, size int64 }

// Open reads an image layout of one image from an uncompressed tar file of that
// size, to its last byte. r has to stay open while the Layout is used.
func Open(ctx context.Context, r io.ReaderAt, size int64, v Visitor) (*Layout, error) {
	l := &Layout{file: r, at: map[artifact.Digest]extent{}}
	if err := l.open(ctx, size, v); err != nil {
		return nil, fmt.Errorf("reading an image layout: %w", err)
	}
	return l, nil
}

const (
	layoutName  = "oci-layout"
	indexName   = "index.json"
	blobsFolder = "blobs"
	hashFolder  = "blobs/sha256"
)

func (l *Layout) open(ctx context.Context, size int64, v Visitor) error {
	var version, index, docker []byte
	section := io.NewSectionReader(l.file, 0, size)
	err := unpack.Tar(section, func(e unpack.Entry, content io.Reader) (err error) {
		hex, isBlob := strings.CutPrefix(e.Name, hashFolder+"/")
		switch {
		case e.Folder && (e.Name == blobsFolder || e.Name == hashFolder):
		case !e.Folder && e.Name == layoutName:
			version, err = small(e, content)
		case !e.Folder && e.Name == indexName:
			index, err = small(e, content)
		case !e.Folder && e.Name == DockerName:
			docker, err = small(e, content)
		case !e.Folder && isBlob:
			err = l.found(hex, e.Size, section)
		default:
			err = fmt.Errorf("%w: %.200q has no place in it", ErrUnreferenced, e.Name)
		}
		return err
	})
	if err != nil {
		return err
	}
	d, err := l.named(version, index)
	if err != nil {
		return err
	}
	used := map[artifact.Digest]bool{}
	read, err := Read(ctx, d, using{l, used}, v)
	if err != nil {
		return err
	}
	l.Index = *read
	if want, err := l.dockerManifest(); err != nil {
		return err
	} else if !bytes.Equal(docker, want) {
		return fmt.Errorf("%w: its %s does not tell Docker of the same images", ErrLayout, DockerName)
	}
	for _, d := range slices.SortedFunc(maps.Keys(l.at), func(a, b artifact.Digest) int { return strings.Compare(a.Hex(), b.Hex()) }) {
		if !used[d] {
			return fmt.Errorf("%w: %s", ErrUnreferenced, d)
		}
	}
	return nil
}

func small(e unpack.Entry, content io.Reader) ([]byte, error) {
	if e.Size > MaxDocument {
		return nil, tooLarge(e.Name, e.Size, MaxDocument)
	}
	data, err := io.ReadAll(content)
	return data, cut(e.Name, err)
}

// found remembers the blob that begins where the file now stands.
func (l *Layout) found(hex string, size int64, file *io.SectionReader) error {
	d, err := artifact.ParseDigest("sha256:" + hex)
	if err != nil {
		return fmt.Errorf("%w: a blob is called %.200q", ErrLayout, hex)
	}
	offset, err := file.Seek(0, io.SeekCurrent)
	l.at[d] = extent{offset, size}
	return err
}

// named is the descriptor of the one index that the layout is of.
func (l *Layout) named(version, index []byte) (Descriptor, error) {
	if version == nil || index == nil {
		return Descriptor{}, fmt.Errorf("%w: it lacks %s or %s", ErrLayout, layoutName, indexName)
	}
	var v layoutJSON
	if err := decode(layoutName, version, &v); err != nil {
		return Descriptor{}, err
	}
	if v.Version != "1.0.0" {
		return Descriptor{}, fmt.Errorf("%w: it is of version %.60q, want 1.0.0", ErrLayout, v.Version)
	}
	var i indexJSON
	if err := decode(indexName, index, &i); err != nil {
		return Descriptor{}, err
	}
	// Of this file alone the specification leaves the media type open.
	if i.MediaType == "" {
		i.MediaType = IndexType
	}
	if err := typed(indexName, i.SchemaVersion, i.MediaType, IndexType); err != nil {
		return Descriptor{}, err
	}
	if len(i.Manifests) != 1 {
		return Descriptor{}, fmt.Errorf("%w: it holds %d images, want 1", ErrLayout, len(i.Manifests))
	}
	l.Ref = i.Manifests[0].Annotations[RefName]
	return i.Manifests[0].of("image of "+indexName, IndexType, MaxDocument)
}

// Blob opens a blob of the layout, which nothing can have changed since it was
// read but whoever writes to the file.
func (l *Layout) Blob(_ context.Context, d Descriptor) (io.ReadCloser, error) {
	e, there := l.at[d.Digest]
	if !there {
		return nil, fmt.Errorf("%w: %s", ErrMissing, d.Digest)
	}
	return io.NopCloser(io.NewSectionReader(l.file, e.offset, e.size)), nil
}

// using remembers which blobs were asked for.
type using struct {
	*Layout
	used map[artifact.Digest]bool
}

func (u using) Blob(ctx context.Context, d Descriptor) (io.ReadCloser, error) {
	u.used[d.Digest] = true
	return u.Layout.Blob(ctx, d)
}
