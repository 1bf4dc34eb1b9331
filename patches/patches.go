// Package patches guarantees that a source tree is changed exactly as its
// patch series says, or not at all.
//
// It refuses fuzz and offsets: every line of context must stand at the line
// that the patch names. It refuses whatever it would have to guess about:
// text between diffs, unknown header fields, patches that the series does not
// name, renames, copies, mode changes, symbolic links, binary diffs, and every
// path that leaves the tree.
//
// # Layout
//
// patches/<module>/<version>/ holds the changes to one version of one module,
// <module> being the last element of its path: prometheus/v0.315.0. In it lie
// a file named series, the patches that it names, NNNN-subject.patch, perhaps a
// file named upstream-tests, and nothing else.
//
// # Series
//
// The file series is in quilt's format without options: one patch file name
// per line in order of application, their numbers strictly ascending. Blank
// lines and lines that begin with # are skipped.
//
// # Patch
//
// A patch is UTF-8 text: a header, then diffs as "git diff --no-renames"
// writes them, with the prefixes a/ and b/ and lines of context around each
// change. Files keep their modes and a new file is 100644, for a module zip
// carries no run bits.
//
// The header has fields after Debian's DEP-3, each exactly once, in any order, and
// the last only where it says something.
// A line that begins with a space continues the field above it; a line of
// space and full stop is an empty line.
//
//	Description: what it changes, in one line
//	 why, in at least one more
//	Forwarded: upstream status: a URL, or no or not-needed and the reason
//	Drop-When: what must be true for the patch to go
//	Variants: hardened, vanilla
//	Interface: bundle
//
// Variants names the variants of a component that get the patch; hardened is
// always among them. Interface is the one kind of web interface, as a recipe's ui
// names it, that the patch is there for: with any other they do not get it.
//
// # Upstream's tests
//
// The file upstream-tests lists upstream's tests that fail once the series is
// applied, because they hold the module to what the series changes. Each line
// names the package's folder below the module's root ("." for that itself), the
// test as the go command prints it, and the reason, with a space between:
//
//	web TestServerBehaviour/empty_yml serves plain HTTP without configuration
//
// A test stands for its subtests. Lines ascend by package and test; blank lines
// and lines that begin with # are skipped.
package patches

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"palisade/attestations/artifact"
)

// Bounds of what Load reads, in bytes and in number.
const (
	MaxSeriesSize = 64 << 10 // a file named series
	MaxPatchSize  = 4 << 20  // a patch
	MaxPatches    = 999      // patches of a series
	MaxFiles      = 1000     // files that a patch changes
)

// ErrMalformed is what every refusal of a series or a patch wraps that is due
// to its form, whatever tree it is for.
var ErrMalformed = errors.New("malformed patch series")

// A Series is the changes to one version of a module, in order of
// application. The Series of a module without any is empty, not an error.
type Series struct {
	Module  string // the folder's name: prometheus
	Version string // v0.315.0
	Patches []Patch
	Broken  []BrokenTest // by package and test
}

// A Patch is one file of a series. Only Load makes one that Apply accepts.
type Patch struct {
	Name   string // below patches/: prometheus/v0.315.0/0001-no-old-ui.patch
	Digest artifact.Digest
	Header Header

	files []*gitdiff.File
}

