package recipes

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Bundled is work that lies among the files of a Go module, ends up in a
// binary with them, and is no Go code. It is one of three:
//
//   - Npm is set, and each file is that package's file, byte for byte;
//   - PURL is set, and what is said of it is only stated, for the reason Why;
//   - neither is, and Why says why nothing has to be said: the work is the
//     module's own, or does not get into a binary.
//
// A file in Files is named below the module's root. "asset/a.go#static/b" is
// the file static/b in the file system that vfsgen wrote as asset/a.go, and a
// name that ends with "/" stands for all that lies below it. Of a vfsgen file
// that is named, every file has to be named.
type Bundled struct {
	In        string            `yaml:"in"`        // path of the Go module; with "@" and its version where it is the one that ui.bundle names
	Files     map[string]string `yaml:"files"`     // -> the same below the root of the npm package; "" without one
	Npm       string            `yaml:"npm"`       // name@version
	Integrity string            `yaml:"integrity"` // of the npm package, "sha512-…"
	PURL      string            `yaml:"purl"`
	Why       string            `yaml:"why"`  // in a sentence, without npm
	Told      string            `yaml:"told"` // with purl, if there is one: the file of the module that names the version; elm.json for what Elm's compiler bundled
}

// Module is where b's files lie. Without a version it is the one of the lock.
func (b Bundled) Module() module.Version {
	name, version, _ := strings.Cut(b.In, "@")
	return module.Version{Path: name, Version: version}
}

// NpmPackage is the name and the version of b's npm package.
func (b Bundled) NpmPackage() (name, version string) {
	at := strings.LastIndexByte(b.Npm, '@')
	return b.Npm[:max(at, 0)], b.Npm[at+1:]
}

func (r *Recipe) validateBundled(bad func(string, ...any) error) error {
	names := map[string]bool{}
	for i, b := range r.Bundled {
		if err := b.validate(); err != nil {
			return bad("bundled %d: %v", i+1, err)
		}
		if name := b.Npm + b.PURL; name != "" {
			if names[name] {
				return bad("bundled %s is there twice", name)
			}
			names[name] = true
		}
		m := b.Module()
		if _, ok := r.Lock.Find(m.Path); m.Version == "" && !ok {
			return bad("bundled %d: in names %s, which go.mod does not require", i+1, m.Path)
		}
		if m.Version == "" {
			continue
		}
		if r.UI == nil || r.UI.Bundle == nil || m != (module.Version{Path: r.UI.Bundle.Module, Version: r.UI.Bundle.Version}) {
			return bad("bundled %d: in names %s, which is not what ui.bundle names", i+1, m)
		}
	}
	return nil
}

func (b Bundled) validate() error {
	if b.In == "" || len(b.Files) == 0 {
		return errors.New("in and files are needed")
	}
	if b.Npm != "" && b.PURL != "" {
		return errors.New("npm and purl exclude each other")
	}
	if name, version := b.NpmPackage(); (b.Npm != "") != (b.Integrity != "") || b.Npm != "" && (name == "" || version == "" || !strings.HasPrefix(b.Integrity, "sha512-")) {
		return errors.New("npm is name@version, with its sha512 as integrity")
	}
	if (b.Npm == "") == (strings.TrimSpace(b.Why) == "") {
		return errors.New("why is needed without npm, and only then")
	}
	if b.PURL != "" && !purlForm.MatchString(b.PURL) {
		return fmt.Errorf("purl %q is not one with a version and no more", b.PURL)
	}
	if b.Told != "" && (b.PURL == "" || !bundledName(b.Told) || strings.HasSuffix(b.Told, "/")) {
		return fmt.Errorf("told %q is not a file of the module that a purl goes with", b.Told)
	}
	if strings.HasPrefix(b.PURL, "pkg:elm/") && path.Base(b.Told) != "elm.json" {
		return errors.New("told is needed for a package of Elm, and is an elm.json")
	}
	for _, from := range slices.Sorted(maps.Keys(b.Files)) {
		to := b.Files[from]
		if !bundledName(from) {
			return fmt.Errorf("file %q is not a plain path", from)
		}
		if b.Npm == "" && to != "" || b.Npm != "" && (strings.Contains(to, "#") || !bundledName(to) || strings.HasSuffix(from, "/") != strings.HasSuffix(to, "/")) {
			return fmt.Errorf("file %q: %q is not its name in an npm package", from, to)
		}
	}
	return nil
}

// bundledName reports whether name is of the form that Bundled.Files has.
func bundledName(name string) bool {
	file, inner, within := strings.Cut(strings.TrimSuffix(name, "/"), "#")
	return fs.ValidPath(file) && file != "." && (!within || path.Ext(file) == ".go" && fs.ValidPath(inner) && inner != ".")
}
