package verify

import (
	"archive/tar"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

// statement changes the statements of one type before they are signed.
func statement(predicateType string, change func(s *intoto.Statement)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.statement = func(s *intoto.Statement) {
			if s.PredicateType == predicateType {
				change(s)
			}
		}
	}
}

// payload changes the text of what is signed under one suffix.
func payload(suffix, old, new string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.payload = func(name string, data []byte) []byte {
			if name != hardened+suffix {
				return data
			}
			if !bytes.Contains(data, []byte(old)) {
				t.Fatalf("%s does not hold %q", name, old)
			}
			return bytes.Replace(data, []byte(old), []byte(new), 1)
		}
	}
}

func extraSubject(s *intoto.Statement) {
	s.Subject = append(s.Subject, subjectOf("more", artifact.DigestBytes(nil)))
}

var ofStatements = []tampering{
	{name: "extra subject of a bill of materials", before: statement(intoto.SPDX, extraSubject), fails: []Check{SPDX}, wants: []error{ErrSubject}},
	{name: "extra subject of a provenance", before: statement(provenance.PredicateType, extraSubject), fails: []Check{Provenance}, wants: []error{ErrProvenance, provenance.ErrProvenance}},
	{name: "extra binary among the subjects of a provenance", before: statement(provenance.PredicateType, func(s *intoto.Statement) {
		s.Subject = append(s.Subject, subjectOf(strings.TrimSuffix(s.Subject[0].Name, ".tar.gz")+"/other", artifact.DigestBytes(nil)))
	}), fails: []Check{Record}, wants: []error{ErrRecord, provenance.ErrSubject}},
	{name: "extra subject of a test result", before: statement(intoto.TestResult, extraSubject), fails: []Check{TestResult}, wants: []error{ErrSubject}},
	{name: "key of a statement twice", before: payload(spdxSuffix, `"predicateType":`, `"predicateType": "x", "predicateType":`), fails: []Check{SPDX}, wants: []error{intoto.ErrStatement, intoto.ErrDuplicateKey}},
	{name: "key of a predicate twice", before: payload(provenanceSuffix, `"buildType":`, `"buildType": "x", "buildType":`), fails: []Check{Provenance}, wants: []error{intoto.ErrDuplicateKey}},
	{name: "key of a test result twice", before: payload(resultSuffix, `"result":`, `"result": "FAILED", "result":`), fails: []Check{TestResult}, wants: []error{intoto.ErrDuplicateKey}},
	{name: "key of the manifest twice", before: func(_ *testing.T, w *world) {
		w.index = func(data []byte) []byte {
			return bytes.Replace(data, []byte(`"distribution":`), []byte(`"distribution": "x", "distribution":`), 1)
		}
	}, fails: []Check{Index}, wants: []error{ErrIndex, artifact.ErrManifest}},
	{name: "deeply nested statement", before: payload(spdxSuffix, `"predicate": {`, `"predicate": {"x":`+strings.Repeat(`[`, 100)+strings.Repeat(`]`, 100)+`,`), fails: []Check{SPDX}, wants: []error{intoto.ErrTooDeep}},
	{name: "bill of materials that is not the one beside it", before: payload(spdxSuffix, "A light.", "A Light."), fails: []Check{Contents}, wants: []error{ErrDocument}},
	{name: "manifest of a release of nothing", before: func(_ *testing.T, w *world) { w.artifacts = nil }, fails: []Check{Index}, wants: []error{ErrIndex}},
}

