package verify

import (
	"bytes"
	"crypto"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/vex"
)

// Of what the component links one vulnerability is known, which its patch answers,
// and one whose code is not there.
var answered = []vex.Verdict{
	{ID: "GO-2026-9001", Aliases: []string{"CVE-2026-90010"}, Module: lampPath, Status: vex.Fixed, Note: "by the patch 0001-green.patch"},
	{ID: "GO-2026-9002", Module: lampPath, Status: vex.NotAffected, Justification: vex.CodeNotPresent},
}

// known gives every artifact an OpenVEX document of these verdicts, of the version
// of lamp that it links.
func (w *world) known(t testing.TB, modified time.Time, verdicts ...vex.Verdict) {
	t.Helper()
	for _, m := range w.artifacts {
		all := slices.Clone(verdicts)
		for i := range all {
			if all[i].Version == "" {
				all[i].Version = vex.Linked(m.rec)[all[i].Module][0]
			}
		}
		s, err := vex.Statement(m.rec, "palisade", vex.Data{Scanner: "golang.org/x/vuln@v1.8.0", Digest: artifact.DigestBytes([]byte("database")), Modified: modified}, all, "Palisade")
		if err != nil {
			t.Fatal(err)
		}
		if m.vex, err = intoto.Marshal(s); err != nil {
			t.Fatal(err)
		}
	}
}

// looked gives a world documents, and changes what is in them.
func looked(change func(*testing.T, *world)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.known(t, now.Add(-time.Hour), answered...)
		if change != nil {
			change(t, w)
		}
	}
}

func left(status vex.Status, note string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		open := slices.Clone(answered)
		open[0].Status, open[0].Note = status, note
		w.known(t, now.Add(-time.Hour), open...)
	}
}

var noneOpen = []string{"[spdx, provenance]", "[spdx, provenance, vex]", "vulnerabilities: any", "vulnerabilities: none-reachable", "vulnerability-data: unlimited", "vulnerability-data: 720h"}

var ofVEX = []tampering{
	{name: "vex: nobody looked", policy: noneOpen, fails: []Check{Files, VEX}, wants: []error{ErrMissing, policy.ErrNoVEX}},
	{name: "vex: removed", before: looked(nil), after: remove(hardened+vexSuffix, bundleOf(hardened+vexSuffix)), policy: noneOpen, fails: []Check{Files, VEX}, wants: []error{ErrMissing, policy.ErrNoVEX}},
	{name: "vex: bundle removed", before: looked(nil), after: remove(bundleOf(hardened + vexSuffix)), fails: []Check{VEX}, wants: []error{ErrMissing}},
	{name: "vex: file removed", before: looked(nil), after: remove(hardened + vexSuffix), fails: []Check{VEX}, wants: []error{ErrMissing}},
	{name: "vex: affected", before: left(vex.Affected, "raise it"), policy: noneOpen, fails: []Check{VEX}, wants: []error{policy.ErrVulnerable}},
	{name: "vex: under investigation", before: left(vex.UnderInvestigation, ""), policy: noneOpen, fails: []Check{VEX}, wants: []error{policy.ErrVulnerable}},
	{name: "vex: of old data", before: func(t *testing.T, w *world) { w.known(t, now.Add(-721*time.Hour), answered...) }, policy: noneOpen, fails: []Check{VEX}, wants: []error{policy.ErrOldData}},
	{name: "vex: of data that is yet to come", before: func(t *testing.T, w *world) { w.known(t, now.Add(2*time.Hour), answered...) }, policy: noneOpen, fails: []Check{VEX}, wants: []error{policy.ErrClock}},
	{name: "vex: byte of the document", before: looked(nil), after: replaceIn(hardened+vexSuffix, "green", "Green"), fails: []Check{VEX}, wants: []error{ErrDocument}},
	{name: "vex: moved from another artifact", before: looked(nil), after: func(t *testing.T, dir string) {
		copyTo(bundleOf(vanilla+vexSuffix), bundleOf(hardened+vexSuffix))(t, dir)
		copyTo(vanilla+vexSuffix, hardened+vexSuffix)(t, dir)
	}, fails: []Check{VEX}, wants: []error{ErrSubject}},
	{name: "vex: another attestation in its place", before: looked(nil), after: copyTo(bundleOf(hardened+spdxSuffix), bundleOf(hardened+vexSuffix)), fails: []Check{VEX}, wants: []error{ErrPredicateType}},
	{name: "vex: by another key", before: looked(by(bundleOf(hardened + vexSuffix))), fails: []Check{VEX}, wants: []error{ErrAttestation, bundle.ErrWrongKey}},
	{name: "vex: extra subject", before: looked(statement(vex.PredicateType, extraSubject)), fails: []Check{VEX}, wants: []error{ErrSubject}},
	{name: "vex: without the binaries", before: looked(statement(vex.PredicateType, func(s *intoto.Statement) { s.Subject = s.Subject[:1] })), fails: []Check{VEX}, wants: []error{ErrSubject}},
	{name: "vex: of another product", before: looked(statement(vex.PredicateType, func(s *intoto.Statement) {
		s.Predicate = bytes.ReplaceAll(s.Predicate, []byte("pkg:generic/palisade/beacon"), []byte("pkg:generic/palisade/bacon"))
	})), fails: []Check{VEX}, wants: []error{ErrVEX, vex.ErrMalformed}},
	{name: "vex: of a module that it does not link", before: looked(func(_ *testing.T, w *world) {
		for _, m := range w.artifacts {
			m.vex = bytes.ReplaceAll(m.vex, []byte("example.org/lamp@"), []byte("example.org/lump@"))
		}
	}), fails: []Check{VEX}, wants: []error{ErrVEX, vex.ErrMalformed}},
	{name: "vex: a status that is none", before: looked(payload(vexSuffix, `"status": "fixed"`, `"status": "fine"`)), fails: []Check{VEX}, wants: []error{ErrVEX, vex.ErrMalformed}},
	{name: "vex: a status without a reason", before: looked(payload(vexSuffix, `"justification": "vulnerable_code_not_present",`, ``)), fails: []Check{VEX}, wants: []error{ErrVEX, vex.ErrMalformed}},
	{name: "vex: a status twice", before: looked(payload(vexSuffix, `"status": "fixed"`, `"status": "affected", "status": "fixed"`)), fails: []Check{VEX}, wants: []error{intoto.ErrDuplicateKey}},
	{name: "vex: a field more", before: looked(payload(vexSuffix, `"status": "fixed"`, `"status": "fixed", "supplier": "x"`)), fails: []Check{VEX}, wants: []error{ErrVEX, intoto.ErrUnknownKey}},
	{name: "vex: beside what is no archive", after: func(t *testing.T, dir string) { put(t, dir, "release.json.vex.json", []byte("{}")) }, fails: []Check{Files}, wants: []error{ErrUnlisted}},
}

