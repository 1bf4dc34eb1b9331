package releases

import (
	"fmt"
	"slices"
	"time"

	"palisade/attestations/artifact"
)

// maxAhead is how far the clock of who issued an index may be ahead of this one.
const maxAhead = time.Hour

// Check refuses an index that is older than one that was seen, by its number
// (ErrRollback), that has expired (ErrExpired), or that was issued more than an hour
// after now (ErrFuture). seen is the highest number of an index of this distribution
// that was believed before, and 0 if none was. Two with one number are told apart by
// nothing here.
func (i Index) Check(seen uint64, now time.Time) error {
	switch {
	case now.IsZero():
		return fmt.Errorf("%w: the time is not known", ErrExpired)
	case i.Number < seen:
		return fmt.Errorf("%w: its number is %d, and %d was seen: take the newest", ErrRollback, i.Number, seen)
	case i.Issued.Sub(now) > maxAhead:
		return fmt.Errorf("%w: issued on %s, and it is %s by this machine: set the clock", ErrFuture, stamp(i.Issued), stamp(now))
	case !now.Before(i.Expires):
		return fmt.Errorf("%w: on %s: take a newer one, which the publisher signs though nothing is released", ErrExpired, stamp(i.Expires))
	}
	return nil
}

// Find is the release whose release.json has that digest. Without a version it has
// to be the newest that was not withdrawn; with one, that very version, which must
// not have been withdrawn.
//
// What several releases have in common passes as the one that is looked for: of the
// same bytes it is the version that is withdrawn, or old.
func (i Index) Find(manifest artifact.Digest, version string) (Release, error) {
	return i.find("release.json "+manifest.String(), version, func(r Release) bool { return r.Manifest == manifest })
}

// FindImage is the release that lists the image whose index has that digest, likewise.
func (i Index) FindImage(index artifact.Digest, version string) (Release, error) {
	return i.find("image "+index.String(), version, func(r Release) bool {
		return slices.ContainsFunc(r.Images, func(i Image) bool { return i.Digest == index })
	})
}

func (i Index) find(what, version string, has func(Release) bool) (Release, error) {
	var found, withdrawn *Release // the newest of each kind
	for n := range i.Releases {
		if r := &i.Releases[n]; has(*r) && r.Withdrawn == "" {
			found = r
		} else if has(*r) {
			withdrawn = r
		}
	}
	wanted, there := i.Newest()
	if version != "" {
		n := slices.IndexFunc(i.Releases, func(r Release) bool { return r.Version == version })
		if n < 0 {
			return Release{}, fmt.Errorf("%w: it lists no version %.40q", ErrNotReleased, version)
		}
		wanted, there = i.Releases[n], true
	}
	switch {
	case found == nil && withdrawn == nil:
		return Release{}, fmt.Errorf("%w: %s", ErrNotReleased, what)
	case there && has(wanted) && wanted.Withdrawn == "":
		return wanted.copy(), nil
	case there && has(wanted): // asked for
		return Release{}, withdrew(wanted)
	case found == nil:
		return Release{}, withdrew(*withdrawn)
	case version != "":
		return Release{}, fmt.Errorf("%w: it is of %s, asked for was %s", ErrVersion, found.Version, version)
	}
	return Release{}, fmt.Errorf("%w: it is of %s, the newest is %s: take that, or ask for this one by its version", ErrSuperseded, found.Version, wanted.Version)
}

func withdrew(r Release) error {
	return fmt.Errorf("%w: %s, because: %s", ErrWithdrawn, r.Version, r.Withdrawn)
}
