package verify

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
)

// shelf is a source in memory.
type shelf struct {
	index    artifact.Digest
	blobs    map[artifact.Digest][]byte
	bundles  map[artifact.Digest]map[string][]byte // by kind
	resolved int
	read     int   // blobs
	err      error // of Bundles
}

func (s *shelf) Resolve(context.Context) (artifact.Digest, error) {
	s.resolved++
	return s.index, nil
}

func (s *shelf) Blob(_ context.Context, d ocilayout.Descriptor) (io.ReadCloser, error) {
	s.read++
	data, there := s.blobs[d.Digest]
	if !there {
		return nil, ocilayout.ErrMissing
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *shelf) Bundles(_ context.Context, d artifact.Digest) (all [][]byte, err error) {
	for _, kind := range slices.Sorted(maps.Keys(s.bundles[d])) {
		all = append(all, s.bundles[d][kind])
	}
	return all, s.err
}

func (s *shelf) copy() *shelf {
	c := &shelf{index: s.index, blobs: maps.Clone(s.blobs), bundles: map[artifact.Digest]map[string][]byte{}}
	for d, of := range s.bundles {
		c.bundles[d] = maps.Clone(of)
	}
	return c
}

// builtKind is the provenance of the archive, which is attached to a manifest.
const builtKind = "archive"

// newShelf is what publishing makes of a world.
func newShelf(t testing.TB, w *world) *shelf {
	t.Helper()
	dir := w.write(t)
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	s := &shelf{index: w.image.rec.Index, blobs: w.image.built.Blobs, bundles: map[artifact.Digest]map[string][]byte{}}
	for n, c := range carriers(w.image.rec) {
		s.bundles[c.digest] = map[string][]byte{}
		for _, kind := range []string{signatureKind, spdxKind, provenanceKind, resultKind, vexKind} {
			name := bundleOf(carriedName(w.image.rec, c.digest, kind))
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				s.bundles[c.digest][kind] = read(name)
			}
		}
		if n > 0 {
			s.bundles[c.digest][builtKind] = read(bundleOf(w.artifacts[n-1].rec.Name + provenanceSuffix))
		}
	}
	return s
}

const reference = "registry.example/beacon:1.2.0-palisade.1"

