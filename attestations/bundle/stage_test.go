package bundle_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	sigstorebundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

const (
	issuer  = "https://token.actions.example.test"
	subject = "https://example.test/palisade/.ci/release.yml@refs/tags/v1"
)

var (
	file      = []byte("the bytes of an archive\n")
	statement = []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"` + hex.EncodeToString(make([]byte, 32)) + `"}}],"predicateType":"https://example.test/p","predicate":{}}`)
)

// A stage is a small Sigstore: an authority for certificates whose time the
// test sets, and sigstore-go's virtual one for timestamps and the log.
type stage struct {
	virtual  *ca.VirtualSigstore
	parent   *x509.Certificate
	signer   *ecdsa.PrivateKey
	rootJSON []byte // trusted_root.json
	root     *bundle.Root
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{virtual: must(ca.NewVirtualSigstore())(t)}
	rootCert, rootKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	s.parent, s.signer, err = ca.GenerateFulcioIntermediate(rootCert, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	own := &root.FulcioCertificateAuthority{
		URI: "https://fulcio.example.test", Root: rootCert, Intermediates: []*x509.Certificate{s.parent},
		ValidityPeriodStart: time.Now().Add(-5 * time.Hour),
	}
	s.rootJSON = s.rootOf(t, append(s.virtual.FulcioCertificateAuthorities(), own), nil)
	s.root = must(bundle.ParseRoot(s.rootJSON))(t)
	return s
}

func (s *stage) rootOf(t testing.TB, authorities []root.CertificateAuthority, ctlogs map[string]*root.TransparencyLog) []byte {
	t.Helper()
	logs := s.virtual.RekorLogs()
	for id, l := range logs {
		l.ID = must(hex.DecodeString(id))(t) // the virtual one has it in hexadecimal
	}
	for id, l := range ctlogs {
		l.ID = must(hex.DecodeString(id))(t)
	}
	tr := must(root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, ctlogs, s.virtual.TimestampingAuthorities(), logs))(t)
	return must(tr.MarshalJSON())(t)
}

// edited is a stage's root with something in it changed.
func (s *stage) edited(t testing.TB, change func(root map[string]any)) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(s.rootJSON, &all); err != nil {
		t.Fatal(err)
	}
	change(all)
	return string(must(json.Marshal(all))(t))
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

func newKey(t testing.TB) signing.Key {
	t.Helper()
	return signing.Local(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
}

// certified is a key and the material of a certificate for it that begins at a
// time and lasts ten minutes.
func (s *stage) certified(t testing.TB, issuer, subject string, from time.Time) (signing.Key, *protobundle.VerificationMaterial) {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	cert := must(ca.GenerateLeafCert(subject, issuer, from, private, s.parent, s.signer))(t)
	return signing.Local(private), &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.Raw}},
	}
}

// stamp adds a timestamp of now.
func (s *stage) stamp(t testing.TB, pb *protobundle.Bundle) {
	t.Helper()
	sig := pb.GetMessageSignature().GetSignature()
	if e := pb.GetDsseEnvelope(); e != nil {
		sig = e.GetSignatures()[0].GetSig()
	}
	response := must(s.virtual.TimestampResponse(sig))(t)
	pb.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: response}},
	}
}

// identity makes a bundle as Fulcio and a timestamp authority would have it.
func (s *stage) identity(t testing.TB, c signing.Content, issuer, subject string, from time.Time) *protobundle.Bundle {
	t.Helper()
	key, material := s.certified(t, issuer, subject, from)
	pb := must(signing.Make(context.Background(), c, key, material))(t)
	s.stamp(t, pb)
	return pb
}

// logged makes an attestation with an entry in the virtual log of Rekor v2.
func (s *stage) logged(t testing.TB) *protobundle.Bundle {
	t.Helper()
	entity := must(s.virtual.AttestHashedRekordV2(subject, issuer, statement))(t)
	content := must(entity.VerificationContent())(t)
	envelope := must(entity.SignatureContent())(t).EnvelopeContent().RawEnvelope()
	pb := &protobundle.Bundle{}
	raw := must(json.Marshal(map[string]any{
		"mediaType": bundle.MediaType,
		"verificationMaterial": map[string]any{
			"certificate": map[string]any{"rawBytes": content.Certificate().Raw},
			"timestampVerificationData": map[string]any{
				"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": must(entity.Timestamps())(t)[0]}},
			},
		},
		"dsseEnvelope": map[string]any{
			"payload": envelope.Payload, "payloadType": envelope.PayloadType,
			"signatures": []any{map[string]any{"sig": envelope.Signatures[0].Sig}},
		},
	}))(t)
	if err := protojson.Unmarshal(raw, pb); err != nil {
		t.Fatal(err)
	}
	for _, e := range must(entity.TlogEntries())(t) {
		pb.VerificationMaterial.TlogEntries = append(pb.VerificationMaterial.TlogEntries, e.TransparencyLogEntry())
	}
	return pb
}

func content(t testing.TB, attestation bool) signing.Content {
	t.Helper()
	if attestation {
		return signing.Statement(statement)
	}
	return must(signing.File(artifact.DigestBytes(file)))(t)
}

// reference reports whether sigstore-go's own verifier accepts a bundle: what
// this package opens, it has to.
func reference(t testing.TB, data []byte, trust bundle.Trust, rootJSON []byte) error {
	t.Helper()
	var b sigstorebundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return err
	}
	material := root.TrustedMaterialCollection{}
	if rootJSON != nil {
		material = append(material, must(root.NewTrustedRootFromJSON(rootJSON))(t))
	}
	keys := map[string]*root.ExpiringKey{}
	for _, k := range trust.Keys {
		id := must(bundle.KeyID(k))(t)
		keys[id] = root.NewExpiringKey(must(signature.LoadDefaultVerifier(k))(t), time.Time{}, time.Time{})
	}
	material = append(material, root.NewTrustedPublicKeyMaterialFromMapping(keys))

	byCertificate := b.VerificationMaterial.GetCertificate() != nil
	var options []verify.VerifierOption
	if byCertificate || trust.RequireTimestamp {
		options = append(options, verify.WithSignedTimestamps(1))
	} else {
		options = append(options, verify.WithNoObserverTimestamps())
	}
	if trust.RequireLog {
		options = append(options, verify.WithTransparencyLog(1))
	}
	policy := []verify.PolicyOption{verify.WithKey()}
	if byCertificate {
		policy = nil
		for _, i := range trust.Identities {
			pattern := ""
			if i.SubjectPattern != "" {
				pattern = "^(?:" + i.SubjectPattern + ")$"
			}
			id := must(verify.NewShortCertificateIdentity(i.Issuer, "", i.Subject, pattern))(t)
			policy = append(policy, verify.WithCertificateIdentity(id))
		}
		if len(policy) == 0 {
			policy = append(policy, verify.WithCertificateIdentity(verify.CertificateIdentity{}))
		}
	}
	artifactPolicy := verify.WithoutArtifactUnsafe()
	if b.GetMessageSignature() != nil {
		d := must(hex.DecodeString(artifact.DigestBytes(file).Hex()))(t)
		artifactPolicy = verify.WithArtifactDigest("sha256", d)
	}
	_, err := must(verify.NewVerifier(material, options...))(t).Verify(&b, verify.NewPolicy(artifactPolicy, policy...))
	return err
}

// open opens what data is of, and holds the answer against sigstore-go's.
func open(t testing.TB, data []byte, trust bundle.Trust, rootJSON []byte, attestation bool) (bundle.Verified, error) {
	t.Helper()
	var v bundle.Verified
	var err error
	if attestation {
		v, err = bundle.OpenAttestation(data, trust)
	} else {
		v, err = bundle.OpenSignature(data, trust, artifact.DigestBytes(file))
	}
	if err != nil && (v.Payload() != nil || !v.Content().IsZero() || v.Signer() != (bundle.Signer{})) {
		t.Errorf("refused, and says that %s signed %s all the same", v.Signer(), v.Content())
	}
	if err == nil {
		if theirs := reference(t, data, trust, rootJSON); theirs != nil {
			t.Errorf("opened, and sigstore-go refuses: %v", theirs)
		}
	}
	return v, err
}

func keys(list ...signing.Key) (all []crypto.PublicKey) {
	for _, k := range list {
		all = append(all, k.Public())
	}
	return all
}
