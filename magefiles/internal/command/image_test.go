package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/config"
)

// Everything is made again in a run of its own: each artifact, and then each
// image, of the platforms that it is for.
func TestSteps(t *testing.T) {
	amd64, arm := artifact.Platform{OS: "linux", Arch: "amd64"}, artifact.Platform{OS: "linux", Arch: "arm", Variant: "v7"}
	got := steps(
		[]artifact.Record{{Name: "bell.tar.gz", Component: "bell", Platform: arm, Variant: "vanilla"}},
		[]artifact.Image{{Name: "bell.oci.tar", Component: "bell", Variant: "hardened", Platforms: []artifact.PlatformImage{{Platform: amd64}, {Platform: arm}}}},
	)
	want := []string{
		"bell.tar.gz: build -component=bell -platform=linux/arm/v7 -variant=vanilla -sign=false",
		"bell.oci.tar: image -component=bell -platform=linux/amd64,linux/arm/v7 -variant=hardened -sign=false",
	}
	var lines []string
	for _, s := range got {
		lines = append(lines, s.Name+": "+strings.Join(s.Args, " "))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

// What a person can mend by saying something else is status 2.
func TestImageUsage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PALISADE_DIST", filepath.Join(dir, "dist"))
	t.Setenv("HOME", dir)
	t.Chdir(dir)
	file := filepath.Join(dir, "no.oci.tar")
	if err := os.WriteFile(file, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		do     func() error
		status int
		want   string
	}{
		{"an option for a file", func() error { return DiffImage(t.Context(), "-format=text", file, "") }, 2, `"-format=text" is neither a file nor a reference`},
		{"a folder", func() error { return DiffImage(t.Context(), dir, file, "") }, 2, "is not a regular file"},
		{"no image", func() error { return DiffImage(t.Context(), file, file, "") }, 1, "reading " + file},
		{"no file", func() error { return DiffImage(t.Context(), "other.oci.tar", file, "") }, 1, "no such file"},
		{"no reference", func() error { return DiffImage(t.Context(), "bell", file, "") }, 2, "it names no image in a registry"},
		{"nothing to publish", func() error { return Publish(t.Context(), PublishRequest{Registry: "localhost:1/bell"}) }, 2, "run mage image"},
		{"two things to verify", func() error { return Verify(t.Context(), VerifyRequest{Image: "localhost:1/bell:1", Path: file}) }, 2, "leave one out"},
	} {
		if err := tt.do(); err == nil || status(err) != tt.status || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v with status %d, want %d, %s", tt.name, err, status(err), tt.status, tt.want)
		}
	}
}

// Images are chosen by names that the release has.
func TestChooseOf(t *testing.T) {
	images := []artifact.Image{{Component: "ring"}, {Component: "bell"}, {Component: "bell"}}
	of := func(i artifact.Image) string { return i.Component }
	for names, want := range map[string]string{"": "bell ring", "ring": "ring", "ring,bell": "ring bell"} {
		if got, err := chooseOf("component", names, images, of); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v", names, got, err)
		}
	}
	if _, err := chooseOf("component", "bel", images, of); status(outcome(err)) != 2 || !strings.HasSuffix(err.Error(), `"bel"; there are: bell, ring`) {
		t.Errorf("got %v", err)
	}
}

// Who has to have signed what is published is said, or named by the release.
func TestChooseSigner(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := signing.MarshalPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	with, without, torn, key := filepath.Join(dir, "with"), filepath.Join(dir, "without"), filepath.Join(dir, "torn"), filepath.Join(dir, "key.pub")
	for _, d := range []string{with, without, torn} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{filepath.Join(with, "cosign.pub"): public, filepath.Join(torn, "cosign.pub"): public[:40], key: public} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, dist string
		req        PublishRequest
		want       string // of the error; empty for trust in the key
	}{
		{"of the release", with, PublishRequest{}, ""},
		{"of a policy", without, PublishRequest{Policy: "workstation", Key: key}, ""},
		{"nobody", without, PublishRequest{}, "-policy=NAME|FILE"},
		{"half a key", torn, PublishRequest{}, "run mage sign"},
		{"key without a policy", with, PublishRequest{Key: key}, "go with -policy"},
		{"root without a policy", with, PublishRequest{TrustedRoot: key}, "go with -policy"},
		{"no such policy", with, PublishRequest{Policy: "mild"}, `there is no policy "mild"`},
		{"policy of identities without their root", with, PublishRequest{Policy: "release"}, "-trustedRoot=FILE"},
	} {
		got, rebuilders, err := chooseSigner(&config.Verifying{Dist: tt.dist}, tt.req)
		if len(rebuilders.Keys)+len(rebuilders.Identities) > 0 {
			t.Errorf("%s: rebuilders %+v", tt.name, rebuilders)
		}
		switch {
		case tt.want == "" && (err != nil || len(got.Keys) != 1 || !private.PublicKey.Equal(got.Keys[0]) || len(got.Identities) > 0):
			t.Errorf("%s: got %+v, %v", tt.name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	empty := ""
	if _, err := NewPublishRequest(nil, nil, nil, &empty, nil, nil); status(err) != 2 || !strings.Contains(err.Error(), "-policy= is empty") {
		t.Errorf("an empty policy: %v", err)
	}
}

// A registry that nobody named is that of the distribution, if it names one.
func TestChooseRegistry(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	with := t.TempDir()
	text, err := os.ReadFile(filepath.Join(root, "recipes", "distribution.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(with, "recipes"), 0o755); err != nil {
		t.Fatal(err)
	}
	named := strings.Replace(string(text), "\nregistry: \"\"\n", "\nregistry: registry.example/house\n", 1)
	if err := os.WriteFile(filepath.Join(with, "recipes", "distribution.yaml"), []byte(named), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ root, named, want string }{
		{root, "localhost:1/bell", "localhost:1/bell"}, {"", "localhost:1/bell", "localhost:1/bell"},
		{with, "", "registry.example/house"}, {with, "localhost:1/bell", "localhost:1/bell"}, {root, "", ""}, {"", "", ""},
	} {
		got, err := chooseRegistry(&config.Verifying{Root: tt.root}, tt.named)
		if got != tt.want || tt.want == "" && status(outcome(err)) != 2 {
			t.Errorf("%+v: got %q, %v", tt, got, err)
		}
	}
}
