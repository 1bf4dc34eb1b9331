package pipeline

import (
	"context"

	"golang.org/x/sync/semaphore"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/sandbox"
)

// beside is for how many cells there is fetching and archiving beside those
// that this machine compiles.
const beside = 2

// atOnce is how many cells are under way: those of this machine, or one for each
// worker and those that are hashed and packed here meanwhile.
func (p *Pipeline) atOnce() int {
	if p.workers == nil {
		return int(Slots(p.Config)) + beside
	}
	return p.workers.Size() + int(shares(p.Config))
}

// shares is for how many cells this machine does something at once. Hashing and
// packing take one processor each.
func shares(cfg *config.Config) int64 { return max(Slots(cfg)+beside, int64(cfg.CPUs)) }

// A share of this machine is had by a cell for which it does something: a hundred
// workers make a hundred cells wait, but not this machine hash and pack a hundred
// at once.
//
// Nobody who has one waits for the lock of a compilation: who has that lock, in
// this process or another one, may wait for a share, and gets it only if those
// who have one come to an end.
type share struct {
	of   *semaphore.Weighted
	held bool
}

// take waits for the share, or for the end of ctx. It does nothing if it is held.
func (s *share) take(ctx context.Context) error {
	if s.held {
		return nil
	}
	if err := s.of.Acquire(ctx, 1); err != nil {
		return err
	}
	s.held = true
	return nil
}

// give does nothing if it is not held.
func (s *share) give() {
	if s.held {
		s.held = false
		s.of.Release(1)
	}
}

// away runs commands elsewhere on behalf of a cell, whose share of this machine
// others have until they are back.
type away struct {
	gobuild.Executor
	share *share
}

func (a away) Run(ctx context.Context, spec sandbox.Spec) (sandbox.Result, error) {
	a.share.give()
	result, err := a.Executor.Run(ctx, spec)
	if err != nil { // after which nothing is done here
		return result, err
	}
	return result, a.share.take(ctx)
}
