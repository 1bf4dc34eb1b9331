// Package recipes says what is built: each folder beside it is a Recipe, and
// distribution.yaml says who publishes it and with which toolchains. Loading
// is strict: an unknown key, a missing value, a version that differs between
// recipe.yaml and the module lock, or a file that no recipe knows is an error
// that names file and line.
//
// # A recipe's folder
//
//	recipe.yaml   this package's Recipe
//	go.mod        a module that requires upstream at its version; "toolchain"
//	go.sum        pins Go; go.sum locks all it links
//	tools.go      imports the commands, so that ordinary tools keep go.mod
//	patched.sum   the hashes of the sealed modules, in go.sum's format;
//	              patched.elm.sum where the interface is taken from Elm
//	ui.mjs        (ui: pnpm, ui: elm) builds the web interface
//	ui.sum        (ui: bundle) the hash of the module that holds it
//	elm.yaml      (ui: elm) the packages of Elm that it is compiled with
//	*.asc, *.pub  whose signatures of a tag of git are believed
//	licences/     the texts of licences that recipe.yaml states
//	triage.yaml   answers to known vulnerabilities, see Triage
//
// and the files that an "own:" of its archive or image names.
package recipes

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
)

// ErrInvalid is what every refusal of a recipe or of the distribution wraps.
var ErrInvalid = errors.New("invalid")

// A Recipe says what one component is built from and what it becomes.
type Recipe struct {
	Name        string              `yaml:"-"`           // its folder
	Description string              `yaml:"description"` // one sentence
	Homepage    string              `yaml:"homepage"`    // upstream's
	Originator  string              `yaml:"originator"`  // who makes it upstream, an organisation
	CPE         string              `yaml:"cpe"`         // vendor and product: cpe:2.3:a:prometheus:prometheus
	Module      string              `yaml:"module"`      // upstream's module path
	Version     string              `yaml:"version"`     // upstream's release, "3.15.0"
	Revision    int                 `yaml:"revision"`    // ours of that release, from 1
	Commit      string              `yaml:"commit"`      // upstream's git commit, where it is known
	Git         *Git                `yaml:"git"`         // where upstream's source is fetched, if not from the module proxy
	Released    time.Time           `yaml:"released"`    // SOURCE_DATE_EPOCH of everything made
	Binaries    []Binary            `yaml:"binaries"`
	Tags        []string            `yaml:"tags"` // Go build tags
	Patches     []string            `yaml:"patches"`
	UI          *UI                 `yaml:"ui"`
	Bundled     []Bundled           `yaml:"bundled"`
	Licences    []Licence           `yaml:"licences"` // and those of the distribution
	Archive     []Member            `yaml:"archive"`
	Image       *Image              `yaml:"image"` // none is made without it
	Platforms   []artifact.Platform `yaml:"platforms"`

	Lock    Lock            `yaml:"-"` // go.mod and go.sum
	Patched Sums            `yaml:"-"` // patched.sum, see PatchedName
	Digest  artifact.Digest `yaml:"-"` // of every file of the folder but the triage
	Dir     fs.FS           `yaml:"-"` // the folder
}

// A Binary is a command that the recipe builds.
type Binary struct {
	Name    string `yaml:"name"`
	Package string `yaml:"package"` // import path
}

// A Member is a file that the archive carries: upstream's, or the recipe's own.
// One that names both is upstream's in vanilla archives, for which nothing of
// ours is made, and the recipe's own in all others.
type Member struct {
	From string `yaml:"from"` // upstream's: slash-separated, below the module's root
	Own  string `yaml:"own"`  // a file of the recipe's folder
	As   string `yaml:"as"`   // file name in the archive; that of Own, or of From, if empty
	Only string `yaml:"only"` // the one operating system whose archives carry it; all if empty
}

// Variants are the ways in which every component can be built: hardened with
// all patches, vanilla with none but those that its interface needs.
func Variants() []string { return []string{"hardened", "vanilla"} }

// Members is what the archive for a platform and variant carries beside the
// binaries, in the recipe's order. Either From or Own of each is set.
func (r *Recipe) Members(p artifact.Platform, variant string) []Member {
	var all []Member
	for _, m := range r.Archive {
		if variant == "vanilla" {
			m.Own = ""
		} else if m.Own != "" {
			m.From = ""
		}
		if (m.From != "" || m.Own != "") && (m.Only == "" || m.Only == p.OS) {
			all = append(all, m)
		}
	}
	return all
}

