package patches

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of what Apply holds in memory, in bytes.
const (
	maxSourceSize = 16 << 20 // a file to be changed, or its result
	maxTreeSize   = 64 << 20 // the results of all patches together
)

// A tree is what lies below root with the changes that are not yet written.
type tree struct {
	root  *os.Root
	files map[string]*file // every file that a patch speaks of
	size  int64            // of all results so far
}

type file struct {
	data   []byte
	perm   fs.FileMode
	exists bool // after the patches so far
	onDisk bool
}

// lookup returns the file called name as the patches so far leave it. One that
// is not there is no error; one that is no regular file, or lies behind a
// symbolic link, is.
func (t *tree) lookup(name string) (*file, error) {
	if f, ok := t.files[name]; ok {
		return f, nil
	}
	f := &file{perm: 0o644}
	switch there, err := t.directories(path.Dir(name)); {
	case err != nil:
		return nil, err
	case there:
		if err := t.read(name, f); err != nil {
			return nil, err
		}
	}
	t.files[name] = f
	return f, nil
}

// directories reports whether dir is there. Anything but a directory on the
// way is an error, for behind a link one file would have two names.
func (t *tree) directories(dir string) (bool, error) {
	if dir == "." {
		return true, nil
	}
	there, err := t.directories(path.Dir(dir))
	if err != nil || !there {
		return false, err
	}
	if f, ok := t.files[dir]; ok && f.onDisk {
		if f.exists {
			return false, fmt.Errorf("%w: %s is a file", ErrDrift, dir)
		}
		return false, nil
	}
	info, err := t.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, fmt.Errorf("%s is not a directory but %s", dir, info.Mode().Type())
	}
	return true, nil
}

func (t *tree) read(name string, f *file) error {
	info, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file but %s", info.Mode().Type())
	}
	r, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if f.data, err = io.ReadAll(io.LimitReader(r, maxSourceSize+1)); err != nil {
		return err
	}
	if len(f.data) > maxSourceSize {
		return fmt.Errorf("larger than %d bytes", maxSourceSize)
	}
	f.perm, f.exists, f.onDisk = info.Mode().Perm(), true, true
	return nil
}

// vacant refuses a new file whose name another new file needs as a directory,
// or the other way round. What is on disk lookup has seen.
func (t *tree) vacant(name string) error {
	for _, other := range slices.Sorted(maps.Keys(t.files)) {
		if t.files[other].exists && (strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/")) {
			return fmt.Errorf("cannot be beside %s: one would be the other's directory", other)
		}
	}
	return nil
}

// write brings the tree on disk to the state in memory: deletions first, for a
// file may have become a directory.
func (t *tree) write() error {
	names := slices.Sorted(maps.Keys(t.files))
	for _, name := range names {
		if f := t.files[name]; f.onDisk && !f.exists {
			if err := t.root.Remove(name); err != nil {
				return fmt.Errorf("writing patched tree: %w", err)
			}
		}
	}
	for _, name := range names {
		if f := t.files[name]; f.exists {
			if err := t.replace(name, f); err != nil {
				return fmt.Errorf("writing patched tree: %w", err)
			}
		}
	}
	return nil
}

// replace never writes into the old file, which may be a hard link to a store.
func (t *tree) replace(name string, f *file) error {
	if err := t.makeDirectories(path.Dir(name)); err != nil {
		return err
	}
	temp := name + ".palisade-tmp"
	w, err := t.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.perm)
	if err != nil {
		return err
	}
	_, err = w.Write(f.data)
	// The umask does not decide what a patched tree looks like.
	err = errors.Join(err, w.Chmod(f.perm), w.Sync(), w.Close())
	if err != nil {
		return err
	}
	return t.root.Rename(temp, name)
}

func (t *tree) makeDirectories(dir string) error {
	if dir == "." {
		return nil
	}
	if err := t.makeDirectories(path.Dir(dir)); err != nil {
		return err
	}
	err := t.root.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.root.Chmod(dir, 0o755)
}
