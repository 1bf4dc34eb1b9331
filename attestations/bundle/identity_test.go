package bundle_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"google.golang.org/protobuf/encoding/protojson"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

func unmarshal(t testing.TB, data []byte) *protobundle.Bundle {
	t.Helper()
	var pb protobundle.Bundle
	if err := protojson.Unmarshal(data, &pb); err != nil {
		t.Fatal(err)
	}
	return &pb
}

func TestIdentities(t *testing.T) {
	s, stranger := newStage(t), newStage(t)
	now := time.Now()
	exact := []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}
	pattern := func(p string) []bundle.Identity {
		return []bundle.Identity{{Issuer: issuer, SubjectPattern: p, Repository: bundle.NoRepository}}
	}
	const ours = `https://example\.test/palisade/\.ci/release\.yml@refs/tags/v[0-9]+`
	blob := content(t, false)
	for _, tt := range []struct {
		name       string
		bundle     *protobundle.Bundle
		identities []bundle.Identity
		change     func(*protobundle.Bundle)
		want       error
	}{
		{name: "exact", bundle: s.identity(t, blob, issuer, subject, now), identities: exact},
		{name: "an e-mail address", bundle: s.identity(t, blob, issuer, "release@example.test", now), identities: []bundle.Identity{{Issuer: issuer, Subject: "release@example.test", Repository: bundle.NoRepository}}},
		{name: "a pattern", bundle: s.identity(t, blob, issuer, subject, now), identities: pattern(ours)},
		{name: "the second of two", bundle: s.identity(t, blob, issuer, subject, now), identities: append([]bundle.Identity{{Issuer: issuer, Subject: "x@example.test", Repository: bundle.NoRepository}}, exact...)},
		{name: "right issuer, wrong subject", bundle: s.identity(t, blob, issuer, "https://example.test/other", now), identities: exact, want: bundle.ErrWrongSubject},
		{name: "wrong issuer, right subject", bundle: s.identity(t, blob, "https://issuer.evil.test", subject, now), identities: exact, want: bundle.ErrWrongIssuer},
		{name: "issuer of one, subject of another", bundle: s.identity(t, blob, issuer, "release@example.test", now), want: bundle.ErrWrongSubject,
			identities: append([]bundle.Identity{{Issuer: "https://accounts.example.test", Subject: "release@example.test", Repository: bundle.NoRepository}}, exact...)},
		{name: "an issuer that begins as the right one", bundle: s.identity(t, blob, issuer+".evil.test", subject, now), identities: exact, want: bundle.ErrWrongIssuer},
		{name: "a longer name than the pattern's", bundle: s.identity(t, blob, issuer, subject+".evil.test", now), identities: pattern(ours), want: bundle.ErrWrongSubject},
		{name: "a name that ends as the pattern's", bundle: s.identity(t, blob, issuer, "https://evil.test/?"+subject, now), identities: pattern(ours), want: bundle.ErrWrongSubject},
		{name: "a longer name than an alternative's", bundle: s.identity(t, blob, issuer, subject+"x", now), identities: pattern("^nobody$|^" + ours), want: bundle.ErrWrongSubject},
		{name: "a longer name than an exact one", bundle: s.identity(t, blob, issuer, subject+"0", now), identities: exact, want: bundle.ErrWrongSubject},
		{name: "only keys are trusted", bundle: s.identity(t, blob, issuer, subject, now), want: bundle.ErrWrongIssuer},
		{name: "a certificate of another authority", bundle: stranger.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrCertificate,
			change: func(pb *protobundle.Bundle) { s.stamp(t, pb) }},
		{name: "a certificate that had expired", bundle: s.identity(t, blob, issuer, subject, now.Add(-time.Hour)), identities: exact, want: bundle.ErrCertificateTime},
		{name: "a certificate that was not valid yet", bundle: s.identity(t, blob, issuer, subject, now.Add(time.Hour)), identities: exact, want: bundle.ErrCertificateTime},
		{name: "no timestamp", bundle: s.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrNoTimestamp,
			change: func(pb *protobundle.Bundle) { pb.VerificationMaterial.TimestampVerificationData = nil }},
		{name: "a timestamp of another authority", bundle: s.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrNoTimestamp,
			change: func(pb *protobundle.Bundle) { stranger.stamp(t, pb) }},
		{name: "a timestamp of another signature", bundle: s.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrNoTimestamp,
			change: func(pb *protobundle.Bundle) {
				pb.VerificationMaterial.TimestampVerificationData = s.identity(t, blob, issuer, subject, now).VerificationMaterial.TimestampVerificationData
			}},
		{name: "a changed timestamp", bundle: s.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrNoTimestamp,
			change: func(pb *protobundle.Bundle) {
				ts := pb.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp
				ts[len(ts)-1] ^= 1
			}},
		{name: "a signature by another certificate's key", bundle: s.identity(t, blob, issuer, subject, now), identities: exact, want: bundle.ErrSignature,
			change: func(pb *protobundle.Bundle) {
				_, material := s.certified(t, issuer, subject, now)
				pb.VerificationMaterial.Content = material.Content
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.bundle)
			}
			trust := bundle.Trust{Identities: tt.identities, Root: s.root}
			if tt.identities == nil {
				trust.Keys = keys(newKey(t))
			}
			v, err := open(t, must(signing.Marshal(tt.bundle))(t), trust, s.rootJSON, false)
			wants(t, err, tt.want)
			if err != nil {
				return
			}
			if at, ok := v.Time(); !ok || at.Sub(now).Abs() > time.Minute || v.Signer().Issuer != issuer || v.Signer().KeyID != "" {
				t.Errorf("%s at %s", v.Signer(), at)
			}
			cert := must(x509.ParseCertificate(tt.bundle.VerificationMaterial.GetCertificate().GetRawBytes()))(t)
			if want := must(bundle.KeyID(cert.PublicKey))(t); v.KeyID() != want {
				t.Errorf("by the key %q, the certificate holds %s", v.KeyID(), want)
			}
		})
	}
}

