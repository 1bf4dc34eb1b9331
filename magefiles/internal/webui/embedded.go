package webui

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

// reportName is where, below the working directory, a build script leaves its
// report, and its argument.
const reportName = "embedded.json"

// licenceList is the file in which upstream's own observer of the bundler,
// rollup-plugin-license, lists whose code it saw.
const licenceList = "third-party-licenses.txt"

// report reads what the script says of its bundle.
func (b *build) report() (report, error) {
	work, err := os.OpenRoot(b.work)
	if err != nil {
		return report{}, err
	}
	defer work.Close()
	data, err := readBounded(work, reportName, maxReport)
	if err != nil {
		return report{}, fmt.Errorf("%w: reading it: %w", ErrReport, err)
	}
	return readReport(data)
}

// bundled are packages of which the bundler wrote something, as a manifest
// names them, sorted by purl.
func (b *build) bundled(packages map[artifact.Package]bool, requires edges) []artifact.Embedded {
	var all []artifact.Embedded
	for p := range packages {
		e := artifact.Embedded{
			PURL: npm.PURL(p), Name: p.Name, Version: p.Version, Integrity: p.Integrity,
			Evidence: artifact.ByBundler, In: b.Module.Path,
		}
		for to := range requires[p] {
			e.Requires = append(e.Requires, npm.PURL(to))
		}
		slices.Sort(e.Requires)
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b artifact.Embedded) int { return strings.Compare(a.PURL, b.PURL) })
	return all
}

