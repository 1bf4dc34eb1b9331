package upstream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// Known is what is known of both sides before either archive is read: what has to
// be in them for a difference to have a reason.
type Known struct {
	Recipe       *recipes.Recipe
	Distribution *recipes.Distribution
	Platform     artifact.Platform
	Source       Source
}

// A Source is what the module that ours is built from, and the Go that builds it,
// say of how upstream builds. Both are read where their hashes were checked.
type Source struct {
	Go        string            // the version that upstream's builder is asked for: "1.26"
	Toolchain string            // of upstream's go.mod, "1.24.1"; "" if it names none
	Language  string            // its go line, "1.25.0"
	Tags      []string          // build tags for the platform
	Files     []string          // that promu packs beside the programs, by their names in the archive
	Requires  []module.Version  // of upstream's go.mod
	Sums      recipes.Sums      // of upstream's go.sum
	Assets    map[string][]byte // by name, what the module embeds as Go source that vfsgen wrote
	godebugs  map[string]godebug
	standard  func(importPath string) bool // whether the Go that builds ours has the package
}

// A godebug is a setting of which Go once changed the default.
type godebug struct {
	changed int    // minor version that did
	old     string // value before
}

const (
	maxSourceFile = 4 << 20 // bytes
	godebugTable  = "src/internal/godebugs/table.go"
)

// ErrSource is wrapped when a file of the source does not say what is looked for.
var ErrSource = errors.New("unexpected content of upstream's source")

// ReadSource reads the root of upstream's module, and that of the Go that builds ours.
func ReadSource(upstream, golang fs.FS, p artifact.Platform) (Source, error) {
	var s Source
	for _, f := range []struct {
		in   fs.FS
		name string
		read func([]byte) error
	}{
		{upstream, ".promu.yml", func(data []byte) error { return s.promu(data, p) }},
		{upstream, "go.mod", s.goMod},
		{upstream, "go.sum", func(data []byte) (err error) { s.Sums, err = recipes.ParseSums("go.sum", data); return err }},
		{golang, godebugTable, s.table},
	} {
		data, err := readFile(f.in, f.name)
		if err == nil {
			err = f.read(data)
		}
		if err != nil {
			return Source{}, fmt.Errorf("%w: %s: %w", ErrSource, f.name, err)
		}
	}
	s.standard = func(importPath string) bool {
		found, err := fs.Glob(golang, path.Join("src", importPath, "*.go"))
		return err != nil || len(found) > 0
	}
	return s, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(&limited{f, maxSourceFile})
}

var languageForm = regexp.MustCompile(`^1\.[0-9]+$`)

// promu reads what upstream's tool is told. Of its other settings none leaves
// anything behind that the programs do not show.
func (s *Source) promu(data []byte, p artifact.Platform) error {
	var c struct {
		Go      struct{ Version string }
		Build   struct{ Tags map[string][]string }
		Tarball struct{ Files []string }
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return err
	}
	if !languageForm.MatchString(c.Go.Version) {
		return fmt.Errorf("go.version is %q", c.Go.Version)
	}
	s.Go = c.Go.Version
	var there bool
	if s.Tags, there = c.Build.Tags[p.OS]; !there {
		s.Tags = c.Build.Tags["all"]
	}
	for _, name := range c.Tarball.Files {
		s.Files = append(s.Files, path.Base(name))
	}
	return nil
}

func (s *Source) goMod(data []byte) error {
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return err
	}
	if f.Go == nil {
		return errors.New("it has no go line")
	}
	s.Language = f.Go.Version
	if f.Toolchain != nil {
		s.Toolchain = strings.TrimPrefix(f.Toolchain.Name, "go")
	}
	for _, q := range f.Require {
		s.Requires = append(s.Requires, q.Mod)
	}
	return nil
}

var tableRow = regexp.MustCompile(`(?m)^\t\{Name: "([a-z0-9]+)",.* Changed: ([0-9]+), Old: "([^"]*)"`)

// table reads Go's own table of settings.
func (s *Source) table(data []byte) error {
	s.godebugs = map[string]godebug{}
	for _, row := range tableRow.FindAllSubmatch(data, -1) {
		changed, err := strconv.Atoi(string(row[2]))
		if err != nil {
			return err
		}
		s.godebugs[string(row[1])] = godebug{changed, string(row[3])}
	}
	if len(s.godebugs) == 0 {
		return errors.New("no row of it is of the form that is known")
	}
	return nil
}

// defaults are the settings that Go gives a program whose main module has that go
// line, as load.defaultGODEBUG of the go command has it; nil
// if the line is of no form that is known.
func (s Source) defaults(goLine string) map[string]string {
	parts := strings.Split(goLine, ".")
	if len(parts) < 2 || parts[0] != "1" {
		return nil
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil
	}
	all := map[string]string{}
	for name, g := range s.godebugs {
		if minor < g.changed {
			all[name] = g.old
		}
	}
	return all
}

// requires reports whether upstream's go.mod and go.sum select the module so.
func (s Source) requires(m module.Version, sum string) bool {
	return slices.Contains(s.Requires, m) && sum != "" && s.Sums[m] == sum
}

// names reports whether upstream's go.mod requires a module of that path.
func (s Source) names(modulePath string) bool {
	return slices.ContainsFunc(s.Requires, func(m module.Version) bool { return m.Path == modulePath })
}

const vanilla = "vanilla"

// folders are the names that the archives' own folders are to have.
func (k Known) folders() (ours, theirs string) {
	r := k.Recipe
	return fmt.Sprintf("%s-%s.%s", r.Name, r.FullVersion(k.Distribution, vanilla), k.Platform.Slug()),
		fmt.Sprintf("%s-%s.%s", r.Name, r.Version, k.Platform.Slug())
}

// source is upstream's module, and its hash.
func (k Known) source() (module.Version, string) {
	m := module.Version{Path: k.Recipe.Module, Version: k.Recipe.Lock.Upstream}
	return m, k.Recipe.Lock.Sums[m]
}

// tags are those that ours are built with.
func (k Known) tags() []string {
	return slices.DeleteFunc(slices.Clone(k.Recipe.Tags), func(tag string) bool { return tag == "netgo" && k.Platform.OS == "windows" })
}

// locked reports whether the recipe's lock selects the module so.
func (k Known) locked(m module.Version, sum string) bool {
	return slices.Contains(k.Recipe.Lock.Requires, m) && sum != "" && k.Recipe.Lock.Sums[m] == sum
}

// builder reports whether upstream's builder of this version has that Go: one that
// was released, of the version that .promu.yml asks for, or the one that go.mod
// names.
func (k Known) builder(goVersion string) bool {
	m := release.FindStringSubmatch(goVersion)
	return m != nil && (m[1] == k.Source.Go || k.Source.Toolchain != "" && goVersion == "go"+k.Source.Toolchain)
}

// release is the form of a Go that was released.
var release = regexp.MustCompile(`^go(1\.[0-9]+)(\.[0-9]+)?$`)
