package keys

import (
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing/sigstore"
	"palisade/magefiles/internal/config"
)

// An identity is known by its token before anybody is asked, and no token that is of
// no use is shown to anybody.
func TestIdentityOf(t *testing.T) {
	dir := t.TempDir()
	services, root := filepath.Join(dir, "config"), filepath.Join(dir, "root")
	write(t, services, `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","tsaConfig":{"selector":"ANY"},
		"caUrls":[{"url":"http://127.0.0.1:1","majorApiVersion":1,"operator":"x","validFor":{"start":"2020-01-01T00:00:00Z"}}],
		"tsaUrls":[{"url":"http://127.0.0.1:1","majorApiVersion":1,"operator":"x","validFor":{"start":"2020-01-01T00:00:00Z"}}]}`)
	write(t, root, string(bundle.EmptyRoot()))
	now := func() time.Time { return time.Unix(1700000000, 0) }
	token := func(claims string) config.Secret {
		part := base64.RawURLEncoding.EncodeToString
		return config.NewSecret(part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + ".c2lnbmVk")
	}
	const person = `{"iss":"https://accounts.example.test","sub":"1","aud":"sigstore","exp":`
	for _, tt := range []struct {
		name string
		s    config.Signing
		want error
		says string
	}{
		{"expired", config.Signing{Config: services, Root: root, Token: token(person + `1700000000}`)}, sigstore.ErrToken, "it has expired on 2023-11-14T22:13:20Z"},
		{"for somebody else", config.Signing{Config: services, Root: root, Token: token(`{"iss":"x","sub":"1","aud":"bank","exp":1800000000}`)}, sigstore.ErrToken, `it is for ["bank"]`},
		{"no token at all", config.Signing{Config: services, Root: root}, ErrNone, "PALISADE_TOKEN_FILE"},
		{"an empty token", config.Signing{Config: services, Root: root, Token: config.NewSecret("")}, sigstore.ErrToken, "not a JSON web token"},
		{"nobody believed", config.Signing{Config: services, Token: token(person + `1800000000}`)}, config.ErrUsage, "PALISADE_TRUSTED_ROOT"},
		{"believed are none that could vouch", config.Signing{Config: services, Root: root, Token: token(person + `1800000000}`)}, bundle.ErrTrust, ""},
	} {
		i, err := IdentityOf(t.Context(), tt.s, now)
		if i != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "c2lnbmVk") {
			t.Errorf("%s: %+v, %v", tt.name, i, err)
		}
	}
	for name, s := range map[string]config.Signing{"a key": {Key: "x"}, "a key with witnesses": {Config: services, Root: root, Key: "x", KeyChosen: true}} {
		if i, err := IdentityOf(t.Context(), s, now); i != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
}
