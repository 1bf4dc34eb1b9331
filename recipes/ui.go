package recipes

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// The kinds of web interface, by where one comes from.
const (
	PnpmUI   = "pnpm"   // built from the component's own source
	BundleUI = "bundle" // taken, built, from another module version
	ElmUI    = "elm"    // compiled and bundled from the component's own source in Elm
)

var kinds = []string{PnpmUI, BundleUI, ElmUI}

// UI says how the web interface that is embedded comes to be. A recipe may
// describe it in more than one way, and then From says which is taken. Of a
// recipe that was loaded only that one is set.
type UI struct {
	From   string  `yaml:"from"` // pnpm, bundle or elm; empty where only one is described
	Pnpm   *Pnpm   `yaml:"pnpm"`
	Bundle *Bundle `yaml:"bundle"`
	Elm    *Elm    `yaml:"elm"`
}

// Pnpm builds the interface from the component's own source.
type Pnpm struct {
	Dir    string `yaml:"dir"`    // where pnpm-lock.yaml lies, below the module's root
	Script string `yaml:"script"` // a file of the recipe, run by Node in Dir
	Node   string `yaml:"node"`   // version
	Pnpm   string `yaml:"pnpm"`   // version
}

// Bundle takes the interface, built, from another module version, whose hash
// is in ui.sum.
type Bundle struct {
	Module  string `yaml:"module"`
	Version string `yaml:"version"`
	Sum     string `yaml:"-"`
}

// Elm compiles the interface from the component's own source, with the packages
// of Elm in elm.yaml and what package-lock.json pins to bundle it.
type Elm struct {
	Dir      string       `yaml:"dir"`      // where elm.json and package-lock.json lie, below the module's root
	Script   string       `yaml:"script"`   // a file of the recipe, run by Node in Dir
	Node     string       `yaml:"node"`     // version
	Compiler string       `yaml:"compiler"` // version of the npm package that holds it: 0.19.1-0
	Packages []ElmPackage `yaml:"-"`        // of elm.yaml, in order of their names
}

// An ElmPackage is a package of Elm's at one version, which is a tag of the
// repository of that name.
type ElmPackage struct {
	Package string `yaml:"package"` // author/name
	Version string `yaml:"version"` // 1.0.0
	Git     `yaml:",inline"`
}

// ElmLockName is the file of a recipe that pins packages of Elm:
//
//	packages:
//	  - package: elm/core
//	    version: 1.0.0
//	    repository: https://github.com/elm/core
//	    commit: de38986116bd93affc1c7a12e548d1f01be9a9f1
//	    hash: h1:ryjGKj8MRLvECjMU0quNHSVgCOt3oacIn3zpFFvW6xA=
//
// It names every package that elm.json does, but for those of its tests, and no
// other, in order of their names. The elements are ElmPackages: author/name@version
// is the Name of their Git.
const ElmLockName = "elm.yaml"

// maxElm bounds the packages of elm.yaml.
const maxElm = 1000

