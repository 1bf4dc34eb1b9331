package verify

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
)

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

const (
	hardened = "beacon-1.2.0-palisade.1.linux-amd64.tar.gz"
	vanilla  = "beacon-1.2.0-vanilla.linux-amd64.tar.gz"
)

// A tampering is one way to offer something else than what was released. before
// is what a mistaken or bribed signer would sign; after is what anybody can do.
type tampering struct {
	name   string
	before func(t *testing.T, w *world)
	after  func(t *testing.T, dir string)
	policy []string // pairs for testPolicy
	fails  []Check  // and no other
	wants  []error  // all of them
}

var key, otherKey crypto.Signer

func TestTamper(t *testing.T) {
	key, otherKey = newKey(t), newKey(t)
	rows := slices.Concat(ofFiles, ofIndexes, ofBundles, ofStatements, ofProvenances, ofResults, ofContents, ofArchives, ofVEX)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, key, "hardened", "vanilla")
			w.audited(t, true)
			if row.before != nil {
				row.before(t, w)
			}
			dir := w.write(t)
			if row.after != nil {
				row.after(t, dir)
			}
			report, err := Release(t.Context(), dir, testPolicy(t, row.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			refused(t, report, err, row.fails, row.wants)
		})
	}
}

func refused(t *testing.T, report Report, err error, fails []Check, wants []error) {
	t.Helper()
	var failed []Check
	for _, l := range report.Lines {
		if l.Status == Fail && !slices.Contains(failed, l.Number) {
			failed = append(failed, l.Number)
		}
	}
	slices.Sort(failed)
	if report.Passed || !slices.Equal(failed, fails) {
		t.Errorf("passed %v, failed are the checks %v, want %v", report.Passed, failed, fails)
	}
	for _, want := range append([]error{ErrRefused}, wants...) {
		if !errors.Is(err, want) {
			t.Errorf("it is not refused because %q", want)
		}
	}
	if t.Failed() {
		t.Logf("error: %v", err)
	}
}

func TestUntampered(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened", "vanilla")
	w.audited(t, true)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	dir := w.write(t)
	report, err := Release(t.Context(), dir, testPolicy(t), trust)
	if err != nil || !report.Passed {
		t.Fatalf("%+v, %v", report, err)
	}
	if n := len(report.Lines); n != 2+2*10 {
		t.Errorf("%d lines: %+v", n, report.Lines)
	}
	// Of one artifact, what belongs to another need not be there.
	if err := os.Remove(filepath.Join(dir, vanilla)); err != nil {
		t.Fatal(err)
	}
	if report, err := File(t.Context(), filepath.Join(dir, hardened), testPolicy(t), trust); err != nil || len(report.Lines) != 2+10 {
		t.Errorf("File: %+v, %v", report, err)
	}
	if _, err := File(t.Context(), filepath.Join(dir, sumsName), testPolicy(t), trust); !errors.Is(err, ErrUnlisted) {
		t.Errorf("File of something else = %v", err)
	}
	if _, err := Release(t.Context(), dir, testPolicy(t), trust); !errors.Is(err, ErrMissing) {
		t.Errorf("Release without an archive = %v", err)
	}
	if report, err := Release(t.Context(), dir, policy.Policy{}, trust); err == nil || errors.Is(err, ErrRefused) || report.Passed {
		t.Errorf("the zero policy: %v", err)
	}
	if _, err := Release(t.Context(), dir, testPolicy(t), Trust{Now: now}); !errors.Is(err, bundle.ErrTrust) || errors.Is(err, ErrRefused) {
		t.Errorf("without a key: %v", err)
	}
	logged := testPolicy(t, "transparency-log: not-required", "transparency-log: required")
	if _, err := Release(t.Context(), dir, logged, trust); !errors.Is(err, bundle.ErrTrust) || errors.Is(err, ErrRefused) {
		t.Errorf("without the log that is demanded: %v", err)
	}
	if _, err := Release(t.Context(), dir, testPolicy(t), Trust{Keys: trust.Keys}); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("without a time: %v", err)
	}
}

// What anybody can do to files.

func replaceIn(name, old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		put(t, dir, name, bytes.Replace(data, []byte(old), []byte(new), 1))
	}
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func copyTo(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, to, data)
	}
}

func remove(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flip changes one bit in the middle of a file.
func flip(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		put(t, dir, name, data)
	}
}

// huge makes a file of 1 GiB.
func huge(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, name), 1<<30); err != nil {
			t.Fatal(err)
		}
	}
}

