package recipes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/module"
)

// goodBundled is what the recipe bell may say, one entry of each kind.
const goodBundled = `
bundled:
  - in: example.org/bell@v0.31.1
    files:
      asset/a.go#static/boot/: dist/
      fonts/icon.ttf: icon.ttf
    npm: "@s/boot@4.0.0"
    integrity: sha512-boot==
  - in: example.org/bell
    files: {table.bin: ""}
    purl: pkg:github/ada/list@abc123
    why: It says so.
    told: asset/a.go#static/list
  - in: example.org/rope/v2
    files: {own/: ""}
    why: Its own.
  - in: example.org/bell@v0.31.1
    files: {script.js: ""}
    purl: pkg:elm/elm/core@1.0.0
    why: It says so.
    told: app/elm.json
`

func bundle(fsys fstest.MapFS) {
	f := fsys["bell/recipe.yaml"]
	f.Data = append(slices.Clip(f.Data), goodBundled...)
}

func TestBundled(t *testing.T) {
	fsys := good(t)
	bundle(fsys)
	r, _, err := load(fsys, "bell")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, b := range r.Bundled {
		name, version := b.NpmPackage()
		fmt.Fprintf(&got, "%s %d %q %q\n", b.Module(), len(b.Files), name, version)
	}
	want := "example.org/bell@v0.31.1 2 \"@s/boot\" \"4.0.0\"\nexample.org/bell 1 \"\" \"\"\nexample.org/rope/v2 1 \"\" \"\"\nexample.org/bell@v0.31.1 1 \"\" \"\"\n"
	if got.String() != want || r.Bundled[1].Module() != (module.Version{Path: "example.org/bell"}) {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// Each case changes one thing of what loads, and is refused for it.
func TestBundledRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "    npm:", "    nmp:", "field nmp not found"},
		{"no module", "in: example.org/rope/v2", `in: ""`, "bundled 3: in and files are needed"},
		{"no files", `files: {own/: ""}`, "files: {}", "bundled 3: in and files are needed"},
		{"module that is not linked", "in: example.org/rope/v2", "in: example.org/drum", "bundled 3: in names example.org/drum, which go.mod does not require"},
		{"version that ui does not name", "bell@v0.31.1", "bell@v0.31.2", "bundled 1: in names example.org/bell@v0.31.2, which is not what ui.bundle names"},
		{"version of another", "rope/v2\n", "rope/v2@v2.1.0\n", "bundled 3: in names example.org/rope/v2@v2.1.0, which is not what ui.bundle"},
		{"npm and purl", "    integrity:", "    purl: pkg:npm/a@1\n    integrity:", "bundled 1: npm and purl exclude each other"},
		{"npm without a version", "@s/boot@4.0.0", "@s/boot", "bundled 1: npm is name@version"},
		{"npm without a hash", "    integrity: sha512-boot==\n", "", "bundled 1: npm is name@version, with its sha512"},
		{"npm by a weak hash", "sha512-boot", "sha1-boot", "bundled 1: npm is name@version, with its sha512"},
		{"hash of nothing", "    why: Its own.", "    why: Its own.\n    integrity: sha512-x==", "bundled 3: npm is name@version"},
		{"npm with why", "    integrity:", "    why: x\n    integrity:", "bundled 1: why is needed without npm, and only then"},
		{"no why", "    why: Its own.", "", "bundled 3: why is needed"},
		{"blank why", "why: Its own.", `why: " "`, "bundled 3: why is needed"},
		{"purl without a version", "list@abc123", "list", `bundled 2: purl "pkg:github/ada/list" is not one`},
		{"purl with more", "list@abc123", "list@abc123?os=linux", `bundled 2: purl "pkg:github/ada/list@abc123?os=linux" is not one`},
		{"told leads out", "told: asset/a.go#static/list", "told: ../a", `bundled 2: told "../a" is not a file`},
		{"told is a folder", "told: asset/a.go#static/list", "told: asset/", `bundled 2: told "asset/" is not a file`},
		{"told of nothing", "    why: Its own.", "    why: Its own.\n    told: a", `bundled 3: told "a" is not a file of the module that a purl goes with`},
		{"Elm untold", "    told: app/elm.json\n", "", "bundled 4: told is needed for a package of Elm"},
		{"Elm told by another", "app/elm.json", "app/package.json", "bundled 4: told is needed for a package of Elm, and is an elm.json"},
		{"file leads out", "fonts/icon.ttf:", "../icon.ttf:", `bundled 1: file "../icon.ttf" is not a plain path`},
		{"file is absolute", "fonts/icon.ttf:", "/icon.ttf:", `bundled 1: file "/icon.ttf" is not a plain path`},
		{"the whole module", "fonts/icon.ttf:", "./:", `bundled 1: file "./" is not a plain path`},
		{"within what is not generated", "a.go#static/boot/", "a.bin#static/boot/", `file "asset/a.bin#static/boot/" is not a plain path`},
		{"within leads out", "a.go#static/boot/", "a.go#../boot/", `file "asset/a.go#../boot/" is not a plain path`},
		{"within, all of it", "a.go#static/boot/", "a.go#/", `file "asset/a.go#/" is not a plain path`},
		{"npm's file leads out", ": icon.ttf", ": ../icon.ttf", `file "fonts/icon.ttf": "../icon.ttf" is not its name`},
		{"npm's file is missing", ": icon.ttf", `: ""`, `file "fonts/icon.ttf": "" is not its name`},
		{"npm's file is within another", ": icon.ttf", ": a.go#icon.ttf", `file "fonts/icon.ttf": "a.go#icon.ttf" is not its name`},
		{"folder for a file", ": dist/", ": dist", `"dist" is not its name`},
		{"npm's file without npm", `table.bin: ""`, "table.bin: a", `bundled 2: file "table.bin": "a" is not its name`},
		{"package twice", "pkg:elm/elm/core@1.0.0", "pkg:github/ada/list@abc123", "bundled pkg:github/ada/list@abc123 is there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			bundle(fsys)
			edit(t, fsys, "bell/recipe.yaml", tt.old, tt.new)
			if _, _, err := load(fsys, "bell"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
