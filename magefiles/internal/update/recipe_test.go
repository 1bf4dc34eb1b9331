package update

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"palisade/magefiles/internal/modules"
)

const recipe = `# What is built.
description: Rings.   # loudly
module: example.org/bell
version: 1.2.3 # of the tower
revision: 4
# The commit whose files these are.
commit: 0123456789abcdef0123456789abcdef01234567
released:   2026-01-02T03:04:05Z
tags: [netgo]
licences:
  - of: pkg:golang/example.org/rope@v0.1.0
    why: >-
      version: 1.2.3 of it
      says so
`

var then = time.Date(2026, time.March, 4, 5, 6, 7, 8, time.FixedZone("", 3600))

func TestRaise(t *testing.T) {
	const commit = "abcdef0123456789abcdef0123456789abcdef01"
	want := strings.NewReplacer("version: 1.2.3 # of", "version: 1.3.0 # of", "revision: 4", "revision: 1",
		"commit: 0123456789abcdef0123456789abcdef01234567", "commit: "+commit, "2026-01-02T03:04:05Z", "2026-03-04T04:06:07Z").Replace(recipe)
	got, err := Raise([]byte(recipe), "1.3.0", then, commit)
	if err != nil || string(got) != want {
		t.Errorf("%v: got\n%swant\n%s", err, got, want)
	}
	want = strings.Replace(want, "commit: "+commit+"\n", "", 1)
	if got, err = Raise([]byte(recipe), "1.3.0", then, ""); err != nil || string(got) != want {
		t.Errorf("without a commit: %v: got\n%swant\n%s", err, got, want)
	}
	if again, err := Raise(got, "1.3.0", then, commit); err != nil || string(again) != want {
		t.Errorf("a recipe that names no commit: %v: got\n%s", err, again)
	}
	if got, err := Raise([]byte(strings.ReplaceAll(recipe, "\n", "\r\n")), "1.3.0", then, ""); err != nil || string(got) != strings.ReplaceAll(want, "\n", "\r\n") {
		t.Errorf("with carriage returns: %v: got\n%q", err, got)
	}
}

func TestRaiseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"no version", "version: 1.2.3 # of the tower\n", "", "it has no version"},
		{"a quoted version", "version: 1.2.3", `version: "1.2.3"`, "line 4: version is not a plain value"},
		{"a version on the next line", "version: 1.2.3", "version:\n  1.2.3", "version is not a plain value"},
		{"a quoted key", "version: 1.2.3", `"version": 1.2.3`, "version is not a plain value"},
		{"an empty revision", "revision: 4", "revision:", "revision is not a plain value"},
		{"a list", "revision: 4", "revision: [4]", "revision is not a plain value"},
		{"twice", "revision: 4", "revision: 4\nrevision: 4", "revision"},
		{"no mapping", recipe, "- a\n", "not a list of keys"},
		{"no YAML", recipe, "a: b: c\n", "cannot be raised"},
		{"empty", recipe, "", "not a list of keys"},
		{"an anchor", "version: 1.2.3", "version: &v 1.2.3", "version is not a plain value"},
		{"continued", "version: 1.2.3 # of the tower", "version: 1.2.3\n  or so", "version"},
	} {
		text := strings.Replace(recipe, tt.old, tt.new, 1)
		if got, err := Raise([]byte(text), "1.3.0", then, ""); !errors.Is(err, ErrRecipe) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s\n%s", tt.name, err, tt.want, got)
		}
	}
}

