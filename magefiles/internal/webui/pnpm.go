package webui

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/sandbox"
	"palisade/recipes"
)

// PnpmInput is all that Pnpm depends on.
type PnpmInput struct {
	Input
	Pnpm string // the npm package pnpm, unpacked
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
	return in.build(func(b *build) (artifact.UI, []artifact.Embedded, error) {
		locked, err := lockedFor(in.Input, b.host)
		if err != nil {
			return artifact.UI{}, nil, err
		}
		p := &pnpmBuild{build: b, pnpm: in.Pnpm, locked: locked, registry: filepath.Join(b.dir, "registry")}
		if err := layRegistry(ctx, in.NPM, locked, p.registry); err != nil {
			return artifact.UI{}, nil, err
		}
		ui, embedded, err := p.run(ctx)
		if err != nil {
			return artifact.UI{}, nil, err
		}
		return ui, embedded, compressAssets(b.workspace(), "embed.go.tmpl", in.Out, in.UI)
	})
}

// notePnpm is what a UI that Pnpm made says of itself.
const notePnpm = "Built from the source of this module with the packages of its own lock file, each checked against its sha512; " +
	"install scripts did not run."

func lockedFor(in Input, host npm.Host) ([]artifact.Package, error) {
	data, err := in.read("pnpm-lock.yaml", npm.MaxLock)
	if err != nil {
		return nil, err
	}
	locked, err := npm.ParseLock(data)
	if err != nil {
		return nil, fmt.Errorf("reading pnpm-lock.yaml: %w", err)
	}
	var packages []artifact.Package
	for _, l := range locked {
		if l.Fits(host) {
			packages = append(packages, l.Package)
		}
	}
	return packages, nil
}

// read reads a file of the workspace as its source has it.
func (in Input) read(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(in.Source)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readBounded(root, path.Join(in.UI, name), limit)
}

// pnpmBuild is one run of Pnpm.
type pnpmBuild struct {
	*build
	pnpm     string
	locked   []artifact.Package // that fit the host
	registry string
}

func (b *pnpmBuild) run(ctx context.Context) (artifact.UI, []artifact.Embedded, error) {
	if err := b.prepare(b.UI, "scripts"); err != nil {
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
	nodeModules := filepath.Join(b.workspace(), modulesDir)
	packages, err := installed(nodeModules, b.locked)
	if err != nil {
		return artifact.UI{}, nil, err
	}
	if libs, err = b.libs(nodeModules); err != nil {
		return artifact.UI{}, nil, err
	}
	second, err := b.build.run(ctx, libs, "")
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
		Kind:     recipes.PnpmUI,
		Origin:   b.Module,
		Note:     notePnpm,
		Packages: packages,
		Host:     files,
		Report:   &report,
	}, embedded, nil
}

// install runs pnpm. A frozen lock file is not resolved again, so upstream's
// minimumReleaseAge has nothing to ask the registry for, and with no script to
// run its strictDepBuilds has nothing to refuse: neither is overridden. Were a
// later pnpm to ask, it would get 404 from a registry without metadata.
func (b *pnpmBuild) install(ctx context.Context, libs []hostLib) (artifact.Sandbox, error) {
	spec := b.spec(libs,
		"{root}/pnpm/bin/pnpm.cjs", "install", "--frozen-lockfile", "--ignore-scripts",
		"--registry={serve}/", "--store-dir={root}/work/store", "--reporter=append-only",
		// A package.json that names another pnpm must not make it fetch that.
		"--config.manage-package-manager-versions=false", "--config.package-manager-strict=false",
		"--config.update-notifier=false")
	spec.Serve = b.registry
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: b.pnpm, Target: "/pnpm"})
	return b.do(ctx, "installing npm packages", spec)
}

// embedded tells from the script's report which packages something of is in
// static/, and from upstream's list that the report forgets none.
func (b *pnpmBuild) embedded(installed []artifact.Package) ([]artifact.Embedded, error) {
	root, err := os.OpenRoot(b.workspace())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r, err := b.report()
	if err != nil {
		return nil, err
	}
	if len(r.Compiled) > 0 {
		return nil, fmt.Errorf("%w: module %.200q was compiled, which only a recipe with elm says of one", ErrReport, r.Compiled[0].ID)
	}
	list, err := holdFiles(b.workspace(), r)
	if err != nil {
		return nil, err
	}
	o := newOwners(root, installed, pnpmDir)
	packages, requires, err := o.attribute(r)
	if err != nil {
		return nil, err
	}
	listed, err := readBounded(root, list, maxAsset)
	if err != nil {
		return nil, err
	}
	if err := o.holdList(string(listed), packages); err != nil {
		return nil, err
	}
	return b.bundled(packages, requires), nil
}
