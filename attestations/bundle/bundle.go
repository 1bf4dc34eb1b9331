// Package bundle opens Sigstore bundles: what it returns was signed by somebody
// the caller trusts, with a time and a log entry where the caller demands them.
// It reads everything it needs from its arguments: no network, no clock, no
// file, and it starts no program.
//
// It refuses, each with an error of its own: a bundle that is not exactly one
// signature of version 0.3 in strict JSON; an attestation where a signature of
// a file is asked for, and the reverse; a key, an issuer, a subject, a
// source repository or a certificate authority that is not trusted; a certificate without a trusted
// timestamp, or used outside its lifetime; an entry that is not in the log it
// names. It refuses what Sigstore allows beside that: several signatures,
// chains of certificates, entries in a trusted log that are not Rekor v2's
// hashedrekord, keys that do not sign SHA-256.
//
// A bundle is opened in this order, and no step is left out:
//
//  1. its JSON is strict, and it is one of the two kinds
//  2. it is the kind that is asked for, of the payload type or digest
//  3. the key or the certificate is one that Trust names
//  4. the time: every timestamp of a trusted authority, one if one is needed
//  5. the certificate is of a trusted authority, and was valid at that time
//  6. the log: every entry of a trusted log, one if one is demanded
//  7. the signature itself
package bundle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// MediaType is the one form of bundle that is opened.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// PayloadType is the one form of attestation that is opened: an in-toto
// statement in a DSSE envelope.
const PayloadType = intoto.MediaType

// Why a bundle is refused. Each refusal wraps exactly one of these.
var (
	ErrMalformed       = errors.New("malformed bundle")
	ErrNotSignature    = errors.New("not a signature of a file")
	ErrNotAttestation  = errors.New("not an attestation")
	ErrPayloadType     = errors.New("payload of another type")
	ErrSignatures      = errors.New("not exactly one signature")
	ErrDigest          = errors.New("signature of other content")
	ErrWrongKey        = errors.New("signed by a key that is not trusted")
	ErrWrongIssuer     = errors.New("identity vouched for by an issuer that is not trusted")
	ErrWrongSubject    = errors.New("signed by an identity that is not trusted")
	ErrWrongRepository = errors.New("signed for a source repository that is not trusted")
	ErrCertificate     = errors.New("certificate of an authority that is not trusted")
	ErrCertificateTime = errors.New("certificate not valid when it was used")
	ErrNoTimestamp     = errors.New("no timestamp of a trusted authority")
	ErrNoLog           = errors.New("no entry in a trusted transparency log")
	ErrLog             = errors.New("entry that is not in the transparency log")
	ErrSignature       = errors.New("signature does not verify")
)

// ErrTrust is what every refusal of a Trust or of a trusted root wraps: nothing
// can be opened with it.
var ErrTrust = errors.New("trust that cannot be used")

// A Verified is what is known of an opened bundle. Only this package makes one
// that says anything: the zero Verified names no content and no signer.
type Verified struct {
	content artifact.Digest
	payload []byte
	signer  Signer
	keyID   string
	time    time.Time
	logged  bool

	workflow Workflow // zero if none is known
}

// A Signer is who signed: a key, or an identity that a certificate authority
// vouched for.
type Signer struct {
	KeyID           string // KeyID of the key; empty for an identity
	Issuer, Subject string // empty for a key
}

// String is the signer as a report shows it.
func (s Signer) String() string {
	if s.KeyID != "" {
		return "key " + s.KeyID
	}
	return s.Subject + " of " + s.Issuer
}

// Content is the digest of what was signed: of the file, or of the payload of
// an attestation.
func (v Verified) Content() artifact.Digest { return v.content }

// Payload is the statement of an attestation, byte for byte as it was signed,
// and nil for the signature of a file. It is the caller's to read.
func (v Verified) Payload() []byte { return slices.Clone(v.payload) }

// Signer is who signed.
func (v Verified) Signer() Signer { return v.signer }

// KeyID is the KeyID of the key that the signature is by, also where a certificate
// holds it: by it an identity can be seen to be a key, or another identity.
func (v Verified) KeyID() string { return v.keyID }

