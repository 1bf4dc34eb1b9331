package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/modules"
	"palisade/patches"
	"palisade/recipes"
)

// Modules asks for modules and fetches them, as the stages do.
func (p *Pipeline) Modules() *modules.Client { return p.hostGo }

// Tidied is r with the lock that "go mod tidy" makes of r's.
func (p *Pipeline) Tidied(ctx context.Context, r *recipes.Recipe) (*recipes.Recipe, error) {
	line := p.Console.Cell("locking " + r.Name)
	goMod, goSum, err := p.tidy(ctx, line, r)
	line.Done(err)
	if err != nil {
		return nil, err
	}
	tidied := *r
	tidied.Lock, err = recipes.ParseLock(r.Module, goMod, goSum)
	return &tidied, err
}

// TryPatches tries a series on the source of a module that r's lock requires,
// which is fetched and checked as for a build.
func (p *Pipeline) TryPatches(ctx context.Context, r *recipes.Recipe, modulePath string, s patches.Series) ([]patches.Trial, error) {
	tree, err := p.fetch(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, m := range tree.Modules() {
		if m.Path != modulePath {
			continue
		}
		if err := p.hostGo.Verify(ctx, []modules.Module{m}); err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(m.Dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return patches.Try(root, s), nil
	}
	return nil, fmt.Errorf("recipe %s: its lock does not hold module %s", r.Name, modulePath)
}

// Document is the SPDX document of a cell's archive. The archive is made, but
// appears nowhere, and nothing is said of who built it.
func (p *Pipeline) Document(ctx context.Context, cell Cell) (doc *spdx.Document, err error) {
	line := p.Console.Cell(cell.String())
	defer func() { line.Done(err) }()
	if p.workers != nil {
		defer p.workers.Close()
	}
	mine := &share{of: p.local}
	if err := mine.take(ctx); err != nil {
		return nil, err
	}
	defer mine.give()
	_, rec, documents, err := p.described(ctx, &stopwatch{show: line.Stage}, cell, mine)
	if err != nil {
		return nil, err
	}
	return readDocument(documents.Open, rec)
}

func readDocument(open func(name string) (io.ReadCloser, error), rec artifact.Record) (*spdx.Document, error) {
	in, err := open(dist.Document(rec, ""))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	d, err := spdx.Parse(in)
	if err != nil {
		return nil, fmt.Errorf("reading the document of %s: %w", rec.Name, err)
	}
	return d, nil
}
