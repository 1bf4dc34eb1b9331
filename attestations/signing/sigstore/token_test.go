package sigstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/sigstore"
)

func TestTokenFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	token := sigstore.TokenFile(name)
	if _, err := token(t.Context()); !errors.Is(err, sigstore.ErrToken) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token(t.Context()); !errors.Is(err, sigstore.ErrToken) {
		t.Errorf("a large file: %v", err)
	}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(name, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := token(t.Context()); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestActions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("api-version") != "2":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/garbage":
			fmt.Fprint(w, "not JSON")
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, "/?"+r.URL.RawQuery, http.StatusFound)
		case r.URL.Path == "/large":
			fmt.Fprint(w, `{"value":"`+strings.Repeat("x", 1<<20)+`"}`)
		default:
			fmt.Fprint(w, `{"count":1,"value":"the token"}`)
		}
	}))
	defer server.Close()
	for _, tt := range []struct{ url, secret, want string }{
		{server.URL + "/?api-version=2", "secret", "the token"},
		{server.URL + "/?api-version=2", "wrong", ""},
		{server.URL + "/garbage?api-version=2", "secret", ""},
		{server.URL + "/large?api-version=2", "secret", ""},
		{server.URL + "/elsewhere?api-version=2", "secret", ""},
		{"", "secret", ""},
		{server.URL, "", ""},
		{"http://127.0.0.1:1/", "secret", ""},
	} {
		got, err := sigstore.Actions(tt.url, tt.secret)(t.Context())
		if got != tt.want || (tt.want == "") != errors.Is(err, sigstore.ErrToken) {
			t.Errorf("%s: %q, %v", tt.url, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
}

// A token is sent to whom it is for, and neither in the clear nor on from there.
func TestTokenStays(t *testing.T) {
	for _, address := range []string{"http://issuer.example.test/", "ftp://127.0.0.1/", "//127.0.0.1/"} {
		if _, err := sigstore.Actions(address, "secret")(t.Context()); !errors.Is(err, sigstore.ErrToken) || !strings.Contains(err.Error(), "use https") {
			t.Errorf("asking %s: %v", address, err)
		}
	}

	shown := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			shown = r.Header.Get("Authorization")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := fmt.Sprintf(`[{"uri":"x","certChain":{"certificates":[{"rawBytes":%q}]},"validFor":{"start":"2020-01-01T00:00:00Z"}}]`, base64.StdEncoding.EncodeToString(der))
	service := fmt.Sprintf(`[{"url":%q,"majorApiVersion":1,"validFor":{"start":"2020-01-01T00:00:00Z"},"operator":"x"}]`, server.URL)
	signer, err := sigstore.Keyless(sigstore.Options{
		Config: []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","tsaConfig":{"selector":"ANY"},"caUrls":` + service + `,"tsaUrls":` + service + `}`),
		Root:   []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","certificateAuthorities":` + authorities + `,"timestampAuthorities":` + authorities + `}`),
		Now:    time.Now,
	}, sigstore.TokenValue("e30."+base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"sigstore","sub":"x","iss":"https://issuer.example.test"}`))+".e30"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(t.Context(), signing.Statement([]byte("{}"))); !errors.Is(err, sigstore.ErrService) || shown != "" {
		t.Errorf("%v, and elsewhere was shown %q", err, shown)
	}
}

// What no bundle could be opened with is refused before anybody is asked.
func TestOptions(t *testing.T) {
	config := `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{"selector":"ANY"},
		"caUrls":[{"url":"http://127.0.0.1:1","majorApiVersion":1}],"tsaUrls":[{"url":"http://127.0.0.1:1","majorApiVersion":1}]}`
	for _, tt := range []struct {
		name, config, root string
		want               error
	}{
		{"no config", "", string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"another config", "{}", string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"a large config", config + strings.Repeat(" ", 1<<20), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"no timestamp authority", strings.Replace(config, "tsaUrls", "oidcUrls", 1), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"no certificate authority", strings.Replace(config, "caUrls", "oidcUrls", 1), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"no selector", strings.Replace(config, `"selector":"ANY"`, "", 1), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"null for a selector", strings.Replace(config, `"tsaConfig":{"selector":"ANY"},`, "", 1), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"a certificate authority that others can listen to", strings.Replace(config, `"caUrls":[{"url":"http://127.0.0.1:1"`, `"caUrls":[{"url":"http://fulcio.example.test"`, 1), string(bundle.EmptyRoot()), sigstore.ErrConfig},
		{"no root", config, "", bundle.ErrTrust},
		{"an empty root", config, string(bundle.EmptyRoot()), bundle.ErrTrust},
	} {
		_, err := sigstore.Keyless(sigstore.Options{Config: []byte(tt.config), Root: []byte(tt.root), Now: time.Now}, sigstore.TokenValue("x"))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
