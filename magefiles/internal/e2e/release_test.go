//go:build e2e && unix

package e2e

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

var distDir = flag.String("dist", "../../../dist", "`directory` of the results")

// A release is a dist/ and the recipes that it is held against.
type release struct {
	dir          string
	host         artifact.Platform
	manifest     *artifact.Manifest
	recipes      fs.FS
	distribution *recipes.Distribution
}

func openRelease(t *testing.T) *release {
	t.Helper()
	dir, err := filepath.Abs(*distDir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "release.json"))
	if err != nil {
		t.Fatalf("there is nothing to test: %v; build first, with: go tool mage build", err)
	}
	defer f.Close()
	r := &release{
		dir:     dir,
		host:    artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH},
		recipes: os.DirFS("../../../recipes"),
	}
	if r.manifest, err = artifact.ParseManifest(f); err != nil {
		t.Fatal(err)
	}
	if r.distribution, err = recipes.LoadDistribution(r.recipes); err != nil {
		t.Fatal(err)
	}
	return r
}

// component returns a recipe and the record of its hardened artifact for this
// machine.
func (r *release) component(t *testing.T, name string) (*recipes.Recipe, artifact.Record) {
	t.Helper()
	recipe, err := recipes.Load(r.recipes, r.distribution, name)
	if err != nil {
		t.Fatal(err)
	}
	if !recipe.Builds(r.host) {
		t.Skipf("the recipe offers nothing for %s", r.host)
	}
	for _, rec := range r.manifest.Artifacts {
		if rec.Component == name && rec.Platform == r.host && rec.Variant == "hardened" {
			return recipe, rec
		}
	}
	t.Fatalf("%s holds no hardened %s for %s; build it, with: go tool mage build -component=%s", r.dir, name, r.host, name)
	return nil, artifact.Record{}
}

// looseBinary is where dist/ holds a binary that is in no archive.
func (r *release) looseBinary(rec artifact.Record, name string) string {
	return filepath.Join(r.dir, "bin", rec.Platform.Slug(), rec.Variant, name)
}
