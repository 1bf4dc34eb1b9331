package verify

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
)

func TestImage(t *testing.T) {
	key = newKey(t)
	w := newImageWorld(t)
	dir := w.write(t)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	report, err := Release(t.Context(), dir, testPolicy(t), trust)
	if err != nil || !report.Passed {
		t.Fatalf("%v", err)
	}
	var checks []Check
	for _, l := range report.Lines {
		if l.Artifact == imageName {
			checks = append(checks, l.Number)
			if l.Status != Pass {
				t.Errorf("%+v", l)
			}
		}
	}
	if want := []Check{Digest, Signature, SPDX, Provenance, Record, Policy, Members, Binaries, Contents, TestResult, Carried}; !slices.Equal(checks, want) {
		t.Errorf("the checks are %v, want %v", checks, want)
	}
	summary, err := report.Summary("https://palisade.example/verifier", "ni:///x")
	if err != nil || !slices.ContainsFunc(summary.Subject, func(s intoto.Subject) bool { return s.Name == imageName }) {
		t.Errorf("%+v, %v", summary.Subject, err)
	}
	// What registries carry may be left out, the rest of the release too, but for
	// what is said of the archives.
	if err := os.RemoveAll(filepath.Join(dir, w.image.rec.BundlesDir())); err != nil {
		t.Fatal(err)
	}
	if report, err := Release(t.Context(), dir, testPolicy(t), trust); err != nil {
		t.Errorf("without what registries carry: %v, %+v", err, report.Lines)
	}
	for _, m := range w.artifacts {
		remove(m.rec.Name, m.rec.Name+bundleSuffix, m.rec.Name+spdxSuffix)(t, dir)
	}
	if report, err := File(t.Context(), filepath.Join(dir, imageName), testPolicy(t), trust); err != nil || len(report.Lines) != 2+10 {
		t.Errorf("File: %v, %+v", err, report.Lines)
	}
	remove(w.artifacts[0].rec.Name+".provenance.sigstore.json")(t, dir)
	if _, err := File(t.Context(), filepath.Join(dir, imageName), testPolicy(t), trust); !errors.Is(err, ErrMissing) {
		t.Errorf("File without the provenance of an archive: %v", err)
	}
}

// The index has the digest of a bill of materials, whoever attests it.
func TestImageNotDemanded(t *testing.T) {
	key = newKey(t)
	w := newImageWorld(t)
	w.image.carry = func(_ artifact.Digest, kind string, s intoto.Statement) *intoto.Statement {
		if kind == spdxKind {
			return nil
		}
		return &s
	}
	dir := w.write(t)
	remove(bundleOf(imageName+spdxSuffix))(t, dir)
	p, trust := testPolicy(t, "[spdx, provenance]", "[provenance]"), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	if report, err := Release(t.Context(), dir, p, trust); err != nil {
		t.Fatalf("%v, %+v", err, report.Lines)
	}
	replaceIn(imageName+spdxSuffix, "beacon", "bacon")(t, dir)
	report, err := Release(t.Context(), dir, p, trust)
	refused(t, report, err, []Check{SPDX}, []error{ErrDocument})
	remove(imageName+spdxSuffix)(t, dir)
	if report, err := File(t.Context(), filepath.Join(dir, imageName), p, trust); err != nil {
		t.Errorf("without it: %+v, %v", report.Lines, err)
	}
}

// A tool that comes with the component is not what is audited.
func TestRan(t *testing.T) {
	tool := artifact.Binary{Name: "beacontool", Digest: artifact.DigestBytes([]byte("tool"))}
	own := artifact.Binary{Name: "beacon", Digest: artifact.DigestBytes([]byte("beacon"))}
	r := artifact.Record{Name: hardened, Digest: artifact.DigestBytes([]byte("archive")), Component: "beacon", Binaries: []artifact.Binary{tool, own}}
	of := func(name string, d artifact.Digest) intoto.Resource {
		return intoto.Resource{Name: name, Digest: subjectOf(name, d).Digest}
	}
	archive := of(r.Name, r.Digest)
	for _, tt := range []struct {
		configuration []intoto.Resource
		want          bool
	}{
		{[]intoto.Resource{archive, of("beacon", own.Digest)}, true},
		{[]intoto.Resource{archive, of("beacontool", tool.Digest)}, false},
		{[]intoto.Resource{archive, of("beacon", tool.Digest)}, false},
		{[]intoto.Resource{of("beacon", own.Digest)}, false},
	} {
		if got := (testResult{Configuration: tt.configuration}).ran(r); got != tt.want {
			t.Errorf("%+v: %v", tt.configuration, got)
		}
	}
}

// Of an image alone everything is judged that it is made of, though the
// archives are not there.
func TestImageAlone(t *testing.T) {
	key = newKey(t)
	for _, row := range []tampering{
		{name: "build info", before: func(_ *testing.T, w *world) {
			for _, m := range w.artifacts {
				m.rec.Binaries[0].GoVersion = "go1.2.3"
			}
		}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
		{name: "audit", before: func(t *testing.T, w *world) { w.audited(t, false) }, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
		{name: "no audit", before: func(_ *testing.T, w *world) { w.artifacts[1].result = nil }, policy: []string{"provenance]", "provenance, test-result]", "audit: passed-if-run", "audit: passed"},
			fails: []Check{TestResult}, wants: []error{policy.ErrNoAudit}},
		{name: "patches", policy: []string{"version: v0.4.0", "version: v0.3.0"}, fails: []Check{Policy}, wants: []error{policy.ErrPatches}},
		{name: "provenance of an archive", after: copyTo(imageName+".provenance.sigstore.json", hardened+".provenance.sigstore.json"), fails: []Check{Record}, wants: []error{ErrSubject}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newImageWorld(t)
			w.image.carry = func(artifact.Digest, string, intoto.Statement) *intoto.Statement { return nil }
			if row.before != nil {
				row.before(t, w)
			}
			dir := w.write(t)
			if row.after != nil {
				row.after(t, dir)
			}
			report, err := File(t.Context(), filepath.Join(dir, imageName), testPolicy(t, row.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			refused(t, report, err, row.fails, row.wants)
		})
	}
}
