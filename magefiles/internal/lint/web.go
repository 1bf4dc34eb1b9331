package lint

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minCost is the least cost of a password's hash: the hardened build's floor.
const minCost = 10

var hash = regexp.MustCompile(`^\$2[abxy]?\$([0-9]{2})\$[./0-9A-Za-z]{53}$`)

// web is about a web config file: who may come in, and who can listen.
func (d *document) web() {
	top := d.top()
	tls, _ := top.at("tls_server_config")
	users, _ := top.at("basic_auth_users")
	serves := tls.has("cert") || tls.has("cert_file")
	policy, asks := tls.at("client_auth_type")
	verified := serves && policy.text == "RequireAndVerifyClientCert"
	switch {
	case !serves && len(users.fields) > 0:
		d.found(users, Error, "no-tls", "basic_auth_users without TLS: passwords go over the network in the clear", "tls_server_config: with cert_file and key_file")
	case !serves:
		d.say(top.line, top.col, Error, "no-tls", "neither TLS nor users: everybody on the network reads and asks", "tls_server_config: with cert_file and key_file, and basic_auth_users:")
	case len(users.fields) == 0 && !verified:
		d.found(tls, Warning, "no-users", "everybody on the network may ask", "basic_auth_users:, or client_auth_type: RequireAndVerifyClientCert with client_ca_file")
	}
	if asks && slices.Contains([]string{"RequestClientCert", "RequireClientCert", "RequireAnyClientCert"}, policy.text) {
		d.found(policy, Warning, "client-not-verified", "any certificate will do, also one that the client made itself", "client_auth_type: RequireAndVerifyClientCert")
	}
	for _, f := range users.fields {
		d.user(users.child(f, "secret", false))
	}
	headers, _ := top.at("http_server_config")
	if h, ok := headers.at("headers"); ok {
		d.hsts(h, tls)
	}
}

func (d *document) user(p place) {
	if p.kind != scalar {
		return
	}
	const instead = `what this prints: htpasswd -nBC 12 "" | tr -d ':\n'`
	m := hash.FindStringSubmatch(p.text)
	if m == nil {
		d.found(p, Error, "no-hash", "this is no bcrypt hash, so nobody can log in; if it is the password itself, change it", instead)
		return
	}
	if cost, _ := strconv.Atoi(m[1]); cost < minCost {
		d.found(p, Error, "bcrypt-cost", fmt.Sprintf("the hash has cost %d, less than %d", cost, minCost), instead)
	}
}

// hsts is about a browser that is told to insist on a certificate which it does
// not trust.
func (d *document) hsts(headers, tls place) {
	for _, f := range headers.fields {
		if !strings.EqualFold(f.key, "Strict-Transport-Security") || !d.selfSigned(tls) {
			continue
		}
		d.found(headers.child(f, "scalar", true), Warning, "hsts-self-signed", "browsers refuse for its whole time a certificate that signs itself, with no way past it", "no such header, or a certificate of an authority that the browsers know")
	}
}

func (d *document) selfSigned(tls place) bool {
	data := []byte(tls.get("cert").text)
	if name := tls.get("cert_file").text; name != "" {
		if !filepath.IsAbs(name) {
			name = filepath.Join(d.dir, name)
		}
		var err error
		if data, err = read(name); err != nil {
			return false
		}
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && bytes.Equal(cert.RawIssuer, cert.RawSubject)
}