// Builds reports whether the recipe builds for p.
func (r *Recipe) Builds(p artifact.Platform) bool { return slices.Contains(r.Platforms, p) }

// Names lists the recipes of fsys, which is rooted at recipes/, sorted.
func Names(fsys fs.FS) ([]string, error) {
	found, err := fs.Glob(fsys, "*/recipe.yaml")
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = path.Dir(found[i])
	}
	slices.Sort(found)
	return found, nil
}

// Load reads and checks the recipe called name.
func Load(fsys fs.FS, d *Distribution, name string) (*Recipe, error) {
	dir, err := fs.Sub(fsys, name)
	if err != nil {
		return nil, err
	}
	r := &Recipe{Name: name, Dir: dir}
	if err := decode(dir, "recipe.yaml", r); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", name, err)
	}
	r.Licences = append(r.Licences, d.Licences...)
	for _, step := range []func(*Distribution) error{r.loadLock, r.loadGit, r.loadUI, r.loadPatched, r.Validate, r.digestFolder, r.choose} {
		if err := step(d); err != nil {
			return nil, fmt.Errorf("recipe %s: %w", name, err)
		}
	}
	return r, nil
}

func (r *Recipe) loadLock(*Distribution) error {
	goMod, err := readFile(r.Dir, "go.mod")
	if err != nil {
		return err
	}
	goSum, err := readFile(r.Dir, "go.sum")
	if err != nil {
		return err
	}
	r.Lock, err = ParseLock(r.Module, goMod, goSum)
	return err
}

// PatchedName is the file of r's folder that holds the hashes of its sealed modules.
// A recipe that describes its interface in more ways than one has a file for each
// that it may be taken from.
func (r *Recipe) PatchedName() string {
	if r.UI.Kind() == ElmUI {
		return elmPatched
	}
	return "patched.sum"
}

const elmPatched = "patched.elm.sum"

func (r *Recipe) loadPatched(*Distribution) error {
	patched, err := readFile(r.Dir, r.PatchedName())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Patched, err = ParseSums(r.PatchedName(), patched)
	return err
}

// digestFolder is the digest of "digest  name" lines over every file of the
// folder, as sha256sum prints them, in order of name. A file that nothing
// reads is refused: somebody meant it to do something. The triage alone is not
// among them.
func (r *Recipe) digestFolder(*Distribution) error {
	h := sha256.New()
	err := fs.WalkDir(r.Dir, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || name == TriageName {
			return err
		}
		if !r.knows(name) {
			return fmt.Errorf("%w: %s is not a file of this recipe", ErrInvalid, name)
		}
		data, err := readFile(r.Dir, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s  %s\n", artifact.DigestBytes(data).Hex(), name)
		return nil
	})
	if err != nil {
		return err
	}
	r.Digest, err = artifact.ParseDigest(fmt.Sprintf("sha256:%x", h.Sum(nil)))
	return err
}

// knows reports whether name is one of the files that the package comment lists.
func (r *Recipe) knows(name string) bool {
	return r.needs(name) || slices.ContainsFunc(r.Archive, func(m Member) bool { return m.Own == name }) ||
		r.Image != nil && slices.ContainsFunc(r.Image.Files, func(f ImageFile) bool { return f.Own == name })
}

// needs reports whether the file called name is one of the recipe's own, which
// nothing carries.
func (r *Recipe) needs(name string) bool {
	switch name {
	case "recipe.yaml", "go.mod", "go.sum", "tools.go", "patched.sum", TriageName:
		return true
	}
	if strings.HasPrefix(name, LicenceDir) {
		return slices.ContainsFunc(r.Licences, func(l Licence) bool { return slices.Contains(l.Text, name) })
	}
	return slices.Contains(r.Git.files(), name) || r.UI.needs(name)
}

var (
	versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	commitForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	tagForm     = regexp.MustCompile(`^[a-z0-9_]+$`)
)

