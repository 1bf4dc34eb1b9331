package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/repro"
	"palisade/magefiles/internal/reproduce"
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
// for linux and has one: of finished binaries they are a matter of seconds. Both
// compile on this machine: on workers of BuildKit its surroundings are nobody's.
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
	here := filepath.Join(scratch, "here")
	there, err := elsewhere(cfg, filepath.Join(scratch, "there"))
	if err != nil {
		return err
	}
	records, images, err := buildHere(ctx, sel, here)
	if err != nil {
		return outcome(err)
	}
	variations, err := buildThere(ctx, cfg, steps(records, images), there)
	if err != nil {
		return fmt.Errorf("building in other surroundings: %w", err)
	}
	printVariations(variations)
	return report(results(records, images), here, there.Dist(0))
}

func buildHere(ctx context.Context, sel Selection, dist string) ([]artifact.Record, []artifact.Image, error) {
	se, err := open(sel, false, compileHere)
	if err != nil {
		return nil, nil, err
	}
	defer se.console.Close()
	se.config.Dist = dist
	se.console.Notef("building here")
	return se.images(ctx)
}

// compileHere has no worker of BuildKit compile, and says so if there are some.
func compileHere(cfg *config.Config) error {
	if len(cfg.BuildKit.Addresses) > 0 {
		fmt.Fprintln(os.Stderr, "BUILDKIT_HOST is not heard here: what is to come out the same is compiled by the sandbox of this machine")
	}
	cfg.BuildKit = config.BuildKit{}
	return nil
}

// steps make each artifact again, and then each image.
func steps(records []artifact.Record, images []artifact.Image) []reproduce.Step {
	var all []reproduce.Step
	for _, r := range records {
		all = append(all, reproduce.ArchiveStep(r.Name, r.Component, r.Platform, r.Variant))
	}
	for _, i := range images {
		var platforms []artifact.Platform
		for _, p := range i.Platforms {
			platforms = append(platforms, p.Platform)
		}
		all = append(all, reproduce.ImageStep(i.Name, i.Component, platforms, i.Variant))
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
func buildThere(ctx context.Context, cfg *config.Config, steps []reproduce.Step, there reproduce.Elsewhere) ([]surroundings.Variation, error) {
	root := there.Checkout(0)
	if err := checkout.Copy(ctx, cfg.Root, cfg.Git, root); err != nil {
		return nil, err
	}
	for i := range steps {
		steps[i].Checkout, steps[i].Dist = root, there.Dist(0)
	}
	return there.Do(ctx, steps)
}

// elsewhere is another place than this one, for the same program.
func elsewhere(cfg *config.Config, dir string) (reproduce.Elsewhere, error) {
	self, err := os.Executable()
	return reproduce.Elsewhere{Dir: dir, Self: self, Cache: cfg.Cache, Fetch: cfg.Fetch, Registry: cfg.Registry, GitMirror: cfg.GitMirror, Stderr: os.Stderr}, err
}

// printVariations says what differed between two builds, and what could not.
func printVariations(variations []surroundings.Variation) {
	for _, v := range variations {
		if v.Why != "" {
			fmt.Fprintf(os.Stdout, "SKIP varying %s: %s\n", v.Name, v.Why)
			continue
		}
		fmt.Fprintf(os.Stderr, "varied %s: %s\n", v.Name, v.Value)
	}
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
