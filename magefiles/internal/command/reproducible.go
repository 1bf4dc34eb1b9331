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
// machine's caches hold; then again, each artifact and each image of them in a
// run of its own, with cold caches, from a copy of the checkout, in other
// surroundings; and compares all that both left. What was fetched is shared: it
// is held against its hashes by both. Images are made of whatever is selected
// for linux and has one: of finished binaries they are a matter of seconds.
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
	records, images, err := buildHere(ctx, sel, here)
	if err != nil {
		return outcome(err)
	}
	variations, err := buildThere(ctx, cfg, steps(records, images), filepath.Join(scratch, "there"))
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
	return report(results(records, images), here, there)
}

func buildHere(ctx context.Context, sel Selection, dist string) ([]artifact.Record, []artifact.Image, error) {
	se, err := open(sel, false)
	if err != nil {
		return nil, nil, err
	}
	defer se.console.Close()
	se.config.Dist = dist
	se.console.Notef("building here")
	return se.images(ctx)
}

// A step is a run that makes one thing again.
type step struct {
	name string
	args []string
}

// steps make each artifact again, and then each image.
func steps(records []artifact.Record, images []artifact.Image) []step {
	var all []step
	for _, r := range records {
		all = append(all, step{r.Name, []string{"build", "-component=" + r.Component, "-platform=" + r.Platform.String(), "-variant=" + r.Variant, "-sign=false"}})
	}
	for _, i := range images {
		var platforms []string
		for _, p := range i.Platforms {
			platforms = append(platforms, p.Platform.String())
		}
		all = append(all, step{i.Name, []string{"image", "-component=" + i.Component, "-platform=" + strings.Join(platforms, ","), "-variant=" + i.Variant, "-sign=false"}})
	}
	return all
}

// results are the files that have to be the same.
func results(records []artifact.Record, images []artifact.Image) []artifact.File {
	var all []artifact.File
	for _, r := range records {
		all = append(all, artifact.File{Name: r.Name, Size: r.Size, Digest: r.Digest})
	}
	for _, i := range images {
		all = append(all, artifact.File{Name: i.Name, Size: i.Size, Digest: i.Digest})
	}
	return all
}

// buildThere does each step there. The checkout is copied as git
// has it, so that both say of it the same; nothing else can decide the result.
func buildThere(ctx context.Context, cfg *config.Config, steps []step, dir string) (variations []surroundings.Variation, err error) {
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
	for i, s := range steps {
		fmt.Fprintf(os.Stderr, "building there: %s (%d of %d)\n", s.name, i+1, len(steps))
		variations, err = surroundings.Do(ctx, surroundings.Run{
			Args: append([]string{self}, s.args...),
			Dir:  elsewhere, Home: home, Stderr: os.Stderr,
			Keep: append(keep(cfg.Fetch), "PALISADE_CACHE="+cache, "PALISADE_DIST="+filepath.Join(dir, "dist")),
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
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

// report prints PASS or FAIL for each result, and every difference.
func report(results []artifact.File, here, there string) error {
	differences, err := repro.Compare(here, there)
	if err != nil {
		return err
	}
	for _, r := range results {
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
