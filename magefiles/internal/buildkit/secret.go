package buildkit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// secret is by what name the worker knows this user's copies of the mounts. A
// worker compares what it has with what it is sent by size and name: who could
// guess the name could have put another content there before.
func (o Options) secret() (string, error) {
	name := filepath.Join(o.Dir, "name")
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", err
	}
	for range 2 {
		data, err := os.ReadFile(name)
		if err == nil && len(data) == len(rand.Text()) {
			return string(data), nil
		} else if err == nil {
			return "", fmt.Errorf("%s is not whole: remove it", name)
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		f, err := os.CreateTemp(o.Dir, "new-")
		if err != nil {
			return "", err
		}
		_, err = f.WriteString(rand.Text())
		if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
			err = os.Link(f.Name(), name) // whoever is first
		}
		if err = errors.Join(os.Remove(f.Name()), ignoreExists(err)); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%s cannot be made", name)
}

func ignoreExists(err error) error {
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}