// Time is the earliest time that a trusted authority vouches for the signature
// having existed at; false if none does.
func (v Verified) Time() (time.Time, bool) { return v.time, !v.time.IsZero() }

// Logged reports whether the signature is in a trusted transparency log.
func (v Verified) Logged() bool { return v.logged }

// OpenSignature opens the signature of the file whose digest is content.
func OpenSignature(data []byte, trust Trust, content artifact.Digest) (Verified, error) {
	b, err := parse(data)
	if err != nil {
		return Verified{}, err
	}
	if b.envelope {
		return Verified{}, fmt.Errorf("%w: it holds an attestation, which says nothing of who signed the file", ErrNotSignature)
	}
	if b.digest != content {
		return Verified{}, fmt.Errorf("%w: it is of %s, the file is %s", ErrDigest, b.digest, content)
	}
	return b.open(trust)
}

// OpenAttestation opens an attestation. What its statement says, and of which
// subject, is not looked at: that is in the Payload.
func OpenAttestation(data []byte, trust Trust) (Verified, error) {
	b, err := parse(data)
	if err != nil {
		return Verified{}, err
	}
	if !b.envelope {
		return Verified{}, fmt.Errorf("%w: it holds the signature of a file", ErrNotAttestation)
	}
	if b.payloadType != PayloadType {
		return Verified{}, fmt.Errorf("%w: %q, want %q", ErrPayloadType, b.payloadType, PayloadType)
	}
	return b.open(trust)
}

// open does what is the same for both kinds.
func (b parsed) open(trust Trust) (Verified, error) {
	if err := trust.Validate(); err != nil {
		return Verified{}, err
	}
	v := Verified{content: b.digest, payload: b.payload}
	var key crypto.PublicKey
	if b.certificate == nil {
		i := slices.IndexFunc(trust.Keys, func(k crypto.PublicKey) bool {
			id, err := KeyID(k)
			return err == nil && id == b.keyID
		})
		if i < 0 {
			return Verified{}, fmt.Errorf("%w: key %q is none of the %d that are", ErrWrongKey, b.keyID, len(trust.Keys))
		}
		key, v.signer = trust.Keys[i], Signer{KeyID: b.keyID}
	} else {
		signer, err := trust.identify(b.certificate)
		if err != nil {
			return Verified{}, err
		}
		key, v.signer = b.certificate.PublicKey, signer
		if v.workflow, err = WorkflowIn(b.certificate); err != nil {
			return Verified{}, err
		}
	}

	times, err := trust.Root.times(b)
	if err != nil && (b.certificate != nil || trust.RequireTimestamp) {
		return Verified{}, err
	}
	if len(times) > 0 {
		v.time = slices.MinFunc(times, time.Time.Compare)
	}
	if b.certificate != nil {
		if err := trust.Root.issued(b.certificate, times); err != nil {
			return Verified{}, err
		}
	}

	if v.logged, err = trust.Root.logged(b, key, times); err != nil {
		return Verified{}, err
	}
	if trust.RequireLog && !v.logged {
		return Verified{}, fmt.Errorf("%w: sign again with a log that the trusted root names", ErrNoLog)
	}
	if err := Check(key, b.signed[:], b.signature); err != nil {
		return Verified{}, err
	}
	if v.keyID, err = KeyID(key); err != nil {
		return Verified{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return v, nil
}

// KeyID is the name of a public key in a bundle: the base64 of the SHA-256 of
// its PKIX form, as cosign has it. A key of which a signature would not be
// opened has none.
func KeyID(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return "", fmt.Errorf("an ECDSA key of curve %s does not sign SHA-256: use P-256", key.Params().Name)
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n != 2048 && n != 3072 && n != 4096 {
			return "", fmt.Errorf("an RSA key of %d bits: use 2048, 3072 or 4096, or ECDSA P-256", n)
		}
	default:
		return "", fmt.Errorf("a key of type %T: use ECDSA P-256", key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("reading a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// Check verifies the signature of a SHA-256 digest by key: ASN.1 ECDSA, or RSA
// PKCS #1 v1.5.
func Check(key crypto.PublicKey, digest, signature []byte) error {
	id, err := KeyID(key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(key, digest, signature) {
			return nil
		}
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: key %s did not sign this content", ErrSignature, id)
}
