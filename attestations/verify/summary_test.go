package verify

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/signing"
	"palisade/attestations/vsa"
)

const verifierID = "https://palisade.example/verifiers/workstation/v1"

// What passed is summed up, signed, and read by somebody who has nothing but
// the artifact, the policy's digest and the verifier's key.
func TestSummary(t *testing.T) {
	key, mine := newKey(t), newKey(t)
	dir := newWorld(t, key, "hardened", "vanilla").write(t)
	p, trust := testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	report := must(Release(t.Context(), dir, p, trust))(t)
	st := must(report.Summary(verifierID, "https://palisade.example/policies/test"))(t)

	var names []string
	for _, s := range st.Subject {
		d, _, err := artifact.DigestFile(filepath.Join(dir, s.Name))
		if err != nil || s.Digest["sha256"] != d.Hex() {
			t.Errorf("%s is %s, the summary says %v: %v", s.Name, d, s.Digest, err)
		}
		names = append(names, s.Name)
	}
	if want := []string{indexName, hardened, vanilla}; !slices.Equal(names, want) {
		t.Errorf("it is about %q, want %q", names, want)
	}
	data := withKey(mine)(t, signing.Statement(must(intoto.Marshal(st))(t)), "")
	release, _, err := artifact.DigestFile(filepath.Join(dir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	read, err := vsa.Open(data, vsa.Want{
		Trust: bundle.Trust{Keys: []crypto.PublicKey{mine.Public()}}, Verifier: verifierID,
		Subject: newMade(t, "hardened").rec.Digest, ResourceURI: ResourceURI("palisade", release), Policy: p.Digest(), Level: vsa.BuildLevel1,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Every bundle that is there was opened, and is told of.
	left, err := filepath.Glob(filepath.Join(dir, "*"+bundleSuffix))
	if err != nil || len(left) != 7 || len(read.Inputs) != len(left) {
		t.Fatalf("%d bundles, %d inputs: %v", len(left), len(read.Inputs), err)
	}
	for _, in := range read.Inputs {
		d, _, err := artifact.DigestFile(filepath.Join(dir, in.Name))
		if err != nil || in.Digest["sha256"] != d.Hex() {
			t.Errorf("%s is %s, the summary says %v: %v", in.Name, d, in.Digest, err)
		}
	}
	if !read.Time.Equal(now) {
		t.Errorf("verified at %s, it was %s", read.Time, now)
	}

	one := must(File(t.Context(), filepath.Join(dir, hardened), p, trust))(t)
	if st := must(one.Summary(verifierID, "https://palisade.example/policies/test"))(t); len(st.Subject) != 1 || st.Subject[0].Name != hardened {
		t.Errorf("of one artifact it is about %+v", st.Subject)
	}
}

// A level above the first is the word of the policy's author.
func TestSummaryLevel(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	for said, want := range map[string]string{"1": vsa.BuildLevel1, "2": vsa.BuildLevel2, "3": vsa.BuildLevel3} {
		report := must(Release(t.Context(), dir, testPolicy(t, "build-level: 1", "build-level: "+said), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}))(t)
		st := must(report.Summary(verifierID, "https://palisade.example/policies/test"))(t)
		if !strings.Contains(string(st.Predicate), `"`+want+`"`) || report.Level() != want {
			t.Errorf("build-level: %s is summed up as %s: %s", said, report.Level(), st.Predicate)
		}
	}
}

// What did not pass has no summary, and neither has what was never verified.
func TestNoSummary(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	if err := os.Remove(filepath.Join(dir, sumsName)); err != nil {
		t.Fatal(err)
	}
	report, _ := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	if st, err := report.Summary(verifierID, "https://palisade.example/policies/test"); !errors.Is(err, ErrRefused) || st.Subject != nil {
		t.Errorf("of a refused release: %+v, %v", st, err)
	}
	report.Passed = true
	for _, r := range []Report{report, {Passed: true}} {
		if st, err := r.Summary(verifierID, "https://palisade.example/policies/test"); err == nil {
			t.Errorf("of what was not verified: %+v", st)
		}
	}
}
