package audit

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

var secretsChecks = []Check{
	{ID: "secrets.canary", Rows: []int{21}, run: secretsCanary,
		Doc: "nothing that a configuration marks as secret is in a page, a log line or what is there for debugging"},
}

// canaryFiles hold the configurations, by component. A test holds them against
// the secret fields that upstream declares.
//
//go:embed canary
var canaryFiles embed.FS

// canaryTime is how long what a configuration asks for is given to happen.
const canaryTime = 4 * time.Second

// says is what the server answers, as it stands there for whoever asked.
func (s *server) says(ctx context.Context, r request) (string, error) {
	r.auth = right
	answer, err := s.do(ctx, r)
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Split(r.path, "?")[0], err)
	}
	var header strings.Builder
	_ = answer.header.Write(&header)
	return header.String() + "\n" + answer.body, nil
}

// A planted secret is a canary and the field that it stands in.
type planted struct{ field, text string }

var placeholder = regexp.MustCompile(`\{(?:hex-)?secret\}`)

// plant puts a canary into each place that is for one.
func (b *bench) plant(config string) (string, []planted) {
	var all []planted
	lines := strings.Split(config, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for {
			at := placeholder.FindStringIndex(line)
			if at == nil {
				break
			}
			secret := b.canary()
			if line[at[0]:at[1]] == "{hex-secret}" {
				secret = fmt.Sprintf("%x", rand.Text()[:6])
				b.secret(secret)
			}
			all = append(all, planted{fmt.Sprintf("%s of line %d", lastKey(line[:at[0]]), i+1), secret})
			line = line[:at[0]] + secret + line[at[1]:]
		}
		lines[i] = line
	}
	config = strings.Join(lines, "\n")
	if strings.Contains(config, "{key-pem}") {
		// One line of the key stands for it.
		text := keyLine(b.own.key)
		b.secret(text)
		all = append(all, planted{"key of tls_config", text})
		config = strings.NewReplacer("{cert-pem}", quoted(b.own.cert), "{key-pem}", quoted(b.own.key)).Replace(config)
	}
	return config, all
}

// quoted is a text for between the double quotes of YAML.
func quoted(text []byte) string { return strings.ReplaceAll(string(text), "\n", `\n`) }

var keyName = regexp.MustCompile(`([A-Za-z0-9_-]+):`)

// lastKey is the key of the value that begins at the end of text.
func lastKey(text string) string {
	name := "value"
	for _, m := range keyName.FindAllStringSubmatch(text, -1) {
		if m[1] != "http" && m[1] != "https" {
			name = m[1]
		}
	}
	return name
}

func secretsCanary(ctx context.Context, b *bench) (string, error) {
	var all disclosed
	for _, r := range []round{{"a server that refuses requests", true, true, 2}, {"nobody who listens", false, false, 1}} {
		if err := b.disclose(ctx, r, &all); err != nil {
			return "", fmt.Errorf("where there is %s: %w", r.name, err)
		}
	}
	if len(all.found) > 0 {
		return "", fail("%s", strings.Join(all.found, "; "))
	}
	ours := "the secrets of the web"
	if all.planted > 0 {
		ours += fmt.Sprintf(", and %d of a configuration, of which %d were sent where it says,", all.planted, all.sent)
	}
	return fmt.Sprintf("%s are in none of %d pages and no line of a debug log, also after failures and reloads", ours, all.pages), nil
}

// disclosed is what came out.
type disclosed struct {
	planted, pages, sent int
	found                []string // which secret is where, each once
}

// look looks for the secrets in a text of the subject.
func (d *disclosed) look(secrets []planted, where, text string) {
	for _, secret := range secrets {
		if how := holds(text, secret.text); how != "" {
			if found := fmt.Sprintf("%s holds %s, %s", where, secret.field, how); !slices.Contains(d.found, found) {
				d.found = append(d.found, found)
			}
		}
	}
}

