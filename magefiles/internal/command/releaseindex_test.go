package command

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/policies"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
)

// firstIndex has a user with a key, and an index of releases that he signed.
func firstIndex(t *testing.T) (dir string, cfg *config.Config) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, dir)
	}
	for _, name := range []string{"PALISADE_SIGNING_CONFIG", "PALISADE_TRUSTED_ROOT", "COSIGN_PASSWORD"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"cache", "dist", "release"} {
		t.Setenv("PALISADE_"+strings.ToUpper(name), filepath.Join(dir, name))
	}
	t.Setenv("PALISADE_KEY", filepath.Join(dir, "cosign.key"))
	if _, err := said(t, func() error { return GenerateKey(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	i, err := releases.First("palisade", releases.Release{
		Version: "1.0.0", Tag: "v1.0.0", Commit: strings.Repeat("0a", 20), Manifest: artifact.DigestBytes([]byte("release.json")), Images: []releases.Image{},
	}, time.Now().Add(-2*releases.DefaultLife), releases.DefaultLife) // it has expired, and is signed anew all the same
	if err != nil {
		t.Fatal(err)
	}
	data, err := i.Encode()
	if err != nil {
		t.Fatal(err)
	}
	putIndex(t, cfg, filepath.Join(dir, "published"), data)
	return dir, cfg
}

func putIndex(t *testing.T, cfg *config.Config, dir string, data []byte) {
	t.Helper()
	signature, err := signIndex(t.Context(), cfg.Signing, data)
	if err == nil {
		err = writeReleases(dir, data, signature)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readIndexAt(t *testing.T, dir string) (releases.Index, []byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, releases.FileName))
	if err != nil {
		t.Fatal(err)
	}
	i, err := releases.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return i, data
}

// An index is signed anew before it expires, or to withdraw a release; a run that
// was interrupted is made good by the next.
func TestReleaseIndex(t *testing.T) {
	dir, _ := firstIndex(t)
	published, out := filepath.Join(dir, "published"), filepath.Join(dir, "release", "index")
	first, _ := readIndexAt(t, published)
	req := ReleaseIndexRequest{Index: filepath.Join(published, releases.FileName), Life: "720h", Seen: "1"}
	text, err := said(t, func() error { return ReleaseIndex(t.Context(), req) })
	if err != nil || !strings.Contains(text, "number 2  sha256:") || !strings.Contains(text, "  expires ") {
		t.Fatalf("%v: %s", err, text)
	}
	second, data := readIndexAt(t, out)
	if err := errors.Join(second.Follows(first), second.Check(2, time.Now().Add(719*time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := second.Check(2, time.Now().Add(721*time.Hour)); !errors.Is(err, releases.ErrExpired) {
		t.Errorf("it lives longer than it was told to: %v", err)
	}
	same := func(want bool, what string) {
		t.Helper()
		text, err := said(t, func() error { return ReleaseIndex(t.Context(), req) })
		if err != nil {
			t.Fatalf("%s: %v: %s", what, err, text)
		}
		if _, again := readIndexAt(t, out); bytes.Equal(again, data) != want {
			t.Errorf("%s: the same is %t", what, !want)
		}
	}
	same(true, "run again")
	// Interrupted between the signature and the index.
	if err := os.Remove(filepath.Join(out, releases.FileName)); err != nil {
		t.Fatal(err)
	}
	req.Life = "721h"
	same(false, "interrupted")

	// What was published is followed by the next, in the same folder.
	for _, name := range []string{releases.FileName, releases.BundleName} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(published, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	second, data = readIndexAt(t, published)
	req.Withdraw, req.Why, req.Seen = "1.0.0", "It shines green.", "2"
	same(false, "published")
	third, _ := readIndexAt(t, out)
	if err := third.Follows(second); err != nil || third.Releases[0].Withdrawn != "It shines green." {
		t.Errorf("%v: %+v", err, third)
	}
	if _, err := third.Find(artifact.DigestBytes([]byte("release.json")), ""); !errors.Is(err, releases.ErrWithdrawn) {
		t.Errorf("Find = %v", err)
	}
	// What is there is another than is asked for now.
	req.Why = "It shines blue."
	if err := ReleaseIndex(t.Context(), req); status(err) != 2 || !strings.Contains(err.Error(), "it does not withdraw 1.0.0") {
		t.Errorf("%v with status %d", err, status(err))
	}
}

func TestReleaseIndexRefuses(t *testing.T) {
	dir, cfg := firstIndex(t)
	published := filepath.Join(dir, "published", releases.FileName)
	_, data := readIndexAt(t, filepath.Dir(published))
	bare := filepath.Join(dir, "bare", releases.FileName)
	if err := errors.Join(os.Mkdir(filepath.Dir(bare), 0o755), os.WriteFile(bare, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	putIndex(t, cfg, filepath.Join(dir, "malformed"), append(data, '\n'))
	for _, tt := range []struct {
		name   string
		req    ReleaseIndexRequest
		status int
		says   string
		want   error
	}{
		{"no index", ReleaseIndexRequest{}, 2, "-index=FILE", nil},
		{"an index that is not there", ReleaseIndexRequest{Index: bare + "x"}, 2, "releases.jsonx", nil},
		{"nobody's index", ReleaseIndexRequest{Index: bare}, 3, "there is no releases.json.sigstore.json", verify.ErrReleases},
		{"a malformed index", ReleaseIndexRequest{Index: filepath.Join(dir, "malformed", releases.FileName)}, 3, "not in the form", releases.ErrMalformed},
		{"an older one than was seen", ReleaseIndexRequest{Index: published, Seen: "2"}, 3, "take the newest", releases.ErrRollback},
		{"seen nothing", ReleaseIndexRequest{Index: published, Seen: "0"}, 2, "leave it out", nil},
		{"withdrawn for nothing", ReleaseIndexRequest{Index: published, Withdraw: "1.0.0"}, 2, "go together", nil},
		{"a reason for nothing", ReleaseIndexRequest{Index: published, Why: "x"}, 2, "go together", nil},
		{"withdrawn, and not there", ReleaseIndexRequest{Index: published, Withdraw: "2.0.0", Why: "x"}, 2, "name the version of a release", releases.ErrNotReleased},
		{"a reason on two lines", ReleaseIndexRequest{Index: published, Withdraw: "1.0.0", Why: "x\ny"}, 2, "on one line", releases.ErrMalformed},
		{"no time", ReleaseIndexRequest{Index: published, Life: "long"}, 2, "as 2160h", nil},
		{"for ever", ReleaseIndexRequest{Index: published, Life: "100000h"}, 2, "as 2160h", nil},
		{"over itself", ReleaseIndexRequest{Index: published, Folder: filepath.Dir(published)}, 2, "name another", nil},
		{"a policy that is not there", ReleaseIndexRequest{Index: published, Policy: "x"}, 2, "there is no policy", nil},
		{"a policy that nobody can be believed by", ReleaseIndexRequest{Index: published, Policy: "release"}, 2, "-trustedRoot=FILE", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := ReleaseIndex(t.Context(), tt.req)
			if status(err) != tt.status || !strings.Contains(err.Error(), tt.says) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v with status %d: want %d, %q and %v", err, status(err), tt.status, tt.says, tt.want)
			}
		})
	}
	// Somebody else signs.
	other, err := os.ReadFile(filepath.Join(dir, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(dir, "theirs.pub")
	if err := os.WriteFile(theirs, other, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PALISADE_KEY", filepath.Join(dir, "another.key"))
	if _, err := said(t, func() error { return GenerateKey(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	if err := ReleaseIndex(t.Context(), ReleaseIndexRequest{Index: published}); status(err) != 3 || !errors.Is(err, bundle.ErrWrongKey) {
		t.Errorf("what another signed: %v with status %d", err, status(err))
	}
	if err := ReleaseIndex(t.Context(), ReleaseIndexRequest{Index: published, Key: theirs}); status(err) != 2 || !strings.Contains(err.Error(), "believed by nobody") {
		t.Errorf("signed by another: %v with status %d", err, status(err))
	}
	if _, err := os.Stat(filepath.Join(dir, "release")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

// The index beside a release is read where one is needed, and no other.
func TestChooseIndex(t *testing.T) {
	dir := t.TempDir()
	folder, alone := filepath.Join(dir, "v1.0.0"), filepath.Join(dir, "alone", "v1.0.0")
	for _, d := range []string{folder, alone} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{releases.FileName, releases.BundleName, "other.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	required, err := policies.Load("release")
	if err != nil {
		t.Fatal(err)
	}
	not, err := policies.Load("workstation")
	if err != nil {
		t.Fatal(err)
	}
	beside := &verify.Freshness{Index: []byte(releases.FileName), Bundle: []byte(releases.BundleName)}
	with := func(f verify.Freshness, seen uint64, version string) *verify.Freshness {
		f.Seen, f.Version = seen, version
		return &f
	}
	for _, tt := range []struct {
		name     string
		req      FreshRequest
		folder   string
		required bool
		want     *verify.Freshness
		says     string
	}{
		{name: "nobody asks", folder: folder},
		{name: "the policy asks", folder: folder, required: true, want: beside},
		{name: "the policy asks, and there is none", folder: alone, required: true},
		{name: "the policy asks of an image", required: true},
		{name: "a number was seen", req: FreshRequest{Seen: "7"}, folder: folder, want: with(*beside, 7, "")},
		{name: "a number was seen, and there is none", req: FreshRequest{Seen: "7"}, folder: alone, want: &verify.Freshness{Seen: 7}},
		{name: "a version is asked for of an image", req: FreshRequest{Version: "1.0.0"}, want: &verify.Freshness{Version: "1.0.0"}},
		{name: "one is named", req: FreshRequest{Index: filepath.Join(dir, releases.FileName), Seen: "7", Version: "1.0.0"}, want: with(*beside, 7, "1.0.0")},
		{name: "one without a signature", req: FreshRequest{Index: filepath.Join(dir, "other.json")}, folder: folder, want: &verify.Freshness{Index: []byte("other.json")}},
		{name: "one that is not there", req: FreshRequest{Index: filepath.Join(dir, "x.json")}, folder: folder, says: "x.json"},
		{name: "a folder", req: FreshRequest{Index: dir}, says: "not a regular file"},
		{name: "no number", req: FreshRequest{Seen: "-1"}, says: "-seen=-1"},
		{name: "number 0", req: FreshRequest{Seen: "0"}, says: "-seen=0"},
		{name: "a number that no index has", req: FreshRequest{Seen: "9007199254740992"}, says: "-seen="},
	} {
		p := not
		if tt.required {
			p = required
		}
		got, err := chooseIndex(tt.req, tt.folder, p)
		if tt.says != "" {
			if !errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		same := (got == nil) == (tt.want == nil)
		if same && got != nil {
			same = bytes.Equal(got.Index, tt.want.Index) && bytes.Equal(got.Bundle, tt.want.Bundle) && got.Seen == tt.want.Seen && got.Version == tt.want.Version
		}
		if err != nil || !same {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}
