package verify_test

import (
	"context"
	"crypto"
	"errors"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/policy"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
)

// Verify the release in dist with the policy and the public key beside it.
func Example() {
	text, err := os.ReadFile("policy.yaml")
	check(err)
	demands, err := policy.Parse(text)
	check(err)
	public, err := os.ReadFile("cosign.pub")
	check(err)
	key, err := signing.ParsePublicKey(public)
	check(err)
	trust := verify.Trust{Keys: []crypto.PublicKey{key}, Now: time.Now()}
	report, err := verify.Release(context.Background(), "dist", demands, trust)
	check(report.WriteText(os.Stdout))
	check(err) // refused: do not use it
}

var exit = log.Fatal

func check(err error) {
	if err != nil {
		exit(err)
	}
}

// The example runs as it stands, on a release that is whole and on one that is
// not.
func TestExample(t *testing.T) {
	dir := verify.SignedRelease(t)
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), verify.PolicyText(t), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	var failed error
	exit = func(v ...any) { failed = v[0].(error) }
	defer func() { exit = log.Fatal }()
	if out := output(t, Example); failed != nil || !strings.Contains(out, "\nPASSED  policy test ") || strings.Contains(out, "FAIL") {
		t.Errorf("of a whole release: %v\n%s", failed, out)
	}
	if err := os.Remove(filepath.Join("dist", "SHA256SUMS")); err != nil {
		t.Fatal(err)
	}
	if out := output(t, Example); !errors.Is(failed, verify.ErrRefused) || !strings.Contains(out, "\nREFUSED  policy test ") {
		t.Errorf("of a release without SHA256SUMS: %v\n%s", failed, out)
	}
}

// output is what do writes to the standard output.
func output(t *testing.T, do func()) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = f
	defer func() { os.Stdout = stdout }()
	do()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
