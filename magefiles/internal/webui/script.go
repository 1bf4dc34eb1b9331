package webui

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/sandbox"
)

// Input is what every build of an interface by a recipe's script depends on. Its
// directories are on this machine and absolute.
type Input struct {
	Module  artifact.Module   // what Source is
	Source  string            // root of the module's verified source; only read
	UI      string            // the workspace in it, slash-separated: web/ui
	Script  string            // the recipe's build script (a Node module)
	Node    string            // the npm package that holds bin/node, unpacked
	Host    artifact.Platform // what Node runs on
	NPM     *npm.Client       //
	Scratch string            // for a directory that is gone afterwards; best on the file system of NPM.Dir
	Out     string            // becomes Assets.Dir; made when missing, must be empty
	Epoch   time.Time         // SOURCE_DATE_EPOCH
	Require bool              // an error rather than a build that is not hermetic
	Log     io.Writer         // what the tools print; nil for nowhere
}

// Observer is a Node module that lies beside every recipe's script: a plugin by
// which the bundler says what it writes. What it says is in Assets.
//
//go:embed observer.mjs
var Observer []byte

// A build is one run of Pnpm or Elm.
type build struct {
	Input
	host npm.Host
	dir  string // all of it; gone afterwards
	work string // the one writable directory of the sandbox, /work
}

func (b *build) workspace() string { return filepath.Join(b.work, filepath.FromSlash(b.UI)) }

// build fills in.Out by make, which has a directory to do it in.
func (in Input) build(make func(*build) (artifact.UI, []artifact.Embedded, error)) (Assets, error) {
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
	if err := os.MkdirAll(in.Scratch, 0o755); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp(in.Scratch, "webui-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	ui, embedded, err := make(&build{Input: in, host: host, dir: dir, work: filepath.Join(dir, "work")})
	if err != nil {
		return fail(err)
	}
	files, err := list(in.Out)
	if err != nil {
		return fail(err)
	}
	return Assets{Dir: in.Out, Files: files, UI: ui, Embedded: embedded}, nil
}

// prepare copies into the working directory the parts of the source that the
// build may change, and those that its script compares, and lays the observer out.
func (b *build) prepare(parts ...string) error {
	for _, dir := range []string{"home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.work, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.observer(), Observer, fileMode); err != nil {
		return err
	}
	source, err := os.OpenRoot(b.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	for _, name := range parts {
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

func (b *build) observer() string { return filepath.Join(b.dir, "observer.mjs") }

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

// run runs the recipe's script. Compiler, where there is one, is a folder of
// programs that it finds in PATH.
func (b *build) run(ctx context.Context, libs []hostLib, compiler string) (artifact.Sandbox, error) {
	spec := b.spec(libs, "{root}/ui.mjs", "{root}/work/"+reportName)
	spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: b.Script, Target: "/ui.mjs"}, sandbox.Mount{Source: b.observer(), Target: "/observer.mjs"})
	if compiler != "" {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: compiler, Target: "/elm"})
		spec.Env = append(spec.Env, "ELM_HOME={root}/work/"+elmHome, "PATH={root}/elm")
	}
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
		Temp:    b.dir,
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

// sortPackages brings npm packages into the order that a manifest has.
func sortPackages(all []artifact.Package) {
	slices.SortFunc(all, func(a, b artifact.Package) int {
		return strings.Compare(a.Name+"\x00"+a.Version, b.Name+"\x00"+b.Version)
	})
}
