package audit

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// debugPages are those of net/http/pprof that hold text.
var debugPages = []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
	"/debug/pprof/allocs?debug=1", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1", "/debug/vars"}

// A disclosure is how a component is brought to say all that it can.
type disclosure struct {
	args  []string // further, where the binary knows them
	files map[string]string
	pages []string // besides those of the component and of debugging
	act   func(ctx context.Context, s *server, trap string) (said string, err error)
	wait  bool // for what the configuration asks for
}

var disclosures = map[string]disclosure{
	"prometheus": {
		args:  []string{"--web.enable-lifecycle", "--web.enable-admin-api", "--web.enable-remote-read", "--storage.remote.flush-deadline=1s"},
		files: map[string]string{"rules.yml": "groups:\n- name: canary\n  rules:\n  - {alert: Canary, expr: vector(1)}\n"},
		pages: []string{"/config", "/flags", "/targets", "/service-discovery", "/alerts", "/rules", "/status", "/tsdb-status", "/alertmanager-discovery",
			"/api/v1/status/runtimeinfo", "/api/v1/status/buildinfo", "/api/v1/status/tsdb", "/api/v1/status/walreplay", "/api/v1/alertmanagers",
			"/api/v1/rules", "/api/v1/alerts", "/api/v1/scrape_pools", "/api/v1/targets/metadata", "/api/v1/metadata", "/api/v1/notifications",
			"/api/v1/features", "/api/v1/query?query=up", "/federate?match[]={job!=''}"},
		wait: true,
	},
	"alertmanager": {
		pages: []string{"/api/v2/alerts/groups", "/api/v1/status", "/-/ready", "/-/healthy"},
		act: func(ctx context.Context, s *server, _ string) (string, error) {
			return s.says(ctx, request{method: http.MethodPost, path: "/api/v2/alerts", header: http.Header{"Content-Type": {"application/json"}},
				body: strings.NewReader(`[{"labels":{"alertname":"canary"},"generatorURL":"http://127.0.0.1/"}]`)})
		}, wait: true,
	},
	"blackbox_exporter": {
		args: []string{"--log.prober=debug", "--" + allowNetwork + "=127.0.0.1/32"},
		act: func(ctx context.Context, s *server, trap string) (string, error) {
			var all strings.Builder
			for _, module := range []string{"basic", "authorization", "bearer", "header", "client-key", "proxy", "oauth2"} {
				for _, target := range []string{"http://" + trap, "https://" + trap} {
					for _, debug := range []string{"false", "true"} {
						said, err := s.says(ctx, request{path: "/probe?" + url.Values{"module": {module}, "target": {target}, "debug": {debug}}.Encode()})
						if err != nil {
							return "", err
						}
						all.WriteString(said)
					}
				}
			}
			for id := range 10 {
				said, err := s.says(ctx, request{path: "/logs?id=" + strconv.Itoa(id)})
				if err != nil {
					return "", err
				}
				all.WriteString(said)
			}
			return all.String(), nil
		},
	},
	"snmp_exporter": {
		args: []string{"--snmp.debug-packets", "--" + allowNetwork + "=127.0.0.1/32"},
		act: func(ctx context.Context, s *server, trap string) (string, error) {
			var all strings.Builder
			for _, auth := range []string{"v1", "v2", "v3"} {
				said, err := s.says(ctx, request{path: "/snmp?" + url.Values{"auth": {auth}, "module": {"short"}, "target": {trap}, "snmp_debug_packets": {"true"}}.Encode()})
				if err != nil {
					return "", err
				}
				all.WriteString(said)
			}
			return all.String(), nil
		},
	},
	"pushgateway": {
		act: func(ctx context.Context, s *server, _ string) (string, error) {
			return s.says(ctx, request{method: http.MethodPut, path: "/metrics/job/canary", body: strings.NewReader("no metric {\n")})
		},
	},
}
