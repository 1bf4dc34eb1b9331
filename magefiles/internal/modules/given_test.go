package modules

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"palisade/recipes"
)

// A module that is given is fetched from no proxy, and held against the committed
// hash; all others are fetched and confirmed as ever.
func TestGiven(t *testing.T) {
	p, c := belfry(t)
	given := module.Version{Path: "example.org/drum", Version: "v0.9.1"}
	beside := module.Version{Path: "example.org/stick", Version: "v1.0.0"}
	p.Add(t, beside.Path, beside.Version, map[string]string{"go.mod": "module example.org/stick\n", "stick.go": "package stick\n"})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/drum\n\ngo 1.24.0\n", "drum.go": "package drum\n", "vendor/a/a.go": "package a\n", "tools/go.mod": "module example.org/drum/tools\n", "tools/t.go": "package t\n",
	} {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.Given, err = c.Give(t.Context(), given, dir, "h1:content=", time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	lock := recipes.Lock{GoMod: []byte("module palisade/recipes/drum\n\ngo 1.24.0\n\nrequire (\n\texample.org/drum v0.9.1\n\texample.org/stick v1.0.0\n)\n"), Sums: recipes.Sums{
		given: "h1:wrong=", beside: p.Sums[beside],
	}}
	if _, err = c.All(t.Context(), lock); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "but h1:wrong= is committed; run mage lock") {
		t.Fatalf("with another hash: %v", err)
	}
	delete(lock.Sums, given)
	if _, err = c.All(t.Context(), lock); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "no hash of it is committed") {
		t.Fatalf("without a hash: %v", err)
	}
	lock.Sums[given] = c.Given.Sum
	mods, err := c.All(t.Context(), lock)
	if err != nil || len(mods) != 2 || c.Verify(t.Context(), mods) != nil {
		t.Fatalf("got %v, %v", mods, err)
	}
	var names []string
	_ = filepath.WalkDir(mods[0].Dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(name, mods[0].Dir+"/"))
		}
		return err
	})
	if !slices.Equal(names, []string{"drum.go", "go.mod"}) {
		t.Errorf("the module holds %q", names)
	}
	for _, asked := range p.Requests() {
		if strings.Contains(asked, "drum") {
			t.Errorf("the proxy was asked for %s", asked)
		}
	}
	// The other module's hash is the checksum database's still.
	p.Serve(t, beside.Path, "v1.0.1", map[string]string{"go.mod": "module example.org/stick\n"})
	lock.GoMod = []byte(strings.Replace(string(lock.GoMod), "stick v1.0.0", "stick v1.0.1", 1))
	lock.Sums[module.Version{Path: beside.Path, Version: "v1.0.1"}] = "h1:anything="
	if _, err := c.All(t.Context(), lock); err == nil {
		t.Error("a module that the database does not know is let pass")
	}
}

func TestGiveRefuses(t *testing.T) {
	_, c := belfry(t)
	dir := t.TempDir()
	drum := module.Version{Path: "example.org/drum", Version: "v0.9.1"}
	if _, err := c.Give(t.Context(), drum, dir, "h1:a=", time.Unix(0, 0)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without go.mod: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/bass\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Give(t.Context(), drum, dir, "h1:a=", time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), `its go.mod is that of module "example.org/bass"`) {
		t.Errorf("of another module: %v", err)
	}
}

// What an older commit left in the module cache under the same version is not taken
// for the newer one's, whether a lock is kept or made, and neither the other way.
func TestGivenAnew(t *testing.T) {
	_, c := belfry(t)
	drum := module.Version{Path: "example.org/drum", Version: "v0.9.1"}
	goMod := []byte("module palisade/recipes/drum\n\ngo 1.24.0\n\ntoolchain go1.24.1\n\nrequire example.org/drum v0.9.1\n")
	tools := []byte("//go:build tools\n\npackage drum\n\nimport _ \"example.org/drum\"\n")
	var goSum []byte
	for _, beat := range []string{"1", "2", "1"} {
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module example.org/drum\n\ngo 1.24.0 // beat " + beat + "\n", "drum.go": "package drum\n\nconst Beat = " + beat + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if c.Given, err = c.Give(t.Context(), drum, dir, "h1:beat"+beat+"=", time.Unix(1_700_000_000, 0)); err != nil {
			t.Fatal(err)
		}
		if len(goSum) > 0 { // what was locked before
			l, err := recipes.ParseLock(drum.Path, goMod, goSum)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.All(t.Context(), l); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "its commit's files are "+c.Given.Sum) {
				t.Errorf("beat %s with another's lock: %v", beat, err)
			}
		}
		if goMod, goSum, err = c.Tidy(t.Context(), goMod, goSum, tools); err != nil {
			t.Fatal(err)
		}
		l, err := recipes.ParseLock(drum.Path, goMod, goSum)
		if err != nil {
			t.Fatal(err)
		}
		mods, err := c.All(t.Context(), l)
		if err != nil || len(mods) != 1 || c.Verify(t.Context(), mods) != nil {
			t.Fatalf("beat %s: %v, %v", beat, mods, err)
		}
		if text, err := os.ReadFile(filepath.Join(mods[0].Dir, "drum.go")); err != nil || !strings.HasSuffix(string(text), beat+"\n") {
			t.Errorf("beat %s is %q, %v", beat, text, err)
		}
	}
}
