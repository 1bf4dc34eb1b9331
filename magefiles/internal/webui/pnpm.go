package webui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/sandbox"
)

// PnpmInput is all that Pnpm depends on. Its directories are on this machine
// and absolute.
type PnpmInput struct {
	Module  artifact.Module   // what Source is
	Source  string            // root of the module's verified source; only read
	UI      string            // the pnpm workspace in it, slash-separated: web/ui
	Script  string            // the recipe's build script (a Node module)
	Node    string            // the npm package that holds bin/node, unpacked
	Pnpm    string            // the npm package pnpm, unpacked
	Host    artifact.Platform // what Node runs on
	NPM     *npm.Client       //
	Scratch string            // for a directory that is gone afterwards; best on the file system of NPM.Dir
	Out     string            // becomes Assets.Dir; made when missing, must be empty
	Epoch   time.Time         // SOURCE_DATE_EPOCH
	Require bool              // an error rather than a build that is not hermetic
	Log     io.Writer         // what the tools print; nil for nowhere
}

// Pnpm builds a web interface in three steps, of which the first alone uses
// the network and runs nothing:
//
//  1. every package of <UI>/pnpm-lock.yaml that fits the host is fetched and
//     verified, and laid out as a registry of tarballs;
//  2. in a sandbox that sees this registry on loopback, pnpm installs exactly
//     the lock file, running no package's scripts;
//  3. in a sandbox without it, Node runs Script in <UI>, which leaves static/
//     and, in the file that is its argument, what the bundler said of it.
//
// Assets then holds <UI>/static/**.gz and <UI>/embed.go, as upstream's
// scripts/compress_assets.sh makes them. Of the host, the sandboxes see the
// loader and the shared libraries that Node and the installed native addons
// name, each recorded in UI.Host.
//
// Assets.Embedded is every package of which something was written to static/,
// each one of the lock's: modules, style sheets and assets that the bundler
// named as sources, and its own packages, of which it puts helpers there. An
// edge is an import. A file of static/ without sources, a module of no
// package, a style sheet that takes in others unseen, and a package that
// upstream's own observer lists and the bundler did not name wrap ErrReport.
func Pnpm(ctx context.Context, in PnpmInput) (Assets, error) {
	fail := func(err error) (Assets, error) {
		return Assets{}, fmt.Errorf("building the web interface of %s@%s: %w", in.Module.Path, in.Module.Version, err)
	}
	host, ok := npm.HostOf(in.Host)
	if !ok {
		return fail(fmt.Errorf("npm knows no packages for %s", in.Host))
	}
	if err := emptyDir(in.Out); err != nil {
		return fail(err)
	}
	packages, err := lockedFor(in, host)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(in.Scratch, 0o755); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp(in.Scratch, "webui-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	b := &build{PnpmInput: in, packages: packages, registry: filepath.Join(dir, "registry"), work: filepath.Join(dir, "work")}
	if err := layRegistry(ctx, in.NPM, packages, b.registry); err != nil {
		return fail(err)
	}
	ui, embedded, err := b.run(ctx)
	if err != nil {
		return fail(err)
	}
	if err := compressAssets(b.workspace(), "embed.go.tmpl", in.Out, in.UI); err != nil {
		return fail(err)
	}
	files, err := list(in.Out)
	if err != nil {
		return fail(err)
	}
	return Assets{Dir: in.Out, Files: files, UI: ui, Embedded: embedded}, nil
}

// What a UI that Pnpm made says of itself.
const (
	kindPnpm = "pnpm"
	notePnpm = "Built from the source of this module with the packages of its own lock file, each checked against its sha512; " +
		"install scripts did not run."
)

func lockedFor(in PnpmInput, host npm.Host) ([]artifact.Package, error) {
	root, err := os.OpenRoot(in.Source)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := path.Join(in.UI, "pnpm-lock.yaml")
	data, err := readBounded(root, name, npm.MaxLock)
	if err != nil {
		return nil, err
	}
	locked, err := npm.ParseLock(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var packages []artifact.Package
	for _, l := range locked {
		if l.Fits(host) {
			packages = append(packages, l.Package)
		}
	}
	return packages, nil
}

// build is one run of Pnpm.
type build struct {
	PnpmInput
	packages []artifact.Package // that fit the host
	registry string
	work     string // the one writable directory of the sandbox, /work
}

func (b *build) workspace() string { return filepath.Join(b.work, filepath.FromSlash(b.UI)) }

func (b *build) run(ctx context.Context) (artifact.UI, []artifact.Embedded, error) {
	if err := b.prepare(); err != nil {
		return artifact.UI{}, nil, err
	}
	libs, err := b.libs("")
	if err != nil {
		return artifact.UI{}, nil, err
	}
	first, err := b.install(ctx, libs)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	// Before anything but pnpm has run, what is there is what was installed.
	nodeModules := filepath.Join(b.workspace(), "node_modules")
	packages, err := installed(nodeModules, b.packages)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	if libs, err = b.libs(nodeModules); err != nil {
		return artifact.UI{}, nil, err
	}
	second, err := b.build(ctx, libs)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	files, err := hostFiles(libs)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	embedded, err := b.embedded(packages)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	report := second
	if !first.Hermetic {
		report = first
	}
	return artifact.UI{
		Kind:     kindPnpm,
		Origin:   b.Module,
		Note:     notePnpm,
		Packages: packages,
		Host:     files,
		Report:   &report,
	}, embedded, nil
}

// prepare copies into the working directory what the build may change, and
// what its script compares.
func (b *build) prepare() error {
	for _, dir := range []string{"home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.work, dir), 0o755); err != nil {
			return err
		}
	}
	source, err := os.OpenRoot(b.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	for _, name := range []string{b.UI, "scripts"} {
		part, err := source.OpenRoot(name)
		if err != nil {
			return err
		}
		err = os.CopyFS(filepath.Join(b.work, filepath.FromSlash(name)), part.FS())
		part.Close()
		if err != nil {
			return fmt.Errorf("copying %s: %w", name, err)
		}
	}
	return nil
}

// libs is what Node needs of the host, with the addons below nodeModules.
// Only Linux is asked: elsewhere there is no sandbox to show it in.
func (b *build) libs(nodeModules string) ([]hostLib, error) {
	if b.Host.OS != "linux" {
		return nil, nil
	}
	var addons []string
	if nodeModules != "" {
		var err error
		if addons, err = findAddons(nodeModules); err != nil {
			return nil, err
		}
	}
	return hostLibs(filepath.Join(b.Node, "bin", "node"), addons)
}

// install runs pnpm. A frozen lock file is not resolved again, so upstream's
// minimumReleaseAge has nothing to ask the registry for, and with no script to
// run its strictDepBuilds has nothing to refuse: neither is overridden. Were a
// later pnpm to ask, it would get 404 from a registry without metadata.
func (b *build) install(ctx context.Context, libs []hostLib) (artifact.Sandbox, error) {
	spec := b.spec(libs,
		"{root}/pnpm/bin/pnpm.cjs", "install", "--frozen-lockfile", "--ignore-scripts",
		"--registry={serve}/", "--store-dir={root}/work/store", "--reporter=append-only",
		// A package.json that names another pnpm must not make it fetch that.
		"--config.manage-package-manager-versions=false", "--config.package-manager-strict=false",
		"--config.update-notifier=false")
	spec.Serve = b.registry
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: b.Pnpm, Target: "/pnpm"})
	return b.do(ctx, "installing npm packages", spec)
}