func TestLog(t *testing.T) {
	s := newStage(t)
	trust := bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: s.root, RequireLog: true}
	entry := func(pb *protobundle.Bundle) *protorekor.TransparencyLogEntry {
		return pb.VerificationMaterial.TlogEntries[0]
	}
	for _, tt := range []struct {
		name   string
		change func(*protobundle.Bundle)
		want   error
	}{
		{"in the log", nil, nil},
		{"no entry", func(pb *protobundle.Bundle) { pb.VerificationMaterial.TlogEntries = nil }, bundle.ErrNoLog},
		{"an entry of another log", func(pb *protobundle.Bundle) { entry(pb).LogId.KeyId[0] ^= 1 }, bundle.ErrNoLog},
		{"an entry of another signature", func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.TlogEntries = s.logged(t).VerificationMaterial.TlogEntries
		}, bundle.ErrLog},
		{"an entry that shows another", func(pb *protobundle.Bundle) { entry(pb).CanonicalizedBody = []byte("{}") }, bundle.ErrLog},
		{"no proof", func(pb *protobundle.Bundle) { entry(pb).InclusionProof = nil }, bundle.ErrLog},
		{"another checkpoint", func(pb *protobundle.Bundle) {
			entry(pb).InclusionProof.Checkpoint = entry(newStage(t).logged(t)).InclusionProof.Checkpoint
		}, bundle.ErrLog},
		{"a proof of another place", func(pb *protobundle.Bundle) {
			entry(pb).InclusionProof.Hashes = [][]byte{make([]byte, 32)}
		}, bundle.ErrLog},
		{"a proof of another index", func(pb *protobundle.Bundle) { entry(pb).InclusionProof.LogIndex = 7 }, bundle.ErrLog},
		{"an entry of another kind", func(pb *protobundle.Bundle) { entry(pb).KindVersion.Version = "0.0.1" }, bundle.ErrLog},
		{"one good entry, one false", func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.TlogEntries = append(pb.VerificationMaterial.TlogEntries, entry(s.logged(t)))
		}, bundle.ErrLog},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pb := s.logged(t)
			if tt.change != nil {
				tt.change(pb)
			}
			data := must(signing.Marshal(pb))(t)
			v, err := open(t, data, trust, s.rootJSON, true)
			wants(t, err, tt.want)
			if err == nil && !v.Logged() {
				t.Error("it is in the log, and is not said to be")
			}

			// An entry that is not demanded may be missing, and not be false.
			relaxed := trust
			relaxed.RequireLog = false
			if tt.want == bundle.ErrNoLog {
				tt.want = nil
			}
			_, err = bundle.OpenAttestation(data, relaxed)
			wants(t, err, tt.want)
		})
	}
}

