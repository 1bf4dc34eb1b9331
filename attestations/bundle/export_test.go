package bundle

import (
	"crypto/x509"
	"time"
)

// Issued is issued, for a certificate of which there is no bundle of ours.
func (r *Root) Issued(cert *x509.Certificate, times ...time.Time) error { return r.issued(cert, times) }

// Promised is promised, for any certificate and the one of its issuer.
func (r *Root) Promised(cert, issuer *x509.Certificate) bool {
	return r.promised(cert, [][]*x509.Certificate{{cert, issuer}})
}

// Logged reports whether a log of r holds what is signed in a bundle with a
// certificate, if these are the times that are known.
func (r *Root) Logged(data []byte, times ...time.Time) (bool, error) {
	b, err := parse(data)
	if err != nil {
		return false, err
	}
	return r.logged(b, b.certificate.PublicKey, times)
}
