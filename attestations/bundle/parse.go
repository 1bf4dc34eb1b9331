package bundle

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"palisade/attestations/artifact"
)

// maxWitnesses bounds how many timestamps, and how many log entries, a bundle
// may have: each costs the check of a signature.
const maxWitnesses = 8

// maxDER bounds a certificate, and a timestamp, in bytes: what is read of one
// takes many times its size. They have a few thousand.
const maxDER = 64 << 10

// A parsed bundle is well-formed; nothing in it is believed.
type parsed struct {
	envelope    bool // an attestation
	payloadType string
	payload     []byte

	digest    artifact.Digest   // of the file, or of the payload
	signed    [sha256.Size]byte // what the signature is of
	signature []byte

	keyID       string            // of a key; or
	certificate *x509.Certificate // of an identity

	timestamps [][]byte
	entries    []*protorekor.TransparencyLogEntry
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

func parse(data []byte) (parsed, error) {
	var pb protobundle.Bundle
	if err := decode(data, &pb, maxBundle); err != nil {
		return parsed{}, malformed("%w", err)
	}
	if pb.GetMediaType() != MediaType {
		return parsed{}, malformed("media type %q, want %q", pb.GetMediaType(), MediaType)
	}
	var b parsed
	var err error
	switch content := pb.GetContent().(type) {
	case *protobundle.Bundle_MessageSignature:
		err = b.message(content.MessageSignature)
	case *protobundle.Bundle_DsseEnvelope:
		b.envelope, b.payloadType, b.payload = true, content.DsseEnvelope.GetPayloadType(), content.DsseEnvelope.GetPayload()
		b.digest = artifact.DigestBytes(b.payload)
		b.signed = sha256.Sum256(dsse.PAE(b.payloadType, b.payload))
		signatures := content.DsseEnvelope.GetSignatures()
		if len(signatures) != 1 {
			return parsed{}, fmt.Errorf("%w: the envelope has %d", ErrSignatures, len(signatures))
		}
		b.signature = signatures[0].GetSig()
	default:
		err = malformed("it holds neither a signature nor an attestation")
	}
	if err != nil {
		return parsed{}, err
	}
	if len(b.signature) == 0 {
		return parsed{}, malformed("its signature is empty")
	}

	material := pb.GetVerificationMaterial()
	switch content := material.GetContent().(type) {
	case *protobundle.VerificationMaterial_PublicKey:
		b.keyID = content.PublicKey.GetHint()
		if b.keyID == "" {
			return parsed{}, malformed("it does not say which key signed")
		}
	case *protobundle.VerificationMaterial_Certificate:
		raw := content.Certificate.GetRawBytes()
		if len(raw) > maxDER {
			return parsed{}, malformed("a certificate of %d bytes, at most %d are read", len(raw), maxDER)
		}
		b.certificate, err = x509.ParseCertificate(raw)
		if err != nil {
			return parsed{}, malformed("certificate: %w", err)
		}
	default:
		return parsed{}, malformed("it names neither a key nor a certificate")
	}
	for _, t := range material.GetTimestampVerificationData().GetRfc3161Timestamps() {
		if n := len(t.GetSignedTimestamp()); n > maxDER {
			return parsed{}, malformed("a timestamp of %d bytes, at most %d are read", n, maxDER)
		}
		b.timestamps = append(b.timestamps, t.GetSignedTimestamp())
	}
	b.entries = material.GetTlogEntries()
	if n := max(len(b.timestamps), len(b.entries)); n > maxWitnesses {
		return parsed{}, malformed("%d timestamps or log entries, at most %d of each are read", n, maxWitnesses)
	}
	return b, nil
}

// message reads the signature of a file. The digest in it is what the signer
// says; it becomes what the signature is checked against.
func (b *parsed) message(m *protocommon.MessageSignature) error {
	d := m.GetMessageDigest()
	if d.GetAlgorithm() != protocommon.HashAlgorithm_SHA2_256 || len(d.GetDigest()) != sha256.Size {
		return malformed("the digest of the file is not a SHA-256")
	}
	var err error
	b.digest, err = artifact.ParseDigest("sha256:" + hex.EncodeToString(d.GetDigest()))
	b.signed, b.signature = [sha256.Size]byte(d.GetDigest()), m.GetSignature()
	return err
}