var ofProvenances = []tampering{
	{name: "another builder", before: func(_ *testing.T, w *world) { w.builder.ID = workflow }, fails: []Check{Policy}, wants: []error{policy.ErrBuilder}},
	{name: "another build type", before: payload(provenanceSuffix, provenance.BuildType, "https://other.example/build/v1"), fails: []Check{Provenance}, wants: []error{provenance.ErrBuildType}},
	{name: "a build type that the policy does not accept", policy: []string{provenance.BuildType, "https://other.example/build/v1"}, fails: []Check{Policy}, wants: []error{policy.ErrBuildType}},
	{name: "not hermetic", before: func(_ *testing.T, w *world) {
		w.artifacts[0].rec.Build.Sandbox = artifact.Sandbox{Reason: "refused here"}
	}, fails: []Check{Policy}, wants: []error{policy.ErrHermetic}},
	{name: "hermetic by a worker's promise", before: elsewhere, fails: []Check{Policy}, wants: []error{policy.ErrHermetic}},
	{name: "hermetic by the word of a cache", before: func(_ *testing.T, w *world) { w.run.Cache = provenance.Registry }, fails: []Check{Policy}, wants: []error{policy.ErrHermetic}},
	{name: "not hermetic, where a worker's promise is accepted", before: func(_ *testing.T, w *world) {
		w.artifacts[0].rec.Build.Sandbox = artifact.Sandbox{Reason: "refused here"}
	}, policy: []string{"hermetic: required", "hermetic: promised"}, fails: []Check{Policy}, wants: []error{policy.ErrHermetic}},
	{name: "changes in no commit", before: func(_ *testing.T, w *world) { w.run.Repository.Clean = false }, fails: []Check{Policy}, wants: []error{policy.ErrCleanTree}},
	{name: "no commit", before: func(_ *testing.T, w *world) { w.run.Repository = provenance.Repository{} }, fails: []Check{Policy}, wants: []error{policy.ErrCleanTree}},
	{name: "older than the minimum of the distribution", policy: []string{"minimum-version: 1.2.0-palisade.1", "minimum-version: 1.2.0-palisade.2"}, fails: []Check{Policy}, wants: []error{policy.ErrOutdated}},
	{name: "older than the minimum of upstream", policy: []string{"minimum-upstream: v1.2.0", "minimum-upstream: v1.2.1"}, fails: []Check{Policy}, wants: []error{policy.ErrOutdated}},
	{name: "another module", policy: []string{"module: example.org/beacon", "module: example.org/bacon"}, fails: []Check{Policy}, wants: []error{policy.ErrUpstream}},
	{name: "a variant that is not accepted", policy: []string{"variant: vanilla", "variant: fips"}, fails: []Check{Policy, TestResult}, wants: []error{policy.ErrArtifact}},
	{name: "another series of patches", before: func(_ *testing.T, w *world) {
		w.artifacts[0].rec.Patched[0].Patches[0].Name = "lamp/v0.4.0/0001-red.patch"
	}, fails: []Check{Policy, Contents}, wants: []error{policy.ErrPatches}},
	{name: "provenance of another record", before: func(_ *testing.T, w *world) {
		w.index = func(data []byte) []byte {
			return bytes.ReplaceAll(data, []byte(`"epoch": 1700000000`), []byte(`"epoch": 1700000001`))
		}
	}, fails: []Check{Record}, wants: []error{ErrRecord, provenance.ErrMismatch}},
	{name: "vanilla called hardened", before: func(t *testing.T, w *world) {
		w.artifacts = w.artifacts[1:]
		w.artifacts[0].called(t, hardened)
	}, fails: []Check{Policy}, wants: []error{policy.ErrPatches}},
	{name: "changed by no patch", before: func(t *testing.T, w *world) {
		w.artifacts = w.artifacts[:1]
		w.artifacts[0].rec.Patched[0].Patches = nil
		w.artifacts[0].called(t, vanilla)
	}, fails: []Check{Policy}, wants: []error{ErrProvenance}},
}

// called gives an artifact the name, version and variant of another one.
func (m *made) called(t *testing.T, name string) {
	m.rec.Name, m.rec.Version, m.rec.Variant = name, "1.2.0-vanilla", "vanilla"
	if name == hardened {
		m.rec.Version, m.rec.Variant = "1.2.0-palisade.1", "hardened"
	}
	m.describe(t)
	m.result = nil
}

