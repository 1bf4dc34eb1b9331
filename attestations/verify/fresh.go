package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/releases"
)

// Why nothing is known to be fresh, beside the errors of package releases.
var (
	ErrNoReleases = errors.New("there is no index of releases")
	ErrReleases   = errors.New("index of releases is not signed by anybody whom the policy accepts")
	ErrForeign    = errors.New("index of releases is of another distribution")
	ErrCommit     = errors.New("the index of releases lists the release of another commit than its provenance names")
	ErrTag        = errors.New("the index of releases lists the release at another tag than the one that its workflow ran for")
)

// A Freshness is the index of releases that something is held against, and what
// is known of it. With one the check is made whatever the policy says.
type Freshness struct {
	Index   []byte // the file releases.json; nil if there is none, which is refused
	Bundle  []byte // its signature, releases.json.sigstore.json
	Seen    uint64 // the highest number of an index of this distribution that passed before; 0 if none did
	Version string // of the release that is meant; "" for the newest
}

// A fresher holds things against an index of releases.
type fresher struct {
	*Freshness
	policy policy.Policy
	open   opener
	now    time.Time
}

// asked reports whether the check is to be made.
func (f fresher) asked() bool { return f.Freshness != nil || f.policy.RequiresFreshness() }

// index opens the index of releases, and says who signed it. How long it holds is
// its own to say: the policy's age is for what is signed once.
func (f fresher) index() (releases.Index, signed, error) {
	switch {
	case f.Freshness == nil:
		return releases.Index{}, signed{}, fmt.Errorf("%w: the policy demands one: get %s and %s from the publisher, and pass -index=%s",
			ErrNoReleases, releases.FileName, releases.BundleName, releases.FileName)
	case f.Index == nil && f.Seen > 0:
		return releases.Index{}, signed{}, fmt.Errorf("%w: number %d was seen, and so there are some: pass the newest", ErrNoReleases, f.Seen)
	case f.Index == nil:
		return releases.Index{}, signed{}, fmt.Errorf("%w: by which to tell a version of a release: pass the newest", ErrNoReleases)
	case f.Bundle == nil:
		return releases.Index{}, signed{}, fmt.Errorf("%w: there is no %s beside it", ErrReleases, releases.BundleName)
	case len(f.Index) > releases.MaxSize || len(f.Bundle) > maxRebuild:
		return releases.Index{}, signed{}, fmt.Errorf("%w: an index of releases of %d bytes, and a bundle of %d", ErrTooLarge, len(f.Index), len(f.Bundle))
	}
	// Its signature first: whoever cannot sign need not be parsed.
	s, err := f.open.signature(f.Bundle, artifact.DigestBytes(f.Index))
	if err != nil {
		return releases.Index{}, signed{}, fmt.Errorf("%w: %w", ErrReleases, err)
	}
	i, err := releases.Parse(f.Index)
	return i, s, err
}

// Releases opens the index of releases that t has: somebody signed it whom p accepts,
// and it is well-formed. Whether it is the newest, and has not expired, is for its
// Check to say.
func (t Trust) Releases(p policy.Policy) (releases.Index, error) {
	open, err := t.opener(p)
	if err != nil {
		return releases.Index{}, err
	}
	fresh := t.Fresh
	if fresh == nil {
		fresh = &Freshness{}
	}
	i, _, err := fresher{fresh, p, open, t.Now}.index()
	return i, err
}

// listed is the release that find finds in the index, which has to be one that
// publishes these versions. What is remembered is its number, whatever is found.
func (f fresher) listed(publishes func(distribution string) bool, find func(releases.Index) (releases.Release, error), report *Report) (detail string, err error) {
	i, by, err := f.index()
	if err != nil {
		return "", err
	}
	if !publishes(i.Distribution) {
		return "", fmt.Errorf("%w: of %s", ErrForeign, i.Distribution)
	}
	if err := i.Check(f.Seen, f.now); err != nil {
		return "", err
	}
	report.Seen = i.Number
	r, err := find(i)
	if err != nil {
		return "", err
	}
	rank := "the newest"
	if newest, _ := i.Newest(); newest.Version != r.Version {
		rank = "asked for, the newest is " + newest.Version
	}
	return fmt.Sprintf("release %s, %s; number %d, remember it: -seen=%d; it expires on %s; %s",
		r.Version, rank, i.Number, i.Number, i.Expires.Format(time.RFC3339), by), nil
}

