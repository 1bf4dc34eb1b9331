package audit

import (
	"context"
	"net/http"
	"strings"
)

var prometheusChecks = []Check{
	{
		ID: "prometheus.admin-off", Rows: []int{10}, Components: []string{"prometheus"},
		Doc: "the lifecycle and admin API are off, and never there for who has no password",
		run: prometheusAdminOff,
	},
	{
		ID: "prometheus.cors", Rows: []int{11}, Components: []string{"prometheus"},
		Doc: "no page of another origin reads anything, unless --web.cors.origin allows it",
		run: func(ctx context.Context, b *bench) (string, error) { return noCORS(ctx, b, "/api/v1/query?query=1") },
	},
	{
		ID: "prometheus.remote-read-off", Rows: []int{12}, Components: []string{"prometheus"},
		Doc: "remote read, remote write and OTLP are off until a flag turns each on",
		run: remoteReadOff,
	},
	{
		ID: "prometheus.no-old-ui", Rows: []int{14}, Components: []string{"prometheus"},
		Doc: "the old interface is not there, and asking for it ends the start",
		run: func(ctx context.Context, b *bench) (string, error) {
			return b.refused(ctx, options{args: []string{"--enable-feature=old-ui"}}, "old-ui")
		},
	},
}

// administration is what the lifecycle and the admin API offer.
var administration = []request{
	{method: http.MethodPost, path: "/-/reload"},
	{method: http.MethodPost, path: "/api/v1/admin/tsdb/snapshot"},
	{method: http.MethodPost, path: "/api/v1/admin/tsdb/clean_tombstones"},
	{method: http.MethodPost, path: "/api/v1/admin/tsdb/delete_series?match[]=up"},
	{method: http.MethodPost, path: "/-/quit"}, // last: it would end the server
}

func prometheusAdminOff(ctx context.Context, b *bench) (string, error) {
	s, err := b.start(ctx, options{})
	if err != nil {
		return "", err
	}
	for _, r := range administration {
		for _, who := range []auth{right, anonymous} {
			if r.auth = who; done(ctx, s, r) {
				return "", fail("%s was done without a flag that turns it on", r.path)
			}
		}
	}
	if s, err = b.start(ctx, options{args: []string{"--web.enable-lifecycle", "--web.enable-admin-api"}}); err != nil {
		return "", err
	}
	for _, r := range administration {
		if r.auth = anonymous; done(ctx, s, r) {
			return "", fail("turned on by its flag, %s was done for somebody without a password", r.path)
		}
	}
	// What was refused above is there, or the refusals would mean nothing.
	for _, r := range administration {
		if r.auth = right; !done(ctx, s, r) {
			return "", fail("turned on by its flag, %s was not done for somebody with the password", r.path)
		}
	}
	return "off without their flags; with them, done with the password and refused without", nil
}

// done reports whether the server answered r as something that it did.
func done(ctx context.Context, s *server, r request) bool {
	resp, err := s.do(ctx, r)
	return err == nil && resp.status/100 == 2
}

const elsewhere = "https://elsewhere.example"

// noCORS asks for a page as a browser does for a page of another origin.
func noCORS(ctx context.Context, b *bench, path string) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	origin := http.Header{"Origin": {elsewhere}, "Access-Control-Request-Method": {http.MethodGet}}
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		resp, err := s.do(ctx, request{method: method, path: path, header: origin, auth: right})
		if err != nil {
			return "", err
		}
		if allowed := resp.header.Get("Access-Control-Allow-Origin"); allowed != "" {
			return "", fail("%s %s from %s: Access-Control-Allow-Origin: %s", method, path, elsewhere, allowed)
		}
	}
	if !b.has("web.cors.origin") {
		return "no Access-Control-Allow-Origin, and no flag that would bring it", nil
	}
	s, err = b.start(ctx, options{args: []string{`--web.cors.origin=https://elsewhere\.example`}})
	if err != nil {
		return "", err
	}
	resp, err := s.do(ctx, request{path: path, header: origin, auth: right})
	if err != nil {
		return "", err
	}
	if allowed := resp.header.Get("Access-Control-Allow-Origin"); allowed != elsewhere {
		return "", fail("with --web.cors.origin for %s, Access-Control-Allow-Origin is %q", elsewhere, allowed)
	}
	return "no Access-Control-Allow-Origin without --web.cors.origin, and the named origin alone with it", nil
}

// receivers are the interfaces by which other servers read and write, and the
// flag that turns each on.
var receivers = []struct{ path, flag string }{
	{"/api/v1/read", "web.enable-remote-read"},
	{"/api/v1/write", "web.enable-remote-write-receiver"},
	{"/api/v1/otlp/v1/metrics", "web.enable-otlp-receiver"},
}

func remoteReadOff(ctx context.Context, b *bench) (string, error) {
	s, err := b.shared(ctx)
	if err != nil {
		return "", err
	}
	off := func(s *server, path string) (bool, *response, error) {
		// Nothing of the kind that the interface reads: whoever reads it says so.
		resp, err := s.do(ctx, request{method: http.MethodPost, path: path, auth: right, body: strings.NewReader("nothing")})
		if err != nil {
			return false, nil, err
		}
		return resp.status == http.StatusNotFound || resp.status == http.StatusForbidden, resp, nil
	}
	for _, r := range receivers {
		if is, resp, err := off(s, r.path); err != nil {
			return "", err
		} else if !is {
			return "", fail("%s reads what it is sent: status %d: %.100s", r.path, resp.status, resp.body)
		}
	}
	for _, r := range receivers {
		if !b.has(r.flag) {
			return "", fail("--%s is not a flag: nothing shows that %s would be there", r.flag, r.path)
		}
		on, err := b.start(ctx, options{args: []string{"--" + r.flag}})
		if err != nil {
			return "", err
		}
		if is, resp, err := off(on, r.path); err != nil {
			return "", err
		} else if is {
			return "", fail("with --%s, %s answers %d: %.100s", r.flag, r.path, resp.status, resp.body)
		}
		on.stop()
	}
	return "remote read, remote write and OTLP are refused without their flags and there with them", nil
}
