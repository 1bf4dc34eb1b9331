package verify

import (
	"crypto"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policies"
	"palisade/attestations/provenance"
)

var releaseDir = flag.String("release", "", "a release as \"mage build\" leaves it, to sign with a key of this test's and to verify: its statements are made anew")

// signedCopy makes a signed copy of the release that -release names.
func signedCopy(t testing.TB, key crypto.Signer) string {
	t.Helper()
	if *releaseDir == "" {
		t.Skip("no -release given")
	}
	f, err := os.Open(filepath.Join(*releaseDir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	index, err := artifact.ParseManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(*releaseDir)); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"+bundleSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	// What signs is the same as of the release that is made here.
	w := newWorld(t, key)
	for _, r := range index.Artifacts {
		document, err := os.ReadFile(filepath.Join(dir, r.Name+spdxSuffix))
		if err != nil {
			t.Fatal(err)
		}
		s, err := provenance.Statement(r, w.builder, w.run)
		if err != nil {
			t.Fatal(err)
		}
		said, err := intoto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{
			r.Name + bundleSuffix:               w.signFile(t, r.Digest, ""),
			r.Name + provenanceSuffix:           said,
			bundleOf(r.Name + provenanceSuffix): w.signStatement(t, said),
			bundleOf(r.Name + spdxSuffix):       w.signStatement(t, statementOf(t, intoto.SPDX, document, subjectOf(r.Name, r.Digest))),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, _, err := artifact.DigestFile(filepath.Join(dir, indexName))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, indexName+bundleSuffix), w.signFile(t, d, ""), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRealRelease(t *testing.T) {
	key := newKey(t)
	dir := signedCopy(t, key)
	p, err := policies.Load("workstation")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	report, err := Release(t.Context(), dir, p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\nin %s", text.String(), time.Since(start))
	if err != nil {
		t.Error(err)
	}
}
