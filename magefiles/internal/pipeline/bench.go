package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
)

// A Comparison is the processor time of compiling one cell, all processes
// together, here and by hand.
type Comparison struct {
	Cell         Cell
	Here, ByHand time.Duration
}

// Bench compiles every cell of the plan twice, each side in the plan's order
// with a compiler cache of its own that begins empty: as a build does, with
// sandbox and checks, and by hand. What was fetched and patched is shared, and
// had before anything is measured. Cells alternate which side comes first, so
// that a machine that slows down does not favour one.
func (p *Pipeline) Bench(ctx context.Context) ([]Comparison, error) {
	var all []Comparison
	here, closeHere, err := p.cold()
	if err != nil {
		return nil, err
	}
	defer closeHere()
	hand, closeHand, err := p.cold()
	if err != nil {
		return nil, err
	}
	defer closeHand()
	for i, cell := range p.plan.Cells {
		patched, err := p.patched(ctx, cell)
		if err != nil {
			return nil, err
		}
		c, target := Comparison{Cell: cell}, gobuild.Target{Platform: cell.Platform, Variant: cell.Variant}
		sides := []func() error{
			func() (err error) {
				c.Here, err = processorTime(func() error { _, err := here.compiler.Build(ctx, patched, target); return err })
				return err
			},
			func() (err error) { c.ByHand, err = byHand(ctx, hand.compiler, patched, target); return err },
		}
		for n := range sides {
			p.Console.Notef("%s: side %d of 2", cell, n+1)
			if err := sides[(n+i)%2](); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, nil
}

func (p *Pipeline) patched(ctx context.Context, cell Cell) (source.Patched, error) {
	tree, err := p.fetch(ctx, cell.Recipe)
	if err != nil {
		return source.Patched{}, err
	}
	return p.workshop.Patch(ctx, tree, cell.Variant)
}

// cold is p with a store of its own that begins empty, but for what was
// fetched, which both share.
func (p *Pipeline) cold() (*Pipeline, func(), error) {
	dir, remove, err := p.store.Temp("bench")
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Open(filepath.Join(dir, "store"))
	if err == nil {
		err = os.MkdirAll(s.Dir("go-build"), 0o755)
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	cold, compiler := *p, *p.compiler
	compiler.Store = s
	cold.store, cold.compiler, cold.reader = s, &compiler, &licences.Reader{Store: s}
	return &cold, remove, nil
}

func byHand(ctx context.Context, c *gobuild.Compiler, patched source.Patched, t gobuild.Target) (time.Duration, error) {
	out, remove, err := c.Store.Temp("by-hand-out")
	if err != nil {
		return 0, err
	}
	defer remove()
	return c.ByHand(ctx, patched, t, out)
}

// processorTime is what do takes of this process and all that it waits for.
func processorTime(do func() error) (time.Duration, error) {
	before, err := used()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := used()
	return after - before, err
}

func used() (time.Duration, error) {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("reading processor time: %w", err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum, nil
}
