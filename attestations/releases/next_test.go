package releases

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

func itoa(n int) string { return strconv.Itoa(n) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestNext(t *testing.T) {
	i := third(t)
	data, d := encoded(t, i)
	later := i.Issued.Add(time.Hour + time.Millisecond).In(time.FixedZone("X", 3600))
	next := made(t)(i.Next(d, release("1.1.1"), later, time.Hour))
	if next.Number != 4 || next.Previous != d || len(next.Releases) != 3 || next.Releases[0].Withdrawn == "" || next.Releases[2].Version != "1.1.1" ||
		!next.Issued.Equal(i.Issued.Add(time.Hour)) || !next.Expires.Equal(i.Issued.Add(2*time.Hour)) {
		t.Errorf("%+v", next)
	}
	if err := next.Follows(i); err != nil {
		t.Error(err)
	}
	next.Releases[0].Images[0].Component = "changed"
	if again, _ := encoded(t, i); string(again) != string(data) {
		t.Error("the index that was before is changed by the next")
	}
	// The same bytes may be released anew, and an index that has expired is followed by one that has not.
	same := release("2.0.0")
	same.Manifest = i.Releases[1].Manifest
	if _, err := i.Next(d, same, i.Expires.AddDate(1, 0, 0), DefaultLife); err != nil {
		t.Error(err)
	}
}

func TestNextRefuses(t *testing.T) {
	i := third(t)
	_, d := encoded(t, i)
	for _, tt := range []struct {
		name string
		do   func() (Index, error)
		want error
	}{
		{"of another file", func() (Index, error) { return i.Next(digestOf("x"), release("2.0.0"), i.Issued, DefaultLife) }, ErrPrevious},
		{"of no file", func() (Index, error) { return i.Renew(artifact.Digest{}, i.Issued, DefaultLife) }, ErrPrevious},
		{"of no index", func() (Index, error) { return Index{}.Next(artifact.Digest{}, release("2.0.0"), day, DefaultLife) }, ErrMalformed},
		{"what is there", func() (Index, error) { return i.Next(d, i.Releases[1], i.Issued, DefaultLife) }, ErrPrevious},
		{"an older version", func() (Index, error) { return i.Next(d, release("1.0.1"), i.Issued, DefaultLife) }, ErrPrevious},
		{"before the one that it follows", func() (Index, error) { return i.Next(d, release("2.0.0"), i.Issued.Add(-time.Second), DefaultLife) }, ErrPrevious},
		{"for ever", func() (Index, error) { return i.Next(d, release("2.0.0"), i.Issued, MaxLife+time.Second) }, ErrMalformed},
		{"for no time", func() (Index, error) { return i.Renew(d, i.Issued, 0) }, ErrMalformed},
		{"at no time", func() (Index, error) { return First("palisade", release("1.0.0"), time.Time{}, DefaultLife) }, ErrMalformed},
		{"a release without a manifest", func() (Index, error) { return i.Next(d, Release{Version: "2.0.0"}, i.Issued, DefaultLife) }, ErrMalformed},
		{"withdrawing what is not there", func() (Index, error) { return i.Renew(d, i.Issued, DefaultLife, Withdrawal{"3.0.0", "x"}) }, ErrNotReleased},
		{"withdrawing for nothing", func() (Index, error) { return i.Renew(d, i.Issued, DefaultLife, Withdrawal{"1.1.0", ""}) }, ErrMalformed},
		{"withdrawing for another reason", func() (Index, error) { return i.Renew(d, i.Issued, DefaultLife, Withdrawal{"1.0.0", "x"}) }, ErrWithdrawn},
	} {
		if next, err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v, want %v", tt.name, next, err, tt.want)
		}
	}
	if next, err := i.Renew(d, i.Issued, DefaultLife, Withdrawal{"1.0.0", "Its beacon shines green."}); err != nil || next.Number != 4 {
		t.Errorf("withdrawing again: %+v, %v", next, err)
	}
}

