package npm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

var lockHead = "lockfileVersion: '9.0'\nsettings:\n  autoInstallPeers: true\n"

var integrity = pack("x", "1.0.0", "x").Integrity

func TestParseLock(t *testing.T) {
	locked, err := ParseLock([]byte(lockHead + fmt.Sprintf(`
importers:
  .:
    devDependencies:
      zed: {specifier: ^1.0.0, version: 1.0.0}
packages:
  zed@1.0.0:
    resolution: {integrity: %[1]s}
    engines: {node: '>=18'}
    hasBin: true
    deprecated: no longer kept
  '@scope/native-linux@2.0.0-rc.1':
    resolution: {integrity: %[1]s}
    cpu: [x64]
    os: [linux]
    libc: [glibc]
snapshots:
  zed@1.0.0: {}
`, integrity)))
	if err != nil {
		t.Fatal(err)
	}
	want := []LockedPackage{
		{Package: artifact.Package{Name: "@scope/native-linux", Version: "2.0.0-rc.1", Integrity: integrity},
			OS: []string{"linux"}, CPU: []string{"x64"}, Libc: []string{"glibc"}},
		{Package: artifact.Package{Name: "zed", Version: "1.0.0", Integrity: integrity}},
	}
	if got, want := fmt.Sprintf("%+v", locked), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseLockRefuses(t *testing.T) {
	entry := func(key, text string) string {
		return lockHead + "packages:\n  " + key + ":\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
	}
	pinned := "resolution: {integrity: " + integrity + "}"
	for name, text := range map[string]string{
		"empty":             "",
		"not YAML":          "{",
		"another version":   "lockfileVersion: '6.0'\n",
		"no version":        "packages: {}\n",
		"two documents":     lockHead + "---\n" + lockHead,
		"unknown section":   lockHead + "patchedDependencies: {}\n",
		"a pnpmfile":        lockHead + "pnpmfileChecksum: x\n",
		"from git":          entry("a@1.0.0", "resolution: {commit: 0123, repo: https://example.org/a, type: git}"),
		"from an address":   entry("a@1.0.0", "resolution: {integrity: "+integrity+", tarball: https://example.org/a.tgz}"),
		"from a directory":  entry("a@file:../a", "resolution: {directory: ../a, type: directory}"),
		"no resolution":     entry("a@1.0.0", "hasBin: true"),
		"sha1":              entry("a@1.0.0", "resolution: {integrity: sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=}"),
		"sha256":            entry("a@1.0.0", "resolution: {integrity: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=}"),
		"two hashes":        entry("a@1.0.0", "resolution: {integrity: "+integrity+" "+integrity+"}"),
		"unknown key":       entry("a@1.0.0", pinned+"\npatched: true"),
		"no version in key": entry("a", pinned),
		"scope alone":       entry("'@a'", pinned),
		"address as key":    entry("a@https://example.org/a.tgz", pinned),
		"climbing name":     entry("../a@1.0.0", pinned),
		"twice":             entry("a@1.0.0", pinned) + "  a@1.0.0:\n    " + pinned + "\n",
		"too large":         lockHead + strings.Repeat("#\n", MaxLock/2),
		"too many": lockHead + "packages:\n" + func() string {
			var b strings.Builder
			for i := range MaxLockPackages + 1 {
				fmt.Fprintf(&b, "  a@1.0.%d: {}\n", i)
			}
			return b.String()
		}(),
	} {
		if locked, err := ParseLock([]byte(text)); !errors.Is(err, ErrLock) || locked != nil {
			t.Errorf("%s: %d packages, error %v; want ErrLock", name, len(locked), err)
		}
	}
}

func TestFits(t *testing.T) {
	linux := Host{"linux", "x64", "glibc"}
	for _, test := range []struct {
		l    LockedPackage
		h    Host
		want bool
	}{
		{LockedPackage{}, linux, true},
		{LockedPackage{OS: []string{"linux"}, CPU: []string{"x64"}, Libc: []string{"glibc"}}, linux, true},
		{LockedPackage{OS: []string{"linux"}, CPU: []string{"x64"}, Libc: []string{"musl"}}, linux, false},
		{LockedPackage{OS: []string{"linux"}, CPU: []string{"arm64"}}, linux, false},
		{LockedPackage{OS: []string{"darwin", "linux"}}, linux, true},
		{LockedPackage{OS: []string{"!win32"}}, linux, true},
		{LockedPackage{OS: []string{"!win32", "!linux"}}, linux, false},
		{LockedPackage{CPU: []string{"wasm32"}}, linux, false},
		{LockedPackage{CPU: []string{"any"}}, linux, true},
		{LockedPackage{OS: []string{"darwin"}, Libc: []string{"musl"}}, Host{"darwin", "arm64", ""}, true},
	} {
		if got := test.l.Fits(test.h); got != test.want {
			t.Errorf("%+v on %+v: %v", test.l, test.h, got)
		}
	}
}

func TestHostOf(t *testing.T) {
	if h, ok := HostOf(artifact.Platform{OS: "linux", Arch: "amd64"}); !ok || h != (Host{"linux", "x64", "glibc"}) {
		t.Errorf("linux/amd64 is %+v, %v", h, ok)
	}
	if h, ok := HostOf(artifact.Platform{OS: "plan9", Arch: "amd64"}); ok {
		t.Errorf("plan9/amd64 is %+v", h)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte(lockHead + "packages:\n  '@a/b@1.0.0':\n    resolution: {integrity: " + integrity + "}\n    os: ['!win32']\n"))
	f.Add([]byte(lockHead + "packages:\n  a@1.0.0:\n    resolution: {tarball: https://example.org/a.tgz}\n"))
	f.Add([]byte(lockHead + "packages: &a\n  a@1.0.0: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		locked, err := ParseLock(data)
		if err != nil && (locked != nil || !errors.Is(err, ErrLock)) {
			t.Errorf("%d packages with error %v", len(locked), err)
		}
		for i, l := range locked {
			if _, err := check(l.Package); err != nil {
				t.Errorf("accepted what could not be fetched: %v", err)
			}
			if i > 0 && l.Name+"\x00"+l.Version <= locked[i-1].Name+"\x00"+locked[i-1].Version {
				t.Errorf("%s@%s is out of order", l.Name, l.Version)
			}
		}
	})
}