// What ships can be raised, and then differs in those lines alone.
func TestRaiseShipped(t *testing.T) {
	names, err := filepath.Glob("../../../recipes/*/recipe.yaml")
	if err != nil || len(names) < 6 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Raise(data, "99.98.97", then, strings.Repeat("ab", 20))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		old, now := bytes.Split(data, []byte("\n")), bytes.Split(got, []byte("\n"))
		for i := range old {
			key, _, _ := strings.Cut(string(old[i]), ":")
			known := key == "version" || key == "revision" || key == "released" || key == "commit"
			if len(old) != len(now) || !known && !bytes.Equal(old[i], now[i]) {
				t.Fatalf("%s: %q became %q", name, old[i], now[i])
			}
		}
		if !bytes.Contains(got, []byte("\nversion: 99.98.97\nrevision: 1\n")) {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func TestRaiseGoMod(t *testing.T) {
	const text = "module palisade/recipes/bell\n\ngo 1.26.0\n\n// What rings.\nrequire example.org/bell v1.2.3 // upstream\n\nrequire (\n\t// Hangs.\n\texample.org/rope v0.1.0 // indirect\n)\n"
	got, err := RaiseGoMod([]byte(text), bell, "v1.3.0")
	if want := strings.Replace(text, "v1.2.3", "v1.3.0", 1); err != nil || string(got) != want {
		t.Errorf("%v: got\n%s", err, got)
	}
	if _, err := RaiseGoMod([]byte(text), "example.org/knot", "v1.3.0"); err == nil || !strings.Contains(err.Error(), "does not require example.org/knot") {
		t.Errorf("got %v", err)
	}
	if _, err := RaiseGoMod([]byte("module\n"), bell, "v1.3.0"); err == nil {
		t.Error("no go.mod is raised")
	}
}

func FuzzRaise(f *testing.F) {
	f.Add([]byte(recipe), "")
	f.Add([]byte("version: 1\nrevision: 2\nreleased: 3\n"), "0123456789abcdef0123456789abcdef01234567")
	f.Add([]byte("{version: 1}"), "")
	f.Add([]byte("version: 1\nrevision: 2\nreleased: |\n 3\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, commit string) {
		if commit != "" && len(commit) != 40 || strings.Trim(commit, "0123456789abcdef") != "" {
			return
		}
		got, err := Raise(data, "1.3.0", then, commit)
		if err != nil {
			return
		}
		again, err := Raise(got, "1.3.0", then, commit)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%v: %q became %q", err, got, again)
		}
	})
}

// Whatever a proxy lists and a go.mod says, what is told is newer, a release,
// and not retracted.
func FuzzJudge(f *testing.F) {
	f.Add("v1.2.0", "v1.2.1\nv1.3.0-rc.1\nv2.0.0+incompatible\nx", []byte("module example.org/bell\n\nretract [v1.2.0, v1.2.1] // no\n"))
	f.Add("v0.0.0-20260102030405-0123456789ab", "v0.0.1\nv0.0.1-0.20260102030405-0123456789ab", []byte("// Deprecated: x\nmodule example.org/bell\n"))
	f.Add("v1.2.0-rc.1", "v1.2.0-rc.2\nv1.2.0", []byte("retract (\n v1.2.0\n)\n"))
	f.Fuzz(func(t *testing.T, current, list string, goMod []byte) {
		candidates := newer(module.Version{Path: bell, Version: current}, strings.Split(list, "\n"), nil)
		var sights []modules.Sight
		for _, v := range candidates {
			if !offered(current, v) || module.IsPseudoVersion(v) {
				t.Errorf("%s is told to who has %s", v, current)
			}
			sights = append(sights, modules.Sight{Version: module.Version{Path: bell, Version: v}, GoMod: goMod})
		}
		found := Found{Current: current}
		if err := found.judge(sights); err != nil {
			return
		}
		parsed, err := modfile.ParseLax("go.mod", goMod, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found.Newer {
			if _, is := retracted(parsed, v.Version); is {
				t.Errorf("%s is retracted and told", v.Version)
			}
		}
		if len(found.Newer)+len(found.Withdrawn) != len(candidates) {
			t.Errorf("of %q are told %+v", candidates, found)
		}
		for _, text := range []string{found.Deprecated, line(list)} {
			if strings.ContainsAny(text, "\n\r\x1b") || len(text) > maxWords+len("…") {
				t.Errorf("told as %q", text)
			}
		}
		for _, n := range []string{current, list} {
			_, _, _, _ = numbers(n)
			_, _, _ = nextMajor(n)
		}
	})
}