// Authorities and logs are believed in their time, and under their own name.
func TestRootInItsTime(t *testing.T) {
	s := newStage(t)
	data := must(signing.Marshal(s.logged(t)))(t)
	over := map[string]any{"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
	first := func(root map[string]any, name string) map[string]any {
		return root[name].([]any)[0].(map[string]any)
	}
	for _, tt := range []struct {
		name   string
		change func(root map[string]any)
		want   error
	}{
		{"as it is", func(map[string]any) {}, nil},
		{"the timestamp authority's time is over", func(r map[string]any) { first(r, "timestampAuthorities")["validFor"] = over }, bundle.ErrNoTimestamp},
		{"the timestamp authority has another certificate", func(r map[string]any) {
			_, material := s.certified(t, issuer, subject, time.Now())
			chain := first(r, "timestampAuthorities")["certChain"].(map[string]any)
			chain["certificates"] = append([]any{map[string]any{"rawBytes": material.GetCertificate().GetRawBytes()}}, chain["certificates"].([]any)...)
		}, bundle.ErrNoTimestamp},
		{"the log's time is over", func(r map[string]any) {
			first(r, "tlogs")["publicKey"].(map[string]any)["validFor"] = over
		}, bundle.ErrLog},
		{"the log has another name", func(r map[string]any) { first(r, "tlogs")["baseUrl"] = "https://log.example.test" }, bundle.ErrLog},
		{"another authority's time is over", func(r map[string]any) {
			stranger := newStage(t).edited(t, func(other map[string]any) { first(other, "certificateAuthorities")["validFor"] = over })
			var other map[string]any
			if err := json.Unmarshal([]byte(stranger), &other); err != nil {
				t.Fatal(err)
			}
			r["certificateAuthorities"] = other["certificateAuthorities"].([]any)[:1]
		}, bundle.ErrCertificate},
		{"the authority's time is over", func(r map[string]any) {
			for _, a := range r["certificateAuthorities"].([]any) {
				a.(map[string]any)["validFor"] = over
			}
		}, bundle.ErrCertificateTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rootJSON := []byte(s.edited(t, tt.change))
			root := must(bundle.ParseRoot(rootJSON))(t)
			trust := bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: root, RequireLog: true}
			_, err := open(t, data, trust, rootJSON, true)
			wants(t, err, tt.want)
		})
	}
}

// An entry of a log that is not believed for ever counts where a time is known.
func TestRetiredLog(t *testing.T) {
	s := newStage(t)
	data, now := must(signing.Marshal(s.logged(t)))(t), time.Now()
	for _, tt := range []struct {
		name  string
		end   any
		times []time.Time
		want  bool
	}{
		{"for ever", nil, nil, true},
		{"for ever, at a time", nil, []time.Time{now}, true},
		{"until later", now.Add(time.Hour).UTC().Format(time.RFC3339), nil, false},
		{"until later, at a time", now.Add(time.Hour).UTC().Format(time.RFC3339), []time.Time{now}, true},
	} {
		root := must(bundle.ParseRoot([]byte(s.edited(t, func(r map[string]any) {
			valid := r["tlogs"].([]any)[0].(map[string]any)["publicKey"].(map[string]any)["validFor"].(map[string]any)
			if valid["end"] = tt.end; tt.end == nil {
				delete(valid, "end")
			}
		}))))(t)
		if got, err := root.Logged(data, tt.times...); err != nil || got != tt.want {
			t.Errorf("%s: %t, %v, want %t", tt.name, got, err, tt.want)
		}
	}
}

