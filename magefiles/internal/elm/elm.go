// Package elm speaks of packages of Elm 0.19.1 as its compiler does: what an
// elm.json names, the folder in which the compiler looks for packages before it
// asks a server, and which packages something of is in what it wrote.
//
// It refuses an elm.json that is malformed or of another kind, names and versions
// that could not be a folder's, a package that is not what its elm.json says, and
// a definition in compiled code that it can attribute to nobody.
//
// # Home
//
// The compiler finds packages below ELM_HOME, and asks no server where all that
// it looks for is there (elm/compiler, builder/src/Stuff.hs and
// Deps/Registry.hs):
//
//	0.19.1/packages/<author>/<name>/<version>/   the source of a package at its tag
//	0.19.1/packages/registry.dat                 which versions there are
//
// registry.dat is, with numbers big-endian: the count of all versions in 8 bytes,
// the count of packages in 8, and for each package, in order of the bytes of
// author and name: each of these as one byte of length and its bytes; the newest
// version; the count of older versions in 8 bytes, and these. A version is three
// bytes, or where a number does not fit the byte 255 and three numbers of two.
package elm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Version is that of the language, and of the folder of packages.
const Version = "0.19.1"

// maxJSON bounds an elm.json, in bytes.
const maxJSON = 1 << 20

var (
	// ErrMalformed is wrapped by every refusal of an elm.json, a name or a version.
	ErrMalformed = errors.New("malformed package or application of Elm")
	// ErrUnknown is wrapped where nobody is known whom a definition is of.
	ErrUnknown = errors.New("definition of nobody's in what Elm's compiler wrote")
)

// A Package is a package of Elm's at one version, and where its source lies.
type Package struct {
	Name    string // author/name
	Version string // 1.0.0
	Dir     string // on this machine
}

func (p Package) String() string { return p.Name + "@" + p.Version }

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,99}/[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	versionForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})$`)
)

func check(name, version string) error {
	if len(name) > 200 || !nameForm.MatchString(name) || !versionForm.MatchString(version) {
		return fmt.Errorf("%w: package %.100q at version %.20q", ErrMalformed, name, version)
	}
	return nil
}

// Application returns what the elm.json of an application names, but for its
// tests': the version of each package, by name.
func Application(data []byte) (map[string]string, error) {
	var said struct {
		Type         string
		Elm          string `json:"elm-version"`
		Dependencies struct{ Direct, Indirect map[string]string }
	}
	if err := decode(data, &said); err != nil {
		return nil, err
	}
	if said.Type != "application" || said.Elm != Version {
		return nil, fmt.Errorf("%w: it is of type %.20q for Elm %.20q, not an application for %s", ErrMalformed, said.Type, said.Elm, Version)
	}
	all := map[string]string{}
	for _, list := range []map[string]string{said.Dependencies.Direct, said.Dependencies.Indirect} {
		for name, version := range list {
			if err := check(name, version); err != nil {
				return nil, err
			}
			if _, ok := all[name]; ok {
				return nil, fmt.Errorf("%w: it names %s twice", ErrMalformed, name)
			}
			all[name] = version
		}
	}
	return all, nil
}

// WithoutTests is an application's elm.json without what it names for its tests:
// the compiler looks for that even where it compiles no test.
func WithoutTests(data []byte) ([]byte, error) {
	said := map[string]json.RawMessage{}
	if err := decode(data, &said); err != nil {
		return nil, err
	}
	said["test-dependencies"] = json.RawMessage(`{"direct":{},"indirect":{}}`)
	return json.MarshalIndent(said, "", "    ")
}

// dependencies reads the elm.json of p's source, refuses it if it is another
// package's, and returns the names of the packages that p imports.
func (p Package) dependencies() ([]string, error) {
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open("elm.json")
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", p, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", p, err)
	}
	var said struct {
		Type, Name, Version string
		Dependencies        map[string]string
	}
	if err := decode(data, &said); err != nil {
		return nil, fmt.Errorf("package %s: elm.json: %w", p, err)
	}
	if said.Type != "package" || said.Name != p.Name || said.Version != p.Version {
		return nil, fmt.Errorf("package %s: %w: its elm.json is that of the %.20q %.100q at version %.20q", p, ErrMalformed, said.Type, said.Name, said.Version)
	}
	var names []string
	for name := range said.Dependencies {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func decode(data []byte, into any) error {
	if len(data) > maxJSON {
		return fmt.Errorf("%w: larger than %d bytes", ErrMalformed, maxJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows its value", ErrMalformed)
	}
	return nil
}

// LayHome makes at dir, which is not there or empty, what ELM_HOME has to be for
// the compiler to find packages, and nothing else. Of a package elm.json and src are
// laid there: what the compiler takes for its own work of another day would be used
// instead of the source.
func LayHome(dir string, packages []Package) error {
	registry, err := Registry(packages)
	if err != nil {
		return err
	}
	below := filepath.Join(dir, Version, "packages")
	if err := os.MkdirAll(below, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(below)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range packages {
		if _, err := p.dependencies(); err != nil {
			return err
		}
		to := path.Join(p.Name, p.Version)
		if err := root.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := copyPackage(root, to, p.Dir); err != nil {
			return fmt.Errorf("copying package %s: %w", p, err)
		}
	}
	return root.WriteFile("registry.dat", registry, 0o644)
}

// copyPackage copies elm.json of from, and the regular files of its src, below to.
// Anything else but folders is refused there.
func copyPackage(root *os.Root, to, from string) error {
	source, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer source.Close()
	place := func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return root.MkdirAll(path.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%w: %s is neither file nor folder", ErrMalformed, name)
		}
		data, err := source.ReadFile(name)
		if err != nil {
			return err
		}
		return root.WriteFile(path.Join(to, name), data, 0o644)
	}
	return errors.Join(fs.WalkDir(source.FS(), "elm.json", place), fs.WalkDir(source.FS(), "src", place))
}

// Registry is a registry.dat that knows these packages, each at its one version.
func Registry(packages []Package) ([]byte, error) {
	sorted := slices.Clone(packages)
	slices.SortFunc(sorted, func(a, b Package) int { return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/")) })
	count := uint64(len(sorted))
	out := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, count), count)
	for i, p := range sorted {
		if err := check(p.Name, p.Version); err != nil {
			return nil, err
		}
		if i > 0 && sorted[i-1].Name == p.Name {
			return nil, fmt.Errorf("%w: package %s is there twice", ErrMalformed, p.Name)
		}
		for part := range strings.SplitSeq(p.Name, "/") {
			out = append(append(out, byte(len(part))), part...)
		}
		var err error
		if out, err = appendVersion(out, p.Version); err != nil {
			return nil, err
		}
		out = binary.BigEndian.AppendUint64(out, 0)
	}
	return out, nil
}

func appendVersion(out []byte, version string) ([]byte, error) {
	var numbers [3]uint16
	small := true
	for i, part := range strings.Split(version, ".") {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: version %s", ErrMalformed, version)
		}
		numbers[i] = uint16(n)
		small = small && n < 256 && (i > 0 || n < 255)
	}
	if small {
		return append(out, byte(numbers[0]), byte(numbers[1]), byte(numbers[2])), nil
	}
	out = append(out, 255)
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint16(out, n)
	}
	return out, nil
}