func TestFollowsRefuses(t *testing.T) {
	i := third(t)
	_, d := encoded(t, i)
	for name, change := range map[string]func(n *Index){
		"another distribution":      func(n *Index) { n.Distribution = "other" },
		"a number between":          func(n *Index) { n.Number++ },
		"the same number":           func(n *Index) { n.Number-- },
		"made of another":           func(n *Index) { n.Previous = digestOf("x") },
		"issued before":             func(n *Index) { n.Issued = n.Issued.Add(-time.Second) },
		"a release less":            func(n *Index) { n.Releases = n.Releases[:1] },
		"a release before the last": func(n *Index) { n.Releases = append(n.Releases[:1:1], release("1.0.5"), n.Releases[1]) },
		"another release.json":      func(n *Index) { n.Releases[1].Manifest = digestOf("x") },
		"another commit":            func(n *Index) { n.Releases[1].Commit = "0b" + n.Releases[1].Commit[2:] },
		"other files":               func(n *Index) { n.Releases[1].Files = digestOf("x") },
		"no notes":                  func(n *Index) { n.Releases[1].Notes = artifact.Digest{} },
		"another image":             func(n *Index) { n.Releases[1].Images[0].Digest = digestOf("x") },
		"an image less":             func(n *Index) { n.Releases[1].Images = n.Releases[1].Images[:1] },
		"no longer withdrawn":       func(n *Index) { n.Releases[0].Withdrawn = "" },
		"withdrawn for another":     func(n *Index) { n.Releases[0].Withdrawn = "x" },
	} {
		next := made(t)(i.Renew(d, i.Issued, DefaultLife))
		if err := next.Follows(i); err != nil {
			t.Fatal(err)
		}
		change(&next)
		if err := next.Follows(i); !errors.Is(err, ErrPrevious) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := i.Follows(i); !errors.Is(err, ErrPrevious) {
		t.Errorf("itself: %v", err)
	}
	if err := (Index{}).Follows(i); !errors.Is(err, ErrMalformed) {
		t.Errorf("nothing: %v", err)
	}
}

func TestCheck(t *testing.T) {
	i := third(t)
	for _, tt := range []struct {
		seen uint64
		now  time.Time
		want error
	}{
		{0, i.Issued, nil},
		{3, i.Expires.Add(-time.Nanosecond), nil},
		{3, i.Issued.Add(-time.Hour), nil}, // a clock that is behind
		{3, i.Issued.Add(-time.Hour - time.Second), ErrFuture},
		{3, i.Expires, ErrExpired},
		{4, i.Issued, ErrRollback},
		{0, time.Time{}, ErrExpired},
	} {
		if err := i.Check(tt.seen, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("Check(%d, %s) = %v, want %v", tt.seen, tt.now, err, tt.want)
		}
	}
}

func TestFind(t *testing.T) {
	i := third(t)
	_, d := encoded(t, i)
	old, newest := digestOf("release.json of 1.0.0"), digestOf("release.json of 1.1.0")
	two := made(t)(i.Next(d, release("2.0.0"), i.Issued, DefaultLife))
	again := release("2.0.0")
	again.Manifest = old
	same := made(t)(i.Next(d, again, i.Issued, DefaultLife))
	none := made(t)(i.Renew(d, i.Issued, DefaultLife, Withdrawal{"1.1.0", "x"}))
	for _, tt := range []struct {
		name     string
		of       Index
		manifest artifact.Digest
		version  string
		found    string
		want     error
	}{
		{"the newest", i, newest, "", "1.1.0", nil},
		{"the newest, asked for", i, newest, "1.1.0", "1.1.0", nil},
		{"a withdrawn one", i, old, "", "", ErrWithdrawn},
		{"a withdrawn one, asked for", i, old, "1.0.0", "", ErrWithdrawn},
		{"a withdrawn one, another asked for", i, old, "1.1.0", "", ErrWithdrawn},
		{"what was not released", i, digestOf("x"), "", "", ErrNotReleased},
		{"what was not released, asked for", i, digestOf("x"), "1.1.0", "", ErrNotReleased},
		{"a version that was not released", i, newest, "3.0.0", "", ErrNotReleased},
		{"nothing", i, artifact.Digest{}, "", "", ErrNotReleased},
		{"an old one", two, newest, "", "", ErrSuperseded},
		{"an old one, asked for", two, newest, "1.1.0", "1.1.0", nil},
		{"an old one, the newest asked for", two, newest, "2.0.0", "", ErrVersion},
		{"the newest, an old one asked for", two, digestOf("release.json of 2.0.0"), "1.1.0", "", ErrVersion},
		{"the bytes of a withdrawn one, released again", same, old, "", "2.0.0", nil},
		{"the bytes of a withdrawn one, asked for by its version", same, old, "1.0.0", "", ErrWithdrawn},
		{"the newest, when all are withdrawn", none, newest, "", "", ErrWithdrawn},
	} {
		if r, err := tt.of.Find(tt.manifest, tt.version); !errors.Is(err, tt.want) || r.Version != tt.found {
			t.Errorf("%s: %s, %v, want %s, %v", tt.name, r.Version, err, tt.found, tt.want)
		}
	}
	for _, tt := range []struct {
		name    string
		image   artifact.Digest
		version string
		found   string
		want    error
	}{
		{"what did not change since", digestOf("beacon"), "", "2.0.0", nil},
		{"what did not change since, asked for", digestOf("beacon"), "1.1.0", "1.1.0", nil},
		{"of a withdrawn one, asked for", digestOf("beacon"), "1.0.0", "", ErrWithdrawn},
		{"of the newest", digestOf("bell 2.0.0"), "", "2.0.0", nil},
		{"of an old one", digestOf("bell 1.1.0"), "", "", ErrSuperseded},
		{"of an old one, asked for", digestOf("bell 1.1.0"), "1.1.0", "1.1.0", nil},
		{"of a withdrawn one alone", digestOf("bell 1.0.0"), "", "", ErrWithdrawn},
		{"of none", digestOf("x"), "", "", ErrNotReleased},
		{"nothing", artifact.Digest{}, "", "", ErrNotReleased},
	} {
		if r, err := two.FindImage(tt.image, tt.version); !errors.Is(err, tt.want) || r.Version != tt.found {
			t.Errorf("image %s: %s, %v, want %s, %v", tt.name, r.Version, err, tt.found, tt.want)
		}
	}
}
