package audit

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

var webChecks = []Check{
	{ID: "web.no-plaintext", Rows: []int{1}, run: noPlaintext,
		Doc: "without configuration the port speaks HTTPS alone; a plain HTTP request gets no data"},
	{ID: "web.auth-required", Rows: []int{1}, run: authRequired,
		Doc: "without configuration every page asks for the user and password that were made for this host"},
	{ID: "web.unique-credentials", Rows: []int{2}, run: uniqueCredentials,
		Doc: "every host makes its own certificate, key and password, once; nothing of them ships"},
	{ID: "web.file-modes", Rows: []int{2}, run: fileModes,
		Doc: "the credentials are files of mode 0600 in a directory of mode 0700; a set that is damaged stops the start"},
	{ID: "web.no-secret-in-log", Rows: []int{2}, run: noSecretInLog,
		Doc: "the log says where the credentials are and how to use them, and never holds one"},
	{ID: "web.refuse-cleartext-auth", Rows: []int{3}, run: refuseCleartext,
		Doc: "a web config file without TLS is refused where others could listen, unless the operator says so"},
	{ID: "web.bcrypt-floor", Rows: []int{4}, run: bcryptFloor,
		Doc: "a password hash of a cost below 10 is refused, with the command that makes a better one"},
	{ID: "web.tls-min", Rows: []int{5}, run: tlsMin,
		Doc: "TLS 1.3 is the least; a web config file may lower it to TLS 1.2 and no further"},
	{ID: "web.headers", Rows: []int{6}, run: headers,
		Doc: "every answer carries headers that bind the browser"},
	{ID: "web.health-open", Rows: []int{7}, run: healthOpen,
		Doc: "health is told without credentials, as a fixed body, and nothing else is"},
	{ID: "web.no-pprof", Rows: []int{8}, run: noPprof,
		Doc: "profiles are served to nobody; where the operator asks for them, to authenticated users alone"},
}

// noPlaintext asks over plain HTTP for every page, in the three forms that a
// client may begin with.
func noPlaintext(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	if s.scheme == "http" {
		r, err := s.get(ctx, b.metrics(), anonymous)
		if err != nil {
			return "", err
		}
		return "", fail("it serves plain HTTP: %s is answered with status %d and %d bytes", b.metrics(), r.status, len(r.body))
	}
	tried := 0
	for _, page := range b.component.pages {
		for _, text := range []string{
			"GET " + page + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
			"GET " + page + " HTTP/1.0\r\n\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		} {
			got, err := s.say(ctx, text)
			if err != nil {
				return "", err
			}
			// Go's server tells such a client what it did wrong, and closes.
			if got != "" && (!strings.HasPrefix(got, "HTTP/1.0 400 ") || len(got) > 200) {
				return "", fail("plain HTTP on the port is answered: %.80q", got)
			}
			tried++
		}
	}
	return fmt.Sprintf("HTTPS; %d plain HTTP requests for %d pages got no data", tried, len(b.component.pages)), nil
}

// say writes text to a connection without TLS and returns what comes back, at
// most 64 KiB.
func (s *server) say(ctx context.Context, text string) (string, error) {
	c, err := s.dial(ctx, "")
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	// However it ends, what came counts.
	got, _ := io.ReadAll(io.LimitReader(c, 64<<10))
	return string(got), nil
}

// disguises are paths that look like one that is open, or like none.
var disguises = []string{"/-/healthy/../../metrics", "/-/healthy/%2e%2e/%2e%2e/metrics", "/-/ready/../metrics", "//metrics", "/metrics/", "/./metrics", "/METRICS"}

// authRequired asks for every page with nothing, with what is wrong in several
// ways, and with what is right.
func authRequired(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	// Whoever was let in before is let in while others guess.
	if _, err := s.get(ctx, b.metrics(), right); err != nil {
		return "", err
	}
	if err := s.closed(ctx, append(slices.Clone(b.component.pages), disguises...), http.MethodGet); err != nil {
		return "", err
	}
	if err := s.closed(ctx, append(slices.Clone(b.component.post), "/-/reload", "/-/quit"), http.MethodPost, http.MethodPut, http.MethodDelete); err != nil {
		return "", err
	}
	if s.user == "" {
		return "", fail("every page asks for credentials, and none were made that it would take")
	}
	if err := s.turnsAway(ctx); err != nil {
		return "", err
	}
	for _, page := range b.component.pages {
		r, err := s.get(ctx, page, right)
		if err != nil {
			return "", err
		}
		if r.status == http.StatusUnauthorized || r.status == http.StatusTooManyRequests || page == b.metrics() && !r.ok() {
			return "", fail("%s with the credentials made for this host is answered with status %d", page, r.status)
		}
	}
	return fmt.Sprintf("%d pages answer 401 without and with wrong credentials, and %s is served with those made for this host", len(b.component.pages), b.metrics()), nil
}

