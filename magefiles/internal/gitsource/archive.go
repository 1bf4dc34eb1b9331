package gitsource

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// archive writes what "git archive" gives of a commit to dir, which is empty. Files
// has every file that there may be: attributes of the commit leave some out, and
// add none.
func (r *repository) archive(ctx context.Context, commit string, files map[string]int64, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in, out := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpack(in, files, r.bounds.Bytes, root)
		in.CloseWithError(err) // git need not go on
		unpacked <- err
	}()
	err = r.run(ctx, "", out, "archive", "--format=tar", commit)
	out.CloseWithError(err)
	if bad := <-unpacked; bad != nil {
		return errors.Join(bad, ctx.Err())
	}
	return err
}

// unpack writes the files of a tar stream, of at most that many bytes in all.
func unpack(in io.Reader, files map[string]int64, bytes int64, root *os.Root) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
	}
	// Headers and padding count too.
	stream := &io.LimitedReader{R: in, N: bytes + 4096*int64(len(files)+1) + 1<<20}
	made := map[string]bool{}
	for t := tar.NewReader(stream); ; {
		h, err := t.Next()
		switch {
		case stream.N <= 0:
			return refuse("git archive gives more than %d bytes", bytes)
		case err == io.EOF:
			_, err = io.Copy(io.Discard, stream) // the end is padded
			return err
		case err != nil:
			return fmt.Errorf("reading what git archive gives: %w", err)
		case h.Typeflag == tar.TypeXGlobalHeader, h.Typeflag == tar.TypeDir: // which commit it is; a folder, whose files follow
			continue
		}
		name := strings.TrimPrefix(h.Name, "./")
		if _, known := files[name]; !known || made[name] || h.Typeflag != tar.TypeReg {
			return refuse("git archive gives %.200q, which is no file of the commit, or there twice", h.Name)
		}
		made[name] = true
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := write(root, name, t); err != nil {
			return fmt.Errorf("writing %.200q: %w", name, err)
		}
	}
}

func write(root *os.Root, name string, content io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
