// Package pipeline runs the stages that lead from a recipe to an artifact, in
// the one order in which they compile, for as many cells at once as the
// machine carries. Every stage keeps its result under the digest of its
// inputs, so a run does what changed and no more; results appear in dist/
// whole, after all of them were made.
package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/buildkit"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/gitsource"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/recipes"
)

// Stages is the table of contents of a run: what happens to each cell, in
// this order.
var Stages = []struct{ Name, Does string }{
	{"fetching", "every module of the lock, against the checksum database and go.sum"},
	{"patching", "the series, exactly; the web interface; the seal, against patched.sum"},
	{"compiling", "in the sandbox, with the pinned Go; the build info, against the lock"},
	{"licensing", "the licence of everything linked and embedded, as its verified source has it"},
	{"archiving", "the files in upstream's layout, with those licences, stamped with the release time"},
	{"describing", "SPDX documents of the archive and of each binary"},
	{"attesting", "the provenance: what went in, how, from which commit, and who built"},
	{"publishing", "into dist/, with SHA256SUMS and release.json last"},
}

// A Pipeline holds what the stages share.
type Pipeline struct {
	Config  *config.Config
	Console *console.Console

	store       *store.Store
	box         *toolchain.Box
	hostGo      *modules.Client // runs the go command of the host: fetches the pinned one
	commits     *gitsource.Client
	workshop    *source.Workshop
	interfaces  *interfaces
	compiler    *gobuild.Compiler
	reader      *licences.Reader
	roots       *sync.Map // of the Go toolchains that this run has verified, by version
	witness     *witness
	authorities *authorities
	plan        *Plan
	workers     *buildkit.Pool      // that compile; nil for the sandbox of this machine
	slots       *semaphore.Weighted // compilations here and web interfaces at once
	local       *semaphore.Weighted // cells at once for which this machine does anything
	tool        artifact.Digest     // of this program: another one may archive or describe in another way
	fresh       bool                // all that is in the store was put there by the plan's run
}

// begin reports whether all that is in the store is of that run.
func begin(s *store.Store, run artifact.Digest) (fresh bool, err error) {
	if run.IsZero() {
		return false, s.Share()
	}
	return s.Begin(run)
}

// Open prepares the store and everything that works in it.
func Open(cfg *config.Config, con *console.Console, plan *Plan) (*Pipeline, error) {
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return nil, err
	}
	s.Waiting = func(name string) { con.Notef("waiting for another run, which holds %s", name) }
	fresh, err := begin(s, plan.Run)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"go-build", "mod", "npm", "toolchains"} {
		if err := os.MkdirAll(s.Dir(dir), 0o755); err != nil {
			return nil, err
		}
	}
	hostGo := &modules.Client{Go: cfg.Go, Env: cfg.Fetch, Store: s, CPUs: cfg.CPUs}
	packages := &npm.Client{Registry: cfg.Registry, Dir: s.Dir("npm")}
	box := &toolchain.Box{Store: s, Modules: hostGo, NPM: packages, Pins: &plan.Distribution.Toolchains, Host: cfg.Host}
	p := &Pipeline{
		Config: cfg, Console: con, store: s, box: box, hostGo: hostGo, plan: plan,
		fresh: fresh, roots: &sync.Map{}, slots: semaphore.NewWeighted(Slots(cfg)),
		local: semaphore.NewWeighted(shares(cfg)),
	}
	p.commits = &gitsource.Client{Git: cfg.Git, Env: cfg.Fetch, Store: s, Mirror: cfg.GitMirror}
	p.interfaces = &interfaces{pipeline: p}
	p.witness = &witness{pipeline: p}
	p.authorities = &authorities{pipeline: p}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if p.tool, _, err = artifact.DigestFile(self); err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	p.workshop = &source.Workshop{
		Store: s, Distribution: plan.Distribution, Patches: os.DirFS(filepath.Join(cfg.Root, "patches")),
		UI: p.interfaces,
	}
	p.reader = &licences.Reader{Store: s}
	p.compiler = &gobuild.Compiler{Store: s, Modules: hostGo, Box: box, Distribution: plan.Distribution, Hermetic: cfg.Hermetic}
	if b := cfg.BuildKit; len(b.Addresses) > 0 {
		if cfg.Hermetic {
			return nil, fmt.Errorf("%w: -hermetic asks for a sandbox that this machine sees, and what a worker promises it does not: leave that out, or BUILDKIT_HOST", config.ErrUsage)
		}
		p.workers, err = buildkit.New(buildkit.Options{
			Addresses: b.Addresses, TLS: buildkit.TLS{Dir: b.TLSDir, ServerName: b.TLSServerName},
			Platform: cfg.Host, Dir: s.Dir("buildkit"), Note: con.Notef, Clock: time.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("%w: BUILDKIT_HOST: %w", config.ErrUsage, err)
		}
		p.compiler.Elsewhere = p.workers
	}
	return p, nil
}

