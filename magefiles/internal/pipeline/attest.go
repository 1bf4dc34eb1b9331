package pipeline

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// attest keeps the record of a cell, and beside it the provenance, in which
// stand the checkout that was seen and the time since begun. It says when the
// artifact was built, by whom and from what, and goes on saying so as long as
// the record is kept: a later commit changes nothing of that.
func (p *Pipeline) attest(ctx context.Context, key store.Key, rec artifact.Record, seen seen, begun time.Time, clock *stopwatch) (artifact.Record, store.Entry, error) {
	builder, run, err := p.ended(ctx, seen, begun)
	if err != nil {
		return rec, store.Entry{}, err
	}
	statement, err := provenance.Statement(rec, builder, run)
	if err != nil {
		return rec, store.Entry{}, err
	}
	data, err := intoto.Marshal(statement)
	if err != nil {
		return rec, store.Entry{}, fmt.Errorf("attesting %s: %w", rec.Name, err)
	}
	rec.Timing = clock.stop()
	// Of two runs at once the first one's record stays, also in what the second publishes.
	rec, entry, _, err := store.Do(ctx, p.store, key, func(_ context.Context, dir string) (artifact.Record, error) {
		return rec, os.WriteFile(filepath.Join(dir, dist.Provenance(rec)), data, 0o644)
	})
	return rec, entry, err
}

// ended is what provenance says of a run that ends now, and of who builds.
func (p *Pipeline) ended(ctx context.Context, seen seen, begun time.Time) (provenance.Builder, provenance.Run, error) {
	// What was read meanwhile may not be what was seen at first.
	after, err := checkout.Observe(ctx, p.Config.Root, p.Config.Git)
	if err != nil {
		return provenance.Builder{}, provenance.Run{}, err
	}
	if after != seen.checkout {
		seen.checkout.Clean = false
		seen.checkout.Tool.Version = checkout.Develop
	}
	cache := provenance.Shared
	if taken, err := p.store.Taken(); err != nil {
		return provenance.Builder{}, provenance.Run{}, err
	} else if taken {
		cache = provenance.Registry
	} else if p.fresh {
		cache = provenance.Fresh
	}
	finished := time.Now()
	if finished.Before(begun) { // the clock was set back
		finished = begun
	}
	return Builder(p.plan.Distribution.Namespace, seen.checkout, p.tool), provenance.Run{
		InvocationID: seen.invocation, Started: begun, Finished: finished,
		Repository:   provenance.Repository{URI: seen.checkout.Address, Commit: seen.checkout.Commit, Clean: seen.checkout.Clean},
		Distribution: seen.distribution, Cache: cache,
	}, nil
}

// Builder is who builds: this machine, about which nobody but its user says
// anything, with this tool, whose program has that digest and whose sources are
// in the checkout. The namespace is that of the distribution.
func Builder(namespace string, c checkout.State, program artifact.Digest) provenance.Builder {
	b := provenance.Builder{
		ID:      namespace + "/builders/workstation/v1",
		Version: map[string]string{"go": runtime.Version()},
	}
	tool := intoto.Resource{Name: checkout.Module, Digest: intoto.Digests{}}
	if hash, err := intoto.DirHash(c.Tool.Sum); err == nil {
		b.Version[checkout.Module] = c.Tool.Version
		tool.Name += "@" + c.Tool.Version
		tool.URI = "pkg:golang/" + tool.Name
		tool.Digest["dirHash"] = hash
	} else { // its sources are elsewhere: it is known by its program alone
		b.Version[checkout.Module] = program.String()
		tool.Digest["sha256"] = program.Hex()
	}
	b.Dependencies = []intoto.Resource{tool}
	return b
}

// seen is what provenance says of a run, beyond a cell's own record and times.
type seen struct {
	checkout     checkout.State
	distribution artifact.Digest
	invocation   string
}

// A witness looks where a run builds: once, and not at all if there is nothing
// to do.
type witness struct {
	pipeline *Pipeline

	mu    sync.Mutex
	saw   bool
	state seen
}

func (w *witness) look(ctx context.Context) (seen, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saw {
		return w.state, nil
	}
	p := w.pipeline
	state, err := checkout.Observe(ctx, p.Config.Root, p.Config.Git)
	if err != nil {
		return seen{}, err
	}
	if state.Unknown != "" {
		p.Console.Notef("provenance will name no commit: the version of this checkout is not known: %s", state.Unknown)
	}
	s := seen{checkout: state, distribution: p.plan.settings, invocation: Invocation(p.Config)}
	w.saw, w.state = true, s
	return s, nil
}

// Invocation names a run: the address of the workflow run that it is, or what no
// other run is called by.
func Invocation(cfg *config.Config) string {
	if cfg.Run != "" {
		return cfg.Run
	}
	return newUUID()
}

// newUUID is a random UUID (RFC 9562, 5.4).
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
