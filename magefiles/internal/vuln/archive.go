package vuln

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// ErrArchive is wrapped by every refusal of an archive that is not the one of its
// record.
var ErrArchive = errors.New("the archive is not what release.json says")

// archive is what db knows of the binaries in the archive of r.
func (o Options) archive(ctx context.Context, db Database, dir string, r artifact.Record) ([]Finding, error) {
	scratch, err := os.MkdirTemp(o.Scratch, "vuln-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	home := filepath.Join(scratch, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	if len(r.Binaries) == 0 {
		return nil, fmt.Errorf("%w: it names no binary", ErrArchive)
	}
	if err := unpacked(ctx, filepath.Join(dir, r.Name), r, scratch); err != nil {
		return nil, err
	}
	var all [][]Finding
	for i := range r.Binaries {
		found, err := Scan(ctx, db, filepath.Join(scratch, binaryName(i)), home)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Binaries[i].Name, err)
		}
		all = append(all, found)
	}
	return merge(all...), nil
}

// binaryName is what the i-th binary of a record is called in scratch: nothing that
// came from outside.
func binaryName(i int) string { return fmt.Sprintf("binary-%d", i) }

// unpacked writes the binaries of r, and nothing else, out of its archive. No
// system runs them where they lie.
func unpacked(ctx context.Context, name string, r artifact.Record, scratch string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	digest, size, err := artifact.DigestReader(unpack.Cancellable(ctx, f))
	if err != nil {
		return err
	}
	if digest != r.Digest || size != r.Size {
		return fmt.Errorf("%w: it has the digest %s", ErrArchive, digest)
	}
	left := len(r.Binaries)
	see := func(name string, content io.Reader) error {
		i := slices.IndexFunc(r.Members, func(m artifact.File) bool { return m.Name == name })
		if i < 0 {
			return fmt.Errorf("%w: %.200q is not listed there", ErrArchive, name)
		}
		m := r.Members[i]
		n := slices.IndexFunc(r.Binaries, func(b artifact.Binary) bool { return b.Name == path.Base(m.Name) && b.Digest == m.Digest })
		if n < 0 {
			return nil
		}
		left--
		return write(filepath.Join(scratch, binaryName(n)), content, r.Binaries[n])
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if strings.HasSuffix(r.Name, ".zip") {
		err = eachOfZip(f, size, see)
	} else {
		err = unpack.TarGz(unpack.Cancellable(ctx, f), func(e unpack.Entry, content io.Reader) error {
			if e.Folder {
				return nil
			}
			return see(e.Name, content)
		})
	}
	if err == nil && left != 0 {
		err = fmt.Errorf("%w: %d of its binaries are missing, or there twice", ErrArchive, left)
	}
	return err
}

func eachOfZip(r io.ReaderAt, size int64, see func(string, io.Reader) error) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		err = see(f.Name, content)
		content.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes a binary that has to be the one of the record, and so is no larger.
func write(name string, content io.Reader, b artifact.Binary) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(content, b.Size+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != b.Digest.Hex() {
		return fmt.Errorf("%w: it holds another %s, sha256:%s", ErrArchive, b.Name, got)
	}
	return nil
}
