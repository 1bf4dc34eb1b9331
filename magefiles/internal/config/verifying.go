package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Verifying is all that verifying and publishing know of the place where they
// run. They need neither a checkout nor the go command nor a cache.
type Verifying struct {
	Root    string // the checkout, absolute; "" where there is none
	Dist    string // absolute
	Signing Signing
}

// LoadVerifying reads the environment of a process whose working directory may
// be anywhere. Results are looked for in the checkout, or else in the working
// directory.
func LoadVerifying() (*Verifying, error) {
	v := &Verifying{Dist: os.Getenv("PALISADE_DIST"), Signing: loadSigning()}
	var err error
	if v.Root, err = findRoot(); err != nil && !errors.Is(err, ErrUsage) {
		return nil, err
	}
	if v.Dist == "" {
		v.Dist = filepath.Join(v.Root, "dist")
	}
	if v.Dist, err = filepath.Abs(v.Dist); err != nil {
		return nil, fmt.Errorf("finding %s: %w", v.Dist, err)
	}
	return v, nil
}