// sources are the runs that provenance names, by what it is of. One that names no
// commit of this distribution is of no release; one without a workflow had no tag that
// anybody vouches for.
type sources map[string]provenance.Run

// madeBy keeps by which run the file of that name was made.
func (v *verifier) madeBy(name string, run provenance.Run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sources[name] = run
}

// of refuses a release that the index says is of another commit or at another tag than
// one of these. A release is of one commit: what it shares with another one has
// provenance of its own.
func (all sources) of(r releases.Release) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		run := all[name]
		if run.Repository.Commit != r.Commit {
			return fmt.Errorf("%w: release %s is of %s there, and %.300s of %q", ErrCommit, r.Version, r.Commit, name, run.Repository.Commit)
		}
		if w := run.Workflow; w != nil && w.Ref != "refs/tags/"+r.Tag {
			return fmt.Errorf("%w: release %s is at %s there, and %.300s was made for %.300q", ErrTag, r.Version, r.Tag, name, w.Ref)
		}
	}
	return nil
}

// fresh makes the check of the release that m is the manifest of, once the provenance
// of what is in it is known: of all of it, unless only one file of it is verified.
func (v *verifier) fresh(s *subject, m *artifact.Manifest, only string, report *Report) {
	f := fresher{v.freshness, v.policy, v.open, v.now}
	if !f.asked() {
		return
	}
	s.check(Fresh, []Check{Index}, func() (string, error) {
		detail, err := f.listed(func(distribution string) bool { return distribution == m.Distribution }, func(i releases.Index) (releases.Release, error) {
			r, err := i.Find(v.indexDigest, f.Version)
			if err == nil && !slices.Equal(r.Images, releases.ImagesOf(m)) {
				err = fmt.Errorf("%w: of release %s it lists other images", releases.ErrNotReleased, r.Version)
			}
			if err == nil && only == "" {
				err = v.listedNotes(r)
			}
			if err == nil {
				err = v.sources.of(r)
			}
			return r, err
		}, report)
		if err == nil {
			v.believe(releases.BundleName, f.Bundle)
		}
		return detail, err
	})
}

// fresh makes the check of the image.
func (v *imageVerifier) fresh(s *subject, report *Report) {
	f := fresher{v.freshness, v.policy, v.open, v.now}
	if !f.asked() {
		return
	}
	s.check(Fresh, []Check{Signature, Record}, func() (string, error) {
		e := v.made[0].BuildDefinition.ExternalParameters
		publishes := func(distribution string) bool { return publishes(distribution, e.Variant, e.Version) }
		detail, err := f.listed(publishes, func(i releases.Index) (releases.Release, error) {
			r, err := i.FindImage(v.digest, f.Version)
			if err == nil && !slices.Contains(r.Images, releases.Image{Component: e.Component, Variant: e.Variant, Digest: v.digest}) {
				err = fmt.Errorf("%w: of release %s it lists it as another component's or variant's", releases.ErrNotReleased, r.Version)
			}
			if err == nil {
				err = v.released(r)
			}
			return r, err
		}, report)
		if err == nil {
			v.inputs[artifact.DigestBytes(f.Bundle)] = releases.FileName
		}
		return detail, err
	})
}

// released refuses an image of which no provenance is of the commit and the tag of that
// release.
// Of an image that did not change each release has attached its own.
func (v *imageVerifier) released(r releases.Release) (err error) {
	for _, p := range v.made {
		if err = (sources{"the image": p.Run()}).of(r); err == nil {
			return nil
		}
	}
	return err
}

// publishes reports whether a version can be one of the distribution's: that of
// what it changed bears its name.
func publishes(distribution, variant, version string) bool {
	_, revision, _ := strings.Cut(version, "-")
	return variant != "hardened" || strings.HasPrefix(revision, distribution+".")
}
