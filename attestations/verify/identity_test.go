package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"

	"palisade/attestations/bundle"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
)

// A stage is a small Sigstore: an authority for certificates whose time a test
// sets, and sigstore-go's virtual one for timestamps.
type stage struct {
	virtual *ca.VirtualSigstore
	parent  *x509.Certificate
	signer  *ecdsa.PrivateKey
	root    *bundle.Root
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{virtual: must(ca.NewVirtualSigstore())(t)}
	rootCert, rootKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	if s.parent, s.signer, err = ca.GenerateFulcioIntermediate(rootCert, rootKey); err != nil {
		t.Fatal(err)
	}
	authority := &root.FulcioCertificateAuthority{
		URI: "https://fulcio.palisade.example", Root: rootCert, Intermediates: []*x509.Certificate{s.parent}, ValidityPeriodStart: time.Now().Add(-5 * time.Hour),
	}
	logs := s.virtual.RekorLogs()
	for id, l := range logs {
		l.ID = must(hex.DecodeString(id))(t) // the virtual one has it in hexadecimal
	}
	tr := must(root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{authority}, nil, s.virtual.TimestampingAuthorities(), logs))(t)
	s.root = must(bundle.ParseRoot(must(tr.MarshalJSON())(t)))(t)
	return s
}

// as signs with certificates of that identity that begin at a time and last
// ten minutes, each with a timestamp of now if stamped.
func (s *stage) as(issuer, subject string, from time.Time, stamped bool) func(testing.TB, signing.Content, string) []byte {
	return func(t testing.TB, c signing.Content, _ string) []byte {
		t.Helper()
		private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		cert := must(ca.GenerateLeafCert(subject, issuer, from, private, s.parent, s.signer))(t)
		pb := must(signing.Make(context.Background(), c, signing.Local(private), &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.Raw}},
		}))(t)
		if stamped {
			sig := pb.GetMessageSignature().GetSignature()
			if e := pb.GetDsseEnvelope(); e != nil {
				sig = e.GetSignatures()[0].GetSig()
			}
			pb.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: must(s.virtual.TimestampResponse(sig))(t)}},
			}
		}
		return must(signing.Marshal(pb))(t)
	}
}

