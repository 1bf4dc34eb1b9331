// Package gobuild compiles patched source into binaries that hold nothing of
// the machine that made them, and hands over only a binary whose own build
// info says what was asked for. It refuses a dependency, a version, a hash, a
// setting or a compiler that the lock does not name.
package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/recipes"
)

// A Compiler builds binaries.
type Compiler struct {
	Store        *store.Store
	Modules      *modules.Client
	Box          *toolchain.Box
	Distribution *recipes.Distribution
	Hermetic     bool // refuse to compile without a sandbox
	// Elsewhere compiles on other machines; nil for the sandbox of this one.
	Elsewhere Executor
	// Begin is called when the lock of a compilation is had, before this machine
	// does anything for it; its error ends that. Nil is for nothing.
	Begin func(ctx context.Context) error
}

// An Executor runs a command that sees what spec names and nothing else, as
// sandbox.Run does, on a machine of its own: read-only mounts are sent there,
// and of the writable ones only their Leaves come back. It is a part of the
// builder: what comes back is held against the lock by what it says of itself.
// That its code is that of the sources nobody here sees, and only who compiles
// them again finds out.
type Executor interface {
	Run(ctx context.Context, spec sandbox.Spec) (sandbox.Result, error)
	Name() string // printable; what one has made is never taken for what another has
}

// A Target is what source is compiled for.
type Target struct {
	Platform artifact.Platform
	Variant  string
}

// Built is a set of binaries, checked, and how they were made. Only Build
// makes one.
type Built struct {
	Source     source.Patched
	Target     Target
	Toolchain  artifact.Tool
	Binaries   []artifact.Binary // sorted by name
	Links      []Links           // of each of them, in the same order
	Invocation artifact.Invocation
	Files      store.Entry // holds each binary under its name
	Cached     bool
}

// step is what a compilation leaves in the store, beside the binaries.
type step struct {
	Binaries   []artifact.Binary   `json:"binaries"`
	Links      []Links             `json:"links"`
	Invocation artifact.Invocation `json:"invocation"`
}

// Build compiles p for t.
func (c *Compiler) Build(ctx context.Context, p source.Patched, t Target) (Built, error) {
	r := p.Tree.Recipe()
	tool, err := c.Box.PinnedGo(r.Lock.Go)
	if err != nil {
		return Built{}, fmt.Errorf("compiling %s: %w", r.Name, err)
	}
	cmd, err := c.command(p, t)
	if err != nil {
		return Built{}, fmt.Errorf("compiling %s: %w", r.Name, err)
	}
	key := store.NewKey("compile-2", slices.Concat([]string{tool.Hash, fmt.Sprint(c.hermetic()), string(cmd.goMod), string(cmd.goSum)}, cmd.args, cmd.list, cmd.env, c.executor())...)
	elsewhere := func(s step, left store.Entry) error { return c.checkTaken(ctx, p, t, cmd, s, left) }
	s, entry, cached, err := store.Shared(ctx, c.Store, key, elsewhere, func(ctx context.Context, dir string) (step, error) {
		return c.compile(ctx, p, t, cmd, dir)
	})
	if err != nil {
		return Built{}, fmt.Errorf("compiling %s for %s, %s: %w", r.Name, t.Platform, t.Variant, err)
	}
	return Built{Source: p, Target: t, Toolchain: tool, Binaries: s.Binaries, Links: s.Links, Invocation: s.Invocation, Files: entry, Cached: cached}, nil
}

// hermetic says whether a result is, or has to be, made in the sandbox: a
// result made without one is never taken for one that was.
func (c *Compiler) hermetic() bool { return c.Hermetic || sandbox.Available() == nil }

// executor names what compiles, in a key; the sandbox of this machine has no name.
func (c *Compiler) executor() []string {
	if c.Elsewhere == nil {
		return nil
	}
	return []string{"by " + c.Elsewhere.Name()}
}

// command is a run of the go command, in the paths that it sees.
type command struct {
	args, env    []string
	list         []string // lists the packages that args compiles
	goMod, goSum []byte
}

// The paths inside the sandbox.
const (
	goRoot   = "{root}/go"
	modCache = "{root}/modcache"
	goCache  = "{root}/gocache"
	tempDir  = "{root}/build"
	outDir   = "{root}/out"
	lockDir  = "{root}/recipe"
)