// A certificate speaks of one identity, or of none.
func TestIdentify(t *testing.T) {
	s := newStage(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	issued := pkix.Extension{Id: certificate.OIDIssuerV2, Value: must(asn1.Marshal(issuer))(t)}
	former := func(issuer string) pkix.Extension {
		return pkix.Extension{Id: certificate.OIDIssuer, Value: []byte(issuer)}
	} //nolint:staticcheck // in use
	uri := must(url.Parse(subject))(t)
	// A name of another kind is beside the URI, and package x509 leaves it out.
	beside := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must(asn1.Marshal([]asn1.RawValue{
		{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(subject)},
		{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{42}},
	}))(t)}
	for _, tt := range []struct {
		name string
		cert x509.Certificate
		want string
	}{
		{"a URI", x509.Certificate{URIs: []*url.URL{uri}, ExtraExtensions: []pkix.Extension{issued}}, subject},
		{"an e-mail address", x509.Certificate{EmailAddresses: []string{"a@example.test"}, ExtraExtensions: []pkix.Extension{issued}}, "a@example.test"},
		{"the issuer as it was written before", x509.Certificate{URIs: []*url.URL{uri}, ExtraExtensions: []pkix.Extension{former(issuer)}}, subject},
		{"the issuer twice", x509.Certificate{URIs: []*url.URL{uri}, ExtraExtensions: []pkix.Extension{former(issuer), issued}}, subject},
		{"two issuers", x509.Certificate{URIs: []*url.URL{uri}, ExtraExtensions: []pkix.Extension{former("https://issuer.evil.test"), issued}}, ""},
		{"two issuers, the other way round", x509.Certificate{URIs: []*url.URL{uri}, ExtraExtensions: []pkix.Extension{issued, former("https://issuer.evil.test")}}, ""},
		{"a name of another kind beside it", x509.Certificate{ExtraExtensions: []pkix.Extension{beside, issued}}, ""},
		{"no issuer", x509.Certificate{URIs: []*url.URL{uri}}, ""},
		{"no subject", x509.Certificate{ExtraExtensions: []pkix.Extension{issued}}, ""},
		{"two URIs", x509.Certificate{URIs: []*url.URL{uri, uri}, ExtraExtensions: []pkix.Extension{issued}}, ""},
		{"a URI and an e-mail address", x509.Certificate{URIs: []*url.URL{uri}, EmailAddresses: []string{"a@example.test"}, ExtraExtensions: []pkix.Extension{issued}}, ""},
		{"a host beside it", x509.Certificate{URIs: []*url.URL{uri}, DNSNames: []string{"example.test"}, ExtraExtensions: []pkix.Extension{issued}}, ""},
		{"an address beside it", x509.Certificate{URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.IPv6loopback}, ExtraExtensions: []pkix.Extension{issued}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cert.SerialNumber = big.NewInt(1)
			der := must(x509.CreateCertificate(rand.Reader, &tt.cert, s.parent, key.Public(), s.signer))(t)
			signer, err := bundle.Identify(must(x509.ParseCertificate(der))(t))
			if tt.want == "" {
				wants(t, err, bundle.ErrMalformed)
			} else if wants(t, err, nil); signer != (bundle.Signer{Issuer: issuer, Subject: tt.want}) {
				t.Errorf("%+v", signer)
			}
		})
	}
}

