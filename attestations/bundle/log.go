package bundle

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	rekorverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// logged reports whether a log of the root holds this signature by this key, by
// the proof in the bundle. An entry of another log tells nothing; one that
// names a log of the root has to be in it, at times when that log is believed.
// Where no time is known, an entry of a log that is not believed for ever tells
// nothing either: nobody knows when it was made.
func (r *Root) logged(b parsed, key crypto.PublicKey, times []time.Time) (bool, error) {
	if r == nil {
		return false, nil
	}
	found := false
	for _, e := range b.entries {
		l, ok := r.logs[hex.EncodeToString(e.GetLogId().GetKeyId())]
		if !ok {
			continue
		}
		if err := l.includes(e, b, key); err != nil {
			return false, fmt.Errorf("%w %s: %w", ErrLog, l.url, err)
		}
		for _, at := range times {
			if !l.holds(at) {
				return false, fmt.Errorf("%w %s: it is believed %s, the signature is of %s", ErrLog, l.url, l.span, at.Format(time.RFC3339))
			}
		}
		found = found || len(times) > 0 || l.until.IsZero()
	}
	return found, nil
}

// includes verifies the proof of inclusion against a checkpoint that the log
// has signed. What is proved is the entry that this bundle makes, not the one
// it shows, though the two have to be the same.
func (l log) includes(e *protorekor.TransparencyLogEntry, b parsed, key crypto.PublicKey) error {
	if k := e.GetKindVersion(); k.GetKind() != "hashedrekord" || k.GetVersion() != "0.0.2" {
		return fmt.Errorf("an entry of kind %q, version %q: only those of Rekor v2 are read (hashedrekord 0.0.2)", k.GetKind(), k.GetVersion())
	}
	if e.GetInclusionProof() == nil || e.GetInclusionProof().GetLogIndex() != e.GetLogIndex() {
		return fmt.Errorf("entry %d without its proof of inclusion", e.GetLogIndex())
	}
	hash, err := entry(b, key)
	if err != nil {
		return err
	}
	shown := sha256.Sum256(append([]byte{0}, e.GetCanonicalizedBody()...)) // RFC 6962 section 2.1
	if !bytes.Equal(hash, shown[:]) {
		return fmt.Errorf("entry %d is of another signature, content or key", e.GetLogIndex())
	}
	verifier, err := signature.LoadVerifier(l.key, l.hash)
	if err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	named, err := note.NewNoteVerifier(l.origin, verifier)
	if err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	return rekorverify.VerifyLogEntryWithHash(e, named, hash)
}

// entry is the hash of the entry that Rekor v2 makes of a signature.
func entry(b parsed, key crypto.PublicKey) ([]byte, error) {
	details, err := signature.GetDefaultAlgorithmDetails(key)
	if err != nil {
		return nil, err
	}
	v := &rekorpb.Verifier{KeyDetails: details.GetSignatureAlgorithm()}
	if b.certificate != nil {
		v.Verifier = &rekorpb.Verifier_X509Certificate{X509Certificate: &protocommon.X509Certificate{RawBytes: b.certificate.Raw}}
	} else {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		v.Verifier = &rekorpb.Verifier_PublicKey{PublicKey: &rekorpb.PublicKey{RawBytes: der}}
	}
	return hashedrekord.ToEntryHash(b.signed[:], &rekorpb.Signature{Content: b.signature, Verifier: v})
}
