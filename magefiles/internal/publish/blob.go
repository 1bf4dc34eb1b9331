package publish

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"palisade/attestations/artifact"
)

// A blob is what package remote uploads, where the registry does not have it.
// It is opened for nothing else.
type blob struct {
	v1.Descriptor
	open func() (io.ReadCloser, error)
	sent atomic.Bool
}

var _ v1.Layer = (*blob)(nil)

func (b *blob) Digest() (v1.Hash, error)             { return b.Descriptor.Digest, nil }
func (b *blob) DiffID() (v1.Hash, error)             { return v1.Hash{}, errors.ErrUnsupported }
func (b *blob) Size() (int64, error)                 { return b.Descriptor.Size, nil }
func (b *blob) MediaType() (types.MediaType, error)  { return b.Descriptor.MediaType, nil }
func (b *blob) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }
func (b *blob) Compressed() (io.ReadCloser, error) {
	b.sent.Store(true)
	return b.open()
}

// inMemory is a blob of these bytes.
func inMemory(mediaType string, data []byte) *blob {
	d := v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: hashOf(artifact.DigestBytes(data)), Size: int64(len(data))}
	return &blob{Descriptor: d, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// A held reader ends with an error if what it read is not what was wanted, and
// gives the last of it only if it is: whoever knows how much there is reads no
// further, and has not got it whole.
type held struct {
	in   io.Reader
	want artifact.Digest
	left int64 // bytes
	sum  hash.Hash
}

func newHash() hash.Hash { return sha256.New() }

func (h *held) Read(p []byte) (int, error) {
	n, err := h.in.Read(p)
	h.sum.Write(p[:n])
	if h.left -= int64(n); h.left <= 0 || errors.Is(err, io.EOF) {
		if got := hex.EncodeToString(h.sum.Sum(nil)); got != h.want.Hex() {
			return 0, mismatch("what it calls %s is sha256:%s", h.want, got)
		}
	}
	return n, err
}
