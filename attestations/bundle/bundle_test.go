package bundle_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

// sentinels are all there are: a refusal wraps exactly one.
var sentinels = []error{
	bundle.ErrMalformed, bundle.ErrNotSignature, bundle.ErrNotAttestation, bundle.ErrPayloadType, bundle.ErrSignatures,
	bundle.ErrDigest, bundle.ErrWrongKey, bundle.ErrWrongIssuer, bundle.ErrWrongSubject, bundle.ErrWrongRepository, bundle.ErrCertificate,
	bundle.ErrCertificateTime, bundle.ErrNoTimestamp, bundle.ErrNoLog, bundle.ErrLog, bundle.ErrSignature, bundle.ErrTrust,
}

func wants(t testing.TB, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !slices.Contains(sentinels, want) {
		t.Fatalf("%v is none of the refusals that this test knows", want)
	}
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("%v, want the refusal %q and no other", err, want)
			return
		}
	}
}

func TestKeys(t *testing.T) {
	s := newStage(t)
	key, other := newKey(t), newKey(t)
	rsaKey := signing.Local(must(rsa.GenerateKey(rand.Reader, 2048))(t))
	byKey := func(c signing.Content, k signing.Key) *protobundle.Bundle {
		data := must(must(signing.WithKey(k))(t).Sign(context.Background(), c))(t)
		return unmarshal(t, data)
	}
	blob, attestation := content(t, false), content(t, true)
	for _, tt := range []struct {
		name        string
		bundle      *protobundle.Bundle
		attestation bool // what it is opened as
		trust       bundle.Trust
		change      func(*protobundle.Bundle)
		want        error
	}{
		{name: "a file", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(key)}},
		{name: "a statement", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}},
		{name: "RSA", bundle: byKey(blob, rsaKey), trust: bundle.Trust{Keys: keys(rsaKey)}},
		{name: "one of several keys", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(other, key)}},
		{name: "a key beside identities", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(key), Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: s.root}},
		{name: "another key", bundle: byKey(blob, other), trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrWrongKey},
		{name: "another key, called by a trusted one's name", bundle: byKey(blob, other), trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignature,
			change: func(pb *protobundle.Bundle) {
				pb.VerificationMaterial.GetPublicKey().Hint = must(bundle.KeyID(key.Public()))(t)
			}},
		{name: "a key where only identities are trusted", bundle: byKey(blob, key), want: bundle.ErrWrongKey,
			trust: bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: s.root}},
		{name: "the signature of another file", bundle: byKey(must(signing.File(artifact.DigestBytes([]byte("other"))))(t), key), trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrDigest},
		{name: "the signature of another file, said to be of this", bundle: byKey(must(signing.File(artifact.DigestBytes([]byte("other"))))(t), key), trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignature,
			change: func(pb *protobundle.Bundle) {
				pb.GetMessageSignature().MessageDigest.Digest = byKey(blob, key).GetMessageSignature().MessageDigest.Digest
			}},
		{name: "a changed statement", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignature,
			change: func(pb *protobundle.Bundle) { pb.GetDsseEnvelope().Payload[3] ^= 1 }},
		{name: "a changed signature", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignature,
			change: func(pb *protobundle.Bundle) { pb.GetDsseEnvelope().Signatures[0].Sig[9] ^= 1 }},
		{name: "an attestation offered as a signature", bundle: byKey(attestation, key), trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrNotSignature},
		{name: "a signature offered as an attestation", bundle: byKey(blob, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrNotAttestation},
		{name: "another payload type", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrPayloadType,
			change: func(pb *protobundle.Bundle) { pb.GetDsseEnvelope().PayloadType = "application/json" }},
		{name: "two signatures, the first good", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignatures,
			change: func(pb *protobundle.Bundle) {
				e := pb.GetDsseEnvelope()
				e.Signatures = append(e.Signatures, &protodsse.Signature{Sig: []byte("x")})
			}},
		{name: "two signatures, both good", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignatures,
			change: func(pb *protobundle.Bundle) {
				e := pb.GetDsseEnvelope()
				e.Signatures = append(e.Signatures, byKey(attestation, key).GetDsseEnvelope().Signatures...)
			}},
		{name: "no signature", bundle: byKey(attestation, key), attestation: true, trust: bundle.Trust{Keys: keys(key)}, want: bundle.ErrSignatures,
			change: func(pb *protobundle.Bundle) { pb.GetDsseEnvelope().Signatures = nil }},
		{name: "a key without the timestamp that is demanded", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(key), Root: s.root, RequireTimestamp: true}, want: bundle.ErrNoTimestamp},
		{name: "a key with the timestamp that is demanded", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(key), Root: s.root, RequireTimestamp: true},
			change: func(pb *protobundle.Bundle) { s.stamp(t, pb) }},
		{name: "a key without the log entry that is demanded", bundle: byKey(blob, key), trust: bundle.Trust{Keys: keys(key), Root: s.root, RequireLog: true}, want: bundle.ErrNoLog},
		{name: "nobody is trusted", bundle: byKey(blob, key), want: bundle.ErrTrust},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.bundle)
			}
			v, err := open(t, must(signing.Marshal(tt.bundle))(t), tt.trust, s.rootJSON, tt.attestation)
			wants(t, err, tt.want)
			if err == nil {
				if id := must(bundle.KeyID(tt.trust.Keys[len(tt.trust.Keys)-1]))(t); v.Signer() != (bundle.Signer{KeyID: id}) || v.KeyID() != id {
					t.Errorf("signed by %s, want key %s", v.Signer(), id)
				}
				if _, stamped := v.Time(); stamped != tt.trust.RequireTimestamp {
					t.Errorf("a time: %t", stamped)
				}
			}
		})
	}
}