var (
	elmNameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	elmVersionForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$`)
)

// ways is every kind that u describes.
func (u *UI) ways() []string {
	var all []string
	if u != nil {
		for _, kind := range kinds {
			if kind == PnpmUI && u.Pnpm != nil || kind == BundleUI && u.Bundle != nil || kind == ElmUI && u.Elm != nil {
				all = append(all, kind)
			}
		}
	}
	return all
}

// Kind is how the interface is made, "" where there is none.
func (u *UI) Kind() string {
	if ways := u.ways(); len(ways) == 1 {
		return ways[0]
	} else if len(ways) > 1 {
		return u.From
	}
	return ""
}

// Script is the folder in which the interface is built, below the module's root,
// and the file of the recipe that builds it; nothing where none does.
func (u *UI) Script() (dir, script string) {
	switch u.Kind() {
	case PnpmUI:
		return u.Pnpm.Dir, u.Pnpm.Script
	case ElmUI:
		return u.Elm.Dir, u.Elm.Script
	}
	return "", ""
}

// needs reports whether the file called name is one that u's making takes, in
// any of the ways that are described.
func (u *UI) needs(name string) bool {
	if u == nil {
		return false
	}
	switch {
	case u.Bundle != nil && name == "ui.sum", u.Pnpm != nil && name == u.Pnpm.Script:
		return true
	case u.Elm == nil:
		return false
	}
	return name == ElmLockName || name == elmPatched || name == u.Elm.Script ||
		slices.ContainsFunc(u.Elm.Packages, func(p ElmPackage) bool { return slices.Contains(p.Git.files(), name) })
}

func (r *Recipe) loadUI(*Distribution) error {
	if r.UI == nil {
		return nil
	}
	if b := r.UI.Bundle; b != nil {
		data, err := readFile(r.Dir, "ui.sum")
		if err != nil {
			return err
		}
		sums, err := ParseSums("ui.sum", data)
		if err != nil {
			return err
		}
		if b.Sum = sums[module.Version{Path: b.Module, Version: b.Version}]; b.Sum == "" {
			return fmt.Errorf("%w: ui.sum has no hash of %s@%s", ErrInvalid, b.Module, b.Version)
		}
	}
	if r.UI.Elm != nil {
		return r.UI.Elm.load(r.Dir)
	}
	return nil
}

// load reads elm.yaml.
func (e *Elm) load(dir fs.FS) error {
	var lock struct {
		Packages []ElmPackage `yaml:"packages"`
	}
	if err := decode(dir, ElmLockName, &lock); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrInvalid, ElmLockName, fmt.Sprintf(format, args...))
	}
	if n := len(lock.Packages); n == 0 || n > maxElm {
		return bad("it has %d packages, not 1 to %d", n, maxElm)
	}
	for i := range lock.Packages {
		p := &lock.Packages[i]
		if !elmNameForm.MatchString(p.Package) || !elmVersionForm.MatchString(p.Version) {
			return bad("package %d: %q %q is not author/name and a version of three numbers below 1000", i+1, p.Package, p.Version)
		}
		if i > 0 && lock.Packages[i-1].Package >= p.Package {
			return bad("package %s is there twice or out of order", p.Package)
		}
		if err := p.Git.load(dir, p.Package+"@"+p.Version); err != nil {
			return fmt.Errorf("%s: %w", ElmLockName, err)
		}
	}
	e.Packages = lock.Packages
	return nil
}

func (r *Recipe) validateUI(d *Distribution, bad func(string, ...any) error) error {
	if _, ok := d.Toolchains.FindGo(r.Lock.Go); !ok {
		return bad("go.mod asks for Go %s, which distribution.yaml does not pin", r.Lock.Go)
	}
	if r.UI == nil {
		return nil
	}
	ways := r.UI.ways()
	switch {
	case len(ways) == 0:
		return bad("ui describes none of %s", strings.Join(kinds, ", "))
	case len(ways) > 1 && r.UI.From == "":
		return bad("ui describes %s: from has to say which of them is taken", strings.Join(ways, " and "))
	case r.UI.From != "" && !slices.Contains(ways, r.UI.From):
		return bad("ui: from %q is none that is described: %s", r.UI.From, strings.Join(ways, ", "))
	}
	if p := r.UI.Pnpm; p != nil {
		if err := r.validateScript("pnpm", p.Dir, p.Script, p.Node, d, bad); err != nil {
			return err
		}
		if _, ok := d.Toolchains.FindPnpm(p.Pnpm); !ok {
			return bad("ui.pnpm: pnpm %q is not pinned by distribution.yaml", p.Pnpm)
		}
	}
	if e := r.UI.Elm; e != nil {
		if err := r.validateScript("elm", e.Dir, e.Script, e.Node, d, bad); err != nil {
			return err
		}
		if _, ok := d.Toolchains.FindElm(e.Compiler); !ok {
			return bad("ui.elm: compiler %q is not pinned by distribution.yaml", e.Compiler)
		}
	}
	return nil
}

func (r *Recipe) validateScript(kind, dir, script, node string, d *Distribution, bad func(string, ...any) error) error {
	if !fs.ValidPath(dir) || script != path.Base(script) {
		return bad("ui.%s: dir %q or script %q is not a plain path", kind, dir, script)
	}
	if info, err := fs.Stat(r.Dir, script); err != nil || !info.Mode().IsRegular() {
		return bad("ui.%s: script %q is not a file of this recipe", kind, script)
	}
	if _, ok := d.Toolchains.FindNode(node); !ok {
		return bad("ui.%s: node %q is not pinned by distribution.yaml", kind, node)
	}
	return nil
}

// choose leaves of what the recipe says what holds for the web interface that it
// takes: the other ways to make one go, and with them the statements that only
// they need. All of it was checked before.
func (r *Recipe) choose(*Distribution) error {
	kind := r.UI.Kind()
	r.Licences = slices.DeleteFunc(r.Licences, func(l Licence) bool { return l.UI != "" && l.UI != kind })
	if r.UI == nil {
		return nil
	}
	if b := r.UI.Bundle; b != nil && kind != BundleUI {
		of := module.Version{Path: b.Module, Version: b.Version}
		r.Bundled = slices.DeleteFunc(r.Bundled, func(b Bundled) bool { return b.Module() == of })
		r.UI.Bundle = nil
	}
	if kind != PnpmUI {
		r.UI.Pnpm = nil
	}
	if kind != ElmUI {
		r.UI.Elm = nil
	}
	return nil
}
