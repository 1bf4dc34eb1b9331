package dist

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// OpenCollected is Open for a directory without loose binaries: a release that
// was put together of what other machines built.
func OpenCollected(dir, distribution string, s *store.Store) (*Dir, error) {
	d, err := Open(dir, distribution, s)
	if err == nil {
		d.collected = true
	}
	return d, err
}

// Collect makes a release of the artifacts of m, whose files lie in the directory
// already, each held against its record: SHA256SUMS, and release.json last. Images
// that the index had stay as long as they are of these artifacts.
func (d *Dir) Collect(ctx context.Context, m *artifact.Manifest) error {
	unlock, err := Lock(ctx, d.store, d.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if m.Distribution != d.name || len(m.Images) > 0 {
		return fmt.Errorf("collecting a release in %s: it is of %q, not of %q, or says what its images are", d.dir, m.Distribution, d.name)
	}
	for _, r := range m.Artifacts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.held(r); err != nil {
			return fmt.Errorf("collecting %s: %w", r.Name, err)
		}
	}
	index, before, err := d.index()
	if err != nil {
		return err
	}
	index.Artifacts = m.Artifacts
	dropStale(index, before)
	return d.settle(index)
}

// held reads the files of one artifact: nothing is believed of what lies in
// the directory.
func (d *Dir) held(r artifact.Record) error {
	for _, f := range Beside(r) {
		name := filepath.Join(d.dir, f.Name)
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", f.Name)
		}
		digest, size, err := artifact.DigestFile(name)
		if err != nil {
			return err
		}
		if !f.Digest.IsZero() && (digest != f.Digest || size != f.Size) {
			return fmt.Errorf("%s has the digest %s, and its record says %s", f.Name, digest, f.Digest)
		}
	}
	return nil
}

// Beside are the files of an artifact that lie directly in a directory: archive,
// document and provenance. Of the last the record has no digest.
func Beside(r artifact.Record) []artifact.File {
	files := []artifact.File{{Name: r.Name, Size: r.Size, Digest: r.Digest}, {Name: Provenance(r)}}
	for _, f := range r.Documents {
		if path.Dir(f.Name) == "." {
			files = append(files, f)
		}
	}
	return files
}

// BesideImage are the files of an image, likewise.
func BesideImage(i artifact.Image) []artifact.File {
	files := []artifact.File{{Name: i.Name, Size: i.Size, Digest: i.Digest}, {Name: ImageProvenance(i)}}
	return append(files, i.Documents...)
}
