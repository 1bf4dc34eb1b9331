package handover

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

func TestParseDigests(t *testing.T) {
	a, b := artifact.DigestBytes(nil), artifact.DigestBytes([]byte("b"))
	got, err := ParseDigests("plan=" + a.String() + ",build_1=" + b.String())
	if want := (Digests{PlanKey: a, Key(Build, Shard{1, 2}): b}); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseDigests(""); err != nil || got != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	plan := "plan=" + a.String()
	for _, tt := range []struct{ list, says string }{
		{",", "does not say of what"},
		{plan + ",", "does not say of what"},
		{"," + plan, "does not say of what"},
		{plan + ", sign=" + a.String(), "does not say of what"},
		{a.String(), "does not say of what"},
		{"=" + a.String(), "does not say of what"},
		{"build_0=" + a.String(), "does not say of what"},
		{"Plan=" + a.String(), "does not say of what"},
		{plan + "," + plan, "plan is there twice"},
		{plan + ",plan=" + b.String(), "plan is there twice"},
		{"plan=", "plan: "},
		{plan[:len(plan)-1], "plan: "},
	} {
		if got, err := ParseDigests(tt.list); err == nil || got != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %v, %v, want %s", tt.list, got, err, tt.says)
		}
	}
}

func TestHoldDigest(t *testing.T) {
	a, b := artifact.DigestBytes(nil), artifact.DigestBytes([]byte("b"))
	for _, tt := range []struct {
		name string
		d    Digests
		want error
	}{
		{"its own", Digests{"sign": a, "plan": b}, nil},
		{"any will do", nil, nil},
		{"none is told", Digests{}, ErrDigest},
		{"that of another", Digests{"plan": a}, ErrDigest},
		{"another one", Digests{"plan": a, "sign": b}, ErrDigest},
	} {
		if err := tt.d.Hold("sign", a); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
