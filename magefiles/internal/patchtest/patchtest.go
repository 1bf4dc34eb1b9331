// Package patchtest runs upstream's own tests on upstream's source with a
// patch series applied, and the tests that the series adds. It guarantees that
// what it reports is of exactly that source: the module as its hash says, the
// series as it applies, and the modules that the result's own go.mod and go.sum
// lock, confirmed by the checksum database. Of other modules with patches that
// it requires it gets the patched source instead, at the version that ships;
// its lock is then completed for them.
//
// It refuses to call anything passed that did not run to its end: a package
// that does not compile, or whose test program stops before its last test,
// fails. A test that the series lists as broken must be there and must fail;
// any other must not fail.
//
// The tests see the source with files that nobody else may read, as the
// patches want keys to be, an empty home, and of the network a loopback
// interface, where the host can confine them.
package patchtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/patches"
	"palisade/recipes"
)

// A Subject is a module and what changes it.
type Subject struct {
	Module module.Version
	Sum    string // its h1
	Series patches.Series
	// Interface is laid into the source, which embeds it; nil for none.
	Interface fs.FS
	// Beside are other modules with patches that the module is compiled with
	// if it requires them: its own patches may use what theirs bring.
	Beside []Subject
}

// A Bench is where subjects are tested.
type Bench struct {
	Modules *modules.Client
	Go      toolchain.Installed
	Store   *store.Store
	Require bool // without a sandbox nothing is run
}

// A Report is what came of a subject.
type Report struct {
	Packages []Package // in order of their folders
	Sandbox  artifact.Sandbox
}

// Passed reports whether every package did.
func (r Report) Passed() bool {
	return !slices.ContainsFunc(r.Packages, func(p Package) bool { return len(p.Problems) > 0 })
}

// Run tests every package of which the subject's series touches a file. A
// package that fails is in the Report; an error means that nothing can be said.
func (b *Bench) Run(ctx context.Context, s Subject) (Report, error) {
	report, err := b.run(ctx, s)
	if err != nil {
		return Report{}, fmt.Errorf("testing the patches of %s: %w", s.Module, err)
	}
	return report, nil
}

func (b *Bench) run(ctx context.Context, s Subject) (Report, error) {
	work, remove, err := b.Store.Temp("patchtest")
	if err != nil {
		return Report{}, err
	}
	defer remove()
	tree, lock, err := b.lay(ctx, work, s)
	if err != nil {
		return Report{}, err
	}
	folders, err := touched(os.DirFS(tree), s.Series)
	if err != nil {
		return Report{}, err
	}
	for _, t := range s.Series.Broken {
		if !slices.Contains(folders, t.Package) {
			return Report{}, fmt.Errorf("upstream-tests names %s of %s, but the series touches no file of that package: remove the line", t.Test, t.Package)
		}
	}
	var seen listener
	ran, err := b.goTest(ctx, work, tree, lock, folders, &seen)
	if exit := (*sandbox.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Report{}, err
	}
	if err := seen.close(); err != nil {
		return Report{}, err
	}
	return Report{Packages: seen.judge(s, folders, err != nil), Sandbox: ran}, nil
}

// makePrivate takes every file of the tree from everybody but its owner, who
// gets to write: tests make files beside the source.
func makePrivate(tree string) error {
	return filepath.WalkDir(tree, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return os.Chmod(name, 0o600)
	})
}

// touched lists, sorted, the folders of the packages that hold a file of the
// series: its own folder, or the nearest above that has Go files, for what a
// package embeds or tests with lies below it.
func touched(tree fs.FS, s patches.Series) ([]string, error) {
	var folders []string
	for _, name := range s.Files() {
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			found, err := fs.Glob(tree, path.Join(dir, "*.go"))
			if err != nil {
				return nil, err
			}
			if len(found) > 0 && !strings.Contains("/"+dir+"/", "/testdata/") {
				folders = append(folders, dir)
				break
			}
			if dir == "." {
				break // go.mod, or documents
			}
		}
	}
	slices.Sort(folders)
	if folders = slices.Compact(folders); len(folders) == 0 {
		return nil, errors.New("the series touches no Go package")
	}
	return folders, nil
}

// goTest runs the go command on the packages at folders.
func (b *Bench) goTest(ctx context.Context, work, tree string, lock recipes.Lock, folders []string, seen *listener) (artifact.Sandbox, error) {
	linked, err := b.Modules.All(ctx, lock)
	if err != nil {
		return artifact.Sandbox{}, err
	}
	if err := b.Modules.Verify(ctx, linked); err != nil {
		return artifact.Sandbox{}, err
	}
	for _, d := range []string{"build", "modcache", "tmp", "home"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o700); err != nil {
			return artifact.Sandbox{}, err
		}
	}
	places, err := b.Modules.View(filepath.Join(work, "modcache"), lock, linked, nil)
	if err != nil {
		return artifact.Sandbox{}, err
	}
	spec := sandbox.Spec{
		Mounts: []sandbox.Mount{
			{Source: b.Go.Dir, Target: "/go"},
			{Source: b.Store.Dir("go-build"), Target: "/gocache", Writable: true},
			{Source: filepath.Join(work, "build"), Target: "/build", Writable: true},
			{Source: filepath.Join(work, "home"), Target: "/home", Writable: true},
			{Source: filepath.Join(work, "tmp"), Target: "/tmp", Writable: true},
			{Source: tree, Target: "/src", Writable: true},
			{Source: filepath.Join(work, besideDir), Target: "/" + besideDir},
		},
		Files: map[string]string{
			"/etc/hosts":  "127.0.0.1 localhost\n::1 localhost\n",
			"/etc/passwd": "palisade:x:1000:1000::/home:/nonexistent\n",
		},
		Dir: "{root}/src", Env: environment(), Stdout: seen, Stderr: &seen.stderr,
		Args: []string{"{root}/go/bin/go", "test", "-json", "-short", "-count=1", "-timeout=20m"},
		Temp: work, Require: b.Require, Private: true,
		Proc: true, // tests look at their own process
	}
	for _, f := range folders {
		spec.Args = append(spec.Args, "./"+f)
	}
	for _, place := range places {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: place.Source, Target: path.Join("/modcache", place.Target)})
	}
	result, err := sandbox.Run(ctx, spec)
	return result.Report, err
}

// environment is all that the go command and the tests see, sorted.
func environment() []string {
	return []string{
		"CGO_ENABLED=0",
		"CI=true", // upstream's own way to run them
		"GOCACHE={root}/gocache",
		"GODEBUG=goindex=0", // what was learned of other source at this path is not of this
		"GOENV=off",
		"GOFLAGS=-mod=readonly",
		"GOMODCACHE={root}/modcache",
		"GOPROXY=off",
		"GOROOT={root}/go",
		"GOSUMDB=off", // go.sum holds every hash
		"GOTELEMETRY=off",
		"GOTMPDIR={root}/build",
		"GOTOOLCHAIN=local",
		"GOVCS=*:off",
		"GOWORK=off", // upstream's workspace has modules that its zip has not
		"HOME={root}/home",
		"LC_ALL=C",
		"PALISADE_CREDENTIALS_DIR={root}/home/credentials",
		"PATH={root}/go/bin", // some tests run the go command
		"TMPDIR={root}/tmp",
		"TZ=UTC",
		"USER=palisade",
	}
}
