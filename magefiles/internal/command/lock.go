package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// Lock recomputes the lock of one recipe, or of all: go.mod and go.sum as
// "go mod tidy" leaves them, and patched.sum. It prints each hash that changed
// and writes the files that did.
func Lock(ctx context.Context, component string) error {
	if component == "all" {
		component = ""
	}
	s, err := open(Selection{Component: component}, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	for _, cell := range s.plan.Cells {
		r := cell.Recipe
		lock, err := s.pipeline.Lock(ctx, r)
		if err != nil {
			return outcome(err)
		}
		sums, err := recipes.ParseSums("go.sum", lock.GoSum)
		if err != nil {
			return err
		}
		changes := append(recipes.DiffSums(r.Lock.Sums, sums), recipes.DiffSums(r.Patched, lock.Patched)...)
		for _, line := range changes {
			fmt.Fprintf(os.Stdout, "%s: %s\n", r.Name, line)
		}
		if len(changes) == 0 && bytes.Equal(r.Lock.GoMod, lock.GoMod) {
			s.console.Notef("%s: its lock is up to date", r.Name)
			continue
		}
		if err := writeLock(filepath.Join(s.config.Root, "recipes", r.Name), map[string][]byte{
			"go.mod": lock.GoMod, "go.sum": lock.GoSum, r.PatchedName(): lock.Patched.Encode(),
		}); err != nil {
			return fmt.Errorf("writing the lock of %s: %w", r.Name, err)
		}
	}
	return nil
}

// writeLock writes each file that is not empty; a recipe that changes nothing
// has no patched.sum.
func writeLock(dir string, files map[string][]byte) error {
	for name, data := range files {
		if len(data) == 0 {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		err := store.WriteFile(filepath.Join(dir, name), 0o644, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