// edit changes the JSON of a bundle.
func edit(name string, change func(b map[string]any)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var b map[string]any
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		change(b)
		if data, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
		put(t, dir, name, data)
	}
}

func envelope(b map[string]any) map[string]any { return b["dsseEnvelope"].(map[string]any) }

var ofFiles = []tampering{
	{name: "byte of an artifact", after: flip(hardened), fails: []Check{Digest}, wants: []error{ErrDigest}},
	{name: "byte of the manifest", after: flip(indexName), fails: []Check{Index}, wants: []error{ErrIndexSignature, bundle.ErrDigest}},
	{name: "byte of the bill of materials", after: replaceIn(hardened+spdxSuffix, "A light.", "A Light."), fails: []Check{SPDX}, wants: []error{ErrDocument}},
	{name: "byte of the provenance", after: replaceIn(hardened+provenanceSuffix, "3b241101", "3b241102"), fails: []Check{Provenance}, wants: []error{ErrDocument}},
	{name: "byte of a test result", after: replaceIn(hardened+resultSuffix, "PASS", "Pass"), fails: []Check{TestResult}, wants: []error{ErrDocument}},
	{name: "sums of another release", after: replaceIn(sumsName, "0", "1"), fails: []Check{Files}, wants: []error{ErrSums}},
	{name: "sums without an artifact", after: func(t *testing.T, dir string) { put(t, dir, sumsName, nil) }, fails: []Check{Files}, wants: []error{ErrSums}},
	{name: "unlisted file", after: copyTo(hardened, "other-"+hardened), fails: []Check{Files}, wants: []error{ErrUnlisted}},
	{name: "unlisted file in a folder", after: copyTo(hardened, "more/"+hardened), fails: []Check{Files}, wants: []error{ErrUnlisted}},
	{name: "missing artifact", after: remove(vanilla), fails: []Check{Files, Digest}, wants: []error{ErrMissing}},
	{name: "missing signature", after: remove(vanilla + bundleSuffix), fails: []Check{Files, Signature}, wants: []error{ErrMissing}},
	{name: "missing attestation", after: remove(bundleOf(hardened + spdxSuffix)), fails: []Check{Files, SPDX}, wants: []error{ErrMissing}},
	{name: "missing provenance", after: remove(hardened+provenanceSuffix, bundleOf(hardened+provenanceSuffix)), fails: []Check{Files, Provenance}, wants: []error{ErrMissing}},
	{name: "missing signature of the manifest", after: remove(indexName + bundleSuffix), fails: []Check{Index}, wants: []error{ErrMissing}},
	{name: "symbolic link", after: func(t *testing.T, dir string) {
		if err := os.Rename(filepath.Join(dir, hardened), filepath.Join(dir, "cosign.pub")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("cosign.pub", filepath.Join(dir, hardened)); err != nil {
			t.Fatal(err)
		}
	}, fails: []Check{Files, Digest}, wants: []error{ErrNotFile}},
	{name: "vanilla in place of hardened, with all its files", after: func(t *testing.T, dir string) {
		for _, suffix := range []string{"", bundleSuffix, spdxSuffix, bundleOf(spdxSuffix), provenanceSuffix, bundleOf(provenanceSuffix)} {
			copyTo(vanilla+suffix, hardened+suffix)(t, dir)
		}
	}, fails: []Check{Digest}, wants: []error{ErrDigest}},
	{name: "manifest of 1 GiB", after: huge(indexName), fails: []Check{Index}, wants: []error{ErrTooLarge}},
	{name: "bundle of 1 GiB", after: huge(bundleOf(hardened + spdxSuffix)), fails: []Check{SPDX}, wants: []error{ErrTooLarge}},
	{name: "bill of materials of 1 GiB", after: huge(hardened + spdxSuffix), fails: []Check{SPDX}, wants: []error{ErrTooLarge}},
	{name: "loose binary changed", after: func(t *testing.T, dir string) {
		put(t, dir, "bin/linux-amd64/hardened/beacon", []byte("another"))
		put(t, dir, "bin/linux-amd64/vanilla/beacon", []byte("another"))
	}, fails: []Check{Loose}, wants: []error{ErrLoose}},
	{name: "loose binary missing", after: func(t *testing.T, dir string) {
		c, _ := compileOnce()
		put(t, dir, "bin/linux-amd64/hardened/beacon", c.binaries["hardened"])
	}, fails: []Check{Files, Loose}, wants: []error{ErrMissing}},
}

var ofBundles = []tampering{
	{name: "bit of a signature", after: edit(hardened+bundleSuffix, func(b map[string]any) {
		m := b["messageSignature"].(map[string]any)
		s := m["signature"].(string)
		m["signature"] = s[:40] + string(rune('A'+(s[40]+1)%26)) + s[41:]
	}), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrSignature}},
	{name: "payload of an attestation changed", after: edit(bundleOf(hardened+spdxSuffix), func(b map[string]any) {
		e := envelope(b)
		p := e["payload"].(string)
		e["payload"] = p[:400] + string(rune('A'+(p[400]+1)%26)) + p[401:]
	}), fails: []Check{SPDX}, wants: []error{ErrAttestation, bundle.ErrSignature}},
	{name: "signature moved from another artifact", after: copyTo(vanilla+bundleSuffix, hardened+bundleSuffix), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrDigest}},
	{name: "bill of materials moved from another artifact", after: copyTo(bundleOf(vanilla+spdxSuffix), bundleOf(hardened+spdxSuffix)), fails: []Check{SPDX}, wants: []error{ErrSubject}},
	{name: "provenance moved from another artifact", after: copyTo(bundleOf(vanilla+provenanceSuffix), bundleOf(hardened+provenanceSuffix)), fails: []Check{Provenance}, wants: []error{ErrSubject}},
	{name: "test result moved from another artifact", after: copyTo(bundleOf(vanilla+resultSuffix), bundleOf(hardened+resultSuffix)), fails: []Check{TestResult}, wants: []error{ErrSubject}},
	{name: "attestation offered as a signature", after: copyTo(bundleOf(hardened+spdxSuffix), hardened+bundleSuffix), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrNotSignature}},
	{name: "signature offered as an attestation", after: copyTo(hardened+bundleSuffix, bundleOf(hardened+spdxSuffix)), fails: []Check{SPDX}, wants: []error{ErrAttestation, bundle.ErrNotAttestation}},
	{name: "attestation of another type", after: copyTo(bundleOf(hardened+provenanceSuffix), bundleOf(hardened+spdxSuffix)), fails: []Check{SPDX}, wants: []error{ErrPredicateType}},
	{name: "signature by another key", before: by(hardened + bundleSuffix), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrWrongKey}},
	{name: "attestation by another key", before: by(bundleOf(hardened + spdxSuffix)), fails: []Check{SPDX}, wants: []error{ErrAttestation, bundle.ErrWrongKey}},
	{name: "provenance by another key", before: by(bundleOf(hardened + provenanceSuffix)), fails: []Check{Provenance}, wants: []error{ErrAttestation, bundle.ErrWrongKey}},
	{name: "test result by another key", before: by(bundleOf(hardened + resultSuffix)), fails: []Check{TestResult}, wants: []error{ErrAttestation, bundle.ErrWrongKey}},
	{name: "manifest by another key", before: by(indexName + bundleSuffix), fails: []Check{Index}, wants: []error{ErrIndexSignature, bundle.ErrWrongKey}},
	{name: "another key under the name of the trusted one", before: by(hardened + bundleSuffix), after: edit(hardened+bundleSuffix, func(b map[string]any) {
		id, _ := bundle.KeyID(key.Public())
		b["verificationMaterial"].(map[string]any)["publicKey"] = map[string]any{"hint": id}
	}), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrSignature}},
	{name: "two signatures of which one is good", after: edit(bundleOf(hardened+provenanceSuffix), func(b map[string]any) {
		e := envelope(b)
		e["signatures"] = append(e["signatures"].([]any), map[string]any{"sig": "AAAA"})
	}), fails: []Check{Provenance}, wants: []error{ErrAttestation, bundle.ErrSignatures}},
	{name: "payload type changed", after: edit(bundleOf(hardened+provenanceSuffix), func(b map[string]any) {
		envelope(b)["payloadType"] = "application/json"
	}), fails: []Check{Provenance}, wants: []error{ErrAttestation, bundle.ErrPayloadType}},
	{name: "key of a bundle twice", after: replaceIn(hardened+bundleSuffix, `{"mediaType":`, `{"mediaType":"x","mediaType":`), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrMalformed}},
	{name: "deeply nested bundle", after: func(t *testing.T, dir string) {
		put(t, dir, hardened+bundleSuffix, bytes.Repeat([]byte(`{"a":`), 1<<20))
	}, fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrMalformed}},
}

// by has the bundle of that name signed with another key.
func by(name string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		mine := w.signer
		w.signer = func(t testing.TB, c signing.Content, of string) []byte {
			if of == name {
				return withKey(otherKey)(t, c, of)
			}
			return mine(t, c, of)
		}
	}
}
