package registries

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/crypto/bcrypt"
)

// A server is a registry of others on loopback, until the test ends.
type server struct {
	name, address string
	log           string // file with a line for each request
	referrers     bool   // it has the API
}

// startAll starts the three, and makes in home the configuration of docker,
// skopeo and TLS by which clients reach them.
func startAll(t *testing.T, home string) []server {
	t.Helper()
	all := []server{
		{name: "docker-registry"},
		{name: "distribution with TLS and a password"},
		{name: "go-containerregistry with referrers", referrers: true},
	}
	authority(t, home)
	var open strings.Builder
	for i := range all {
		s := &all[i]
		s.address, s.log = freeAddress(t), filepath.Join(home, fmt.Sprintf("log%d", i))
		switch i {
		case 0:
			s.serve(t, *debians, "")
		case 1:
			hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(home, "htpasswd"), user+":"+string(hash)+"\n")
			s.serve(t, *distributions, fmt.Sprintf("  tls: {certificate: %[1]s/tls.crt, key: %[1]s/tls.key}\nauth: {htpasswd: {realm: palisade, path: %[1]s/htpasswd}}\n", home))
			credentials := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
			write(t, filepath.Join(home, ".docker", "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.address, credentials))
		case 2:
			s.serveHere(t)
		}
		if i != 1 {
			fmt.Fprintf(&open, "[[registry]]\nlocation = %q\ninsecure = true\n", s.address)
		}
	}
	write(t, filepath.Join(home, ".config", "containers", "registries.conf"), open.String())
	write(t, filepath.Join(home, ".config", "containers", "policy.json"), `{"default":[{"type":"insecureAcceptAnything"}]}`)
	return all
}

const user, password = "ali", "open sesame"

// serve runs a program of the family of docker's registry.
func (s *server) serve(t *testing.T, program, more string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(
		"version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/storage}}\nhttp:\n  addr: %s\n%s", dir, s.address, more))
	out, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, "serve", filepath.Join(dir, "config.yml"))
	cmd.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	cmd.Stdout, cmd.Stderr = out, out // the requests go to stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: it is Debian's package docker-registry, or had by: go build tool", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for range 400 {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", s.name, read(t, s.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen: %s", s.name, read(t, s.log))
}

// serveHere runs go-containerregistry's own registry in this process.
func (s *server) serveHere(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	requests, quiet := log.New(out, "", 0), log.New(io.Discard, "", 0)
	handler := registry.New(registry.WithReferrersSupport(true), registry.Logger(quiet))
	h := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Printf(`"%s %s %s"`, r.Method, r.URL.Path, r.Proto)
		handler.ServeHTTP(w, r)
	})}
	go func() { _ = h.Serve(l) }()
	t.Cleanup(func() {
		_ = h.Close()
		out.Close()
	})
}

var sending = regexp.MustCompile(`"(?:PUT|POST|PATCH|DELETE) [^"]*"`)

// sent are the requests so far that send anything.
func (s *server) sent(t *testing.T) []string {
	t.Helper()
	return sending.FindAllString(read(t, s.log), -1)
}

// freeAddress is one that nothing listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// authority makes tls.crt and tls.key, which clients are told to believe.
func authority(t *testing.T, home string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(home, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}

// strangersKey is the public key of somebody who signed nothing here.
func strangersKey(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
