// Package sigstore signs with the help of Sigstore's services, the public ones
// or somebody's own: a certificate authority that binds a key of a few minutes
// to an identity (Fulcio), a timestamp authority (RFC 3161) and a transparency
// log (Rekor v2). A signing-config file says where they are, a trusted root
// who they are.
//
// A bundle is returned only once package bundle has opened it with that trusted
// root, so that it can be opened later with the services gone; and it is sent
// to a log only once it opens without. Refused are a bundle in which the trusted
// root knows no timestamp, certificate or entry, Rekor v1, a configuration
// without a timestamp authority, a token for anybody but Sigstore, and to send
// one where others can read it.
//
// It reaches the network at the addresses of the signing config, and starts no
// program.
package sigstore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

var (
	// ErrConfig is what the refusal of a signing config wraps.
	ErrConfig = errors.New("unusable signing config")
	// ErrToken is what the refusal of an OIDC token wraps.
	ErrToken = errors.New("unusable OIDC token")
	// ErrService is what the failure of a service wraps.
	ErrService = errors.New("a Sigstore service failed")
)

// Options are what the services are reached with.
type Options struct {
	Config []byte           // signing_config.json, version 0.2
	Root   []byte           // trusted_root.json
	Now    func() time.Time // picks the services in force, and ends a certificate's use; never nil
	Each   time.Duration    // the longest that one request may take; 30 seconds if zero
}

// services are what a signing config chooses.
type services struct {
	authority string // of certificates
	each      time.Duration
	timestamp []*sign.TimestampAuthority
	logs      []sign.Transparency
	trust     bundle.Trust // what a bundle of theirs has to open with, but for who signed
	now       func() time.Time
}

// Logs reports whether the signing config names a transparency log, so that
// what is signed with these options stands in one.
func (o Options) Logs() (bool, error) {
	s, err := choose(o, false)
	return len(s.logs) > 0, err
}

// rekorVersions are the logs that package bundle reads.
var rekorVersions = []uint32{2}

// open refuses what could not end in a bundle that opens, before anybody is
// asked: an entry in a public log stays there.
func open(o Options, trust bundle.Trust) (services, error) {
	s, err := choose(o, len(trust.Identities) > 0)
	if err != nil {
		return services{}, err
	}
	trust.RequireTimestamp, trust.RequireLog = true, len(s.logs) > 0
	if trust.Root, err = bundle.ParseRoot(o.Root); err != nil {
		return services{}, err
	}
	if err := trust.Validate(); err != nil {
		return services{}, fmt.Errorf("signing for this trusted root: %w", err)
	}
	s.trust = trust
	return s, nil
}

func choose(o Options, identity bool) (services, error) {
	s := services{now: o.Now, each: o.Each}
	if s.each == 0 {
		s.each = 30 * time.Second
	}
	fail := func(what string, err error) (services, error) {
		return services{}, fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
	}
	if len(o.Config) > 1<<20 {
		return fail("reading it", fmt.Errorf("it has %d bytes, at most %d are read", len(o.Config), 1<<20))
	}
	raw, err := root.NewSigningConfigProtobuf(o.Config)
	if err != nil {
		return fail("reading it", err)
	}
	config, err := root.NewSigningConfigFromProtobuf(raw)
	if err != nil {
		return fail("reading it", err)
	}
	if raw.GetTsaConfig() == nil || (raw.GetRekorTlogConfig() == nil && len(raw.GetRekorTlogUrls()) > 0) {
		return fail("reading it", errors.New("it does not say how many of the services are used (tsaConfig, rekorTlogConfig)"))
	}
	if identity {
		ca, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, s.now())
		if err != nil {
			return fail("certificate authority", err)
		}
		if s.authority = ca.URL; !private(ca.URL) {
			return fail("certificate authority", fmt.Errorf("%s would be sent a token that others can read on the way: use https", ca.URL))
		}
	}
	if len(config.TimestampAuthorityURLs()) == 0 {
		return fail("timestamp authority", errors.New("it names none"))
	}
	authorities, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(), sign.TimestampAuthorityAPIVersions, s.now())
	if err != nil {
		return fail("timestamp authority", err)
	}
	for _, a := range authorities {
		s.timestamp = append(s.timestamp, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: a.URL, Timeout: s.each, Retries: 1}))
	}
	if len(config.RekorLogURLs()) == 0 {
		return s, nil
	}
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), rekorVersions, s.now())
	if err != nil {
		return fail("transparency log", err)
	}
	for _, l := range logs {
		s.logs = append(s.logs, sign.NewRekor(&sign.RekorOptions{BaseURL: l.URL, Timeout: s.each, Version: l.MajorAPIVersion}))
	}
	return s, nil
}

// private reports whether nobody reads on the way what is sent to an address.
func private(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// witness adds the timestamps and log entries to a bundle, whose key or
// certificate pem is, and returns it once it opens.
func (s services) witness(ctx context.Context, content signing.Content, pb *protobundle.Bundle, pem []byte, trust bundle.Trust) ([]byte, error) {
	signature := pb.GetMessageSignature().GetSignature()
	if e := pb.GetDsseEnvelope(); e != nil {
		signature = e.GetSignatures()[0].GetSig()
	}
	seen := &protobundle.TimestampVerificationData{}
	for _, authority := range s.timestamp {
		response, err := authority.GetTimestamp(ctx, signature)
		if err != nil {
			return nil, fmt.Errorf("%w: asking for a timestamp: %w", ErrService, err)
		}
		seen.Rfc3161Timestamps = append(seen.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: response})
	}
	pb.VerificationMaterial.TimestampVerificationData = seen
	// What is in a log stays there: nothing gets there that would not open.
	unlogged := trust
	unlogged.RequireLog = false
	data, err := opened(content, pb, unlogged)
	if err != nil || len(s.logs) == 0 {
		return data, err
	}
	for _, l := range s.logs {
		if err := l.GetTransparencyLogEntry(ctx, pem, pb); err != nil {
			return nil, fmt.Errorf("%w: writing to the transparency log: %w", ErrService, err)
		}
	}
	return opened(content, pb, trust)
}

// opened is the JSON of a bundle that opens.
func opened(content signing.Content, pb *protobundle.Bundle, trust bundle.Trust) ([]byte, error) {
	data, err := signing.Marshal(pb)
	if err != nil {
		return nil, err
	}
	if _, err := content.Open(data, trust); err != nil {
		return nil, fmt.Errorf("checking what the services gave against the trusted root: %w", err)
	}
	return data, nil
}

// WithKey signs with a key, and has the services witness it: the bundle says
// when it was made, and stands in the log.
func WithKey(o Options, key signing.Key) (signing.Signer, error) {
	s, err := open(o, bundle.Trust{Keys: []crypto.PublicKey{key.Public()}})
	if err != nil {
		return nil, err
	}
	id, err := bundle.KeyID(key.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", signing.ErrKey, err)
	}
	pem, err := signing.MarshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return witnessed{s, key, id, pem}, nil
}

type witnessed struct {
	services
	key signing.Key
	id  string
	pem []byte
}

func (w witnessed) Identity() string { return "key " + w.id }

func (w witnessed) Sign(ctx context.Context, content signing.Content) ([]byte, error) {
	pb, err := signing.Make(ctx, content, w.key, &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: w.id}},
	})
	if err != nil {
		return nil, err
	}
	return w.witness(ctx, content, pb, w.pem, w.trust)
}
