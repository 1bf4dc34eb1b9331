package patchtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"

	"palisade/magefiles/internal/source"
	"palisade/recipes"
)

// besideDir holds the patched modules that the tested one is compiled with,
// beside its tree on the host and beside /src in the sandbox: the go.mod that
// names them is the same for both.
const besideDir = "beside"

// lay puts the subject's tree, and the trees of what it is compiled with, into
// work. Only where there are such is the tree's lock changed: it requires them
// at their versions, takes them from their directories, and is completed. The
// lock that it returns is what is to be fetched.
func (b *Bench) lay(ctx context.Context, work string, s Subject) (tree string, lock recipes.Lock, err error) {
	tree = filepath.Join(work, "tree")
	if err := b.unpack(ctx, tree, s); err != nil {
		return "", lock, err
	}
	if err := os.Mkdir(filepath.Join(work, besideDir), 0o700); err != nil {
		return "", lock, err
	}
	var beside []string // module paths
	edited, err := editGoMod(tree, func(f *modfile.File) error {
		for _, other := range s.Beside {
			if !requires(f, other.Module.Path) {
				continue
			}
			name := recipes.ShortName(other.Module.Path)
			if err := b.unpack(ctx, filepath.Join(work, besideDir, name), other); err != nil {
				return err
			}
			if err := f.AddRequire(other.Module.Path, other.Module.Version); err != nil {
				return err
			}
			if err := f.AddReplace(other.Module.Path, "", "../"+besideDir+"/"+name, ""); err != nil {
				return err
			}
			beside = append(beside, other.Module.Path)
		}
		return nil
	})
	if err != nil {
		return "", lock, err
	}
	if len(beside) > 0 {
		if err := os.WriteFile(filepath.Join(tree, "go.mod"), edited, 0o600); err != nil {
			return "", lock, err
		}
		if err := b.Modules.TidyDir(ctx, tree); err != nil {
			return "", lock, err
		}
	}
	lock, err = readLock(tree)
	if err != nil || len(beside) == 0 {
		return tree, lock, err
	}
	// What is taken from a directory is not fetched. A tidy go.mod lists
	// everything else by itself.
	lock.GoMod, err = editGoMod(tree, func(f *modfile.File) error {
		for _, name := range beside {
			if err := errors.Join(f.DropReplace(name, ""), f.DropRequire(name)); err != nil {
				return err
			}
		}
		return nil
	})
	return tree, lock, err
}

// unpack lays out at dir what the subject's patches make of upstream's source,
// with its web interface.
func (b *Bench) unpack(ctx context.Context, dir string, s Subject) error {
	upstream, err := b.Modules.One(ctx, s.Module, s.Sum)
	if err != nil {
		return err
	}
	if err := source.Unpack(dir, upstream, s.Series); err != nil {
		return err
	}
	if s.Interface != nil {
		if err := os.CopyFS(dir, s.Interface); err != nil { // refuses a file that is there
			return fmt.Errorf("adding the web interface: %w", err)
		}
	}
	return makePrivate(dir)
}

// editGoMod returns the tree's go.mod with an edit.
func editGoMod(tree string, edit func(*modfile.File) error) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	if err := edit(f); err != nil {
		return nil, fmt.Errorf("changing go.mod: %w", err)
	}
	f.Cleanup()
	return f.Format()
}

func requires(f *modfile.File, path string) bool {
	for _, r := range f.Require {
		if r.Mod.Path == path {
			return true
		}
	}
	return false
}

// readLock is what the tree's own go.mod and go.sum say: tests need modules
// that no recipe links.
func readLock(tree string) (lock recipes.Lock, err error) {
	if lock.GoMod, err = os.ReadFile(filepath.Join(tree, "go.mod")); err != nil {
		return lock, err
	}
	if lock.GoSum, err = os.ReadFile(filepath.Join(tree, "go.sum")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return lock, err
	}
	lock.Sums, err = recipes.ParseSums("go.sum", lock.GoSum)
	return lock, err
}
