package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
)

// An Entry is what a step left: the directory that holds it and its files,
// sorted by name, as they were when it was made. Who reads below Dir by other
// means than Open and CopyTo calls Verify first.
type Entry struct {
	Dir   string
	Files []artifact.File
}

// File is the record of the file called name, a slash-separated path.
func (e Entry) File(name string) (artifact.File, bool) {
	i, ok := slices.BinarySearchFunc(e.Files, name, func(f artifact.File, name string) int {
		return strings.Compare(f.Name, name)
	})
	if !ok {
		return artifact.File{}, false
	}
	return e.Files[i], true
}

// Open reads the file called name. Where a reader would meet its end, what has
// been read is held against the recorded size and digest: the Read that would
// return io.EOF returns ErrCorrupt if it differs. So nothing that was read may
// be used before that Read.
func (e Entry) Open(name string) (io.ReadCloser, error) {
	want, ok := e.File(name)
	if !ok {
		return nil, fmt.Errorf("opening %s: %w", filepath.Join(e.Dir, filepath.FromSlash(name)), fs.ErrNotExist)
	}
	root, err := os.OpenRoot(e.Dir)
	if err != nil {
		return nil, e.corrupt(name, err)
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, e.corrupt(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, e.corrupt(name, errors.New("is not a regular file"))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, e.corrupt(name, err)
	}
	return &checked{f: f, want: want, hash: sha256.New(), entry: e}, nil
}

func (e Entry) corrupt(name string, why error) error {
	if errors.Is(why, fs.ErrNotExist) {
		why = errors.New("is missing")
	}
	return fmt.Errorf("%w: %s: %w; remove %s", ErrCorrupt,
		filepath.Join(e.Dir, filepath.FromSlash(name)), why, filepath.Dir(e.Dir))
}

// checked is what Open returns.
type checked struct {
	f     *os.File
	want  artifact.File
	hash  hash.Hash
	n     int64
	entry Entry
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	switch {
	case c.n > c.want.Size:
		return 0, c.entry.corrupt(c.want.Name, errors.New("has grown"))
	case err == io.EOF && c.n < c.want.Size:
		return n, c.entry.corrupt(c.want.Name, fmt.Errorf("has %d bytes instead of %d", c.n, c.want.Size))
	case err == io.EOF && hex.EncodeToString(c.hash.Sum(nil)) != c.want.Digest.Hex():
		return n, c.entry.corrupt(c.want.Name, errors.New("was changed: its digest differs"))
	}
	return n, err
}

func (c *checked) Close() error { return c.f.Close() }

// CopyTo puts the file called name at dst with mode perm, as WriteFile does,
// and only if it is what was recorded.
func (e Entry) CopyTo(name, dst string, perm fs.FileMode) error {
	r, err := e.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	return WriteFile(dst, perm, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Verify holds everything below Dir against the record: each file's size, mode
// and digest, and that there is no other file and nothing that is not a file or
// a directory. It changes nothing.
func (e Entry) Verify(ctx context.Context) error {
	names, err := list(e.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w; remove %s", ErrCorrupt, err, filepath.Dir(e.Dir))
	}
	for _, name := range names {
		if _, ok := e.File(name); !ok {
			return e.corrupt(name, errors.New("is not in the record"))
		}
	}
	return inParallel(ctx, len(e.Files), func(i int) error {
		want := e.Files[i]
		info, err := os.Lstat(filepath.Join(e.Dir, filepath.FromSlash(want.Name)))
		if err != nil {
			return e.corrupt(want.Name, err)
		}
		if got := octal(info.Mode()); got != want.Mode {
			return e.corrupt(want.Name, fmt.Errorf("has mode %s instead of %s", got, want.Mode))
		}
		r, err := e.Open(want.Name)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	})
}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }

// record gives every file below dir its mode, puts it on disk and says what it
// is. The directories are put on disk too.
func record(ctx context.Context, dir string) ([]artifact.File, error) {
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	files := make([]artifact.File, len(names))
	err = inParallel(ctx, len(names), func(i int) error {
		file, err := recordFile(dir, names[i])
		files[i] = file
		return err
	})
	if err != nil {
		return nil, err
	}
	return files, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
		return SyncFolder(path)
	})
}

func recordFile(dir, name string) (artifact.File, error) {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return artifact.File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return artifact.File{}, err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	if err := f.Chmod(mode); err != nil {
		return artifact.File{}, err
	}
	digest, size, err := artifact.DigestReader(f)
	if err != nil {
		return artifact.File{}, err
	}
	return artifact.File{Name: name, Mode: octal(mode), Size: size, Digest: digest}, f.Sync()
}

// list is the regular files below dir, sorted, or an error if there is
// anything else than files and directories.
func list(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a regular file nor a directory", path)
		}
		rel, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	slices.Sort(names)
	return names, err
}

// inParallel calls do for 0 to n-1 and returns the first error it meets.
func inParallel(ctx context.Context, n int, do func(i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // half of them wait for the disk
	for i := range n {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error { return do(i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