func TestSource(t *testing.T) {
	key = newKey(t)
	w := newImageWorld(t)
	s := newShelf(t, w)
	// Beside what has to be there anybody may have put anything.
	s.bundles[s.index]["junk"] = []byte("{}")
	s.bundles[s.index]["strange"] = withKey(newKey(t))(t, signing.Statement(statementOf(t, intoto.Signature, []byte("{}"), subjectOf("x", s.index))), "")
	report, err := Image(t.Context(), reference, s, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	if err != nil || !report.Passed || report.Image != s.index.String() || s.resolved != 1 {
		t.Fatalf("%v, %+v", err, report)
	}
	var lines []string
	for _, l := range report.Lines {
		lines = append(lines, fmt.Sprintf("%s %s %s", strings.TrimPrefix(l.Artifact, reference), l.Check, l.Status))
	}
	var want []string
	for _, p := range []string{"", " linux/amd64", " linux/arm64"} {
		for _, c := range []string{"digest", "signature", "spdx", "provenance", "record", "policy", "members", "binaries", "contents", "test-result"} {
			switch {
			case p == "" && c == "policy":
				want = append(want, " policy SKIP")
			case p != "" || c != "binaries" && c != "test-result":
				want = append(want, p+" "+c+" PASS")
			}
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the lines are\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if !slices.ContainsFunc(report.Lines, func(l Line) bool { return strings.Contains(l.Detail, "2 bundles of others passed over") }) {
		t.Error("what was passed over is not told")
	}
}

// Each is one way in which what a registry serves is not what was released.
func TestSourceTamper(t *testing.T) {
	key, otherKey = newKey(t), newKey(t)
	whole := newImageWorld(t) // which nobody changes: it takes a while to make
	full := newShelf(t, whole)
	drop := func(n int, kind string) func(*testing.T, *world, *shelf) {
		return func(_ *testing.T, w *world, s *shelf) { delete(s.bundles[carriers(w.image.rec)[n].digest], kind) }
	}
	move := func(from, to int, kind string) func(*testing.T, *world, *shelf) {
		return func(_ *testing.T, w *world, s *shelf) {
			all := carriers(w.image.rec)
			s.bundles[all[to].digest][kind] = s.bundles[all[from].digest][kind]
		}
	}
	resign := func(by *crypto.Signer, n int, kind string, change func(*intoto.Statement)) func(*testing.T, *world, *shelf) {
		return func(t *testing.T, w *world, s *shelf) {
			at := s.bundles[carriers(w.image.rec)[n].digest]
			v, err := bundle.OpenAttestation(at[kind], bundle.Trust{Keys: []crypto.PublicKey{key.Public()}})
			if err != nil {
				t.Fatal(err)
			}
			statement, err := intoto.Parse(v.Payload())
			if err != nil {
				t.Fatal(err)
			}
			change(&statement)
			payload, err := intoto.Marshal(statement)
			if err != nil {
				t.Fatal(err)
			}
			at[kind] = withKey(*by)(t, signing.Statement(payload), "")
		}
	}
	relaid := func(change func(*imagetest.Image)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			change(&w.image.layout)
			w.image.finish(t, w)
		}
	}
	for _, tt := range []struct {
		name   string
		before func(*testing.T, *world)
		after  func(*testing.T, *world, *shelf)
		policy []string
		fails  []Check
		wants  []error
	}{
		{name: "the index has attestations and no signature", after: drop(0, signatureKind), fails: []Check{Signature}, wants: []error{ErrSignature, ErrPredicateType}},
		{name: "a manifest has attestations and no signature", after: drop(2, signatureKind), fails: []Check{Signature}, wants: []error{ErrSignature, ErrPredicateType}},
		{name: "the signature is of the index", after: move(0, 1, signatureKind), fails: []Check{Signature}, wants: []error{ErrSignature, ErrSubject}},
		{name: "the signature is another's", after: resign(&otherKey, 1, signatureKind, func(*intoto.Statement) {}), fails: []Check{Signature}, wants: []error{ErrSignature, bundle.ErrWrongKey}},
		{name: "the signature says something", after: resign(&key, 1, signatureKind, func(s *intoto.Statement) { s.Predicate = []byte(`{"latest":true}`) }), fails: []Check{Signature}, wants: []error{ErrSignature}},
		{name: "the signature is of two", after: resign(&key, 0, signatureKind, func(s *intoto.Statement) {
			s.Subject = append(s.Subject, subjectOf("other", artifact.DigestBytes([]byte("other"))))
		}), fails: []Check{Signature}, wants: []error{ErrSignature, ErrSubject}},
		{name: "no bill of materials", after: drop(0, spdxKind), fails: []Check{SPDX}, wants: []error{ErrAttestation}},
		{name: "a bill of something else", after: resign(&key, 0, spdxKind, func(s *intoto.Statement) {
			s.Predicate = bytes.Replace(s.Predicate, []byte(artifact.DigestBytes([]byte(passwd)).Hex()), []byte(artifact.DigestBytes([]byte("else")).Hex()), 1)
		}), fails: []Check{Contents}, wants: []error{ErrContents}},
		{name: "no provenance of the index", after: drop(0, provenanceKind), fails: []Check{Provenance}, wants: []error{ErrAttestation}},
		{name: "no provenance of a manifest", after: drop(1, provenanceKind), fails: []Check{Provenance}, wants: []error{ErrAttestation}},
		{name: "no provenance of the archive", after: drop(1, builtKind), fails: []Check{Record}, wants: []error{ErrAttestation}},
		{name: "the provenance of the other archive", after: move(2, 1, builtKind), fails: []Check{Record}, wants: []error{ErrAttestation}},
		{name: "a provenance of other platforms", after: resign(&key, 0, provenanceKind, func(s *intoto.Statement) {
			s.Predicate = bytes.ReplaceAll(s.Predicate, []byte("linux/arm64"), []byte("linux/riscv64"))
		}), fails: []Check{Record}, wants: []error{ErrRecord}},
		{name: "made by another builder", after: resign(&key, 0, provenanceKind, func(s *intoto.Statement) {
			s.Predicate = bytes.Replace(s.Predicate, []byte(workstation), []byte(workflow), 1)
		}), fails: []Check{Policy}, wants: []error{policy.ErrBuilder}},
		{name: "of a build type that is not accepted", policy: []string{", " + provenance.ImageBuildType, ""}, fails: []Check{Policy}, wants: []error{policy.ErrBuildType}},
		{name: "of patches that are not accepted", policy: []string{"version: v0.4.0", "version: v0.4.1"}, fails: []Check{Policy}, wants: []error{policy.ErrPatches}},
		{name: "an audit that did not pass", before: func(t *testing.T, w *world) { w.audited(t, false) }, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
		{name: "no audit", after: drop(1, resultKind), policy: []string{"audit: passed-if-run", "audit: passed", "[spdx, provenance]", "[spdx, provenance, test-result]"}, fails: []Check{TestResult}, wants: []error{policy.ErrNoAudit}},
		{name: "an audit of another archive", after: resign(&key, 1, resultKind, func(s *intoto.Statement) {
			s.Predicate = bytes.Replace(s.Predicate, []byte(".linux-amd64.tar.gz"), []byte(".linux-arm64.tar.gz"), 1)
		}), fails: []Check{TestResult}, wants: []error{ErrSubject}},
		{name: "an audit of another binary", after: resign(&key, 1, resultKind, func(s *intoto.Statement) {
			s.Predicate = bytes.ReplaceAll(s.Predicate, []byte(whole.artifacts[0].rec.Binaries[0].Digest.Hex()), []byte(strings.Repeat("0", 64)))
		}), fails: []Check{TestResult}, wants: []error{ErrSubject}},
		{name: "an audit of no checks", after: resign(&key, 1, resultKind, func(s *intoto.Statement) {
			s.Predicate = bytes.Replace(s.Predicate, []byte("checks of beacon"), []byte("checks of a beacon"), 1)
		}), fails: []Check{TestResult}, wants: []error{ErrTestResult}},
		{name: "an audit of other checks", policy: []string{"checks: any\n  - ", "checks: " + artifact.DigestBytes([]byte("more checks")).String() + "\n  - "}, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
		{name: "an audit of which a check was skipped", after: resign(&key, 1, resultKind, skipping),
			policy: []string{"checks: any\n  - ", "checks: " + artifact.DigestBytes([]byte("checks")).String() + "\n  - "}, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
		{name: "changed by no patch", before: func(t *testing.T, w *world) {
			for _, m := range w.artifacts {
				m.rec.Patched[0].Patches = nil
				m.describe(t)
			}
			w.image.layout = layoutOf(w)
			w.image.finish(t, w)
		}, fails: []Check{Policy}, wants: []error{ErrProvenance}},
		{name: "compiled by a worker that promises", before: func(t *testing.T, w *world) {
			elsewhere(t, w)
			w.image.finish(t, w)
		}, fails: []Check{Policy}, wants: []error{policy.ErrHermetic}},
		{name: "an archive for another platform", after: resign(&key, 2, builtKind, func(s *intoto.Statement) {
			s.Predicate = bytes.ReplaceAll(s.Predicate, []byte("linux/arm64"), []byte("linux/riscv64"))
		}), fails: []Check{Policy}, wants: []error{ErrRecord}},
		{name: "another binary than the archive has", after: resign(&key, 2, builtKind, func(s *intoto.Statement) {
			s.Subject[1] = subjectOf(s.Subject[1].Name, artifact.DigestBytes([]byte("other")))
		}), fails: []Check{Binaries}, wants: []error{ErrMember}},
		{name: "a binary that the archive has not", after: resign(&key, 2, builtKind, func(s *intoto.Statement) { s.Subject = s.Subject[:1] }), fails: []Check{Binaries}, wants: []error{ErrMember}},
		{name: "it runs as root", before: relaid(func(i *imagetest.Image) { i.Platforms[0].Config["User"] = "0:0" }), fails: []Check{Members}, wants: []error{ErrImage}},
		{name: "an index in the index", before: relaid(written("index", func(doc map[string]any) { first(doc, "manifests")["mediaType"] = ocilayout.IndexType })), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrMediaType}},
		{name: "docker's manifest", before: relaid(written("index", func(doc map[string]any) {
			first(doc, "manifests")["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
		})), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrMediaType}},
		{name: "a platform twice", before: relaid(written("index", func(doc map[string]any) {
			doc["manifests"] = append(doc["manifests"].([]any), first(doc, "manifests"))
		})), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrPlatform}},
		{name: "the manifest of another platform", before: relaid(written("index", func(doc map[string]any) {
			all := doc["manifests"].([]any)
			all[0].(map[string]any)["digest"], all[0].(map[string]any)["size"] = all[1].(map[string]any)["digest"], all[1].(map[string]any)["size"]
		})), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrPlatform}},
		{name: "a digest of another algorithm", before: relaid(written("index", func(doc map[string]any) { first(doc, "manifests")["digest"] = "sha512:" + strings.Repeat("0", 128) })), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrLayout}},
		{name: "a manifest inside its name", before: relaid(written("index", func(doc map[string]any) { first(doc, "manifests")["data"] = "e30=" })), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrLayout}},
		{name: "a manifest about another", before: relaid(written("manifest linux/amd64", func(doc map[string]any) { doc["subject"] = first(doc, "layers") })), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrLayout}},
		{name: "a layer from elsewhere", before: relaid(written("manifest linux/amd64", func(doc map[string]any) { first(doc, "layers")["urls"] = []string{"https://x.example/"} })), fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrLayout}},
		{name: "a huge layer", before: relaid(written("manifest linux/amd64", func(doc map[string]any) { first(doc, "layers")["size"] = 2 << 30 })), fails: []Check{Members}, wants: []error{ErrImage, ErrTooLarge}},
		{name: "an image that was mended since", policy: []string{"minimum-version: 1.2.0-palisade.1", "minimum-version: 1.2.0-palisade.2"}, fails: []Check{Policy}, wants: []error{policy.ErrOutdated}},
		{name: "a layer is missing", after: func(_ *testing.T, w *world, s *shelf) {
			delete(s.blobs, w.image.rec.Platforms[1].Layers[2].Digest)
		}, fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrMissing}},
		{name: "a manifest is another", after: func(_ *testing.T, w *world, s *shelf) {
			p := w.image.rec.Platforms
			s.blobs[p[1].Manifest] = s.blobs[p[0].Manifest]
		}, fails: []Check{Members}, wants: []error{ErrImage, ocilayout.ErrDigest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, s := whole, full.copy()
			if tt.before != nil {
				w = newImageWorld(t)
				tt.before(t, w)
				s = newShelf(t, w)
			}
			if tt.after != nil {
				tt.after(t, w, s)
			}
			report, err := Image(t.Context(), reference, s, testPolicy(t, tt.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			refused(t, report, err, tt.fails, tt.wants)
		})
	}
}