// Who signed, by a certificate: everything else about the release is right.
func TestIdentities(t *testing.T) {
	s, key := newStage(t), newKey(t)
	const (
		issuer    = "https://issuer.palisade.example"
		subject   = "https://ci.palisade.example/release@refs/tags/v1.2.0"
		byName    = "identities:\n    - issuer: " + issuer + "\n      subject: " + subject + "\n      repository: none"
		byPattern = "identities:\n    - issuer: " + issuer + "\n      subject-pattern: ^https://ci\\.palisade\\.example/release@refs/tags/v[0-9]+\\.[0-9]+\\.[0-9]+$\n      repository: none"
	)
	begin := time.Now().Add(-time.Minute)
	other := newStage(t)
	other.virtual = s.virtual
	for _, tt := range []struct {
		name            string
		signer          func(testing.TB, signing.Content, string) []byte
		identities, age string
		log             string
		later           time.Duration
		want            error // nil if it passes
	}{
		{name: "the identity", signer: s.as(issuer, subject, begin, true), identities: byName},
		{name: "an identity of the pattern", signer: s.as(issuer, subject, begin, true), identities: byPattern},
		{name: "expired", signer: s.as(issuer, subject, begin.Add(-time.Hour), true), identities: byName, want: bundle.ErrCertificateTime},
		{name: "not yet valid", signer: s.as(issuer, subject, begin.Add(time.Hour), true), identities: byName, want: bundle.ErrCertificateTime},
		{name: "right issuer, wrong subject", signer: s.as(issuer, "https://ci.palisade.example/other@refs/tags/v1.2.0", begin, true), identities: byName, want: bundle.ErrWrongSubject},
		{name: "wrong issuer, right subject", signer: s.as("https://issuer.attacker.example", subject, begin, true), identities: byName, want: bundle.ErrWrongIssuer},
		{name: "longer than the subject", signer: s.as(issuer, subject+"-attacker", begin, true), identities: byName, want: bundle.ErrWrongSubject},
		{name: "longer than the pattern at its end", signer: s.as(issuer, subject+".attacker.example", begin, true), identities: byPattern, want: bundle.ErrWrongSubject},
		{name: "longer than the pattern at its beginning", signer: s.as(issuer, "https://attacker.example/"+subject, begin, true), identities: byPattern, want: bundle.ErrWrongSubject},
		{name: "another character where a full stop stands", signer: s.as(issuer, "https://ci.palisadexexample/release@refs/tags/v1.2.0", begin, true), identities: byPattern, want: bundle.ErrWrongSubject},
		{name: "of another authority", signer: other.as(issuer, subject, begin, true), identities: byName, want: bundle.ErrCertificate},
		{name: "timestamps of another authority", signer: newStage(t).as(issuer, subject, begin, true), identities: byName, want: bundle.ErrNoTimestamp},
		{name: "no timestamp", signer: s.as(issuer, subject, begin, false), identities: byName, want: bundle.ErrNoTimestamp},
		{name: "no entry in the log", signer: s.as(issuer, subject, begin, true), identities: byName, log: "required", want: bundle.ErrNoLog},
		{name: "a key where an identity is wanted", signer: withKey(key), identities: byName, want: bundle.ErrWrongKey},
		{name: "young enough", signer: s.as(issuer, subject, begin, true), identities: byName, age: "720h", later: 700 * time.Hour},
		{name: "too old", signer: s.as(issuer, subject, begin, true), identities: byName, age: "720h", later: 721 * time.Hour, want: policy.ErrTooOld},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, key, "hardened")
			w.signer = tt.signer
			pairs := []string{"keys: [given]", "keys: none", "identities: none", tt.identities, "timestamp: not-required", "timestamp: required"}
			if tt.log != "" {
				pairs = append(pairs, "transparency-log: not-required", "transparency-log: "+tt.log)
			}
			if tt.age != "" {
				pairs = append(pairs, "maximum-age: unlimited", "maximum-age: "+tt.age)
			}
			report, err := Release(t.Context(), w.write(t), testPolicy(t, pairs...), Trust{Root: s.root, Now: time.Now().Add(tt.later)})
			if tt.want == nil {
				if err != nil || !report.Passed {
					t.Errorf("refused: %v", err)
				}
				return
			}
			wants := []error{tt.want}
			if !errors.Is(tt.want, policy.ErrTooOld) {
				wants = append(wants, ErrIndexSignature)
			}
			refused(t, report, err, []Check{Index}, wants)
		})
	}
}

// Whatever opens attestations once more after something was verified believes no
// more than that did: neither another's, nor one that is too old.
func TestTrustAttestations(t *testing.T) {
	s := newStage(t)
	const issuer, subject = "https://issuer.palisade.example", "https://ci.palisade.example/release"
	p := testPolicy(t, "keys: [given]", "keys: none", "identities: none", "identities: [{issuer: "+issuer+", subject: "+subject+", repository: none}]",
		"timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")
	statement := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	for _, tt := range []struct {
		name, subject string
		later         time.Duration
		want          error
	}{
		{"young enough", subject, 700 * time.Hour, nil},
		{"too old", subject, 721 * time.Hour, policy.ErrTooOld},
		{"another's", subject + "/other", 0, bundle.ErrWrongSubject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := s.as(issuer, tt.subject, time.Now().Add(-time.Minute), true)(t, signing.Statement(statement), "")
			open := must(Trust{Root: s.root, Now: time.Now().Add(tt.later)}.Attestations(p))(t)
			got, err := open(data)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (err == nil) != (string(got) == string(statement)) {
				t.Errorf("%s, %v, want %v", got, err, tt.want)
			}
		})
	}
	if _, err := (Trust{}).Attestations(p); !errors.Is(err, bundle.ErrTrust) {
		t.Errorf("without a trusted root: %v", err)
	}
}
