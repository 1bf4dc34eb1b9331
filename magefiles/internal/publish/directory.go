package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/store"
)

// Free refuses a directory in which the version is of other files (ErrTag), and
// reports whether it has these. There need be no directory.
func (r *Release) Free(ctx context.Context, dir, version string) (there bool, err error) {
	folder, err := os.OpenRoot(filepath.Join(dir, consume.Tag(version)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer folder.Close()
	l, err := consume.Describe(ctx, folder)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || !reflect.DeepEqual(l, r.Listing) {
		return false, errors.Join(fmt.Errorf("%w: %s has other files: a version is released once, and not changed afterwards; release the next one, or remove the folder if nobody can have it",
			ErrTag, folder.Name()), err)
	}
	return true, nil
}

// ToDirectory puts the files into the folder vVERSION of a directory, whole and on
// disk or not at all, and reports whether they were there. judge, if it is not nil,
// is asked about the folder before it has its name, and about one that was there as
// well: nobody knows who put it there, or what else he put into it.
func (r *Release) ToDirectory(ctx context.Context, dir, version string, judge func(ctx context.Context, folder string) error) (there bool, err error) {
	there, err = r.toDirectory(ctx, dir, version, judge)
	if err != nil {
		err = fmt.Errorf("publishing %s in %s: %w", version, dir, err)
	}
	return there, err
}

func (r *Release) toDirectory(ctx context.Context, dir, version string, judge func(context.Context, string) error) (bool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	unlock, err := store.LockFolder(ctx, dir)
	if err != nil {
		return false, err
	}
	defer unlock()
	there, err := r.Free(ctx, dir, version)
	if there && judge != nil {
		err = judge(ctx, filepath.Join(dir, consume.Tag(version)))
	}
	if err != nil || there {
		return there && err == nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	name := consume.Tag(version)
	temporary := "." + name + ".tmp" // nobody else's, under the lock
	if err := root.RemoveAll(temporary); err != nil {
		return false, err
	}
	if err := root.Mkdir(temporary, 0o700); err != nil {
		return false, err
	}
	err = r.fill(ctx, root, temporary)
	if err == nil && judge != nil {
		err = judge(ctx, filepath.Join(dir, temporary))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		return false, errors.Join(err, root.RemoveAll(temporary))
	}
	return false, store.SyncFolder(dir)
}

// fill copies the files into a folder, for everybody to read.
func (r *Release) fill(ctx context.Context, root *os.Root, name string) error {
	folder, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := consume.Copy(ctx, r.root, folder, r.Listing); err != nil {
		return err
	}
	return fs.WalkDir(folder.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return folder.Chmod(name, 0o644)
		}
		err = folder.Chmod(name, 0o755)
		if err == nil {
			err = store.SyncFolder(filepath.Join(folder.Name(), filepath.FromSlash(name)))
		}
		return err
	})
}