func (c *Compiler) command(p source.Patched, t Target) (command, error) {
	goMod, goSum, err := generatedLock(p)
	if err != nil {
		return command{}, err
	}
	cmd := commandOf(p.Tree.Recipe(), c.Distribution, t)
	cmd.goMod, cmd.goSum = goMod, goSum
	return cmd, nil
}

// tagsFor leaves netgo out for windows, as upstream does: there the system's
// resolver is not a C library.
func tagsFor(r *recipes.Recipe, t Target) []string {
	return slices.DeleteFunc(slices.Clone(r.Tags), func(tag string) bool {
		return tag == "netgo" && t.Platform.OS == "windows"
	})
}

// stamps are the linker's flags that --version shows. Each is constant for a
// release: who builds is the distribution, when is the upstream release.
func stamps(r *recipes.Recipe, d *recipes.Distribution, variant string) string {
	const pkg = "github.com/prometheus/common/version."
	values := []struct{ name, value string }{
		{"Version", r.FullVersion(d, variant)},
		{"Revision", r.StampedRevision()},
		{"Branch", "v" + r.Version},
		{"BuildUser", d.Name},
		{"BuildDate", r.Released.UTC().Format("20060102-15:04:05")},
	}
	var flags []string
	for _, v := range values {
		flags = append(flags, "-X "+pkg+v.name+"="+v.value)
	}
	return strings.Join(flags, " ")
}

// environment is all that the go command sees, sorted.
func environment(p artifact.Platform) []string {
	env := []string{
		"CGO_ENABLED=0", // no C compiler, no C library of the host
		"GO111MODULE=on",
		"GOARCH=" + p.Arch,
		"GOCACHE=" + goCache,
		// The go command remembers a module's files and imports under the name of
		// its directory, not their hash: a patch changed and sealed anew under the
		// same version would be compiled as the former one.
		"GODEBUG=goindex=0",
		"GOENV=off", // no settings file
		"GOEXPERIMENT=",
		"GOFLAGS=",
		"GOMODCACHE=" + modCache,
		"GOOS=" + p.OS,
		"GOPROXY=off", // nothing is fetched
		"GOROOT=" + goRoot,
		"GOSUMDB=off", // go.sum holds every hash
		"GOTELEMETRY=off",
		"GOTMPDIR=" + tempDir,
		"GOTOOLCHAIN=local", // the pinned one
		"GOVCS=*:off",
		"GOWORK=off",
		"HOME=/nonexistent",
		"LC_ALL=C",
		"PATH=",
		"TZ=UTC",
	}
	if level := instructionSet(p); level != "" {
		env = append(env, level)
	}
	slices.Sort(env)
	return env
}

// instructionSet is the variable that names it, "GOAMD64=v1", where Go has a
// choice, so that a default of another toolchain cannot change it. Each is
// Go's own default but for arm.
func instructionSet(p artifact.Platform) string {
	return map[string]string{
		"amd64": "GOAMD64=v1", "386": "GO386=sse2", "arm64": "GOARM64=v8.0",
		"arm": "GOARM=" + strings.TrimPrefix(p.Variant, "v"), "ppc64le": "GOPPC64=power8", "riscv64": "GORISCV64=rva20u64",
	}[p.Arch]
}

// generatedLock is the recipe's go.mod with a replacement for every sealed
// module, and its go.sum with their hashes.
func generatedLock(p source.Patched) (goMod, goSum []byte, err error) {
	r := p.Tree.Recipe()
	f, err := modfile.Parse("go.mod", r.Lock.GoMod, nil)
	if err != nil {
		return nil, nil, err
	}
	sums := recipes.Sums{}
	for m, sum := range r.Lock.Sums {
		sums[m] = sum
	}
	for _, s := range p.Sealed {
		if err := f.AddReplace(s.From.Path, s.From.Version.Version, s.To.Path, s.To.Version.Version); err != nil {
			return nil, nil, err
		}
		for m, sum := range r.Patched {
			if m.Path == s.To.Path && strings.TrimSuffix(m.Version, "/go.mod") == s.To.Version.Version {
				sums[m] = sum
			}
		}
	}
	goMod, err = f.Format()
	return goMod, sums.Encode(), err
}

func (c *Compiler) begin(ctx context.Context) error {
	if c.Begin == nil {
		return nil
	}
	return c.Begin(ctx)
}

