package handover

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
	"palisade/magefiles/internal/store"
)

// headerName is the first member of every hand-over.
const headerName = "handover.json"

// block is what tar counts in.
const block = 512

// All is what Files keeps if nothing is to be left out.
func All(string) bool { return true }

// Files are the files below root that keep says, with their digests, as a Header
// has them. What is neither file nor folder is refused.
func Files(ctx context.Context, root *os.Root, keep func(name string) bool) ([]artifact.File, error) {
	var files []artifact.File
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !keep(name) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s in %s is neither a regular file nor a folder", name, root.Name())
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		digest, size, err := artifact.DigestReader(unpack.Cancellable(ctx, f))
		files = append(files, artifact.File{Name: name, Size: size, Digest: digest})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is handed over: %w", err)
	}
	sortFiles(files) // WalkDir's order is not that of names
	return files, nil
}

// Write puts the files of h, which lie below root, into the file called file,
// whole or not at all, and returns its digest. What is there by that name is
// replaced. A file that is not what h says of it is refused.
func Write(ctx context.Context, file string, h Header, root *os.Root) (artifact.Digest, error) {
	h.Schema = Schema
	data, err := h.Encode()
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("handing over %s: %w", filepath.Base(file), err)
	}
	whole := &digesting{sum: sha256.New()}
	err = store.WriteFile(file, 0o644, func(w io.Writer) error {
		out := io.MultiWriter(w, whole.sum)
		if err := member(out, headerName, int64(len(data)), bytes.NewReader(data)); err != nil {
			return err
		}
		for _, f := range h.Files {
			if err := copyFile(ctx, out, root, f); err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		_, err := out.Write(make([]byte, 2*block))
		return err
	})
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("handing over: %w", err)
	}
	return whole.digest()
}

func copyFile(ctx context.Context, w io.Writer, root *os.Root, f artifact.File) error {
	in, err := root.Open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != f.Size {
		return fmt.Errorf("it changed meanwhile: it is no file of %d bytes any more", f.Size)
	}
	content := digestingOf(ctx, in)
	if err := member(w, f.Name, f.Size, content); err != nil {
		return err
	}
	if digest, err := content.digest(); err != nil || digest != f.Digest {
		return errors.Join(err, fmt.Errorf("it changed meanwhile: it has not the digest %s any more", f.Digest))
	}
	return nil
}

// member writes a member: header, content and what fills its last block.
func member(w io.Writer, name string, size int64, content io.Reader) error {
	head, err := headOf(name, size)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(content, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = w.Write(make([]byte, padding(size)))
	}
	return err
}

// headOf is the header of a member.
func headOf(name string, size int64) ([]byte, error) {
	var buf bytes.Buffer
	err := tar.NewWriter(&buf).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: unpack.PlainMode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err == nil && buf.Len() != block {
		err = errors.New("its header has another size than that of USTAR")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q: %w", ErrMalformed, name, err)
	}
	return buf.Bytes(), nil
}

// padding is how many zeros follow a content.
func padding(size int64) int64 { return -size & (block - 1) }
