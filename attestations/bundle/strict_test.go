package bundle_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/signing"
	"palisade/attestations/signing/keyfile"
)

// Where two checks would refuse, the first has to.
var reasons = map[string]error{
	"a key twice": intoto.ErrDuplicateKey, "a key twice inside": intoto.ErrDuplicateKey, "a key twice, once escaped": intoto.ErrDuplicateKey,
	"nested": intoto.ErrNotJSON, "nested as far as JSON goes": intoto.ErrTooDeep, "large": intoto.ErrTooLarge,
}

func TestStrict(t *testing.T) {
	key := newKey(t)
	trust := bundle.Trust{Keys: keys(key)}
	good := string(must(must(signing.WithKey(key))(t).Sign(context.Background(), content(t, false)))(t))
	if _, err := bundle.OpenSignature([]byte(good), trust, artifact.DigestBytes(file)); err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string {
		t.Helper()
		changed := strings.Replace(good, old, new, 1)
		if changed == good {
			t.Fatalf("%s does not hold %s", good, old)
		}
		return changed
	}
	change := func(do func(*protobundle.Bundle)) string {
		t.Helper()
		pb := unmarshal(t, []byte(good))
		do(pb)
		return string(must(signing.Marshal(pb))(t))
	}
	for _, tt := range []struct{ name, data string }{
		{"empty", ""},
		{"cut off", good[:len(good)/2]},
		{"not an object", "[]"},
		{"null", "null"},
		{"a second value", good + "{}"},
		{"a second value that is none", good + "x"},
		{"an unknown field", swap(`{"mediaType"`, `{"extra":1,"mediaType"`)},
		{"an unknown field inside", swap(`"messageDigest"`, `"extra":{},"messageDigest"`)},
		{"a key twice", swap(`{"mediaType"`, `{"mediaType":"x","mediaType"`)},
		{"a key twice inside", swap(`"algorithm"`, `"algorithm":"SHA2_256","algorithm"`)},
		{"a key twice, once escaped", swap(`{"mediaType"`, `{"media\u0054ype":"x","mediaType"`)},
		{"a key twice, in both spellings", swap(`{"mediaType"`, `{"media_type":"x","mediaType"`)},
		{"both kinds", swap(`"messageSignature"`, `"dsseEnvelope":{},"messageSignature"`)},
		{"no kind", `{"mediaType":"` + bundle.MediaType + `"}`},
		{"no material", change(func(pb *protobundle.Bundle) { pb.VerificationMaterial = nil })},
		{"another version", swap("v0.3", "v0.2")},
		{"a version to come", swap("v0.3", "v0.4")},
		{"another digest", swap("SHA2_256", "SHA2_384")},
		{"a digest cut short", change(func(pb *protobundle.Bundle) {
			d := pb.GetMessageSignature().MessageDigest
			d.Digest = d.Digest[:31]
		})},
		{"no base64", swap(`"signature":"`, `"signature":"!`)},
		{"an empty signature", change(func(pb *protobundle.Bundle) { pb.GetMessageSignature().Signature = nil })},
		{"not UTF-8", swap("SHA2_256", "SHA2_256\xff")},
		{"no key", change(func(pb *protobundle.Bundle) { pb.VerificationMaterial.GetPublicKey().Hint = "" })},
		{"nested", strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)},
		{"nested as far as JSON goes", swap(`{"mediaType"`, `{"x":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`,"mediaType"`)},
		{"large", good + strings.Repeat(" ", 64<<20)},
		{"many timestamps", swap(`"verificationMaterial":{`, `"verificationMaterial":{"timestampVerificationData":{"rfc3161Timestamps":[`+strings.Repeat(`{},`, 8)+`{}]},`)},
		{"many log entries", swap(`"verificationMaterial":{`, `"verificationMaterial":{"tlogEntries":[`+strings.Repeat(`{},`, 8)+`{}],`)},
		{"a large timestamp", change(func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: make([]byte, 1<<17)}},
			}
		})},
		{"a chain of certificates", change(func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.Content = &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{}}
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bundle.OpenSignature([]byte(tt.data), trust, artifact.DigestBytes(file))
			wants(t, err, bundle.ErrMalformed)
			if why := reasons[tt.name]; why != nil && !errors.Is(err, why) {
				t.Errorf("%v, want the refusal for %q", err, why)
			}
		})
	}
}

// A certificate is bounded before it is read, whatever else is right about it.
func TestLargeCertificate(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	for _, tt := range []struct {
		size int
		want error
	}{{1 << 10, bundle.ErrWrongIssuer}, {1 << 17, bundle.ErrMalformed}} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), EmailAddresses: []string{"a@example.test"},
			ExtraExtensions: []pkix.Extension{
				{Id: certificate.OIDIssuerV2, Value: must(asn1.Marshal(issuer))(t)},
				{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, tt.size)},
			},
		}
		raw := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
		pb := must(signing.Make(context.Background(), content(t, false), signing.Local(key), &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: raw}},
		}))(t)
		_, err := bundle.OpenSignature(must(signing.Marshal(pb))(t), bundle.Trust{Keys: keys(newKey(t))}, artifact.DigestBytes(file))
		wants(t, err, tt.want)
	}
}

func TestParseRoot(t *testing.T) {
	s := newStage(t)
	good := string(s.rootJSON)
	swap := func(old, new string) string {
		t.Helper()
		changed := strings.Replace(good, old, new, 1)
		if changed == good {
			t.Fatalf("%s does not hold %s", good, old)
		}
		return changed
	}
	first := func(list string, change func(map[string]any)) string {
		t.Helper()
		return s.edited(t, func(m map[string]any) { change(m[list].([]any)[0].(map[string]any)) })
	}
	in := func(m map[string]any, name string) map[string]any { return m[name].(map[string]any) }
	for _, tt := range []struct {
		name, data string
		good       bool
	}{
		{"a stage's", good, true},
		{"a stage's, read and written", first("tlogs", func(map[string]any) {}), true},
		{"empty", string(bundle.EmptyRoot()), true},
		{"nothing", "", false},
		{"another type", `{"mediaType":"application/json"}`, false},
		{"an unknown field", strings.Replace(string(bundle.EmptyRoot()), "{", `{"x":1,`, 1), false},
		{"a key twice", swap(`"tlogs"`, `"tlogs":[], "tlogs"`), false},
		{"a log without an id", first("tlogs", func(l map[string]any) { delete(in(l, "logId"), "keyId") }), false},
		{"a log of another hash", swap("SHA2_256", "SHA2_512"), false},
		{"a log without a beginning", first("tlogs", func(l map[string]any) { delete(in(in(l, "publicKey"), "validFor"), "start") }), false},
		{"an authority without a beginning", first("certificateAuthorities", func(a map[string]any) { delete(in(a, "validFor"), "start") }), false},
		{"an authority that began with time", first("certificateAuthorities", func(a map[string]any) { in(a, "validFor")["start"] = "0001-01-01T00:00:00Z" }), false},
		{"an authority whose end is none", first("certificateAuthorities", func(a map[string]any) { in(a, "validFor")["end"] = "0001-01-01T00:00:00Z" }), false},
		{"a certificate that is none", first("certificateAuthorities", func(a map[string]any) {
			in(a, "certChain")["certificates"] = []any{map[string]any{"rawBytes": "AAAA"}}
		}), false},
		{"no certificate", first("certificateAuthorities", func(a map[string]any) { in(a, "certChain")["certificates"] = []any{} }), false},
		{"large", good + strings.Repeat(" ", 4<<20), false},
		{"a log twice", twice(t, s), false},
		{"an authority that is none", leafOnly(t, s), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bundle.ParseRoot([]byte(tt.data))
			if tt.good {
				wants(t, err, nil)
			} else {
				wants(t, err, bundle.ErrTrust)
			}
		})
	}
}

func twice(t testing.TB, s *stage) string {
	t.Helper()
	return s.edited(t, func(m map[string]any) { m["tlogs"] = append(m["tlogs"].([]any), m["tlogs"].([]any)...) })
}

func leafOnly(t testing.TB, s *stage) string {
	t.Helper()
	return s.edited(t, func(m map[string]any) {
		chain := m["timestampAuthorities"].([]any)[0].(map[string]any)["certChain"].(map[string]any)
		chain["certificates"] = chain["certificates"].([]any)[:1]
	})
}

// Whatever a bundle is changed to, it is refused or says what it said.
func FuzzOpen(f *testing.F) {
	s := newStage(f)
	pinned := must(keyfile.Load(must(os.ReadFile("testdata/cosign.key"))(f), []byte("palisade")))(f)
	trust := bundle.Trust{Keys: keys(pinned), Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: s.root}
	signer := must(signing.WithKey(pinned))(f)
	f.Add(must(signer.Sign(context.Background(), content(f, false)))(f))
	f.Add(must(signer.Sign(context.Background(), content(f, true)))(f))
	f.Add(must(signing.Marshal(s.logged(f)))(f))
	f.Add([]byte(`{"mediaType":"` + bundle.MediaType + `","dsseEnvelope":{"signatures":[{}]},"verificationMaterial":{"certificate":{}}}`))
	f.Add([]byte(`{"mediaType":"` + bundle.MediaType + `","messageSignature":{"messageDigest":{}},"verificationMaterial":{"tlogEntries":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := open(t, data, trust, s.rootJSON, true); err == nil && !bytes.Equal(v.Payload(), statement) {
			t.Errorf("opened %q", v.Payload())
		}
		if v, err := open(t, data, trust, s.rootJSON, false); err == nil && v.Content() != artifact.DigestBytes(file) {
			t.Errorf("opened %s", v.Content())
		}
	})
}

func FuzzParseRoot(f *testing.F) {
	f.Add(newStage(f).rootJSON)
	f.Add(bundle.EmptyRoot())
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := bundle.ParseRoot(data)
		if (root == nil) == (err == nil) {
			t.Errorf("%v, %v", root, err)
		}
	})
}
