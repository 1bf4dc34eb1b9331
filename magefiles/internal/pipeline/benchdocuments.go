package pipeline

import (
	"context"
	"slices"
	"time"

	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/licences"
)

// A Documentation is how long the stages take that tell what is in one cell's
// binaries, on the clock.
type Documentation struct {
	Cell       Cell
	Binaries   int
	Licensing  time.Duration // where the licence of every package was told before
	Cold       time.Duration // the same where none was
	Describing time.Duration
}

// documentRuns is how often a stage is timed that is over at once; its time is
// the median.
const documentRuns = 5

// BenchDocuments times licensing and describing for every cell of the plan,
// which a run before it has built. Nothing that is written is kept, and no
// document is taken from the store.
func (p *Pipeline) BenchDocuments(ctx context.Context) ([]Documentation, error) {
	var all []Documentation
	for _, cell := range p.plan.Cells {
		p.Console.Notef("%s: licences and documents", cell)
		patched, err := p.patched(ctx, cell)
		if err != nil {
			return nil, err
		}
		built, err := p.compiler.Build(ctx, patched, gobuild.Target{Platform: cell.Platform, Variant: cell.Variant})
		if err != nil {
			return nil, err
		}
		d, err := p.documentation(ctx, built)
		if err != nil {
			return nil, err
		}
		d.Cell = cell
		all = append(all, d)
	}
	return all, nil
}

func (p *Pipeline) documentation(ctx context.Context, b gobuild.Built) (Documentation, error) {
	var licensing, describing []time.Duration
	for range documentRuns {
		tookLicensing, tookDescribing, err := p.documentOnce(ctx, b)
		if err != nil {
			return Documentation{}, err
		}
		licensing, describing = append(licensing, tookLicensing), append(describing, tookDescribing)
	}
	cold, remove, err := p.cold()
	if err != nil {
		return Documentation{}, err
	}
	defer remove()
	_, took, err := timed(func() (licensed, error) { return cold.license(ctx, b) })
	return Documentation{Binaries: len(b.Binaries), Licensing: median(licensing), Cold: took, Describing: median(describing)}, err
}

func (p *Pipeline) documentOnce(ctx context.Context, b gobuild.Built) (licensing, describing time.Duration, err error) {
	warm := *p
	warm.reader = &licences.Reader{Store: p.store} // has no text in memory, as a run that begins
	l, licensing, err := timed(func() (licensed, error) { return warm.license(ctx, b) })
	if err != nil {
		return 0, 0, err
	}
	a, err := p.archive(ctx, l)
	if err != nil {
		return 0, 0, err
	}
	describer, remove, err := p.cold()
	if err != nil {
		return 0, 0, err
	}
	defer remove()
	describer.reader = warm.reader
	_, describing, err = timed(func() (struct{}, error) { _, _, err := describer.describe(ctx, a); return struct{}{}, err })
	return licensing, describing, err
}

// timed is how long do takes on the clock.
func timed[T any](do func() (T, error)) (T, time.Duration, error) {
	begun := time.Now()
	v, err := do()
	return v, time.Since(begun), err
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