// What is signed by whom the policy names, and leaves nothing open, passes; and with
// it what leaves something open, under a policy that demands nothing.
func TestVEX(t *testing.T) {
	key := newKey(t)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	for _, tt := range []struct {
		name   string
		before func(*testing.T, *world)
		policy []string
		want   string
	}{
		{"answered", looked(nil), noneOpen, "2 known of what it links, 0 left open, by data of 2026-11-22T23:00:00Z, by "},
		{"nothing known", func(t *testing.T, w *world) { w.known(t, now) }, noneOpen, "0 known of what it links"},
		{"not demanded", looked(nil), nil, "2 known of what it links, 0 left open"},
		{"open, and not demanded", left(vex.Affected, "raise it"), nil, "2 known of what it links, 1 left open"},
		{"of data of any age", func(t *testing.T, w *world) { w.known(t, now.AddDate(-9, 0, 0), answered...) }, noneOpen[:4], "2 known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, key, "hardened", "vanilla")
			tt.before(t, w)
			dir := w.write(t)
			report, err := Release(t.Context(), dir, testPolicy(t, tt.policy...), trust)
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			for _, l := range report.Lines {
				if l.Number == VEX && l.Status == Pass && strings.HasPrefix(l.Detail, tt.want) {
					seen++
				}
			}
			if seen != 2 {
				t.Errorf("%+v", report.Lines)
			}
			if _, err := File(t.Context(), filepath.Join(dir, hardened), testPolicy(t, tt.policy...), trust); err != nil {
				t.Errorf("File: %v", err)
			}
		})
	}
	// Where nobody looked, and nobody has to, nothing is said of it.
	report, err := Release(t.Context(), newWorld(t, key, "vanilla").write(t), testPolicy(t), trust)
	if err != nil || slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == VEX }) {
		t.Errorf("%v, %+v", err, report.Lines)
	}
}

