package command

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// What lies beside a plan of the release before is taken as the plan names it, and
// not otherwise.
func TestBefore(t *testing.T) {
	above := t.TempDir()
	published := filepath.Join(above, "v1.0.0")
	if err := os.Mkdir(published, 0o755); err != nil {
		t.Fatal(err)
	}
	r := notable(t, published, "v1.0.0")
	put(t, filepath.Join(published, r.Name), []byte("what nobody needs"))
	manifest, err := os.ReadFile(filepath.Join(published, dist.Index))
	if err != nil {
		t.Fatal(err)
	}
	entry := releases.Release{Version: "1.0.0", Tag: "v1.0.0", Commit: strings.Repeat("0a", 20), Manifest: artifact.DigestBytes(manifest), Images: []releases.Image{}}
	first, err := releases.First("palisade", entry, time.Unix(1_800_000_000, 0).UTC(), releases.DefaultLife)
	if err != nil {
		t.Fatal(err)
	}
	index, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Release: t.TempDir()}
	s := &step{config: cfg, plan: release.Plan{Previous: &release.Previous{Number: 1, Digest: artifact.DigestBytes(index)}}}
	if _, err := s.lastIndex(); !errors.Is(err, config.ErrUsage) {
		t.Errorf("it was not handed over: %v", err)
	}
	req := ReleasePlanRequest{Index: filepath.Join(above, releases.FileName)}
	last := verify.Freshness{Index: index, Bundle: []byte("signed")}
	if err := keepBefore(cfg, last, fetchBefore(t.Context(), req, nil)); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(cfg.Release, "before", releases.BundleName)); string(kept) != "signed" {
		t.Errorf("its bundle is %q, %v", kept, err)
	}
	since, err := s.sinceOf("")
	if err != nil || since != filepath.Join(cfg.Release, "before", "files", dist.Index) {
		t.Errorf("got %q, %v", since, err)
	}
	entries, err := os.ReadDir(filepath.Dir(since))
	if err != nil || len(entries) != 2 || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == r.Name }) {
		t.Errorf("it keeps %v, %v", entries, err)
	}
	if _, at, err := manifestIn(since); err != nil {
		t.Error(err)
	} else if version, err := releasedAs(at); err != nil || version != "1.0.0" {
		t.Errorf("it is of version %q, %v", version, err)
	}

	put(t, since, append(manifest, '\n'))
	if _, err := s.sinceOf(""); !errors.Is(err, handover.ErrDigest) {
		t.Errorf("another release.json: %v", err)
	}
	if named, err := s.sinceOf("x"); named != "x" || err != nil {
		t.Errorf("one that was named: %q, %v", named, err)
	}
	put(t, filepath.Join(cfg.Release, "before", releases.FileName), append(index, '\n'))
	if _, err := s.lastIndex(); !errors.Is(err, release.ErrForeign) {
		t.Errorf("another index: %v", err)
	}
	// The first release has none before it, whatever lay there.
	if err := keepBefore(cfg, verify.Freshness{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Release, "before")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what is known of another release stays:", err)
	}
	s.plan.Previous = nil
	if since, err := s.sinceOf(""); since != "" || err != nil {
		t.Errorf("the first: %q, %v", since, err)
	}
	// One that is not there any more is not at hand.
	if err := os.RemoveAll(published); err != nil {
		t.Fatal(err)
	}
	if err := keepBefore(cfg, last, fetchBefore(t.Context(), req, nil)); err != nil {
		t.Error(err)
	}
	s.plan.Previous = &release.Previous{Number: 1, Digest: artifact.DigestBytes(index)}
	if since, err := s.sinceOf(""); since != "" || err != nil {
		t.Errorf("not at hand: %q, %v", since, err)
	}
}

// A dry run asks for no index of releases; any other follows the one that is where it
// goes, if it is believed by what was given.
func TestReleaseRequest(t *testing.T) {
	for _, tt := range []struct {
		req       ReleaseRequest
		registry  string
		index     string
		rehearsal bool
		verified  int
	}{
		{ReleaseRequest{Dry: true, Registry: "r", Directory: "d"}, "", "", true, 2},
		{ReleaseRequest{Registry: "r", Directory: "d"}, "r", "", false, 2},
		{ReleaseRequest{Directory: "d"}, "", "d/releases.json", false, 1},
		{ReleaseRequest{Directory: "d", Index: "i"}, "", "i", false, 1},
		{ReleaseRequest{Registry: "r", First: true}, "", "", false, 1},
		{ReleaseRequest{}, "", "", false, 1},
	} {
		if p := tt.req.plan(); p.Registry != tt.registry || p.Index != tt.index || p.Rehearsal != tt.rehearsal || len(tt.req.verify()) != tt.verified {
			t.Errorf("%+v: %+v, verified in %d places", tt.req, p, len(tt.req.verify()))
		}
	}
	dry, given := true, []string{"p", "k", "t", "7"}
	req, err := NewReleaseRequest(nil, nil, nil, nil, nil, nil, &given[0], &given[1], &given[2], &given[3], nil, nil, nil, nil)
	want := BelieveRequest{Policy: "p", Key: "k", TrustedRoot: "t", Seen: "7"}
	if at := req.verify()[0]; err != nil || req.plan().Believe != want || at.Policy != "p" || at.Key != "k" || at.TrustedRoot != "t" || at.Seen != "7" {
		t.Errorf("%+v, %v", req, err)
	}
	if req, err := NewReleaseRequest(nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, &dry); err != nil || req.plan().Believe != (BelieveRequest{Policy: "workstation"}) {
		t.Errorf("a dry run: %+v, %v", req, err)
	}
}
