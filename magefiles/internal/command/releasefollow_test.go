package command

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/release"
)

// indexOf is the first index of a distribution.
func indexOf(t *testing.T, distribution string, issued time.Time) []byte {
	t.Helper()
	i, err := releases.First(distribution, releases.Release{
		Version: "1.0.0", Tag: "v1.0.0", Commit: strings.Repeat("0a", 20), Manifest: artifact.DigestBytes([]byte("release.json")), Images: []releases.Image{},
	}, issued, releases.DefaultLife)
	if err != nil {
		t.Fatal(err)
	}
	data, err := i.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// putInRegistry puts an index of releases there, as whoever can write to it could.
func putInRegistry(t *testing.T, name string, f verify.Freshness) {
	t.Helper()
	form, err := consume.IndexForm(f.Index, f.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + strings.Replace(name, "/", "/v2/", 1) + "/release/"
	send := func(method, to, mediaType string, data []byte) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, base+to, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", mediaType)
		answer, err := http.DefaultClient.Do(q)
		if err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
	}
	for _, data := range [][]byte{f.Index, f.Bundle} {
		send(http.MethodPost, "blobs/uploads/?digest="+artifact.DigestBytes(data).String(), "application/octet-stream", data)
	}
	send(http.MethodPut, "manifests/"+consume.IndexTag, form.MediaType, form.Data)
}

// What somebody planted is followed by nobody, wherever he planted it: release:plan
// refuses what lies where releases are published, and release:sign what lies beside
// the plan, though the plan names it.
func TestFollowed(t *testing.T) {
	dir, cfg := firstIndex(t)
	now := time.Now()
	read := func(folder string) (f verify.Freshness) {
		t.Helper()
		if err := readReleases(&f, filepath.Join(folder, releases.FileName)); err != nil {
			t.Fatal(err)
		}
		return f
	}
	signed := func(name string, cfg *config.Config, data []byte) verify.Freshness {
		t.Helper()
		putIndex(t, cfg, filepath.Join(dir, name), data)
		return read(filepath.Join(dir, name))
	}
	good := signed("good", cfg, indexOf(t, "palisade", now))
	own := config.PublicKey(cfg.Signing.Key)
	t.Setenv("PALISADE_KEY", filepath.Join(dir, "another.key"))
	if _, err := said(t, func() error { return GenerateKey(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	stranger, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	theirs := signed("theirs", stranger, indexOf(t, "palisade", now.Add(-time.Minute)))
	expired := read(filepath.Join(dir, "published"))

	for _, tt := range []struct {
		name   string
		index  verify.Freshness
		seen   string
		want   error // nil if it is followed
		policy string
	}{
		{name: "his own", index: good},
		{name: "his own, that was seen", index: good, seen: "1"},
		{name: "his own, that has expired", index: expired, seen: "1"},
		{name: "a stranger's", index: theirs, want: bundle.ErrWrongKey},
		{name: "with another's signature", index: verify.Freshness{Index: good.Index, Bundle: theirs.Bundle}, want: verify.ErrReleases},
		{name: "with the signature of another", index: verify.Freshness{Index: theirs.Index, Bundle: good.Bundle}, want: verify.ErrReleases},
		{name: "without a signature", index: verify.Freshness{Index: good.Index}, want: verify.ErrReleases},
		{name: "older than one that was seen", index: good, seen: "2", want: releases.ErrRollback},
		{name: "older than one that was seen, and expired", index: expired, seen: "2", want: releases.ErrRollback},
		{name: "of another distribution", index: signed("foreign", cfg, indexOf(t, "stockade", now)), want: verify.ErrForeign},
		{name: "from the future", index: signed("future", cfg, indexOf(t, "palisade", now.Add(2*time.Hour))), want: releases.ErrFuture},
		{name: "malformed", index: signed("malformed", cfg, append(indexOf(t, "palisade", now), '\n')), want: releases.ErrMalformed},
		{name: "by the policy of releases, that believes nobody here", index: good, policy: "release", want: config.ErrUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := 3
			if errors.Is(tt.want, config.ErrUsage) {
				wanted = 2
			}
			believe := BelieveRequest{Policy: "workstation", Key: own, Seen: tt.seen}
			if tt.policy != "" {
				believe = BelieveRequest{Policy: tt.policy}
			}
			judged := func(who string, err error) {
				t.Helper()
				if err = stepped(err); !errors.Is(err, tt.want) || err != nil && status(err) != wanted {
					t.Errorf("%s: %v, want %v", who, err, tt.want)
				}
			}
			cfg := *cfg
			planned := func(req ReleasePlanRequest) {
				t.Helper()
				cfg.Release = t.TempDir()
				req.Believe = believe
				previous, err := previousIndex(t.Context(), &cfg, req, release.Plan{Distribution: "palisade", Release: "1.1.0"})
				judged("release:plan", err)
				if entries, _ := os.ReadDir(beforeDir(&cfg)); tt.want != nil && (previous != nil || len(entries) > 0) {
					t.Errorf("it kept %v, and plans to follow %v", entries, previous)
				} else if tt.want == nil && (previous == nil || previous.Digest != artifact.DigestBytes(tt.index.Index) || !bytes.Equal(read(beforeDir(&cfg)).Bundle, tt.index.Bundle)) {
					t.Errorf("it kept %v, and plans to follow %v", entries, previous)
				}
			}
			file := filepath.Join(t.TempDir(), releases.FileName)
			write(t, file, string(tt.index.Index))
			if tt.index.Bundle != nil {
				write(t, filepath.Join(filepath.Dir(file), releases.BundleName), string(tt.index.Bundle))
				name := loopback(t)
				putInRegistry(t, name, tt.index)
				planned(ReleasePlanRequest{Registry: name})
			}
			planned(ReleasePlanRequest{Index: file})

			cfg.Release = t.TempDir()
			if err := os.CopyFS(beforeDir(&cfg), os.DirFS(filepath.Dir(file))); err != nil {
				t.Fatal(err)
			}
			r := signatory{step: &step{config: &cfg, plan: release.Plan{
				Distribution: "palisade", Previous: &release.Previous{Number: 1, Digest: artifact.DigestBytes(tt.index.Index)},
			}}}
			index, err := r.before(believe)
			judged("release:sign", err)
			if (index == nil) != (tt.want != nil) {
				t.Errorf("release:sign follows %v", index)
			}
		})
	}
}

// Who says that he has seen an index does not begin anew; and what is the first
// follows nobody's, and asks nobody.
func TestFollowedFirst(t *testing.T) {
	dir, cfg := firstIndex(t)
	plan := release.Plan{Distribution: "palisade", Release: "1.1.0"}
	seen := BelieveRequest{Policy: "workstation", Seen: "1"}
	for _, tt := range []struct {
		name string
		req  ReleasePlanRequest
		says string
	}{
		{"the first", ReleasePlanRequest{First: true}, ""},
		{"the first, and one was seen", ReleasePlanRequest{First: true, Believe: seen}, "-first says that there is no index of releases, and -seen=1 that there was one"},
		{"a rehearsal", ReleasePlanRequest{Rehearsal: true}, ""},
		{"a rehearsal, and one was seen", ReleasePlanRequest{Rehearsal: true, Believe: seen}, "-seen=1 says that there is an index of releases: name it"},
		{"a rehearsal that follows one", ReleasePlanRequest{Rehearsal: true, Believe: seen, Index: filepath.Join(dir, "published", releases.FileName)}, ""},
		{"none, and one was seen", ReleasePlanRequest{Believe: seen}, "name it"},
		{"none is named", ReleasePlanRequest{}, "or that it is the first, with -first"},
		{"what is no number", ReleasePlanRequest{Index: filepath.Join(dir, "published", releases.FileName), Believe: BelieveRequest{Policy: "workstation", Seen: "0"}}, "leave it out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := previousIndex(t.Context(), cfg, tt.req, plan)
			if err != nil != (tt.says != "") || err != nil && (status(stepped(err)) != 2 || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v with status %d, want %q", err, status(stepped(err)), tt.says)
			}
		})
	}
	r := signatory{step: &step{config: cfg}}
	if index, err := r.before(BelieveRequest{}); index != nil || err != nil {
		t.Errorf("the first: %v, %v", index, err)
	}
	if _, err := r.before(seen); status(stepped(err)) != 2 || !strings.Contains(err.Error(), "follows no index") {
		t.Errorf("the first, and one was seen: %v", err)
	}
}
