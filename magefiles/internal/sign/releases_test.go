package sign

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
)

func listing(t *testing.T, previous *releases.Index, version string) Listing {
	t.Helper()
	l := Listing{
		Distribution: "palisade", Previous: previous, Issued: time.Date(2027, 1, 2, 3, 4, 5, 6, time.UTC), Life: 24 * time.Hour,
		Release: releases.Release{Version: version, Tag: "v" + version, Commit: "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", Manifest: digestOf(version), Files: digestOf("files")},
	}
	if previous != nil {
		data, err := previous.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.Digest = artifact.DigestBytes(data)
	}
	return l
}

// The next index is signed once, whatever interrupts it, and then stays.
func TestReleases(t *testing.T) {
	h, opened := hand(t)
	dir := filepath.Join(t.TempDir(), "beside")
	first, result, err := Releases(t.Context(), dir, h, listing(t, nil, "1.0.0"))
	if err != nil || result.Signed != 1 || result.By == "" || first.Number != 1 {
		t.Fatalf("%+v, %+v, %v", first, result, err)
	}
	got := files(t, dir)
	if _, err := bundle.OpenSignature([]byte(got[releases.BundleName]), *h.Trust, digestOf(got[releases.FileName])); err != nil {
		t.Error(err)
	}
	if there, err := releases.Parse([]byte(got[releases.FileName])); err != nil || there.Number != 1 || len(got) != 2 {
		t.Errorf("%+v, %v", there, err)
	}
	again := listing(t, nil, "1.0.0")
	again.Issued = again.Issued.Add(time.Hour)
	if next, result, err := Releases(t.Context(), dir, h, again); err != nil || result.Kept != 1 || result.Signed != 0 || !next.Issued.Equal(first.Issued) || *opened != 1 {
		t.Errorf("once more: %+v, %+v, %v", next, result, err)
	}
	// Killed before it was signed, it is the same one that is signed.
	if err := os.Remove(filepath.Join(dir, releases.BundleName)); err != nil {
		t.Fatal(err)
	}
	if next, result, err := Releases(t.Context(), dir, h, again); err != nil || result.Signed != 1 || !next.Issued.Equal(first.Issued) {
		t.Errorf("after it was interrupted: %+v, %+v, %v", next, result, err)
	}
	for _, tt := range []struct {
		name   string
		change func(l *Listing)
	}{
		{"another release", func(l *Listing) { l.Release.Manifest = digestOf("other") }},
		{"another life", func(l *Listing) { l.Life = 48 * time.Hour }},
		{"one that has expired", func(l *Listing) { l.Issued = l.Issued.Add(24 * time.Hour) }},
		{"one of the future", func(l *Listing) { l.Issued = l.Issued.Add(-time.Hour) }},
	} {
		before := files(t, dir)[releases.FileName]
		l := listing(t, nil, "1.0.0")
		tt.change(&l)
		if _, result, err := Releases(t.Context(), dir, h, l); err != nil || result.Signed != 1 || files(t, dir)[releases.FileName] == before {
			t.Errorf("%s is kept: %+v, %v", tt.name, result, err)
		}
		if _, _, err := Releases(t.Context(), dir, h, listing(t, nil, "1.0.0")); err != nil { // as it was
			t.Fatal(err)
		}
	}

	next, result, err := Releases(t.Context(), t.TempDir(), h, listing(t, &first, "1.1.0"))
	if err != nil || next.Number != 2 || result.Signed != 1 || next.Follows(first) != nil {
		t.Errorf("the second: %+v, %+v, %v", next, result, err)
	}
}

func TestReleasesRefuses(t *testing.T) {
	h, opened := hand(t)
	first, err := listing(t, nil, "1.0.0").next()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(l *Listing)
		want   error
	}{
		{"another distribution's", func(l *Listing) { l.Distribution = "other" }, ErrMismatch},
		{"another file's", func(l *Listing) { l.Digest = digestOf("other") }, releases.ErrPrevious},
		{"a release that is there", func(l *Listing) { l.Release.Version, l.Release.Tag = "1.0.0", "v1.0.0" }, releases.ErrPrevious},
		{"an older release", func(l *Listing) { l.Release.Version, l.Release.Tag = "0.9.0", "v0.9.0" }, releases.ErrPrevious},
		{"another tag", func(l *Listing) { l.Release.Tag = "main" }, releases.ErrMalformed},
		{"no life", func(l *Listing) { l.Life = 0 }, releases.ErrMalformed},
	} {
		dir := t.TempDir()
		l := listing(t, &first, "1.1.0")
		tt.change(&l)
		if _, _, err := Releases(t.Context(), dir, h, l); !errors.Is(err, tt.want) || len(files(t, dir)) > 0 {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if *opened > 0 {
		t.Error("the key was opened")
	}
}

// Notes are signed where there are some.
func TestNotes(t *testing.T) {
	dir := built(t, "bell")
	h, _ := hand(t)
	signed(t, dir, h, 4, 0)
	write(t, dir, releases.NotesName, "# Notes\n")
	signed(t, dir, h, 1, 4)
	if _, err := bundle.OpenSignature([]byte(files(t, dir)[releases.NotesName+".sigstore.json"]), *h.Trust, digestOf("# Notes\n")); err != nil {
		t.Error(err)
	}
	write(t, dir, releases.NotesName, "# Other notes\n")
	signed(t, dir, h, 1, 4)
}
