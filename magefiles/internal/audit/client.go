package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	requestTime = 15 * time.Second
	maxBody     = 8 << 20 // bytes of an answer that are read
)

// auth is what a request says of who asks.
type auth int

const (
	anonymous auth = iota // nothing
	right                 // the credentials that let in; nothing if none are known
	wrong                 // the right user with another password
)

// A request is what do sends. Method "" is GET.
type request struct {
	method, path string
	header       http.Header
	body         io.Reader
	auth         auth
	from         string        // local address, "" for any: on Linux all of 127.0.0.0/8 can be had
	time         time.Duration // until the answer, 0 for requestTime
	http2        bool          // over HTTPS alone
}

// A response is an answer, read whole, up to maxBody bytes.
type response struct {
	status int
	header http.Header
	body   string
}

// clients holds a transport for each local address and protocol, so that
// connections are kept.
type clients struct {
	mu  sync.Mutex
	all map[string]*http.Transport
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.all {
		t.CloseIdleConnections()
	}
}

func (s *server) transport(from string, http2 bool) *http.Transport {
	key := fmt.Sprint(from, http2)
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if t := s.client.all[key]; t != nil {
		return t
	}
	if s.client.all == nil {
		s.client.all = map[string]*http.Transport{}
	}
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx, from) },
		TLSClientConfig:     s.tls(),
		MaxIdleConnsPerHost: 16,
		DisableCompression:  true,
		ForceAttemptHTTP2:   http2,
	}
	s.client.all[key] = t
	return t
}

// tls checks the server as a scraper does that was given its certificate.
func (s *server) tls() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// dial opens a connection, without TLS, from the local address from.
func (s *server) dial(ctx context.Context, from string) (net.Conn, error) {
	d := net.Dialer{Timeout: requestTime}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return d.DialContext(ctx, "tcp", s.addr)
}

// open opens a connection as the server's scheme wants it: with TLS, and the
// handshake done, where it serves https.
func (s *server) open(ctx context.Context, from string) (net.Conn, error) {
	raw, err := s.dial(ctx, from)
	if err != nil || s.scheme != "https" {
		return raw, err
	}
	c := tls.Client(raw, s.tls())
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// get asks for a page.
func (s *server) get(ctx context.Context, path string, a auth) (*response, error) {
	return s.do(ctx, request{path: path, auth: a})
}

// do sends r and reads the answer. Redirects are answers like any other.
func (s *server) do(ctx context.Context, r request) (*response, error) {
	limit := r.time
	if limit == 0 {
		limit = requestTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if s.scheme == "" {
		return nil, errors.New("nothing is served yet")
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.url(r.path), r.body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	s.authorize(req, r.auth)
	resp, err := s.transport(r.from, r.http2).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %s: %w", r.path, err)
	}
	return &response{resp.StatusCode, resp.Header, string(body)}, nil
}

func (s *server) url(path string) string { return s.scheme + "://" + s.addr + path }

func (s *server) authorize(req *http.Request, a auth) {
	user, password := s.user, s.password
	if a == wrong {
		if password += "-not"; user == "" {
			user = "admin"
		}
	}
	if a != anonymous && user != "" {
		req.SetBasicAuth(user, password)
	}
}

// metrics is the path of the component's own metrics.
func (b *bench) metrics() string { return b.component.pages[0] }

// ok reports whether the answer is what a scraper takes for metrics.
func (r *response) ok() bool {
	return r != nil && r.status == http.StatusOK && strings.Contains(r.body, "# HELP")
}
