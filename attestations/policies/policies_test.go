package policies

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/attestations/policy"
	"palisade/patches"
	"palisade/recipes"
)

func TestShipped(t *testing.T) {
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".yaml")
		names = append(names, name)
		if p, err := Load(name); err != nil || p.Name() != name {
			t.Errorf("%s: called %q, %v", e.Name(), p.Name(), err)
		}
	}
	if !slices.Equal(names, Names) {
		t.Errorf("there are %v, named are %v", names, Names)
	}
	if _, err := Load("../policies/release"); err == nil {
		t.Error("a path is loaded")
	}
}

// The release policy refuses what a workstation built, whoever signed it.
func TestReleaseRefusesWorkstation(t *testing.T) {
	release, err := Load("release")
	if err != nil {
		t.Fatal(err)
	}
	if s := release.Signers(); s.Given || len(s.Keys) > 0 || !s.Log || !s.Timestamp {
		t.Errorf("signers: %+v", s)
	}
	const workstation = "https://palisade.example/builders/workstation/v1"
	if err := release.Judge(policy.Claim{Builder: workstation}); !errors.Is(err, policy.ErrBuilder) {
		t.Errorf("Judge = %v", err)
	}
}

// The series that the release policy demands are those in patches/ that the
// hardened variant gets.
func TestReleasePinsPatches(t *testing.T) {
	data, err := files.ReadFile("release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Accept []struct {
			Component string
			Patches   []struct{ Module, Version, Digest string }
		}
	}
	if err := yaml.Unmarshal(data, &said); err != nil {
		t.Fatal(err)
	}
	if len(said.Accept) == 0 {
		t.Fatal("nothing is accepted")
	}
	for _, a := range said.Accept {
		for _, s := range a.Patches {
			if want := seriesDigest(t, a.Component, module.Version{Path: s.Module, Version: s.Version}); want != s.Digest {
				t.Errorf("%s: the series of %s %s is now %s, not %s: change release.yaml", a.Component, s.Module, s.Version, want, s.Digest)
			}
		}
	}
}

// seriesDigest is that of what the hardened variant of a component gets, with the
// web interface that its recipe takes.
func seriesDigest(t *testing.T, component string, m module.Version) string {
	t.Helper()
	root := os.DirFS(filepath.Join("..", ".."))
	sub := func(name string) fs.FS {
		below, err := fs.Sub(root, name)
		if err != nil {
			t.Fatal(err)
		}
		return below
	}
	d, err := recipes.LoadDistribution(sub("recipes"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipes.Load(sub("recipes"), d, component)
	if err != nil {
		t.Fatal(err)
	}
	all, err := patches.Load(sub("patches"), recipes.ShortName(m.Path), m.Version)
	if err != nil {
		t.Fatal(err)
	}
	var series []artifact.PatchFile
	for _, p := range all.For("hardened", r.UI.Kind()).Patches {
		series = append(series, artifact.PatchFile{Name: p.Name, Digest: p.Digest})
	}
	return policy.SeriesDigest(series).String()
}
