package pipeline

import (
	"context"
	"fmt"
	"io/fs"

	"palisade/magefiles/internal/console"
	"palisade/recipes"
)

// A NewLock is what the files of a recipe's lock ought to hold.
type NewLock struct {
	GoMod, GoSum []byte
	Patched      recipes.Sums
}

// Lock recomputes the lock of a recipe: first what it links, then, with that,
// the seal of every variant.
func (p *Pipeline) Lock(ctx context.Context, r *recipes.Recipe) (lock NewLock, err error) {
	line := p.Console.Cell("locking " + r.Name)
	defer func() { line.Done(err) }()
	if lock.GoMod, lock.GoSum, err = p.tidy(ctx, line, r); err != nil {
		return NewLock{}, err
	}
	tidied := *r
	if tidied.Lock, err = recipes.ParseLock(r.Module, lock.GoMod, lock.GoSum); err != nil {
		return NewLock{}, err
	}
	line.Stage("fetching")
	tree, err := p.fetch(ctx, &tidied)
	if err != nil {
		return NewLock{}, err
	}
	line.Stage("patching")
	lock.Patched = recipes.Sums{}
	for _, v := range recipes.Variants() {
		sums, err := p.workshop.Sums(ctx, tree, v)
		if err != nil {
			return NewLock{}, fmt.Errorf("variant %s: %w", v, err)
		}
		for m, sum := range sums {
			lock.Patched[m] = sum
		}
	}
	return lock, nil
}

func (p *Pipeline) tidy(ctx context.Context, line *console.Cell, r *recipes.Recipe) (goMod, goSum []byte, err error) {
	line.Stage("tidying")
	tools, err := fs.ReadFile(r.Dir, "tools.go")
	if err != nil {
		return nil, nil, fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	pinned, err := p.pinned(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	goMod, goSum, err = pinned.Tidy(ctx, r.Lock.GoMod, r.Lock.GoSum, tools)
	if err != nil {
		return nil, nil, fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	return goMod, goSum, nil
}
