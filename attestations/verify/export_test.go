package verify

import (
	"os"
	"path/filepath"
	"testing"

	"palisade/attestations/signing"
)

// SignedRelease makes a folder that holds a signed release, dist, and the
// public key, cosign.pub.
func SignedRelease(t *testing.T) string {
	t.Helper()
	key := newKey(t)
	dir := t.TempDir()
	if err := os.Rename(newWorld(t, key, "hardened", "vanilla").write(t), filepath.Join(dir, "dist")); err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "cosign.pub", public)
	return dir
}

// PolicyText accepts what SignedRelease makes.
func PolicyText(t *testing.T) []byte { return []byte(policyText(t)) }
