package audit

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var dosChecks = []Check{
	{ID: "dos.slowloris", Rows: []int{9}, run: slowloris,
		Doc: "a thousand clients that never finish their request hinder no scrape, and are cut"},
	{ID: "dos.header-size", Rows: []int{9}, run: headerSize,
		Doc: "a header of more than 64 KiB is refused before it is read"},
	{ID: "dos.login-throttle", Rows: []int{9}, run: loginThrottle,
		Doc: "ten thousand wrong passwords from one address are throttled, and hinder neither a login from another nor a scrape"},
	{ID: "dos.malformed", Rows: []int{22}, run: malformed,
		Doc: "a storm of malformed requests leaves the component serving, without a panic, and with its memory as before"},
}

// A load is how much the checks of denial of service send, and how long they
// wait.
type load struct {
	slowClients    int
	slowTime       time.Duration // until every slow client has to be cut
	wrongPasswords int
	wrongTime      time.Duration // for all of them to be answered
	storm          int           // malformed requests
	settleTime     time.Duration // for memory to be given back
}

var fullLoad = load{
	slowClients: 1000, slowTime: 30 * time.Second,
	wrongPasswords: 10000, wrongTime: 40 * time.Second,
	storm: 2000, settleTime: 20 * time.Second,
}

// slowClient is a connection that says a little now and then.
type slowClient struct {
	conn net.Conn
	cut  atomic.Bool
}

// slowloris has four kinds of clients: some stop within the TLS handshake, some
// say nothing behind it, some stop in the request line and most go on with one
// header after the other.
func slowloris(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	if r, err := s.get(ctx, b.metrics(), right); err != nil || !r.ok() {
		return "", fmt.Errorf("a scrape before the load is not answered: %v", err)
	}
	all, err := s.slowClients(ctx)
	defer func() {
		for _, c := range all {
			c.conn.Close()
		}
	}()
	if err != nil {
		return "", err
	}
	begun := time.Now()
	scrapes := 0
	for {
		if err := s.scrapeAnew(ctx); err != nil {
			return "", fail("while %d slow clients are connected, a scrape is not answered: %v", len(all), err)
		}
		scrapes++
		left := 0
		for _, c := range all {
			if !c.cut.Load() {
				left++
			}
		}
		if left == 0 {
			return fmt.Sprintf("%d clients with unfinished requests: %d scrapes were answered meanwhile, and every client was cut within %v", len(all), scrapes, b.load.slowTime), nil
		}
		if time.Since(begun) > b.load.slowTime {
			return "", fail("%d of %d clients with unfinished requests are still connected after %v", left, len(all), b.load.slowTime)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// slowClients connects them, most from the address that the scraper has too.
func (s *server) slowClients(ctx context.Context) ([]*slowClient, error) {
	all := make([]*slowClient, s.bench.load.slowClients)
	err := parallel(ctx, len(all), 32, func(ctx context.Context, i int) error {
		from := ""
		if others := loopbacks(); i%10 < 3 && len(others) > 0 {
			from = others[i%10%len(others)]
		}
		var c net.Conn
		var err error
		first := "GET " + s.bench.metrics() + " HTTP/1.1\r\nHost: localhost\r\n"
		switch i % 4 {
		case 0: // stops within the handshake, or within the request line
			c, err = s.dial(ctx, from)
			first = "\x16\x03\x01\x02\x00\x01"
			if s.scheme == "http" {
				first = "GET /met"
			}
		case 1:
			c, err = s.open(ctx, from)
			first = "G"
		default:
			c, err = s.open(ctx, from)
		}
		if err != nil {
			// One that is turned away at once hinders nobody.
			all[i] = &slowClient{conn: nowhere{}}
			all[i].cut.Store(true)
			return ctx.Err()
		}
		all[i] = &slowClient{conn: c}
		_, _ = io.WriteString(c, first)
		go all[i].hold(i%4 > 1)
		return nil
	})
	kept := all[:0]
	for _, c := range all {
		if c != nil {
			kept = append(kept, c)
		}
	}
	return kept, err
}

type nowhere struct{ net.Conn }

func (nowhere) Close() error { return nil }

// hold reads until the server ends the connection, and says one more header
// each second if drip is set.
func (c *slowClient) hold(drip bool) {
	if drip {
		go func() {
			for !c.cut.Load() {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c.conn, "X-More: x\r\n"); err != nil {
					return
				}
			}
		}()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.conn, 1<<20))
	c.cut.Store(true)
}

// scrapeAnew asks for the metrics over a connection of its own.
func (s *server) scrapeAnew(ctx context.Context) error {
	s.client.close()
	r, err := s.do(ctx, request{path: s.bench.metrics(), auth: right, header: http.Header{"Connection": {"close"}}})
	if err != nil {
		return err
	}
	if !r.ok() {
		return fmt.Errorf("status %d", r.status)
	}
	return nil
}

// loopbacks are local addresses beside 127.0.0.1 that a client can have here.
var loopbacks = sync.OnceValue(func() (all []string) {
	for _, a := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(a, "0")); err == nil {
			l.Close()
			all = append(all, a)
		}
	}
	return all
})

