// Package stories tells what a person sees who runs the targets: each file in
// testdata/script is one story against the compiled magefiles, in a checkout
// of two tiny components, with a module proxy, a checksum database, an npm
// registry and one for images of its own on loopback. The checks that run are the real ones, and so is the Go
// that compiles.
//
// # What a story can say
//
// Beside testscript's own commands:
//
//	status N command...      the command has to end with status N
//	publish M@V DIR          module version M@V is what DIR holds, for proxy and
//	                         checksum database; which never changes what it once said
//	serve M@V DIR            the same for the proxy alone
//	npm P@V DIR              the npm registry has package P, which holds what is
//	                         below DIR; its integrity is then $INTEGRITY
//	shut M                   the proxy does not list the versions of module M
//	hold M@V                 the proxy sends half of the module's zip file and waits
//	poison N                 the registry for images changes one bit of every blob of more
//	                         than N bytes that it sends
//	flip FILE                changes one byte in the middle of the file, and nothing else
//	edit FILE OLD NEW        replaces text that has to be there
//	drop FILE TEXT           removes the lines that hold the text
//	own DIR                  turns a symbolic link to a directory into a copy
//	fifo FILE                who opens FILE for reading waits there
//	remember DIR             names, times and content of everything below DIR...
//	unchanged                ...are what they were
//	whole                    nothing in dist or cache is half-made
//	tidy                     the same, and no temporary file is left
//	interrupt SIG WHEN ARG.. runs palisade until a file matches WHEN, then sends
//	                         the signal; nothing that it started may live on
//	release PATTERN...       the facts of release.json that match, as lines on stdout
//
// What a checkout and the proxy hold is in testdata/checkout.txtar and
// testdata/modules.txtar. Who changes a module there changes its hashes in
// go.sum and patched.sum: the failing story shows the new ones.
package stories

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/tools/txtar"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/recipes"
)

var update = flag.Bool("update", false, "write what was seen into the stories' golden files")

// built is what all stories share.
var built struct {
	skip         string // why no story is told
	root         string // of the repository
	binary       string // the compiled magefiles
	copied       string // what they were compiled from
	cache        string // the user's, out of which toolchains and compiled packages are taken
	distribution *recipes.Distribution
	box          *toolchain.Box    // the user's toolchains
	modules      map[string]string // directory of each fixture module, by path@version
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the stories:", err)
		code = 1
	}
	os.Exit(code)
}

func prepared(m *testing.M) (int, error) {
	if testing.Short() {
		built.skip = "each story compiles with the real toolchain: not under -short"
	} else if runtime.GOOS != "linux" {
		built.skip = "the stories need Linux's namespaces and /proc, to make faults and to see them"
	}
	if built.skip != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "palisade-stories-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cfg, err := config.Load()
	if err != nil {
		return 0, err
	}
	built.root, built.cache, built.copied = cfg.Root, cfg.Cache, filepath.Join(dir, "repository")
	if built.binary, err = compile(cfg, dir); err != nil {
		return 0, err
	}
	if err := installToolchain(cfg); err != nil {
		return 0, err
	}
	if built.modules, err = unpackModules(filepath.Join(dir, "modules")); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// compile makes the binary from a copy of what it is made of: two mage runs in
// one checkout share a generated file.
func compile(cfg *config.Config, dir string) (string, error) {
	checkout := filepath.Join(dir, "repository")
	for _, name := range []string{"attestations", "magefiles", "patches", "recipes"} {
		if err := os.CopyFS(filepath.Join(checkout, name), os.DirFS(filepath.Join(cfg.Root, name))); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(cfg.Root, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(checkout, name), data, 0o644); err != nil {
			return "", err
		}
	}
	_ = os.Remove(filepath.Join(checkout, "magefiles", "mage_output_file.go")) // of a run that was cut short
	binary := filepath.Join(dir, "palisade")
	cmd := exec.Command(cfg.Go, "tool", "mage", "-compile", binary)
	cmd.Dir = checkout
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the magefiles: %w\n%s", err, out)
	}
	return binary, nil
}

