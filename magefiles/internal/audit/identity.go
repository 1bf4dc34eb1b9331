package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// An identity is a certificate and key for web config files of the checks.
type identity struct{ cert, key []byte }

// What a check writes into web config files. The password is no secret: it
// guards nothing but a server on loopback, for seconds.
const (
	auditUser     = "audit"
	auditPassword = "audited"
	hashOfCost4   = "$2a$04$yfoZzcOQd3qfPXZhf3m.d.ol8wIbSaFUk7vTCMayZci86a0/YTwhW"
	hashOfCost9   = "$2a$09$pL2xLv1/zoiNxcHgwNuluOzU5FxIQTL6HG.cgFVK7yJI5SpThCT1W"
	hashOfCost10  = "$2a$10$AZK0tSR5IzI8lmxjVakLBuesMRX.W2ftp3U/L2QqFoCGo6JvoYqoi"
)

// newIdentity makes a self-signed certificate for localhost.
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	// Valid whenever the audit runs, so that no clock is asked.
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "palisade audit"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	return identity{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}
