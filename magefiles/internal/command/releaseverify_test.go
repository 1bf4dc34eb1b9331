package command

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
)

// Whatever a stranger finds has its status, and leaves no folder.
func TestReleaseVerifyRefuses(t *testing.T) {
	dir, cfg := firstIndex(t)
	entry := hollow(t, cfg, filepath.Join(dir, "dist"))
	site, key := filepath.Join(dir, "site"), config.PublicKey(cfg.Signing.Key)
	next, err := releases.First("palisade", entry, time.Now(), releases.DefaultLife)
	if err != nil {
		t.Fatal(err)
	}
	data, err := next.Encode()
	if err != nil {
		t.Fatal(err)
	}
	putIndex(t, cfg, site, data)
	if err := os.CopyFS(filepath.Join(site, "v1.0.0"), os.DirFS(filepath.Join(dir, "dist"))); err != nil {
		t.Fatal(err)
	}
	unsigned := filepath.Join(dir, "unsigned")
	write(t, filepath.Join(unsigned, "releases.json"), string(data))
	other := filepath.Join(dir, "other")
	putIndex(t, cfg, other, data)
	if err := os.CopyFS(filepath.Join(other, "v1.0.0"), os.DirFS(filepath.Join(dir, "dist"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "v1.0.0", "SHA256SUMS"), "others")
	kept := filepath.Join(dir, "kept")
	own := func(r ReleaseVerifyRequest) ReleaseVerifyRequest {
		r.Policy, r.Key, r.Folder = "workstation", key, kept
		return r
	}
	for _, tt := range []struct {
		name   string
		req    ReleaseVerifyRequest
		status int
		says   string
		want   error
	}{
		{"another output", ReleaseVerifyRequest{Directory: site, Output: "xml"}, 2, "there are: text, json", nil},
		{"two places", own(ReleaseVerifyRequest{Directory: site, Registry: "localhost:1/x"}), 2, "leave one out", nil},
		{"no place", own(ReleaseVerifyRequest{}), 2, "-registry=HOST/PATH", nil},
		{"a URL", own(ReleaseVerifyRequest{Registry: "https://localhost:1/x"}), 2, "write HOST/REPOSITORY", nil},
		{"no number", own(ReleaseVerifyRequest{Directory: site, Seen: "x"}), 2, "-seen=x", nil},
		{"no such policy", ReleaseVerifyRequest{Directory: site, Policy: "mild"}, 2, "there is no policy", nil},
		{"the policy of releases", ReleaseVerifyRequest{Directory: site}, 2, "policy release believes certificates", nil},
		{"a folder that is there", ReleaseVerifyRequest{Directory: site, Policy: "workstation", Key: key, Folder: dir}, 2, "is there already", nil},
		{"nothing there", own(ReleaseVerifyRequest{Directory: filepath.Join(dir, "none")}), 1, "nothing was published there", consume.ErrNone},
		{"nothing there, and one was seen", own(ReleaseVerifyRequest{Directory: filepath.Join(dir, "none"), Seen: "1"}), 3, "number 1 was seen", verify.ErrNoReleases},
		{"a registry without one", own(ReleaseVerifyRequest{Registry: loopback(t)}), 1, "has no index of releases", consume.ErrNone},
		{"a registry that is down", own(ReleaseVerifyRequest{Registry: "localhost:1/x"}), 1, "", verify.ErrUnreachable},
		{"an index that nobody signed", own(ReleaseVerifyRequest{Directory: unsigned}), 3, "", verify.ErrReleases},
		{"an older index", own(ReleaseVerifyRequest{Directory: site, Seen: "2"}), 3, "", releases.ErrRollback},
		{"another version", own(ReleaseVerifyRequest{Directory: site, Version: "1.0.1"}), 3, "", releases.ErrNotReleased},
		{"other files", own(ReleaseVerifyRequest{Directory: other}), 3, "", consume.ErrMismatch},
		{"a release that does not pass", own(ReleaseVerifyRequest{Directory: site}), 3, "do not use it", verify.ErrRefused},
		{"the same by its version", own(ReleaseVerifyRequest{Directory: site, Version: "1.0.0", Seen: "1", Output: "json"}), 3, "do not use it", verify.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir()) // out of any checkout
			out, err := said(t, func() error { return ReleaseVerify(t.Context(), tt.req) })
			if status(err) != tt.status || !strings.Contains(err.Error(), tt.says) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v with status %d, want %v with %d and %q said", err, status(err), tt.want, tt.status, tt.says)
			}
			if tt.want == verify.ErrRefused && !strings.Contains(out, "release.json") {
				t.Errorf("it does not say what was checked:\n%s", out)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*kept*")); len(left) > 0 || err != nil {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}

// A version that is of another image than the one that was verified is refused, and
// so is one that is of none.
func TestReleaseVerifyTags(t *testing.T) {
	name := loopback(t)
	at, err := consume.InRegistry(t.Context(), name, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(tag, text string) artifact.Digest {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+strings.Replace(name, "/", "/v2/", 1)+"/beacon/manifests/"+tag, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", ocilayout.IndexType)
		answer, err := http.DefaultClient.Do(q)
		if err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		return artifact.DigestBytes([]byte(text))
	}
	i := artifact.Image{Component: "beacon", Version: "1.2.0-palisade.1", Index: put("1.2.0-palisade.1", `{"schemaVersion":2,"manifests":[]}`)}
	s := &stranger{}
	if err := s.tags(t.Context(), at, []artifact.Image{i}); err != nil {
		t.Error(err)
	}
	other := put("1.2.0-palisade.1", `{"schemaVersion":2,"manifests":[],"annotations":{}}`)
	if err := s.tags(t.Context(), at, []artifact.Image{i}); status(err) != 3 || !errors.Is(err, consume.ErrMismatch) || !strings.Contains(err.Error(), other.String()) {
		t.Errorf("moved: %v with status %d", err, status(err))
	}
	i.Version = "1.2.1-palisade.1"
	if err := s.tags(t.Context(), at, []artifact.Image{i}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
}

// What passes is kept under the name, what does not is not, and no name is nobody's.
func TestInFolder(t *testing.T) {
	dir := t.TempDir()
	name, refuse := filepath.Join(dir, "kept"), errors.New("not this one")
	fill := func(err error) func(string) error {
		return func(dir string) error {
			write(t, filepath.Join(dir, "a", "b"), "c")
			return err
		}
	}
	if err := inFolder(name, fill(refuse)); !errors.Is(err, refuse) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := inFolder(name, fill(nil)); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(name, "a", "b")); string(data) != "c" {
		t.Error(err)
	}
	if err := inFolder(name, fill(nil)); status(err) != 2 {
		t.Errorf("%v has status %d", err, status(err))
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{nil, refuse} {
		if err := inFolder("", fill(want)); !errors.Is(err, want) {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}
