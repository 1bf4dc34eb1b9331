package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
)

// blobs are the parts of an image, in files that are called by their digest,
// until all are there: a tar archive says of a file how large it is before it
// holds it.
type blobs struct {
	dir   string
	mu    sync.Mutex
	sizes map[artifact.Digest]int64
}

func newBlobs(dir string) *blobs { return &blobs{dir: dir, sizes: map[artifact.Digest]int64{}} }

func (b *blobs) create() (*os.File, error) { return os.CreateTemp(b.dir, ".blob-*") }

// keep takes a file that was written.
func (b *blobs) keep(f *os.File, d artifact.Digest, size int64) error {
	if err := errors.Join(f.Close(), os.Rename(f.Name(), filepath.Join(b.dir, d.Hex()))); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sizes[d] = size
	return nil
}

// add keeps a document.
func (b *blobs) add(data []byte) error {
	f, err := b.create()
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return b.keep(f, artifact.DigestBytes(data), int64(len(data)))
}

// write writes the image layout of the index, which it calls ref, with the
// same again for Docker.
func (b *blobs) write(ctx context.Context, w io.Writer, epoch time.Time, index, docker []byte, ref string) (artifact.Digest, int64, error) {
	root, err := encode(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{{MediaType: types.OCIImageIndex, Digest: hashOf(artifact.DigestBytes(index)), Size: int64(len(index)), Annotations: map[string]string{ocilayout.RefName: ref}}},
	})
	if err != nil {
		return artifact.Digest{}, 0, err
	}
	entries := []entry{
		folder("blobs", 0o755, 0), folder("blobs/sha256", 0o755, 0),
		text("index.json", root), text(ocilayout.DockerName, docker), text("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)),
	}
	for d, size := range b.sizes {
		entries = append(entries, entry{
			name: "blobs/sha256/" + d.Hex(), mode: 0o644, size: size, want: d,
			open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(b.dir, d.Hex())) },
		})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	whole := &counter{sum: sha256.New()}
	tw := tar.NewWriter(io.MultiWriter(w, whole))
	for _, e := range entries {
		if _, err := e.write(ctx, tw, epoch); err != nil {
			return artifact.Digest{}, 0, err
		}
	}
	if err := tw.Close(); err != nil {
		return artifact.Digest{}, 0, err
	}
	return sumOf(whole.sum), whole.n, nil
}
