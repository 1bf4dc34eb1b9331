package recipes

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
)

// A Distribution says who publishes and with which toolchains.
type Distribution struct {
	Name       string              `yaml:"name"`      // of the publisher, and the suffix of versions
	Publisher  string              `yaml:"publisher"` // the same for people
	Namespace  string              `yaml:"namespace"` // an https address of the publisher's, without a slash at its end: what he names begins with it
	Licence    string              `yaml:"licence"`   // of his own files and patches, an SPDX expression
	Licences   []Licence           `yaml:"licences"`  // statements that every recipe shares: of toolchains
	Platforms  []artifact.Platform `yaml:"platforms"`
	Toolchains Toolchains          `yaml:"toolchains"`
	Roots      *Roots              `yaml:"roots"`    // whom images trust
	Registry   string              `yaml:"registry"` // where images go if nobody says otherwise: host/path
	Release    *Release            `yaml:"release"`  // the next one; without it nothing is released
}

// Toolchains pins every program that runs in a build.
type Toolchains struct {
	Go   []GoToolchain      `yaml:"go"`
	Node []ProgramToolchain `yaml:"node"`
	Pnpm []PnpmToolchain    `yaml:"pnpm"`
	Elm  []ProgramToolchain `yaml:"elm"`
}

// A GoToolchain is golang.org/toolchain at one version: for each platform
// that builds, the h1 of its module.
type GoToolchain struct {
	Version string                       `yaml:"version"`
	Hosts   map[artifact.Platform]string `yaml:"hosts"`
}

// A ProgramToolchain is a program at one version, Node or Elm's compiler: for
// each platform that builds, an npm package of that version.
type ProgramToolchain struct {
	Version string                               `yaml:"version"`
	Hosts   map[artifact.Platform]ProgramPackage `yaml:"hosts"`
}

// A ProgramPackage is an npm package that holds a program.
type ProgramPackage struct {
	Package   string `yaml:"package"`
	Integrity string `yaml:"integrity"`
}

// A PnpmToolchain is the npm package pnpm at one version.
type PnpmToolchain struct {
	Version   string `yaml:"version"`
	Integrity string `yaml:"integrity"`
}

// FindGo returns the pinned Go of that version.
func (t *Toolchains) FindGo(version string) (GoToolchain, bool) {
	return find(t.Go, func(g GoToolchain) bool { return g.Version == version })
}

// FindNode returns the pinned Node of that version.
func (t *Toolchains) FindNode(version string) (ProgramToolchain, bool) {
	return find(t.Node, func(n ProgramToolchain) bool { return n.Version == version })
}

// FindElm returns the pinned compiler of Elm of that version.
func (t *Toolchains) FindElm(version string) (ProgramToolchain, bool) {
	return find(t.Elm, func(e ProgramToolchain) bool { return e.Version == version })
}

// FindPnpm returns the pinned pnpm of that version.
func (t *Toolchains) FindPnpm(version string) (PnpmToolchain, bool) {
	return find(t.Pnpm, func(p PnpmToolchain) bool { return p.Version == version })
}

func find[T any](all []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, match); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}

var namespaceForm = regexp.MustCompile(`^https://[a-z0-9.\-]+(/[a-zA-Z0-9._\-]+)*$`)

// LoadDistribution reads distribution.yaml of fsys, which is rooted at recipes/.
func LoadDistribution(fsys fs.FS) (*Distribution, error) {
	var d Distribution
	if err := decode(fsys, "distribution.yaml", &d); err != nil {
		return nil, err
	}
	// The name becomes part of semantic versions, which have no "_".
	if !nameForm.MatchString(d.Name) || strings.Contains(d.Name, "_") || len(d.Platforms) == 0 || len(d.Toolchains.Go) == 0 {
		return nil, fmt.Errorf("%w: distribution.yaml: name, platforms and toolchains.go are all needed", ErrInvalid)
	}
	if d.Publisher == "" || !ValidLicence(d.Licence) || !namespaceForm.MatchString(d.Namespace) {
		return nil, fmt.Errorf("%w: distribution.yaml: publisher, licence (an SPDX expression) and namespace (https://…, without a slash at its end) are all needed", ErrInvalid)
	}
	if err := validateLicences(d.Licences, nil); err != nil {
		return nil, fmt.Errorf("%w: distribution.yaml: %w", ErrInvalid, err)
	}
	if err := d.validateImages(); err != nil {
		return nil, err
	}
	if err := d.validateRelease(); err != nil {
		return nil, err
	}
	for _, g := range d.Toolchains.Go {
		for p, sum := range g.Hosts {
			if !strings.HasPrefix(sum, "h1:") {
				return nil, fmt.Errorf("%w: distribution.yaml: go %s for %s: %q is not an h1 hash", ErrInvalid, g.Version, p, sum)
			}
		}
	}
	for name, versions := range map[string][]ProgramToolchain{"node": d.Toolchains.Node, "elm": d.Toolchains.Elm} {
		for _, n := range versions {
			for p, pkg := range n.Hosts {
				if pkg.Package == "" || !strings.HasPrefix(pkg.Integrity, "sha512-") {
					return nil, fmt.Errorf("%w: distribution.yaml: %s %s for %s: package and its sha512 are needed", ErrInvalid, name, n.Version, p)
				}
			}
		}
	}
	for _, p := range d.Toolchains.Pnpm {
		if !strings.HasPrefix(p.Integrity, "sha512-") {
			return nil, fmt.Errorf("%w: distribution.yaml: pnpm %s: %q is not a sha512", ErrInvalid, p.Version, p.Integrity)
		}
	}
	return &d, nil
}