// index changes the manifest before it is signed.
func index(change func(r *artifact.Record)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.index = func(data []byte) []byte {
			m, err := artifact.ParseManifest(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			change(&m.Artifacts[0])
			m.Sort()
			if data, err = m.Encode(); err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
}

var ofIndexes = []tampering{
	{name: "vanilla renamed to hardened in the manifest", before: index(func(r *artifact.Record) { r.Variant = "vanilla" }), fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "vanilla of its version renamed", before: index(func(r *artifact.Record) { r.Variant, r.Version = "vanilla", "1.2.0-vanilla" }), fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "another component in the manifest", before: index(func(r *artifact.Record) { r.Component = "bacon" }), fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "another platform in the manifest", before: index(func(r *artifact.Record) { r.Platform.Arch = "arm64" }), fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "newer version of an older upstream", before: index(func(r *artifact.Record) { r.UpstreamVersion = "1.1.0" }), fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "document that nothing checks", before: index(func(r *artifact.Record) {
		r.Documents = append(r.Documents, artifact.File{Name: "install.sh", Digest: artifact.DigestBytes(nil)})
	}), after: func(t *testing.T, dir string) { put(t, dir, "install.sh", []byte("evil")) }, fails: []Check{Index}, wants: []error{ErrIndex}},
	{name: "document that is another file of the release", before: index(func(r *artifact.Record) {
		r.Documents = append(r.Documents, artifact.File{Name: "bin/linux-amd64/vanilla/../evil.spdx.json", Digest: artifact.DigestBytes(nil)})
	}), fails: []Check{Index}, wants: []error{ErrIndex}},
}

var ofResults = []tampering{
	{name: "audit that did not pass", before: func(t *testing.T, w *world) { w.audited(t, false) }, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
	{name: "no audit", before: func(_ *testing.T, w *world) { w.artifacts[0].result = nil },
		policy: []string{"audit: passed-if-run", "audit: passed", "[spdx, provenance]", "[spdx, provenance, test-result]"}, fails: []Check{Files, TestResult}, wants: []error{ErrMissing, policy.ErrNoAudit}},
	{name: "audit of other checks", policy: []string{"checks: any", "checks: " + artifact.DigestBytes([]byte("more checks")).String()},
		fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
	{name: "audit of which a check was skipped", before: payload(resultSuffix, `"findings": [`, `"findings": [{"check": "web.x", "observation": "", "row": 1, "status": "SKIP"},`),
		policy: []string{"checks: any", "checks: " + artifact.DigestBytes([]byte("checks")).String()}, fails: []Check{TestResult}, wants: []error{policy.ErrAudit}},
	{name: "audit of no checks", before: payload(resultSuffix, `"name": "checks of beacon"`, `"name": "checks of a beacon"`), fails: []Check{TestResult}, wants: []error{ErrTestResult}},
	{name: "verdict that the findings do not give", before: payload(resultSuffix, `"status": "PASS"`, `"status": "FAIL"`), fails: []Check{TestResult}, wants: []error{ErrTestResult}},
	{name: "result of another archive", before: payload(resultSuffix, `"name": "`+hardened, `"name": "x`+hardened), fails: []Check{TestResult}, wants: []error{ErrSubject}},
	{name: "result of no binary of it", before: statement(intoto.TestResult, func(s *intoto.Statement) { s.Subject[0].Name = "bacon" }), fails: []Check{TestResult}, wants: []error{ErrSubject}},
}

var ofContents = []tampering{
	{name: "vanilla called hardened and patched", before: func(t *testing.T, w *world) {
		patched := w.artifacts[0].rec.Patched
		w.artifacts = w.artifacts[1:]
		w.artifacts[0].called(t, hardened)
		w.artifacts[0].rec.Patched = patched
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "patched called vanilla", before: func(t *testing.T, w *world) {
		w.artifacts = w.artifacts[:1]
		w.artifacts[0].called(t, vanilla)
		w.artifacts[0].rec.Patched = nil
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "patched from another version than is linked", before: func(t *testing.T, w *world) {
		w.artifacts[0].rec.Patched[0].From.Version = "v0.4.9"
	}, policy: []string{"version: v0.4.0", "version: v0.4.9"}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "newer source than is linked", before: func(t *testing.T, w *world) {
		w.artifacts[0].rec.Source.Version = "v1.2.9"
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "binary of another platform", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.rec.Platform.Arch, m.rec.Name = "arm64", strings.Replace(m.rec.Name, "amd64", "arm64", 1)
		m.listDocument()
		w.audited(t, true)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "another toolchain than compiled it", before: func(t *testing.T, w *world) {
		w.artifacts[0].rec.Toolchains[0].Version = "1.99.0"
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	program("run", 0o755),
	program("run.EXE", 0o644),
	{name: "vanilla binary in a hardened archive", before: func(t *testing.T, w *world) {
		c, _ := compileOnce()
		m := w.artifacts[0]
		m.contents[strings.TrimSuffix(hardened, ".tar.gz")+"/beacon"] = c.binaries["vanilla"]
		m.rec.Binaries[0].Digest, m.rec.Binaries[0].Size = artifact.DigestBytes(c.binaries["vanilla"]), int64(len(c.binaries["vanilla"]))
		m.finish(t, nil)
		w.audited(t, true)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "binary without build info", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.contents[strings.TrimSuffix(hardened, ".tar.gz")+"/beacon"] = []byte("#!/bin/sh\n")
		m.rec.Binaries[0].Digest, m.rec.Binaries[0].Size = artifact.DigestBytes([]byte("#!/bin/sh\n")), 10
		m.finish(t, nil)
		w.audited(t, true)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "bill of materials of another release", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.document = w.artifacts[1].document
		m.listDocument()
	}, fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials with another hash of a module", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		honest := m.rec
		lamp := *honest.Binaries[0].Modules[0].Replace
		lamp.Sum = honest.Source.Sum
		m.rec.Binaries = slices.Clone(honest.Binaries)
		m.rec.Binaries[0].Modules = []artifact.Module{{Path: lampPath, Version: "v0.4.0", Zip: honest.Binaries[0].Modules[0].Zip, Replace: &lamp}}
		m.rec.Patched = []artifact.Patched{{From: honest.Patched[0].From, To: lamp, Patches: honest.Patched[0].Patches}}
		m.describe(t)
		honest.Documents = m.rec.Documents
		m.rec = honest
	}, fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials that is no valid one", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.document = bytes.Replace(m.document, []byte("A light."), []byte("A Light."), 1)
		m.listDocument()
	}, fails: []Check{Contents}, wants: []error{ErrContents, spdx.ErrDocument}},
}

// program is an archive with something to run in it that is named as no binary,
// so that nobody reads its build info.
func program(name string, mode int64) tampering {
	return tampering{name: "program that is named as no binary: " + name, before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.contents[folder+"/"+name] = []byte("#!/bin/sh\n")
		m.finish(t, func(h []*tar.Header, c [][]byte) []byte {
			h[3].Mode = mode
			return pack(t, h, c)
		})
		m.rec.Members[2].Mode = fmt.Sprintf("%04o", mode)
		w.audited(t, true)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}}
}

// entryRow is an archive with one more entry, or a changed one, in it.
func entryRow(name string, want error, change func(h *[]*tar.Header, c *[][]byte)) tampering {
	return tampering{name: "archive: " + name, before: func(t *testing.T, w *world) {
		w.artifacts[0].finish(t, func(h []*tar.Header, c [][]byte) []byte {
			change(&h, &c)
			return pack(t, h, c)
		})
		w.audited(t, true)
	}, fails: []Check{Members}, wants: []error{want}}
}

func more(h tar.Header, content string) func(*[]*tar.Header, *[][]byte) {
	return func(headers *[]*tar.Header, contents *[][]byte) {
		h.Size = int64(len(content))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		*headers, *contents = append(*headers, &h), append(*contents, []byte(content))
	}
}