// closed expects that no path answers a request that says nothing of who asks.
func (s *server) closed(ctx context.Context, paths []string, methods ...string) error {
	for _, path := range paths {
		for _, method := range methods {
			r, err := s.do(ctx, request{method: method, path: path})
			if err != nil {
				return err
			}
			// An earlier check may have made too many attempts from here.
			if r.status == http.StatusTooManyRequests && !strings.Contains(r.body, "# HELP") {
				continue
			}
			if r.status != http.StatusUnauthorized {
				return fail("%s %s without credentials is answered with status %d and %d bytes", method, path, r.status, len(r.body))
			}
			if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic") || strings.Contains(r.body, "# HELP") {
				return fail("%s %s without credentials: status 401 comes with the wrong header or with data", method, path)
			}
		}
	}
	return nil
}

// turnsAway tries what is not the right credentials. The first is refused as
// wrong; later ones may be refused for being too many.
func (s *server) turnsAway(ctx context.Context) error {
	hash, _ := s.hash()
	attempts := []http.Header{
		basic(s.user, s.password+"-not"), basic(s.user, ""), basic("", s.password), basic("root", s.password), basic(s.user, hash),
		{"Authorization": {"Basic !!!"}}, {"Authorization": {"Bearer " + s.password}}, {"Authorization": {s.password}},
	}
	for i, header := range attempts {
		r, err := s.do(ctx, request{path: s.bench.metrics(), header: header})
		if err != nil {
			return err
		}
		if r.status != http.StatusUnauthorized && (i == 0 || r.status != http.StatusTooManyRequests) {
			return fail("wrong credentials, number %d of %d, are answered with status %d", i+1, len(attempts), r.status)
		}
	}
	for _, page := range s.bench.component.pages {
		r, err := s.get(ctx, page, wrong)
		if err != nil {
			return err
		}
		if r.status != http.StatusUnauthorized && r.status != http.StatusTooManyRequests {
			return fail("%s with a wrong password is answered with status %d", page, r.status)
		}
	}
	return nil
}

func basic(user, password string) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header
}

// tlsMin offers each version, to the defaults and to what a file may say.
func tlsMin(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	if s.scheme != "https" {
		return "", fail("without configuration it serves no TLS at all")
	}
	if err := s.speaks(ctx, tls.VersionTLS13); err != nil {
		return "", err
	}
	const file = "tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n"
	if s, err = b.start(ctx, options{web: file}); err != nil {
		return "", err
	}
	if err := s.speaks(ctx, tls.VersionTLS13); err != nil {
		return "", fmt.Errorf("a web config file that says no version: %w", err)
	}
	if s, err = b.start(ctx, options{web: file + "  min_version: TLS12\n"}); err != nil {
		return "", err
	}
	if err := s.speaks(ctx, tls.VersionTLS12); err != nil {
		return "", fmt.Errorf("a web config file with min_version TLS12: %w", err)
	}
	for _, lower := range []string{"min_version: TLS11", "min_version: TLS10", "max_version: TLS11", "max_version: TLS10"} {
		if _, err := b.refused(ctx, options{web: file + "  " + lower + "\n"}, lower[:3]+"_version"); err != nil {
			return "", fmt.Errorf("a web config file with %s: %w", lower, err)
		}
	}
	return "TLS 1.3 alone by default and in a file that names no version; 1.2 where a file says so; files with 1.1 and 1.0 refused", nil
}

// speaks expects that the server takes least and what is above, and no less.
func (s *server) speaks(ctx context.Context, least uint16) error {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		c, err := s.dial(ctx, "")
		if err != nil {
			return err
		}
		config := s.tls()
		config.MinVersion, config.MaxVersion = version, version
		limited, cancel := context.WithTimeout(ctx, requestTime)
		err = tls.Client(c, config).HandshakeContext(limited)
		cancel()
		c.Close()
		if taken := err == nil; taken != (version >= least) {
			if taken {
				return fail("it takes %s", tls.VersionName(version))
			}
			return fail("it does not take %s: %v", tls.VersionName(version), err)
		}
	}
	return nil
}
