package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"palisade/attestations/policy"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// A FreshRequest says by what a release is known to be fresh. Index is the file of
// an index of releases, with its bundle beside it; by default, where one is needed,
// the one beside the release's folder. Seen is the highest number of an index that
// passed before, in digits, and Version the release that is meant: any, and the
// newest, where they are empty.
type FreshRequest struct{ Index, Seen, Version string }

// chooseIndex reads the index of releases; nil where nobody asks for one. folder is
// the release's, and "" of an image in a registry. What is not there is for the
// verification to refuse.
func chooseIndex(req FreshRequest, folder string, p policy.Policy) (*verify.Freshness, error) {
	seen, err := numberSeen(req.Seen)
	if err != nil {
		return nil, err
	}
	f := &verify.Freshness{Seen: seen, Version: req.Version}
	switch {
	case req.Index != "":
		return f, readReleases(f, req.Index)
	case req == FreshRequest{} && !p.RequiresFreshness():
		return nil, nil
	}
	if folder != "" {
		err := readReleases(f, filepath.Join(folder, "..", releases.FileName))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	if req == (FreshRequest{}) {
		return nil, nil
	}
	return f, nil
}

// numberSeen is the number of an index that was seen; 0 if none is said to be.
func numberSeen(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n > releases.MaxNumber {
		return 0, fmt.Errorf("%w: -seen=%.40s is no number of an index of releases, which begin with 1: leave it out if you have seen none", config.ErrUsage, text)
	}
	return n, nil
}

// readReleases reads an index of releases and the bundle beside it. That there is no
// bundle is for the verification to refuse.
func readReleases(f *verify.Freshness, name string) (err error) {
	if f.Index, err = readSmall(name, releases.MaxSize); err != nil {
		return fmt.Errorf("%w: reading an index of releases: %w", config.ErrUsage, err)
	}
	if f.Bundle, err = readSmall(dist.Bundle(name), maxIndexBundle); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: reading the signature of an index of releases: %w", config.ErrUsage, err)
	}
	return nil
}

// maxIndexBundle bounds the signature of an index, in bytes.
const maxIndexBundle = 8 << 20

// writeReleases writes the bundle of an index of releases into a folder, and then the
// index: who finds that finds both, though the writing was interrupted.
func writeReleases(dir string, data, signature []byte) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.Remove(filepath.Join(dir, releases.FileName))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing an index of releases: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{releases.BundleName, signature}, {releases.FileName, data}} {
		if err := store.WriteFile(filepath.Join(dir, f.name), 0o644, func(w io.Writer) error {
			_, err := w.Write(f.data)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
