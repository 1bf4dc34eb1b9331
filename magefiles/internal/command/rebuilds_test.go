package command

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/signing"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/publish"
)

// What nobody can have meant is told before anything is asked of a registry.
func TestPublishRebuildsRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const image = "localhost:1/bell:1"
	for _, tt := range []struct {
		name string
		req  RebuildsRequest
		want string
	}{
		{"no image", RebuildsRequest{Path: dir}, "-image=HOST/REPOSITORY:TAG"},
		{"no folder", RebuildsRequest{Image: image}, "-path=DIR"},
		{"a folder that is not there", RebuildsRequest{Image: image, Path: filepath.Join(dir, "none")}, "there is no folder"},
		{"a file", RebuildsRequest{Image: image, Path: file}, "there is no folder"},
		{"no such policy", RebuildsRequest{Image: image, Path: dir, Policy: "mild"}, `there is no policy "mild"`},
		{"no such key", RebuildsRequest{Image: image, Path: dir, Key: file + ".pub"}, "reading a public key"},
	} {
		if err := PublishRebuilds(t.Context(), tt.req); status(err) != 2 || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v with status %d, want 2, %s", tt.name, err, status(err), tt.want)
		}
	}
	empty := ""
	if _, err := NewRebuildsRequest(nil, &empty, nil, nil, nil); status(err) != 2 || !strings.Contains(err.Error(), "-path= is empty") {
		t.Errorf("an empty path: %v", err)
	}
}

// Each refusal has its status: what is wrong with the folder or the bundles is no
// fault of the registry.
func TestPublished(t *testing.T) {
	for want, all := range map[int][]error{
		2: {registry.ErrReference, publish.ErrNoRebuild},
		3: {publish.ErrMismatch, publish.ErrUnsigned, publish.ErrTag, publish.ErrRebuild},
		1: {registry.ErrDenied, registry.ErrTooLarge},
	} {
		for _, err := range all {
			if got := published(fmt.Errorf("x: %w", err)); status(got) != want || !errors.Is(got, err) {
				t.Errorf("%v has status %d, want %d", got, status(got), want)
			}
		}
	}
	if published(nil) != nil {
		t.Error("nothing is a failure")
	}
}

// Whose attestations count is known from the policy, with what it demands of them.
func TestTrusted(t *testing.T) {
	dir := t.TempDir()
	var keys []*ecdsa.PrivateKey
	var texts []string
	for range 2 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signing.MarshalPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		keys, texts = append(keys, k), append(texts, string(text))
	}
	mild, err := os.ReadFile("../../../attestations/policies/workstation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	demands := "rebuilders:\n  count: 1\n  keys:\n    - |\n      " + strings.ReplaceAll(strings.TrimSpace(texts[1]), "\n", "\n      ") + "\n  identities: none\n"
	strict := strings.Replace(string(mild), "rebuilders: not-required", demands+"#", 1)
	if strict == string(mild) {
		t.Fatal("the policy demands rebuilders already")
	}
	for name, text := range map[string]string{"strict.yaml": strict, "key.pub": texts[0]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for policy, rebuilders := range map[string][]crypto.PublicKey{"workstation": nil, filepath.Join(dir, "strict.yaml"): {keys[1].Public()}} {
		signers, got, err := trusted(&config.Verifying{}, policy, filepath.Join(dir, "key.pub"), "")
		if err != nil || len(signers.Keys) != 1 || !keys[0].PublicKey.Equal(signers.Keys[0]) {
			t.Fatalf("%s: %+v, %v", policy, signers, err)
		}
		if len(got.Keys) != len(rebuilders) || len(got.Identities) > 0 || len(rebuilders) > 0 && !keys[1].PublicKey.Equal(got.Keys[0]) {
			t.Errorf("%s: rebuilders are %+v", policy, got)
		}
	}
}
