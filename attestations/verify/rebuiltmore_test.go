package verify

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/rebuild"
)

// Where no rebuilders are demanded, none is believed; and nothing but bundles
// may lie where theirs do.
func TestRebuiltNotDemanded(t *testing.T) {
	k := newRebuilding(t)
	dir := newWorld(t, k.release, "hardened").write(t)
	skipped := func(r Report) bool {
		return slices.ContainsFunc(r.Lines, func(l Line) bool { return l.Number == Rebuilt && l.Status == Skip })
	}
	if report, err := Release(t.Context(), dir, testPolicy(t), k.trust()); err != nil || slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Rebuilt }) {
		t.Errorf("%+v, %v", report.Lines, err)
	}
	rebuildOf(t, dir, hardened, k.one, nil)
	report, err := Release(t.Context(), dir, testPolicy(t), k.trust())
	if err != nil || !skipped(report) {
		t.Errorf("%+v, %v", report.Lines, err)
	}
	for _, in := range report.inputs {
		if strings.Contains(in.Name, artifact.RebuildsSuffix) {
			t.Errorf("it is told of as believed: %s", in.Name)
		}
	}
	put(t, dir, artifact.RebuildsDir(hardened)+"/x", nil)
	for _, name := range []string{indexName, hardened} {
		report, err := File(t.Context(), filepath.Join(dir, name), testPolicy(t), k.trust())
		refused(t, report, err, []Check{Files}, []error{ErrUnlisted})
	}
}

// A summary tells of whom it believed, and of no other.
func TestRebuiltSummary(t *testing.T) {
	k := newRebuilding(t)
	dir := newWorld(t, k.release, "hardened").write(t)
	for _, by := range []crypto.Signer{k.one, k.two, newKey(t)} {
		rebuildOf(t, dir, hardened, by, nil)
	}
	report, err := File(t.Context(), filepath.Join(dir, hardened), testPolicy(t, demanding(t, 2, k.one, k.two)...), k.trust())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, in := range report.inputs {
		if !strings.Contains(in.Name, artifact.RebuildsSuffix) {
			continue
		}
		if d, _, err := artifact.DigestFile(filepath.Join(dir, in.Name)); err != nil || in.Digest["sha256"] != d.Hex() {
			t.Errorf("%s is %s, the summary says %v: %v", in.Name, d, in.Digest, err)
		}
		told = append(told, filepath.Base(in.Name))
	}
	want := []string{bundleName(t, k.one), bundleName(t, k.two)}
	slices.Sort(want)
	if !slices.Equal(told, want) {
		t.Errorf("it tells of %q, want %q", told, want)
	}
}

// An old attestation of a rebuild is as if it were not there.
func TestRebuiltAge(t *testing.T) {
	k := newRebuilding(t)
	w := newWorld(t, k.release, "hardened")
	dir := w.write(t)
	rebuildOf(t, dir, hardened, k.one, nil)
	p := testPolicy(t, append(demanding(t, 1, k.one), "timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")...)
	real := bundles{bundle.Trust{Keys: []crypto.PublicKey{k.release.Public()}}, bundle.Trust{Keys: []crypto.PublicKey{k.one.Public()}}}
	for old, want := range map[time.Time]error{now.Add(-719 * time.Hour): nil, now.Add(-721 * time.Hour): policy.ErrTooOld, {}: policy.ErrNoTime, now.Add(2 * time.Hour): policy.ErrClock} {
		report, err := verifyWith(t.Context(), dir, "", p, aging{real, rebuild.PredicateType, old}, Trust{Now: now})
		if want != nil {
			refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders, want})
		} else if err != nil {
			t.Errorf("of %s: %v", old, err)
		}
	}
}

// What the policy demands of a signature it demands of theirs: with nothing that
// could vouch for it, nothing can be told.
func TestRebuiltTrust(t *testing.T) {
	k := newRebuilding(t)
	dir := newWorld(t, k.release, "hardened").write(t)
	rebuildOf(t, dir, hardened, k.one, nil)
	for _, pairs := range [][]string{
		append(demanding(t, 1, k.one), "timestamp: not-required", "timestamp: required"),
		append(demanding(t, 1, k.one), "transparency-log: not-required", "transparency-log: required"),
		append(demanding(t, 1, k.one), "  identities: none\nbuilders", "  identities: [{issuer: https://i.example, subject: https://s.example, repository: none}]\nbuilders"),
	} {
		p := testPolicy(t, pairs...)
		open, err := k.trust().opener(p)
		if err == nil || !errors.Is(err, bundle.ErrTrust) {
			t.Errorf("opener = %v, %v", open, err)
		}
		if _, err := Release(t.Context(), dir, p, k.trust()); !errors.Is(err, bundle.ErrTrust) || errors.Is(err, ErrRefused) {
			t.Errorf("Release = %v", err)
		}
	}
	trust := must(k.trust().Rebuilders(testPolicy(t, demanding(t, 1, k.one)...)))(t)
	if len(trust.Keys) != 1 || trust.RequireLog || trust.RequireTimestamp {
		t.Errorf("%+v", trust)
	}
}

