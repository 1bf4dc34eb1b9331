//go:build e2e && unix

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// user is who the credentials that a component makes are for.
const user = "admin"

// credentials is the directory in which a component keeps what it made at its
// first start.
type credentials struct{ dir string }

func (c credentials) certificate() string { return filepath.Join(c.dir, "tls.crt") }
func (c credentials) password() string    { return filepath.Join(c.dir, "password") }

// client trusts that certificate alone, shows the password, asks no proxy, and
// never asks long.
func (c credentials) client() (*http.Client, error) {
	certificate, err := os.ReadFile(c.certificate())
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(c.password())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		return nil, fmt.Errorf("%s holds no certificate", c.certificate())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	return &http.Client{Transport: authenticated{transport, string(password)}, Timeout: 20 * time.Second}, nil
}

type authenticated struct {
	http.RoundTripper
	password string
}

func (a authenticated) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth(user, a.password)
	return a.RoundTripper.RoundTrip(req)
}

// clientConfig writes the file that promtool and amtool take with
// --http.config.file, and returns its path.
func (c credentials) clientConfig(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "client.yml")
	config := fmt.Appendf(nil, "{basic_auth: {username: %s, password_file: %q}, tls_config: {ca_file: %q}}", user, c.password(), c.certificate())
	if err := os.WriteFile(name, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// pin is the hash by which Chromium knows the certificate's key: base64 of the
// SHA-256 of its SubjectPublicKeyInfo.
func (c credentials) pin() (string, error) {
	data, err := os.ReadFile(c.certificate())
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return "", fmt.Errorf("%s holds no certificate", c.certificate())
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
