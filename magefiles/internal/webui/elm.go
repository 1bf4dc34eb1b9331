package webui

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/elm"
	"palisade/magefiles/internal/npm"
	"palisade/recipes"
)

// ErrElmLock is wrapped when elm.json and the recipe name different packages.
var ErrElmLock = errors.New("elm.json and " + recipes.ElmLockName + " differ")

// ElmInput is all that Elm depends on.
type ElmInput struct {
	Input
	Compiler string       // the npm package that holds Elm's compiler, unpacked
	Packages []ElmPackage // every package that elm.json names, fetched and verified
}

// An ElmPackage is the source of a package of Elm's.
type ElmPackage struct {
	elm.Package
	Commit artifact.Git
}

// Elm compiles a web interface from Elm and bundles it, in two steps, of which
// the first alone uses the network and runs nothing:
//
//  1. every npm package of <UI>/package-lock.json that fits the host is fetched,
//     verified and laid out as npm would, and the packages of Elm, which the
//     caller has fetched, as Elm's compiler would;
//  2. in a sandbox without a network, Node runs Script in <UI>, for which the
//     compiler is in PATH. It leaves dist/ and, in the file that is its argument,
//     what the bundler said of it.
//
// Assets then holds <UI>/dist, from which alertmanager 0.34.2 embeds it: X.gz and
// X.br alone for types that it serves compressed, X for fonts. Of the host, the
// sandbox sees what Pnpm's does.
//
// Assets.Embedded is every npm package of which something was written to dist/, as
// Pnpm tells it, every package of Elm of which the compiler wrote a definition,
// and the compiler itself, whose functions every program has. An edge between
// packages of Elm is a dependency of its elm.json. A list of packages in elm.json
// other than Packages wraps ErrElmLock.
func Elm(ctx context.Context, in ElmInput) (Assets, error) {
	return in.build(func(b *build) (artifact.UI, []artifact.Embedded, error) {
		e := &elmBuild{build: b, compiler: in.Compiler, packages: in.Packages}
		for _, step := range []func(context.Context) error{e.holdLock, e.lay} {
			if err := step(ctx); err != nil {
				return artifact.UI{}, nil, err
			}
		}
		ui, embedded, err := e.run(ctx)
		if err != nil {
			return artifact.UI{}, nil, err
		}
		return ui, embedded, e.take()
	})
}

// noteElm is what a UI that Elm made says of itself.
const noteElm = "Compiled here from the Elm source of this module, with the packages of Elm at the commits that the recipe pins, each checked against its hash, " +
	"and bundled with the npm packages of its own lock file, each checked against its sha512; install scripts did not run."

// Where a build script leaves what is embedded, below the workspace.
const elmBuilt = "dist"

// elmHome is ELM_HOME, below the working directory: the compiler writes there.
const elmHome = "elm"

// elmBuild is one run of Elm.
type elmBuild struct {
	*build
	compiler  string
	packages  []ElmPackage
	installed []artifact.Package // sorted
}