// An image is rebuilt with the archives that it is made of.
func TestRebuiltImage(t *testing.T) {
	k := newRebuilding(t)
	key = k.release
	w := newImageWorld(t)
	dir := w.write(t)
	for _, m := range w.artifacts {
		rebuildOf(t, dir, m.rec.Name, k.one, nil)
	}
	p := testPolicy(t, demanding(t, 1, k.one)...)
	report, err := Release(t.Context(), dir, p, k.trust())
	refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders})
	rebuildOf(t, dir, imageName, k.one, nil)
	report, err = Release(t.Context(), dir, p, k.trust())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range report.Lines {
		if l.Number == Rebuilt && l.Status == Pass {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d are rebuilt: %+v", n, report.Lines)
	}
	rebuildOf(t, dir, imageName, k.one, func(g *rebuild.Given) {
		g.Compare = slices.DeleteFunc(g.Compare, func(s intoto.Subject) bool { return s.Name == w.artifacts[1].rec.Name })
	})
	report, err = Release(t.Context(), dir, p, k.trust())
	refused(t, report, err, []Check{Rebuilt}, []error{ErrRebuild, rebuild.ErrCompared})
	if err := os.RemoveAll(filepath.Join(dir, artifact.RebuildsDir(imageName))); err != nil {
		t.Fatal(err)
	}
	copyTo(hardened+".rebuilds/"+bundleName(t, k.one), imageName+".rebuilds/"+bundleName(t, k.one))(t, dir)
	report, err = File(t.Context(), filepath.Join(dir, imageName), p, k.trust())
	refused(t, report, err, []Check{Rebuilt}, []error{ErrRebuild, rebuild.ErrOriginal})
}

// A release that was signed anew, with the same bytes and a provenance of another
// run, is not the one that was rebuilt.
func TestRebuiltOlder(t *testing.T) {
	k := newRebuilding(t)
	w := newWorld(t, k.release, "hardened")
	older := w.write(t)
	w.run.InvocationID = "7b6e7f6e-5a1c-4d55-9a37-0c5e1f7f7a17"
	dir := w.write(t)
	rebuildOf(t, older, hardened, k.one, nil)
	name := artifact.RebuildsDir(hardened) + "/" + bundleName(t, k.one)
	put(t, dir, name, must(os.ReadFile(filepath.Join(older, name)))(t))
	p := testPolicy(t, demanding(t, 1, k.one)...)
	if report, err := Release(t.Context(), older, p, k.trust()); err != nil {
		t.Errorf("%+v, %v", report.Lines, err)
	}
	report, err := Release(t.Context(), dir, p, k.trust())
	refused(t, report, err, []Check{Rebuilt}, []error{ErrRebuild, rebuild.ErrOriginal})
	if err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("it does not say what to do: %v", err)
	}
}

// behind opens what a key signed as if a certificate of an identity held it.
type behind struct {
	opener
	identity bundle.Signer
	key      string // KeyID of the one that it holds
}

func (b behind) rebuild(data []byte) (signed, error) {
	s, err := b.opener.rebuild(data)
	if err == nil && s.by.KeyID == b.key {
		s.by = b.identity
	}
	return s, err
}

// Whoever signs with a key of his own and with the same one as an identity is one.
func TestRebuiltBehindIdentity(t *testing.T) {
	k := newRebuilding(t)
	dir := newWorld(t, k.release, "hardened").write(t)
	rebuildOf(t, dir, hardened, k.one, nil)
	rebuildOf(t, dir, hardened, k.two, nil)
	somebody := bundle.Signer{Issuer: "https://i.example", Subject: "https://s.example"}
	named := func(keys ...crypto.Signer) policy.Policy {
		return testPolicy(t, append(demanding(t, 2, keys...), "  identities: none\nbuilders", "  identities: [{issuer: https://i.example, subject: https://s.example, repository: none}]\nbuilders")...)
	}
	real := bundles{bundle.Trust{Keys: []crypto.PublicKey{k.release.Public()}}, bundle.Trust{Keys: []crypto.PublicKey{k.one.Public(), k.two.Public()}}}
	two := behind{real, somebody, must(bundle.KeyID(k.two.Public()))(t)}
	if report, err := verifyWith(t.Context(), dir, "", named(k.one), two, Trust{Now: now}); err != nil {
		t.Errorf("%+v, %v", report.Lines, err)
	}
	// The key is named, and seen behind an identity alone; or as both.
	report, err := verifyWith(t.Context(), dir, "", named(k.two), two, Trust{Now: now})
	refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders})
	remove(artifact.RebuildsDir(hardened)+"/"+bundleName(t, k.one))(t, dir)
	report, err = verifyWith(t.Context(), dir, "", named(k.one, k.two), two, Trust{Now: now})
	refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders})
}