// parallel calls do for 0 to n-1, at most width at a time, until one fails.
func parallel(ctx context.Context, n, width int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, width) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

const (
	fairHeader  = 8 << 10
	largeHeader = 256 << 10
	endless     = 16 << 20 // of a header that does not end
)

// headerSize sends what a browser with many cookies does, then what nobody
// does: over HTTP/1.1 as one field, many fields and the request line, and over
// HTTP/2.
func headerSize(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	r, err := s.do(ctx, request{path: b.metrics(), auth: right, header: http.Header{"X-Fair": {strings.Repeat("x", fairHeader)}}})
	if err != nil || !r.ok() {
		return "", fail("a header of %d bytes is not taken: %v", fairHeader, err)
	}
	many := http.Header{}
	for i := range 1000 {
		many.Set(fmt.Sprintf("X-Many-%d", i), strings.Repeat("x", largeHeader/1000))
	}
	for _, tt := range []struct {
		what string
		r    request
	}{
		{"one header field", request{path: b.metrics(), header: http.Header{"X-Large": {strings.Repeat("x", largeHeader)}}}},
		{"a thousand header fields", request{path: b.metrics(), header: many}},
		{"a request line", request{path: b.metrics() + "?" + strings.Repeat("x", largeHeader)}},
	} {
		for _, h2 := range []bool{false, true} {
			if h2 && s.scheme != "https" {
				continue
			}
			tt.r.auth, tt.r.http2 = right, h2
			r, err := s.do(ctx, tt.r)
			if err := ctx.Err(); err != nil {
				return "", err
			}
			// A connection that is closed in the middle is a refusal too.
			if err == nil && r.status != http.StatusRequestHeaderFieldsTooLarge && r.status != http.StatusRequestURITooLong {
				return "", fail("%s of %d bytes (HTTP/2: %t) is taken, and answered with status %d", tt.what, largeHeader, h2, r.status)
			}
		}
	}
	sent, err := s.withoutEnd(ctx)
	if err != nil {
		return "", err
	}
	if sent >= endless {
		return "", fail("it reads %d bytes of a header that does not end, and goes on", sent)
	}
	if err := s.scrapeAnew(ctx); err != nil {
		return "", fail("a scrape after it is not answered: %v", err)
	}
	return fmt.Sprintf("%d bytes of header are taken; %d bytes are refused as field, fields and request line, and a header without end is cut", fairHeader, largeHeader), nil
}

// withoutEnd sends one header until it is cut and returns the bytes sent.
func (s *server) withoutEnd(ctx context.Context) (sent int, err error) {
	c, err := s.open(ctx, "")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return 0, err
	}
	piece := []byte(strings.Repeat("x", 64<<10))
	n, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: ")
	for sent = n; err == nil && sent < endless; sent += n {
		n, err = c.Write(piece)
	}
	return sent, nil
}
