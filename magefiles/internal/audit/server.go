package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"palisade/magefiles/internal/child"
)

const (
	startTime = 40 * time.Second // until a subject answers or has ended
	stopTime  = 5 * time.Second  // from SIGTERM to SIGKILL
	pollTime  = 20 * time.Millisecond
	maxLog    = 64 << 20 // bytes of a log that are looked at
)

// options are how a check wants the subject started. The zero value starts it
// as somebody does who knows nothing: no web config file, the smallest
// configuration of the component, the credentials in a directory of their own.
//
// In args, env, web, config and files "{dir}" stands for the server's own
// directory, "{config}" for its configuration file, "{cert}" and "{key}" for
// the files of a certificate of the bench.
type options struct {
	listen      string            // host, "" for 127.0.0.1; the port is always a free one
	args        []string          // further arguments
	without     []string          // names of flags, without dashes, that the bench would pass
	env         []string          // further variables, NAME=value
	web         string            // content of a web config file; "" passes none
	config      string            // content of the component's configuration file; "" for the smallest
	credentials string            // base directory of the credentials; "" for a new one. It is not passed where args hold the flag or without names it
	files       map[string]string // by name in the server's directory, written first with mode 0600

	// That the web config file lets in; "" for the credentials that the
	// subject made, where it made some.
	user, password string
}

// A server is a subject that was started.
type server struct {
	bench       *bench
	dir         string         // its working directory
	log         string         // file with stdout and stderr
	addr        string         // to dial, host:port
	scheme      string         // http or https
	roots       *x509.CertPool // what its certificate is checked with
	credentials string         // directory of the set that it made for this host, "" if it made none
	user        string         // "" if nothing is known that would let anybody in
	password    string
	pid         int

	signal func(os.Signal) error
	done   chan struct{} // closed at its end
	ended  error         // as exec.Cmd.Wait says, once done is closed
	client clients
}

// notStarted is the error of start for a subject that ended by itself.
type notStarted struct {
	code int // exit status
	log  string
}

func (e *notStarted) Error() string {
	return fmt.Sprintf("it ended with status %d: %s", e.code, lastLine(e.log))
}

// start starts the subject and returns when it answers. A *notStarted says
// that it ended by itself.
func (b *bench) start(ctx context.Context, o options) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	s, err := b.launch(o)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// newServer is a server with its directory and files, which does not run yet,
// and the arguments to start it with.
func (b *bench) newServer(o options) (*server, []string, error) {
	dir, err := b.temp()
	if err != nil {
		return nil, nil, err
	}
	s := &server{bench: b, dir: dir, log: filepath.Join(dir, "log"), done: make(chan struct{}), user: o.user, password: o.password}
	args, err := s.prepare(o)
	return s, args, err
}

// launch starts the subject and does not wait for it to answer.
func (b *bench) launch(o options) (*server, error) {
	s, args, err := b.newServer(o)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(b.Binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	cmd.Env = append(b.environment(s.dir), s.expandAll(o.env)...)
	if err := s.run(cmd); err != nil {
		return nil, err
	}
	return s, nil
}

// run starts cmd as the process of the server, which the bench stops if nobody
// else does.
func (s *server) run(cmd *exec.Cmd) error {
	ended, err := child.Start(cmd)
	if err != nil {
		return err
	}
	s.pid, s.signal = cmd.Process.Pid, cmd.Process.Signal
	go func() {
		s.ended = <-ended
		close(s.done)
	}()
	s.bench.mu.Lock()
	defer s.bench.mu.Unlock()
	s.bench.servers = append(s.bench.servers, s)
	return nil
}

// prepare writes what o wants to be there and returns the arguments.
func (s *server) prepare(o options) ([]string, error) {
	b := s.bench
	config := o.config
	if config == "" {
		config = b.component.config
	}
	files := map[string]string{"audit.crt": string(b.own.cert), "audit.key": string(b.own.key), "config.yml": config}
	host := o.listen
	if host == "" {
		host = "127.0.0.1"
	}
	args := []string{"--web.listen-address=" + net.JoinHostPort(host, "0")}
	for _, a := range b.component.args {
		if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); !slices.Contains(o.without, name) {
			args = append(args, a)
		}
	}
	if o.web != "" {
		files["audit-web-config.yml"] = o.web
		args = append(args, "--web.config.file={dir}/audit-web-config.yml")
	}
	const flag = "web.credentials-dir"
	if base := s.expand(o.credentials); b.has(flag) {
		given := slices.ContainsFunc(o.args, func(a string) bool { return strings.HasPrefix(a, "--"+flag) })
		if base == "" && !given {
			base = filepath.Join(s.dir, "credentials")
		}
		if !given && !slices.Contains(o.without, flag) {
			args = append(args, "--"+flag+"="+base)
		}
		if o.web == "" && base != "" {
			s.credentials = filepath.Join(base, b.Component)
		}
	}
	for name, text := range o.files {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.expand(text)), 0o600); err != nil {
			return nil, err
		}
	}
	return s.expandAll(append(args, o.args...)), nil
}

