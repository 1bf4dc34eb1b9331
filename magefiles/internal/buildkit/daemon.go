package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

// heartbeat is how often a worker that runs a command is asked whether it is
// still there: a machine that is gone closes no connection.
const heartbeat = 15 * time.Second

var errSilent = errors.New("it does not answer any more")

// alive runs work, and ends it when the daemon falls silent.
func (p *Pool) alive(ctx context.Context, d daemon, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		for tick := time.NewTicker(p.heartbeat); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			asked, done := context.WithTimeout(ctx, 4*p.heartbeat)
			_, err := d.worker(asked, p.options.Platform)
			done()
			if err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%w: %w", errSilent, err))
				return
			}
		}
	}()
	err := work(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

// A connection speaks to buildkitd.
type connection struct {
	client         *client.Client
	secret         string
	sent, received atomic.Int64
}

func dial(ctx context.Context, address string, t TLS, secret string) (*connection, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c := &connection{secret: secret}
	network, where := "tcp", u.Host
	if u.Scheme == "unix" {
		network, where = "unix", u.Path
	}
	options, err := t.options(u.Hostname())
	if err != nil {
		return nil, err
	}
	// The client would go by way of the environment's proxy.
	options = append(options, client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, where)
		if err != nil {
			return nil, err
		}
		return counted{conn, c}, nil
	}))
	c.client, err = client.New(ctx, address, options...)
	return c, err
}

// counted counts what goes over the wire, encrypted or not.
type counted struct {
	net.Conn
	of *connection
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.received.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.of.sent.Add(int64(n))
	return n, err
}

func (c *connection) traffic() (sent, received int64) { return c.sent.Load(), c.received.Load() }

func (c *connection) close() error { return c.client.Close() }

// maxID bounds the name of a worker, in bytes.
const maxID = 128

func (c *connection) worker(ctx context.Context, p artifact.Platform) (string, error) {
	all, err := c.client.ListWorkers(ctx)
	if err != nil {
		return "", said{err}
	}
	// Of several, the daemon itself chooses the first.
	if len(all) == 0 {
		return "", errors.New("the daemon has no worker")
	}
	w := all[0]
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	if w.ID == "" || len(w.ID) > maxID || strings.ContainsFunc(w.ID, strange) {
		return "", fmt.Errorf("it calls itself %.200q", w.ID)
	}
	for _, has := range w.Platforms {
		if has.OS == p.OS && has.Architecture == p.Arch {
			return w.ID, nil
		}
	}
	return "", fmt.Errorf("it runs no programs for %s", p)
}

func (c *connection) solve(ctx context.Context, j *job) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	taken := make(chan error, 1)
	go func() {
		err := receive(r, j.out, j.leaves)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // nobody waits for a reader that has gone
		taken <- err
		if err == nil {
			return
		}
		select { // the worker's own reason, if it has one, says more
		case <-ctx.Done():
		case <-time.After(patience):
			cancel(err)
		}
	}()
	status := make(chan *client.SolveStatus)
	heard, over := &words{job: j, rest: maxSaid}, make(chan struct{})
	go func() {
		defer close(over)
		heard.pass(status)
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := c.client.Solve(ctx, j.definition, client.SolveOpt{
			Exports: []client.ExportEntry{{
				Type:   client.ExporterTar,
				Output: func(map[string]string) (io.WriteCloser, error) { return w, nil },
			}},
			LocalMounts: j.inputs,
			SharedKey:   c.secret,
		}, status)
		<-over
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		// The client waits for seconds for the worker's last words, which nobody
		// hears any more.
		heard.stop()
		err = context.Cause(ctx)
	}
	w.CloseWithError(err) // if the client has not
	return j.outcome(err, <-taken)
}

// outcome is what running j came to: err is the worker's word, and got what
// became of the files.
func (j *job) outcome(err, got error) error {
	if err != nil && got == nil { // all came, and then it failed: who is asked next makes them anew
		got = discard(j.out, j.leaves)
	}
	if exit := (*gateway.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode < 128 {
		return &sandbox.ExitError{Code: int(exit.ExitCode)}
	}
	// From 128 on it was killed, by a daemon that ends or for want of memory:
	// elsewhere it may live.
	switch {
	case err == nil:
		return got
	case got == nil || errors.Is(got, err):
		return said{err}
	default:
		return said{errors.Join(err, got)}
	}
}

// Bounds of what is passed on of a worker's words, in bytes. Workers bound
// those of a command as well.
const (
	maxSaid   = 2 << 20 // of a command
	maxReason = 4 << 10 // of an error
)

// said is an error in a worker's words, of which so many are passed on.
type said struct{ error }

func (s said) Error() string {
	text := s.error.Error()
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return strings.ReplaceAll(printable(text), "\n", "\n\t") // no line of it reads as one of ours
}

func (s said) Unwrap() error { return s.error }

// printable is text without what would steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// words are what a command says, as long as somebody hears it.
type words struct {
	mu   sync.Mutex
	job  *job
	rest int // bytes; 0 when enough was said
}

func (w *words) pass(status <-chan *client.SolveStatus) {
	for s := range status {
		for _, l := range s.Logs {
			w.say(l.Stream, l.Data)
		}
	}
}

func (w *words) say(stream int, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data = data[:min(w.rest, len(data))]
	w.rest -= len(data)
	if len(data) == 0 {
		return
	}
	to := w.job.stderr
	if stream == 1 {
		to = w.job.stdout
	}
	_, _ = io.WriteString(to, printable(string(data)))
}

func (w *words) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = 0
}
