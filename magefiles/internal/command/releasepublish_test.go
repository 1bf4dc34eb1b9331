package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/publish"
	"palisade/magefiles/internal/release"
)

// loopback is a registry, and how it is called.
func loopback(t *testing.T) string {
	t.Helper()
	name, _ := watched(t)
	return name
}

// watched is one that counts the requests that write.
func watched(t *testing.T) (name string, writes *atomic.Int64) {
	t.Helper()
	writes = new(atomic.Int64)
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			writes.Add(1)
		}
		inner.ServeHTTP(w, q)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // HTTPS is tried first
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://") + "/palisade", writes
}

// hollow is a release that is signed and whole by its names, and that nobody would
// pass: its archive is none. It returns its entry in an index of releases.
func hollow(t *testing.T, cfg *config.Config, dir string) releases.Release {
	t.Helper()
	const name = "beacon-1.2.0-palisade.1.linux-amd64.tar.gz"
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{{
		Name: name, Digest: artifact.DigestBytes([]byte(name)), Component: "beacon", Version: "1.2.0-palisade.1", UpstreamVersion: "1.2.0", Variant: "hardened",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Epoch: 1, Recipe: artifact.DigestBytes(nil),
		Source: artifact.Module{Path: "example.org/beacon", Version: "v1.2.0", Sum: "h1:x"},
	}}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := openSigner(t.Context(), cfg.Signing, "a release")
	if err != nil {
		t.Fatal(err)
	}
	content, err := signing.File(artifact.DigestBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(t.Context(), content)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"release.json": string(data), "release.json.sigstore.json": string(signature), "SHA256SUMS": "none", name: name} {
		write(t, filepath.Join(dir, file), text)
	}
	var files artifact.Digest
	if err := into(dir, func(root *os.Root) error {
		l, err := consume.Describe(t.Context(), root)
		if err != nil {
			return err
		}
		form, err := l.Form()
		files = form.Release.Digest
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return releases.Release{
		Version: "1.0.0", Tag: "v1.0.0", Commit: strings.Repeat("0a", 20), Manifest: artifact.DigestBytes(data), Files: files, Images: []releases.Image{},
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// listed is a signed index of releases that lists one.
func listed(t *testing.T, cfg *config.Config, entry releases.Release) (data, signature []byte) {
	t.Helper()
	next, err := releases.First("palisade", entry, time.Now(), releases.DefaultLife)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = next.Encode(); err != nil {
		t.Fatal(err)
	}
	if signature, err = signIndex(t.Context(), cfg.Signing, data); err != nil {
		t.Fatal(err)
	}
	return data, signature
}

// What a stranger would refuse is not sent, and is in no directory and in no index,
// though it was signed; and the error says so with status 3.
func TestPublishNothingUnverified(t *testing.T) {
	dir, cfg := firstIndex(t)
	entry := hollow(t, cfg, filepath.Join(dir, "dist"))
	plan := release.Plan{Release: entry.Version, Commit: entry.Commit}
	data, signature := listed(t, cfg, entry)
	verifying, err := config.LoadVerifying()
	if err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(dir, "site")
	for _, tt := range []struct {
		name   string
		req    ReleasePublishRequest
		change func(*release.Plan)
		want   error
		status int
	}{
		{"to a registry", ReleasePublishRequest{Registry: "here"}, nil, verify.ErrRefused, 3},
		{"to a directory", ReleasePublishRequest{Directory: site}, nil, verify.ErrRefused, 3},
		{"to both", ReleasePublishRequest{Registry: "here", Directory: site}, nil, verify.ErrRefused, 3},
		{"of another plan", ReleasePublishRequest{Directory: site}, func(p *release.Plan) { p.Release = "1.0.1" }, release.ErrForeign, 3},
		{"of another commit", ReleasePublishRequest{Directory: site}, func(p *release.Plan) { p.Commit = strings.Repeat("0b", 20) }, release.ErrForeign, 3},
		{"on another index", ReleasePublishRequest{Directory: site}, func(p *release.Plan) {
			p.Previous = &release.Previous{Number: 1, Digest: artifact.DigestBytes(nil)}
		}, release.ErrForeign, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.Policy, tt.req.First = "workstation", true
			name, writes := watched(t)
			if tt.req.Registry != "" {
				tt.req.Registry = name
			}
			p, err := newPublication(verifying, tt.req)
			if err != nil {
				t.Fatal(err)
			}
			defer p.console.Close()
			plan := plan
			if tt.change != nil {
				tt.change(&plan)
			}
			out, err := said(t, func() error {
				return publishedAll(p.release(t.Context(), filepath.Join(dir, "dist"), data, signature, plan))
			})
			if !errors.Is(err, tt.want) || status(err) != tt.status || len(p.rows) > 0 {
				t.Errorf("%v with status %d, want %v with %d; published %q", err, status(err), tt.want, tt.status, p.rows)
			}
			if tt.want == verify.ErrRefused && !strings.Contains(out, "FAIL  release.json") {
				t.Errorf("it does not say what was refused:\n%s", out)
			}
			if left, err := os.ReadDir(site); len(left) > 0 {
				t.Errorf("in the directory: %v, %v", left, err)
			}
			if n := writes.Load(); n > 0 {
				t.Errorf("%d requests wrote to the registry", n)
			}
		})
	}
}

// What passed here is judged once more where it was sent: what a stranger would refuse
// there gets no tag and no folder, and no index names a folder that was there.
func TestPublishVerifiesThere(t *testing.T) {
	dir, cfg := firstIndex(t)
	from, site := filepath.Join(dir, "dist"), filepath.Join(dir, "site")
	entry := hollow(t, cfg, from)
	data, signature := listed(t, cfg, entry)
	verifying, err := config.LoadVerifying()
	if err != nil {
		t.Fatal(err)
	}
	name, writes := watched(t)
	p, err := newPublication(verifying, ReleasePublishRequest{Registry: name, Directory: site, Policy: "workstation"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.console.Close()
	if _, err := p.stranger.knows(data, signature); err != nil {
		t.Fatal(err)
	}
	r, err := publish.OpenRelease(t.Context(), p.options, from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	refused := func(where string, put func() error) {
		t.Helper()
		out, err := said(t, put)
		if !errors.Is(err, verify.ErrRefused) || status(publishedAll(err)) != 3 || !strings.Contains(out, "FAIL  release.json") || len(p.rows) > 0 {
			t.Errorf("%s: %v; it says\n%s", where, err, out)
		}
	}
	refused("in the registry", func() error { return p.toRegistry(t.Context(), r, from, entry) })
	at, err := consume.InRegistry(t.Context(), name, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := into(t.TempDir(), func(root *os.Root) error { return at.Files(t.Context(), entry, root) }); !errors.Is(err, consume.ErrNone) || writes.Load() == 0 {
		t.Errorf("a tag is there, or nothing was sent: %v", err)
	}
	refused("in the directory", func() error { return p.toDirectory(t.Context(), r, entry) })
	if left, err := os.ReadDir(site); len(left) > 0 {
		t.Errorf("in the directory: %v, %v", left, err)
	}
	if err := os.CopyFS(filepath.Join(site, "v1.0.0"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	refused("in a folder that was there", func() error { return p.toDirectory(t.Context(), r, entry) })
}

// An index that was signed anew is published alone, and is then the one to believe.
func TestPublishIndexAlone(t *testing.T) {
	dir, cfg := firstIndex(t)
	site, key := filepath.Join(dir, "published"), config.PublicKey(cfg.Signing.Key)
	request := ReleasePublishRequest{Directory: site, Index: filepath.Join(dir, "release", "index", "releases.json"), Policy: "workstation"}
	if _, err := said(t, func() error {
		return ReleaseIndex(t.Context(), ReleaseIndexRequest{Index: filepath.Join(site, "releases.json"), Withdraw: "1.0.0", Why: "it is hollow"})
	}); err != nil {
		t.Fatal(err)
	}
	find := func(seen string) error {
		verifying, err := config.LoadVerifying()
		if err != nil {
			t.Fatal(err)
		}
		s, err := newStranger(verifying, ReleaseVerifyRequest{Policy: "workstation", Key: key, Seen: seen})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.find(t.Context(), consume.Directory(site))
		return err
	}
	if err := find(""); !errors.Is(err, releases.ErrExpired) || status(fetched(err)) != 3 {
		t.Errorf("the first has expired: %v", err)
	}
	out, err := said(t, func() error { return ReleasePublish(t.Context(), request) })
	if err != nil || !strings.Contains(out, "index 2") {
		t.Fatalf("%s%v", out, err)
	}
	for seen, want := range map[string]error{"": releases.ErrWithdrawn, "2": releases.ErrWithdrawn, "3": releases.ErrRollback} {
		if err := find(seen); !errors.Is(err, want) || status(fetched(err)) != 3 {
			t.Errorf("seen %s: %v, want %v", seen, err, want)
		}
	}
	if out, err = said(t, func() error { return ReleasePublish(t.Context(), request) }); err != nil || !strings.Contains(out, " 0\n") {
		t.Errorf("again: %s%v", out, err)
	}
	request.Index = filepath.Join(dir, "release", "index", "none.json")
	if err := ReleasePublish(t.Context(), request); status(err) != 2 {
		t.Errorf("an index that is not there: %v", err)
	}
	request.Index, request.First = filepath.Join(site, "releases.json"), true
	if err := ReleasePublish(t.Context(), request); status(err) != 2 || !strings.Contains(err.Error(), "goes without") {
		t.Errorf("the first: %v", err)
	}
	request.First, request.Directory = false, filepath.Join(dir, "new")
	if err := ReleasePublish(t.Context(), request); status(err) != 2 || !errors.Is(err, publish.ErrFirst) {
		t.Errorf("where there is none: %v", err)
	}
}

// Each refusal has its status: what was published and is not as it has to be is
// refused; of what cannot be had nothing is told.
func TestFetched(t *testing.T) {
	for want, all := range map[int][]error{
		1: {consume.ErrNone, registry.ErrUnavailable, registry.ErrDenied, registry.ErrNotFound, context.Canceled},
		2: {bundle.ErrTrust, registry.ErrReference, config.ErrUsage},
		3: {consume.ErrForm, consume.ErrMismatch, consume.ErrTooLarge, ocilayout.ErrMissing, registry.ErrDigest, releases.ErrWithdrawn, verify.ErrReleases},
	} {
		for _, err := range all {
			got := fetched(fmt.Errorf("x: %w", err))
			if status(got) != want || !errors.Is(got, err) || errors.Is(got, verify.ErrRefused) != (want == 3) {
				t.Errorf("%v has status %d, want %d", got, status(got), want)
			}
			if again := publishedAll(got); want != 1 && again != got {
				t.Errorf("of what has a status, %v", again)
			}
		}
	}
	for want, all := range map[int][]error{
		2: {publish.ErrFirst},
		3: {publish.ErrIndex, publish.ErrTag, publish.ErrMismatch, publish.ErrUnsigned, release.ErrForeign, releases.ErrExpired},
	} {
		for _, err := range all {
			if got := publishedAll(fmt.Errorf("x: %w", err)); status(got) != want || !errors.Is(got, err) {
				t.Errorf("%v has status %d, want %d", got, status(got), want)
			}
		}
	}
	if publishedAll(nil) != nil || fetched(nil) != nil {
		t.Error("nothing is a failure")
	}
}

func TestNewReleaseRequests(t *testing.T) {
	empty, some := "", "x"
	if req, err := NewReleasePublishRequest(&some, nil, &some, nil, &some, nil, nil, nil, &some); err != nil || req.Plan != some || req.Digests != some || req.Directory != some || req.TrustedRoot != some || req.Registry != "" {
		t.Errorf("got %+v, %v", req, err)
	}
	if _, err := NewReleasePublishRequest(nil, nil, &empty, nil, nil, nil, nil, nil, nil); status(err) != 2 || !strings.Contains(err.Error(), "-digests= is empty") {
		t.Errorf("got %v", err)
	}
	if req, err := NewReleaseVerifyRequest(nil, &some, nil, nil, nil, &some, nil, nil, &some); err != nil || req.Directory != some || req.Seen != some || req.Folder != some || req.Version != "" {
		t.Errorf("got %+v, %v", req, err)
	}
	if _, err := NewReleaseVerifyRequest(nil, nil, nil, nil, nil, &empty, nil, nil, nil); status(err) != 2 || !strings.Contains(err.Error(), "-seen= is empty") {
		t.Errorf("got %v", err)
	}
}
