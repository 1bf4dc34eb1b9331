// Package buildkit runs commands of the sandbox's form on workers of BuildKit,
// so that what they leave is the same bytes and nothing but this package knows
// where they ran.
//
// # What is asked of a worker
//
// A root file system that is empty and read-only but for the small files and
// mounts of the sandbox.Spec, no network, user and group 1000 on host
// "palisade", the environment of the Spec, a private /tmp of at most 2 GiB of
// memory. A read-only mount is sent as it
// lies here, once: the worker keeps it under the digest of its content. A
// writable mount begins empty and stays there, but for the files that its
// Leaves name, which come back. The command really runs: a result that the
// worker remembers is not taken.
//
// No cache of the compiler is kept on a worker between commands, though that
// would save much of the work: whoever else uses the worker, and each earlier
// command, could put there what a later one links. What a command wrote
// elsewhere than in its Leaves, the worker drops at its end.
//
// # What is checked here, and what is not
//
// Checked are the names, the number, the kind and the size of the files that
// come back. What is in them is not: the caller reads a binary's build info,
// but that is what the binary says of itself, and a worker can write any code
// beside the right words. Nor does anybody here see that the command had no
// network, or was run at all. BuildKit gives every command a /proc, a /sys, an
// /etc/hosts and an /etc/resolv.conf, too, and for its tracing a socket in /dev
// and variables that begin with OTEL_ or TRACE, of which the go command knows
// none. Whoever controls a worker is a part
// of the builder. A Result's Report therefore names the executor and the
// worker. A worker that lies is found by building again where it has no say,
// on this machine or by somebody else's workers, and comparing the bytes, which
// is what "mage reproduce" does.
//
// # What is refused
//
// An address of another form than tcp://HOST:PORT or unix:///PATH; tcp to
// another machine without client certificates; a worker for another platform;
// an answer that holds anything but the files that were asked for, or none
// within the time of longest. A worker that fails in the middle has its command
// taken by another, at most maxAttempts times in all. One that does not answer
// any more, that takes for ever, or that failed maxStrikes times in a row is
// not asked again in the life of the Pool. A command that ran and failed is not
// tried again.
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

// Name is what a Report calls this executor.
const Name = "buildkit"

// ErrNoWorker is wrapped when no worker is left that could run a command.
var ErrNoWorker = errors.New("no worker of BuildKit is left")

const (
	maxAttempts = 5                // of one command, whoever failed
	maxStrikes  = 2                // of one worker, in a row
	patience    = 30 * time.Second // a worker asked for its name looks what it can run
	longest     = 2 * time.Hour    // that one command may take; prometheus takes minutes
)

var errEndless = errors.New("it did not end")

// Options say which workers there are.
type Options struct {
	Addresses []string          // at least one, each once
	TLS       TLS               // for all of them
	Platform  artifact.Platform // of the programs in the mounts
	Dir       string            // where this user's name with the workers is kept; it is a secret
	// Note is told where a command goes and what became of it; nil for nobody.
	Note func(format string, args ...any)
	// Clock is by what Note is told how long that took; nil for no clock.
	Clock func() time.Time
}

// A Pool is a set of workers, each of which runs one command at a time, since
// a compiler uses every processor it finds.
type Pool struct {
	options            Options
	longest, heartbeat time.Duration // those of this package, but in tests
	dial               func(ctx context.Context, address string) (daemon, error)

	begin   sync.Mutex
	begun   bool
	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when a worker is given back
	workers []*worker
}

// A daemon is a connection to one.
type daemon interface {
	// worker asks who it is, and refuses one that cannot run what is for p.
	worker(ctx context.Context, p artifact.Platform) (id string, err error)
	// solve runs j. The error wraps a *sandbox.ExitError if the command failed.
	solve(ctx context.Context, j *job) error
	// traffic is how many bytes went there and came from there, in its life.
	traffic() (sent, received int64)
	close() error
}

