package recipes

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"palisade/attestations/artifact"
)

// good is a file system rooted at recipes/ in which everything loads.
func good(t *testing.T) fstest.MapFS {
	t.Helper()
	a, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return fsys
}

// edit replaces old, which has to be there, once.
func edit(t *testing.T, fsys fstest.MapFS, name, old, new string) {
	t.Helper()
	text := string(fsys[name].Data)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not hold %q", name, old)
	}
	fsys[name] = &fstest.MapFile{Data: []byte(strings.Replace(text, old, new, 1)), Mode: 0o644}
}

// load loads the distribution and a recipe.
func load(fsys fs.FS, name string) (*Recipe, *Distribution, error) {
	d, err := LoadDistribution(fsys)
	if err != nil {
		return nil, nil, err
	}
	r, err := Load(fsys, d, name)
	return r, d, err
}

func TestLoad(t *testing.T) {
	r, _, err := load(good(t), "bell")
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "bell" || r.Lock.Go != "1.26.8" || r.Lock.Upstream != "v0.34.2" || len(r.Lock.Requires) != 2 ||
		len(r.Lock.Sums) != 4 || len(r.Patched) != 2 || r.UI.Bundle.Sum != "h1:bundle=" || r.Digest.IsZero() {
		t.Errorf("recipe is %+v", r)
	}
	if r.Archive[0].As != "LICENSE" || r.Archive[1].As != "default.yml" {
		t.Errorf("archive is %+v", r.Archive)
	}
	if r.Archive[2].As != "ring.yml" || r.Archive[3].As != "bell.service" {
		t.Errorf("archive is %+v", r.Archive)
	}
	if r.StampedRevision() != r.Commit {
		t.Errorf("revision is %s", r.StampedRevision())
	}
	r, _, err = load(good(t), "clock")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Patched) != 0 || r.StampedRevision() != "h1:clock=" {
		t.Errorf("recipe is %+v", r)
	}
}

