package releases

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/semver"
)

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9_\-]{0,63}$`)
	versionForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$`)
	commitForm  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// maxReason bounds why something was withdrawn, in bytes.
const maxReason = 500

func (i Index) validate() error {
	switch {
	case i.Schema != Schema:
		return fmt.Errorf("schema %.60q, want %q", i.Schema, Schema)
	case !nameForm.MatchString(i.Distribution):
		return fmt.Errorf("distribution %.80q is no name", i.Distribution)
	case i.Number == 0 || i.Number > MaxNumber:
		return fmt.Errorf("number %d is not from 1 to %d", i.Number, uint64(MaxNumber))
	case (i.Number == 1) != i.Previous.IsZero():
		return fmt.Errorf("number %d: the first index has no previous one, and every other has", i.Number)
	case !whole(i.Issued) || !whole(i.Expires):
		return errors.New("issued and expires have to be in UTC, in whole seconds, from the year 1970 to 9999")
	case len(i.Releases) == 0 || len(i.Releases) > MaxReleases:
		return fmt.Errorf("%d releases, want one at least and %d at most", len(i.Releases), MaxReleases)
	}
	if life := i.Expires.Sub(i.Issued); life < MinLife || life > MaxLife {
		return fmt.Errorf("it lives for %s, want from %s to %s", life, MinLife, MaxLife)
	}
	for n, r := range i.Releases {
		if err := r.validate(); err != nil {
			return fmt.Errorf("release %d, %.40q: %w", n+1, r.Version, err)
		}
		if n > 0 && compare(i.Releases[n-1].Version, r.Version) >= 0 {
			return fmt.Errorf("release %.40q is there twice or out of order", r.Version)
		}
	}
	return nil
}

// whole reports whether t has one form in JSON.
func whole(t time.Time) bool {
	return t.Location() == time.UTC && t.Nanosecond() == 0 && t.Year() >= 1970 && t.Year() <= 9999
}

func (r Release) validate() error {
	switch {
	case !versionForm.MatchString(r.Version):
		return errors.New("its version is not of three numbers, as 1.4.0")
	case r.Tag != "v"+r.Version:
		return fmt.Errorf("tag %.40q, want %q", r.Tag, "v"+r.Version)
	case !commitForm.MatchString(r.Commit):
		return fmt.Errorf("commit %.80q is none", r.Commit)
	case r.Manifest.IsZero():
		return errors.New("it lacks the digest of release.json")
	case r.Images == nil:
		return errors.New("images is missing: write [] where there are none")
	case len(r.Images) > MaxImages:
		return fmt.Errorf("%d images, more than %d", len(r.Images), MaxImages)
	case r.Withdrawn != "" && !isReason(r.Withdrawn):
		return fmt.Errorf("withdrawn has to be printable text on one line, of at most %d bytes, without spaces around it", maxReason)
	}
	for n, i := range r.Images {
		if !nameForm.MatchString(i.Component) || !nameForm.MatchString(i.Variant) || i.Digest.IsZero() {
			return fmt.Errorf("image %.80q, variant %.80q: a name or the digest is missing or malformed", i.Component, i.Variant)
		}
		if n > 0 && compareImages(r.Images[n-1], i) >= 0 {
			return fmt.Errorf("image %q, variant %q, is there twice or out of order", i.Component, i.Variant)
		}
	}
	return nil
}

func isReason(s string) bool {
	return len(s) <= maxReason && utf8.ValidString(s) && s == strings.TrimSpace(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// compare orders versions, as semantic versioning does.
func compare(a, b string) int { return semver.Compare("v"+a, "v"+b) }

func sortImages(all []Image) { slices.SortFunc(all, compareImages) }

func compareImages(a, b Image) int {
	return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Variant, b.Variant))
}
