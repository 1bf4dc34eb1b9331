package npm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"palisade/attestations/artifact"
)

// Bounds of a lock file.
const (
	MaxLock         = 16 << 20 // bytes
	MaxLockPackages = 20_000
)

// ErrLock is what every refusal of a lock file wraps.
var ErrLock = errors.New("unusable pnpm lock file")

// A LockedPackage is a package that a lock file pins, and the hosts that it is
// for, in npm's words: each list empty for any, "!x" for any but x.
type LockedPackage struct {
	artifact.Package
	OS, CPU, Libc []string
}

// A Host is a machine in npm's words: linux, x64, glibc. Libc is empty where
// there is but one.
type Host struct{ OS, CPU, Libc string }

// HostOf translates a platform. linux means glibc, as the official builds of
// Node do. ok is false where npm has no word for p.
func HostOf(p artifact.Platform) (h Host, ok bool) {
	h.OS = map[string]string{"linux": "linux", "darwin": "darwin", "windows": "win32", "freebsd": "freebsd"}[p.OS]
	h.CPU = map[string]string{"amd64": "x64", "arm64": "arm64", "386": "ia32", "arm": "arm", "ppc64le": "ppc64",
		"s390x": "s390x", "riscv64": "riscv64"}[p.Arch]
	if h.OS == "linux" {
		h.Libc = "glibc"
	}
	return h, h.OS != "" && h.CPU != ""
}

// Fits reports whether pnpm installs l on h, where l is needed at all.
func (l LockedPackage) Fits(h Host) bool {
	return fits(l.OS, h.OS) && fits(l.CPU, h.CPU) && (h.Libc == "" || fits(l.Libc, h.Libc))
}

func fits(list []string, value string) bool {
	if len(list) == 0 || slices.Contains(list, "any") && len(list) == 1 {
		return true
	}
	denials := 0
	for _, entry := range list {
		if denied, ok := strings.CutPrefix(entry, "!"); ok {
			if denied == value {
				return false
			}
			denials++
		} else if entry == value {
			return true
		}
	}
	return denials == len(list)
}

// lock is pnpm-lock.yaml: https://github.com/pnpm/spec/blob/master/lockfile/9.0.md.
// What is not listed is refused; patchedDependencies and pnpmfileChecksum are
// left out on purpose, because they change what a package's integrity means.
type lock struct {
	Version   string                 `yaml:"lockfileVersion"`
	Settings  yaml.Node              `yaml:"settings"`
	Catalogs  yaml.Node              `yaml:"catalogs"`
	Overrides yaml.Node              `yaml:"overrides"`
	Importers yaml.Node              `yaml:"importers"`
	Packages  map[string]lockPackage `yaml:"packages"`
	Snapshots yaml.Node              `yaml:"snapshots"`
}

type lockPackage struct {
	Resolution map[string]string `yaml:"resolution"`
	OS         []string          `yaml:"os"`
	CPU        []string          `yaml:"cpu"`
	Libc       []string          `yaml:"libc"`
	Engines    yaml.Node         `yaml:"engines"`
	Peers      yaml.Node         `yaml:"peerDependencies"`
	PeersMeta  yaml.Node         `yaml:"peerDependenciesMeta"`
	Bundled    yaml.Node         `yaml:"bundledDependencies"`
	HasBin     bool              `yaml:"hasBin"`
	Deprecated string            `yaml:"deprecated"`
}

// ParseLock reads a pnpm-lock.yaml of lockfileVersion 9.0 and returns what its
// section "packages" pins, sorted by name and version. A package that is not
// pinned by one sha512 alone, and any key that this package does not know of
// the sections it reads, is an error; so is a lock beyond its bounds.
func ParseLock(data []byte) ([]LockedPackage, error) {
	if len(data) > MaxLock {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrLock, MaxLock)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var l lock
	if err := dec.Decode(&l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLock, err)
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its first document", ErrLock)
	}
	if l.Version != "9.0" {
		return nil, fmt.Errorf("%w: lockfileVersion %q, want 9.0", ErrLock, l.Version)
	}
	if len(l.Packages) > MaxLockPackages {
		return nil, fmt.Errorf("%w: more than %d packages", ErrLock, MaxLockPackages)
	}
	locked := make([]LockedPackage, 0, len(l.Packages))
	for key, p := range l.Packages {
		one, err := lockedPackage(key, p)
		if err != nil {
			return nil, fmt.Errorf("%w: package %q: %w", ErrLock, key, err)
		}
		locked = append(locked, one)
	}
	slices.SortFunc(locked, func(a, b LockedPackage) int {
		return strings.Compare(a.Name+"\x00"+a.Version, b.Name+"\x00"+b.Version)
	})
	return locked, nil
}

func lockedPackage(key string, p lockPackage) (LockedPackage, error) {
	at := strings.LastIndexByte(key, '@')
	if at <= 0 {
		return LockedPackage{}, errors.New("its key is not name@version")
	}
	integrity := p.Resolution["integrity"]
	if integrity == "" || len(p.Resolution) != 1 {
		return LockedPackage{}, errors.New("it is not pinned by an integrity alone; packages from git, an address or a directory are refused")
	}
	l := LockedPackage{
		Package: artifact.Package{Name: key[:at], Version: key[at+1:], Integrity: integrity},
		OS:      p.OS, CPU: p.CPU, Libc: p.Libc,
	}
	if _, err := check(l.Package); err != nil {
		return LockedPackage{}, err
	}
	return l, nil
}