// prepare lays out what the go command gets to see, of verified source; remove
// removes it.
func (c *Compiler) prepare(ctx context.Context, p source.Patched, t Target, cmd command, out string) (spec sandbox.Spec, remove func(), err error) {
	golang, err := c.Box.Go(ctx, p.Tree.Recipe().Lock.Go)
	if err != nil {
		return spec, nil, err
	}
	if err := p.Verify(ctx, c.Modules); err != nil {
		return spec, nil, err
	}
	work, remove, err := c.Store.Temp("compile")
	if err != nil {
		return spec, nil, err
	}
	for _, d := range []string{"build", "modcache"} {
		if err = os.Mkdir(filepath.Join(work, d), 0o755); err != nil {
			break
		}
	}
	if err == nil {
		spec, err = c.spec(p, t, golang, cmd, work, out)
	}
	if err != nil {
		remove()
	}
	return spec, remove, err
}

// compile runs the go command and checks what it made.
func (c *Compiler) compile(ctx context.Context, p source.Patched, t Target, cmd command, out string) (step, error) {
	if err := c.begin(ctx); err != nil {
		return step{}, err
	}
	spec, remove, err := c.prepare(ctx, p, t, cmd, out)
	if err != nil {
		return step{}, err
	}
	defer remove()
	var log bytes.Buffer
	spec.Stdout, spec.Stderr = &log, &log
	run := sandbox.Run
	if c.Elsewhere != nil {
		run = c.Elsewhere.Run
	}
	result, err := run(ctx, spec)
	if err != nil {
		return step{}, fmt.Errorf("%w\n%s", err, indented(log.String()))
	}
	s := step{Invocation: artifact.Invocation{Args: seen(cmd.args), Env: seen(cmd.env), Sandbox: result.Report}}
	if s.Binaries, err = c.readBack(p, t, out); err != nil {
		return step{}, err
	}
	// What is linked is found out here, also where it was compiled elsewhere: it
	// is held against the binaries.
	packages, err := list(ctx, spec, cmd.list)
	if err != nil {
		return step{}, err
	}
	s.Links, err = links(packages, s.Binaries)
	return s, err
}

// seen is how the command saw its arguments where it had a root of its own.
func seen(args []string) []string {
	all := make([]string, len(args))
	for i, a := range args {
		all[i] = strings.ReplaceAll(a, "{root}", "")
	}
	return all
}

// indented is what a command said, no line of which reads as one of ours.
func indented(said string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(said), "\n", "\n\t")
}

// spec is all that the go command gets to see.
func (c *Compiler) spec(p source.Patched, t Target, golang toolchain.Installed, cmd command, work, out string) (sandbox.Spec, error) {
	var sealed []modules.Sealed
	replaced := map[string]bool{}
	for _, s := range p.Sealed {
		sealed = append(sealed, s.To)
		replaced[s.From.Path] = true
	}
	given := slices.DeleteFunc(slices.Clone(p.Tree.Modules()), func(m modules.Module) bool { return replaced[m.Path] })
	places, err := c.Modules.View(filepath.Join(work, "modcache"), p.Tree.Recipe().Lock, given, sealed)
	if err != nil {
		return sandbox.Spec{}, err
	}
	spec := sandbox.Spec{
		Mounts: []sandbox.Mount{
			{Source: golang.Dir, Target: "/go", Content: golang.Hash},
			{Source: c.Store.Dir("go-build"), Target: "/gocache", Writable: true},
			{Source: filepath.Join(work, "build"), Target: "/build", Writable: true},
			{Source: out, Target: "/out", Writable: true, Leaves: names(p, t)},
		},
		Files: map[string]string{
			"/recipe/go.mod":    string(p.Tree.Recipe().Lock.GoMod),
			"/recipe/build.mod": string(cmd.goMod),
			"/recipe/build.sum": string(cmd.goSum),
		},
		Dir: lockDir, Args: cmd.args, Env: cmd.env, Temp: work, Require: c.Hermetic,
	}
	for _, place := range places {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: place.Source, Target: path.Join("/modcache", place.Target), Content: place.Content})
	}
	return spec, nil
}

// names are the files that a compilation leaves, in the order of the recipe.
func names(p source.Patched, t Target) []string {
	var all []string
	for _, b := range p.Tree.Recipe().Binaries {
		all = append(all, fileName(b.Name, t))
	}
	return all
}

func fileName(binary string, t Target) string {
	if t.Platform.OS == "windows" {
		return binary + ".exe"
	}
	return binary
}

// Epoch is the time that everything made from p carries.
func Epoch(p source.Patched) time.Time { return p.Tree.Recipe().Released.UTC() }
