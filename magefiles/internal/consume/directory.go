package consume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"palisade/attestations/releases"
)

// A Directory is one of releases.
type Directory string

// String is its path.
func (d Directory) String() string { return string(d) }

// Index is Place's.
func (d Directory) Index(context.Context) (index, bundle []byte, err error) {
	root, err := d.open()
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	if index, err = readSmall(root, releases.FileName, releases.MaxSize); err != nil {
		return nil, nil, err
	}
	if bundle, err = readSmall(root, releases.BundleName, maxBundle); errors.Is(err, ErrNone) {
		return index, nil, nil
	}
	return index, bundle, err
}

func (d Directory) open() (*os.Root, error) {
	root, err := os.OpenRoot(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNone, err)
	}
	return root, err
}

// Files is Place's.
func (d Directory) Files(ctx context.Context, of releases.Release, to *os.Root) error {
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	name := Tag(of.Version)
	from, err := root.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNone, err)
	}
	if err != nil {
		return err
	}
	defer from.Close()
	l, err := Describe(ctx, from)
	if err == nil {
		err = l.held(of)
	}
	if err == nil {
		err = Copy(ctx, from, to, l)
	}
	if err != nil {
		return fmt.Errorf("release %s in %s: %w", of.Version, d, err)
	}
	return nil
}
