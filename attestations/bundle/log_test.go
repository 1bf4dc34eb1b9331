package bundle_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore/pkg/signature"
	sumdb "golang.org/x/mod/sumdb/note"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

// Logs with an Ed25519 key, as those of Sigstore's public instance, are read.
func TestEd25519Log(t *testing.T) {
	s := newStage(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pb := s.logged(t)
	entry := pb.VerificationMaterial.TlogEntries[0]
	text, _, _ := strings.Cut(entry.InclusionProof.Checkpoint.Envelope, "\n\n")
	origin, _, _ := strings.Cut(text, "\n")
	signer := must(note.NewNoteSigner(context.Background(), origin, must(signature.LoadED25519Signer(private))(t)))(t)
	entry.InclusionProof.Checkpoint.Envelope = string(must(sumdb.Sign(&sumdb.Note{Text: text + "\n"}, signer))(t))
	_, id, err := note.KeyHash(origin, public)
	if err != nil {
		t.Fatal(err)
	}
	entry.LogId.KeyId = id
	rootJSON := []byte(s.edited(t, func(m map[string]any) {
		l := m["tlogs"].([]any)[0].(map[string]any)
		l["logId"] = map[string]any{"keyId": base64.StdEncoding.EncodeToString(id)}
		key := l["publicKey"].(map[string]any)
		key["keyDetails"], key["rawBytes"] = "PKIX_ED25519", base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(public))(t))
	}))
	trust := bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: bundle.NoRepository}}, Root: must(bundle.ParseRoot(rootJSON))(t), RequireLog: true}
	good := must(signing.Marshal(pb))(t)
	_, err = open(t, good, trust, rootJSON, true)
	wants(t, err, nil)

	for name, change := range map[string]func(*protobundle.Bundle){
		"a changed checkpoint": func(pb *protobundle.Bundle) {
			c := pb.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint
			c.Envelope = strings.Replace(c.Envelope, "\n1\n", "\n2\n", 1)
		},
		"a checkpoint that nobody signed": func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint.Envelope = text + "\n\n"
		},
		"no checkpoint": func(pb *protobundle.Bundle) {
			pb.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint = nil
		},
		"a negative index": func(pb *protobundle.Bundle) {
			e := pb.VerificationMaterial.TlogEntries[0]
			e.LogIndex, e.InclusionProof.LogIndex = -1, -1
		},
	} {
		t.Run(name, func(t *testing.T) {
			pb := unmarshal(t, good)
			change(pb)
			_, err := open(t, must(signing.Marshal(pb))(t), trust, rootJSON, true)
			wants(t, err, bundle.ErrLog)
		})
	}
}
