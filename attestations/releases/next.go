package releases

import (
	"fmt"
	"slices"
	"time"

	"palisade/attestations/artifact"
)

// First is the first index of a distribution, number 1, with its first release. It
// is for a distribution that never had one: made in place of one that was lost, it
// is older than that to everybody who has seen it.
func First(distribution string, r Release, issued time.Time, life time.Duration) (Index, error) {
	i := Index{Schema: Schema, Distribution: distribution, Number: 1, Releases: []Release{r.copy()}}
	return i.issue(issued, life)
}

// Next is the index that follows i with a release more, which has to be newer by
// its version than all that were (ErrPrevious), though not of other bytes. previous
// is the digest of the file that i was read from: that of i, or it is refused
// (ErrPrevious), so that who mixed up two files is told. issued is the time, of which
// parts of a second are dropped; it must not be before i was issued. i may have
// expired, and is not changed.
func (i Index) Next(previous artifact.Digest, r Release, issued time.Time, life time.Duration) (Index, error) {
	return i.next(previous, issued, life, func(next *Index) error {
		if last := next.Releases[len(next.Releases)-1]; compare(r.Version, last.Version) <= 0 {
			return fmt.Errorf("%w: release %.40q is not newer than %s, which is released: choose the next version", ErrPrevious, r.Version, last.Version)
		}
		next.Releases = append(next.Releases, r.copy())
		return nil
	})
}

// A Withdrawal says that a release must not be used any longer, and why in one
// sentence. It cannot be taken back.
type Withdrawal struct{ Version, Why string }

// Renew is the index that follows i with no release more: the same, with a new
// number and life, and with these releases withdrawn. It takes previous, issued and
// life as Next does. Withdrawing what is not there is refused (ErrNotReleased), and
// what was withdrawn before too, unless for the same reason (ErrWithdrawn).
func (i Index) Renew(previous artifact.Digest, issued time.Time, life time.Duration, withdrawn ...Withdrawal) (Index, error) {
	return i.next(previous, issued, life, func(next *Index) error {
		for _, w := range withdrawn {
			n := slices.IndexFunc(next.Releases, func(r Release) bool { return r.Version == w.Version })
			switch {
			case n < 0:
				return fmt.Errorf("%w: %.40q cannot be withdrawn: name the version of a release", ErrNotReleased, w.Version)
			case w.Why == "":
				return fmt.Errorf("%w: withdrawing %s: say why", ErrMalformed, w.Version)
			case next.Releases[n].Withdrawn != "" && next.Releases[n].Withdrawn != w.Why:
				return fmt.Errorf("%w: %s was so already, because: %s", ErrWithdrawn, w.Version, next.Releases[n].Withdrawn)
			}
			next.Releases[n].Withdrawn = w.Why
		}
		return nil
	})
}

func (i Index) next(previous artifact.Digest, issued time.Time, life time.Duration, change func(*Index) error) (Index, error) {
	own, err := i.digest()
	if err != nil {
		return Index{}, err
	}
	if previous != own {
		return Index{}, fmt.Errorf("%w: the file is %s, and the index read from it %s: read it again", ErrPrevious, previous, own)
	}
	next := i
	next.Number, next.Previous = i.Number+1, own
	next.Releases = make([]Release, 0, len(i.Releases)+1)
	for _, r := range i.Releases {
		next.Releases = append(next.Releases, r.copy())
	}
	if err := change(&next); err != nil {
		return Index{}, err
	}
	if next, err = next.issue(issued, life); err != nil {
		return Index{}, err
	}
	return next, next.Follows(i)
}

// issue gives i its times, and checks it.
func (i Index) issue(issued time.Time, life time.Duration) (Index, error) {
	i.Issued = issued.UTC().Truncate(time.Second)
	i.Expires = i.Issued.Add(life.Truncate(time.Second))
	if _, err := i.Encode(); err != nil {
		return Index{}, err
	}
	return i, nil
}

func (i Index) digest() (artifact.Digest, error) {
	data, err := i.Encode()
	if err != nil {
		return artifact.Digest{}, err
	}
	return artifact.DigestBytes(data), nil
}

func (r Release) copy() Release {
	r.Images = append([]Image{}, r.Images...)
	return r
}

// Follows refuses an index that does not go on where previous ended (ErrPrevious):
// that is not of the same distribution, one number on and made of it by its digest;
// that was issued before it; or that lacks a release, lists one before the last of
// it, or says something else of one than that it is withdrawn.
func (i Index) Follows(previous Index) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrPrevious}, args...)...)
	}
	if _, err := i.digest(); err != nil {
		return err
	}
	digest, err := previous.digest()
	switch {
	case err != nil:
		return err
	case i.Distribution != previous.Distribution:
		return refuse("it is of %s, that was of %s", i.Distribution, previous.Distribution)
	case i.Number != previous.Number+1:
		return refuse("it has the number %d, that had %d", i.Number, previous.Number)
	case i.Previous != digest:
		return refuse("it follows %s, that is %s: another index was issued meanwhile; make this one anew of that", i.Previous, digest)
	case i.Issued.Before(previous.Issued):
		return refuse("it was issued on %s, that on %s: set the clock", stamp(i.Issued), stamp(previous.Issued))
	case len(i.Releases) < len(previous.Releases):
		return refuse("it lists %d releases, that listed %d", len(i.Releases), len(previous.Releases))
	}
	for n, was := range previous.Releases {
		is := i.Releases[n].copy()
		if was.Withdrawn == "" {
			is.Withdrawn = ""
		}
		if !is.same(was) {
			return refuse("of release %s it says something else, or lists another in its place", was.Version)
		}
	}
	return nil
}

func (r Release) same(o Release) bool {
	images := slices.Equal(r.Images, o.Images)
	return images && r.Version == o.Version && r.Tag == o.Tag && r.Commit == o.Commit &&
		r.Manifest == o.Manifest && r.Files == o.Files && r.Notes == o.Notes && r.Withdrawn == o.Withdrawn
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
