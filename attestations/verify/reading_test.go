package verify

import (
	"archive/tar"
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
)

// A swapper puts other files in the place of what is there once a signature has
// been opened, as whoever can write to the folder could.
type swapper struct {
	opener
	swap func(content artifact.Digest)
}

func (s swapper) signature(data []byte, content artifact.Digest) (signed, error) {
	got, err := s.opener.signature(data, content)
	s.swap(content)
	return got, err
}

// What was hashed is what is unpacked: an archive with more in it than is
// listed does not pass because a good one takes its place in between.
func TestSwap(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened")
	m := w.artifacts[0]
	good := m.archive
	m.finish(t, func(h []*tar.Header, c [][]byte) []byte {
		more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/more"}, "x")(&h, &c)
		return pack(t, h, c)
	})
	dir := w.write(t)
	aside := filepath.Join(t.TempDir(), "good")
	if err := os.WriteFile(aside, good, 0o644); err != nil {
		t.Fatal(err)
	}
	p := testPolicy(t)
	real := must(Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}.opener(p))(t)
	swapped := false
	report, err := verifyWith(t.Context(), dir, "", p, swapper{real, func(content artifact.Digest) {
		if content == m.rec.Digest {
			swapped = true
			if err := os.Rename(aside, filepath.Join(dir, hardened)); err != nil {
				t.Error(err)
			}
		}
	}}, Trust{Now: now})
	refused(t, report, err, []Check{Members}, []error{ErrMember})
	if !swapped {
		t.Error("nothing was swapped")
	}
}

// An aging opener has every signature be new, and attestations of one type old.
type aging struct {
	opener
	predicateType string
	old           time.Time
}

func (a aging) signature(data []byte, content artifact.Digest) (signed, error) {
	got, err := a.opener.signature(data, content)
	got.at = now
	return got, err
}

func (a aging) attestation(data []byte) (signed, error) {
	got, err := a.opener.attestation(data)
	if got.at = now; bytes.Contains(got.payload, []byte(`"predicateType": "`+a.predicateType+`"`)) {
		got.at = a.old
	}
	return got, err
}

func (a aging) rebuild(data []byte) (signed, error) {
	got, err := a.opener.rebuild(data)
	if got.at = now; a.predicateType == rebuild.PredicateType {
		got.at = a.old
	}
	return got, err
}

// Nothing that is believed may be older than the policy allows: an old result of
// an audit no more than an old index.
func TestAge(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened")
	w.audited(t, true)
	dir := w.write(t)
	p := testPolicy(t, "timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")
	real := bundles{trust: bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}}
	for _, tt := range []struct {
		predicateType string
		old           time.Time
		fails         Check // 0 if it passes
		want          error
	}{
		{"none", time.Time{}, 0, nil},
		{intoto.SPDX, now.Add(-719 * time.Hour), 0, nil},
		{intoto.SPDX, now.Add(-721 * time.Hour), SPDX, policy.ErrTooOld},
		{provenance.PredicateType, now.Add(-721 * time.Hour), Provenance, policy.ErrTooOld},
		{intoto.TestResult, now.Add(-721 * time.Hour), TestResult, policy.ErrTooOld},
		{intoto.TestResult, time.Time{}, TestResult, policy.ErrNoTime},
		{intoto.TestResult, now.Add(2 * time.Hour), TestResult, policy.ErrClock},
	} {
		report, err := verifyWith(t.Context(), dir, "", p, aging{real, tt.predicateType, tt.old}, Trust{Now: now})
		if tt.want == nil {
			if err != nil {
				t.Errorf("%s of %s: %v", tt.predicateType, tt.old, err)
			}
			continue
		}
		refused(t, report, err, []Check{tt.fails}, []error{tt.want})
	}
}

// No name leads through a symbolic link, be it one of a folder.
func TestFolderLink(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened")
	dir := w.write(t)
	c, err := compileOnce()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "elsewhere/hardened/beacon", c.binaries["hardened"])
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../elsewhere", filepath.Join(dir, "bin", "linux-amd64")); err != nil {
		t.Fatal(err)
	}
	report, err := File(t.Context(), filepath.Join(dir, hardened), testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{Loose}, []error{ErrNotFile})
}

// The index stands for the whole release, in which nothing may be unlisted.
func TestIndexIsWhole(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened", "vanilla").write(t)
	p, trust := testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	if report, err := File(t.Context(), filepath.Join(dir, indexName), p, trust); err != nil || len(report.subjects) != 3 {
		t.Errorf("%+v, %v", report.subjects, err)
	}
	put(t, dir, "more", nil)
	if _, err := File(t.Context(), filepath.Join(dir, indexName), p, trust); !errors.Is(err, ErrUnlisted) {
		t.Errorf("with a file more: %v", err)
	}
}

