package webui

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/recipes"
)

// What another machine says of an interface is what this one would have said, as
// far as that can be told without building it.
func TestCheckPnpm(t *testing.T) {
	const lock = `lockfileVersion: '9.0'
packages:
  name@1.0.0:
    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}
  other@2.0.0:
    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}
`
	in := pnpmInput(t, lock)
	host, _ := npm.HostOf(in.Host)
	packages, err := lockedFor(in.Input, host)
	if err != nil || len(packages) != 2 {
		t.Fatalf("%v, %v", packages, err)
	}
	good := func() Assets {
		a := Assets{UI: artifact.UI{
			Kind: recipes.PnpmUI, Note: notePnpm, Origin: in.Module, Packages: append([]artifact.Package(nil), packages...), Report: &artifact.Sandbox{},
			Host: []artifact.File{{Name: "/lib/a.so", Mode: "0644", Size: 1, Digest: artifact.DigestBytes(nil)}, {Name: "/lib/b.so", Mode: "0755", Size: 1, Digest: artifact.DigestBytes(nil)}},
		}}
		for _, p := range packages {
			a.Embedded = append(a.Embedded, artifact.Embedded{PURL: npm.PURL(p), Name: p.Name, Version: p.Version, Integrity: p.Integrity, Evidence: artifact.ByBundler, In: in.Module.Path})
		}
		a.Embedded[0].Requires = []string{a.Embedded[1].PURL}
		return a
	}
	if err := CheckPnpm(in, good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Assets){
		"nothing":                         func(a *Assets) { *a = Assets{} },
		"another kind":                    func(a *Assets) { a.UI.Kind = "bundle" },
		"another note":                    func(a *Assets) { a.UI.Note += " It is safe." },
		"no report":                       func(a *Assets) { a.UI.Report = nil },
		"another origin":                  func(a *Assets) { a.UI.Origin.Version = "v1.0.1" },
		"a commit":                        func(a *Assets) { a.UI.Commits = []artifact.Git{{Name: "elm/core@1.0.5"}} },
		"no packages":                     func(a *Assets) { a.UI.Packages, a.Embedded = nil, nil },
		"a package twice":                 func(a *Assets) { a.UI.Packages[1] = a.UI.Packages[0] },
		"packages out of order":           func(a *Assets) { a.UI.Packages[0], a.UI.Packages[1] = a.UI.Packages[1], a.UI.Packages[0] },
		"a package of another version":    func(a *Assets) { a.UI.Packages[0].Version = "1.0.1" },
		"a package that was changed":      func(a *Assets) { a.UI.Packages[0].Integrity = "sha512-" },
		"a file of the host twice":        func(a *Assets) { a.UI.Host[1] = a.UI.Host[0] },
		"a file of the host without name": func(a *Assets) { a.UI.Host[0].Name = "" },
		"a file of nowhere":               func(a *Assets) { a.UI.Host[1].Name = "/lib/../x" },
		"a file that is not printed":      func(a *Assets) { a.UI.Host[1].Name = "/lib/b\n" },
		"a file with a long name":         func(a *Assets) { a.UI.Host[1].Name = "/lib/b" + strings.Repeat("b", maxHostName) },
		"a file without digest":           func(a *Assets) { a.UI.Host[1].Digest = artifact.Digest{} },
		"nothing embedded":                func(a *Assets) { a.Embedded = nil },
		"embedded twice":                  func(a *Assets) { a.Embedded = append(a.Embedded, a.Embedded[1]) },
		"embedded, and not installed":     func(a *Assets) { a.UI.Packages = a.UI.Packages[:1] },
		"embedded under another name":     func(a *Assets) { a.Embedded[0].PURL = "pkg:npm/aname@1.0.0" },
		"embedded in another module":      func(a *Assets) { a.Embedded[0].In = "example.org/q" },
		"another evidence":                func(a *Assets) { a.Embedded[0].Evidence = artifact.Stated },
		"embedded, with a note":           func(a *Assets) { a.Embedded[0].Note = "well" },
		"embedded in a file":              func(a *Assets) { a.Embedded[0].Files = []string{"LICENSE"} },
		"it requires itself":              func(a *Assets) { a.Embedded[0].Requires = []string{a.Embedded[0].PURL} },
		"it requires what is not there":   func(a *Assets) { a.Embedded[0].Requires = []string{"pkg:npm/x@1.0.0"} },
		"it requires one twice":           func(a *Assets) { r := a.Embedded[0].Requires; a.Embedded[0].Requires = append(r, r...) },
	} {
		a := good()
		change(&a)
		if err := CheckPnpm(in, a); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	in.UI = "elsewhere"
	if err := CheckPnpm(in, good()); err == nil {
		t.Error("without a lock file")
	}
}
