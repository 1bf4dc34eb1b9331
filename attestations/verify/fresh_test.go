package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
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
	"palisade/attestations/provenance"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
)

// A listing of releases in the making: a release 1.0.0 that is not the world's, and
// the world's as 1.1.0, in index number 2.
type listingOf struct {
	w        *world
	file     []byte // release.json
	manifest artifact.Digest
	issued   time.Time
	foreign  string // distribution in place of the world's
	change   func(r *releases.Release)
}

func (l listingOf) release(version string) releases.Release {
	r := releases.Release{
		Version: version, Tag: "v" + version, Commit: strings.Repeat("0a", 20), Manifest: artifact.DigestBytes([]byte(version)),
		Images: []releases.Image{{Component: "beacon", Variant: "hardened", Digest: artifact.DigestBytes([]byte(version))}},
	}
	if version == "1.1.0" {
		r.Manifest, r.Images[0].Digest = l.manifest, l.w.image.rec.Index
		if l.change != nil {
			l.change(&r)
		}
	}
	return r
}

// indexes are index number 1, 2 and 3, the last with a release 1.2.0 more.
func (l listingOf) indexes(t testing.TB) (all []releases.Index) {
	t.Helper()
	distribution := "palisade"
	if l.foreign != "" {
		distribution = l.foreign
	}
	one := must(releases.First(distribution, l.release("1.0.0"), l.issued, releases.DefaultLife))(t)
	two := must(one.Next(digestOfIndex(t, one), l.release("1.1.0"), l.issued, releases.DefaultLife))(t)
	three := must(two.Next(digestOfIndex(t, two), l.release("1.2.0"), l.issued, releases.DefaultLife))(t)
	return []releases.Index{one, two, three}
}

func digestOfIndex(t testing.TB, i releases.Index) artifact.Digest {
	return artifact.DigestBytes(must(i.Encode())(t))
}

// indexSignedBy is an index as it is published.
func indexSignedBy(t testing.TB, by crypto.Signer, data []byte) *Freshness {
	t.Helper()
	return &Freshness{Index: data, Bundle: withKey(by)(t, must(signing.File(artifact.DigestBytes(data)))(t), "")}
}

func published(t testing.TB, i releases.Index) *Freshness {
	t.Helper()
	return indexSignedBy(t, key, must(i.Encode())(t))
}

// A path is one way to verify what was released.
type verifyingPath struct {
	name   string
	verify func(t *testing.T, p policy.Policy, tr Trust) (Report, error)
}

// newFreshWorld is a release, and the ways to verify it.
func newFreshWorld(t *testing.T) (listingOf, []verifyingPath) {
	t.Helper()
	key, otherKey = newKey(t), newKey(t)
	w := newImageWorld(t)
	s := newShelf(t, w)
	dir := w.write(t)
	data := must(os.ReadFile(filepath.Join(dir, indexName)))(t)
	file := func(name string) func(*testing.T, policy.Policy, Trust) (Report, error) {
		return func(t *testing.T, p policy.Policy, tr Trust) (Report, error) {
			return File(t.Context(), filepath.Join(dir, name), p, tr)
		}
	}
	return listingOf{w: w, file: data, manifest: artifact.DigestBytes(data), issued: now.AddDate(0, 0, -30)}, []verifyingPath{
		{"Release", func(t *testing.T, p policy.Policy, tr Trust) (Report, error) { return Release(t.Context(), dir, p, tr) }},
		{"File of an archive", file(w.artifacts[1].rec.Name)},
		{"File of an image", file(imageName)},
		{"Image", func(t *testing.T, p policy.Policy, tr Trust) (Report, error) {
			return Image(t.Context(), reference, s.copy(), p, tr)
		}},
	}
}