// installToolchain sees to it that the user's cache holds the pinned Go, as a
// build would: on a fresh machine this fetches it.
func installToolchain(cfg *config.Config) error {
	var err error
	if built.distribution, err = recipes.LoadDistribution(os.DirFS(filepath.Join(cfg.Root, "recipes"))); err != nil {
		return err
	}
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return err
	}
	for _, d := range []string{"go-build", "toolchains"} {
		if err := os.MkdirAll(s.Dir(d), 0o755); err != nil {
			return err
		}
	}
	built.box = &toolchain.Box{
		Store: s, Pins: &built.distribution.Toolchains, Host: cfg.Host,
		Modules: &modules.Client{Go: cfg.Go, Env: cfg.Fetch, Store: s, CPUs: cfg.CPUs},
		NPM:     &npm.Client{Registry: cfg.Registry, Dir: s.Dir("npm")},
	}
	_, err = built.box.Go(context.Background(), goVersion())
	return err
}

func goVersion() string { return built.distribution.Toolchains.Go[0].Version }

func TestStories(t *testing.T) {
	if built.skip != "" {
		t.Skip(built.skip)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		Cmds:                commands,
		Condition:           condition,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup lays out $WORK: checkout/ (what the story brings itself is kept),
// bin/palisade, cache/ with the user's toolchains, home/; and starts a proxy.
func setup(e *testscript.Env) error {
	checkout := filepath.Join(e.WorkDir, "checkout")
	base, err := txtar.ParseFile("testdata/checkout.txtar")
	if err != nil {
		return err
	}
	distribution, err := os.ReadFile(filepath.Join(built.root, "recipes", "distribution.yaml"))
	if err != nil {
		return err
	}
	settings, err := trustRoots(string(distribution), built.distribution)
	if err != nil {
		return err
	}
	base.Files = append(base.Files, txtar.File{Name: "recipes/distribution.yaml", Data: []byte(settings)})
	for _, f := range base.Files {
		if path.Base(f.Name) == "go.mod" {
			f.Data = bytes.ReplaceAll(f.Data, []byte("$GO"), []byte(goVersion()))
		}
		if err := writeNew(filepath.Join(checkout, filepath.FromSlash(f.Name)), f.Data); err != nil {
			return err
		}
	}
	for _, d := range []string{"bin", "cache", "home"} {
		if err := os.Mkdir(filepath.Join(e.WorkDir, d), 0o700); err != nil {
			return err
		}
	}
	// A name of its own, so that its processes can be told from other stories'.
	if err := os.Link(built.binary, filepath.Join(e.WorkDir, "bin", "palisade")); err != nil {
		return err
	}
	for _, d := range []string{"go-build", "toolchains"} {
		if err := os.Symlink(filepath.Join(built.cache, d), filepath.Join(e.WorkDir, "cache", d)); err != nil {
			return err
		}
	}
	w, err := newWorld(e.WorkDir)
	if err != nil {
		return err
	}
	e.Defer(w.close)
	e.Values[worldKey{}] = w
	host := artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	e.Cd = checkout
	for name, value := range map[string]string{
		"PATH":                filepath.Join(e.WorkDir, "bin") + ":" + e.Getenv("PATH"),
		"HOME":                filepath.Join(e.WorkDir, "home"),
		"PALISADE_CACHE":      filepath.Join(e.WorkDir, "cache"),
		"GOPROXY":             w.url + "/proxy",
		"GOSUMDB":             w.verifier + " " + w.url + "/sumdb",
		"npm_config_registry": w.url + "/npm",
		"REPOSITORY":          built.root,
		"GO":                  goVersion(),
		"PLATFORM":            host.String(),
		"SLUG":                host.Slug(),
		"SOON":                time.Now().UTC().AddDate(0, 6, 0).Format(time.DateOnly), // what a story says is for a time
		"CLOSED":              "http://127.0.0.1:1",                                    // nobody listens there
		"REGISTRY":            strings.TrimPrefix(w.url, "http://"),
	} {
		e.Setenv(name, value)
	}
	return nil
}

func writeNew(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// condition knows "namespaces": whether this machine lets a user have them.
func condition(cond string) (bool, error) {
	if cond != "namespaces" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	out, err := exec.Command("unshare", "-Urm", "true").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "stories: this machine refuses namespaces: %v: %s\n", err, strings.TrimSpace(string(out)))
	}
	return err == nil, nil
}
