package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/signing"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/sign"
)

// A flag that chooses nothing, or the wrong thing, is refused.
func TestNewBuildRequest(t *testing.T) {
	to := func(s string) *string { return &s }
	yes, no := true, false
	for _, tt := range []struct {
		name               string
		cache, policy, key *string
		hermetic, sign     *bool
		want               BuildRequest
		says               string
	}{
		{name: "nothing", want: BuildRequest{Sign: true}},
		{name: "all", cache: to("r.example/c"), policy: to("release"), key: to("k"), hermetic: &yes, sign: &no, want: BuildRequest{Cache: "r.example/c", Policy: "release", Key: "k", Hermetic: true}},
		{name: "an empty cache", cache: to(""), says: "-cache= is empty"},
		{name: "an empty policy", cache: to("r.example/c"), policy: to(""), says: "-policy= is empty"},
		{name: "an empty key", cache: to("r.example/c"), key: to(""), says: "-key= is empty"},
		{name: "a policy of no cache", policy: to("release"), says: "name it with -cache"},
		{name: "a key of no cache", key: to("k"), says: "name it with -cache"},
	} {
		got, err := NewBuildRequest(Selection{}, tt.cache, tt.policy, tt.key, tt.hermetic, tt.sign)
		if tt.says == "" && (err != nil || got != tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		if tt.says != "" && (status(err) != 2 || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A build that failed does not wait for long for what it sends.
func TestEnding(t *testing.T) {
	for _, failed := range []error{nil, errors.New("it failed")} {
		ctx, giveUp := ending(t.Context(), failed)
		if at, soon := ctx.Deadline(); soon != (failed != nil) || soon && time.Until(at) > lastWords {
			t.Errorf("%v: until %v, %v", failed, at, soon)
		}
		giveUp()
	}
}

// Without a hand nothing is offered, and whom to believe has to be said all the
// same.
func TestShareThrough(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PALISADE_KEY", "")
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	req := BuildRequest{Cache: "r.example/c"}
	if _, err := shareThrough(t.Context(), req, &sign.Hand{}); !errors.Is(err, config.ErrUsage) {
		t.Errorf("nobody is believed: %v", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(key.Public())
	if err == nil {
		err = os.WriteFile("a.pub", public, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	req.Key = "a.pub"
	o, err := shareThrough(t.Context(), req, &sign.Hand{})
	if err != nil || o.Signer != nil || len(o.Trust.Keys) != 1 || o.Policy.Name() != "workstation" || o.Repository != "r.example/c" || o.Now == nil {
		t.Errorf("%+v, %v", o, err)
	}
	req.Policy = "nosuch"
	if _, err := shareThrough(t.Context(), req, &sign.Hand{}); !errors.Is(err, config.ErrUsage) {
		t.Errorf("a policy that is not there: %v", err)
	}
}
