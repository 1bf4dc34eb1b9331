// Package reproduce builds what was released once more, from its provenance
// alone, and tells whether the same bytes come out. It guarantees that what it
// calls equal was made of the files, modules, packages, patches and toolchains
// that the provenance names, by the same commands, elsewhere; and is that
// archive, image and document, to the last byte. On another kind of machine the
// toolchains are that one's, of the same versions. The tool itself is the
// rebuilder's: its code, and what is embedded in it, may be of another version
// than the builder's, which the attestation tells of both.
//
// What it is given was verified before: of the provenance it believes every
// word, and of everything else nothing. The recipe that happens to lie in a
// checkout is not used unless it is the one that the provenance names, nor any
// other file; what is not there is taken out of the history of a clone, or
// refused (ErrSource). A module, package or toolchain that is another than the
// provenance says is a difference, though the result be the same: then something
// was built, but not this.
//
// # Steps
//
//  1. The files that each target was built from are looked for, and held against
//     the digests in its provenance. Nothing is built unless all are there.
//  2. Each is built in a run of its own, by this program, in other surroundings
//     (package surroundings) and with cold caches; compiled by the sandbox of this
//     machine, also where workers of BuildKit compiled what was given.
//  3. The definitions are compared (ArchiveChanges, ImageChanges), then the
//     digests of everything that the provenance names.
//  4. What differs is explained (package repro, and diffoscope where it is there).
//     What does not is stated (package attestations/rebuild). Signing that is the
//     caller's.
package reproduce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/magefiles/internal/diffoscope"
	"palisade/magefiles/internal/surroundings"
)

// Options are what Run has to know.
type Options struct {
	Targets    []Target // in the order in which they are built; an image behind its archives
	Sources    Sources
	Elsewhere  Elsewhere
	Diffoscope diffoscope.Tool

	Rebuilder  provenance.Builder // who rebuilds
	Invocation string             // names this run
	Now        func() time.Time
	Note       func(format string, args ...any) // progress, for people
}

// A Report is what Run found.
type Report struct {
	Results    []Result                 // one of each target
	Variations []surroundings.Variation // sorted by name
	Attested   []Attested               // of the targets that are equal, and of which it is to be said
}

// Equal reports whether every target is.
func (r Report) Equal() bool {
	for _, one := range r.Results {
		if !one.Equal() {
			return false
		}
	}
	return len(r.Results) > 0
}

// An Attested is a statement that something was rebuilt, not yet signed.
type Attested struct {
	Target    string
	Folder    string // what the folder is called that its bundle belongs into
	Statement []byte

	// Provenance is the bundle that this was rebuilt from, below the release's
	// folder: StillThere tells whether it is there. Without a name it lies in none.
	Provenance artifact.File
}

// Run rebuilds the targets. The error says that it could not; that something
// differs is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	begun := o.Now()
	steps, err := o.steps(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("finding what it was built from: %w", err)
	}
	var report Report
	varied, err := o.Elsewhere.Do(ctx, steps)
	if err != nil {
		return report, fmt.Errorf("building in other surroundings: %w", err)
	}
	report.Variations = varied
	for n, t := range o.Targets {
		c := comparison{there: steps[n].Dist, diffoscope: o.Diffoscope, rebuilder: o.Rebuilder}
		r, err := c.compare(ctx, t)
		if err != nil {
			return report, fmt.Errorf("comparing %s with what was rebuilt: %w", t.Name, err)
		}
		report.Results = append(report.Results, r)
	}
	if err := o.judgeImages(report.Results); err != nil {
		return report, err
	}
	run := o.run(begun, varied)
	for n, r := range report.Results {
		if !r.Equal() || !o.Targets[n].Attest {
			continue
		}
		attested, err := r.attest(o.Targets[n], o.at(run, steps[n].Checkout), o.executor(n))
		if err != nil {
			return report, err
		}
		report.Attested = append(report.Attested, attested...)
	}
	return report, nil
}