// A worker is an address and what is known of it.
type worker struct {
	address string
	daemon  daemon
	busy    bool
	strikes int   // how often it failed since a command last came to its end there
	proven  bool  // one has
	lost    error // why it is not asked any more
}

// New makes a pool of workers that are first spoken to when a command is run.
func New(o Options) (*Pool, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New("no address of a worker of BuildKit is given")
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	if o.Clock == nil {
		o.Clock = func() time.Time { return time.Time{} }
	}
	p := &Pool{options: o, longest: longest, heartbeat: heartbeat, changed: make(chan struct{})}
	for i, address := range o.Addresses {
		if err := o.TLS.allows(address); err != nil {
			return nil, err
		}
		for _, other := range o.Addresses[:i] {
			if other == address {
				return nil, fmt.Errorf("the worker %s is named twice", address)
			}
		}
		p.workers = append(p.workers, &worker{address: address})
	}
	p.dial = func(ctx context.Context, address string) (daemon, error) {
		secret, err := o.secret()
		if err != nil {
			return nil, fmt.Errorf("making a name for this user: %w", err)
		}
		c, err := dial(ctx, address, o.TLS, secret)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return p, nil
}

// Size is how many workers were named.
func (p *Pool) Size() int { return len(p.workers) }

// Name says what runs the commands: what it makes is never taken for what the
// sandbox of this machine made, nor the other way round.
func (p *Pool) Name() string { return Name }

// Run runs the command of spec on the next worker that is free and waits for
// its end. Errors are those of sandbox.Run, or wrap ErrNoWorker.
func (p *Pool) Run(ctx context.Context, spec sandbox.Spec) (sandbox.Result, error) {
	j, err := newJob(spec, p.options.Platform)
	if err != nil {
		return sandbox.Result{}, err
	}
	if err := p.start(ctx); err != nil {
		return sandbox.Result{}, err
	}
	tried := map[*worker]bool{}
	var failures []error
	for range maxAttempts {
		w, err := p.take(ctx, tried)
		if err != nil {
			return sandbox.Result{}, errors.Join(append(failures, err)...)
		}
		tried[w] = true
		id, err := p.runOn(ctx, w, j)
		if err == nil || errors.As(err, new(*sandbox.ExitError)) {
			result := sandbox.Result{Report: artifact.Sandbox{Hermetic: true, Executor: Name, Worker: id}}
			if err != nil {
				err = fmt.Errorf("running %s on worker %s: %w", j.args[0], w.address, err)
			}
			return result, err
		}
		if ctx.Err() != nil {
			return sandbox.Result{}, context.Cause(ctx)
		}
		failures = append(failures, fmt.Errorf("worker %s: %w", w.address, err))
	}
	return sandbox.Result{}, fmt.Errorf("running %s: %d workers failed, one after the other: %w", j.args[0], maxAttempts, errors.Join(failures...))
}

// runOn runs j on w, which was taken, and gives it back. It says by what name
// the worker called itself as it began.
func (p *Pool) runOn(ctx context.Context, w *worker, j *job) (id string, err error) {
	sent, received := w.daemon.traffic()
	begun := p.options.Clock()
	if id, err = p.ask(ctx, w.daemon); err == nil {
		p.options.Note("worker %s compiles", w.address)
		err = p.bounded(ctx, func(ctx context.Context) error {
			return p.alive(ctx, w.daemon, func(ctx context.Context) error { return w.daemon.solve(ctx, j) })
		})
	}
	switch {
	case err == nil:
		s, r := w.daemon.traffic()
		p.options.Note("worker %s is done: %.1f s, %d bytes sent, %d received", w.address, p.options.Clock().Sub(begun).Seconds(), s-sent, r-received)
		p.give(w, nil, nil, true)
	case errors.As(err, new(*sandbox.ExitError)) || ctx.Err() != nil:
		p.give(w, nil, nil, ctx.Err() == nil)
	default:
		p.options.Note("worker %s failed, another one takes over: %v", w.address, err)
		lost := err
		if !errors.Is(err, errEndless) {
			_, lost = p.ask(ctx, w.daemon)
		}
		p.give(w, err, lost, false)
	}
	return id, err
}

// bounded ends work that takes longer than any command.
func (p *Pool) bounded(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.longest, fmt.Errorf("%w within %v", errEndless, p.longest))
	defer cancel()
	err := work(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errEndless) {
		return cause
	}
	return err
}