// A root that names logs of certificates demands the promise of one. The
// certificate and the root are those of Sigstore's public instance, as they
// were in September 2023.
func TestPromise(t *testing.T) {
	s := newStage(t)
	rootJSON := must(os.ReadFile("testdata/public-good.json"))(t)
	block, _ := pem.Decode(must(os.ReadFile("testdata/public-good.pem"))(t))
	cert := must(x509.ParseCertificate(block.Bytes))(t)
	signer := must(bundle.Identify(cert))(t)
	if signer.Issuer != "https://token.actions.githubusercontent.com" {
		t.Errorf("%+v", signer)
	}
	parse := func(change func(map[string]any)) *bundle.Root {
		t.Helper()
		var all map[string]any
		if err := json.Unmarshal(rootJSON, &all); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(all)
		}
		return must(bundle.ParseRoot(must(json.Marshal(all))(t)))(t)
	}
	good := cert.NotBefore.Add(time.Minute)
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		times  []time.Time
		want   error
	}{
		{"promised", nil, []time.Time{good}, nil},
		{"valid at one time of two", nil, []time.Time{cert.NotAfter.Add(time.Second), good}, bundle.ErrCertificateTime},
		{"before it was made", nil, []time.Time{cert.NotBefore.Add(-time.Second)}, bundle.ErrCertificateTime},
		{"at no time", nil, nil, bundle.ErrNoTimestamp},
		{"no log is named", func(m map[string]any) { delete(m, "ctlogs") }, []time.Time{good}, nil},
		{"other logs are named", func(m map[string]any) { m["ctlogs"] = m["tlogs"] }, []time.Time{good}, bundle.ErrCertificate},
		{"the log was not believed any more", func(m map[string]any) {
			for _, l := range m["ctlogs"].([]any) {
				l.(map[string]any)["publicKey"].(map[string]any)["validFor"].(map[string]any)["end"] = "2021-10-01T00:00:00Z"
			}
		}, []time.Time{good}, bundle.ErrCertificate},
		{"no authority is named", func(m map[string]any) { delete(m, "certificateAuthorities") }, []time.Time{good}, bundle.ErrCertificate},
		{"the authority was not believed any more", func(m map[string]any) {
			for _, a := range m["certificateAuthorities"].([]any) {
				a.(map[string]any)["validFor"].(map[string]any)["end"] = "2021-10-01T00:00:00Z"
			}
		}, []time.Time{good}, bundle.ErrCertificateTime},
	} {
		t.Run(tt.name, func(t *testing.T) { wants(t, parse(tt.change).Issued(cert, tt.times...), tt.want) })
	}

	// What was promised is this certificate of this issuer, all of it: not one
	// byte of it can be another, but of the issuer's own signature.
	issuerPEM, _ := pem.Decode(must(os.ReadFile("testdata/public-good-issuer.pem"))(t))
	parent := must(x509.ParseCertificate(issuerPEM.Bytes))(t)
	root := parse(nil)
	if !root.Promised(cert, parent) || root.Promised(cert, cert) {
		t.Error("promised by another issuer, or not by its own")
	}
	for i := range cert.RawTBSCertificate {
		changed := bytes.Clone(cert.Raw)
		changed[bytes.Index(cert.Raw, cert.RawTBSCertificate)+i] ^= 1
		if other, err := x509.ParseCertificate(changed); err == nil && root.Promised(other, parent) {
			t.Errorf("promised with byte %d changed", i)
		}
	}

	// A whole bundle, whose certificate no log promised to hold.
	demanding := must(bundle.ParseRoot(s.rootOf(t, s.virtual.FulcioCertificateAuthorities(), s.virtual.CTLogs())))(t)
	trust := bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: demanding}
	data := must(signing.Marshal(s.logged(t)))(t)
	_, err := bundle.OpenAttestation(data, trust)
	wants(t, err, bundle.ErrCertificate)
	trust.Root = s.root
	_, err = bundle.OpenAttestation(data, trust)
	wants(t, err, nil)
}

// Whom an identity names, whoever has opened the bundle.
func TestNames(t *testing.T) {
	const issuer, subject = "https://issuer.example", "https://ci.example/run@v1"
	exact, pattern := bundle.Identity{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}, bundle.Identity{Issuer: issuer, SubjectPattern: `https://ci\.example/run@v[0-9]`, Repository: bundle.NoRepository}
	for _, tt := range []struct {
		who  bundle.Signer
		want bool
	}{
		{bundle.Signer{Issuer: issuer, Subject: subject}, true},
		{bundle.Signer{Issuer: issuer, Subject: subject + "0"}, false},
		{bundle.Signer{Issuer: issuer + "0", Subject: subject}, false},
		{bundle.Signer{Issuer: issuer}, false},
		{bundle.Signer{KeyID: "x", Issuer: issuer, Subject: subject}, false},
		{bundle.Signer{KeyID: "x"}, false},
		{bundle.Signer{}, false},
	} {
		if got := []bool{exact.Names(tt.who), pattern.Names(tt.who)}; got[0] != tt.want || got[1] != tt.want {
			t.Errorf("%+v: %v, want %v", tt.who, got, tt.want)
		}
	}
	if (bundle.Identity{}).Names(bundle.Signer{}) {
		t.Error("nobody is somebody")
	}
}
