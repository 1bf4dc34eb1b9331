package bundle_test

import (
	"context"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

func TestClaimed(t *testing.T) {
	s, key := newStage(t), newKey(t)
	signed := must(must(signing.WithKey(key))(t).Sign(context.Background(), content(t, true)))(t)
	id := must(bundle.KeyID(key.Public()))(t)
	if got, err := bundle.Claimed(signed); err != nil || got != (bundle.Signer{KeyID: id}) {
		t.Errorf("got %+v, %v", got, err)
	}
	vouched := must(signing.Marshal(s.identity(t, content(t, true), issuer, subject, time.Now())))(t)
	if got, err := bundle.Claimed(vouched); err != nil || got != (bundle.Signer{Issuer: issuer, Subject: subject}) {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := bundle.Claimed([]byte("{}"))
	wants(t, err, bundle.ErrMalformed)
}
