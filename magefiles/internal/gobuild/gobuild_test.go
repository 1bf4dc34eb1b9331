package gobuild

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; look at the difference, then run with -update. Got:\n%s", file, got)
	}
}

var (
	bell   = module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	rope   = module.Version{Path: "example.org/rope", Version: "v0.9.0"}
	sealed = module.Version{Path: "example.org/rope", Version: "v0.9.1-0.palisade.3"}
	linux  = Target{artifact.Platform{OS: "linux", Arch: "amd64"}, "hardened"}
)

// patched is source of a recipe whose second module is sealed under a hash.
func patched(t *testing.T) source.Patched {
	t.Helper()
	p := proxytest.New(t)
	for _, m := range []module.Version{bell, rope} {
		p.Add(t, m.Path, m.Version, map[string]string{"go.mod": "module " + m.Path + "\n\ngo 1.24.0\n", "x.go": "package x\n"})
	}
	dir := t.TempDir()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(dir, "mod")) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &recipes.Recipe{
		Name: "bell", Module: bell.Path, Version: "1.2.0", Revision: 3, Tags: []string{"netgo", "builtinassets"},
		Released: time.Date(2026, 9, 25, 9, 25, 38, 0, time.FixedZone("", 2*3600)),
		Binaries: []recipes.Binary{{Name: "bell", Package: "example.org/bell/cmd/bell"}, {Name: "pull", Package: "example.org/bell/cmd/pull"}},
		Lock:     p.Lock(bell, rope),
		Patched: recipes.Sums{
			sealed: "h1:sealed=",
			{Path: sealed.Path, Version: sealed.Version + "/go.mod"}:         "h1:sealedmod=",
			{Path: sealed.Path, Version: "v0.9.1-0.vanilla.3"}:               "h1:vanilla=",
			{Path: sealed.Path, Version: "v0.9.1-0.vanilla.3" + "/go.mod"}:   "h1:vanillamod=",
			{Path: "example.org/other", Version: sealed.Version}:             "h1:other=",
			{Path: "example.org/other", Version: sealed.Version + "/go.mod"}: "h1:othermod=",
		},
	}
	tree, err := source.Fetch(t.Context(), &modules.Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2}, r)
	if err != nil {
		t.Fatal(err)
	}
	return source.Patched{Tree: tree, Sealed: []source.Sealed{{
		From: tree.Modules()[1], To: modules.Sealed{Version: sealed, Sum: "h1:sealed="},
	}}}
}

// environment.txt is all that a compilation sees, for each platform.
func TestEnvironment(t *testing.T) {
	d, err := recipes.LoadDistribution(os.DirFS("../../../recipes"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var common []string
	for i, p := range d.Platforms {
		env := environment(p)
		if !slices.IsSorted(env) {
			t.Errorf("%s: not sorted", p)
		}
		if i == 0 {
			common = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return platformVariable(kv) })
			text.WriteString("every platform\n  " + strings.Join(common, "\n  ") + "\n")
		}
		var own []string
		for _, kv := range env {
			if platformVariable(kv) {
				own = append(own, kv)
			} else if !slices.Contains(common, kv) {
				t.Errorf("%s alone has %s", p, kv)
			}
		}
		if len(own)+len(common) != len(env) {
			t.Errorf("%s: %d variables", p, len(env))
		}
		text.WriteString(p.String() + "\n  " + strings.Join(own, " ") + "\n")
	}
	golden(t, "environment.txt", []byte(text.String()))
}

func platformVariable(kv string) bool {
	name, _, _ := strings.Cut(kv, "=")
	return name == "GOOS" || strings.HasPrefix(name, "GOARCH") || (kv != "GO111MODULE=on" && strings.Contains("GOAMD64 GO386 GOARM GOARM64 GOPPC64 GORISCV64", name))
}

// Nothing of this process reaches the command, whatever it is.
func TestEnvironmentIsNotInherited(t *testing.T) {
	before := environment(linux.Platform)
	for _, name := range []string{"GOFLAGS", "GOAMD64", "GOEXPERIMENT", "PATH", "HOME", "TZ", "CGO_ENABLED"} {
		t.Setenv(name, "surprise")
	}
	if after := environment(linux.Platform); !slices.Equal(before, after) {
		t.Errorf("got %q", after)
	}
}

func TestTags(t *testing.T) {
	r := &recipes.Recipe{Tags: []string{"netgo", "builtinassets"}}
	for os, want := range map[string]string{"linux": "netgo,builtinassets", "darwin": "netgo,builtinassets", "windows": "builtinassets"} {
		if got := strings.Join(tagsFor(r, Target{Platform: artifact.Platform{OS: os}}), ","); got != want {
			t.Errorf("%s: got %s, want %s", os, got, want)
		}
	}
	if got := strings.Join(r.Tags, ","); got != "netgo,builtinassets" {
		t.Errorf("the recipe's own tags became %s", got)
	}
}

// generated.txtar is the command line, with the stamps, and the lock that the
// compiler is given.
func TestCommand(t *testing.T) {
	p := patched(t)
	c := &Compiler{Distribution: &recipes.Distribution{Name: "palisade"}}
	cmd, err := c.command(p, linux)
	if err != nil {
		t.Fatal(err)
	}
	var a txtar.Archive
	a.Comment = []byte("What the compiler is given for a recipe whose second module is sealed.\n")
	for _, f := range []struct {
		name string
		data []byte
	}{{"args", []byte(strings.Join(cmd.args, "\n") + "\n")}, {"build.mod", cmd.goMod}, {"build.sum", cmd.goSum}} {
		a.Files = append(a.Files, txtar.File{Name: f.name, Data: f.data})
	}
	golden(t, "generated.txtar", txtar.Format(&a))

	// Without a change the lock is the recipe's own.
	r := p.Tree.Recipe()
	p.Sealed = nil
	cmd, err = c.command(p, Target{linux.Platform, "vanilla"})
	if err != nil {
		t.Fatal(err)
	}
	if string(cmd.goMod) != string(r.Lock.GoMod) || string(cmd.goSum) != string(r.Lock.GoSum) {
		t.Errorf("nothing sealed: build.mod is\n%s\nbuild.sum is\n%s", cmd.goMod, cmd.goSum)
	}
	r.Commit = "e803ebd81be5867ff17a21205030611fa033af13"
	got := stamps(r, c.Distribution, "vanilla")
	for _, want := range []string{"version.Version=1.2.0-vanilla ", "version.Revision=" + r.Commit + " "} {
		if !strings.Contains(got, want) {
			t.Errorf("stamps are %s, without %s", got, want)
		}
	}
}

func TestEpoch(t *testing.T) {
	if got := Epoch(patched(t)); got.Unix() != 1790321138 || got.Location() != time.UTC {
		t.Errorf("got %v", got)
	}
}

type elsewhere struct{ Executor }

func (elsewhere) Name() string { return "buildkit" }

// What another machine made has another key than what this one did, and the
// keys of this one are those of a compiler that knows no other.
func TestExecutorsKey(t *testing.T) {
	if got := (&Compiler{}).executor(); got != nil {
		t.Errorf("here: %q", got)
	}
	if got := (&Compiler{Elsewhere: elsewhere{}}).executor(); len(got) != 1 || got[0] != "by buildkit" {
		t.Errorf("elsewhere: %q", got)
	}
}
