package audit

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A canary is a text that is nowhere by chance.
func (b *bench) canary() string {
	c := "canary-" + rand.Text()
	b.secret(c)
	return c
}

// holds says in which form text holds the secret, "" for none.
func holds(text, secret string) string {
	if strings.Contains(text, secret) {
		return "as it is"
	}
	for _, before := range []string{"", "x", "xx"} {
		// What base64 makes of a secret depends on where in three bytes it begins.
		// Its ends depend on what is around it.
		coded := base64.RawStdEncoding.EncodeToString([]byte(before + secret))
		if coded = coded[4 : len(coded)-4]; strings.Contains(text, coded) || strings.Contains(text, strings.NewReplacer("+", "-", "/", "_").Replace(coded)) {
			return "in base64"
		}
	}
	if escaped := url.QueryEscape(secret); escaped != secret && strings.Contains(text, escaped) {
		return "escaped for a URL"
	}
	return ""
}

// credentialed are the ways to use the modules of credentials.
func (l *lab) credentialed() []way {
	if l.bench.Component == "snmp_exporter" {
		return []way{{"v1", "", ":" + l.port}, {"v2", "", ":" + l.port}, {"v3", "", ":" + l.port}}
	}
	http := func(module string) way { return way{module, "http://", ":" + l.port + "/"} }
	return []way{http("basic"), http("authorization"), http("header"), {"send", "", ":" + l.port}}
}

// credentials is a configuration whose modules hold the canary.
func (b *bench) credentials(canary string) string {
	if b.Component == "snmp_exporter" {
		return fmt.Sprintf(`auths:
  v1: {community: %[1]s, version: 1}
  v2: {community: %[1]s, version: 2}
  v3: {username: someone, version: 3, security_level: authPriv, auth_protocol: SHA, password: %[1]s, priv_protocol: AES, priv_password: %[1]s}
modules:
  short: {walk: [1.3.6.1.2.1.2], timeout: 300ms, retries: 0, max_repetitions: 1}
`, canary)
	}
	return fmt.Sprintf(`modules:
  basic: {prober: http, timeout: 2s, http: {basic_auth: {username: someone, password: %[1]s}}}
  authorization: {prober: http, timeout: 2s, http: {authorization: {credentials: %[1]s}}}
  header: {prober: http, timeout: 2s, http: {headers: {X-Api-Key: %[1]s}}}
  send: {prober: tcp, timeout: 2s, tcp: {query_response: [{send: "password %[1]s"}, {expect: never}]}}
`, canary)
}

// carries reports whether the canary arrived. SNMP version 3 sends no password:
// there every packet is made with it.
func (l *lab) carries(canary, address string, w way) bool {
	t := l.traps[address]
	return t != nil && (holds(t.text(), canary) != "" || w.module == "v3" && t.text() != "")
}

// tells looks for the canary where somebody could read it.
func (l *lab) tells(ctx context.Context, canary string, bodies string) error {
	for _, page := range l.bench.component.pages {
		r, err := l.get(ctx, page, right)
		if err != nil {
			return err
		}
		if how := holds(r.body, canary); how != "" {
			return fail("%s tells a credential, %s", strings.Split(page, "?")[0], how)
		}
	}
	if how := holds(bodies, canary); how != "" {
		return fail("the answer to a probe tells a credential, %s", how)
	}
	if how := holds(l.readLog(), canary); how != "" {
		return fail("the log tells a credential, %s", how)
	}
	return nil
}

func noCredentialLeak(ctx context.Context, b *bench) (string, error) {
	canary := b.canary()
	o := options{config: b.credentials(canary), args: b.supported("--log.level=debug", "--log.prober=debug")}
	l, err := b.lab(ctx, o)
	if err != nil {
		return "", err
	}
	defer l.close()
	// Where everybody may be probed, if there is such a trap, and where nobody may.
	hosts := []string{"127.0.0.1"}
	if l.traps["192.0.2.1"] != nil {
		hosts = append(hosts, "192.0.2.1")
	}
	var bodies strings.Builder
	for _, w := range l.credentialed() {
		for _, host := range hosts {
			r, err := l.asked(ctx, w, w.target(host), &bodies)
			if err != nil {
				return "", err
			}
			if l.carries(canary, host, w) {
				return "", fail("the credentials of module %q go to %s without --%s", w.module, host, allowNetwork)
			}
			if l.seen(host) != "" || r.status != http.StatusForbidden {
				return "", fail("a probe of %s with the credentials of module %q, without --%s, is not refused: status %d", host, w.module, allowNetwork, r.status)
			}
		}
	}
	if err := l.tells(ctx, canary, bodies.String()); err != nil {
		return "", err
	}
	l.close()

	home := hosts[len(hosts)-1]
	away := "127.0.0.2"
	if l.traps["198.51.100.1"] != nil {
		away = "198.51.100.1"
	}
	o.args = append(o.args, allow(home+"/32")...)
	if l, err = b.lab(ctx, o); err != nil {
		return "", err
	}
	defer l.close()
	for _, w := range l.credentialed() {
		if _, err := l.asked(ctx, w, w.target(away), &bodies); err != nil {
			return "", err
		}
		if l.seen(away) != "" {
			return "", fail("with --%s=%s/32 the credentials of module %q go to %s", allowNetwork, home, w.module, away)
		}
		if _, err := l.asked(ctx, w, w.target(home), &bodies); err != nil {
			return "", err
		}
		if !l.carries(canary, home, w) {
			return "", fail("with --%s=%s/32 the credentials of module %q do not go there: the refusals mean nothing", allowNetwork, home, w.module)
		}
		if !strings.HasPrefix(w.before, "http") {
			continue
		}
		to := "http://" + l.at(home) + "/redirect?to=" + url.QueryEscape("http://"+l.at(away)+"/")
		if _, err := l.asked(ctx, w, to, &bodies); err != nil {
			return "", err
		}
		if l.seen(away) != "" {
			return "", fail("the credentials of module %q follow a redirect from %s to %s", w.module, home, away)
		}
	}
	if err := l.tells(ctx, canary, bodies.String()); err != nil {
		return "", err
	}
	redirected := ""
	if b.Component == "blackbox_exporter" {
		redirected = ", also when redirected"
	}
	return fmt.Sprintf("the credentials of %d modules go nowhere without --%s, and to its network alone with it%s; no page, answer or debug log holds them",
		len(l.credentialed()), allowNetwork, redirected) + l.where(), nil
}

// asked is a probe into emptied traps, whose answers, with those for the
// debugging of a module, are kept in bodies.
func (l *lab) asked(ctx context.Context, w way, target string, bodies *strings.Builder) (*response, error) {
	l.forget()
	r, err := l.probe(ctx, w.module, target)
	if err != nil {
		return nil, fmt.Errorf("a probe with module %q: %w", w.module, err)
	}
	bodies.WriteString(r.body)
	time.Sleep(noticeTime / 3)
	if l.bench.Component != "blackbox_exporter" {
		return r, nil
	}
	// The same again for what blackbox shows to who debugs; the traps stay as
	// they are, because more of the same may arrive.
	again := "/probe?debug=true&" + url.Values{"module": {w.module}, "target": {target}}.Encode()
	debug, err := l.do(ctx, request{path: again, auth: right, time: probeTime})
	if err != nil {
		return nil, err
	}
	bodies.WriteString(debug.body)
	return r, nil
}
