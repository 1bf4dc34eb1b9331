//go:build linux

package sigstore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/rekor-tiles/v2/pkg/note"
)

// The servers are the tools of .ci/sigstore; .ci/run builds them there:
//
//	go build -C .ci/sigstore -o DIR tool
//	go test ./attestations/signing/sigstore -servers DIR
var (
	serversDir = flag.String("servers", "", "`directory` of the built servers of .ci/sigstore")
	cosigns    = flag.String("cosign", "", "comma-separated `programs` of cosign that have to agree")
)

// A stack is a whole Sigstore on loopback: who vouches for people, and the
// three servers.
type stack struct {
	issuer *httptest.Server
	key    *rsa.PrivateKey // the issuer's

	config, root []byte
	stop         func()
}

const email = "release@example.test"

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// start has the servers running until stop, the end of the test, or of this
// process, whatever ends it.
func start(t *testing.T) *stack {
	t.Helper()
	if *serversDir == "" {
		t.Skip("no -servers given")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, ended := context.WithCancelCause(ctx) // by a server that does
	dir := t.TempDir()
	s := &stack{key: must(rsa.GenerateKey(rand.Reader, 2048))(t)}
	s.issuer = httptest.NewServer(http.HandlerFunc(s.discover))
	t.Cleanup(s.issuer.Close)

	type server struct {
		*exec.Cmd
		done chan struct{}
	}
	var running []server
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, filepath.Join(*serversDir, name), args...)
		log := must(os.Create(filepath.Join(dir, name+".log")))(t)
		cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = log, log, dir, []string{"HOME=" + dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		log.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			ended(fmt.Errorf("%s ended: %v", name, cmd.Wait()))
		}()
		running = append(running, server{cmd, done})
		t.Cleanup(func() {
			if t.Failed() {
				said, _ := os.ReadFile(log.Name())
				t.Logf("%s said:\n%s", name, said[max(0, len(said)-4000):])
			}
		})
	}
	s.stop = func() {
		for _, s := range running {
			_ = s.Process.Kill()
			<-s.done
		}
		running = nil
	}
	t.Cleanup(s.stop)

	p := ports(t, 8)
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run("fulcio", "serve", "--ca=ephemeralca", "--ct-log-url=", "--host=127.0.0.1", "--port="+p[0], "--grpc-host=127.0.0.1", "--grpc-port="+p[1], "--metrics-port="+p[2],
		"--legacy-unix-domain-socket="+filepath.Join(dir, "fulcio.socket"),
		"--config-path="+write("fulcio.yaml", fmt.Appendf(nil, "oidc-issuers:\n  %s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: email\n", s.issuer.URL)))
	vacant(ctx, t, ":2112") // where it serves its metrics, whatever it is told
	run("timestamp-server", "serve", "--timestamp-signer=memory", "--disable-ntp-monitoring", "--host=127.0.0.1", "--port="+p[3])
	logKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	logPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(logKey))(t)})
	run("posix", "serve", "--hostname=localhost", "--http-address=127.0.0.1", "--http-port="+p[4], "--grpc-address=127.0.0.1", "--grpc-port="+p[5], "--http-metrics-port="+p[6],
		"--storage-dir="+filepath.Join(dir, "log"), "--signer-filepath="+write("log.pem", logPEM), "--checkpoint-interval=200ms", "--batch-max-age=50ms")

	fulcio, tsa, rekor := "http://localhost:"+p[0], "http://localhost:"+p[3]+"/api/v1/timestamp", "http://localhost:"+p[4]
	var bundle struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(ready(ctx, t, fulcio+"/api/v2/trustBundle"), &bundle); err != nil {
		t.Fatal(err)
	}
	stamps := ready(ctx, t, tsa+"/certchain")
	ready(ctx, t, rekor+"/healthz")

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
	s.root = must(json.Marshal(map[string]any{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"certificateAuthorities": []any{authority(fulcio, []byte(strings.Join(bundle.Chains[0].Certificates, "\n")))},
		"timestampAuthorities":   []any{authority(tsa, stamps)},
		"tlogs": []any{map[string]any{
			"baseUrl": rekor, "hashAlgorithm": "SHA2_256", "logId": map[string]any{"keyId": logID},
			"publicKey": map[string]any{"rawBytes": must(x509.MarshalPKIXPublicKey(logKey.Public()))(t), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
		}},
	}))(t)
	service := func(url string, version int) []any {
		return []any{map[string]any{"url": url, "majorApiVersion": version, "validFor": since, "operator": "example.test"}}
	}
	s.config = must(json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    service(fulcio, 1), "oidcUrls": service(s.issuer.URL, 1),
		"rekorTlogUrls": service(rekor, 2), "rekorTlogConfig": map[string]any{"selector": "ANY"},
		"tsaUrls": service(tsa, 1), "tsaConfig": map[string]any{"selector": "ANY"},
	}))(t)
	return s
}

// ports are free now; nothing holds them until a server does.
func ports(t *testing.T, n int) (free []string) {
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

// vacant waits for whoever is at an address, as another run of this test.
func vacant(ctx context.Context, t *testing.T, address string) {
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
func ready(ctx context.Context, t *testing.T, url string) []byte {
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

// discover is the issuer: its keys, and where they are.
func (s *stack) discover(w http.ResponseWriter, r *http.Request) {
	answer := map[string]any{
		"issuer": s.issuer.URL, "jwks_uri": s.issuer.URL + "/keys", "authorization_endpoint": s.issuer.URL, "token_endpoint": s.issuer.URL,
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if r.URL.Path == "/keys" {
		answer = map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
		}}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// token is one of the issuer's.
func (s *stack) token(t *testing.T, audience any) string {
	t.Helper()
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))(t)) }
	now := time.Now()
	signed := part(map[string]any{"alg": "RS256", "kid": "1", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": s.issuer.URL, "aud": audience, "sub": "1", "email": email, "email_verified": true,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	sum := sha256.Sum256([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:]))(t))
}