// What is verified is what the caller gets.
func TestVerified(t *testing.T) {
	key := newKey(t)
	trust := bundle.Trust{Keys: keys(key)}
	signer := must(signing.WithKey(key))(t)
	v := must(bundle.OpenAttestation(must(signer.Sign(context.Background(), content(t, true)))(t), trust))(t)
	if string(v.Payload()) != string(statement) || v.Content() != artifact.DigestBytes(statement) {
		t.Errorf("payload %q of %s", v.Payload(), v.Content())
	}
	v.Payload()[0] = 'x'
	if string(v.Payload()) != string(statement) {
		t.Error("the payload can be changed from outside")
	}
	v = must(bundle.OpenSignature(must(signer.Sign(context.Background(), content(t, false)))(t), trust, artifact.DigestBytes(file)))(t)
	if v.Payload() != nil || v.Content() != artifact.DigestBytes(file) || v.Logged() {
		t.Errorf("%+v", v)
	}
	if _, err := bundle.OpenSignature(must(signer.Sign(context.Background(), content(t, false)))(t), trust, artifact.Digest{}); !errors.Is(err, bundle.ErrDigest) {
		t.Errorf("the zero digest: %v", err)
	}
}

func TestKeyID(t *testing.T) {
	for _, tt := range []struct {
		key  crypto.PublicKey
		good bool
	}{
		{must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t).Public(), true},
		{must(rsa.GenerateKey(rand.Reader, 3072))(t).Public(), true},
		{must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t).Public(), false},
		{must(rsa.GenerateKey(rand.Reader, 1024))(t).Public(), false},
		{ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)), false},
		{nil, false},
	} {
		if id, err := bundle.KeyID(tt.key); (err == nil) != tt.good || (len(id) == 44) != tt.good {
			t.Errorf("%T: %q, %v", tt.key, id, err)
		}
	}
}

func TestTrust(t *testing.T) {
	s := newStage(t)
	key := newKey(t)
	data := must(must(signing.WithKey(key))(t).Sign(context.Background(), content(t, false)))(t)
	empty := must(bundle.ParseRoot(bundle.EmptyRoot()))(t)
	id := func(i bundle.Identity) []bundle.Identity { return []bundle.Identity{i} }
	for _, tt := range []struct {
		name  string
		trust bundle.Trust
	}{
		{"nothing", bundle.Trust{}},
		{"no key", bundle.Trust{Keys: []crypto.PublicKey{nil}}},
		{"no issuer", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Subject: subject, Repository: bundle.NoRepository})}},
		{"no subject", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, Repository: bundle.NoRepository})}},
		{"no repository", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, Subject: subject})}},
		{"two subjects", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, Subject: subject, SubjectPattern: "a", Repository: bundle.NoRepository})}},
		{"everybody", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, SubjectPattern: ".*", Repository: bundle.NoRepository})}},
		{"everybody with a name", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, SubjectPattern: "^.+$", Repository: bundle.NoRepository})}},
		{"everybody or somebody", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, SubjectPattern: "a|.+", Repository: bundle.NoRepository})}},
		{"no pattern", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, SubjectPattern: "(", Repository: bundle.NoRepository})}},
		{"a pattern that closes more than it opens", bundle.Trust{Root: s.root, Identities: id(bundle.Identity{Issuer: issuer, SubjectPattern: "a)|(?:b", Repository: bundle.NoRepository})}},
		{"identities without a root", bundle.Trust{Identities: id(bundle.Identity{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository})}},
		{"identities with an empty root", bundle.Trust{Root: empty, Identities: id(bundle.Identity{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository})}},
		{"a log without a root", bundle.Trust{Keys: keys(key), RequireLog: true}},
		{"a log with an empty root", bundle.Trust{Root: empty, Keys: keys(key), RequireLog: true}},
		{"a timestamp with an empty root", bundle.Trust{Root: empty, Keys: keys(key), RequireTimestamp: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bundle.OpenSignature(data, tt.trust, artifact.DigestBytes(file))
			wants(t, err, bundle.ErrTrust)
		})
	}
}

func ExampleOpenSignature() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := signing.WithKey(signing.Local(key))
	if err != nil {
		panic(err)
	}
	digest := artifact.DigestBytes([]byte("the bytes of an archive\n"))
	archive, err := signing.File(digest)
	if err != nil {
		panic(err)
	}
	data, err := signer.Sign(context.Background(), archive)
	if err != nil {
		panic(err)
	}

	trust := bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}
	_, err = bundle.OpenSignature(data, trust, digest)
	fmt.Println("the archive:", err)
	_, err = bundle.OpenSignature(data, trust, artifact.DigestBytes([]byte("the bytes of an archive!")))
	fmt.Println("another:", errors.Is(err, bundle.ErrDigest))
	// Output:
	// the archive: <nil>
	// another: true
}
