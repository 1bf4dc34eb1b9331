package checkout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Copy copies a checkout to dir: the files that are of its commit, or would be
// of the next one; without version control those that are the tool's. What git
// knows stays where it is, and the copy points to it, so that Observe sees
// there what it sees here.
func Copy(ctx context.Context, root, git, dir string) error {
	g := repository{root, git}
	names, err := g.state(ctx, new(State))
	versioned := err == nil
	if !versioned {
		names, err = walk(root)
	}
	if err != nil {
		return fmt.Errorf("copying the checkout: %w", err)
	}
	for _, name := range names {
		if err := errors.Join(ctx.Err(), copyFile(filepath.Join(root, filepath.FromSlash(name)), filepath.Join(dir, filepath.FromSlash(name)))); err != nil {
			return fmt.Errorf("copying the checkout: %w", err)
		}
	}
	if !versioned {
		return nil
	}
	knows, err := g.ask(ctx, "rev-parse", "--absolute-git-dir")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".git"), []byte("gitdir: "+strings.TrimSpace(knows)+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("copying the checkout: %w", err)
	}
	return nil
}

// copyFile copies a file, or a symbolic link as such. Anything else, such as a
// submodule, is left out.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
