package buildkit

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what a worker sends back.
const (
	maxFile    = 1 << 30 // bytes
	maxMembers = 1 << 8
	maxPadding = 1 << 20 // bytes
)

// receive writes the files of names, which a worker packed below inner, into
// dir. Exactly these have to be there, as regular files; they are made
// executable, new, and are removed again if anything is wrong.
func receive(r io.Reader, dir string, names []string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var made []string
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(root, made))
		}
	}()
	within := strings.TrimPrefix(inner, "/") + "/"
	members := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := members.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("reading what came back: %w", err)
		}
		if n == maxMembers {
			return fmt.Errorf("reading what came back: more than %d members", maxMembers)
		}
		if h.Typeflag == tar.TypeDir && (h.Name == "./" || h.Name == within) {
			continue
		}
		name, ok := strings.CutPrefix(h.Name, within)
		switch {
		case !ok || !slices.Contains(names, name) || filepath.Base(name) != name:
			return fmt.Errorf("%.200q came back, which was not asked for", h.Name)
		case h.Typeflag != tar.TypeReg:
			return fmt.Errorf("%.200q came back, and is no regular file", h.Name)
		case h.Size > maxFile:
			return fmt.Errorf("%s came back with %d bytes, more than %d", name, h.Size, maxFile)
		case slices.Contains(made, name):
			return fmt.Errorf("%s came back twice", name)
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
		if err != nil {
			return err
		}
		made = append(made, name)
		_, err = io.Copy(f, members)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("receiving %s: %w", name, err)
		}
	}
	for _, name := range names {
		if !slices.Contains(made, name) {
			return fmt.Errorf("%s did not come back", name)
		}
	}
	// What is left is padding, on which the sender may wait.
	_, err = io.CopyN(io.Discard, r, maxPadding)
	if err == nil {
		return fmt.Errorf("reading what came back: more than %d bytes after its end", maxPadding)
	} else if err == io.EOF {
		return nil
	}
	return err
}

// discard removes what receive has made.
func discard(dir string, names []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return remove(root, names)
}

func remove(root *os.Root, names []string) error {
	var all []error
	for _, name := range names {
		all = append(all, root.Remove(name))
	}
	return errors.Join(all...)
}
