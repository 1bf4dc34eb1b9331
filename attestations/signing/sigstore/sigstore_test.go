//go:build linux

package sigstore_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sigstorebundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/sigstore"
)

// The whole way: token, certificate, timestamp, log; then the servers are gone,
// and what they vouched for is opened here, by sigstore-go and by stock cosign.
func TestRoundTrip(t *testing.T) {
	s := start(t)
	file := []byte("the bytes of an archive\n")
	sum := sha256.Sum256(file)
	statement := func(predicateType string) signing.Content {
		return signing.Statement(must(json.Marshal(map[string]any{
			"_type":         "https://in-toto.io/Statement/v1",
			"subject":       []any{map[string]any{"name": "X", "digest": map[string]string{"sha256": hex.EncodeToString(sum[:])}}},
			"predicateType": predicateType,
			"predicate":     map[string]any{},
		}))(t))
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(s.token(t, "sigstore")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := sigstore.Options{Config: s.Config, Root: s.Root, Now: time.Now, Each: 20 * time.Second}
	asked := 0
	person := must(sigstore.Keyless(options, func(ctx context.Context) (string, error) {
		asked++
		return sigstore.TokenFile(tokenFile)(ctx)
	}))(t)
	key := signing.Local(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
	managed := must(sigstore.WithKey(options, key))(t)

	contents := map[string]signing.Content{
		"X.sigstore.json":            must(signing.File(artifact.DigestBytes(file)))(t),
		"X.provenance.sigstore.json": statement("https://slsa.dev/provenance/v1"),
		"X.spdx.sigstore.json":       statement("https://spdx.dev/Document"),
		"release.json.sigstore.json": must(signing.File(artifact.DigestBytes(index(file))))(t),
	}
	bundles := map[string][]byte{}
	for name, content := range contents {
		bundles[name] = must(person.Sign(t.Context(), content))(t)
		bundles["key."+name] = must(managed.Sign(t.Context(), content))(t)
	}
	if asked != 1 {
		t.Errorf("asked for a token %d times for one certificate", asked)
	}
	if want := email + " of " + s.Issuer; person.Identity() != want {
		t.Errorf("signed as %s, want %s", person.Identity(), want)
	}
	refusals(t, s, options)
	s.Stop()

	trusted := must(bundle.ParseRoot(s.Root))(t)
	for name, data := range bundles {
		trust := bundle.Trust{Root: trusted, RequireLog: true, RequireTimestamp: true, Identities: []bundle.Identity{{Issuer: s.Issuer, Subject: email, Repository: bundle.NoRepository}}}
		short, byKey := strings.CutPrefix(name, "key.")
		if byKey {
			trust.Identities, trust.Keys = nil, []crypto.PublicKey{key.Public()}
		}
		v, err := contents[short].Open(data, trust)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if at, ok := v.Time(); !ok || time.Since(at) > 5*time.Minute || !v.Logged() {
			t.Errorf("%s: of %s, logged %t", name, at, v.Logged())
		}
		if !byKey {
			of := file
			if name == "release.json.sigstore.json" {
				of = index(file)
			}
			reference(t, s, name, data, of)
		}
		trust.Identities, trust.Keys = []bundle.Identity{{Issuer: s.Issuer, Subject: "x" + email, Repository: bundle.NoRepository}}, nil
		want := bundle.ErrWrongSubject
		if byKey {
			want = bundle.ErrWrongKey
		}
		if _, err := contents[short].Open(data, trust); !errors.Is(err, want) {
			t.Errorf("%s, by somebody else: %v, want %v", name, err, want)
		}
	}

	consumers(t, s, file, bundles, must(signing.MarshalPublicKey(key.Public()))(t))
}

// reference has sigstore-go's own verifier agree.
func reference(t *testing.T, s stack, name string, data, file []byte) {
	t.Helper()
	var b sigstorebundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	verifier := must(verify.NewVerifier(must(root.NewTrustedRootFromJSON(s.Root))(t), verify.WithSignedTimestamps(1), verify.WithTransparencyLog(1)))(t)
	identity := must(verify.NewShortCertificateIdentity(s.Issuer, "", email, ""))(t)
	if _, err := verifier.Verify(&b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(file)), verify.WithCertificateIdentity(identity))); err != nil {
		t.Errorf("%s: sigstore-go refuses it: %v", name, err)
	}
}

// refusals are of what would make a bundle that nobody opens.
func refusals(t *testing.T, s stack, good sigstore.Options) {
	t.Helper()
	content := signing.Statement([]byte("{}"))
	with := func(change func(config, root map[string]any)) sigstore.Options {
		o := good
		var config, trusted map[string]any
		if err := errors.Join(json.Unmarshal(o.Config, &config), json.Unmarshal(o.Root, &trusted)); err != nil {
			t.Fatal(err)
		}
		change(config, trusted)
		o.Config, o.Root = must(json.Marshal(config))(t), must(json.Marshal(trusted))(t)
		return o
	}
	service := func(config map[string]any, name string) map[string]any {
		return config[name].([]any)[0].(map[string]any)
	}
	for _, tt := range []struct {
		name    string
		options sigstore.Options
		token   string
		want    error
	}{
		{"a token for somebody else", good, s.token(t, "bank"), sigstore.ErrToken},
		{"a token for somebody else as well", good, s.token(t, []string{"sigstore", "bank"}), sigstore.ErrToken},
		{"a token of somebody else", good, strings.Replace(s.token(t, "sigstore"), ".", ".x", 1), sigstore.ErrToken},
		{"a forged token", good, s.token(t, "sigstore")[:200] + "AAAA", sigstore.ErrToken},
		{"a token that is not signed", good, s.token(t, "sigstore") + "AAAA", sigstore.ErrService},
		{"no token", good, "", sigstore.ErrToken},
		{"a root without the timestamp authority", with(func(_, root map[string]any) { delete(root, "timestampAuthorities") }), s.token(t, "sigstore"), bundle.ErrTrust},
		{"a root without the certificate authority", with(func(_, root map[string]any) { delete(root, "certificateAuthorities") }), s.token(t, "sigstore"), bundle.ErrTrust},
		{"a root without the log", with(func(_, root map[string]any) { delete(root, "tlogs") }), s.token(t, "sigstore"), bundle.ErrTrust},
		{"a root with another log", with(func(_, root map[string]any) {
			service(root, "tlogs")["logId"] = map[string]any{"keyId": "AAAA"}
		}), s.token(t, "sigstore"), bundle.ErrNoLog},
		{"a log of Rekor v1", with(func(c, _ map[string]any) { service(c, "rekorTlogUrls")["majorApiVersion"] = 1 }), "", sigstore.ErrConfig},
		{"no timestamp authority", with(func(c, _ map[string]any) { delete(c, "tsaUrls") }), "", sigstore.ErrConfig},
		{"no certificate authority", with(func(c, _ map[string]any) { delete(c, "caUrls") }), "", sigstore.ErrConfig},
		{"a config of another version", with(func(c, _ map[string]any) { c["mediaType"] = "x" }), "", sigstore.ErrConfig},
		{"a service whose time is over", with(func(c, _ map[string]any) {
			service(c, "tsaUrls")["validFor"] = map[string]any{"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
		}), "", sigstore.ErrConfig},
		{"nobody at the timestamp authority", with(func(c, _ map[string]any) { service(c, "tsaUrls")["url"] = s.Issuer + "/none" }), s.token(t, "sigstore"), sigstore.ErrService},
		{"nobody at the log", with(func(c, _ map[string]any) { service(c, "rekorTlogUrls")["url"] = s.Issuer }), s.token(t, "sigstore"), sigstore.ErrService},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer, err := sigstore.Keyless(tt.options, sigstore.TokenValue(tt.token))
			if err == nil {
				_, err = signer.Sign(t.Context(), content)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if err != nil && tt.token != "" && strings.Contains(err.Error(), tt.token) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
}
