package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// beforeDir is where what is known of the release before lies, beside the plan, for
// steps that reach no registry: the index of releases that the plan follows, with its
// bundle, and in the folder files release.json and the SPDX documents of the newest
// release in it. Nothing is believed for lying there: the plan names the index by its
// digest, that the release.json, and that the documents; and who signs the next index
// opens the bundle of this one himself.
func beforeDir(cfg *config.Config) string { return filepath.Join(cfg.Release, "before") }

const beforeFiles = "files"

// keepBefore puts it there: the index and its bundle, and what fetch gets of its
// newest release. Without an index it takes away what lies there.
func keepBefore(cfg *config.Config, last verify.Freshness, fetch func(of releases.Release, to *os.Root, keep func(name string) bool) error) error {
	dir := beforeDir(cfg)
	if err := os.RemoveAll(dir); err != nil || last.Index == nil {
		return err
	}
	known, err := releases.Parse(last.Index)
	if err != nil {
		return err
	}
	files := filepath.Join(dir, beforeFiles)
	if err := os.MkdirAll(files, 0o755); err != nil {
		return fmt.Errorf("keeping what is known of the release before: %w: make %s writable, or set PALISADE_RELEASE", err, cfg.Release)
	}
	root, err := os.OpenRoot(files)
	if err != nil {
		return err
	}
	defer root.Close()
	if newest, ok := known.Newest(); ok {
		if err := fetch(newest, root, isNoted); err != nil {
			return fmt.Errorf("fetching the release before: %w", err)
		}
	}
	return writeReleases(dir, last.Index, last.Bundle)
}

// isNoted reports whether notes are made of a file of the release before.
func isNoted(name string) bool {
	return name == dist.Index || !strings.Contains(name, "/") && strings.HasSuffix(name, dist.DocumentSuffix)
}

// fetchBefore is how the release before is fetched from where the index is that a
// plan follows: from the registry, or from the folder that the file lies in. One that
// is not there is not at hand, which the notes then say.
func fetchBefore(ctx context.Context, req ReleasePlanRequest, place *consume.Registry) func(releases.Release, *os.Root, func(string) bool) error {
	return func(of releases.Release, to *os.Root, keep func(string) bool) error {
		if place == nil {
			return copyNoted(filepath.Join(filepath.Dir(req.Index), consume.Tag(of.Version)), to, keep)
		}
		err := place.Some(ctx, of, to, keep)
		if errors.Is(err, consume.ErrNone) {
			return nil
		}
		return err
	}
}

// copyNoted copies files of a release out of its folder, if there is that.
func copyNoted(dir string, to *os.Root, keep func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if !keep(e.Name()) {
			continue
		}
		data, err := readSmall(filepath.Join(dir, e.Name()), maxNoted)
		if err == nil {
			err = to.WriteFile(e.Name(), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastIndex is the index of releases that the plan follows, nil if it is the first.
func (s *step) lastIndex() ([]byte, error) {
	if s.plan.Previous == nil {
		return nil, nil
	}
	name := filepath.Join(beforeDir(s.config), releases.FileName)
	data, err := readSmall(name, releases.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the plan follows index %d of releases, and there is no %s: hand it over with the plan, as release:plan left it", config.ErrUsage, s.plan.Previous.Number, name)
	} else if err != nil {
		return nil, fmt.Errorf("reading the index of releases: %w", err)
	}
	if got := artifact.DigestBytes(data); got != s.plan.Previous.Digest {
		return nil, fmt.Errorf("%w: %s is %s, and the plan follows %s: plan anew", release.ErrForeign, name, got, s.plan.Previous.Digest)
	}
	return data, nil
}

// sinceOf is the release.json of the release before, that was named, or that lies
// beside the plan; "" if it is not at hand.
func (s *step) sinceOf(named string) (string, error) {
	index, err := s.lastIndex()
	if named != "" || index == nil || err != nil {
		return named, err
	}
	name := filepath.Join(beforeDir(s.config), beforeFiles, dist.Index)
	data, err := readSmall(name, artifact.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("reading the release before: %w", err)
	}
	known, err := releases.Parse(index)
	if err != nil {
		return "", err
	}
	newest, ok := known.Newest()
	if got := artifact.DigestBytes(data); !ok || got != newest.Manifest {
		return "", fmt.Errorf("%w: %s is %s, and the newest release of the index that the plan follows has %s: plan anew", handover.ErrDigest, name, got, newest.Manifest)
	}
	return name, nil
}
