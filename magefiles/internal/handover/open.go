package handover

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// A Want is which hand-over to open: of that step and plan, and the one that Digests
// have under its key.
type Want struct {
	Step    string
	Plan    artifact.Digest
	Digests Digests
}

// A File is a hand-over that was read to its end, and refused nothing.
type File struct {
	f      *os.File
	header Header
	digest artifact.Digest
	begin  int64 // of the first member behind handover.json
}

// Open reads the hand-over called name.
func Open(ctx context.Context, name string, w Want) (*File, error) {
	info, err := os.Stat(name) // a FIFO would be waited for
	if err != nil {
		return nil, fmt.Errorf("opening a hand-over: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening a hand-over: %w: %s is no regular file", ErrMalformed, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening a hand-over: %w", err)
	}
	opened := &File{f: f}
	if err := opened.read(ctx, w); err != nil {
		f.Close()
		return nil, fmt.Errorf("opening the hand-over %s: %w", name, err)
	}
	return opened, nil
}

func (f *File) read(ctx context.Context, w Want) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > MaxHeader+unpack.MaxUnpacked+unpack.MaxMembers*3*block {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, info.Size())
	}
	whole := digestingOf(ctx, f.f)
	if f.header, f.begin, err = readHeader(whole); err != nil {
		return err
	}
	if want := sizeOf(f.begin, f.header); info.Size() != want {
		return fmt.Errorf("%w: it has %d bytes, and of what %s names it would have %d", ErrMalformed, info.Size(), headerName, want)
	}
	err = f.header.members(whole, func(artifact.File, *digesting) error { return nil })
	if err != nil {
		return err
	}
	if f.digest, err = whole.digest(); err != nil {
		return err
	}
	if err := w.Digests.Hold(Key(f.header.Step, f.header.Shard), f.digest); err != nil {
		return err
	}
	switch {
	case f.header.Step != w.Step:
		return fmt.Errorf("%w: it is of release:%s, not of release:%s", ErrStep, f.header.Step, w.Step)
	case f.header.Plan != w.Plan:
		return fmt.Errorf("%w: it is of plan %s, not of %s: run the step before again, with this plan, or remove it", ErrPlan, f.header.Plan, w.Plan)
	}
	return nil
}

// readHeader reads the first member and says where the next begins.
func readHeader(r io.Reader) (h Header, end int64, err error) {
	head := make([]byte, block)
	if _, err := io.ReadFull(r, head); err != nil {
		return h, 0, cut(err)
	}
	parsed, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err != nil {
		return h, 0, fmt.Errorf("%w: it does not begin with %s: %w", ErrMalformed, headerName, err)
	}
	size := parsed.Size
	if size < 0 || size > MaxHeader {
		return h, 0, fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, headerName, size)
	}
	if want, err := headOf(headerName, size); err != nil || !bytes.Equal(want, head) {
		return h, 0, fmt.Errorf("%w: it does not begin with %s, a plain file", ErrMalformed, headerName)
	}
	var data bytes.Buffer // grows with what comes, not with what is claimed
	if _, err := io.CopyN(&data, r, size); err != nil {
		return h, 0, cut(err)
	}
	if err := zeros(r, padding(size)); err != nil {
		return h, 0, fmt.Errorf("behind %s: %w", headerName, err)
	}
	h, err = ParseHeader(data.Bytes())
	return h, block + size + padding(size), err
}

// sizeOf is how long the archive of a header is.
func sizeOf(begin int64, h Header) int64 {
	total := begin + 2*block
	for _, f := range h.Files {
		total += block + f.Size + padding(f.Size)
	}
	return total
}

// members reads what follows the header, to the end of the archive. What see
// leaves of a content is read all the same.
func (h Header) members(r io.Reader, see func(artifact.File, *digesting) error) error {
	head := make([]byte, block)
	for _, f := range h.Files {
		if _, err := io.ReadFull(r, head); err != nil {
			return cut(err)
		}
		want, err := headOf(f.Name, f.Size)
		if err != nil {
			return err
		}
		if !bytes.Equal(head, want) {
			return fmt.Errorf("%w: where %s names %s, another member stands, or one of another form", ErrMalformed, headerName, f.Name)
		}
		content := &digesting{io.LimitReader(r, f.Size), sha256.New()}
		if err := see(f, content); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
		if err := content.check(f); err != nil {
			return err
		}
		if err := zeros(r, padding(f.Size)); err != nil {
			return fmt.Errorf("behind %s: %w", f.Name, err)
		}
	}
	if err := zeros(r, 2*block); err != nil {
		return fmt.Errorf("at its end: %w", err)
	}
	if err := unpack.AtEnd(r); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// zeros reads n of them.
func zeros(r io.Reader, n int64) error {
	data := make([]byte, n) // of two blocks at most
	if _, err := io.ReadFull(r, data); err != nil {
		return cut(err)
	}
	if strings.Trim(string(data), "\x00") != "" {
		return fmt.Errorf("%w: something stands where nothing may", ErrMalformed)
	}
	return nil
}

// cut is the error of a file that ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrMalformed)
	}
	return err
}