// Validate checks r against itself and the distribution.
func (r *Recipe) Validate(d *Distribution) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: recipe.yaml: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case !nameForm.MatchString(r.Name):
		return bad("the folder %q is not lower-case letters, digits and _", r.Name)
	case r.Description == "":
		return bad("description is missing")
	case !versionForm.MatchString(r.Version):
		return bad("version %q is not of the form 1.2.3", r.Version)
	case r.Revision < 1:
		return bad("revision must be 1 or more")
	case r.Commit != "" && !commitForm.MatchString(r.Commit):
		return bad("commit %q is not 40 hexadecimal digits", r.Commit)
	case r.Released.IsZero() || r.Released.Before(time.Unix(0, 0)):
		return bad("released is missing")
	case len(r.Binaries) == 0:
		return bad("binaries is empty")
	case len(r.Platforms) == 0:
		return bad("platforms is empty")
	case r.Git == nil && r.Lock.Sums[module.Version{Path: r.Module, Version: r.Lock.Upstream}] == "": // of a commit's, mage lock finds it out
		return fmt.Errorf("%w: go.sum has no hash of %s@%s", ErrInvalid, r.Module, r.Lock.Upstream)
	case r.Lock.Upstream != r.ModuleVersion(r.Version):
		return bad("version %s is module version %s, but go.mod requires %s", r.Version, r.ModuleVersion(r.Version), r.Lock.Upstream)
	}
	for i, b := range r.Binaries {
		if !nameForm.MatchString(b.Name) {
			return bad("binary name %q is not lower-case letters, digits and _", b.Name)
		}
		if b.Package != r.Module && !strings.HasPrefix(b.Package, r.Module+"/") {
			return bad("binary %s: package %q is not in module %s", b.Name, b.Package, r.Module)
		}
		// The go command names what it builds after the package.
		if ShortName(b.Package) != b.Name {
			return bad("binary %s: package %q builds a command called %s", b.Name, b.Package, ShortName(b.Package))
		}
		if slices.ContainsFunc(r.Binaries[:i], func(o Binary) bool { return o.Name == b.Name }) {
			return bad("binary %s is there twice", b.Name)
		}
	}
	for _, t := range r.Tags {
		if !tagForm.MatchString(t) {
			return bad("tag %q is not a Go build tag", t)
		}
	}
	for _, p := range r.Patches {
		if _, ok := r.Lock.Find(p); !ok {
			return bad("patches names %s, which go.mod does not require", p)
		}
	}
	for _, p := range r.Platforms {
		if !slices.Contains(d.Platforms, p) {
			return bad("platform %s is not one of the distribution's", p)
		}
	}
	for _, check := range []func(func(string, ...any) error) error{r.validateContents, r.validateArchive} {
		if err := check(bad); err != nil {
			return err
		}
	}
	if err := r.validateImage(d, bad); err != nil {
		return err
	}
	return r.validateUI(d, bad)
}

func (r *Recipe) validateArchive(bad func(string, ...any) error) error {
	taken := map[string]bool{TextsName: true}
	for _, b := range r.Binaries {
		taken[b.Name], taken[b.Name+".exe"] = true, true
	}
	for i := range r.Archive {
		m := &r.Archive[i]
		name := cmp.Or(m.From, m.Own)
		if name == "" {
			return bad("archive member %d names no file: it needs from or own", i+1)
		}
		if m.As == "" {
			m.As = path.Base(cmp.Or(m.Own, m.From))
		}
		if !fs.ValidPath(name) || m.As != path.Base(m.As) || strings.HasPrefix(m.As, ".") {
			return bad("archive member %q as %q is not a plain path and name", name, m.As)
		}
		if taken[m.As] {
			return bad("archive member %q: %s is there twice", name, m.As)
		}
		taken[m.As] = true
		if m.Only != "" && !slices.ContainsFunc(r.Platforms, func(p artifact.Platform) bool { return p.OS == m.Only }) {
			return bad("archive member %q: only %q is none of the recipe's operating systems", name, m.Only)
		}
		if m.Own == "" {
			continue
		}
		if m.Own != path.Base(m.Own) || r.needs(m.Own) {
			return bad("archive member %q is not a plain name, or a file that the build needs", m.Own)
		}
		if info, err := fs.Stat(r.Dir, m.Own); err != nil || !info.Mode().IsRegular() {
			return bad("archive member %q is not a file of this recipe", m.Own)
		}
	}
	return nil
}