var (
	folderName = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*$`)
	patchName  = regexp.MustCompile(`^[0-9]{4}-[a-z0-9]+([._-][a-z0-9]+)*\.patch$`)
)

// Load reads and checks the series of a module's version from fsys, which is
// rooted at patches/. Without a folder for it the Series is empty. Every other
// error names file and line and wraps ErrMalformed or what reading returned.
func Load(fsys fs.FS, module, version string) (Series, error) {
	s := Series{Module: module, Version: version}
	if !folderName.MatchString(module) || !folderName.MatchString(version) {
		return Series{}, fmt.Errorf("%w: %q and %q do not name a module and its version", ErrMalformed, module, version)
	}
	dir := path.Join(module, version)
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return Series{}, fmt.Errorf("reading patch series %s: %w", dir, err)
	}
	index := path.Join(dir, "series")
	data, err := readFile(fsys, index, MaxSeriesSize)
	if err != nil {
		return Series{}, err
	}
	names, err := parseSeries(index, data)
	if err != nil {
		return Series{}, err
	}
	for _, e := range entries {
		if e.Name() == brokenName {
			if s.Broken, err = loadBroken(fsys, path.Join(dir, brokenName)); err != nil {
				return Series{}, err
			}
			continue
		}
		if e.Name() != "series" && !slices.Contains(names, e.Name()) {
			return Series{}, fmt.Errorf("%w: %s is not named in %s: add it there or remove it", ErrMalformed, path.Join(dir, e.Name()), index)
		}
	}
	for _, name := range names {
		p, err := load(fsys, path.Join(dir, name))
		if err != nil {
			return Series{}, err
		}
		s.Patches = append(s.Patches, p)
	}
	return s, nil
}

// All loads every series below fsys, which is rooted at patches/, sorted by
// module and version. A folder that is no series is an error, so that none is
// forgotten because its name is wrong.
func All(fsys fs.FS) ([]Series, error) {
	modules, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("reading patches: %w", err)
	}
	var all []Series
	for _, m := range modules {
		if !m.IsDir() || m.Name() == "testdata" {
			continue
		}
		versions, err := fs.ReadDir(fsys, m.Name())
		if err != nil {
			return nil, fmt.Errorf("reading patches: %w", err)
		}
		for _, v := range versions {
			if !v.IsDir() {
				return nil, fmt.Errorf("%w: %s is not a version's folder", ErrMalformed, path.Join(m.Name(), v.Name()))
			}
			s, err := Load(fsys, m.Name(), v.Name())
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// For is the part of s that the variant gets with a web interface of that kind, "" for
// none, in the same order.
func (s Series) For(variant, kind string) Series {
	some := Series{Module: s.Module, Version: s.Version, Broken: s.Broken}
	for _, p := range s.Patches {
		if slices.Contains(p.Header.Variants, variant) && (p.Header.Interface == "" || p.Header.Interface == kind) {
			some.Patches = append(some.Patches, p)
		}
	}
	return some
}

// Files is every file that a patch of s adds, changes or deletes, below the
// module's root and slash-separated, sorted.
func (s Series) Files() []string {
	var names []string
	for _, p := range s.Patches {
		for _, f := range p.files {
			names = append(names, target(f))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func load(fsys fs.FS, name string) (Patch, error) {
	data, err := readFile(fsys, name, MaxPatchSize)
	if err != nil {
		return Patch{}, err
	}
	header, lines, err := parseHeader(name, data)
	if err != nil {
		return Patch{}, err
	}
	files, err := parseDiff(name, data, lines)
	if err != nil {
		return Patch{}, err
	}
	return Patch{name, artifact.DigestBytes(data), header, files}, nil
}

// parseSeries returns the patch file names in order; name is for errors.
func parseSeries(name string, data []byte) ([]string, error) {
	var names []string
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if !patchName.MatchString(line) {
			return nil, malformed(name, i+1, "%q is not a patch file name like 0001-subject.patch, alone on its line", line)
		}
		if n := len(names); n > 0 && names[n-1][:4] >= line[:4] {
			return nil, malformed(name, i+1, "%s stands behind %s: numbers must ascend", line, names[n-1])
		}
		if names = append(names, line); len(names) > MaxPatches {
			return nil, malformed(name, i+1, "more than %d patches", MaxPatches)
		}
	}
	if len(names) == 0 {
		return nil, malformed(name, 1, "names no patch: remove the folder if nothing is changed")
	}
	return names, nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrMalformed, name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrMalformed, name)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrMalformed, name, limit)
	}
	return data, nil
}

func malformed(name string, line int, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrMalformed, name, line, fmt.Sprintf(format, args...))
}