func (b *build) build(ctx context.Context, libs []hostLib) (artifact.Sandbox, error) {
	spec := b.spec(libs, "{root}/ui.mjs", "{root}/work/"+reportName)
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: b.Script, Target: "/ui.mjs"})
	return b.do(ctx, "running "+filepath.Base(b.Script), spec)
}

func (b *build) spec(libs []hostLib, args ...string) sandbox.Spec {
	return sandbox.Spec{
		Mounts: append(mounts(libs),
			sandbox.Mount{Source: b.Node, Target: "/node"},
			// One mount, because pnpm links packages from its store, and links do
			// not cross mounts.
			sandbox.Mount{Source: b.work, Target: "/work", Writable: true}),
		Dir:  "{root}/work/" + b.UI,
		Args: append([]string{"{root}/node/bin/node"}, args...),
		Env: []string{
			"CI=1", // ask nothing, draw no progress bars
			"HOME={root}/work/home",
			"LANG=C",
			"NO_COLOR=1",
			"SOURCE_DATE_EPOCH=" + strconv.FormatInt(b.Epoch.Unix(), 10),
			"TMPDIR={root}/work/tmp",
			"TZ=UTC",
		},
		Proc:    true, // TypeScript 7's compiler asks /proc/self/exe where it is
		Require: b.Require,
		Temp:    filepath.Dir(b.work),
	}
}

func (b *build) do(ctx context.Context, what string, spec sandbox.Spec) (artifact.Sandbox, error) {
	said := &transcript{log: b.Log}
	spec.Stdout, spec.Stderr = said, said
	result, err := sandbox.Run(ctx, spec)
	if err != nil {
		if tail := said.tail(); tail != "" && !errors.Is(err, context.Canceled) {
			return artifact.Sandbox{}, fmt.Errorf("%s: %w; it last said:\n%s", what, err, tail)
		}
		return artifact.Sandbox{}, fmt.Errorf("%s: %w", what, err)
	}
	return result.Report, nil
}
