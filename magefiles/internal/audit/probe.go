package audit

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// probers are the components that send requests where somebody else says.
var probers = []string{"blackbox_exporter", "snmp_exporter"}

var probeChecks = []Check{
	{
		ID: "probe.metadata-denied", Rows: []int{19}, Components: probers,
		Doc: "no probe reaches loopback or a cloud's metadata service, however it is spelled, unless its network is allowed",
		run: metadataDenied,
	},
	{
		ID: "probe.rebinding", Rows: []int{19}, Components: probers,
		Doc: "the address that is judged is the one that is dialled, also where a name server changes its mind in between",
		run: noRebinding,
	},
	{
		ID: "probe.redirect", Rows: []int{19}, Components: probers[:1],
		Doc: "a redirect is followed only to where the probe itself could have gone",
		run: judgedRedirect,
	},
	{
		ID: "probe.no-credential-leak", Rows: []int{20}, Components: probers,
		Doc: "the credentials of a module go to allowed networks alone, and are in no page and no log",
		run: noCredentialLeak,
	},
}

const (
	allowNetwork = "probe.allow-network"
	// noticeTime is how long what was sent over loopback may take to be noticed.
	noticeTime = 150 * time.Millisecond
)

const blackboxProbes = `modules:
  http: {prober: http, timeout: 2s, http: {preferred_ip_protocol: ip4}}
  tcp: {prober: tcp, timeout: 2s, tcp: {preferred_ip_protocol: ip4}}
  dns: {prober: dns, timeout: 1s, dns: {query_name: example.org, preferred_ip_protocol: ip4}}
  dns_tcp: {prober: dns, timeout: 2s, dns: {query_name: example.org, transport_protocol: tcp, preferred_ip_protocol: ip4}}
  grpc: {prober: grpc, timeout: 2s, grpc: {preferred_ip_protocol: ip4}}
  icmp: {prober: icmp, timeout: 2s, icmp: {preferred_ip_protocol: ip4}}
`

const snmpProbes = `auths:
  udp: {community: public, version: 2}
modules:
  short: {walk: [1.3.6.1.2.1.2], timeout: 300ms, retries: 0, max_repetitions: 1}
`

// A way is a kind of probe, as a module and how its target is written.
type way struct{ module, before, after string }

// ways are all kinds of probes of the component, with the first as the one
// that stands for all.
func (l *lab) ways() []way {
	if l.bench.Component == "snmp_exporter" {
		return []way{{"udp", "", ":" + l.port}, {"udp", "tcp://", ":" + l.port}}
	}
	return []way{{"http", "http://", ":" + l.port + "/"}, {"tcp", "", ":" + l.port}, {"dns", "", ":" + l.port},
		{"dns_tcp", "", ":" + l.port}, {"grpc", "", ":" + l.port}, {"icmp", "", ""}}
}

func (b *bench) probes() string {
	if b.Component == "snmp_exporter" {
		return snmpProbes
	}
	return blackboxProbes
}

func (w way) target(host string) string {
	if strings.Contains(host, ":") && w.after != "" {
		host = "[" + host + "]"
	}
	return w.before + host + w.after
}

// send sends one probe and reports whether it was refused before it began.
func (l *lab) send(ctx context.Context, w way, host string) (refused bool, err error) {
	r, err := l.probe(ctx, w.module, w.target(host))
	if err != nil {
		return false, fmt.Errorf("a %s probe of %s: %w", w.module, host, err)
	}
	return r.status == http.StatusForbidden, nil
}

// reaches reports whether a probe of host in the component's first way arrives
// at the trap of address.
func (l *lab) reaches(ctx context.Context, host, address string) (bool, error) {
	l.forget()
	if _, err := l.send(ctx, l.ways()[0], host); err != nil {
		return false, err
	}
	time.Sleep(noticeTime)
	return l.seen(address) != "", nil
}

// denied sends all kinds of probes to hosts that are refused.
func (l *lab) denied(ctx context.Context, hosts ...string) error {
	for _, w := range l.ways() {
		for _, host := range hosts {
			l.forget()
			refused, err := l.send(ctx, w, host)
			if err != nil {
				return err
			}
			time.Sleep(noticeTime / 10)
			if at := l.seen(); at != "" {
				return fail("a %s probe of %s reaches %s", w.module, w.target(host), at)
			}
			// A name that nobody knows is not refused: it leads nowhere.
			if _, known := numeric[host]; !refused && !known {
				return fail("a %s probe of %s is not refused", w.module, w.target(host))
			}
		}
	}
	return nil
}

// numeric are spellings that some resolvers take for 127.0.0.1 and others for
// a name. To ask for them is to ask a name server, so that they need a lab of
// their own.
var numeric = map[string]bool{"0x7f000001": true, "2130706433": true, "0177.0.0.1": true, "127.1": true}

var (
	ownHosts = []string{"127.0.0.1", "127.0.0.2", "localhost", "::1", "0.0.0.0", "::ffff:127.0.0.1"}
	metadata = []string{"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"}
)