// holdLock refuses an elm.json that names other packages than there are.
func (b *elmBuild) holdLock(context.Context) error {
	data, err := b.read("elm.json", maxSmall)
	if err != nil {
		return err
	}
	named, err := elm.Application(data)
	if err != nil {
		return fmt.Errorf("reading elm.json: %w", err)
	}
	var differ []string
	for _, p := range b.packages {
		if named[p.Name] != p.Version {
			differ = append(differ, "elm.json does not name "+p.Package.String())
			continue
		}
		delete(named, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		differ = append(differ, "elm.json names "+name+"@"+named[name])
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %s", ErrElmLock, strings.Join(differ, "; "))
	}
	return nil
}

// lay makes the working directory.
func (b *elmBuild) lay(ctx context.Context) error {
	if err := b.prepare(b.UI); err != nil {
		return err
	}
	data, err := b.read("elm.json", maxSmall)
	if err != nil {
		return err
	}
	if data, err = elm.WithoutTests(data); err != nil {
		return err
	}
	if err := writeBytes(b.workspace(), "elm.json", data); err != nil {
		return err
	}
	packages := make([]elm.Package, len(b.packages))
	for i, p := range b.packages {
		packages[i] = p.Package
	}
	if err := elm.LayHome(filepath.Join(b.work, elmHome), packages); err != nil {
		return err
	}
	placed, err := placedFor(b.Input, b.host)
	if err != nil {
		return err
	}
	if placed, err = b.NPM.Install(ctx, placed, b.host, b.workspace()); err != nil {
		return err
	}
	for _, p := range placed {
		if !slices.Contains(b.installed, p.Package) {
			b.installed = append(b.installed, p.Package)
		}
	}
	sortPackages(b.installed)
	return nil
}

// placedFor is what npm would install on host.
func placedFor(in Input, host npm.Host) ([]npm.Placed, error) {
	data, err := in.read("package-lock.json", npm.MaxLock)
	if err != nil {
		return nil, err
	}
	locked, err := npm.ParsePackageLock(data)
	if err != nil {
		return nil, fmt.Errorf("reading package-lock.json: %w", err)
	}
	return npm.Fitting(locked, host)
}

func (b *elmBuild) run(ctx context.Context) (artifact.UI, []artifact.Embedded, error) {
	libs, err := b.libs(filepath.Join(b.workspace(), modulesDir))
	if err != nil {
		return artifact.UI{}, nil, err
	}
	report, err := b.build.run(ctx, libs, b.compiler)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	files, err := hostFiles(libs)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	embedded, err := b.embedded()
	if err != nil {
		return artifact.UI{}, nil, err
	}
	ui := artifact.UI{
		Kind: recipes.ElmUI, Origin: b.Module, Note: noteElm,
		Packages: b.installed, Host: files, Report: &report,
	}
	for _, p := range b.packages {
		ui.Commits = append(ui.Commits, p.Commit)
	}
	return ui, embedded, nil
}

// embedded tells from the script's report what is in dist/.
func (b *elmBuild) embedded() ([]artifact.Embedded, error) {
	root, err := os.OpenRoot(b.workspace())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r, err := b.report()
	if err != nil {
		return nil, err
	}
	if len(r.Compiled) == 0 {
		return nil, fmt.Errorf("%w: it speaks of nothing that Elm's compiler wrote", ErrReport)
	}
	if err := holdServed(filepath.Join(b.workspace(), elmBuilt), r); err != nil {
		return nil, err
	}
	packages, requires, err := newOwners(root, b.installed, npmDir).attribute(r)
	if err != nil {
		return nil, err
	}
	all := b.bundled(packages, requires)
	for _, c := range r.Compiled {
		more, err := b.compiled(c)
		if err != nil {
			return nil, fmt.Errorf("%w: module %s: %w", ErrReport, c.ID, err)
		}
		for _, e := range more {
			if !slices.ContainsFunc(all, func(o artifact.Embedded) bool { return o.PURL == e.PURL }) {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b artifact.Embedded) int { return strings.Compare(a.PURL, b.PURL) })
	return all, nil
}

// compiled is what the compiler put into a module.
func (b *elmBuild) compiled(c compiledModule) ([]artifact.Embedded, error) {
	packages, byName := make([]elm.Package, len(b.packages)), map[string]elm.Package{}
	for i, p := range b.packages {
		packages[i], byName[p.Name] = p.Package, p.Package
	}
	written, err := elm.Definitions(c.Code, packages)
	if err != nil {
		return nil, err
	}
	var all []artifact.Embedded
	add := func(purl, name, version string, requires []string) {
		all = append(all, artifact.Embedded{
			PURL: purl, Name: name, Version: version, Evidence: artifact.ByCompiler, In: b.Module.Path, Requires: requires,
		})
	}
	for _, name := range written.Packages {
		var requires []string
		for _, other := range written.Requires[name] {
			requires = append(requires, ElmPURL(byName[other]))
		}
		slices.Sort(requires)
		add(ElmPURL(byName[name]), name, byName[name].Version, requires)
	}
	if written.Runtime {
		add(elmCompiler, "elm/compiler", elm.Version, nil)
	}
	return all, nil
}

// elmCompiler is the package whose functions the compiler puts before every program.
const elmCompiler = "pkg:github/elm/compiler@" + elm.Version

// ElmPURL names p as the package URL specification does: pkg:elm/elm/core@1.0.0.
func ElmPURL(p elm.Package) string {
	author, name, _ := strings.Cut(p.Name, "/")
	return packageurl.NewPackageURL(packageurl.TypeElm, author, name, p.Version, nil, "").ToString()
}

// take copies dist/ out of the working directory.
func (b *elmBuild) take() error {
	root, err := os.OpenRoot(filepath.Join(b.workspace(), elmBuilt))
	if err != nil {
		return err
	}
	defer root.Close()
	var total int64
	count := 0
	return walk(root.Name(), func(name string) error {
		if !embeddable(name) {
			return fmt.Errorf("built file %q: %w: go:embed gives its name a meaning, or leaves it out", name, errAsset)
		}
		data, err := readBounded(root, name, maxAsset)
		if err != nil {
			return err
		}
		count++
		if total += int64(len(data)); total > maxAssets || count > maxCount {
			return fmt.Errorf("built interface: %w: more than %d bytes or %d files", errAsset, maxAssets, maxCount)
		}
		return writeBytes(b.Out, path.Join(b.UI, elmBuilt, name), data)
	})
}

// holdServed refuses what was built at dist if a file is there of which the report
// does not say what it is made of, or the other way round, or one that alertmanager
// 0.34.2 would not serve: see served.
func holdServed(dist string, r report) error {
	want := map[string]bool{}
	for _, f := range r.Files {
		name, ok := strings.CutPrefix(f.Name, elmBuilt+"/")
		if !ok || !fs.ValidPath(name) {
			return fmt.Errorf("%w: it speaks of file %.100q, which is not in %s", ErrReport, f.Name, elmBuilt)
		}
		switch served[path.Ext(name)] {
		case compressed:
			want[name+".gz"], want[name+".br"] = true, true
		case plain:
			want[name] = true
		default:
			return fmt.Errorf("%w: file %.100q is of a type that is not served", ErrReport, f.Name)
		}
	}
	if !want["index.html.gz"] {
		return fmt.Errorf("%w: there is no index.html", ErrReport)
	}
	err := walk(dist, func(name string) error {
		if !want[name] {
			return fmt.Errorf("%w: of built file %s it says nothing, or that it is compressed", ErrReport, name)
		}
		delete(want, name)
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		return fmt.Errorf("%w: by what it speaks of, file %.100q should be there, and was not built", ErrReport, name)
	}
	return nil
}
