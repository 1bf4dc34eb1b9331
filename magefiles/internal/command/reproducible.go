package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/repro"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/surroundings"
)

// ErrNotReproducible is wrapped when two builds differ.
var ErrNotReproducible = errors.New("not reproducible")

// Reproducible builds the selection here, in one run, with whatever this
// machine's caches hold; then again, each artifact in a run of its own, with
// cold caches, from a copy of the checkout, in other surroundings; and
// compares all that both left. What was fetched is shared: it is held against
// its hashes by both.
func Reproducible(ctx context.Context, sel Selection) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	if _, err := pipeline.NewPlan(cfg, sel); err != nil {
		return outcome(err)
	}
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return err
	}
	scratch, remove, err := s.Temp("reproducible")
	if err != nil {
		return err
	}
	defer remove()
	here, there := filepath.Join(scratch, "here"), filepath.Join(scratch, "there", "dist")
	records, err := buildHere(ctx, sel, here)
	if err != nil {
		return outcome(err)
	}
	variations, err := buildThere(ctx, cfg, records, filepath.Join(scratch, "there"))
	if err != nil {
		return fmt.Errorf("building in other surroundings: %w", err)
	}
	for _, v := range variations {
		if v.Why != "" {
			fmt.Fprintf(os.Stdout, "SKIP varying %s: %s\n", v.Name, v.Why)
			continue
		}
		fmt.Fprintf(os.Stderr, "varied %s: %s\n", v.Name, v.Value)
	}
	return report(records, here, there)
}

func buildHere(ctx context.Context, sel Selection, dist string) ([]artifact.Record, error) {
	se, err := open(sel, false)
	if err != nil {
		return nil, err
	}
	defer se.console.Close()
	se.config.Dist = dist
	se.console.Notef("building here")
	return se.pipeline.Run(ctx)
}

// buildThere builds each record's artifact again. The checkout is copied as git
// has it, so that both say of it the same; nothing else can decide the result.
func buildThere(ctx context.Context, cfg *config.Config, records []artifact.Record, dir string) (variations []surroundings.Variation, err error) {
	elsewhere := filepath.Join(dir, "another directory", "of some length")
	if err := checkout.Copy(ctx, cfg.Root, cfg.Git, elsewhere); err != nil {
		return nil, err
	}
	home, cache := filepath.Join(dir, "home"), filepath.Join(dir, "cache")
	for _, d := range []string{home, cache} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	for _, fetched := range []string{"mod", "npm"} {
		if err := os.Symlink(filepath.Join(cfg.Cache, fetched), filepath.Join(cache, fetched)); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for i, r := range records {
		fmt.Fprintf(os.Stderr, "building there: %s (%d of %d)\n", r.Name, i+1, len(records))
		variations, err = surroundings.Do(ctx, surroundings.Run{
			Args: []string{self, "build", "-component=" + r.Component, "-platform=" + r.Platform.String(), "-variant=" + r.Variant, "-sign=false"},
			Dir:  elsewhere, Home: home, Stderr: os.Stderr,
			Keep: append(keep(cfg.Fetch), "PALISADE_CACHE="+cache, "PALISADE_DIST="+filepath.Join(dir, "dist")),
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return variations, nil
}

// keep is what a build elsewhere needs to know of this place: how to fetch.
func keep(env []string) []string {
	var kept []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(name) {
		case "PATH", "GOPROXY", "GOSUMDB", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NPM_CONFIG_REGISTRY":
			kept = append(kept, kv)
		}
	}
	return kept
}

// report prints PASS or FAIL for each artifact, and every difference.
func report(records []artifact.Record, here, there string) error {
	differences, err := repro.Compare(here, there)
	if err != nil {
		return err
	}
	for _, r := range records {
		// The list of differences has an end; the digest has the last word.
		digest, _, err := artifact.DigestFile(filepath.Join(there, r.Name))
		result := "PASS"
		if err != nil || digest != r.Digest {
			result = "FAIL"
		}
		fmt.Fprintf(os.Stdout, "%s %s %s\n", result, r.Name, r.Digest)
	}
	if len(differences) == 0 {
		return nil
	}
	for _, d := range differences {
		fmt.Fprintf(os.Stdout, "  %s\n", d)
	}
	return failure{fmt.Errorf("%w: %d differences", ErrNotReproducible, len(differences)), statusRefused}
}