// Each is one way to offer an old release for the newest, or none for one. It is
// refused, and for that reason, whatever way it is verified.
func TestFreshTamper(t *testing.T) {
	l, paths := newFreshWorld(t)
	all := l.indexes(t)
	one, two, three := all[0], all[1], all[2]
	with := func(f *Freshness, change func(f *Freshness)) *Freshness {
		change(f)
		return f
	}
	of := func(change func(l *listingOf), n int) *Freshness {
		other := l
		change(&other)
		return published(t, other.indexes(t)[n-1])
	}
	seen := func(n uint64) func(f *Freshness) { return func(f *Freshness) { f.Seen = n } }
	version := func(v string) func(f *Freshness) { return func(f *Freshness) { f.Version = v } }
	withdrawn := must(three.Renew(digestOfIndex(t, three), l.issued, releases.DefaultLife, releases.Withdrawal{Version: "1.1.0", Why: "It shines green."}))(t)
	stripped := bytes.Replace(must(withdrawn.Encode())(t), []byte(",\n      \"withdrawn\": \"It shines green.\""), nil, 1)
	if _, err := releases.Parse(stripped); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		fresh  *Freshness
		policy []string
		wants  []error
	}{
		{name: "an older number", fresh: with(published(t, two), seen(3)), wants: []error{releases.ErrRollback}},
		{name: "expired", fresh: of(func(l *listingOf) { l.issued = now.Add(-releases.DefaultLife) }, 2), wants: []error{releases.ErrExpired}},
		{name: "from the future", fresh: of(func(l *listingOf) { l.issued = now.Add(2 * time.Hour) }, 2), wants: []error{releases.ErrFuture}},
		{name: "the bundle of an older index", fresh: with(published(t, three), func(f *Freshness) { f.Bundle = published(t, two).Bundle }), wants: []error{ErrReleases, bundle.ErrDigest}},
		{name: "an older index, under the bundle of the newest", fresh: with(published(t, three), func(f *Freshness) { f.Index = published(t, two).Index }), wants: []error{ErrReleases, bundle.ErrDigest}},
		{name: "an older index with its bundle", fresh: with(published(t, one), seen(2)), wants: []error{releases.ErrRollback}},
		{name: "stripped of a withdrawal", fresh: with(published(t, withdrawn), func(f *Freshness) { f.Index = stripped }), wants: []error{ErrReleases, bundle.ErrDigest}},
		{name: "stripped of its signature", fresh: with(published(t, two), func(f *Freshness) { f.Bundle = nil }), wants: []error{ErrReleases}},
		{name: "with an empty signature", fresh: with(published(t, two), func(f *Freshness) { f.Bundle = []byte{} }), wants: []error{ErrReleases, bundle.ErrMalformed}},
		{name: "signed by another", fresh: indexSignedBy(t, otherKey, must(two.Encode())(t)), wants: []error{ErrReleases, bundle.ErrWrongKey}},
		{name: "attested, and not signed", fresh: with(published(t, two), func(f *Freshness) {
			f.Bundle = l.w.signStatement(t, statementOf(t, "https://example.org/x", []byte("{}"), subjectOf(releases.FileName, artifact.DigestBytes(f.Index))))
		}), wants: []error{ErrReleases, bundle.ErrNotSignature}},
		{name: "malformed", fresh: indexSignedBy(t, key, bytes.Replace(must(two.Encode())(t), []byte(`"number":`), []byte(`"number": 9, "number":`), 1)), wants: []error{releases.ErrMalformed}},
		{name: "another file that the publisher signed", fresh: indexSignedBy(t, key, l.file), wants: []error{releases.ErrMalformed, intoto.ErrUnknownKey}},
		{name: "empty", fresh: indexSignedBy(t, key, []byte{}), wants: []error{releases.ErrMalformed}},
		{name: "of 1 GiB", fresh: with(published(t, two), func(f *Freshness) { f.Index = make([]byte, 1<<30) }), wants: []error{ErrTooLarge}},
		{name: "with a bundle of 1 GiB", fresh: with(published(t, two), func(f *Freshness) { f.Bundle = make([]byte, 1<<30) }), wants: []error{ErrTooLarge}},
		{name: "of another distribution", fresh: of(func(l *listingOf) { l.foreign = "fortress" }, 2), wants: []error{ErrForeign}},
		{name: "not listed", fresh: published(t, one), wants: []error{releases.ErrNotReleased}},
		{name: "not listed, and asked for", fresh: with(published(t, one), version("1.1.0")), wants: []error{releases.ErrNotReleased}},
		{name: "listed with another image", fresh: of(func(l *listingOf) {
			l.change = func(r *releases.Release) { r.Images[0].Digest = artifact.DigestBytes([]byte("x")) }
		}, 2), wants: []error{releases.ErrNotReleased}},
		{name: "listed as another variant", fresh: of(func(l *listingOf) {
			l.change = func(r *releases.Release) { r.Images[0].Variant = "vanilla" }
		}, 2), wants: []error{releases.ErrNotReleased}},
		{name: "listed of another commit", fresh: of(func(l *listingOf) {
			l.change = func(r *releases.Release) { r.Commit = strings.Repeat("0b", 20) }
		}, 2), wants: []error{ErrCommit}},
		{name: "listed of another commit, and asked for", fresh: with(of(func(l *listingOf) {
			l.change = func(r *releases.Release) { r.Commit = strings.Repeat("0b", 20) }
		}, 3), version("1.1.0")), wants: []error{ErrCommit}},
		{name: "superseded", fresh: published(t, three), wants: []error{releases.ErrSuperseded}},
		{name: "another version than the one asked for", fresh: with(published(t, three), version("1.2.0")), wants: []error{releases.ErrVersion}},
		{name: "withdrawn", fresh: published(t, withdrawn), wants: []error{releases.ErrWithdrawn}},
		{name: "withdrawn, and asked for", fresh: with(published(t, withdrawn), version("1.1.0")), wants: []error{releases.ErrWithdrawn}},
		{name: "a number that was seen, and no index", fresh: &Freshness{Seen: 2}, wants: []error{ErrNoReleases}},
		{name: "a version asked for, and no index", fresh: &Freshness{Version: "1.1.0"}, wants: []error{ErrNoReleases}},
		{name: "a signature alone", fresh: with(published(t, two), func(f *Freshness) { f.Index = nil }), wants: []error{ErrNoReleases}},
		{name: "demanded, and no index", policy: []string{"freshness: not-required", "freshness: required"}, wants: []error{ErrNoReleases}},
	} {
		for _, path := range paths {
			t.Run(tt.name+"/"+path.name, func(t *testing.T) {
				t.Parallel()
				report, err := path.verify(t, testPolicy(t, tt.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now, Fresh: tt.fresh})
				refused(t, report, err, []Check{Fresh}, tt.wants)
				n := slices.IndexFunc(report.Lines, func(l Line) bool { return l.Number == Fresh })
				for _, want := range tt.wants {
					if n < 0 || !strings.Contains(report.Lines[n].Detail, want.Error()) {
						t.Errorf("the report does not say %q: %+v", want, report.Lines)
					}
				}
			})
		}
	}
}

