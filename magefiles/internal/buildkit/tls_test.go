package buildkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	certificates := t.TempDir()
	for _, tt := range []struct {
		address string
		tls     TLS
		want    string
	}{
		{"tcp://127.0.0.1:1234", TLS{}, ""},
		{"tcp://[::1]:1234", TLS{}, ""},
		{"unix:///run/buildkit/buildkitd.sock", TLS{}, ""},
		{"tcp://worker.example:1234", TLS{Dir: certificates}, ""},
		{"tcp://worker.example:1234", TLS{}, "BUILDKIT_TLS_DIR"},
		{"tcp://localhost:1234", TLS{}, "BUILDKIT_TLS_DIR"}, // a name may lead anywhere
		{"tcp://192.0.2.1:1234", TLS{}, "BUILDKIT_TLS_DIR"},
		{"tcp://worker.example", TLS{Dir: certificates}, "is no address"},
		{"tcp://:1234", TLS{Dir: certificates}, "is no address"},
		{"tcp://me@127.0.0.1:1234", TLS{}, "is no address"},
		{"tcp://me:secret@127.0.0.1:1234", TLS{}, "is no address"},
		{"tcp://me:secret@127.0.0.1:port", TLS{}, "is no address"},
		{"tcp://127.0.0.1:1234/x", TLS{}, "is no address"},
		{"docker-container://buildkitd", TLS{}, "is no address"}, // runs a program
		{"ssh://worker.example", TLS{Dir: certificates}, "is no address"},
		{"unix://run", TLS{}, "is no address"},
		{"", TLS{}, "is no address"},
	} {
		_, err := New(Options{Addresses: []string{tt.address}, TLS: tt.tls})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.address, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: it tells the password: %v", tt.address, err)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no address at all")
	}
	if _, err := New(Options{Addresses: []string{"unix:///a", "unix:///a"}}); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("the same twice: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{[]string{"ca.pem", "cert.pem", "key.pem"}, ""},
		{[]string{"ca.crt", "tls.crt", "tls.key"}, ""},
		{[]string{"ca.pem", "cert.pem"}, "neither key.pem nor tls.key"},
		{nil, "neither ca.pem nor ca.crt"},
	} {
		dir := t.TempDir()
		for _, name := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		options, err := TLS{Dir: dir}.options("worker.example")
		if tt.want == "" && (err != nil || len(options) != 2) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: got %v, want %q", tt.files, err, tt.want)
		}
	}
}

// Certificates are folders as "buildctl --tlsdir" has them.
type certificates struct {
	server   string // of a worker on loopback
	right    string // of a client that it knows
	stranger string // of a client that knows the worker, which does not know him
	wary     string // of a client that the worker knows, and who does not know it
}

// certify makes them, of two authorities.
func certify(t testing.TB) certificates {
	t.Helper()
	ours, theirs := newAuthority(t), newAuthority(t)
	return certificates{
		server: ours.certify(t, ours, "127.0.0.1"), right: ours.certify(t, ours, "client"),
		stranger: ours.certify(t, theirs, "client"), wary: theirs.certify(t, ours, "client"),
	}
}

// hold holds the worker at address, which has the server's certificate, to
// answering him alone whom it knows and who knows it.
func (c certificates) hold(t *testing.T, address string) {
	t.Helper()
	for _, tt := range []struct {
		name string
		tls  TLS
		want string // of the error
	}{
		{"a client that it knows", TLS{Dir: c.right}, ""},
		{"and by the name in its certificate", TLS{Dir: c.right, ServerName: "127.0.0.1"}, ""},
		{"without a certificate", TLS{}, "Unavailable"},
		{"with a stranger's certificate", TLS{Dir: c.stranger}, "Unavailable"},
		{"a worker with a stranger's certificate", TLS{Dir: c.wary}, "signed by unknown authority"},
		{"a worker of another name", TLS{Dir: c.right, ServerName: "worker.example"}, "worker.example"},
	} {
		id, err := ping(t, address, tt.tls)
		if tt.want == "" && (err != nil || id == "") || tt.want != "" && (err == nil || id != "" || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, id, err, tt.want)
		}
	}
}

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// certify makes a folder with a's own certificate, and one for name that by
// signs, with its key.
func (a authority) certify(t testing.TB, by authority, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.certificate.NotBefore, NotAfter: a.certificate.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, block := range map[string]pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: a.certificate.Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