// Of images the documents of the archives count, and registries carry the same.
func TestImageVEX(t *testing.T) {
	key = newKey(t)
	carrying := func(change func(s *intoto.Statement)) func(*testing.T, *world) {
		return looked(func(_ *testing.T, w *world) {
			w.image.carry = func(_ artifact.Digest, kind string, s intoto.Statement) *intoto.Statement {
				if kind == vexKind {
					change(&s)
				}
				return &s
			}
		})
	}
	for _, row := range []tampering{
		{name: "as it is", before: looked(nil), policy: noneOpen},
		{name: "none", policy: noneOpen, fails: []Check{Files, VEX}, wants: []error{ErrMissing, policy.ErrNoVEX}},
		{name: "open", before: left(vex.Affected, "raise it"), policy: noneOpen, fails: []Check{VEX}, wants: []error{policy.ErrVulnerable}},
		{name: "carried: another verdict", before: carrying(replacing("0001-green", "0002-green")), policy: noneOpen, fails: []Check{Carried}, wants: []error{ErrDocument}},
		{name: "carried: of another digest", before: carrying(func(s *intoto.Statement) {
			s.Subject = []intoto.Subject{subjectOf("beacon", artifact.DigestBytes([]byte("x")))}
		}), fails: []Check{Carried}, wants: []error{ErrSubject}},
		{name: "carried: of another type", before: carrying(func(s *intoto.Statement) { s.PredicateType = intoto.SPDX }), fails: []Check{Carried}, wants: []error{ErrPredicateType}},
		{name: "carried: of an archive of which nothing is said", before: looked(nil), after: func(t *testing.T, dir string) {
			for _, arch := range []string{"amd64", "arm64"} {
				name := "beacon-1.2.0-palisade.1.linux-" + arch + ".tar.gz" + vexSuffix
				remove(name, bundleOf(name))(t, dir)
			}
		}, fails: []Check{Carried}, wants: []error{ErrMissing}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newImageWorld(t)
			if row.before != nil {
				row.before(t, w)
			}
			dir := w.write(t)
			if row.after != nil {
				row.after(t, dir)
			}
			report, err := Release(t.Context(), dir, testPolicy(t, row.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			if row.fails != nil {
				refused(t, report, err, row.fails, row.wants)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// In a registry, the document of the newest data counts.
func TestSourceVEX(t *testing.T) {
	key = newKey(t)
	// said is what a world attaches to each manifest of that document.
	said := func(t *testing.T, w *world, before func(*testing.T, *world)) *shelf {
		t.Helper()
		before(t, w)
		return newShelf(t, w)
	}
	at := func(age time.Duration, status vex.Status, note string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			all := slices.Clone(answered)
			all[0].Status, all[0].Note = status, note
			w.known(t, now.Add(-age), all...)
		}
	}
	for _, tt := range []struct {
		name   string
		said   []func(*testing.T, *world)
		policy []string
		want   error
	}{
		{"none, and not demanded", nil, nil, nil},
		{"none", nil, noneOpen, policy.ErrNoVEX},
		{"answered", []func(*testing.T, *world){looked(nil)}, noneOpen, nil},
		{"open", []func(*testing.T, *world){at(time.Hour, vex.Affected, "x")}, noneOpen, policy.ErrVulnerable},
		{"open, and not demanded", []func(*testing.T, *world){at(time.Hour, vex.Affected, "x")}, nil, nil},
		{"answered since", []func(*testing.T, *world){at(2*time.Hour, vex.Affected, "x"), looked(nil)}, noneOpen, nil},
		{"open since", []func(*testing.T, *world){looked(nil), at(time.Minute, vex.Affected, "x")}, noneOpen, policy.ErrVulnerable},
		{"both of one time", []func(*testing.T, *world){looked(nil), at(time.Hour, vex.Affected, "x")}, noneOpen, policy.ErrVulnerable},
		{"old", []func(*testing.T, *world){at(1000*time.Hour, vex.Fixed, "x")}, noneOpen, policy.ErrOldData},
		{"of another archive", []func(*testing.T, *world){looked(func(_ *testing.T, w *world) {
			w.artifacts[0].vex, w.artifacts[1].vex = w.artifacts[1].vex, w.artifacts[0].vex
		})}, noneOpen, ErrSubject},
		{"malformed", []func(*testing.T, *world){looked(func(_ *testing.T, w *world) {
			w.artifacts[0].vex = bytes.Replace(w.artifacts[0].vex, []byte(`"status": "fixed"`), []byte(`"status": "fine"`), 1)
		})}, nil, ErrVEX},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newImageWorld(t)
			shelf := newShelf(t, w)
			for _, before := range tt.said {
				for d, bundles := range said(t, w, before).bundles {
					if data := bundles[vexKind]; data != nil {
						shelf.bundles[d][artifact.DigestBytes(data).Hex()] = data
					}
				}
			}
			report, err := Image(t.Context(), reference, shelf, testPolicy(t, tt.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			if tt.want != nil {
				refused(t, report, err, []Check{VEX}, []error{tt.want})
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
