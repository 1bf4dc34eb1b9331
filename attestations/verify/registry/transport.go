package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// patient is net/http's transport, but that it does not wait forever for an
// answer. A registry hashes what was pushed before it gives one.
func patient() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = 3 * time.Minute
	t.MaxIdleConnsPerHost = 8
	return t
}

// How slow an answer may be that has begun, and how long.
const (
	pace      = 64 << 10 // bytes that have to come within
	within    = time.Minute
	maxAnswer = 2 << 30 // bytes; no layer is half as large
)

// A guard sends nothing in the clear but to this machine, goes nowhere inside
// because it was told to from outside, gives up answers that do not come to an
// end, and notes for how long a registry asks to be left alone. Everything passes
// it: what asks a registry how it wants to be spoken to, and for tokens, too.
type guard struct {
	inner  http.RoundTripper
	within time.Duration
}

func (g guard) RoundTrip(q *http.Request) (*http.Response, error) {
	err := led(q)
	if err == nil && q.URL.Scheme != "https" && !loopback(q.URL.Hostname()) {
		err = fmt.Errorf("%w: %s has no TLS", ErrPlaintext, q.URL.Host)
	}
	if err != nil {
		if q.Body != nil {
			q.Body.Close() // as a RoundTripper must
		}
		return nil, err
	}
	if q, err = rewound(q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(q.Context())
	answer, err := g.inner.RoundTrip(q.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	heed(q.Context(), answer)
	answer.Body = &paced{body: answer.Body, cancel: cancel, within: g.within, left: maxAnswer}
	return answer, nil
}

// A paced body comes at a pace, and to an end.
type paced struct {
	body   io.ReadCloser
	cancel context.CancelFunc // ends a Read of body
	within time.Duration
	memory []byte
	buffer []byte // the part of it that was read of body and is not yet given
	left   int64
	err    error // of body
}

func (p *paced) Read(to []byte) (int, error) {
	if len(p.buffer) == 0 && p.err == nil && len(to) > 0 {
		p.fill()
	}
	if len(p.buffer) == 0 {
		return 0, p.err
	}
	n := copy(to, p.buffer)
	p.buffer = p.buffer[n:]
	return n, nil
}

// fill reads as much as has to come within the time, or all that there is. Time
// that whoever reads takes for himself does not count.
func (p *paced) fill() {
	timer := time.AfterFunc(p.within, p.cancel)
	if p.memory == nil {
		p.memory = make([]byte, pace)
	}
	n := 0
	for n < pace && p.err == nil {
		var k int
		k, p.err = p.body.Read(p.memory[n:])
		n += k
	}
	if late := !timer.Stop(); late && !errors.Is(p.err, io.EOF) {
		p.err = fmt.Errorf("%w: of its answer less than %d bytes came in %s", ErrUnavailable, pace, p.within)
	}
	if p.left -= int64(n); p.left < 0 {
		p.err = fmt.Errorf("%w: an answer of more than %d bytes", ErrTooLarge, int64(maxAnswer))
	}
	p.buffer = p.memory[:n]
}

func (p *paced) Close() error {
	defer p.cancel()
	return p.body.Close()
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// redirect follows a registry to where it keeps its blobs; how far, guard says.
func redirect(_ *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("redirected more than five times")
	}
	return nil
}

// led refuses a redirect of another host to an address that only this machine or
// its neighbours can reach.
func led(q *http.Request) error {
	if q.Response == nil || q.Response.Request == nil {
		return nil
	}
	host := q.URL.Hostname()
	if host == q.Response.Request.URL.Hostname() || !inside(host) {
		return nil
	}
	return fmt.Errorf("%w: it redirects to %.200s", ErrAnswer, net.JoinHostPort(host, q.URL.Port()))
}

// inside reports whether a host is an address of this machine or of a private
// network, however it is written. A name may be of one too: who asks for it has
// no more to say than its owner.
func inside(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndex(host, ".")+1:]
	if last == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		// As some resolvers read numbers: 127.1, 0x7f000001.
		return last == "" || '0' <= last[0] && last[0] <= '9'
	}
	ip = ip.Unmap()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsUnspecified()
}