// holdFiles refuses a built file of which the report does not say what it is
// made of, and the other way round. It returns where upstream's list lies,
// which is written past the bundler.
func holdFiles(workspace string, r report) (list string, err error) {
	said := map[string]bool{}
	for _, f := range r.Files {
		said[f.Name] = true
	}
	err = walk(filepath.Join(workspace, "static"), func(name string) error {
		name = path.Join("static", name)
		switch {
		case said[name]:
			delete(said, name)
		case path.Base(name) == licenceList && list == "":
			list = name
		default:
			return fmt.Errorf("%w: of built file %s it says nothing", ErrReport, name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		return "", fmt.Errorf("%w: it speaks of file %.100q, which was not built", ErrReport, name)
	}
	if list == "" {
		return "", fmt.Errorf("%w: nothing to hold it against: upstream's build left no %s", ErrReport, licenceList)
	}
	return list, nil
}

// owners finds the package that a module is of.
type owners struct {
	root      *os.Root                      // the workspace
	dir       installedDir                  // of it
	installed map[string]artifact.Package   // by name@version
	byName    map[string][]artifact.Package // of installed
	seen      map[string]artifact.Package   // by directory
	met       map[string]bool               // directories of the workspace's own
	own       map[string]bool               // name@version of the workspace's own packages that were met
}

func newOwners(root *os.Root, installed []artifact.Package, dir installedDir) *owners {
	o := &owners{
		root: root, dir: dir, installed: map[string]artifact.Package{}, byName: map[string][]artifact.Package{},
		seen: map[string]artifact.Package{}, met: map[string]bool{}, own: map[string]bool{},
	}
	for _, p := range installed {
		o.installed[p.Name+"@"+p.Version] = p
		o.byName[p.Name] = append(o.byName[p.Name], p)
	}
	return o
}

// inject says whose code a module is that is no file: the bundler's, and the
// package of the bundler that puts it there. "__vite-browser-external" stands
// for what Node alone has.
var inject = []struct{ id, by string }{
	{"\x00vite/", "vite"},
	{"__vite-browser-external", "vite"},
	{"\x00rolldown/", "rolldown"},
}

// ours is the package of modules that are the workspace's own.
var ours artifact.Package

// of returns whose module id is, ours if it is the workspace's.
func (o *owners) of(id string) (artifact.Package, error) {
	refuse := func(why string) (artifact.Package, error) {
		return ours, fmt.Errorf("%w: module %.200q %s", ErrReport, id, why)
	}
	for _, i := range inject {
		if !strings.HasPrefix(id, i.id) {
			continue
		}
		if found := o.byName[i.by]; len(found) == 1 {
			return found[0], nil
		}
		return refuse(fmt.Sprintf("is of %s, of which %d versions are installed", i.by, len(o.byName[i.by])))
	}
	name, _, _ := strings.Cut(id, "?")
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\x00\\:") {
		return refuse("is neither a file of the workspace nor known to come from the bundler")
	}
	dir, foreign, err := o.dir(name)
	if err != nil {
		return refuse(err.Error())
	}
	if !foreign {
		if err := o.meet(path.Dir(name)); err != nil {
			return refuse(err.Error())
		}
		return ours, nil
	}
	if p, ok := o.seen[dir]; ok {
		return p, nil
	}
	self, err := identity(o.root, dir)
	if err != nil {
		return refuse("lies in no package: " + err.Error())
	}
	p, ok := o.installed[self]
	if !ok {
		return refuse("is of " + self + ", which is not in the lock file")
	}
	o.seen[dir] = p
	return p, nil
}

// meet notes the workspace's own package that the folder dir is of: that of the
// nearest package.json with a name.
func (o *owners) meet(dir string) error {
	for met := dir; !o.met[met]; met = path.Dir(met) {
		o.met[met] = true
		self, err := identity(o.root, met)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && strings.LastIndexByte(self, '@') > 0 {
			o.own[self] = true
			return nil
		}
		if met == "." {
			return errors.New("lies in no package")
		}
	}
	return nil
}

const modulesDir = "node_modules"

// An installedDir tells in which folder of the workspace the package lies that
// holds the file called name, and whether one does: else it is the workspace's own.
type installedDir func(name string) (dir string, foreign bool, err error)

// pnpmDir is where pnpm installs packages:
// node_modules/.pnpm/…/node_modules/[@scope/]name.
func pnpmDir(name string) (dir string, foreign bool, err error) {
	parts := strings.Split(name, "/")
	last, end := packageEnd(parts)
	if last < 0 {
		return "", false, nil
	}
	if parts[0] != modulesDir || parts[1] != ".pnpm" || last < 3 || end >= len(parts) {
		return "", true, errors.New("lies in no folder where pnpm installs packages")
	}
	return path.Join(parts[:end]...), true, nil
}

// npmDir is where package-lock.json has npm install packages:
// node_modules/[@scope/]name, and below that again.
func npmDir(name string) (dir string, foreign bool, err error) {
	parts := strings.Split(name, "/")
	last, end := packageEnd(parts)
	if last < 0 {
		return "", false, nil
	}
	if parts[0] != modulesDir || end >= len(parts) || strings.HasPrefix(parts[last+1], ".") {
		return "", true, errors.New("lies in no folder where npm installs packages")
	}
	return path.Join(parts[:end]...), true, nil
}

// packageEnd is where in a path the last node_modules stands, -1 if nowhere, and
// where the path of the package in it ends.
func packageEnd(parts []string) (last, end int) {
	last = -1
	for i, part := range parts[:len(parts)-1] {
		if part == modulesDir {
			last = i
		}
	}
	end = last + 2
	if last >= 0 && end < len(parts) && strings.HasPrefix(parts[last+1], "@") {
		end++
	}
	return last, end
}

// edges are which packages import which.
type edges map[artifact.Package]map[artifact.Package]bool

// attribute returns the packages of whose modules and files something was
// written, and which of these import which: through packages of which nothing
// was written too.
func (o *owners) attribute(r report) (packages map[artifact.Package]bool, requires edges, err error) {
	packages, requires = map[artifact.Package]bool{}, edges{}
	of := make(map[string]artifact.Package, len(r.Modules))
	imports := make(map[string][]string, len(r.Modules))
	for _, m := range r.Modules {
		if of[m.ID], err = o.of(m.ID); err != nil {
			return nil, nil, err
		}
		imports[m.ID] = m.Imports
		if !m.written() {
			continue
		}
		if err := o.holdStyle(m.ID); err != nil {
			return nil, nil, err
		}
		packages[of[m.ID]] = true
	}
	for _, f := range r.Files {
		for _, from := range f.From {
			p, err := o.of(from)
			if err != nil {
				return nil, nil, err
			}
			packages[p] = true
		}
	}
	delete(packages, ours)
	for _, m := range r.Modules {
		from := of[m.ID]
		if !m.written() || from == ours {
			continue
		}
		seen := map[string]bool{}
		for queue := slices.Clone(m.Imports); len(queue) > 0; {
			id := queue[0]
			queue = queue[1:]
			if to := of[id]; packages[to] {
				if to != from {
					if requires[from] == nil {
						requires[from] = map[artifact.Package]bool{}
					}
					requires[from][to] = true
				}
			} else if to != ours && !seen[id] {
				seen[id] = true
				queue = append(queue, imports[id]...)
			}
		}
	}
	return packages, requires, nil
}

// pulls is what makes a style sheet hold others that the bundler does not name.
var pulls = regexp.MustCompile(`(?i)@import|\bcomposes\s*:[^;}]*\bfrom\b`)

// holdStyle refuses a style sheet that takes in others: the bundler puts those
// in its place without calling them modules.
func (o *owners) holdStyle(id string) error {
	switch styleOf(id) {
	case noStyle:
		return nil
	case otherStyle:
		return fmt.Errorf("%w: module %.200q is a style sheet in a language whose imports are not looked at", ErrReport, id)
	}
	name, _, _ := strings.Cut(id, "?")
	data, err := readBounded(o.root, name, maxAsset)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	if found := pulls.Find(data); found != nil {
		return fmt.Errorf("%w: style sheet %.200q takes in another (%.60q), which the bundler does not name", ErrReport, id, found)
	}
	return nil
}

// holdList refuses a report that lacks a package of upstream's list, in which
// each begins with a line "Name: …" and a line "Version: …".
func (o *owners) holdList(text string, packages map[artifact.Package]bool) error {
	listed := 0
	lines := strings.Split(text, "\n")
	for i := range len(lines) - 1 {
		name, ok := strings.CutPrefix(lines[i], "Name: ")
		version, also := strings.CutPrefix(lines[i+1], "Version: ")
		if !ok || !also {
			continue
		}
		listed++
		self := name + "@" + version
		if p, ok := o.installed[self]; !(ok && packages[p]) && !o.own[self] {
			return fmt.Errorf("%w: upstream's %s lists %s, of which it says that nothing was written", ErrReport, licenceList, self)
		}
	}
	if listed == 0 {
		return fmt.Errorf("%w: nothing to hold it against: upstream's %s lists no package", ErrReport, licenceList)
	}
	return nil
}
