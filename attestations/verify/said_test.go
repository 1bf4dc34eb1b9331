package verify

import (
	"crypto"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
)

// Notes in the folder of a release are those that its publisher signed, and, where an
// index of releases is asked, those that it lists of this release. A key in it is one
// that the policy accepts.
func TestNotes(t *testing.T) {
	l, _ := newFreshWorld(t)
	const own, other = "# Notes\n", "# Switch it off first\n"
	notes := func(text string, by crypto.Signer) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			put(t, dir, releases.NotesName, []byte(text))
			put(t, dir, releases.NotesName+bundleSuffix, withKey(by)(t, must(signing.File(artifact.DigestBytes([]byte(text))))(t), ""))
		}
	}
	swapped := func(t *testing.T, dir string) {
		notes(own, key)(t, dir)
		put(t, dir, releases.NotesName, []byte(other))
	}
	without := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			notes(own, key)(t, dir)
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	pub := func(of crypto.Signer, more string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			put(t, dir, keyName, append(must(signing.MarshalPublicKey(of.Public()))(t), more...))
		}
	}
	none := func(*testing.T, string) {}
	for _, tt := range []struct {
		name   string
		there  func(*testing.T, string)
		listed string // in the index, if that is asked; "-" if none are
		fails  []Check
		wants  []error
	}{
		{name: "none", there: none},
		{name: "none, and none listed", there: none, listed: "-"},
		{name: "signed", there: notes(own, key)},
		{name: "signed and listed", there: notes(own, key), listed: own},
		{name: "swapped", there: swapped, fails: []Check{Files}, wants: []error{ErrNotes, bundle.ErrDigest}},
		{name: "swapped, and listed", there: swapped, listed: own, fails: []Check{Files, Fresh}, wants: []error{ErrNotes}},
		{name: "signed by another", there: notes(own, otherKey), listed: own, fails: []Check{Files}, wants: []error{ErrNotes, bundle.ErrWrongKey}},
		{name: "signed by nobody", there: without(releases.NotesName + bundleSuffix), fails: []Check{Files}, wants: []error{ErrMissing}},
		{name: "a signature of none", there: without(releases.NotesName), fails: []Check{Files}, wants: []error{ErrMissing}},
		{name: "of another release of the same publisher", there: notes(other, key), listed: own, fails: []Check{Fresh}, wants: []error{ErrNotes}},
		{name: "signed, and not listed", there: notes(own, key), listed: "-", fails: []Check{Fresh}, wants: []error{ErrNotes}},
		{name: "the publisher's key", there: pub(key, "")},
		{name: "another key", there: pub(otherKey, ""), fails: []Check{Files}, wants: []error{ErrKey}},
		{name: "the publisher's key, and more", there: pub(key, "x"), fails: []Check{Files}, wants: []error{ErrKey}},
		{name: "text before the publisher's key", there: func(t *testing.T, dir string) {
			put(t, dir, keyName, append([]byte("The key has changed:\n"), must(signing.MarshalPublicKey(key.Public()))(t)...))
		}, fails: []Check{Files}, wants: []error{ErrKey}},
		{name: "no key", there: func(t *testing.T, dir string) { put(t, dir, keyName, []byte("x")) }, fails: []Check{Files}, wants: []error{ErrKey}},
		{name: "listed, and not there", there: none, listed: own, fails: []Check{Fresh}, wants: []error{ErrMissing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := l.w.write(t)
			tt.there(t, dir)
			trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
			if tt.listed != "" {
				listing := l
				listing.change = func(r *releases.Release) {
					if tt.listed != "-" {
						r.Notes = artifact.DigestBytes([]byte(tt.listed))
					}
				}
				trust.Fresh = published(t, listing.indexes(t)[1])
			}
			report, err := Release(t.Context(), dir, testPolicy(t), trust)
			if tt.wants != nil {
				refused(t, report, err, tt.fails, tt.wants)
			} else if err != nil || tt.listed != "" && !slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Fresh && l.Status == Pass }) {
				t.Errorf("%v: %+v", err, report.Lines)
			}
			// Who takes one file takes no notes.
			if _, err := File(t.Context(), filepath.Join(dir, l.w.artifacts[1].rec.Name), testPolicy(t), trust); err != nil {
				t.Errorf("of one file: %v", err)
			}
		})
	}
}
