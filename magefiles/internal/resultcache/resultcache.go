// Package resultcache shares what long steps of a build left between machines,
// through a repository of an OCI registry that nobody has to trust. It
// guarantees that a result is taken from there only if somebody whom a policy
// believes has signed it, as the result of that very step on those very inputs,
// and only byte for byte as it was signed: the bundle is opened first, and
// everything else is held against it before a build can find any of it.
//
// Whatever is wrong is refused, told in one line, and made here instead: a
// manifest that is not the one of its bundle (ErrForm), a bundle that the policy
// does not believe or that is too old, the result of other inputs
// (step.ErrOther), a blob that is another, is missing or does not end. What this
// machine failed to keep (store.ErrHere) is told as that, and made as well. A registry
// that cannot be had is told once, and not asked again by this run.
//
// What is made here is offered, if there is somebody to sign it and the policy
// would let it in again: first the blobs, and then the tag. That it cannot be
// sent fails no build. An entry of the same key that was there is replaced:
// whoever may write can take entries away, or put others in their place, and so
// cost time, and nothing else.
//
// The form of an entry is told in attestations/predicates/step.md.
package resultcache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/attestations/step"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/store"
)

// Options say where results are shared, and who is believed.
type Options struct {
	Repository string        // registry.example/palisade/cache
	Policy     policy.Policy // whose signatures are believed, how old they may be, and which builders
	Trust      verify.Trust  // what the policy cannot hold, but for the time
	// Now is asked for the time whenever an entry's is judged: a build takes longer
	// than a policy lets a clock be wrong.
	Now    func() time.Time
	Signer signing.Signer // signs what is offered; nil if nothing is
	// Builder is who runs steps here. It is asked if there is something to sign.
	Builder func(context.Context) (provenance.Builder, error)

	Keychain  authn.Keychain                   // nil for nobody's credentials
	Transport http.RoundTripper                // nil for one of registry's
	Pause     registry.Pause                   // between attempts; nil for a timer that is not patient
	Note      func(format string, args ...any) // is told what happens, a line at a time
}

// How long is waited for: an answer of the registry, for what it asks to be left
// alone, and until an entry has come or gone. Beyond that it is quicker to do
// without.
const (
	patience     = 30 * time.Second
	longestPause = 5 * time.Second
	wholeEntry   = 10 * time.Minute
)

// A Cache is a store.Remote. It is safe for use by several goroutines.
type Cache struct {
	o                Options
	believed         bundle.Trust
	reading, writing *line
	signing          sync.Mutex    // one signature at a time
	room             chan struct{} // for entries that are being sent
	sending          sync.WaitGroup
	stop             chan struct{} // closed when what is being sent is given up
	stopped          sync.Once

	mu    sync.Mutex
	tally Tally
}

var _ store.Remote = (*Cache)(nil)

// A Tally is what a run did: entries taken, sent, and refused.
type Tally struct{ Taken, Sent, Refused int }

// Open refuses a policy that believes nobody, and what is no repository. It
// reaches no network.
func Open(o Options) (*Cache, error) {
	believed, err := o.Trust.Bundles(o.Policy)
	if err != nil {
		return nil, fmt.Errorf("opening the cache %s: %w", o.Repository, err)
	}
	if o.Now == nil {
		return nil, fmt.Errorf("opening the cache %s: %w: it does not say what time it is", o.Repository, bundle.ErrTrust)
	}
	if _, err := registry.ParseName(o.Repository); err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	if o.Pause == nil {
		o.Pause = impatient
	}
	c := &Cache{o: o, believed: believed, room: make(chan struct{}, 2), stop: make(chan struct{})}
	c.reading, c.writing = &line{cache: c}, &line{cache: c, write: true}
	return c, nil
}

func impatient(ctx context.Context, d time.Duration) error {
	if d > longestPause {
		return fmt.Errorf("%w: it asks to be left alone for %s, longer than a cache is worth", registry.ErrUnavailable, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait waits until what was offered is sent, or ctx ends, and says what was
// done. Nothing may be offered any more.
func (c *Cache) Wait(ctx context.Context) Tally {
	end := context.AfterFunc(ctx, func() { c.stopped.Do(func() { close(c.stop) }) })
	c.sending.Wait()
	end()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally
}

func (c *Cache) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

// A line is a connection to the registry, for reading or for writing as well,
// that is given up for good when it fails.
type line struct {
	cache *Cache
	write bool

	mu         sync.Mutex
	repository *registry.Repository
	gone, told bool
}

// errGone is the failure that was told already.
var errGone = errors.New("the cache was given up")

func (l *line) connect(ctx context.Context) (*registry.Repository, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil, errGone
	}
	if l.repository == nil {
		o := l.cache.o
		bounded, cancel := context.WithTimeoutCause(ctx, patience, errLate)
		defer cancel()
		r, err := registry.Connect(bounded, o.Repository, registry.Options{Keychain: o.Keychain, Transport: o.Transport, Pause: o.Pause, Write: l.write})
		if err != nil {
			err = late(bounded, err)
			// Those who wait for the lock would wait as long, one after the other.
			l.gone = unreachable(err) && ctx.Err() == nil
			return nil, err
		}
		l.repository = r
	}
	return l.repository, nil
}

// giveUp says why, once.
func (l *line) giveUp(why error, then string) {
	l.mu.Lock()
	was := l.told
	l.gone, l.told = true, true
	l.mu.Unlock()
	if !was {
		l.cache.o.Note("cache %s: %v: %s", l.cache.o.Repository, registry.Brief(why, maxTold), then)
	}
}

// maxTold bounds an error that is told, in bytes.
const maxTold = 600

var errLate = fmt.Errorf("%w: it took too long", registry.ErrUnavailable)

// late is err, or that the time was over.
func late(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), errLate) {
		return fmt.Errorf("%w: %w", errLate, err)
	}
	return err
}

// believe opens a bundle, and says what it attests of key. In this order: the
// bundle, its time, the statement, what it is of, and who built.
func (c *Cache) believe(data []byte, name string, inputs artifact.Digest) (step.Step, bundle.Signer, error) {
	opened, err := bundle.OpenAttestation(data, c.believed)
	if err != nil {
		return step.Step{}, bundle.Signer{}, err
	}
	at, _ := opened.Time()
	if err := c.o.Policy.JudgeTime(at, c.o.Now()); err != nil {
		return step.Step{}, bundle.Signer{}, err
	}
	statement, err := intoto.Parse(opened.Payload())
	if err != nil {
		return step.Step{}, bundle.Signer{}, err
	}
	said, err := step.Parse(statement)
	if err == nil {
		err = said.Check(name, inputs)
	}
	if err == nil {
		err = c.o.Policy.JudgeBuilder(said.Builder.ID)
	}
	return said, opened.Signer(), err
}
