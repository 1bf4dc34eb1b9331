package webui

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/elm"
)

// What lies in dist/ is what the report speaks of, as the server serves it.
func TestHoldServed(t *testing.T) {
	file := func(names ...string) report {
		var r report
		for _, name := range names {
			r.Files = append(r.Files, reportFile{Name: name})
		}
		return r
	}
	said := file("dist/index.html", "dist/assets/a.js", "dist/assets/f.woff2")
	there := "index.html.gz index.html.br assets/a.js.gz assets/a.js.br assets/f.woff2"
	for name, test := range map[string]struct {
		said  report
		there string
		says  string // nothing if it is let pass
	}{
		"all":                   {said, there, ""},
		"a file more":           {said, there + " assets/b.js.gz", "of built file assets/b.js.gz it says nothing"},
		"an original more":      {said, there + " assets/a.js", "of built file assets/a.js it says nothing"},
		"one that is not made":  {said, strings.Replace(there, " assets/a.js.br", "", 1), `file "assets/a.js.br" should be there`},
		"a font compressed":     {said, there + " assets/f.woff2.gz", "of built file assets/f.woff2.gz it says nothing"},
		"an original instead":   {said, strings.ReplaceAll(there, "assets/a.js.gz assets/a.js.br", "assets/a.js"), "of built file assets/a.js it says nothing"},
		"no page":               {file("dist/assets/a.js"), "assets/a.js.gz assets/a.js.br", "there is no index.html"},
		"a type nobody serves":  {file("dist/index.html", "dist/a.map"), there, `file "dist/a.map" is of a type that is not served`},
		"a type nobody knows":   {file("dist/index.html", "dist/a.wasm"), there, "is of a type that is not served"},
		"a file elsewhere":      {file("dist/index.html", "static/a.js"), there, `file "static/a.js", which is not in dist`},
		"a file that leads out": {file("dist/index.html", "dist/../a.js"), there, "which is not in dist"},
		"nothing at all":        {report{}, "", "there is no index.html"},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(test.there) {
			if err := writeBytes(dir, name, nil); err != nil {
				t.Fatal(err)
			}
		}
		err := holdServed(dir, test.said)
		if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrReport) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}

func TestInstalledDirs(t *testing.T) {
	for _, tt := range []struct {
		of         installedDir
		name, want string // "" is the workspace's own, "!" is refused
	}{
		{npmDir, "src/main.js", ""},
		{npmDir, "node_modules/a/x.js", "node_modules/a"},
		{npmDir, "node_modules/@s/a/lib/x.js", "node_modules/@s/a"},
		{npmDir, "node_modules/a/node_modules/@s/b/x.js", "node_modules/a/node_modules/@s/b"},
		{npmDir, "node_modules/.bin/x", "!"},
		{npmDir, "node_modules/.vite/deps/x.js", "!"},
		{npmDir, "node_modules/x.js", "!"},
		{npmDir, "packages/b/node_modules/a/x.js", "!"},
		{pnpmDir, "src/main.js", ""},
		{pnpmDir, "node_modules/.pnpm/a@1.0.0/node_modules/a/x.js", "node_modules/.pnpm/a@1.0.0/node_modules/a"},
		{pnpmDir, "node_modules/a/x.js", "!"},
	} {
		dir, foreign, err := tt.of(tt.name)
		got := dir
		if err != nil {
			got = "!"
		}
		if got != tt.want || foreign != (tt.want != "") {
			t.Errorf("%s lies in %q (%v, %v), want %q", tt.name, dir, foreign, err, tt.want)
		}
	}
}

func TestElmPURL(t *testing.T) {
	if got := ElmPURL(elm.Package{Name: "NoRedInk/elm-json-decode-pipeline", Version: "1.0.0"}); got != "pkg:elm/NoRedInk/elm-json-decode-pipeline@1.0.0" {
		t.Errorf("got %s", got)
	}
}

// A build without what it is to be made of fails before anything runs.
func TestElmRefuses(t *testing.T) {
	const app = `{"type": "application", "elm-version": "0.19.1", "dependencies": {"direct": {}, "indirect": {}}}`
	for name, test := range map[string]struct {
		files map[string]string
		says  string
	}{
		"no elm.json":                {nil, "elm.json"},
		"a package's elm.json":       {map[string]string{"elm.json": `{"type": "package"}`}, `it is of type "package"`},
		"no package-lock.json":       {map[string]string{"elm.json": app}, "package-lock.json"},
		"a package-lock.json of old": {map[string]string{"elm.json": app, "package-lock.json": `{"lockfileVersion": 1, "packages": {"": {}}}`}, "lockfileVersion 1, want 3"},
	} {
		in := ElmInput{Input: pnpmInput(t, lockText).Input}
		for file, content := range test.files {
			if err := writeBytes(in.Source, "web/ui/"+file, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Elm(t.Context(), in); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
	in := ElmInput{Input: pnpmInput(t, lockText).Input}
	in.Host = artifact.Platform{OS: "plan9", Arch: "amd64"}
	if _, err := Elm(t.Context(), in); err == nil || !strings.Contains(err.Error(), "npm knows no packages for plan9") {
		t.Errorf("on another platform: %v", err)
	}
}