// Header says what it is.
func (f *File) Header() Header { return f.header }

// Digest is that of the whole file.
func (f *File) Digest() artifact.Digest { return f.digest }

// Close gives the file back. What was unpacked stays.
func (f *File) Close() error { return f.f.Close() }

// Unpack puts every file below root, whole or not at all. One that is there
// already with the same content stays as it is; another is replaced; what lies
// there under other names is left alone.
func (f *File) Unpack(ctx context.Context, root *os.Root) error {
	return f.UnpackOnly(ctx, root, All)
}

// UnpackOnly is Unpack for those files that keep says.
func (f *File) UnpackOnly(ctx context.Context, root *os.Root, keep func(name string) bool) error {
	r := unpack.Cancellable(ctx, io.NewSectionReader(f.f, f.begin, sizeOf(f.begin, f.header)-f.begin))
	err := f.header.members(r, func(file artifact.File, content *digesting) error {
		if !keep(file.Name) || there(ctx, root, file) {
			return nil
		}
		return put(root, file, content)
	})
	if err != nil {
		return fmt.Errorf("unpacking the hand-over of release:%s: %w", f.header.Step, err)
	}
	return nil
}

// Read is the content of one file of at most max bytes.
func (f *File) Read(name string, max int64) ([]byte, error) {
	at := f.begin
	for _, file := range f.header.Files {
		at += block
		if file.Name != name {
			at += file.Size + padding(file.Size)
			continue
		}
		if file.Size > max {
			return nil, fmt.Errorf("reading %s of the hand-over of release:%s: %w: %d bytes", name, f.header.Step, ErrTooLarge, file.Size)
		}
		content := &digesting{io.NewSectionReader(f.f, at, file.Size), sha256.New()}
		data, err := io.ReadAll(content)
		if err == nil {
			err = content.check(file)
		}
		return data, err
	}
	return nil, fmt.Errorf("reading the hand-over of release:%s: %w: it holds no %s", f.header.Step, ErrMalformed, name)
}

// there reports whether root has a file already.
func there(ctx context.Context, root *os.Root, f artifact.File) bool {
	info, err := root.Lstat(f.Name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
		return false
	}
	in, err := root.Open(f.Name)
	if err != nil {
		return false
	}
	defer in.Close()
	digest, _, err := artifact.DigestReader(unpack.Cancellable(ctx, in))
	return err == nil && digest == f.Digest
}

// partly is what a file is called until it is whole. No file of a hand-over has
// such a name, see Header.check.
const partly = ".unpacking"

func put(root *os.Root, f artifact.File, content *digesting) error {
	dir := path.Dir(f.Name)
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if info, err := root.Lstat(f.Name); err == nil && info.IsDir() {
		return fmt.Errorf("a folder lies in its place: remove %s", filepath.Join(root.Name(), filepath.FromSlash(f.Name)))
	}
	temporary := path.Join(dir, partly)
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, content); err == nil {
		err = content.check(f)
	}
	if err = errors.Join(err, out.Chmod(0o644), out.Sync(), out.Close()); err == nil {
		err = root.Rename(temporary, f.Name)
	}
	if err != nil {
		_ = root.Remove(temporary)
	}
	return err
}

// Done is the digest of the hand-over called name, if it is there, whole, and
// made by the same step, tool and commit of the same plan, shard and inputs as h
// says: then nothing is left to do. Files of h are not looked at.
func Done(ctx context.Context, name string, h Header) (artifact.Digest, bool) {
	f, err := Open(ctx, name, Want{Step: h.Step, Plan: h.Plan})
	if err != nil {
		return artifact.Digest{}, false
	}
	defer f.Close()
	return f.Digest(), f.header.same(h)
}

// A digesting reader hashes what is read.
type digesting struct {
	r   io.Reader
	sum hash.Hash
}

func digestingOf(ctx context.Context, r io.Reader) *digesting {
	return &digesting{unpack.Cancellable(ctx, r), sha256.New()}
}

func (d *digesting) digest() (artifact.Digest, error) {
	return artifact.ParseDigest("sha256:" + hex.EncodeToString(d.sum.Sum(nil)))
}

func (d *digesting) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.sum.Write(p[:n])
	return n, err
}

func (d *digesting) check(f artifact.File) error {
	got, err := d.digest()
	if err == nil && got != f.Digest {
		err = fmt.Errorf("%w: %s has the digest %s, and %s says %s", ErrMalformed, f.Name, got, headerName, f.Digest)
	}
	return err
}

func sortFiles(files []artifact.File) {
	slices.SortFunc(files, func(a, b artifact.File) int { return strings.Compare(a.Name, b.Name) })
}