// What is fresh passes, and the report says what to remember.
func TestFresh(t *testing.T) {
	l, paths := newFreshWorld(t)
	all := l.indexes(t)
	for _, path := range paths {
		trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
		// Nobody asks, and nothing is said.
		if report, err := path.verify(t, testPolicy(t), trust); err != nil || slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Fresh }) || report.Seen != 0 {
			t.Errorf("%s, unasked: %v, %+v", path.name, err, report)
		}
		for version, n := range map[string]int{"": 2, "1.1.0": 3} {
			trust.Fresh = published(t, all[n-1])
			trust.Fresh.Seen, trust.Fresh.Version = 2, version
			report, err := path.verify(t, testPolicy(t, "freshness: not-required", "freshness: required"), trust)
			if err != nil || report.Seen != uint64(n) {
				t.Fatalf("%s, version %q: %v, %+v", path.name, version, err, report)
			}
			var said []string
			for _, l := range report.Lines {
				if l.Number == Fresh {
					said = append(said, string(l.Status)+" "+l.Detail)
				}
			}
			remember := fmt.Sprintf("number %d, remember it: -seen=%d;", n, n)
			if len(said) != 1 || !strings.HasPrefix(said[0], "PASS release 1.1.0, ") || !strings.Contains(said[0], remember) {
				t.Errorf("%s, version %q: the report says %q", path.name, version, said)
			}
			summary, err := report.Summary("https://verifier.example/v1", "https://policies.example/p.yaml")
			if err != nil || !bytes.Contains(summary.Predicate, []byte(artifact.DigestBytes(trust.Fresh.Bundle).Hex())) {
				t.Errorf("%s, version %q: the summary does not say what was believed: %v", path.name, version, err)
			}
		}
	}
}

// oldIndex opens bundles as if an index had been signed long ago.
type oldIndex struct {
	opener
	index artifact.Digest
}