// written changes one document before it is named by its digest.
func written(what string, change func(doc map[string]any)) func(*imagetest.Image) {
	return func(i *imagetest.Image) {
		i.Edit = func(name string, doc map[string]any) {
			if name == what {
				change(doc)
			}
		}
	}
}

func first(doc map[string]any, list string) map[string]any {
	return doc[list].([]any)[0].(map[string]any)
}

// What is older than the policy allows is as if it were not there.
func TestSourceAge(t *testing.T) {
	key = newKey(t)
	s := newShelf(t, newImageWorld(t))
	p := testPolicy(t, "timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")
	real := bundles{trust: bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}}
	if report, err := imageWith(t.Context(), reference, s, p, aging{opener: real}, Trust{Now: now}); err != nil {
		t.Fatalf("%v, %+v", err, report.Lines)
	}
	for predicateType, fails := range map[string]Check{intoto.Signature: Signature, intoto.SPDX: SPDX, provenance.PredicateType: Provenance} {
		report, err := imageWith(t.Context(), reference, s, p, aging{real, predicateType, now.Add(-721 * time.Hour)}, Trust{Now: now})
		refused(t, report, err, []Check{fails}, []error{policy.ErrTooOld})
	}
}

// A bill of materials that nobody demands may be missing, and is said to be.
func TestSourceNotDemanded(t *testing.T) {
	key = newKey(t)
	s := newShelf(t, newImageWorld(t))
	for d := range s.bundles {
		delete(s.bundles[d], spdxKind)
	}
	report, err := Image(t.Context(), reference, s, testPolicy(t, "[spdx, provenance]", "[provenance]"), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	if err != nil || !slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == SPDX && l.Status == Skip }) {
		t.Errorf("%v, %+v", err, report.Lines)
	}
}

// What cannot be read is not refused: nothing is known of it.
func TestSourceUnreachable(t *testing.T) {
	key = newKey(t)
	s := newShelf(t, newImageWorld(t))
	s.err = fmt.Errorf("reading: %w", ErrUnreachable)
	_, err := Image(t.Context(), reference, s, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRefused) {
		t.Errorf("%v, want %v and no refusal", err, ErrUnreachable)
	}
}