func (s *server) expand(text string) string {
	return strings.NewReplacer("{dir}", s.dir, "{config}", filepath.Join(s.dir, "config.yml"),
		"{cert}", filepath.Join(s.dir, "audit.crt"), "{key}", filepath.Join(s.dir, "audit.key")).Replace(text)
}

func (s *server) expandAll(all []string) []string {
	expanded := make([]string, len(all))
	for i, text := range all {
		expanded[i] = s.expand(text)
	}
	return expanded
}

// The line of the toolkit, in its present form and that of older releases.
var listening = regexp.MustCompile(`msg="Listening on" (?:.* )?address=(\S+)`)

// await waits until the subject answers, and learns how to talk to it.
func (s *server) await(ctx context.Context) error {
	for {
		select {
		case <-s.done:
			return s.exit()
		case <-ctx.Done():
			return fmt.Errorf("it neither answered nor ended in %v: %s", startTime, lastLine(s.readLog()))
		case <-time.After(pollTime):
		}
		if s.addr == "" {
			m := listening.FindStringSubmatch(s.readLog())
			if m == nil {
				continue
			}
			s.addr = reachable(strings.Trim(m[1], `"`))
		}
		if s.scheme == "" && !s.probe(ctx) {
			continue
		}
		r, err := s.get(ctx, "/-/ready", right)
		if err == nil && r.status != 503 {
			return nil
		}
	}
}

// reachable is where to dial a server that listens at address.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// probe learns the scheme, once the subject speaks at all, and takes up the
// credentials that it made.
func (s *server) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return false
	}
	defer raw.Close()
	// Who the server is, is checked by every later connection.
	err = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	var notTLS tls.RecordHeaderError
	switch {
	case err == nil:
		s.scheme = "https"
	case errors.As(err, &notTLS):
		s.scheme = "http"
	default:
		return false
	}
	s.adopt()
	return true
}

// adopt takes up certificate and password, as a user would.
func (s *server) adopt() {
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(s.bench.own.cert)
	if s.credentials == "" {
		return
	}
	cert, err := os.ReadFile(filepath.Join(s.credentials, "tls.crt"))
	if err != nil {
		s.credentials = ""
		return
	}
	s.roots.AppendCertsFromPEM(cert)
	if password, err := os.ReadFile(filepath.Join(s.credentials, "password")); err == nil && s.user == "" {
		s.user, s.password = "admin", strings.TrimRight(string(password), "\r\n")
		s.bench.secret(s.password)
	}
}

// readLog is what the subject has said so far.
func (s *server) readLog() string {
	f, err := os.Open(s.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxLog))
	return string(text)
}

func (s *server) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// exit is the *notStarted of a subject that has ended.
func (s *server) exit() error {
	e := &notStarted{log: s.readLog()}
	var status *exec.ExitError
	if errors.As(s.ended, &status) {
		e.code = status.ExitCode()
	}
	return e
}

// stop ends the subject and waits for its end.
func (s *server) stop() {
	s.client.close()
	if s.running() {
		_ = s.signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(stopTime):
			_ = s.signal(syscall.SIGKILL)
			<-s.done
		}
	}
}

// refused starts the subject with o and expects that it ends by itself, with a
// status other than 0 and a log that holds every one of the words. It returns
// the line of the log with the first of them.
func (b *bench) refused(ctx context.Context, o options, words ...string) (string, error) {
	s, err := b.start(ctx, o)
	if err == nil {
		defer s.stop()
		return "", fail("it started, and serves %s", s.scheme)
	}
	var e *notStarted
	if !errors.As(err, &e) {
		return "", err
	}
	if e.code == 0 {
		return "", fail("it ended with status 0: %s", lastLine(e.log))
	}
	for _, w := range words {
		if !strings.Contains(e.log, w) {
			return "", fail("it ended with status %d without a word of %q: %s", e.code, w, lastLine(e.log))
		}
	}
	if len(words) == 0 {
		return lastLine(e.log), nil
	}
	for _, line := range strings.Split(e.log, "\n") {
		if strings.Contains(line, words[0]) {
			return line, nil
		}
	}
	return lastLine(e.log), nil
}

func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
