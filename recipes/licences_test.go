package recipes

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLoadLicences(t *testing.T) {
	r, d, err := load(good(t), "bell")
	if err != nil {
		t.Fatal(err)
	}
	if r.Homepage != "https://example.org/bell" || r.Originator != "The Bell Authors" || r.CPE != "cpe:2.3:a:example:bell" ||
		d.Publisher != "Palisade" || d.Namespace != "https://palisade.example/spdx" || d.Licence != "Apache-2.0" {
		t.Errorf("got %+v of %+v", r, d)
	}
	// The distribution's statements follow a recipe's own, whichever it is.
	var of []string
	for _, l := range r.Licences {
		of = append(of, l.Of)
	}
	if got := strings.Join(of, " "); got != "pkg:golang/example.org/rope/v2@v2.1.0 pkg:generic/bellfont@1.0.0 pkg:golang/stdlib@1.26.8" {
		t.Errorf("bell states %s", got)
	}
	if r, _, err = load(good(t), "clock"); err != nil || len(r.Licences) != 1 || r.Licences[0].Of != "pkg:golang/stdlib@1.26.8" {
		t.Errorf("clock states %+v, %v", r, err)
	}
}

// Each case changes one thing of what loads, and is refused for it.
func TestLoadRefusesLicences(t *testing.T) {
	const bell, dist = "bell/recipe.yaml", "distribution.yaml"
	const rope = "licence of pkg:golang/example.org/rope/v2@v2.1.0: "
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"no homepage", bell, "homepage: https://example.org/bell\n", "", `homepage "" is not an https address`},
		{"homepage without https", bell, "https://example.org/bell", "http://example.org/bell", `homepage "http://example.org/bell"`},
		{"no originator", bell, "originator: The Bell Authors\n", "", "originator is missing: who makes bell upstream"},
		{"no cpe", bell, "cpe: cpe:2.3:a:example:bell\n", "", `cpe ""`},
		{"cpe with a version", bell, "a:example:bell", "a:example:bell:1.0", `"cpe:2.3:a:example:bell:1.0" is not of the form`},
		{"cpe of an operating system", bell, "2.3:a:", "2.3:o:", "is not of the form"},

		{"licence of nothing", bell, "of: pkg:golang/example.org/rope/v2@v2.1.0", "of: example.org/rope", "licence 1: of (a purl with a version and no more)"},
		{"licence of every version", bell, "rope/v2@v2.1.0", "rope/v2", "licence 1: of"},
		{"licence of a purl with more", bell, "rope/v2@v2.1.0", "rope/v2@v2.1.0?os=linux", "licence 1: of"},
		{"licence of a version that is not locked", bell, "rope/v2@v2.1.0", "rope/v2@v2.0.9", "licence of pkg:golang/example.org/rope/v2@v2.0.9: the lock does not hold that version"},
		{"licence that is none", bell, "is: OFL-1.1", `is: ""`, "licence 2: of"},
		{"licence without a reason", bell, "why: Its README says so.", "why: ' '", "licence 1: of"},
		{"licence without a text", bell, "[licences/bellfont.txt]", "[]", "licence 2: of"},
		{"licence with an unknown key", bell, "    why: Its", "    because: x\n    why: Its", "field because not found"},
		{"licence twice", bell, "pkg:generic/bellfont@1.0.0", "pkg:golang/example.org/rope/v2@v2.1.0", "licence of pkg:golang/example.org/rope/v2@v2.1.0 is there twice"},
		{"licence that the distribution states", bell, "pkg:generic/bellfont@1.0.0", "pkg:golang/stdlib@1.26.8", "licence of pkg:golang/stdlib@1.26.8 is there twice"},
		{"licence that SPDX does not know", bell, "MIT OR LicenseRef-Rope", "MIT OR Rope", rope + `"MIT OR Rope" is not an SPDX licence expression`},
		{"licence by NOASSERTION", bell, "MIT OR LicenseRef-Rope", "NOASSERTION", rope + `"NOASSERTION" is not`},
		{"licence that is half", bell, "MIT OR LicenseRef-Rope", "(", rope + `"(" is not an SPDX licence expression`},
		{"licence without end", bell, "MIT OR LicenseRef-Rope", "MIT" + strings.Repeat(" OR MIT", 200), "is not an SPDX licence expression"},
		{"text leads out", bell, "README.md,", "../README.md,", rope + `text "../README.md" is not a plain path`},
		{"text is absolute", bell, "README.md,", "/README.md,", rope + `text "/README.md"`},
		{"text is the package", bell, "README.md,", "., ", rope + `text "." is not a plain path`},
		{"text twice", bell, "README.md,", "licences/LicenseRef-Rope.txt,", "is not a plain path, or there twice"},
		{"text of ours is missing", bell, "README.md,", "licences/rope.txt,", rope + `text "licences/rope.txt" is not a file of this recipe`},
		{"text of ours is a folder", bell, "README.md,", "licences/., ", rope + `text "licences/." is not a plain path`},

		{"no publisher", dist, "publisher: Palisade\n", "", "distribution.yaml: publisher, licence"},
		{"no namespace", dist, "namespace: https://palisade.example/spdx\n", "", "distribution.yaml: publisher, licence"},
		{"namespace ends in a slash", dist, "example/spdx", "example/spdx/", "namespace"},
		{"namespace without https", dist, "https://palisade.example", "http://palisade.example", "namespace"},
		{"namespace with a query", dist, "example/spdx", "example/spdx?x", "namespace"},
		{"no licence", dist, "licence: Apache-2.0\n", "", "licence (an SPDX expression)"},
		{"licence of no list", dist, "licence: Apache-2.0", "licence: Apache", "licence (an SPDX expression)"},
		{"shared statement with a text of ours", dist, "text: [LICENSE]", "text: [licences/LICENSE]", "distribution.yaml: licence of pkg:golang/stdlib@1.26.8: text \"licences/LICENSE\" is of a recipe's folder"},
		{"shared statement without a reason", dist, "    why: Its other text is of what is not linked.\n", "", "distribution.yaml: licence 1: of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			edit(t, fsys, tt.file, tt.old, tt.new)
			if _, _, err := load(fsys, "bell"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// A text that no statement names is as stray as any file.
func TestLoadRefusesStrayText(t *testing.T) {
	for _, name := range []string{"bell/licences/drum.txt", "clock/licences/clock.txt", "bell/licences/more/rope.txt"} {
		fsys := good(t)
		fsys[name] = &fstest.MapFile{}
		recipe, stray, _ := strings.Cut(name, "/")
		if _, _, err := load(fsys, recipe); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), stray+" is not a file of this recipe") {
			t.Errorf("%s: %v", name, err)
		}
	}
	fsys := good(t)
	fsys["bell/licences/bellfont.txt"] = &fstest.MapFile{Mode: fs.ModeDir}
	if _, _, err := load(fsys, "bell"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
}

// The Go that is pinned and the standard library whose licence is stated are
// of one version: else the statement rots unseen.
func TestShippedStandardLibrary(t *testing.T) {
	d, all := shipped(t)
	for _, r := range all {
		found := false
		for _, l := range r.Licences {
			found = found || l.Of == "pkg:golang/stdlib@"+r.Lock.Go
		}
		if !found {
			t.Errorf("nobody states the licence of Go %s, which %s is built with", r.Lock.Go, r.Name)
		}
	}
	for _, l := range d.Licences {
		if v, ok := strings.CutPrefix(l.Of, "pkg:golang/stdlib@"); ok {
			if _, pinned := d.Toolchains.FindGo(v); !pinned {
				t.Errorf("distribution.yaml states the licence of Go %s, which it does not pin", v)
			}
		}
	}
}

// What is no expression is refused, whatever the parser makes of it.
func FuzzValidLicence(f *testing.F) {
	for _, s := range []string{
		"MIT", "(MIT OR Apache-2.0) AND ISC", "GPL-2.0-only WITH Classpath-exception-2.0", "LicenseRef-Rope",
		"", "(", "()", "MIT AND", "MIT WITH", "MIT OR (", "DocumentRef-bell:", strings.Repeat("(", MaxExpression+1),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidLicence(s) && (len(s) > MaxExpression || strings.Count(s, "(") != strings.Count(s, ")")) {
			t.Errorf("%q is accepted", s)
		}
	})
}
