package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Verifying is all that verifying knows of the place where it runs. It needs
// neither a checkout nor the go command nor a cache.
type Verifying struct {
	Dist    string // absolute
	Signing Signing
}

// LoadVerifying reads the environment of a process whose working directory may
// be anywhere. Results are looked for in the checkout, or else in the working
// directory.
func LoadVerifying() (*Verifying, error) {
	v := &Verifying{Dist: os.Getenv("PALISADE_DIST"), Signing: loadSigning()}
	if v.Dist == "" {
		root, err := findRoot()
		if err != nil && !errors.Is(err, ErrUsage) {
			return nil, err
		}
		v.Dist = filepath.Join(root, "dist")
	}
	var err error
	if v.Dist, err = filepath.Abs(v.Dist); err != nil {
		return nil, fmt.Errorf("finding %s: %w", v.Dist, err)
	}
	return v, nil
}