// maxFile bounds every file of a recipe, in bytes.
const maxFile = 4 << 20

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrInvalid, name, maxFile)
	}
	return data, nil
}

func decode(fsys fs.FS, name string, into any) error {
	data, err := readFile(fsys, name)
	if err != nil {
		return err
	}
	return decodeBytes(name, data, into)
}

// decodeBytes reads one strict YAML document. Aliases are refused: they let a
// small file stand for a huge value, and no recipe needs one.
func decodeBytes(name string, data []byte, into any) error {
	var tree yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	if n := findAlias(&tree, 0); n != nil {
		return fmt.Errorf("%w: %s: line %d: aliases and deep nesting are not allowed", ErrInvalid, name, n.Line)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return fmt.Errorf("%w: %s: more than one document", ErrInvalid, name)
	}
	return nil
}

func findAlias(n *yaml.Node, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode || depth > 32 {
		return n
	}
	for _, c := range n.Content {
		if found := findAlias(c, depth+1); found != nil {
			return found
		}
	}
	return nil
}

// Sums is what a file in go.sum's format says: the h1 of each module version,
// that of its go.mod under a version ending in "/go.mod".
type Sums map[module.Version]string

// ParseSums reads go.sum's format. A malformed line, or two hashes of one
// module version, is an error with its line.
func ParseSums(name string, data []byte) (Sums, error) {
	sums := Sums{}
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[2], "h1:") {
			return nil, fmt.Errorf("%w: %s:%d: not of the form \"module version h1:hash\"", ErrInvalid, name, i+1)
		}
		m := module.Version{Path: f[0], Version: f[1]}
		if old, ok := sums[m]; ok && old != f[2] {
			return nil, fmt.Errorf("%w: %s:%d: a second hash of %s", ErrInvalid, name, i+1, m)
		}
		sums[m] = f[2]
	}
	return sums, nil
}

// Encode writes s in go.sum's format and order.
func (s Sums) Encode() []byte {
	mods := make([]module.Version, 0, len(s))
	for m := range s {
		mods = append(mods, m)
	}
	slices.SortFunc(mods, compareSums)
	var b bytes.Buffer
	for _, m := range mods {
		fmt.Fprintf(&b, "%s %s %s\n", m.Path, m.Version, s[m])
	}
	return b.Bytes()
}

// compareSums is go.sum's order, made total: versions that differ in what
// semantic versioning does not order would else come as the map gives them.
func compareSums(a, b module.Version) int {
	versionA, _, _ := strings.Cut(a.Version, "/")
	versionB, _, _ := strings.Cut(b.Version, "/")
	return cmp.Or(strings.Compare(a.Path, b.Path), semver.Compare(versionA, versionB), strings.Compare(a.Version, b.Version))
}

// DiffSums lists what has to change in old to get new, in go.sum's order:
// lines that begin with "-" go, lines that begin with "+" come.
func DiffSums(old, new Sums) []string {
	mods := make([]module.Version, 0, len(old)+len(new))
	for m := range old {
		mods = append(mods, m)
	}
	for m := range new {
		if _, ok := old[m]; !ok {
			mods = append(mods, m)
		}
	}
	slices.SortFunc(mods, compareSums)
	var lines []string
	for _, m := range mods {
		if old[m] == new[m] {
			continue
		}
		for _, side := range []struct{ sign, sum string }{{"-", old[m]}, {"+", new[m]}} {
			if side.sum != "" {
				lines = append(lines, fmt.Sprintf("%s %s %s %s", side.sign, m.Path, m.Version, side.sum))
			}
		}
	}
	return lines
}
