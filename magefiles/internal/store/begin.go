package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
)

// beginner is the file that says for which run the store was begun; there is none
// once another has written to it.
const beginner = "begun"

// Begin says that what is put into the store from now on is put there by run. It
// reports whether all that is there was: the store was empty before that run, or
// has been begun by it, and nobody else wrote to it since.
func (s *Store) Begin(run artifact.Digest) (fresh bool, err error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("telling whether the store %s is fresh: %w", s.dir, s.explain(err))
	}
	name := filepath.Join(s.dir, beginner)
	said, err := os.ReadFile(name)
	switch {
	case err == nil && string(said) == run.String():
		return true, nil
	case err == nil: // by another run, whose things these are
		return false, s.Share()
	case !errors.Is(err, fs.ErrNotExist):
		return fail(err)
	}
	for _, dir := range []string{"", "steps"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil {
			return fail(err)
		}
		for _, e := range entries {
			if dir != "" || e.Name() != "steps" && e.Name() != "tmp" && e.Name() != "locks" {
				return false, nil
			}
		}
	}
	err = WriteFile(name, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, run.String())
		return err
	})
	if err != nil {
		return fail(err)
	}
	return true, nil
}

// Share says that others than the run that began the store write to it: whatever
// began it, it is fresh no more.
func (s *Store) Share() error {
	if err := os.Remove(filepath.Join(s.dir, beginner)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("telling that the store %s is shared: %w", s.dir, err)
	}
	return nil
}
