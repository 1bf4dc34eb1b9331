package update

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stagePrefix begins the name of the folder in a checkout in which is written
// what is about to be renamed.
const stagePrefix = ".update-"

// A File is what a file of a checkout is to hold. Name is slash-separated and
// below the checkout; without Data it is removed.
type File struct {
	Name string
	Data []byte
}

// Replace gives the checkout at root these files, whole, on disk, and each by one
// rename; those of a folder that is not there by that of the folder. Nothing is
// renamed before all is written, nor once ctx has ended. After an error, the
// checkout is as it was. What a killed run left is removed; so two runs must not
// be in one checkout at once.
func Replace(ctx context.Context, root string, files []File) (err error) {
	dir, err := stage(root)
	if err != nil {
		return fmt.Errorf("writing to the checkout: %w", err)
	}
	defer os.RemoveAll(dir)
	var moves []move
	for i, f := range files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || f.Name != path.Clean(f.Name) {
			return fmt.Errorf("writing to the checkout: %q is no plain path below it", f.Name)
		}
		m, err := prepare(root, filepath.Join(dir, strconv.Itoa(i)), dir, f)
		if err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
		if !slices.ContainsFunc(moves, func(o move) bool { return o.to == m.to }) {
			moves = append(moves, m)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, m := range moves {
		if err := m.do(); err != nil {
			for _, done := range slices.Backward(moves[:i]) {
				err = errors.Join(err, done.undo())
			}
			return fmt.Errorf("writing to the checkout: %w", err)
		}
	}
	return nil
}

// stage makes a folder of its own in the checkout, and so on its file system.
func stage(root string) (string, error) {
	left, err := filepath.Glob(filepath.Join(root, stagePrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, l := range left {
		if err := os.RemoveAll(l); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(root, stagePrefix)
}

// A move puts a file or folder at its place. Its zero from removes what is there.
type move struct{ from, to, former string }

// prepare writes f where it can be renamed from, in a folder of the topmost folder
// that is missing, if one is.
func prepare(root, at, dir string, f File) (move, error) {
	to := filepath.Join(root, filepath.FromSlash(f.Name))
	m := move{to: to, former: at + ".former"}
	for parent := filepath.Dir(to); parent != root; parent = filepath.Dir(parent) {
		if _, err := os.Lstat(parent); errors.Is(err, fs.ErrNotExist) {
			m.to = parent
		} else if err != nil {
			return move{}, err
		}
	}
	if f.Data == nil {
		return m, nil
	}
	if m.from = at; m.to != to {
		rel, err := filepath.Rel(root, m.to)
		if err != nil {
			return move{}, err
		}
		m.from = filepath.Join(dir, "new-"+strings.ReplaceAll(filepath.ToSlash(rel), "/", "+"))
		below, err := filepath.Rel(m.to, to)
		if err != nil {
			return move{}, err
		}
		at = filepath.Join(m.from, below)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return move{}, err
		}
	}
	return m, writeSynced(at, f.Data)
}

func writeSynced(name string, data []byte) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return errors.Join(err, out.Sync(), out.Close())
}

// do keeps what is there, as another name of the same file, until it is known
// that all went well.
func (m *move) do() error {
	if err := os.Link(m.to, m.former); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m.from == "" {
		err := os.Remove(m.to)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	return os.Rename(m.from, m.to)
}

func (m *move) undo() error {
	if _, err := os.Lstat(m.former); err == nil {
		return os.Rename(m.former, m.to)
	}
	return os.RemoveAll(m.to)
}

// Same reports whether the file of the checkout holds that already.
func (f File) Same(root string) bool {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(f.Name)))
	if errors.Is(err, fs.ErrNotExist) {
		return f.Data == nil
	}
	return err == nil && f.Data != nil && bytes.Equal(data, f.Data)
}