func metadataDenied(ctx context.Context, b *bench) (string, error) {
	l, err := b.lab(ctx, options{config: b.probes()})
	if err != nil {
		return "", err
	}
	defer l.close()
	// Loopback first: where it is not refused, nothing is sent any further.
	if err := l.denied(ctx, ownHosts...); err != nil {
		return "", err
	}
	if l.private {
		if err := l.denied(ctx, "0x7f000001", "2130706433", "0177.0.0.1", "127.1"); err != nil {
			return "", err
		}
	}
	if err := l.denied(ctx, metadata...); err != nil {
		return "", err
	}
	// What was refused could have been sent.
	allowed, err := b.lab(ctx, options{config: b.probes(), args: allow("127.0.0.1/32")})
	if err != nil {
		return "", err
	}
	defer allowed.close()
	if arrives, err := allowed.reaches(ctx, "127.0.0.1", "127.0.0.1"); err != nil || !arrives {
		return "", or(err, fail("with --%s=127.0.0.1/32 nothing arrives there: the refusals mean nothing", allowNetwork))
	}
	if err := allowed.denied(ctx, append([]string{"127.0.0.2", "::1"}, metadata...)...); err != nil {
		return "", fmt.Errorf("with --%s=127.0.0.1/32: %w", allowNetwork, err)
	}
	all, err := b.lab(ctx, options{config: b.probes(), args: allow("0.0.0.0/0", "::/0")})
	if err != nil {
		return "", err
	}
	defer all.close()
	if err := all.denied(ctx, append([]string{"127.0.0.1"}, metadata...)...); err != nil {
		return "", fmt.Errorf("with --%s=0.0.0.0/0 and ::/0: %w", allowNetwork, err)
	}
	return fmt.Sprintf("%d kinds of probes to loopback and metadata addresses in %d spellings: nothing arrives, also with all networks allowed; with --%s=127.0.0.1/32 it does there",
		len(l.ways()), len(ownHosts)+len(metadata), allowNetwork) + l.where(), nil
}

// where says how much the lab could show.
func (l *lab) where() string {
	if l.private {
		return ""
	}
	return " (in this machine's own network, so with traps on loopback alone)"
}

func allow(networks ...string) (args []string) {
	for _, n := range networks {
		args = append(args, "--"+allowNetwork+"="+n)
	}
	return args
}

// or is the first of two errors that is one.
func or(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// supported keeps flags that the binary does not know from its arguments.
func (b *bench) supported(args ...string) (known []string) {
	for _, a := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if b.has(name) {
			known = append(known, a)
		}
	}
	return known
}

// noRebinding asks for probes of a name whose server says an allowed address
// for some questions and then another. However often the name is asked for
// during one probe, nothing may arrive at the other.
func noRebinding(ctx context.Context, b *bench) (string, error) {
	const good, bad = "127.0.0.2", "127.0.0.1"
	l, err := b.private(ctx, options{config: b.probes(), args: b.supported(allow(good + "/32")...)})
	if without, ok := err.(noLab); ok {
		return "", skip("a name server of the check's own needs a private network: %s", without)
	} else if err != nil {
		return "", err
	}
	defer l.close()
	if l.traps[good] == nil || l.traps[bad] == nil {
		return "", skip("this machine has no %s or %s", good, bad)
	}
	// What is allowed, under this name: or nothing below would mean anything.
	l.names.set(good)
	if arrives, err := l.reaches(ctx, rebinding, good); err != nil || !arrives {
		return "", or(err, fail("a probe of a name with an allowed address does not arrive"))
	}
	probes, questions := 0, 0
	for _, w := range l.ways() {
		targets := []string{w.target(rebinding)}
		if w.module == "http" {
			to := "http://" + rebinding + ":" + l.port + "/"
			targets = append(targets, "http://"+l.at(good)+"/redirect?to="+url.QueryEscape(to))
		}
		for _, target := range targets {
			for turn := range 4 {
				answers := append(repeat(good, turn), bad)
				l.forget()
				l.names.set(answers...)
				if _, err := l.probe(ctx, w.module, target); err != nil {
					return "", err
				}
				time.Sleep(noticeTime / 3)
				probes++
				questions += l.names.questions()
				if l.seen(bad) != "" {
					return "", fail("a %s probe of a name reaches %s, which its server said at question %d and which is not allowed; allowed is %s", w.module, bad, turn+1, good)
				}
			}
		}
	}
	if questions < probes {
		return "", fmt.Errorf("%d probes of a name asked its server %d times", probes, questions)
	}
	return fmt.Sprintf("%d probes of a name that changes from an allowed address to a refused one at each question: nothing arrives at the refused one", probes), nil
}

func repeat(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// judgedRedirect redirects from an allowed address to others.
func judgedRedirect(ctx context.Context, b *bench) (string, error) {
	const from = "127.0.0.1"
	l, err := b.lab(ctx, options{config: b.probes(), args: b.supported(allow(from + "/32")...)})
	if err != nil {
		return "", err
	}
	defer l.close()
	count := 0
	for _, to := range labAddresses[1:] {
		if l.traps[to] == nil {
			continue
		}
		l.forget()
		r, err := l.probe(ctx, "http", "http://"+l.at(from)+"/redirect?to="+url.QueryEscape("http://"+l.at(to)+"/"))
		if err != nil {
			return "", err
		}
		time.Sleep(noticeTime)
		if l.seen(from) == "" {
			return "", fail("nothing arrives at %s, from where the probe would be redirected", from)
		}
		if l.seen(to) != "" {
			return "", fail("it follows a redirect from %s to %s", from, to)
		}
		if !strings.Contains(r.body, "\nprobe_success 0") {
			return "", fail("a redirect that is not followed leaves no probe_success 0: status %d: %.100s", r.status, r.body)
		}
		count++
	}
	if count == 0 {
		return "", skip("this machine has no second address on loopback")
	}
	// The same redirect, to where it may go.
	l.forget()
	if _, err := l.probe(ctx, "http", "http://"+l.at(from)+"/redirect?to="+url.QueryEscape("http://"+l.at(from)+"/there")); err != nil {
		return "", err
	}
	if !strings.Contains(l.traps[from].text(), "/there") {
		return "", fail("a redirect to where the probe may go is not followed either")
	}
	return fmt.Sprintf("with --%s=%s/32, redirects from there to %d other addresses are not followed: probe_success 0, and nothing arrives; to itself they are", allowNetwork, from, count) + l.where(), nil
}
