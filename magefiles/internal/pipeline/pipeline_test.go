package pipeline

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"testing/fstest"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// The tables of contents are what a cell, and an image, goes through.
func TestStages(t *testing.T) {
	body := func(file, name string) []byte {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?ms)^func \(p \*Pipeline\) ` + name + `\(.*?^}`).Find(text)
		if found == nil {
			t.Fatalf("%s has no method %s", file, name)
		}
		return found
	}
	cell := bytes.Replace(body("pipeline.go", "cell"), []byte("p.described("), body("pipeline.go", "described"), 1)
	cell = bytes.Replace(cell, []byte("p.compile("), body("pipeline.go", "compile"), 1)
	for _, tt := range []struct {
		what  string
		code  []byte
		table []struct{ Name, Does string }
	}{{"a cell", cell, Stages}, {"an image", body("image.go", "image"), ImageStages}} {
		var begun, listed []string
		for _, m := range regexp.MustCompile(`clock\.begin\("(\w+)"\)`).FindAllSubmatch(tt.code, -1) {
			if name := string(m[1]); name != "waiting" { // is no work
				begun = append(begun, name)
			}
		}
		begun = append(begun, "publishing") // of all at once
		for _, s := range tt.table {
			listed = append(listed, s.Name)
		}
		if !slices.Equal(begun, listed) {
			t.Errorf("%s goes through %q, but its table lists %q", tt.what, begun, listed)
		}
	}
}

func open(t *testing.T) *Pipeline {
	t.Helper()
	return openWith(t, here(t))
}

func openWith(t *testing.T, cfg *config.Config, change ...func(*Plan)) *Pipeline {
	t.Helper()
	plan, err := NewPlan(cfg, Selection{Platform: "all", Variant: "hardened,vanilla"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(plan)
	}
	silent, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	con := console.New(silent, silent, console.Plain(true))
	t.Cleanup(con.Close)
	p, err := Open(cfg, con, plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// keys is the key of every cell, by its name.
func keys(t *testing.T, p *Pipeline) map[string]store.Key {
	t.Helper()
	all := map[string]store.Key{}
	for _, c := range p.plan.Cells {
		k, err := p.key(c)
		if err != nil {
			t.Fatal(err)
		}
		all[c.String()] = k
	}
	return all
}

// Each change makes the cells that it concerns anew, and no other.
func TestKey(t *testing.T) {
	p := open(t)
	before := keys(t, p)
	seen := map[store.Key]string{}
	for name, k := range before {
		if other := seen[k]; other != "" {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[k] = name
	}
	for _, tt := range []struct {
		name     string
		change   func(t *testing.T, p *Pipeline)
		concerns func(c Cell) bool
	}{
		{"nothing", func(*testing.T, *Pipeline) {}, func(Cell) bool { return false }},
		{"a patch for both variants", func(t *testing.T, p *Pipeline) {
			editPatch(t, p, "alertmanager/v0.34.2/0001-serve-the-ui-of-0.31.1.patch")
		},
			func(c Cell) bool { return c.Recipe.Name == "alertmanager" && c.Recipe.UI.Kind() == recipes.BundleUI }},
		{"a patch for one", func(t *testing.T, p *Pipeline) { editPatch(t, p, "prometheus/v0.315.0/0001-refuse-the-old-ui.patch") },
			func(c Cell) bool { return c.Recipe.Name == "prometheus" && c.Variant == "hardened" }},
		{"a recipe", func(t *testing.T, p *Pipeline) {
			for i, c := range p.plan.Cells {
				if c.Recipe.Name == "pushgateway" {
					r := *c.Recipe
					r.Digest = artifact.DigestBytes([]byte("changed"))
					p.plan.Cells[i].Recipe = &r
				}
			}
		}, func(c Cell) bool { return c.Recipe.Name == "pushgateway" }},
		{"the script of an interface", func(t *testing.T, p *Pipeline) {
			for i, c := range p.plan.Cells {
				if c.Recipe.Name == "prometheus" {
					r := *c.Recipe
					r.Dir = fstest.MapFS{"ui.mjs": {Data: []byte("changed")}}
					p.plan.Cells[i].Recipe = &r
				}
			}
		}, func(c Cell) bool { return c.Recipe.Name == "prometheus" }},
		{"the toolchain", func(t *testing.T, p *Pipeline) {
			g := &p.plan.Distribution.Toolchains.Go[0]
			g.Hosts = map[artifact.Platform]string{p.Config.Host: "h1:other="}
		}, func(Cell) bool { return true }},
		{"the distribution", func(t *testing.T, p *Pipeline) { p.plan.Distribution.Name = "other" }, func(Cell) bool { return true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := open(t)
			tt.change(t, p)
			after := keys(t, p)
			for _, c := range p.plan.Cells {
				if changed := after[c.String()] != before[c.String()]; changed != tt.concerns(c) {
					t.Errorf("%s: changed is %v", c, changed)
				}
			}
		})
	}
}

// What distribution.yaml says of the publisher and of licences is in every
// artifact and document, and no recipe's digest covers it.
func TestKeyOfDistribution(t *testing.T) {
	p := open(t)
	before, documents := keys(t, p), documentKeys(t, p)
	for _, tt := range []struct{ name, old, new string }{
		{"nothing", "", ""},
		{"the publisher", "publisher: Palisade", "publisher: Other"},
		{"the namespace", "namespace: https://palisade.example", "namespace: https://other.example"},
		{"the licence", "\nlicence: Apache-2.0", "\nlicence: MIT"},
		{"a shared statement", "is: BSD-3-Clause", "is: BSD-3-Clause AND MIT"},
		{"its reason", "says itself that", "says that"},
		{"its texts", "text: [LICENSE, PATENTS]", "text: [LICENSE]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := here(t)
			p := openWith(t, edited(t, cfg, "recipes/distribution.yaml", tt.old, tt.new))
			after, documentsAfter := keys(t, p), documentKeys(t, p)
			for name := range before {
				if same := after[name] == before[name]; same != (tt.old == "") {
					t.Errorf("%s: the same key is %v", name, same)
				}
				if same := documentsAfter[name] == documents[name]; same != (tt.old == "") {
					t.Errorf("%s: the same key of documents is %v", name, same)
				}
			}
		})
	}
}

// edited is cfg with a copy of recipes and patches, in which old has become
// new in a file.
func edited(t *testing.T, cfg *config.Config, file, old, new string) *config.Config {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"recipes", "patches"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(cfg.Root, dir))); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Root, file = root, filepath.Join(root, file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if old != "" && bytes.Count(data, []byte(old)) != 1 {
		t.Fatalf("%s does not hold %q once", file, old)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(old), []byte(new), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// documentKeys is the key of the documents of one and the same record, under
// every cell's recipe.
func documentKeys(t *testing.T, p *Pipeline) map[string]store.Key {
	t.Helper()
	all := map[string]store.Key{}
	for _, c := range p.plan.Cells {
		k, err := p.documentsKey(artifact.Record{
			Name: "bell.tar.gz", Digest: artifact.DigestBytes(nil), Component: "bell", Variant: "hardened",
			Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Source: artifact.Module{Sum: "h1:bell="}, Recipe: artifact.DigestBytes(nil),
		}, c.Recipe)
		if err != nil {
			t.Fatal(err)
		}
		all[c.String()] = k
	}
	return all
}

// editPatch changes a comment of a shipped patch.
func editPatch(t *testing.T, p *Pipeline, name string) {
	t.Helper()
	fsys := fstest.MapFS{}
	err := fs.WalkDir(p.workshop.Patches, ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(p.workshop.Patches, file)
		fsys[file] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	data, ok := bytes.CutPrefix(fsys[name].Data, []byte("Description: "))
	if !ok {
		t.Fatalf("%s does not begin with its description", name)
	}
	fsys[name].Data = append([]byte("Description: Changed "), data...)
	p.workshop.Patches = fsys
}

// A machine for which no toolchain is pinned is told so before anything starts.
func TestKeyUnpinned(t *testing.T) {
	p := open(t)
	p.box.Host = artifact.Platform{OS: "plan9", Arch: "386"}
	if _, err := p.key(p.plan.Cells[0]); err == nil {
		t.Error("a key without a toolchain")
	}
}

// What a bundle or a build is made of decides its key.
func TestInterfaceInputs(t *testing.T) {
	p := open(t)
	ui := p.workshop.UI
	bundle := &recipes.Recipe{UI: &recipes.UI{Bundle: &recipes.Bundle{Module: "m", Version: "v1.0.0", Sum: "h1:a="}}}
	before, err := ui.Inputs(bundle)
	if err != nil {
		t.Fatal(err)
	}
	bundle.UI.Bundle.Sum = "h1:b="
	if after, err := ui.Inputs(bundle); err != nil || slices.Equal(before, after) {
		t.Errorf("another hash: %q, %v", after, err)
	}
	build := &recipes.Recipe{Dir: os.DirFS(filepath.Join(p.Config.Root, "recipes", "prometheus")), UI: &recipes.UI{Pnpm: &recipes.Pnpm{
		Dir: "web/ui", Script: "ui.mjs", Node: "24.21.0", Pnpm: "10.28.0",
	}}}
	if _, err := ui.Inputs(build); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*recipes.Pnpm){
		func(u *recipes.Pnpm) { u.Script = "none.mjs" }, func(u *recipes.Pnpm) { u.Node = "1.0.0" }, func(u *recipes.Pnpm) { u.Pnpm = "1.0.0" },
	} {
		changed := *build.UI.Pnpm
		change(&changed)
		if got, err := ui.Inputs(&recipes.Recipe{Dir: build.Dir, UI: &recipes.UI{Pnpm: &changed}}); err == nil {
			t.Errorf("%+v: got %q", changed, got)
		}
	}
}
