package bundle

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// issued verifies that an authority of the root issued the certificate for
// signing code, and that it and its chain were valid at each of the times
// (RFC 5280 section 6, with a time that is not now). Where the root names logs
// of certificates, one of them has to have promised to hold it.
func (r *Root) issued(cert *x509.Certificate, times []time.Time) error {
	var chains [][]*x509.Certificate
	for _, at := range times {
		var err error
		if chains, err = r.chains(cert, at); err != nil {
			return err
		}
	}
	if len(chains) == 0 {
		return fmt.Errorf("%w: there is no time to check the certificate at", ErrNoTimestamp)
	}
	if len(r.ctlogs) > 0 && !r.promised(cert, chains) {
		return fmt.Errorf("%w: none of the root's logs of certificates vouches for it", ErrCertificate)
	}
	return nil
}

func (r *Root) chains(cert *x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	refusal, why := ErrCertificate, errors.New("the root names no authority")
	for _, a := range r.authorities {
		chains, err := cert.Verify(a.options(at, x509.ExtKeyUsageCodeSigning))
		var invalid x509.CertificateInvalidError
		switch {
		case err == nil && a.holds(at):
			return chains, nil
		case err == nil: // the time is wrong of one that did issue it, of no other
			refusal, why = ErrCertificateTime, fmt.Errorf("authority %s is believed %s", a.name, a.span)
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			refusal, why = ErrCertificateTime, err
		case refusal != ErrCertificateTime:
			why = err
		}
	}
	return nil, fmt.Errorf("%w: at %s: %w", refusal, at.UTC().Format(time.RFC3339), why)
}

func (a authority) options(at time.Time, usage x509.ExtKeyUsage) x509.VerifyOptions {
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	}
	o.Roots.AddCert(a.root)
	for _, c := range a.intermediates {
		o.Intermediates.AddCert(c)
	}
	return o
}
