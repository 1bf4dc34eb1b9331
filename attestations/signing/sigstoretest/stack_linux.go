package sigstoretest

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/rekor-tiles/v2/pkg/note"
)

// Options are what a stack is started with.
type Options struct {
	// Servers is the folder of the built tools of .ci/sigstore:
	//
	//	go build -C .ci/sigstore -o DIR tool
	//
	// Without it the test is skipped.
	Servers  string
	Provider Provider
	// URL is where the CI has its repositories, an https address without a slash
	// at its end; https://github.example.test or https://gitlab.example.test if it
	// is empty.
	URL string
}

// A Stack is a whole Sigstore that runs.
type Stack struct {
	Config, Root []byte // signing_config.json, trusted_root.json
	Issuer       string // the address of who vouches, http://127.0.0.1:PORT
	// Addresses are what a signer connects to, as HOST:PORT: the issuer, the
	// certificate authority, the timestamp authority, the log.
	Addresses []string

	provider Provider
	url      string
	key      *rsa.PrivateKey // the issuer's
	issuer   *httptest.Server
	dir      string
	ended    context.CancelCauseFunc
	running  []server

	mu   sync.Mutex
	jobs map[string]Claims // by the header that may ask for a token
}

type server struct {
	*exec.Cmd
	done chan struct{}
}

// startup is how long the servers may take until they answer.
const startup = 2 * time.Minute

// Start has the servers running until Stop, the end of the test, or of this
// process, whatever ends it. One stack after the other: the timestamp authority
// serves its metrics at one address, whatever it is told.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	if o.Servers == "" {
		t.Skip("no -servers given")
	}
	life, ended := context.WithCancelCause(t.Context()) // by a server that does
	ctx, cancel := context.WithTimeout(life, startup)
	defer cancel()
	s := &Stack{provider: o.Provider, dir: t.TempDir(), ended: ended, jobs: map[string]Claims{}, key: must(rsa.GenerateKey(rand.Reader, 2048))(t)}
	s.issuer = httptest.NewServer(http.HandlerFunc(s.serve))
	s.Issuer = s.issuer.URL
	s.url = cmp.Or(o.URL, map[Provider]string{GitHub: "https://github.example.test", GitLab: "https://gitlab.example.test"}[o.Provider])
	t.Cleanup(s.Stop)

	p := ports(t, 8)
	run := func(name string, args ...string) { s.run(life, t, filepath.Join(o.Servers, name), args...) }
	run("fulcio", "serve", "--ca=ephemeralca", "--ct-log-url=", "--host=127.0.0.1", "--port="+p[0], "--grpc-host=127.0.0.1", "--grpc-port="+p[1], "--metrics-port="+p[2],
		"--legacy-unix-domain-socket="+filepath.Join(s.dir, "fulcio.socket"), "--config-path="+s.write(t, "fulcio.yaml", config(o.Provider, s.Issuer, s.url)))
	vacant(ctx, t, ":2112")
	run("timestamp-server", "serve", "--timestamp-signer=memory", "--disable-ntp-monitoring", "--host=127.0.0.1", "--port="+p[3])
	logKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	logPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(logKey))(t)})
	run("posix", "serve", "--hostname=localhost", "--http-address=127.0.0.1", "--http-port="+p[4], "--grpc-address=127.0.0.1", "--grpc-port="+p[5], "--http-metrics-port="+p[6],
		"--storage-dir="+filepath.Join(s.dir, "log"), "--signer-filepath="+s.write(t, "log.pem", logPEM), "--checkpoint-interval=200ms", "--batch-max-age=50ms")
	s.Addresses = []string{s.issuer.Listener.Addr().String(), "127.0.0.1:" + p[0], "127.0.0.1:" + p[3], "127.0.0.1:" + p[4]}

	fulcio, tsa, rekor := "http://localhost:"+p[0], "http://localhost:"+p[3]+"/api/v1/timestamp", "http://localhost:"+p[4]
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(ready(ctx, t, fulcio+"/api/v2/trustBundle"), &bundle); err != nil {
		t.Fatal(err)
	}
	stamps := ready(ctx, t, tsa+"/certchain")
	ready(ctx, t, rekor+"/healthz")
	s.describe(t, fulcio, tsa, rekor, []byte(strings.Join(bundle.Chains[0].Certificates, "\n")), stamps, logKey)
	return s
}

// run starts one of the servers.
func (s *Stack) run(life context.Context, t testing.TB, program string, args ...string) {
	t.Helper()
	cmd, name := exec.CommandContext(life, program, args...), filepath.Base(program)
	log := must(os.Create(filepath.Join(s.dir, name+".log")))(t)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, s.dir, []string{"HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ended(fmt.Errorf("%s ended: %v", name, cmd.Wait()))
	}()
	s.running = append(s.running, server{cmd, done})
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", name, said[max(0, len(said)-4000):])
		}
	})
}

// Stop ends all of it. What was signed can be verified without.
func (s *Stack) Stop() {
	for _, r := range s.running {
		_ = r.Process.Kill()
		<-r.done
	}
	s.running = nil
	s.issuer.Close()
}

func (s *Stack) write(t testing.TB, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// describe writes who the servers are, and where.
func (s *Stack) describe(t testing.TB, fulcio, tsa, rekor string, authorities, stamps []byte, logKey *ecdsa.PrivateKey) {
	t.Helper()
	since := map[string]any{"start": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}
	authority := func(url string, chain []byte) map[string]any {
		var certs []any
		for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
			certs = append(certs, map[string]any{"rawBytes": block.Bytes})
		}
		return map[string]any{"uri": url, "certChain": map[string]any{"certificates": certs}, "validFor": since}
	}
	_, logID, err := note.KeyHash("localhost", logKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.Root = must(json.Marshal(map[string]any{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"certificateAuthorities": []any{authority(fulcio, authorities)},
		"timestampAuthorities":   []any{authority(tsa, stamps)},
		"tlogs": []any{map[string]any{
			"baseUrl": rekor, "hashAlgorithm": "SHA2_256", "logId": map[string]any{"keyId": logID},
			"publicKey": map[string]any{"rawBytes": must(x509.MarshalPKIXPublicKey(logKey.Public()))(t), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
		}},
	}))(t)
	service := func(url string, version int) []any {
		return []any{map[string]any{"url": url, "majorApiVersion": version, "validFor": since, "operator": "example.test"}}
	}
	s.Config = must(json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    service(fulcio, 1), "oidcUrls": service(s.Issuer, 1),
		"rekorTlogUrls": service(rekor, 2), "rekorTlogConfig": map[string]any{"selector": "ANY"},
		"tsaUrls": service(tsa, 1), "tsaConfig": map[string]any{"selector": "ANY"},
	}))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// ports are free now; nothing holds them until a server does.
func ports(t testing.TB, n int) (free []string) {
	t.Helper()
	for range n {
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, port)
	}
	return free
}

// vacant waits for whoever is at an address, as another run of a test.
func vacant(ctx context.Context, t testing.TB, address string) {
	t.Helper()
	for {
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not become free: %v", address, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ready waits for a server's answer.
func ready(ctx context.Context, t testing.TB, url string) []byte {
	t.Helper()
	for {
		req := must(http.NewRequestWithContext(ctx, http.MethodGet, url, nil))(t)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			body, readErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && readErr == nil {
				return body
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %v", url, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