// What every artifact must have, one that is looked at alone must have too.
func TestOneArtifactLacks(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	p := testPolicy(t, "[spdx, provenance]", "[spdx, provenance, test-result]")
	report, err := File(t.Context(), filepath.Join(dir, hardened), p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{TestResult}, []error{policy.ErrNoAudit, ErrMissing})
	for _, name := range []string{bundleOf(hardened + spdxSuffix), hardened + spdxSuffix} {
		remove(name)(t, dir)
		report, err = File(t.Context(), filepath.Join(dir, hardened), testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
		refused(t, report, err, []Check{SPDX}, []error{ErrMissing})
	}
}

// A file that a bill of materials lists twice has two digests, of which a reader
// may see either.
func TestListedTwice(t *testing.T) {
	good, other := artifact.DigestBytes([]byte("a")), artifact.DigestBytes([]byte("b"))
	in := insideOf{members: []artifact.File{{Name: "a", Digest: good}}}
	r := artifact.Record{Patched: []artifact.Patched{{Patches: []artifact.PatchFile{{Name: "p", Digest: good}}}}}
	of := func(name string, digests ...artifact.Digest) (b bom) {
		var files, relationships []string
		for i, d := range digests {
			files = append(files, fmt.Sprintf(`{"SPDXID":"f%d","fileName":%q,"checksums":[{"algorithm":"SHA256","checksumValue":%q}]}`, i, name, d.Hex()))
			relationships = append(relationships,
				fmt.Sprintf(`{"spdxElementId":"root","relationshipType":"CONTAINS","relatedSpdxElement":"f%d"}`, i),
				fmt.Sprintf(`{"spdxElementId":"f%d","relationshipType":"PATCH_APPLIED","relatedSpdxElement":"root"}`, i))
		}
		text := fmt.Sprintf(`{"packages":[{"SPDXID":"root"}],"files":[%s],"relationships":[%s]}`, strings.Join(files, ","), strings.Join(relationships, ","))
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tt := range []struct {
		name  string
		check func(b bom) error
		file  string
	}{
		{"members", func(b bom) error { return b.members(r, in) }, "./a"},
		{"patches", func(b bom) error { return b.patches(r, in) }, "./patches/p"},
	} {
		if err := tt.check(of(tt.file, good)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := tt.check(of(tt.file, other, good)); err == nil {
			t.Errorf("%s: twice, and passed", tt.name)
		}
	}
}

// What a binary holds beside modules is in the bill of materials, with its hash.
func TestEmbedded(t *testing.T) {
	var b bom
	text := `{"packages":[{"SPDXID":"root"},{"SPDXID":"a","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"},{"referenceType":"npmIntegrity","referenceLocator":"sha512-a"}]},` +
		`{"SPDXID":"b","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:elm/b/b@1"},{"referenceType":"gitArchiveH1","referenceLocator":"h1:b"}]}]}`
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		e  artifact.Embedded
		ok bool
	}{
		{artifact.Embedded{PURL: "pkg:npm/a@1", Integrity: "sha512-a"}, true},
		{artifact.Embedded{PURL: "pkg:npm/a@1"}, true},
		{artifact.Embedded{PURL: "pkg:npm/a@1", Integrity: "sha512-b"}, false},
		{artifact.Embedded{PURL: "pkg:npm/a@2"}, false},
		{artifact.Embedded{PURL: "sha512-a"}, false},
		{artifact.Embedded{PURL: "pkg:elm/b/b@1", Name: "b/b", Version: "1", Evidence: artifact.ByCompiler}, true},
		{artifact.Embedded{PURL: "pkg:npm/a@1", Name: "b/b", Version: "1", Evidence: artifact.ByCompiler}, false}, // which has not that commit's hash
	} {
		ui := &artifact.UI{Commits: []artifact.Git{{Name: "b/b@1", Sum: "h1:b"}}}
		if err := b.embedded(artifact.Record{UI: ui, Embedded: []artifact.Embedded{tt.e}}, insideOf{}); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.e, err)
		}
	}
}

// What upstream itself has in a module's place was fetched and has a zip file;
// without one it was made here, and has to be declared.
func TestReplacements(t *testing.T) {
	r := newMade(t, "hardened").rec
	if err := belongs(r.Binaries[0], r); err != nil {
		t.Error(err)
	}
	patched := r.Patched
	r.Patched = nil
	if err := belongs(r.Binaries[0], r); err == nil {
		t.Error("what was made here passes undeclared")
	}
	zip := artifact.DigestBytes([]byte("zip"))
	r.Binaries[0].Modules[0].Replace.Zip = &zip
	if err := belongs(r.Binaries[0], r); err != nil {
		t.Errorf("upstream's own: %v", err)
	}
	r.Binaries[0].Modules[0].Replace.Zip, r.Patched = nil, patched
	r.Patched[0].To.Sum = r.Patched[0].From.Sum
	if err := belongs(r.Binaries[0], r); err == nil {
		t.Error("another one than is declared passes")
	}
}
