// Package signing makes Sigstore bundles (version 0.3) that palisade/
// attestations/bundle and cosign open: the signature of a file, or an in-toto
// statement in a DSSE envelope. What it returns has been verified with the
// public key that it names.
//
// It reads digests and statements that are finished, and nothing else: it opens
// no artifact, reaches no network and starts no program. Keys that are
// elsewhere, and the services that vouch for a signature, are in its
// subdirectories. It refuses keys of which package bundle would not open a
// signature, and to write over a key.
package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
)

// A Signer makes bundles.
type Signer interface {
	// Sign returns the JSON of a bundle, which ends with a newline.
	Sign(ctx context.Context, content Content) ([]byte, error)
	// Identity is who signs, for people: a key's ID, or whatever vouches for it.
	Identity() string
}

// A Key signs, wherever it is kept.
type Key interface {
	Public() crypto.PublicKey
	// SignDigest signs a SHA-256 digest: ASN.1 ECDSA, or RSA PKCS #1 v1.5.
	SignDigest(ctx context.Context, digest []byte) (signature []byte, err error)
}

// A Content is what is signed: a file, or a statement.
type Content struct {
	digest    [sha256.Size]byte
	statement []byte
	file      bool
}

// File is the content of the file that has this digest.
func File(digest artifact.Digest) (Content, error) {
	raw, err := hex.DecodeString(digest.Hex())
	if err != nil || len(raw) != sha256.Size {
		return Content{}, fmt.Errorf("signing a file: %w: it has none", artifact.ErrDigest)
	}
	return Content{digest: [sha256.Size]byte(raw), file: true}, nil
}

// Statement is an in-toto statement, which is signed as these very bytes.
func Statement(statement []byte) Content {
	return Content{
		digest:    sha256.Sum256(dsse.PAE(bundle.PayloadType, statement)),
		statement: bytes.Clone(statement),
	}
}

var errNothing = errors.New("signing: there is neither a file nor a statement")

// Open opens a bundle of this content.
func (c Content) Open(data []byte, trust bundle.Trust) (bundle.Verified, error) {
	if !c.file && len(c.statement) == 0 {
		return bundle.Verified{}, errNothing
	}
	if c.file {
		digest, err := artifact.ParseDigest("sha256:" + hex.EncodeToString(c.digest[:]))
		if err != nil {
			return bundle.Verified{}, err
		}
		return bundle.OpenSignature(data, trust, digest)
	}
	v, err := bundle.OpenAttestation(data, trust)
	if err == nil && !bytes.Equal(v.Payload(), c.statement) {
		return bundle.Verified{}, fmt.Errorf("%w: it is of another statement", bundle.ErrDigest)
	}
	return v, err
}

// WithKey signs with a key alone: the signature says nothing of when it was
// made.
func WithKey(key Key) (Signer, error) {
	id, err := bundle.KeyID(key.Public())
	if err != nil {
		return nil, fmt.Errorf("signing with a key: %w", err)
	}
	return keySigner{key, id}, nil
}

type keySigner struct {
	key Key
	id  string
}

func (s keySigner) Identity() string { return "key " + s.id }

func (s keySigner) Sign(ctx context.Context, content Content) ([]byte, error) {
	pb, err := Make(ctx, content, s.key, &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: s.id}},
	})
	if err != nil {
		return nil, err
	}
	return Marshal(pb)
}

// Make signs content with key and puts the signature beside material, which
// says whose key it is. A signature that the public key does not verify is an
// error: what keeps the key is not to be believed.
func Make(ctx context.Context, content Content, key Key, material *protobundle.VerificationMaterial) (*protobundle.Bundle, error) {
	if !content.file && len(content.statement) == 0 {
		return nil, errNothing
	}
	signature, err := key.SignDigest(ctx, content.digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := bundle.Check(key.Public(), content.digest[:], signature); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	pb := &protobundle.Bundle{MediaType: bundle.MediaType, VerificationMaterial: material}
	if content.file {
		pb.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: content.digest[:]},
			Signature:     signature,
		}}
	} else {
		pb.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     content.statement,
			PayloadType: bundle.PayloadType,
			Signatures:  []*protodsse.Signature{{Sig: signature}},
		}}
	}
	return pb, nil
}

// Marshal is the JSON of a bundle. Protobuf's own puts spaces where it likes.
func Marshal(pb *protobundle.Bundle) ([]byte, error) {
	loose, err := protojson.Marshal(pb)
	if err != nil {
		return nil, fmt.Errorf("writing a bundle: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, loose); err != nil {
		return nil, fmt.Errorf("writing a bundle: %w", err)
	}
	compact.WriteByte('\n')
	return compact.Bytes(), nil
}
