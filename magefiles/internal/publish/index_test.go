package publish

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/consume"
)

var issued = time.Date(2027, 1, 22, 7, 30, 1, 0, time.UTC)

// newIndex is the index of releases that follows before, or the first, with that
// release, signed.
func newIndex(t testing.TB, before *Index, r releases.Release, first bool) *Index {
	t.Helper()
	var next releases.Index
	var err error
	if before == nil {
		next, err = releases.First("palisade", r, issued, releases.DefaultLife)
	} else {
		next, err = before.Next(before.digest, r, before.Issued.Add(time.Hour), releases.DefaultLife)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	i, err := OpenIndex(Options{Trust: trust()}, data, signed(t, data), first)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func signed(t testing.TB, data []byte) []byte {
	t.Helper()
	s, err := signing.WithKey(signing.Local(signer()))
	if err != nil {
		t.Fatal(err)
	}
	content, err := signing.File(artifact.DigestBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Sign(context.Background(), content)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func listed(version string) releases.Release {
	return releases.Release{
		Version: version, Tag: "v" + version, Commit: strings.Repeat("0a", 20),
		Manifest: artifact.DigestBytes([]byte(version)), Images: []releases.Image{},
	}
}

// A target is where an index goes.
type target struct {
	put func(*Index) (bool, error)
	at  consume.Place
}

func forTargets(t *testing.T, test func(t *testing.T, to target)) {
	t.Run("registry", func(t *testing.T) {
		s := newServer(t, true)
		test(t, target{func(i *Index) (bool, error) { return i.ToRegistry(context.Background(), s.options()) }, s.place(t)})
	})
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		test(t, target{func(i *Index) (bool, error) { return i.ToDirectory(context.Background(), dir) }, consume.Directory(dir)})
	})
}

// An index takes the place of the one that it follows, and no other.
func TestIndex(t *testing.T) {
	forTargets(t, func(t *testing.T, to target) {
		put := func(i *Index, want error, there bool) {
			t.Helper()
			got, err := to.put(i)
			if !errors.Is(err, want) || (err == nil) != (want == nil) || got != there {
				t.Fatalf("number %d: %t, %v; want %t, %v", i.Number, got, err, there, want)
			}
			if err != nil {
				return
			}
			data, signature, err := to.at.Index(context.Background())
			if err != nil || string(data) != string(i.data) || string(signature) != string(i.bundle) {
				t.Fatalf("it is not there: %v", err)
			}
		}
		one := newIndex(t, nil, listed("1.0.0"), false)
		put(one, ErrFirst, false)
		one.first = true
		put(one, nil, false)
		put(one, nil, true)
		two := newIndex(t, one, listed("1.1.0"), false)
		rival := newIndex(t, one, listed("1.0.1"), false)
		three := newIndex(t, two, listed("1.2.0"), false)
		put(three, ErrIndex, false)
		put(two, nil, false)
		put(two, nil, true)
		put(rival, ErrIndex, false) // two pipelines at once: the second is told
		put(one, ErrIndex, false)
		put(newIndex(t, nil, listed("2.0.0"), true), ErrIndex, false) // -first takes nobody's place
		put(three, nil, false)
		resigned := *three
		resigned.bundle = signed(t, three.data)
		put(&resigned, nil, false)
		if data, _, err := to.at.Index(context.Background()); err != nil || string(data) != string(three.data) {
			t.Errorf("in the end: %s, %v", data, err)
		}
	})
	// Where a place is new, a later index may be the first.
	two := newIndex(t, newIndex(t, nil, listed("1.0.0"), true), listed("1.1.0"), true)
	if there, err := two.ToDirectory(context.Background(), t.TempDir()); there || err != nil {
		t.Errorf("in a new directory: %t, %v", there, err)
	}
}

func TestOpenIndexRefuses(t *testing.T) {
	i := newIndex(t, nil, listed("1.0.0"), false)
	if _, err := OpenIndex(Options{Trust: trust()}, append(i.data, '\n'), i.bundle, false); !errors.Is(err, ErrUnsigned) {
		t.Errorf("changed: %v, want %v", err, ErrUnsigned)
	}
	form := append(slices.Clone(i.data), '\n')
	if _, err := OpenIndex(Options{Trust: trust()}, form, signed(t, form), false); !errors.Is(err, releases.ErrMalformed) {
		t.Errorf("of another form: %v, want %v", err, releases.ErrMalformed)
	}
	if _, err := OpenIndex(Options{}, i.data, i.bundle, false); err == nil {
		t.Error("trust in nobody opens it")
	}
}

// Of two who put an index at the same moment, the one whose it is not is told,
// whenever the other came.
func TestIndexTakenAtOnce(t *testing.T) {
	one := newIndex(t, nil, listed("1.0.0"), true)
	two, rival := newIndex(t, one, listed("1.1.0"), false), newIndex(t, one, listed("1.0.1"), false)
	s := newServer(t, true)
	var requests int
	prepare := func() *server {
		s := newServer(t, true)
		if _, err := one.ToRegistry(context.Background(), s.options()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s = prepare()
	s.spoil(func(http.ResponseWriter, *http.Request) bool { requests++; return false })
	if _, err := two.ToRegistry(context.Background(), s.options()); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= requests; n++ {
		s, count := prepare(), 0
		s.spoil(func(http.ResponseWriter, *http.Request) bool {
			if count++; count == n {
				s.spoil(nil)
				if _, err := rival.ToRegistry(context.Background(), s.options()); err != nil && n < requests {
					t.Errorf("the other at request %d: %v", n, err)
				}
			}
			return false
		})
		_, err := two.ToRegistry(context.Background(), s.options())
		data, _, bad := s.place(t).Index(context.Background())
		if bad != nil {
			t.Fatal(bad)
		}
		if ours := string(data) == string(two.data); ours != (err == nil) || err != nil && !errors.Is(err, ErrIndex) {
			t.Errorf("the other at request %d of %d: %v, and ours is there: %t", n, requests, err, ours)
		}
	}
}

// An index that was signed anew brings no release with it.
func TestIndexAlone(t *testing.T) {
	one := newIndex(t, nil, listed("1.0.0"), true)
	two := newIndex(t, one, listed("1.1.0"), false)
	forTargets(t, func(t *testing.T, to target) {
		if _, err := to.put(one); err != nil {
			t.Fatal(err)
		}
		two.Alone = true
		if _, err := to.put(two); !errors.Is(err, ErrIndex) || !strings.Contains(err.Error(), "1.1.0") {
			t.Errorf("%v, want %v", err, ErrIndex)
		}
		renewed, err := one.Renew(one.digest, one.Issued.Add(time.Hour), releases.DefaultLife, releases.Withdrawal{Version: "1.0.0", Why: "it is broken"})
		if err != nil {
			t.Fatal(err)
		}
		data, err := renewed.Encode()
		if err != nil {
			t.Fatal(err)
		}
		next, err := OpenIndex(Options{Trust: trust()}, data, signed(t, data), false)
		if err != nil {
			t.Fatal(err)
		}
		next.Alone = true
		if there, err := to.put(next); there || err != nil {
			t.Errorf("signed anew: %t, %v", there, err)
		}
	})
}

// What is no index in its place is not overwritten.
func TestIndexForeign(t *testing.T) {
	r, s := newFiles(t, "binary"), newServer(t, true)
	f, err := openRelease(t, r).ToRegistry(context.Background(), s.options(), version)
	if err != nil {
		t.Fatal(err)
	}
	f.tag = consume.IndexTag
	if err := errors.Join(f.Send(context.Background()), f.Tag(context.Background())); err != nil {
		t.Fatal(err)
	}
	if _, err := newIndex(t, nil, listed("1.0.0"), true).ToRegistry(context.Background(), s.options()); !errors.Is(err, consume.ErrForm) {
		t.Errorf("%v, want %v", err, consume.ErrForm)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, releases.FileName), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := newIndex(t, nil, listed("1.0.0"), true)
	if _, err := i.ToDirectory(context.Background(), dir); !errors.Is(err, ErrIndex) {
		t.Errorf("%v, want %v", err, ErrIndex)
	}
}

// A run that was killed between the bundle and the index is ended by the next.
func TestIndexHalf(t *testing.T) {
	dir := t.TempDir()
	one := newIndex(t, nil, listed("1.0.0"), true)
	two := newIndex(t, one, listed("1.1.0"), false)
	if _, err := one.ToDirectory(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, releases.BundleName), two.bundle, 0o644); err != nil {
		t.Fatal(err)
	}
	if there, err := two.ToDirectory(context.Background(), dir); there || err != nil {
		t.Fatal(there, err)
	}
	if there, err := two.ToDirectory(context.Background(), dir); !there || err != nil {
		t.Error(there, err)
	}
}
