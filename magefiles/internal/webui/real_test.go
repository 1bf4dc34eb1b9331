package webui

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

// The real things are large and come from the network, so a test of them asks
// to be told where they are. The pipeline's own tests build them from nothing.
var (
	realPrometheus   = flag.String("prometheus", "", "source of github.com/prometheus/prometheus v0.315.0")
	realAlertmanager = flag.String("alertmanager", "", "source of github.com/prometheus/alertmanager v0.31.1")
	realNode         = flag.String("node", "", "unpacked npm package of Node 24")
	realPnpm         = flag.String("pnpm", "", "unpacked npm package pnpm 10")
	realPackages     = flag.String("packages", "", "directory of stored npm tarballs")
	realRegistry     = flag.String("registry", "", "npm registry to fill it from")
	realDeny         = flag.Bool("deny", false, "build without namespaces")
	realScratch      = flag.String("scratch", "", "directory for the build; default a temporary one")
)

func TestRealPrometheus(t *testing.T) {
	if *realPrometheus == "" {
		t.Skip("-prometheus, -node, -pnpm and -packages are not given")
	}
	script, err := filepath.Abs("../../../recipes/prometheus/ui.mjs")
	if err != nil {
		t.Fatal(err)
	}
	build := func(scratch string) Assets {
		a, err := Pnpm(t.Context(), PnpmInput{
			Module:  artifact.Module{Path: "github.com/prometheus/prometheus", Version: "v0.315.0", Sum: "h1:"},
			Source:  *realPrometheus,
			UI:      "web/ui",
			Script:  script,
			Node:    *realNode,
			Pnpm:    *realPnpm,
			Host:    artifact.Platform{OS: "linux", Arch: "amd64"},
			NPM:     &npm.Client{Registry: *realRegistry, Dir: *realPackages, Offline: *realRegistry == ""},
			Scratch: scratch,
			Out:     t.TempDir(),
			Epoch:   time.Unix(1_700_000_000, 0),
			Require: !*realDeny,
			Deny:    *realDeny,
			Log:     t.Output(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := *realScratch
	if first == "" {
		first = t.TempDir()
	}
	start := time.Now()
	a := build(first)
	t.Logf("built in %s: %d files, %d packages, report %+v", time.Since(start).Round(time.Millisecond), len(a.Files), len(a.UI.Packages), *a.UI.Report)
	for _, f := range append(a.Files, a.UI.Host...) {
		t.Log(f.Name, f.Mode, f.Size, f.Digest)
	}
	sameFiles(t, a, build(filepath.Join(t.TempDir(), "elsewhere", "with a space")))
}

func TestRealAlertmanager(t *testing.T) {
	if *realAlertmanager == "" {
		t.Skip("-alertmanager is not given")
	}
	build := func() Assets {
		a, err := Bundle(t.Context(), BundleInput{
			Module: artifact.Module{Path: "github.com/prometheus/alertmanager", Version: "v0.31.1", Sum: "h1:"},
			Source: *realAlertmanager,
			Out:    t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := build()
	for _, f := range a.Files {
		t.Log(f.Name, f.Mode, f.Size, f.Digest)
	}
	sameFiles(t, a, build())
}

func sameFiles(t *testing.T, a, b Assets) {
	t.Helper()
	if len(a.Files) != len(b.Files) {
		t.Fatalf("%d files, then %d", len(a.Files), len(b.Files))
	}
	for i := range a.Files {
		if a.Files[i] != b.Files[i] {
			t.Errorf("%+v, then %+v", a.Files[i], b.Files[i])
		}
		x, err := os.ReadFile(filepath.Join(a.Dir, a.Files[i].Name))
		if err != nil || artifact.DigestBytes(x) != a.Files[i].Digest {
			t.Errorf("%s is not what is recorded: %v", a.Files[i].Name, err)
		}
	}
}
