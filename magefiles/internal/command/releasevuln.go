package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/vuln"
	"palisade/recipes"
)

// lookForVulnerabilities writes what is known of each archive beside it, and keeps
// the snapshot of the database by which that was found: whoever signs looks again. It
// is taken now: one that lies there was taken by nobody knows whom.
func (s *step) lookForVulnerabilities(ctx context.Context, work *os.Root, database string) error {
	if database == "" {
		database = cmp.Or(s.config.VulnDB, vuln.Official)
	}
	if err := errors.Join(work.RemoveAll(handedDatabase), work.MkdirAll(handedBeside, 0o755)); err != nil {
		return fmt.Errorf("taking a snapshot of the vulnerability database: %w", err)
	}
	return s.lookInto(work, func(o vuln.Options, dir, snapshot string) error {
		o.Source, o.Client = database, &http.Client{Timeout: time.Minute}
		_, err := vuln.Describe(ctx, o, dir, snapshot)
		return err
	})
}

// confirmVulnerabilities looks again, by the snapshot that was handed over, and
// refuses what says anything else than is found.
func (s *step) confirmVulnerabilities(ctx context.Context, work *os.Root) error {
	return s.lookInto(work, func(o vuln.Options, dir, snapshot string) error {
		_, err := vuln.Confirm(ctx, o, dir, snapshot)
		return err
	})
}

// lookInto has look look into the release in work, by the triage of this checkout.
func (s *step) lookInto(work *os.Root, look func(o vuln.Options, dir, snapshot string) error) error {
	cache, err := store.Open(s.config.Cache)
	if err != nil {
		return err
	}
	scratch, remove, err := cache.Temp("vuln")
	if err != nil {
		return err
	}
	defer remove()
	fsys := os.DirFS(filepath.Join(s.config.Root, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		return err
	}
	return look(vuln.Options{
		Author: d.Publisher, Now: time.Now(), Scratch: scratch,
		Triage: func(component string) (recipes.Triage, error) { return recipes.LoadTriage(fsys, component) },
	}, filepath.Join(work.Name(), handedDist), filepath.Join(work.Name(), filepath.FromSlash(handedDatabase)))
}