// steps make each target again, where its files are.
func (o Options) steps(ctx context.Context) ([]Step, error) {
	if len(o.Targets) == 0 {
		return nil, errors.New("there is nothing to rebuild")
	}
	from := supply{sources: o.Sources, place: o.Elsewhere.Checkout, note: o.Note}
	var steps []Step
	for _, t := range o.Targets {
		n, err := needOf(t, o.Targets)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		step := t.step()
		number, err := from.checkout(ctx, n, t.Name)
		if err != nil {
			return nil, err
		}
		step.Checkout, step.Dist = o.Elsewhere.Checkout(number), o.Elsewhere.Dist(number)
		steps = append(steps, step)
	}
	return steps, nil
}

// judgeImages finds the images whose archives were not made as their provenance
// says: the bytes of an image show nothing of that.
func (o Options) judgeImages(results []Result) error {
	for n, t := range o.Targets {
		if t.Said[0].Image == nil {
			continue
		}
		made, err := t.Said[0].Image.Archives()
		if err != nil {
			return err
		}
		for _, a := range made {
			for i := range o.Targets {
				if archiveOf(a, o.Targets[i:i+1]) != nil && !results[i].Equal() {
					results[n].Changes = append(results[n].Changes, Change{"archive " + a.Name, "as its provenance says", "otherwise"})
				}
			}
		}
	}
	return nil
}

// executor says whether the target of that number was compiled by something else
// than a sandbox of the machine that built it, as it is here.
func (o Options) executor(n int) rebuild.Variation {
	const name, here = "executor", "the sandbox of this machine"
	of := []*provenance.Provenance{o.Targets[n].Said[0].Archive}
	if i := o.Targets[n].Said[0].Image; i != nil {
		of, _ = archives(i, o.Targets) // steps found them
	}
	for _, p := range of {
		for _, what := range slices.Sorted(maps.Keys(p.BuildDefinition.InternalParameters.Sandboxes)) {
			if s := p.BuildDefinition.InternalParameters.Sandboxes[what]; s.Executor != "" {
				return rebuild.Variation{Name: name, Value: line(here + "; of the build it was worker " + s.Worker + " of " + s.Executor)}
			}
		}
	}
	return rebuild.Variation{Name: name, Why: here + "; so it was of the build"}
}

// run is what is said of this run, but for what came out.
func (o Options) run(begun time.Time, variations []surroundings.Variation) rebuild.Run {
	finished := o.Now()
	if finished.Before(begun) { // the clock was set back
		finished = begun
	}
	run := rebuild.Run{
		Rebuilder: o.Rebuilder,
		Varied:    []rebuild.Variation{{Name: "caches", Value: "cold, but for what was fetched"}},
		Metadata:  provenance.Metadata{InvocationID: o.Invocation, StartedOn: begun, FinishedOn: finished},
	}
	for _, v := range variations {
		if v.Why != "" {
			run.NotVaried = append(run.NotVaried, rebuild.Variation{Name: v.Name, Why: line(strings.ReplaceAll(v.Why, o.Elsewhere.Dir, "..."))})
			continue
		}
		run.Varied = append(run.Varied, rebuild.Variation{Name: v.Name, Value: line(o.inScratch(v.Value))})
	}
	return run
}

// at is the run with the directory in which one target was made: each component
// has a checkout of its own.
func (o Options) at(run rebuild.Run, checkout string) rebuild.Run {
	run.Varied = slices.Clone(run.Varied)
	for i := range run.Varied {
		if run.Varied[i].Name == surroundings.Directory {
			run.Varied[i].Value = line(o.inScratch(checkout))
		}
	}
	return run
}

// inScratch is a path without where the rebuilder keeps such things, which is
// nobody's business.
func (o Options) inScratch(value string) string {
	if rest, below := strings.CutPrefix(value, o.Elsewhere.Dir+string(filepath.Separator)); below {
		return ".../" + filepath.ToSlash(rest)
	}
	return value
}
