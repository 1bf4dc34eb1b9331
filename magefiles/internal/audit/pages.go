package audit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// headers looks at answers of every kind: pages, what is not there, and the
// refusal of who did not say who asks.
func headers(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	seen := 0
	for _, a := range []auth{right, anonymous} {
		for _, page := range append(slices.Clone(b.component.pages), "/no/such/page") {
			r, err := s.get(ctx, page, a)
			if err != nil {
				return "", err
			}
			if why := unbound(r.header); why != "" {
				return "", fail("%s, answered with status %d: %s", page, r.status, why)
			}
			seen++
		}
	}
	return fmt.Sprintf("%d answers carry X-Content-Type-Options, X-Frame-Options and a Content-Security-Policy without inline scripts, none Strict-Transport-Security", seen), nil
}

// unbound says what h leaves to the browser, "" if nothing.
func unbound(h http.Header) string {
	if v := h.Get("X-Content-Type-Options"); !strings.EqualFold(v, "nosniff") {
		return fmt.Sprintf("X-Content-Type-Options is %q, not nosniff", v)
	}
	if v := h.Get("X-Frame-Options"); !strings.EqualFold(v, "deny") {
		return fmt.Sprintf("X-Frame-Options is %q, not deny", v)
	}
	// It would lock people out of a host whose certificate is self-signed.
	if v := h.Get("Strict-Transport-Security"); v != "" {
		return "Strict-Transport-Security is there"
	}
	return looseness(h.Values("Content-Security-Policy"))
}

// looseness says what a policy allows that ours does not, "" if nothing.
// https://www.w3.org/TR/CSP3/
func looseness(policies []string) string {
	if len(policies) != 1 {
		return fmt.Sprintf("Content-Security-Policy is there %d times, not once", len(policies))
	}
	directives := map[string][]string{}
	for _, d := range strings.Split(policies[0], ";") {
		if fields := strings.Fields(strings.ToLower(d)); len(fields) > 0 {
			// The first of two with one name counts.
			if _, twice := directives[fields[0]]; !twice {
				directives[fields[0]] = fields[1:]
			}
		}
	}
	for _, must := range []struct {
		name    string
		allowed []string
	}{
		{"default-src", []string{"'none'", "'self'"}},
		{"base-uri", []string{"'none'", "'self'"}},
		{"form-action", []string{"'none'", "'self'"}},
		{"frame-ancestors", []string{"'none'"}},
	} {
		sources, there := directives[must.name]
		if !there || slices.ContainsFunc(sources, func(s string) bool { return !slices.Contains(must.allowed, s) }) {
			return fmt.Sprintf("Content-Security-Policy says %q of %s", strings.Join(sources, " "), must.name)
		}
	}
	for _, name := range []string{"script-src", "script-src-elem", "script-src-attr", "worker-src", "object-src", "connect-src"} {
		for _, s := range directives[name] {
			if s != "'none'" && s != "'self'" && !strings.HasPrefix(s, "'sha") {
				return fmt.Sprintf("Content-Security-Policy allows %s in %s", s, name)
			}
		}
	}
	return ""
}

var healthPages = []string{"/-/healthy", "/-/ready"}

// healthOpen asks a server with made credentials and one with a web config
// file, which alone a vanilla build can be given.
func healthOpen(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, explicit(fileTLS+fileUsers))
	if err != nil {
		return "", err
	}
	open, err := s.health(ctx)
	if err != nil {
		return "", fmt.Errorf("with a web config file: %w", err)
	}
	if len(open) == 0 {
		return "", skip("it has neither %s; without credentials both are answered with 401", strings.Join(healthPages, " nor "))
	}
	if s, err = b.shared(ctx); err != nil {
		return "", err
	}
	if _, err := s.health(ctx); err != nil {
		return "", fmt.Errorf("without configuration: %w", err)
	}
	return strings.Join(open, " and ") + ": OK without credentials to GET and HEAD; their neighbours, other methods and all else do not", nil
}

// health returns the pages that are there and open, or what is wrong with them.
func (s *server) health(ctx context.Context) (open []string, err error) {
	nothing, err := s.get(ctx, "/-/nothing", right)
	if err != nil {
		return nil, err
	}
	for _, page := range healthPages {
		known, err := s.get(ctx, page, right)
		if err != nil {
			return nil, err
		}
		// Some components answer every path that they do not know with a page.
		absent := known.status == http.StatusNotFound || known.status == nothing.status && known.body == nothing.body
		near := []string{page + "/", page + "x", page + "/x", "/" + page, page + "/../.." + s.bench.metrics(), "/x" + page}
		if err := s.closed(ctx, near, http.MethodGet); err != nil {
			return nil, err
		}
		if err := s.closed(ctx, []string{page}, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions); err != nil {
			return nil, err
		}
		if absent {
			if err := s.closed(ctx, []string{page}, http.MethodGet, http.MethodHead); err != nil {
				return nil, err
			}
			continue
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := s.do(ctx, request{method: method, path: page})
			if err != nil {
				return nil, err
			}
			want := "OK\n"
			if method == http.MethodHead {
				want = ""
			}
			if r.status != http.StatusOK || r.body != want {
				return nil, fail("%s %s without credentials is answered with status %d and %.40q", method, page, r.status, r.body)
			}
		}
		open = append(open, page)
	}
	return open, nil
}

var profiles = []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/symbol",
	"/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1", "/debug/fgprof?seconds=1", "/debug/fgprof/?seconds=1", "/debug/vars", "/debug", "/debug/",
	"//debug/pprof/", "/x/../debug/pprof/", "/debug//pprof/heap", "/./debug/pprof/"}

// noPprof asks for profiles by default, and where the operator asked for them.
func noPprof(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	for _, page := range profiles {
		for _, a := range []auth{anonymous, right} {
			r, err := s.get(ctx, page, a)
			if err != nil {
				return "", err
			}
			want := []int{http.StatusNotFound, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusFound}
			if a == anonymous && s.user != "" {
				want = []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusNotFound}
			}
			if !slices.Contains(want, r.status) {
				return "", fail("%s is answered with status %d and %d bytes (credentials: %t)", page, r.status, len(r.body), a == right && s.user != "")
			}
		}
	}
	if !b.has("web.enable-pprof") {
		return "no profile is served, and no flag would change that", nil
	}
	return b.askedForPprof(ctx)
}

func (b *bench) askedForPprof(ctx context.Context) (string, error) {
	const page = "/debug/pprof/goroutine?debug=1"
	asked := []string{"--web.enable-pprof"}
	for _, tt := range []struct {
		what string
		o    options
		auth auth
		want int
	}{
		{"to an authenticated user", options{args: asked}, right, http.StatusOK},
		{"to nobody in particular", options{args: asked}, anonymous, http.StatusUnauthorized},
		{"with a wrong password", options{args: asked}, wrong, http.StatusUnauthorized},
		{"where nobody is authenticated", options{args: asked, web: fileTLS}, anonymous, http.StatusForbidden},
	} {
		s, err := b.start(ctx, tt.o)
		if err != nil {
			return "", err
		}
		r, err := s.get(ctx, page, tt.auth)
		if err != nil {
			return "", err
		}
		if r.status != tt.want {
			return "", fail("with --web.enable-pprof %s is answered with status %d %s, not %d", page, r.status, tt.what, tt.want)
		}
		s.stop()
	}
	return fmt.Sprintf("none of %d paths is served with credentials; with --web.enable-pprof authenticated users alone are served", len(profiles)), nil
}
