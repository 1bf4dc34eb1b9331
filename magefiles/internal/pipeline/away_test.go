package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/buildkit"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/source"
	"palisade/recipes"
)

// A remote runs commands as its test says.
type remote func(ctx context.Context) error

func (remote) Name() string { return "remote" }

func (r remote) Run(ctx context.Context, _ sandbox.Spec) (sandbox.Result, error) {
	return sandbox.Result{Report: artifact.Sandbox{Executor: "remote"}}, r(ctx)
}

// As many cells are under way as there is somebody to do something for.
func TestAtOnce(t *testing.T) {
	pool, err := buildkit.New(buildkit.Options{Addresses: []string{"tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cpus    int
		workers *buildkit.Pool
		want    int
	}{{2, nil, 3}, {16, nil, 6}, {2, pool, 6}, {16, pool, 19}} {
		cfg := &config.Config{CPUs: tt.cpus}
		p := &Pipeline{Config: cfg, workers: tt.workers}
		if got := p.atOnce(); got != tt.want || tt.workers == nil && int64(got) > shares(cfg) {
			t.Errorf("%d processors, workers: %v: %d cells, want %d", tt.cpus, tt.workers != nil, got, tt.want)
		}
	}
}

// A share is had once, and given back once.
func TestShare(t *testing.T) {
	local := semaphore.NewWeighted(1)
	one, other := &share{of: local}, &share{of: local}
	for range 2 {
		if err := one.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := other.take(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("it waits on: %v", err)
	}
	for range 2 {
		other.give()
		one.give()
	}
	if !local.TryAcquire(1) || local.TryAcquire(1) {
		t.Error("it was not given back")
	}
}

// Who waits for another machine holds no share of this one, and holds it again
// before anything goes on.
func TestAway(t *testing.T) {
	failed := errors.New("it failed")
	ctx, cancel := context.WithCancel(t.Context())
	for _, tt := range []struct {
		name string
		run  func(context.Context) error
		want error
	}{
		{"well", func(context.Context) error { return nil }, nil},
		{"badly", func(context.Context) error { return failed }, failed},
		{"cancelled", func(ctx context.Context) error { cancel(); return ctx.Err() }, context.Canceled},
		{"cancelled, and done", func(context.Context) error { return nil }, context.Canceled},
	} {
		local := semaphore.NewWeighted(1)
		mine := &share{of: local}
		if err := mine.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		lent := false
		result, err := away{remote(func(runs context.Context) error {
			if lent = local.TryAcquire(1); lent && ctx.Err() == nil {
				local.Release(1)
			} // else another cell has it, and does not give it back
			return tt.run(runs)
		}), mine}.Run(ctx, sandbox.Spec{})
		if !lent || !errors.Is(err, tt.want) || result.Report.Executor != "remote" {
			t.Errorf("%s: lent: %v, got %v, %v", tt.name, lent, result, err)
		}
		if mine.held != (err == nil) {
			t.Errorf("%s: held: %v", tt.name, mine.held)
		}
	}
}

// Of two processes on one cache, one has the lock of a compilation and no share, and
// the other waits for that lock: it has no share meanwhile either, so that each goes
// on, and ends when it is told to.
func TestShareAndLock(t *testing.T) {
	proxy := proxytest.New(t)
	bell := module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	proxy.Add(t, bell.Path, bell.Version, map[string]string{"go.mod": "module " + bell.Path + "\n\ngo 1.24.0\n", "x.go": "package x\n"})
	cfg := here(t)
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(cfg.Cache, "mod")) })
	cfg.Go, cfg.Fetch = proxytest.Go(t), proxy.Env()
	cfg.BuildKit.Addresses = []string{"tcp://127.0.0.1:1"}
	r := &recipes.Recipe{
		Name: "bell", Module: bell.Path, Version: "1.2.0", Revision: 1, Lock: proxy.Lock(bell),
		Binaries: []recipes.Binary{{Name: "bell", Package: bell.Path}},
	}
	one, two := openWith(t, cfg), openWith(t, cfg)
	r.Lock.Go = one.plan.Cells[0].Recipe.Lock.Go
	tree, err := source.Fetch(t.Context(), one.hostGo, r)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := one.workshop.Patch(t.Context(), tree, "hardened")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 2)
	compile := func(p *Pipeline) {
		p.local = semaphore.NewWeighted(1)
		mine := &share{of: p.local}
		if err := mine.take(ctx); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := p.compile(ctx, &stopwatch{show: func(string) {}}, patched, Cell{Recipe: r, Variant: "hardened", Platform: cfg.Host}, mine)
			mine.give()
			ended <- err
		}()
	}
	compile(one)
	if err := one.local.Acquire(ctx, 1); err != nil { // another cell of the first
		t.Fatal(err)
	}
	waits := make(chan struct{})
	two.store.Waiting = func(string) { close(waits) }
	for ctx.Err() == nil && !locked(t, filepath.Join(cfg.Cache, "locks", "compile-2*")) {
		time.Sleep(time.Millisecond)
	}
	compile(two)
	select {
	case <-waits:
	case <-ctx.Done():
		t.Fatal("it does not wait for the lock")
	}
	if !two.local.TryAcquire(1) {
		t.Error("who waits for the lock has a share")
	} else {
		two.local.Release(1)
	}
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}

// locked reports whether somebody has the lock whose file fits pattern.
func locked(t *testing.T, pattern string) bool {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return false
	}
	f, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
