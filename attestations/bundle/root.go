package bundle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
)

const rootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

// EmptyRoot is a trusted root that names nobody. It ships beside artifacts that
// a key signed, since cosign asks for a file even when it needs nothing of it.
func EmptyRoot() []byte { return []byte(`{"mediaType":"` + rootMediaType + "\"}\n") }

// A Root is a trusted root: the certificate authorities, the timestamp
// authorities and the logs that are believed, each in its time. A nil Root, as
// an empty one, names none.
type Root struct {
	authorities []authority
	timestamps  []authority
	logs        map[string]log // by the hexadecimal of its id
	ctlogs      map[string]log
}

// An authority signs certificates, or timestamps with a certificate.
type authority struct {
	name          string
	leaf          *x509.Certificate // what signs timestamps; nil where the root does not say
	intermediates []*x509.Certificate
	root          *x509.Certificate
	span
}

// A log is of signatures, or of certificates.
type log struct {
	url    string
	origin string // what its checkpoints are signed as
	key    crypto.PublicKey
	hash   crypto.Hash
	span
}

// A span is when something may be believed; an end that is not set does not end.
type span struct{ from, until time.Time }

func (s span) holds(t time.Time) bool {
	return !t.Before(s.from) && (s.until.IsZero() || !t.After(s.until))
}

func (s span) String() string {
	if s.until.IsZero() {
		return "from " + s.from.UTC().Format(time.RFC3339)
	}
	return "from " + s.from.UTC().Format(time.RFC3339) + " until " + s.until.UTC().Format(time.RFC3339)
}

// ParseRoot reads a trusted_root.json, strictly. Its errors wrap ErrTrust.
func ParseRoot(data []byte) (*Root, error) {
	r, err := parseRoot(data)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the trusted root: %w", ErrTrust, err)
	}
	return r, nil
}

func parseRoot(data []byte) (*Root, error) {
	var pb prototrustroot.TrustedRoot
	if err := decode(data, &pb, MaxRoot); err != nil {
		return nil, err
	}
	if pb.GetMediaType() != rootMediaType {
		return nil, fmt.Errorf("media type %q, want %q", pb.GetMediaType(), rootMediaType)
	}
	var r Root
	var err error
	if r.authorities, err = readAuthorities(pb.GetCertificateAuthorities()); err != nil {
		return nil, err
	}
	if r.timestamps, err = readAuthorities(pb.GetTimestampAuthorities()); err != nil {
		return nil, err
	}
	if r.logs, err = readLogs(pb.GetTlogs()); err != nil {
		return nil, err
	}
	r.ctlogs, err = readLogs(pb.GetCtlogs())
	return &r, err
}

func readAuthorities(list []*prototrustroot.CertificateAuthority) (all []authority, err error) {
	for _, pb := range list {
		a := authority{name: pb.GetUri()}
		if a.span, err = readSpan(pb.GetValidFor()); err != nil {
			return nil, fmt.Errorf("authority %s: %w", a.name, err)
		}
		chain := pb.GetCertChain().GetCertificates()
		if len(chain) == 0 {
			return nil, fmt.Errorf("authority %s has no certificate", a.name)
		}
		for i, c := range chain {
			cert, err := x509.ParseCertificate(c.GetRawBytes())
			if err != nil {
				return nil, fmt.Errorf("authority %s: %w", a.name, err)
			}
			switch {
			case i == len(chain)-1:
				a.root = cert
			case i == 0 && !cert.IsCA:
				a.leaf = cert
			default:
				a.intermediates = append(a.intermediates, cert)
			}
		}
		if !a.root.IsCA {
			return nil, fmt.Errorf("authority %s: the last certificate is none of an authority", a.name)
		}
		all = append(all, a)
	}
	return all, nil
}

func readLogs(list []*prototrustroot.TransparencyLogInstance) (map[string]log, error) {
	all := map[string]log{}
	for _, pb := range list {
		l := log{url: pb.GetBaseUrl(), hash: crypto.SHA256}
		id := hex.EncodeToString(pb.GetLogId().GetKeyId())
		if _, again := all[id]; again || id == "" {
			return nil, fmt.Errorf("log %s: its id %q is empty or another log's", l.url, id)
		}
		if pb.GetHashAlgorithm() != protocommon.HashAlgorithm_SHA2_256 {
			return nil, fmt.Errorf("log %s hashes by %s, want SHA2_256", l.url, pb.GetHashAlgorithm())
		}
		u, err := url.Parse(l.url)
		if err != nil {
			return nil, fmt.Errorf("log %s: %w", l.url, err)
		}
		l.origin = u.Hostname()
		raw := pb.GetPublicKey().GetRawBytes()
		if pb.GetPublicKey().GetKeyDetails() == protocommon.PublicKeyDetails_PKCS1_RSA_PKCS1V5 { //nolint:staticcheck // Sigstore's staging instance has one
			l.key, err = x509.ParsePKCS1PublicKey(raw)
		} else {
			l.key, err = x509.ParsePKIXPublicKey(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("log %s: %w", l.url, err)
		}
		switch key := l.key.(type) {
		case ed25519.PublicKey:
			l.hash = crypto.SHA512
		case *ecdsa.PublicKey:
			if key.Curve == elliptic.P384() {
				l.hash = crypto.SHA384
			}
		}
		if l.span, err = readSpan(pb.GetPublicKey().GetValidFor()); err != nil {
			return nil, fmt.Errorf("log %s: %w", l.url, err)
		}
		all[id] = l
	}
	return all, nil
}

// readSpan refuses what has no beginning: whoever writes a root knows it.
func readSpan(pb *protocommon.TimeRange) (span, error) {
	if pb.GetStart() == nil {
		return span{}, fmt.Errorf("it does not say since when it is believed (validFor.start)")
	}
	// The zero time would be an end that is not set; and package x509 takes it
	// for now.
	if pb.GetStart().AsTime().IsZero() || pb.GetEnd() != nil && pb.GetEnd().AsTime().IsZero() {
		return span{}, fmt.Errorf("its time begins or ends in the year 1 (validFor): name the day, or leave the end out")
	}
	s := span{from: pb.GetStart().AsTime()}
	if pb.GetEnd() != nil {
		s.until = pb.GetEnd().AsTime()
	}
	return s, nil
}