// Each case changes one thing of what loads, and is refused for it.
func TestLoadRefuses(t *testing.T) {
	const bell, clock, lock, dist = "bell/recipe.yaml", "clock/recipe.yaml", "bell/go.mod", "distribution.yaml"
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"unknown key", bell, "revision: 2\n", "revision: 2\nflags: x\n", "recipe bell: invalid: recipe.yaml: yaml: unmarshal errors:\n  line 5: field flags not found"},
		{"unknown key below", bell, "    as:", "    mode: 1\n    as:", "line 19: field mode not found"},
		{"key twice", bell, "revision: 2\n", "revision: 2\nrevision: 3\n", `line 5: mapping key "revision" already defined`},
		{"alias", bell, "tags: [netgo]", "tags: &t [netgo]\nplatforms: *t", "recipe.yaml: line 11: aliases"},
		{"deep nesting", bell, "tags: [netgo]", "tags: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "recipe.yaml: line 10: aliases and deep nesting"},
		{"two documents", bell, "platforms: [linux/amd64]", "platforms: [linux/amd64]\n---\ndescription: again", "more than one document"},
		{"not yaml", bell, "revision: 2", "revision: [", "recipe.yaml: yaml:"},
		{"too large", bell, "Rings.", strings.Repeat("x", maxFile), "recipe.yaml is larger than 4194304 bytes"},
		{"lock too large", "bell/go.sum", "h1:bell=", "h1:" + strings.Repeat("x", maxFile), "go.sum is larger"},
		{"no description", bell, "Rings.", `""`, "description is missing"},
		{"version with a v", bell, "0.34.2", "v0.34.2", `version "v0.34.2" is not of the form`},
		{"version with a suffix", bell, "0.34.2", "0.34.2-rc.0", `version "0.34.2-rc.0" is not`},
		{"version of another lock", bell, "0.34.2", "0.34.3", "version 0.34.3 is module version v0.34.3, but go.mod requires v0.34.2"},
		{"version of another lock, above 1", clock, "3.15.0", "3.15.1", "version 3.15.1 is module version v0.315.1, but go.mod requires v0.315.0"},
		{"no revision", bell, "revision: 2\n", "", "revision must be 1 or more"},
		{"short commit", bell, "e803ebd81be5867ff17a21205030611fa033af13", "e803ebd", `commit "e803ebd" is not 40`},
		{"commit in capitals", bell, "e803ebd81be5", "E803EBD81BE5", "is not 40 hexadecimal digits"},
		{"no time", bell, "released: 2026-10-29T09:28:32Z\n", "", "released is missing"},
		{"time before 1970", bell, "2026-10-29", "1969-12-31", "released is missing"},
		{"no binaries", clock, "binaries:\n  - name: clock\n    package: example.org/clock\n", "", "binaries is empty"},
		{"binary in capitals", bell, "name: bell", "name: Bell", `binary name "Bell"`},
		{"binary is a path", bell, "name: bell", "name: ../bell", `binary name "../bell"`},
		{"binary of another module", bell, "example.org/bell/cmd/bell", "example.org/bells/bell", "is not in module example.org/bell"},
		{"binary named otherwise", bell, "name: bell", "name: ring", `package "example.org/bell/cmd/bell" builds a command called bell`},
		{"binary twice", bell, "tags:", "  - name: bell\n    package: example.org/bell/bell\ntags:", "binary bell is there twice"},
		{"tag with a space", bell, "[netgo]", `["netgo -x"]`, `tag "netgo -x" is not`},
		{"tag with a comma", bell, "[netgo]", `["a,b"]`, `tag "a,b" is not`},
		{"patches of a stranger", bell, "[example.org/bell]", "[example.org/drum]", "patches names example.org/drum, which go.mod does not require"},
		{"archive leads out", bell, "docs/LICENSE", "../LICENSE", `archive member "../LICENSE"`},
		{"archive is absolute", bell, "docs/LICENSE", "/etc/passwd", `archive member "/etc/passwd"`},
		{"archive names a folder", bell, "as: default.yml", "as: etc/default.yml", `as "etc/default.yml"`},
		{"archive names neither", bell, "  - own: bell.service\n    only: linux\n", "  - as: bell.service\n", "archive member 4 names no file"},
		{"archive's own leads out", bell, "own: bell.service", "own: ../clock/recipe.yaml", `archive member "../clock/recipe.yaml"`},
		{"archive's own is hidden beside upstream's", bell, "own: ring.yml", "own: ../ring.yml", `archive member "../ring.yml" is not a plain name`},
		{"archive's own is missing", bell, "own: ring.yml", "own: rong.yml", `archive member "rong.yml" is not a file of this recipe`},
		{"archive's own is the lock", bell, "own: ring.yml", "own: go.mod", `archive member "go.mod" is not a plain name, or a file that the build needs`},
		{"archive's own is the recipe's folder", bell, "own: bell.service", "own: .", `archive member "." as "." is not a plain path and name`},
		{"archive of no such system", bell, "only: linux", "only: windows", `archive member "bell.service": only "windows" is none`},
		{"archive holds a name twice", bell, "as: default.yml", "as: ring.yml", `archive member "docs/ring.yml": ring.yml is there twice`},
		{"archive holds a binary's name", bell, "as: default.yml", "as: bell", `archive member "docs/bell.yml": bell is there twice`},
		{"archive hides", bell, "as: default.yml", "as: .default.yml", `as ".default.yml"`},
		{"no platforms", bell, "platforms: [linux/amd64]", "", "platforms is empty"},
		{"platform malformed", bell, "[linux/amd64]", "[Linux]", "recipe.yaml:"},
		{"platform unknown", bell, "[linux/amd64]", "[plan9/amd64]", "platform plan9/amd64 is not one of the distribution's"},
		{"ui of neither kind", clock, "ui:\n  pnpm:\n    dir: web/ui\n    script: ui.mjs\n    node: 24.21.0\n    pnpm: 10.28.0\n", "ui: {}\n", "ui describes none of pnpm, bundle, elm"},
		{"ui of both kinds", bell, "    version: v0.31.1\n", "    version: v0.31.1\n  pnpm: {dir: ., script: tools.go, node: 24.21.0, pnpm: 10.28.0}\n", "ui describes pnpm and bundle: from has to say which of them is taken"},
		{"ui leads out", clock, "dir: web/ui", "dir: ../ui", `dir "../ui"`},
		{"script is a path", clock, "script: ui.mjs", "script: web/ui.mjs", `script "web/ui.mjs" is not a plain path`},
		{"script is the folder", clock, "script: ui.mjs", "script: .", `script "." is not a file`},
		{"script is missing", clock, "script: ui.mjs", "script: build.mjs", `script "build.mjs" is not a file`},
		{"node unpinned", clock, "node: 24.21.0", "node: 24.0.0", `node "24.0.0" is not pinned`},
		{"pnpm unpinned", clock, "pnpm: 10.28.0", "pnpm: 10.0.0", `pnpm "10.0.0" is not pinned`},
		{"bundle without a hash", "bell/ui.sum", "v0.31.1", "v0.31.0", "ui.sum has no hash of example.org/bell@v0.31.1"},
		{"no toolchain", lock, "toolchain go1.26.8\n", "", "go.mod has no toolchain line"},
		{"go unpinned", lock, "toolchain go1.26.8", "toolchain go1.26.7", "go.mod asks for Go 1.26.7, which distribution.yaml does not pin"},
		{"upstream not required", lock, "require example.org/bell v0.34.2\n", "", "go.mod does not require example.org/bell"},
		{"go.mod malformed", lock, "require", "requires", "go.mod:7: unknown directive: requires"},
		{"no hash of upstream", "bell/go.sum", "example.org/bell v0.34.2 h1:bell=\n", "", "go.sum has no hash of example.org/bell@v0.34.2"},
		{"go.sum malformed", "bell/go.sum", "h1:rope=", "h1:rope= x", "go.sum:3: not of the form"},
		{"patched.sum malformed", "bell/patched.sum", "h1:sealed=", "sealed", "patched.sum:1: not of the form"},
		{"distribution has an unknown key", dist, "name:", "title: x\nname:", "distribution.yaml: yaml: unmarshal errors:\n  line 1: field title not found"},
		{"distribution without a name", dist, "name: palisade", "name: ''", "distribution.yaml: name, platforms"},
		{"distribution's name is no version", dist, "name: palisade", "name: pali_sade", "distribution.yaml: name, platforms"},
		{"go pinned without a hash", dist, "h1:ZOmGe1", "ZOmGe1", `go 1.26.8 for linux/amd64: "ZOmGe1`},
		{"node pinned without a hash", dist, "sha512-node", "sha1-node", "node 24.21.0 for linux/amd64"},
		{"release of two numbers", dist, "version: 1.4.0", "version: \"1.4\"", `release: version "1.4" is not of three numbers`},
		{"release with a v", dist, "version: 1.4.0", "version: v1.4.0", `release: version "v1.4.0" is not`},
		{"release with a zero before", dist, "version: 1.4.0", "version: 1.04.0", `release: version "1.04.0" is not`},
		{"release without runners", dist, "  runners:\n    linux/amd64: ubuntu-24.04\n", "", "release: runners name no platform"},
		{"runner of a strange platform", dist, "linux/amd64: ubuntu-24.04", "plan9/amd64: ubuntu-24.04", "release: runner of plan9/amd64, which is not one"},
		{"runner that says more", dist, "linux/amd64: ubuntu-24.04", "linux/amd64: \"[self-hosted, ${{ x }}]\"", "is no plain name"},
		{"pnpm pinned without a hash", dist, "sha512-pnpm", "sha1-pnpm", "pnpm 10.28.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			edit(t, fsys, tt.file, tt.old, tt.new)
			name := "bell"
			if strings.HasPrefix(tt.file, "clock") {
				name = "clock"
			}
			_, _, err := load(fsys, name)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesFiles(t *testing.T) {
	for _, name := range []string{"recipe.yaml", "go.mod", "go.sum", "ui.sum"} {
		fsys := good(t)
		delete(fsys, "bell/"+name)
		if _, _, err := load(fsys, "bell"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	for _, tt := range []struct{ recipe, stray string }{{"bell", "notes.txt"}, {"bell", "docs/ring.yml"}, {"bell", "ui.mjs"}, {"clock", "ui.sum"}, {"clock", "web/ui.mjs"}} {
		fsys := good(t)
		fsys[tt.recipe+"/"+tt.stray] = &fstest.MapFile{}
		if _, _, err := load(fsys, tt.recipe); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.stray+" is not a file of this recipe") {
			t.Errorf("%s with %s: %v", tt.recipe, tt.stray, err)
		}
	}
	fsys := good(t)
	fsys["Bell/recipe.yaml"] = fsys["bell/recipe.yaml"]
	for _, f := range []string{"go.mod", "go.sum", "ui.sum"} {
		fsys["Bell/"+f] = fsys["bell/"+f]
	}
	if _, _, err := load(fsys, "Bell"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `folder "Bell"`) {
		t.Error(err)
	}
}

// Whatever changes in a recipe's folder changes its digest, and nothing else does.
func TestDigest(t *testing.T) {
	digest := func(fsys fstest.MapFS) string {
		r, _, err := load(fsys, "bell")
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest.String()
	}
	seen := map[string]string{digest(good(t)): "nothing"}
	for name, f := range good(t) {
		fsys := good(t)
		fsys[name] = &fstest.MapFile{Data: append(f.Data, '\n')}
		got := digest(fsys)
		if before, ok := seen[got]; ok && strings.HasPrefix(name, "bell/") {
			t.Errorf("a change of %s gives the digest of a change of %s", name, before)
		} else if !ok && !strings.HasPrefix(name, "bell/") {
			t.Errorf("a change of %s changes the digest of another recipe", name)
		}
		seen[got] = name
	}
	fsys := good(t)
	delete(fsys, "bell/tools.go")
	if _, ok := seen[digest(fsys)]; ok {
		t.Error("a file less leaves the digest")
	}
}

// Vanilla archives carry what upstream's do; what is for one system is in no
// other's.
func TestMembers(t *testing.T) {
	r, _, err := load(good(t), "bell")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ os, variant, want string }{
		{"linux", "hardened", "docs/LICENSE docs/bell.yml ring.yml bell.service"},
		{"linux", "vanilla", "docs/LICENSE docs/bell.yml docs/ring.yml"},
		{"windows", "hardened", "docs/LICENSE docs/bell.yml ring.yml"},
	} {
		var got []string
		for _, m := range r.Members(artifact.Platform{OS: tt.os, Arch: "amd64"}, tt.variant) {
			if (m.From == "") == (m.Own == "") {
				t.Errorf("%s is of both or neither", m.As)
			}
			got = append(got, m.From+m.Own)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s, %s: got %q, want %s", tt.os, tt.variant, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	fsys := good(t)
	fsys["testdata/x.txtar"] = &fstest.MapFile{}
	names, err := Names(fsys)
	if err != nil || strings.Join(names, " ") != "bell clock drum" {
		t.Errorf("got %q, %v", names, err)
	}
}

// Strict reading never panics, and what it reads it reads the same again.
func FuzzParseRecipe(f *testing.F) {
	a, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range a.Files {
		if strings.HasSuffix(file.Name, ".yaml") {
			f.Add(file.Data)
		}
	}
	for _, s := range []string{
		"", "null", "- x", "a: &a [*a]", "ui: {pnpm: null, bundle: {}}", "platforms: [~]", "revision: 1e99", "released: 1",
		"<<: {description: x}", "description: x\n---\n", strings.Repeat("[", 10000), "tags: !!binary x", "tags: !!set {a}", "{", "\x00", "\ufeffrevision: 1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Recipe
		if err := decodeBytes("recipe.yaml", data, &r); err != nil {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "recipe.yaml") {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if err := decodeBytes("recipe.yaml", data, new(Recipe)); err != nil {
			t.Errorf("read once, then refused with %v", err)
		}
		// Validating what nothing has been checked of refuses or accepts.
		r.Dir = fstest.MapFS{}
		_ = r.Validate(&Distribution{})
	})
}