// A round is one way for everything that the configuration asks for to fail.
type round struct {
	name    string
	listens bool
	file    bool // the web has a configuration file of the operator
	times   int  // that it is told to read its configuration again
}

func (b *bench) disclose(ctx context.Context, r round, out *disclosed) error {
	d := disclosures[b.Component]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	address := listener.Addr().String()
	t := &trap{refuses: true}
	if r.listens {
		t.serveHTTP(listener)
		if packets, err := net.ListenPacket("udp", address); err == nil {
			defer packets.Close()
			t.servePackets(packets)
		}
	} else {
		listener.Close()
	}

	var o options
	var secrets []planted
	if r.file {
		o = explicit(fileTLS + fileUsers)
		secrets = append(secrets, planted{"the hash of a user of the web", hashOfCost10[7:]}, planted{"the key of the web", keyLine(b.own.key)})
	}
	if text, err := canaryFiles.ReadFile("canary/" + b.Component + ".yml"); err == nil {
		config, more := b.plant(strings.ReplaceAll(string(text), "{trap}", address))
		o.config, secrets, out.planted = config, append(secrets, more...), len(more)
	}
	o.files = d.files
	o.args = b.supported(append([]string{"--log.level=debug", "--web.enable-pprof"}, d.args...)...)
	s, err := b.start(ctx, o)
	if err != nil {
		return err
	}
	if s.credentials != "" {
		set, err := s.set()
		if err != nil {
			return err
		}
		for _, text := range set.secrets() {
			secrets = append(secrets, planted{"a credential of the web", text})
		}
	}
	if err := s.disclose(ctx, d, address, r.times, func(where, text string) { out.look(secrets, where, text) }); err != nil {
		return err
	}
	sent := 0
	for _, secret := range secrets {
		if holds(t.text(), secret.text) != "" {
			sent++
		}
	}
	s.stop()
	for _, line := range strings.Split(s.readLog(), "\n") {
		out.look(secrets, "the log ("+message(line)+")", line)
	}
	if r.listens && out.planted > 0 && sent == 0 {
		return errors.New("no secret of the configuration was sent where it says, so that nothing shows that it was used")
	}
	out.sent = max(out.sent, sent)
	out.pages = len(d.all(b))
	return nil
}

// all are the pages of the component.
func (d disclosure) all(b *bench) []string {
	return slices.Concat(b.component.pages, d.pages, debugPages)
}

// disclose has the subject say all that it can, before and after it was told
// to read its configuration again, as often as times.
func (s *server) disclose(ctx context.Context, d disclosure, trap string, times int, look func(where, text string)) error {
	for range times {
		if d.act != nil {
			said, err := d.act(ctx, s, trap)
			if err != nil {
				return err
			}
			look("an answer", said)
		}
		if d.wait {
			select {
			case <-time.After(canaryTime / 2):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, page := range d.all(s.bench) {
			said, err := s.says(ctx, request{path: strings.ReplaceAll(page, "{", "%7B")})
			if err != nil {
				return err
			}
			look(strings.Split(page, "?")[0], said)
		}
		// Who does not know the signal would end.
		if reloads[s.bench.Component] {
			if err := s.signal(syscall.SIGHUP); err != nil {
				return err
			}
		}
		said, err := s.says(ctx, request{method: http.MethodPost, path: "/-/reload"})
		if err != nil {
			return err
		}
		look("/-/reload", said)
	}
	return nil
}

// reloads are the components that read their configuration again when told to.
var reloads = map[string]bool{"prometheus": true, "alertmanager": true, "blackbox_exporter": true, "snmp_exporter": true}

var logMessage = regexp.MustCompile(`msg=("(?:[^"\\]|\\.)*"|\S+)`)

// message is what a line of the log is about.
func message(line string) string {
	if m := logMessage.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%.60s", strings.Trim(m[1], `"`))
	}
	return "no message"
}

// keyLine stands for a key: the first line of its content.
func keyLine(pem []byte) string { return strings.Split(string(pem), "\n")[1] }
