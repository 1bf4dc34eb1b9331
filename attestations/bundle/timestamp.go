package bundle

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/notaryproject/tspclient-go"
)

// times are when the root's timestamp authorities have seen the signature
// (RFC 3161), one for each timestamp of theirs. A timestamp that is not theirs,
// or not of this signature, tells nothing. There is at least one, or an error.
func (r *Root) times(b parsed) ([]time.Time, error) {
	if r == nil || len(r.timestamps) == 0 {
		return nil, fmt.Errorf("%w: the trusted root names no authority for them", ErrNoTimestamp)
	}
	if len(b.timestamps) == 0 {
		return nil, fmt.Errorf("%w: the bundle has none", ErrNoTimestamp)
	}
	var times []time.Time
	var why error
	for _, response := range b.timestamps {
		for _, a := range r.timestamps {
			at, err := a.timestamp(response, b.signature)
			if err == nil {
				times = append(times, at)
				break
			}
			why = fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrNoTimestamp, why)
	}
	return times, nil
}

// timestamp verifies one response of the authority for message.
func (a authority) timestamp(response, message []byte) (time.Time, error) {
	var resp tspclient.Response
	if err := resp.UnmarshalBinary(response); err != nil {
		return time.Time{}, err
	}
	token, err := resp.SignedToken()
	if err != nil {
		return time.Time{}, err
	}
	info, err := token.Info()
	if err != nil {
		return time.Time{}, err
	}
	if _, err := info.Validate(message); err != nil {
		return time.Time{}, err
	}
	if len(token.SignerInfos) != 1 {
		return time.Time{}, fmt.Errorf("%d signatures in the timestamp, want one", len(token.SignerInfos))
	}

	// A client that does not ask for certificates gets none: those of the root
	// are as good, and better.
	token.Certificates = append(token.Certificates, a.intermediates...)
	if a.leaf != nil {
		token.Certificates = append(token.Certificates, a.leaf)
	}
	chain, err := token.Verify(context.Background(), a.options(info.GenTime, x509.ExtKeyUsageTimeStamping))
	if err != nil {
		return time.Time{}, err
	}
	if a.leaf != nil && !bytes.Equal(chain[0].Raw, a.leaf.Raw) {
		return time.Time{}, errors.New("signed by another certificate of that authority")
	}
	if chain[0].IsCA {
		return time.Time{}, errors.New("signed by the certificate of a certificate authority")
	}
	if !a.holds(info.GenTime) {
		return time.Time{}, fmt.Errorf("of %s, and the authority is believed %s", info.GenTime.UTC().Format(time.RFC3339), a.span)
	}
	return info.GenTime.UTC(), nil
}
