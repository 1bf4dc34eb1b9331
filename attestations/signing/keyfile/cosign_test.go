package keyfile_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/keyfile"
)

// Stock cosign is asked where it is given; .ci/run builds both versions.
var clis = flag.String("cosign", "", "comma-separated `programs` of cosign that have to agree")

func programs(t *testing.T) []string {
	t.Helper()
	if *clis == "" {
		t.Skip("no -cosign given")
	}
	return strings.Split(*clis, ",")
}

// cosign runs a program of cosign in dir, with nothing of ours around it.
func cosign(t *testing.T, program, dir string, args ...string) (output string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "COSIGN_PASSWORD=correct horse"}
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// What is made here, stock cosign verifies, by the commands that a consumer
// has; and what cosign refuses of it, it refuses for each change.
func TestCosignVerifies(t *testing.T) {
	file := []byte("the bytes of an archive\n")
	sum := sha256.Sum256(file)
	statement := must(json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": "X", "digest": map[string]string{"sha256": hex.EncodeToString(sum[:])}}},
		"predicateType": "https://spdx.dev/Document",
		"predicate":     map[string]any{"spdxVersion": "SPDX-2.3"},
	}))(t)
	private, public, err := keyfile.Generate([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	signer := must(signing.WithKey(must(keyfile.Load(private, []byte("correct horse")))(t)))(t)
	_, otherPublic, err := keyfile.Generate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs(t) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{
			"X": file, "changed": append(bytes.Clone(file), 'x'), "cosign.key": private, "cosign.pub": public, "other.pub": otherPublic, "trusted_root.json": bundle.EmptyRoot(),
			"X.sigstore.json":      must(signer.Sign(context.Background(), must(signing.File(artifact.DigestBytes(file)))(t)))(t),
			"X.spdx.sigstore.json": must(signer.Sign(context.Background(), signing.Statement(statement)))(t),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		offline := []string{"--insecure-ignore-tlog", "--trusted-root", "trusted_root.json"}
		for _, tt := range []struct {
			args string
			good bool
		}{
			{"verify-blob --key cosign.pub --bundle X.sigstore.json X", true},
			{"verify-blob --key cosign.pub --bundle X.sigstore.json changed", false},
			{"verify-blob --key other.pub --bundle X.sigstore.json X", false},
			{"verify-blob-attestation --key cosign.pub --bundle X.spdx.sigstore.json --type spdxjson X", true},
			{"verify-blob-attestation --key cosign.pub --bundle X.spdx.sigstore.json --type slsaprovenance1 X", false},
			{"verify-blob-attestation --key cosign.pub --bundle X.spdx.sigstore.json --type spdxjson changed", false},
			{"verify-blob-attestation --key other.pub --bundle X.spdx.sigstore.json --type spdxjson X", false},
		} {
			words := strings.Fields(tt.args)
			args := append(append(words[:len(words)-1:len(words)-1], offline...), words[len(words)-1])
			output, ok := cosign(t, program, dir, args...)
			if ok != tt.good {
				t.Errorf("%s %s: verified %t, want %t: %s", program, tt.args, ok, tt.good, output)
			}
			t.Logf("%s %s: %s", filepath.Base(program), tt.args, strings.TrimSpace(output))
		}

		// The key is cosign's own form.
		derived, ok := cosign(t, program, dir, "public-key", "--key", "cosign.key")
		if !ok || derived != string(public) {
			t.Errorf("%s derives %s, want %s", program, derived, public)
		}
	}
}

// What stock cosign signs is opened.
func TestCosignSigns(t *testing.T) {
	for _, program := range programs(t) {
		dir := t.TempDir()
		private, _, err := keyfile.Generate([]byte("correct horse"))
		if err != nil {
			t.Fatal(err)
		}
		key := must(keyfile.Load(private, []byte("correct horse")))(t)
		for name, data := range map[string][]byte{"cosign.key": private, "X": []byte("x"), "trusted_root.json": bundle.EmptyRoot(),
			"config.json": []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`)} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		output, ok := cosign(t, program, dir, "sign-blob", "--yes", "--key", "cosign.key", "--bundle", "X.sigstore.json", "--new-bundle-format", "--signing-config", "config.json", "--trusted-root", "trusted_root.json", "X")
		if !ok {
			t.Errorf("%s: %s", program, output)
			continue
		}
		data := must(os.ReadFile(filepath.Join(dir, "X.sigstore.json")))(t)
		if _, err := bundle.OpenSignature(data, bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}, artifact.DigestBytes([]byte("x"))); err != nil {
			t.Errorf("%s signed %s: %v", program, data, err)
		}
	}
}
