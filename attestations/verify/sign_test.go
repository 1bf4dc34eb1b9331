package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
)

const (
	workstation = "https://palisade.example/builders/workstation/v1"
	workflow    = "https://palisade.example/builders/release/v1"
)

// A world is a release before it is signed, and how that is done. Its hooks
// make what a mistaken or bribed signer would sign.
type world struct {
	artifacts []*made
	image     *madeImage // nil if there is none
	builder   provenance.Builder
	run       provenance.Run
	signer    func(t testing.TB, c signing.Content, of string) []byte // of names the file that the bundle will be in
	statement func(s *intoto.Statement)                               // before it is signed
	payload   func(name string, payload []byte) []byte                // likewise, as bytes
	index     func(data []byte) []byte                                // likewise
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func withKey(key crypto.Signer) func(testing.TB, signing.Content, string) []byte {
	return func(t testing.TB, c signing.Content, _ string) []byte {
		t.Helper()
		s, err := signing.WithKey(signing.Local(key))
		if err != nil {
			t.Fatal(err)
		}
		data, err := s.Sign(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

func newWorld(t testing.TB, key crypto.Signer, variants ...string) *world {
	t.Helper()
	start := time.Date(2026, 11, 22, 7, 30, 1, 0, time.UTC)
	digest := artifact.DigestBytes([]byte("distribution.yaml"))
	w := &world{
		signer: withKey(key),
		builder: provenance.Builder{
			ID: workstation, Version: map[string]string{"palisade": "v0.4.0"},
			Dependencies: []intoto.Resource{{URI: "pkg:golang/palisade@v0.4.0", Name: "palisade@v0.4.0", Digest: intoto.Digests{"dirHash": digest.Hex()}}},
		},
		run: provenance.Run{
			InvocationID: "3b241101-e2bb-4255-8caf-4136c566a962", Started: start, Finished: start.Add(time.Minute),
			Repository:   provenance.Repository{Commit: strings.Repeat("0a", 20), Clean: true},
			Distribution: digest, Cache: provenance.Shared,
		},
	}
	for _, v := range variants {
		w.artifacts = append(w.artifacts, newMade(t, v))
	}
	return w
}

// audited gives every artifact a test result with that verdict.
func (w *world) audited(t testing.TB, passed bool) {
	t.Helper()
	for _, m := range w.artifacts {
		r := testResult{Result: "PASSED", PassedTests: []string{"web.headers"}, WarnedTests: []string{}, FailedTests: []string{}, Findings: []finding{{"web.headers", 6, "PASS", "set"}},
			Configuration: []intoto.Resource{{Name: "checks of beacon", Digest: intoto.Digests{"sha256": artifact.DigestBytes([]byte("checks")).Hex()}}, {Name: m.rec.Name, Digest: intoto.Digests{"sha256": m.rec.Digest.Hex()}}}}
		if !passed {
			r.Result, r.PassedTests, r.FailedTests, r.Findings[0].Status = "FAILED", []string{}, []string{"web.headers"}, "FAIL"
		}
		m.result = statementOf(t, intoto.TestResult, r, subjectOf("beacon", m.rec.Binaries[0].Digest))
	}
}

func statementOf(t testing.TB, predicateType string, predicate any, subjects ...intoto.Subject) []byte {
	t.Helper()
	raw, ok := predicate.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(predicate); err != nil {
			t.Fatal(err)
		}
	}
	data, err := intoto.Marshal(intoto.Statement{Type: intoto.Type, PredicateType: predicateType, Subject: subjects, Predicate: raw})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// write signs the release into a new directory.
func (w *world) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, data []byte) {
		if err := writeTestFile(filepath.Join(dir, name), string(data)); err != nil {
			t.Fatal(err)
		}
	}
	attest := func(name string, payload []byte) []byte {
		if w.statement != nil {
			s, err := intoto.Parse(payload)
			if err != nil {
				t.Fatal(err)
			}
			w.statement(&s)
			if payload, err = intoto.Marshal(s); err != nil {
				t.Fatal(err)
			}
		}
		if w.payload != nil {
			payload = w.payload(name, payload)
		}
		put(bundleOf(name), w.signer(t, signing.Statement(payload), bundleOf(name)))
		return payload
	}
	index := &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	var sums bytes.Buffer
	for _, m := range w.artifacts {
		r := m.rec
		index.Artifacts = append(index.Artifacts, r)
		fmt.Fprintf(&sums, "%s  %s\n%s  %s\n", r.Digest.Hex(), r.Name, r.Documents[0].Digest.Hex(), r.Documents[0].Name)
		put(r.Name, m.archive)
		put(r.Name+bundleSuffix, w.signFile(t, r.Digest, r.Name+bundleSuffix))
		put(r.Name+spdxSuffix, m.document)
		attest(r.Name+spdxSuffix, statementOf(t, intoto.SPDX, m.document, subjectOf(r.Name, r.Digest)))
		s, err := provenance.Statement(r, w.builder, w.run)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := intoto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		put(r.Name+provenanceSuffix, attest(r.Name+provenanceSuffix, payload))
		if m.result != nil {
			put(r.Name+resultSuffix, attest(r.Name+resultSuffix, m.result))
		}
		if m.vex != nil {
			put(r.Name+vexSuffix, attest(r.Name+vexSuffix, m.vex))
		}
	}
	index.Sort()
	if w.image != nil {
		w.image.write(t, w, index, &sums, put, attest)
	}
	data, err := index.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if w.index != nil {
		data = w.index(data)
	}
	put(indexName, data)
	put(indexName+bundleSuffix, w.signFile(t, artifact.DigestBytes(data), indexName+bundleSuffix))
	put(sumsName, sums.Bytes())
	return dir
}

func (w *world) signFile(t testing.TB, d artifact.Digest, of string) []byte {
	t.Helper()
	c, err := signing.File(d)
	if err != nil {
		t.Fatal(err)
	}
	return w.signer(t, c, of)
}

// policyText accepts what newWorld makes, with each pair of old and new text
// replaced.
func policyText(t testing.TB, pairs ...string) string {
	t.Helper()
	text := `format: palisade.policy.v1
name: test
signers:
  keys: [given]
  identities: none
transparency-log: not-required
timestamp: not-required
maximum-age: unlimited
attestations: [spdx, provenance]
rebuilders: not-required
builders: [` + workstation + `]
build-types: [` + provenance.BuildType + `, ` + provenance.ImageBuildType + `]
hermetic: required
clean-tree: required
workflow: not-required
vulnerabilities: any
vulnerability-data: unlimited
freshness: not-required
build-level: 1
accept:
  - component: beacon
    variant: hardened
    module: example.org/beacon
    minimum-upstream: v1.2.0
    minimum-version: 1.2.0-palisade.1
    patches:
      - module: example.org/lamp
        version: v0.4.0
        digest: ` + policy.SeriesDigest([]artifact.PatchFile{{Name: "lamp/v0.4.0/0001-green.patch", Digest: artifact.DigestBytes([]byte(patchText))}}).String() + `
    audit: passed-if-run
    checks: any
  - component: beacon
    variant: vanilla
    module: example.org/beacon
    minimum-upstream: v1.2.0
    minimum-version: any
    patches: none
    audit: any-verdict
    checks: any
`
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("nothing to replace: %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func testPolicy(t testing.TB, pairs ...string) policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(policyText(t, pairs...)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) signStatement(t testing.TB, payload []byte) []byte {
	t.Helper()
	return w.signer(t, signing.Statement(payload), "")
}