func (o oldIndex) signature(data []byte, content artifact.Digest) (signed, error) {
	got, err := o.opener.signature(data, content)
	if got.at = now; content == o.index {
		got.at = now.Add(-721 * time.Hour)
	}
	return got, err
}

func (o oldIndex) attestation(data []byte) (signed, error) {
	got, err := o.opener.attestation(data)
	got.at = now
	return got, err
}

// How long an index holds is its own to say, and not the policy's: but a policy that
// demands a timestamp demands it of an index.
func TestFreshAge(t *testing.T) {
	key = newKey(t)
	w := newImageWorld(t)
	dir := w.write(t)
	l := listingOf{w: w, manifest: artifact.DigestBytes(must(os.ReadFile(filepath.Join(dir, indexName)))(t)), issued: now.AddDate(0, 0, -30)}
	fresh := published(t, l.indexes(t)[1])
	p := testPolicy(t, "timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")
	real := bundles{trust: bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}}
	index := artifact.DigestBytes(fresh.Index)
	if report, err := verifyWith(t.Context(), dir, "", p, oldIndex{real, index}, Trust{Now: now, Fresh: fresh}); err != nil {
		t.Errorf("%v, %+v", err, report.Lines)
	}
	demanding := bundles{trust: bundle.Trust{Keys: []crypto.PublicKey{key.Public()}, RequireTimestamp: true}}
	f := fresher{fresh, p, demanding, now}
	if _, _, err := f.index(); err == nil {
		t.Error("a policy demands a timestamp, and the index has none")
	}
}

// A release of which release.json is not known is held against no index.
func TestFreshOfNothing(t *testing.T) {
	l, _ := newFreshWorld(t)
	dir := l.w.write(t)
	flip(indexName)(t, dir)
	report, err := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now, Fresh: published(t, l.indexes(t)[1])})
	refused(t, report, err, []Check{Index}, []error{ErrIndexSignature})
	if !slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Fresh && l.Status == Skip }) || report.Seen != 0 {
		t.Errorf("%+v", report)
	}
}

// An image that did not change has the provenance of each release that it is in: one
// has to be of the commit of the release that is meant. What names no commit is of none.
func TestFreshOfOneCommit(t *testing.T) {
	of := func(commit string) provenance.Image {
		return provenance.Image{BuildDefinition: provenance.ImageDefinition{ResolvedDependencies: []intoto.Resource{
			{Digest: intoto.Digests{"gitCommit": commit}, Annotations: map[string]string{"roles": string(provenance.RoleRepository)}},
		}}}
	}
	old, current := strings.Repeat("0a", 20), strings.Repeat("0b", 20)
	for _, tt := range []struct {
		name string
		made []provenance.Image
		want error
	}{
		{"of that commit", []provenance.Image{of(current)}, nil},
		{"of both", []provenance.Image{of(current), of(old)}, nil},
		{"of both, the other way round", []provenance.Image{of(old), of(current)}, nil},
		{"of another", []provenance.Image{of(old)}, ErrCommit},
		{"of none", []provenance.Image{{}}, ErrCommit},
	} {
		v := &imageVerifier{made: tt.made}
		if err := v.released(releases.Release{Version: "1.1.0", Commit: current}); !errors.Is(err, tt.want) {
			t.Errorf("an image %s: %v, want %v", tt.name, err, tt.want)
		}
	}
	run := func(commit, ref string) provenance.Run {
		r := provenance.Run{Repository: provenance.Repository{Commit: commit}}
		if ref != "" {
			r.Workflow = &provenance.Workflow{Ref: ref}
		}
		return r
	}
	for _, tt := range []struct {
		name string
		b    provenance.Run
		want error
	}{
		{"of no commit", run("", ""), ErrCommit},
		{"of another commit", run(old, "refs/tags/v1.1.0"), ErrCommit},
		{"of no tag", run(current, ""), nil},
		{"of that tag", run(current, "refs/tags/v1.1.0"), nil},
		{"of another tag", run(current, "refs/tags/v1.1.0-rc"), ErrTag},
		{"of a branch of that name", run(current, "refs/heads/v1.1.0"), ErrTag},
	} {
		err := (sources{"a": run(current, ""), "b": tt.b}).of(releases.Release{Version: "1.1.0", Tag: "v1.1.0", Commit: current})
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("a release, in which one file is %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