// Toolchains says what is pinned for this machine, and where it is unpacked.
func (p *Pipeline) Toolchains() *toolchain.Box { return p.box }

// Slots is how many compilations may run at once: the compiler itself uses
// every processor it finds, so one for every four of them, and 4 GiB of
// memory for each, which linking prometheus takes.
func Slots(cfg *config.Config) int64 {
	n := int64(cfg.CPUs) / 4
	if cfg.Memory > 0 {
		n = min(n, cfg.Memory>>32)
	}
	return max(1, n)
}

// Run builds every cell of the plan and publishes the results.
func (p *Pipeline) Run(ctx context.Context) ([]artifact.Record, error) {
	target, err := dist.Open(p.Config.Dist, p.plan.Distribution.Name, p.store)
	if err != nil {
		return nil, err
	}
	if p.workers != nil {
		defer p.workers.Close()
	}
	results := make([]dist.Item, len(p.plan.Cells))
	g, inGroup := errgroup.WithContext(ctx)
	g.SetLimit(p.atOnce())
	for i, cell := range p.plan.Cells {
		g.Go(func() (err error) {
			results[i], err = p.cell(inGroup, cell, target)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := target.Publish(ctx, results); err != nil {
		return nil, err
	}
	records := make([]artifact.Record, len(results))
	for i, r := range results {
		records[i] = r.Record
	}
	return records, nil
}

// cell takes one cell through the stages, or finds that there is nothing to do.
func (p *Pipeline) cell(ctx context.Context, cell Cell, target *dist.Dir) (item dist.Item, err error) {
	line := p.Console.Cell(cell.String())
	defer func() { line.Done(err) }()
	key, err := p.key(cell)
	if err != nil {
		return dist.Item{}, err
	}
	if record, kept, ok, err := store.Peek[artifact.Record](p.store, key); err == nil && ok {
		if f, ok := kept.File(dist.Provenance(record)); ok && target.Holds(record, f.Digest) {
			line.Cached()
			return dist.Item{Record: record, Provenance: kept}, nil
		}
	}
	mine := &share{of: p.local}
	if err := mine.take(ctx); err != nil {
		return dist.Item{}, err
	}
	defer mine.give()
	begun := time.Now()
	seen, err := p.witness.look(ctx)
	if err != nil {
		return dist.Item{}, err
	}
	clock := &stopwatch{show: line.Stage}
	packed, record, documents, err := p.described(ctx, clock, cell, mine)
	if err != nil {
		return dist.Item{}, err
	}
	clock.begin("attesting")
	record, provenance, err := p.attest(ctx, key, record, seen, begun, clock)
	if err != nil {
		return dist.Item{}, err
	}
	return dist.Item{Record: record, Archive: packed.files, Binaries: packed.licensed.Files, Documents: documents, Provenance: provenance}, nil
}

// described takes a cell through the stages that make something, up to the
// documents that say what.
func (p *Pipeline) described(ctx context.Context, clock *stopwatch, cell Cell, mine *share) (packed, artifact.Record, store.Entry, error) {
	fail := func(err error) (packed, artifact.Record, store.Entry, error) {
		return packed{}, artifact.Record{}, store.Entry{}, err
	}
	clock.begin("fetching")
	tree, err := p.fetch(ctx, cell.Recipe)
	if err != nil {
		return fail(err)
	}
	clock.begin("patching")
	patched, err := p.workshop.Patch(ctx, tree, cell.Variant)
	if err != nil {
		return fail(err)
	}
	built, err := p.compile(ctx, clock, patched, cell, mine)
	if err != nil {
		return fail(err)
	}
	clock.begin("licensing")
	licensed, err := p.license(ctx, built)
	if err != nil {
		return fail(err)
	}
	clock.begin("archiving")
	a, err := p.archive(ctx, licensed)
	if err != nil {
		return fail(err)
	}
	clock.begin("describing")
	record, documents, err := p.describe(ctx, a)
	return a, record, documents, err
}

// fetch brings a recipe's modules.
func (p *Pipeline) fetch(ctx context.Context, r *recipes.Recipe) (source.Tree, error) {
	pinned, err := p.pinned(ctx, r)
	if err != nil {
		return source.Tree{}, err
	}
	if r.Git == nil {
		return source.Fetch(ctx, pinned, r)
	}
	commit, err := p.commit(ctx, r)
	if err != nil {
		return source.Tree{}, err
	}
	return source.FetchCommit(ctx, pinned, r, commit)
}

// commit is what a recipe's module is made of.
func (p *Pipeline) commit(ctx context.Context, r *recipes.Recipe) (gitsource.Tree, error) {
	trees, err := p.commits.FetchAll(ctx, []recipes.Git{*r.Git})
	if err != nil {
		return gitsource.Tree{}, err
	}
	return trees[0], nil
}

// pinned fetches with the Go that the recipe pins, and is given upstream's module
// where the recipe has it made of a commit.
func (p *Pipeline) pinned(ctx context.Context, r *recipes.Recipe) (*modules.Client, error) {
	golang, err := p.box.Go(ctx, r.Lock.Go)
	if err != nil {
		return nil, err
	}
	p.roots.Store(r.Lock.Go, golang.Dir)
	client := *p.hostGo
	client.Go = filepath.Join(golang.Dir, "bin", "go")
	if r.Git != nil {
		commit, err := p.commit(ctx, r)
		if err != nil {
			return nil, err
		}
		upstream := module.Version{Path: r.Module, Version: r.Lock.Upstream}
		if client.Given, err = client.Give(ctx, upstream, commit.Dir, commit.Hash, r.Released); err != nil {
			return nil, err
		}
	}
	return &client, nil
}

func (p *Pipeline) compile(ctx context.Context, clock *stopwatch, patched source.Patched, cell Cell, mine *share) (gobuild.Built, error) {
	clock.begin("waiting")
	compiler := *p.compiler
	if p.workers == nil { // which know themselves how many there are
		if err := p.slots.Acquire(ctx, 1); err != nil {
			return gobuild.Built{}, err
		}
		defer p.slots.Release(1)
	} else {
		mine.give()
		compiler.Elsewhere, compiler.Begin = away{p.workers, mine}, mine.take
	}
	clock.begin("compiling")
	built, err := compiler.Build(ctx, patched, gobuild.Target{Platform: cell.Platform, Variant: cell.Variant})
	clock.cached(built.Cached)
	if err == nil {
		err = mine.take(ctx)
	}
	return built, err
}

// A stopwatch times the stages of a cell. Time is shown and recorded, and
// enters nothing that is built.
type stopwatch struct {
	show    func(stage string)
	started time.Time
	stages  []artifact.Stage
}

func (s *stopwatch) begin(stage string) {
	s.stop()
	s.started = time.Now()
	s.stages = append(s.stages, artifact.Stage{Name: stage})
	s.show(stage)
}

func (s *stopwatch) cached(yes bool) { s.stages[len(s.stages)-1].Cached = yes }

func (s *stopwatch) stop() []artifact.Stage {
	if n := len(s.stages); n > 0 && s.stages[n-1].Seconds == 0 {
		s.stages[n-1].Seconds = float64(time.Since(s.started).Round(time.Millisecond)) / float64(time.Second)
	}
	return slices.DeleteFunc(slices.Clone(s.stages), func(st artifact.Stage) bool { return st.Name == "waiting" })
}
