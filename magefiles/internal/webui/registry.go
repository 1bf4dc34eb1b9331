package webui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

// layRegistry fills dir with the tarballs of packages, each verified, where a
// client that knows its lock file asks for them. It holds no metadata, so a
// client that wants to resolve a version fails. It returns nothing of its own:
// what is not in dir cannot be installed.
func layRegistry(ctx context.Context, client *npm.Client, packages []artifact.Package, dir string) error {
	paths, err := client.FetchAll(ctx, packages)
	if err != nil {
		return err
	}
	for i, p := range packages {
		to := filepath.Join(dir, filepath.FromSlash(npm.TarballPath(p)))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := linkOrCopy(paths[i], to); err != nil {
			return fmt.Errorf("laying out npm package %s@%s: %w", p.Name, p.Version, err)
		}
	}
	return nil
}

// linkOrCopy gives the file from a second name. Where the file systems differ
// or know no links it is copied.
func linkOrCopy(from, to string) (err error) {
	err = os.Link(from, to)
	if !errors.Is(err, syscall.EXDEV) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	_, err = io.Copy(out, in)
	return err
}
