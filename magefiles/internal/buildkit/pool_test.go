package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

// A fake is a daemon that does as its test says.
type fake struct {
	id    string
	run   func(ctx context.Context) error
	mu    sync.Mutex
	dead  error
	ran   int
	atOne int
	asked int

	closed int
}

func (f *fake) worker(context.Context, artifact.Platform) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.id, f.dead
}

func (f *fake) heard() int { f.mu.Lock(); defer f.mu.Unlock(); return f.asked }

func (f *fake) solve(ctx context.Context, _ *job) error {
	f.mu.Lock()
	f.ran++
	f.atOne++
	both := f.atOne > 1
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.atOne--
		f.mu.Unlock()
	}()
	if both {
		return &sandbox.ExitError{Code: 99}
	}
	return f.run(ctx)
}

func (f *fake) traffic() (sent, received int64) { return 0, 0 }
func (f *fake) close() error                    { f.closed++; return nil }
func (f *fake) die(err error)                   { f.mu.Lock(); f.dead = err; f.mu.Unlock() }

func poolOf(t *testing.T, fakes ...*fake) *Pool {
	t.Helper()
	var addresses []string
	byAddress := map[string]*fake{}
	for i, f := range fakes {
		addresses = append(addresses, fmt.Sprintf("tcp://127.0.0.1:%d", 1000+i))
		byAddress[addresses[i]] = f
	}
	p, err := New(Options{Addresses: addresses, Platform: linux, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p.dial = func(_ context.Context, address string) (daemon, error) { return byAddress[address], nil }
	t.Cleanup(func() { p.Close() })
	return p
}

func fine(context.Context) error { return nil }

func TestRun(t *testing.T) {
	broken := errors.New("the connection is gone")
	for _, tt := range []struct {
		name    string
		workers func() []*fake
		worker  string // that did it
		want    string // of the error
		ran     []int
	}{
		{"the first that is free", func() []*fake { return []*fake{{id: "a", run: fine}, {id: "b", run: fine}} }, "a", "", []int{1, 0}},
		{"one that is not there", func() []*fake { return []*fake{{id: "a", run: fine, dead: broken}, {id: "b", run: fine}} }, "b", "", []int{0, 1}},
		{"one dies in the middle", func() []*fake {
			a := &fake{id: "a"}
			a.run = func(context.Context) error { a.die(broken); return broken }
			return []*fake{a, {id: "b", run: fine}}
		}, "b", "", []int{1, 1}},
		{"one fails and lives", func() []*fake {
			return []*fake{{id: "a", run: func(context.Context) error { return broken }}, {id: "b", run: fine}}
		}, "b", "", []int{1, 1}},
		{"the only one fails once", func() []*fake {
			a := &fake{id: "a"}
			a.run = func(context.Context) error {
				if a.ran == 1 {
					return broken
				}
				return nil
			}
			return []*fake{a}
		}, "a", "", []int{2}},
		{"all fail for ever", func() []*fake {
			return []*fake{{id: "a", run: func(context.Context) error { return broken }}, {id: "b", run: func(context.Context) error { return broken }}}
		}, "", "it failed 2 times in a row: the connection is gone", []int{2, 2}},
		{"all of many fail", func() []*fake {
			var all []*fake
			for range 7 {
				all = append(all, &fake{id: "a", run: func(context.Context) error { return broken }})
			}
			return all
		}, "", "5 workers failed, one after the other", []int{1, 1, 1, 1, 1, 0, 0}},
		{"a retry goes to one that has done it before", func() []*fake {
			return []*fake{{id: "a", run: func(context.Context) error { return broken }}, {id: "b", run: func(context.Context) error { return broken }}, {id: "c", run: fine}}
		}, "c", "", []int{1, 0, 1}},
		{"all die", func() []*fake {
			a, b := &fake{id: "a"}, &fake{id: "b"}
			a.run = func(context.Context) error { a.die(broken); return broken }
			b.run = func(context.Context) error { b.die(broken); return broken }
			return []*fake{a, b}
		}, "", "no worker of BuildKit is left", []int{1, 1}},
		{"the command fails", func() []*fake {
			return []*fake{{id: "a", run: func(context.Context) error { return &sandbox.ExitError{Code: 2} }}, {id: "b", run: fine}}
		}, "a", "exit status 2", []int{1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakes := tt.workers()
			p := poolOf(t, fakes...)
			p.workers[len(fakes)-1].proven = strings.Contains(tt.name, "before")
			result, err := p.Run(t.Context(), compilation(t))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			want := artifact.Sandbox{}
			if tt.worker != "" {
				want = artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: tt.worker}
			}
			if got := result.Report; got.Worker != want.Worker || got.Executor != want.Executor || got.Hermetic != want.Hermetic {
				t.Errorf("reported %+v, want %+v", got, want)
			}
			for i, f := range fakes {
				if f.ran != tt.ran[i] {
					t.Errorf("worker %s ran %d, want %d", f.id, f.ran, tt.ran[i])
				}
			}
		})
	}
}

// A worker has one command at a time, and none waits while one is free.
func TestSpread(t *testing.T) {
	const n = 20
	together := make(chan struct{})
	var both sync.WaitGroup
	both.Add(2)
	go func() { both.Wait(); close(together) }()
	meet := func() func(context.Context) error {
		var once sync.Once
		return func(ctx context.Context) error {
			once.Do(both.Done)
			select {
			case <-together: // as soon as the other one runs
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	p := poolOf(t, &fake{id: "a", run: meet()}, &fake{id: "b", run: meet()})
	spec := compilation(t)
	failed := make(chan error, n)
	for range n {
		go func() {
			_, err := p.Run(t.Context(), spec)
			failed <- err
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// Workers that fail at once are free at once: no command goes from one of them
// to the next while another worker may still do it.
func TestFleet(t *testing.T) {
	const n, bad = 40, 6
	var begun, failed sync.WaitGroup
	begun.Add(n)
	failed.Add(bad)
	var fakes []*fake
	for i := range n {
		f := &fake{id: fmt.Sprint(i)}
		var first, second sync.Once
		f.run = func(context.Context) error {
			first.Do(begun.Done)
			begun.Wait()
			if i < bad {
				second.Do(failed.Done)
				return errors.New("no room")
			}
			failed.Wait()
			return nil
		}
		fakes = append(fakes, f)
	}
	p := poolOf(t, fakes...)
	spec := compilation(t)
	ended := make(chan error, n)
	for round := 1; round <= maxStrikes+1; round++ {
		for range n {
			go func() {
				_, err := p.Run(t.Context(), spec)
				ended <- err
			}()
		}
		for range n {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		for _, f := range fakes[:bad] {
			if f.ran > min(round, maxStrikes) {
				t.Errorf("round %d: worker %s fails, and ran %d", round, f.id, f.ran)
			}
		}
	}
}

// What a command took is told, by the clock that was given.
func TestNotes(t *testing.T) {
	p := poolOf(t, &fake{id: "a", run: fine})
	var told []string
	p.options.Note = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	at := time.Unix(0, 0)
	p.options.Clock = func() time.Time { at = at.Add(90 * time.Second); return at }
	if _, err := p.Run(t.Context(), compilation(t)); err != nil {
		t.Fatal(err)
	}
	want := []string{"worker tcp://127.0.0.1:1000 compiles", "worker tcp://127.0.0.1:1000 is done: 90.0 s, 0 bytes sent, 0 received"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// One that succeeds now and then is kept.
func TestStrikes(t *testing.T) {
	f := &fake{id: "a"}
	f.run = func(context.Context) error {
		if f.ran%2 == 1 {
			return errors.New("the connection is gone")
		}
		return nil
	}
	p := poolOf(t, f)
	for range 5 {
		if _, err := p.Run(t.Context(), compilation(t)); err != nil {
			t.Fatal(err)
		}
	}
	f.run = func(context.Context) error { return errors.New("no room") }
	if _, err := p.Run(t.Context(), compilation(t)); !errors.Is(err, ErrNoWorker) || !strings.Contains(err.Error(), "2 times in a row: no room") || f.ran != 12 {
		t.Errorf("ran %d, got %v", f.ran, err)
	}
}

// A worker that answers, and never ends, does not hold the build for ever.
func TestEndless(t *testing.T) {
	a := &fake{id: "a", run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	p := poolOf(t, a, &fake{id: "b", run: fine}) // which looks at no time
	p.longest = 1
	for range 2 {
		result, err := p.Run(t.Context(), compilation(t))
		if err != nil || result.Report.Worker != "b" {
			t.Errorf("got %v, %v", result, err)
		}
	}
	if a.ran != 1 || !errors.Is(p.workers[0].lost, errEndless) {
		t.Errorf("it ran %d, and was left out for %v", a.ran, p.workers[0].lost)
	}
}

// What is recorded is who answered as the command began, not who once did.
func TestRenamed(t *testing.T) {
	f := &fake{id: "a", run: fine}
	p := poolOf(t, f)
	for _, id := range []string{"a", "b"} {
		f.id = id
		if result, err := p.Run(t.Context(), compilation(t)); err != nil || result.Report.Worker != id {
			t.Errorf("%s: got %v, %v", id, result, err)
		}
	}
}

// A pool that was closed begins again, and has forgotten nobody's faults.
func TestClose(t *testing.T) {
	a, b := &fake{id: "a", run: fine, dead: errors.New("gone")}, &fake{id: "b", run: fine}
	p := poolOf(t, a, b)
	for range 2 {
		if result, err := p.Run(t.Context(), compilation(t)); err != nil || result.Report.Worker != "b" {
			t.Errorf("got %v, %v", result, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		a.die(nil)
	}
	if a.closed != 1 || b.closed != 2 {
		t.Errorf("closed %d and %d", a.closed, b.closed)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := poolOf(t, &fake{id: "a", run: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }})
	if _, err := p.Run(ctx, compilation(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The name is secret, lasting, and one for all that ask at once.
func TestSecret(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "buildkit")}
	names := make(chan string, 8)
	for range 8 {
		go func() {
			s, err := o.secret()
			if err != nil {
				t.Error(err)
			}
			names <- s
		}()
	}
	first := <-names
	for range 7 {
		if other := <-names; other != first {
			t.Errorf("%q and %q", first, other)
		}
	}
	if info, err := os.Stat(filepath.Join(o.Dir, "name")); err != nil || info.Mode().Perm() != 0o600 || len(first) < 26 {
		t.Errorf("%q: %v, %v", first, info, err)
	}
}
