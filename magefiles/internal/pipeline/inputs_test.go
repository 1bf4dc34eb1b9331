package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"palisade/recipes"
)

// elmRecipe is alertmanager's, with the interface that is compiled.
func elmRecipe(t *testing.T, p *Pipeline) *recipes.Recipe {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager", "recipe.yaml")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(p.Config.Root, "recipes"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "\n  from: bundle\n", "\n  from: elm\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := recipes.Load(os.DirFS(dir), p.plan.Distribution, "alertmanager")
	if err != nil {
		t.Fatal(err)
	}
	if r.UI.Kind() != recipes.ElmUI {
		t.Fatalf("its interface is of kind %q", r.UI.Kind())
	}
	return r
}

// Whatever an interface in Elm is made of makes it anew.
func TestInputs(t *testing.T) {
	p := open(t)
	inputs := func(change func(*recipes.Recipe)) []string {
		r := elmRecipe(t, p)
		change(r)
		all, err := p.interfaces.Inputs(r)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := inputs(func(*recipes.Recipe) {})
	if again := inputs(func(*recipes.Recipe) {}); !slices.Equal(before, again) {
		t.Errorf("unchanged it is made of %q, then of %q", before, again)
	}
	last := func(r *recipes.Recipe) *recipes.Git { return &r.UI.Elm.Packages[14].Git }
	for name, change := range map[string]func(*recipes.Recipe){
		"upstream's version": func(r *recipes.Recipe) { r.Lock.Upstream = "v0.34.3" },
		"upstream's hash":    func(r *recipes.Recipe) { r.Lock.Sums = nil },
		"upstream's time":    func(r *recipes.Recipe) { r.Released = r.Released.Add(time.Second) },
		"the script":         func(r *recipes.Recipe) { r.Dir = fstest.MapFS{r.UI.Elm.Script: {Data: []byte("changed")}} },
		"the folder":         func(r *recipes.Recipe) { r.UI.Elm.Dir = "ui" },
		"a package more":     func(r *recipes.Recipe) { r.UI.Elm.Packages = append(r.UI.Elm.Packages, r.UI.Elm.Packages[0]) },
		"a repository":       func(r *recipes.Recipe) { last(r).Repository += "x" },
		"a commit":           func(r *recipes.Recipe) { last(r).Commit = strings.Repeat("0", 40) },
		"a hash":             func(r *recipes.Recipe) { last(r).Hash = "h1:" },
		"a tag":              func(r *recipes.Recipe) { last(r).Tag = "v1" },
		"why none signs":     func(r *recipes.Recipe) { last(r).Unsigned = "It is so." },
		"a signer":           func(r *recipes.Recipe) { last(r).Keys = []recipes.Key{{File: "a.pub"}} },
		"a signer's key":     func(r *recipes.Recipe) { last(r).Keys = []recipes.Key{{File: "a.pub", Data: []byte("ssh")}} },
	} {
		if after := inputs(change); slices.Equal(before, after) {
			t.Errorf("%s: it is made of the same", name)
		} else {
			before := slices.Clone(before)
			slices.Sort(before)
			slices.Sort(after)
			if slices.Equal(before, after) {
				t.Errorf("%s: only the order of what it is made of changes", name)
			}
		}
	}
}