// ask is who d is; an answer comes soon or not at all.
func (p *Pool) ask(ctx context.Context, d daemon) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return d.worker(ctx, p.options.Platform)
}

// start speaks to every worker, once. It is an error if none answers.
func (p *Pool) start(ctx context.Context) error {
	p.begin.Lock()
	defer p.begin.Unlock()
	if p.begun {
		return nil
	}
	var group sync.WaitGroup
	for _, w := range p.workers {
		if w.lost != nil { // of an earlier beginning
			continue
		}
		group.Go(func() {
			if w.daemon, w.lost = p.dial(ctx, w.address); w.lost == nil {
				_, w.lost = p.ask(ctx, w.daemon)
			}
			if w.lost != nil && ctx.Err() == nil {
				p.options.Note("worker %s is left out: %v", w.address, w.lost)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.begun = true
	return nil
}

// take waits for a free worker, the one with the fewest strikes. A command that
// has failed somewhere waits for one that was not tried with it, has no strike,
// and has been of use before, as far as there are any: workers that fail are free
// soon, and would otherwise be the next that it meets.
func (p *Pool) take(ctx context.Context, tried map[*worker]bool) (*worker, error) {
	for {
		p.mu.Lock()
		fit := slices.DeleteFunc(slices.Clone(p.workers), func(w *worker) bool { return w.lost != nil })
		if len(fit) == 0 {
			defer p.mu.Unlock()
			return nil, p.none()
		}
		if len(tried) > 0 {
			fit = preferred(fit, func(w *worker) bool { return !tried[w] })
			fit = preferred(fit, func(w *worker) bool { return w.strikes == 0 })
			fit = preferred(fit, func(w *worker) bool { return w.proven })
		}
		var best *worker
		for _, w := range fit {
			if !w.busy && (best == nil || w.strikes < best.strikes) {
				best = w
			}
		}
		if best != nil {
			best.busy = true
			p.mu.Unlock()
			return best, nil
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// preferred are those that are as asked for, or all if none is.
func preferred(all []*worker, as func(*worker) bool) []*worker {
	var some []*worker
	for _, w := range all {
		if as(w) {
			some = append(some, w)
		}
	}
	if some == nil {
		return all
	}
	return some
}

// none says why no worker is left; it needs p.mu.
func (p *Pool) none() error {
	var lost []error
	for _, w := range p.workers {
		lost = append(lost, fmt.Errorf("%s: %w", w.address, w.lost))
	}
	return fmt.Errorf("%w: %w (start them again, or build here, without BUILDKIT_HOST)", ErrNoWorker, errors.Join(lost...))
}

// give gives w back. If it failed, fault says how; lost says why it cannot be
// asked again. Proven is one on which the command came to its end.
func (p *Pool) give(w *worker, fault, lost error, proven bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.busy, w.lost = false, lost
	if proven {
		w.strikes, w.proven = 0, true
	} else if fault != nil {
		w.strikes++
	}
	if w.strikes >= maxStrikes && lost == nil {
		w.lost = fmt.Errorf("it failed %d times in a row: %w", w.strikes, fault)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close ends the connections. The next Run makes them anew.
func (p *Pool) Close() error {
	p.begin.Lock()
	defer p.begin.Unlock()
	var all []error
	for _, w := range p.workers {
		if w.daemon != nil {
			all = append(all, w.daemon.close())
			w.daemon = nil
		}
	}
	p.begun = false
	return errors.Join(all...)
}
