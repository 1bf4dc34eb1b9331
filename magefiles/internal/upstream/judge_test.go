package upstream

import (
	"crypto/sha256"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"palisade/magefiles/internal/goprogram"
	"palisade/recipes"
)

func fileOf(packed, content string) file {
	return file{int64(len(packed)), sha256.Sum256([]byte(packed)), sha256.Sum256([]byte(content))}
}

// bell is a program as both sides have it.
func bell() program {
	return program{
		size: 1000, form: "ELF", streams: map[[sha256.Size]byte]int64{sha256.Sum256([]byte("page")): 4},
		info: &debug.BuildInfo{
			GoVersion: "go1.26.8", Path: "example.test/bell",
			Main: debug.Module{Path: "example.test/bell", Version: "v1.2.3", Sum: "h1:bell="},
			Deps: []*debug.Module{{Path: "example.test/dep", Version: "v1.0.0", Sum: "h1:dep="}, {Path: "example.test/rope", Version: "v0.3.0", Sum: "h1:rope="}},
			Settings: []debug.BuildSetting{
				{Key: "-buildmode", Value: "exe"}, {Key: "-tags", Value: "netgo,timetzdata"}, {Key: "CGO_ENABLED", Value: "0"}, {Key: "GOARCH", Value: "arm"}, {Key: "GOARM", Value: "7"},
			},
		},
		stamps:   map[string]string{"Version": "1.2.3", "Revision": commit, "Branch": "v1.2.3", "BuildUser": "palisade", "BuildDate": "20260102-03:04:05"},
		embedded: map[string]file{"static/a.html.gz": fileOf("packed", "a")},
		packages: []goprogram.Package{{Path: "example.test/bell/ring", Functions: 90}, {Path: "internal/cpu", Functions: 9}, {Path: "main", Functions: 2}, {Path: "runtime", Functions: 999}},
	}
}

func (p *program) set(key, value string) {
	p.info.Settings = append(slices.DeleteFunc(p.info.Settings, func(s debug.BuildSetting) bool { return s.Key == key }), debug.BuildSetting{Key: key, Value: value})
}

func (p *program) link(flags string) {
	p.set("-ldflags", flags)
	p.told, p.linker = linkerFlags(flags)
}

// seal makes the program one with a built interface in it.
func (p *program) seal() {
	p.info.Main.Sum = ""
	p.info.Main.Replace = &debug.Module{Path: p.info.Main.Path, Version: "v1.2.4-0.vanilla.1", Sum: "h1:sealed="}
}

func (p *program) code(path string, functions int) {
	p.packages = append(slices.Clone(p.packages), goprogram.Package{Path: path, Functions: functions})
}

const static = "-X github.com/prometheus/common/version.Version=1.2.3  -extldflags '-static'"

// Each difference has the reason that is its own, and nothing that looks like it
// has that too.
func TestReasons(t *testing.T) {
	type row struct {
		name         string
		ours, theirs func(*program)
		what         string // of the one finding
		want         Reason
	}
	as := func(*program) {}
	version := func(v, sum string) func(*program) {
		return func(p *program) { p.info.Main.Version, p.info.Main.Sum = v, sum }
	}
	dep := func(version, sum string) func(*program) {
		return func(p *program) { p.info.Deps[0].Version, p.info.Deps[0].Sum = version, sum }
	}
	more := func(path, version, sum string) func(*program) {
		return func(p *program) {
			p.info.Deps = append(p.info.Deps, &debug.Module{Path: path, Version: version, Sum: sum})
		}
	}
	stamp := func(name, value string) func(*program) { return func(p *program) { p.stamps[name] = value } }
	set := func(key, value string) func(*program) { return func(p *program) { p.set(key, value) } }
	embed := func(name string, f file) func(*program) { return func(p *program) { p.embedded[name] = f } }
	both := func(all ...func(*program)) func(*program) {
		return func(p *program) {
			for _, change := range all {
				change(p)
			}
		}
	}
	code := func(path string, n int) func(*program) { return func(p *program) { p.code(path, n) } }
	goes := func(v string) func(*program) { return func(p *program) { p.info.GoVersion = v } }
	trimmed := set("-trimpath", "true")
	clone := both(version("v1.2.3", ""), set("vcs", "git"), set("vcs.revision", commit), set("vcs.time", "2026-01-02T03:04:05Z"), set("vcs.modified", "false"))
	outside := both(stamp("Revision", noClone), stamp("Branch", noClone))
	tests := []row{
		{"nothing", as, as, "", ""},
		{"another Go", as, goes("go1.26.5"), "compiler", Toolchain},
		{"the Go of go.mod", as, goes("go1.25.1"), "compiler", Toolchain},
		{"a Go that nothing names", as, goes("go1.25.2"), "compiler", Unexplained},
		{"a newer Go that nothing names", as, goes("go1.27.0"), "compiler", Unexplained},
		{"a Go that nobody released", as, goes("devel go1.26-abcdef"), "compiler", Unexplained},
		{"experiments", as, goes("go1.26.8 X:nodwarf5"), "compiler", Unexplained},
		{"another Go than the recipe's here", goes("go1.26.7"), as, "compiler", Unexplained},
		{"another command", as, func(p *program) { p.info.Path += "/cmd/x" }, "main package", Unexplained},
		{"another form", as, func(p *program) { p.form = "ELF PT_INTERP" }, "form", Unexplained},

		{"no clone", as, version("(devel)", ""), "main module", Checkout},
		{"a clone at the version", as, version("v1.2.3", ""), "main module", Checkout},
		{"a clone with something in it", as, version("v1.2.3+dirty", ""), "main module", Unexplained},
		{"no clone with something in it", as, version("(devel)+dirty", ""), "main module", Unexplained},
		{"a commit that nothing else names", as, version("v0.0.0-20260102030405-6044da783597", ""), "main module", Unexplained},
		{"a clone of another version", as, version("v1.2.4", ""), "main module", Unexplained},
		{"the version by another hash", as, version("v1.2.3", "h1:other="), "main module", Unexplained},
		{"by another hash here", version("v1.2.3", "h1:other="), version("v1.2.3", ""), "main module", Unexplained},
		{"another version here", version("v1.2.2", "h1:bell="), version("v1.2.3", ""), "main module", Unexplained},
		{"another module", as, func(p *program) { p.info.Main.Path = "example.test/fork" }, "main module", Unexplained},
		{"replaced there", as, func(p *program) { p.info.Main.Replace = &debug.Module{Path: "../fork"} }, "main module", Unexplained},
		{"sealed as what has patches", func(p *program) { p.seal(); p.info.Main.Replace.Version = "v1.2.4-0.palisade.1" }, version("v1.2.3", ""), "main module", Unexplained},
		{"sealed as what nothing states", func(p *program) { p.seal(); p.info.Main.Replace.Sum = "h1:other=" }, version("v1.2.3", ""), "main module", Unexplained},
		{"sealed as another", func(p *program) { p.seal(); p.info.Main.Replace.Path = "example.test/fork" }, version("v1.2.3", ""), "main module", Unexplained},

		{"a module sealed", func(p *program) {
			p.info.Deps[1].Sum, p.info.Deps[1].Replace = "", &debug.Module{Path: "example.test/rope", Version: "v0.3.1-0.vanilla.1", Sum: "h1:sealedrope="}
		}, as, "module example.test/rope", Sealed},
		{"a module sealed as what nothing states", func(p *program) {
			p.info.Deps[1].Sum, p.info.Deps[1].Replace = "", &debug.Module{Path: "example.test/rope", Version: "v0.3.1-0.vanilla.1", Sum: "h1:x="}
		}, as, "module example.test/rope", Unexplained},
		{"a module raised", dep("v1.1.0", "h1:dep11="), as, "module example.test/dep", Raised},
		{"raised by another hash", dep("v1.1.0", "h1:x="), as, "module example.test/dep", Unexplained},
		{"raised past the lock", dep("v1.2.0", "h1:dep11="), as, "module example.test/dep", Unexplained},
		{"raised above what go.mod does not ask for", dep("v1.1.0", "h1:dep11="), dep("v0.9.0", "h1:dep="), "module example.test/dep", Unexplained},
		{"raised above another hash", dep("v1.1.0", "h1:dep11="), dep("v1.0.0", "h1:x="), "module example.test/dep", Unexplained},
		{"a module that is older", dep("v0.9.0", "h1:x="), as, "module example.test/dep", Unexplained},
		{"a module that is newer there", as, dep("v1.1.0", "h1:dep11="), "module example.test/dep", Unexplained},
		{"a module by another hash", as, dep("v1.0.0", "h1:x="), "module example.test/dep", Unexplained},
		{"a module replaced there", as, func(p *program) { p.info.Deps[0].Replace = &debug.Module{Path: "example.test/fork", Version: "v1.0.0"} }, "module example.test/dep", Unexplained},
		{"a module more there", as, more("example.test/gone", "v0.2.0", "h1:gone="), "module example.test/gone", Unexplained},
		{"a module more here", more("example.test/new", "v0.1.0", "h1:new="), as, "module example.test/new", Unexplained},
		{"a module less", as, func(p *program) { p.info.Deps = p.info.Deps[:1] }, "module example.test/rope", Unexplained},

		{"trimpath", trimmed, as, "setting -trimpath", Trimpath},
		{"trimpath there", as, trimmed, "setting -trimpath", Unexplained},
		{"flags of the linker", trimmed, both(trimmed, func(p *program) { p.link(static) }), "setting -ldflags", Ldflags},
		{"flags of the linker, with cgo", both(trimmed, set("CGO_ENABLED", "1")), both(trimmed, set("CGO_ENABLED", "1"), func(p *program) { p.link(static) }), "setting -ldflags", Unexplained},
		{"flags that do more", trimmed, both(trimmed, func(p *program) { p.link(static + " -X main.backdoor=on") }), "setting -ldflags", Unexplained},
		{"flags that stamp twice", trimmed, both(trimmed, func(p *program) { p.link(static + " -X github.com/prometheus/common/version.Version=1.2.4") }), "setting -ldflags", Unexplained},
		{"flags that stamp what nothing shows", trimmed, both(trimmed, func(p *program) { p.link(static + " -X github.com/prometheus/common/version.GoVersion=go1") }), "setting -ldflags", Unexplained},
		{"flags that strip", trimmed, both(trimmed, func(p *program) { p.link(static + " -s -w") }), "setting -ldflags", Unexplained},
		{"flags of the linker of C", trimmed, both(trimmed, func(p *program) { p.link("-extldflags '-static -Wl,x'") }), "setting -ldflags", Unexplained},
		{"flags that should show here", as, func(p *program) { p.link(static) }, "setting -ldflags", Unexplained},
		{"netgo", as, set("-tags", "timetzdata"), "build tag netgo", Netgo},
		{"netgo there, which nothing asks for", set("-tags", "timetzdata"), as, "build tag netgo", Unexplained},
		{"netgo, with cgo", set("CGO_ENABLED", "1"), both(set("CGO_ENABLED", "1"), set("-tags", "timetzdata")), "build tag netgo", Unexplained},
		{"time zones", as, set("-tags", "netgo"), "build tag timetzdata", Timezones},
		{"time zones there", set("-tags", "netgo"), as, "build tag timetzdata", Unexplained},
		{"another tag", as, set("-tags", "netgo,timetzdata,builtinassets"), "build tag builtinassets", Unexplained},
		{"a commit without a clone", as, set("vcs.revision", strings.Repeat("f", 40)), "setting vcs.revision", Unexplained},
		{"a commit", as, set("vcs.revision", commit), "setting vcs.revision", Checkout},
		{"a commit here", set("vcs.revision", commit), as, "setting vcs.revision", Unexplained},
		{"another kind of clone", as, set("vcs", "hg"), "setting vcs", Unexplained},
		{"git", as, set("vcs", "git"), "setting vcs", Checkout},
		{"the time of no commit", as, set("vcs.time", "2026-01-02T03:04:05Z"), "setting vcs.time", Unexplained},
		{"more of a clone", as, set("vcs.more", "x"), "setting vcs.more", Unexplained},
		{"a changed clone", as, set("vcs.modified", "true"), "setting vcs.modified", Unexplained},
		{"an unchanged one", as, set("vcs.modified", "false"), "setting vcs.modified", Checkout},
		{"defaults of the language", as, set("DefaultGODEBUG", "strict=0"), "setting DefaultGODEBUG", Language},
		{"another value", as, set("DefaultGODEBUG", "strict=2"), "setting DefaultGODEBUG", Unexplained},
		{"defaults of an older language", as, set("DefaultGODEBUG", "ancient=1,strict=0"), "setting DefaultGODEBUG", Unexplained},
		{"a setting that nothing knows", as, set("DefaultGODEBUG", "strict=0,tlsrsakex=1"), "setting DefaultGODEBUG", Unexplained},
		{"a setting twice", as, set("DefaultGODEBUG", "strict=1,strict=0"), "setting DefaultGODEBUG", Unexplained},
		{"no settings", as, set("DefaultGODEBUG", "strict"), "setting DefaultGODEBUG", Unexplained},
		{"defaults here", set("DefaultGODEBUG", "strict=0"), as, "setting DefaultGODEBUG", Unexplained},
		{"another processor", as, set("GOARM", "6"), "setting GOARM", Unexplained},
		{"cgo", as, set("CGO_ENABLED", "1"), "setting CGO_ENABLED", Unexplained},
		{"an unknown setting", as, set("GOEXPERIMENT", "x"), "setting GOEXPERIMENT", Unexplained},

		{"the variant", stamp("Version", "1.2.3-vanilla"), as, "stamp Version", Variant},
		{"another variant", stamp("Version", "1.2.3-palisade.1"), as, "stamp Version", Unexplained},
		{"another version", stamp("Version", "1.2.4-vanilla"), as, "stamp Version", Unexplained},
		{"another version on both sides", stamp("Version", "1.2.4-vanilla"), stamp("Version", "1.2.4"), "stamp Version", Unexplained},
		{"another commit", as, stamp("Revision", strings.Repeat("f", 40)), "stamp Revision", Unexplained},
		{"no commit, on a branch", as, stamp("Revision", noClone), "stamp Revision", Unexplained},
		{"an empty commit", as, stamp("Revision", ""), "stamp Revision", Unexplained},
		{"branch", as, stamp("Branch", "HEAD"), "stamp Branch", Stamp},
		{"branch of a release", as, stamp("Branch", "release-1.2"), "stamp Branch", Stamp},
		{"branch of another", as, stamp("Branch", "backdoor"), "stamp Branch", Unexplained},
		{"no branch, of a clone", as, stamp("Branch", noClone), "stamp Branch", Unexplained},
		{"another branch here", stamp("Branch", "v1.2.4"), stamp("Branch", "HEAD"), "stamp Branch", Unexplained},
		{"user", as, stamp("BuildUser", "root@buildhost"), "stamp BuildUser", Stamp},
		{"no user", as, stamp("BuildUser", "root at buildhost"), "stamp BuildUser", Unexplained},
		{"another user here", stamp("BuildUser", "me"), stamp("BuildUser", "root@buildhost"), "stamp BuildUser", Unexplained},
		{"date", as, stamp("BuildDate", "20261122-10:11:12"), "stamp BuildDate", Stamp},
		{"date before the release", as, stamp("BuildDate", "20250101-10:11:12"), "stamp BuildDate", Unexplained},
		{"no date", as, stamp("BuildDate", "yesterday"), "stamp BuildDate", Unexplained},
		{"another date here", stamp("BuildDate", "20260102-03:04:06"), stamp("BuildDate", "20261122-10:11:12"), "stamp BuildDate", Unexplained},
		{"told otherwise", trimmed, both(trimmed, func(p *program) { p.told = map[string]string{"Version": "9"} }), "stamp Version, and what the linker was told", Unexplained},

		{"compressed otherwise", as, embed("static/a.html.gz", fileOf("packed otherwise", "a")), "embedded file static/a.html.gz", Compressed},
		{"another file", as, embed("static/a.html.gz", fileOf("packed otherwise", "b")), "embedded file static/a.html.gz", Unexplained},
		{"a file more", as, embed("static/b.html.gz", fileOf("b", "b")), "embedded file static/b.html.gz", Unexplained},
		{"a file more here", embed("static/b.html.gz", fileOf("b", "b")), as, "embedded file static/b.html.gz", Unexplained},
		{"the old interface of what has none", as, embed("static/react-app/index.html.gz", fileOf("b", "b")), "embedded file static/react-app/index.html.gz", Unexplained},
		{"what is not taken", embed("app/dist/index.html", fileOf("b", "b")), as, "embedded file app/dist/index.html", Unexplained},
		{"a stream more", as, func(p *program) { p.streams = map[[sha256.Size]byte]int64{sha256.Sum256([]byte("page")): 4, {1}: 9} }, "gzip stream 010000000000", Unexplained},
		{"a stream less", as, func(p *program) { p.streams = nil }, "gzip stream 3660315a9af3", Unexplained},

		{"a package", as, code("net/http/pprof", 30), "package net/http/pprof", Unexplained},
		{"a package of Go's own, of the same Go", as, code("internal/x", 30), "package internal/x", Unexplained},
		{"a package of time zones", code("time/tzdata", 3), as, "package time/tzdata", Unexplained},
	}
	seen := map[Reason]bool{Packing: true, Licences: true} // of archives, not of programs
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := judged(tt.ours, tt.theirs, known())
			if tt.what == "" && len(found) == 0 {
				return
			}
			seen[tt.want] = true
			if len(found) != 1 || found[0].What != tt.what || found[0].Reason != tt.want {
				t.Errorf("%v, want %s: %s", found, tt.what, tt.want)
			}
		})
	}
	// What goes with something else.
	bundle := func(k *Known) { k.Recipe.UI = &recipes.UI{Bundle: &recipes.Bundle{Version: "v0.31.1"}} }
	pnpm := func(k *Known) { k.Recipe.UI = &recipes.UI{Pnpm: &recipes.Pnpm{}} }
	unknownCommit := func(k *Known) { k.Recipe.Commit = "" }
	all := func(*Known) {}
	devel := version("(devel)", "")
	for _, tt := range []struct {
		name         string
		ours, theirs func(*program)
		known        func(*Known)
		want         []string // all of them, "what: reason"
	}{
		{"a clone", as, clone, all, []string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: checkout", "setting vcs.time: checkout", "setting vcs: checkout"}},
		{
			"a clone at another commit", as, both(clone, set("vcs.revision", strings.Repeat("f", 40))), all,
			[]string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: unexplained", "setting vcs.time: unexplained", "setting vcs: checkout"},
		},
		{
			"a clone of no version", as, both(clone, version("v0.0.0-20260102030405-6044da783597", "")), all,
			[]string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: checkout", "setting vcs.time: checkout", "setting vcs: checkout"},
		},
		{
			"a clone that says to be none", as, both(clone, devel), all,
			[]string{"main module: unexplained", "setting vcs.modified: checkout", "setting vcs.revision: checkout", "setting vcs.time: checkout", "setting vcs: checkout"},
		},
		{"promu without a clone", as, both(devel, outside), all, []string{"main module: checkout", "stamp Branch: stamp", "stamp Revision: checkout"}},
		{
			"no clone, that is one", as, both(clone, outside), all,
			[]string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: checkout", "setting vcs.time: checkout", "setting vcs: checkout", "stamp Branch: unexplained", "stamp Revision: unexplained"},
		},
		{
			"a commit that the recipe does not know", stamp("Revision", "h1:bell="), both(clone, set("vcs.revision", commit)), unknownCommit,
			[]string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: checkout", "setting vcs.time: checkout", "setting vcs: checkout", "stamp Revision: revision"},
		},
		{
			"two commits that the recipe does not know", stamp("Revision", "h1:bell="), both(clone, set("vcs.revision", strings.Repeat("f", 40))), unknownCommit,
			[]string{"main module: checkout", "setting vcs.modified: checkout", "setting vcs.revision: unexplained", "setting vcs.time: unexplained", "setting vcs: checkout", "stamp Revision: unexplained"},
		},
		{"no commit", stamp("Revision", "h1:bell="), stamp("Revision", "abc"), unknownCommit, []string{"stamp Revision: unexplained"}},
		{"another source", stamp("Revision", "h1:other="), as, unknownCommit, []string{"stamp Revision: unexplained"}},

		{"sealed", (*program).seal, version("v1.2.3", ""), all, []string{"main module's source: sealed", "main module: checkout"}},
		{
			"taken", both((*program).seal, embed("app/dist/index.html.gz", fileOf("old", "old"))), both(version("v1.2.3", ""), embed("app/dist/index.html.gz", fileOf("new", "new"))), bundle,
			[]string{"embedded file app/dist/index.html.gz: taken", "main module's source: sealed", "main module: checkout"},
		},
		{"taken, of what is not sealed", embed("app/dist/index.html.gz", fileOf("old", "old")), embed("app/dist/index.html.gz", fileOf("new", "new")), bundle, []string{"embedded file app/dist/index.html.gz: unexplained"}},
		{
			"taken, elsewhere", both((*program).seal, embed("default.tmpl", fileOf("old", "old"))), both(version("v1.2.3", ""), embed("default.tmpl", fileOf("new", "new"))), bundle,
			[]string{"embedded file default.tmpl: unexplained", "main module's source: sealed", "main module: checkout"},
		},
		{
			"the old interface", (*program).seal, both(version("v1.2.3", ""), embed("static/react-app/index.html.gz", fileOf("b", "b"))), pnpm,
			[]string{"embedded file static/react-app/index.html.gz: old-ui", "main module's source: sealed", "main module: checkout"},
		},
		{
			"the old interface here", both((*program).seal, embed("static/react-app/index.html.gz", fileOf("b", "b"))), version("v1.2.3", ""), pnpm,
			[]string{"embedded file static/react-app/index.html.gz: unexplained", "main module's source: sealed", "main module: checkout"},
		},
		{
			"a clone in which the interface was built", (*program).seal, both(version("v1.2.3+dirty", ""), set("vcs.modified", "true")), pnpm,
			[]string{"main module's source: sealed", "main module: checkout", "setting vcs.modified: checkout"},
		},
		{
			"what the interface needs", both((*program).seal, code("mime", 40), code("example.test/bell/web", 40), code("example.test/rope", 40)), both(version("v1.2.3", ""), code("expvar", 9)), pnpm,
			[]string{"main module's source: sealed", "main module: checkout", "package example.test/bell/web: sealed", "package example.test/rope: unexplained", "package expvar: unexplained", "package mime: sealed"},
		},
		{
			"modules that come and go with what is raised", both(dep("v1.1.0", "h1:dep11="), more("example.test/new", "v0.1.0", "h1:new=")), more("example.test/gone", "v0.2.0", "h1:gone="), all,
			[]string{"module example.test/dep: raised", "module example.test/gone: raised", "module example.test/new: raised"},
		},
		{
			"modules that no lock has", both(dep("v1.1.0", "h1:dep11="), more("example.test/new", "v0.1.1", "h1:new=")), more("example.test/gone", "v0.2.0", "h1:other="), all,
			[]string{"module example.test/dep: raised", "module example.test/gone: unexplained", "module example.test/new: unexplained"},
		},
		{
			"a module that the lock has, and is not linked", dep("v1.1.0", "h1:dep11="), more("example.test/new", "v0.1.0", "h1:new="), all,
			[]string{"module example.test/dep: raised", "module example.test/new: unexplained"},
		},
		{
			"another Go", as, both(goes("go1.26.5"), code("internal/x", 40), code("vendor/golang.org/x/y", 9), code("text/tomorrow", 9), code("slices", 1), code("net/http/pprof", 9), code("runtime/pprof", 9)), all,
			[]string{
				"compiler: toolchain", "package internal/x: toolchain", "package net/http/pprof: unexplained", "package runtime/pprof: unexplained",
				"package slices: unexplained", "package text/tomorrow: toolchain", "package vendor/golang.org/x/y: toolchain",
			},
		},
		{"a Go that nothing names", as, both(goes("go1.27.0"), code("internal/x", 40)), all, []string{"compiler: unexplained", "package internal/x: unexplained"}},
		{"what tomorrow's Go has, here", both(code("text/tomorrow", 9), code("example.test/internal/x", 9)), goes("go1.26.5"), all, []string{"compiler: toolchain", "package example.test/internal/x: unexplained", "package text/tomorrow: unexplained"}},
		{"time zones", code("time/tzdata", 3), set("-tags", "netgo"), all, []string{"build tag timetzdata: timezones", "package time/tzdata: timezones"}},
		{"an asset", func(p *program) { p.assets = map[string]bool{"a.go#x": true} }, as, func(k *Known) { k.Source.Assets = map[string][]byte{"a.go#x": nil} }, []string{"asset a.go#x: unexplained"}},
		{"an asset on neither side", as, as, func(k *Known) { k.Source.Assets = map[string][]byte{"a.go#x": nil} }, []string{"asset a.go#x: unexplained"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			k := known()
			tt.known(&k)
			for _, f := range judged(tt.ours, tt.theirs, k) {
				got = append(got, f.What+": "+string(f.Reason))
				seen[f.Reason] = true
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	known := map[Reason]bool{}
	for _, r := range Reasons {
		if r.Says == "" || known[r.Reason] || !seen[r.Reason] {
			t.Errorf("reason %s says %q, is there twice, or no test has it", r.Reason, r.Says)
		}
		known[r.Reason] = true
	}
	for r := range seen {
		if r != "" && !known[r] {
			t.Errorf("reason %s is not among Reasons", r)
		}
	}
}

func judged(ours, theirs func(*program), k Known) []Finding {
	var r Report
	a, b := bell(), bell()
	ours(&a)
	theirs(&b)
	(&judge{&r, "bell", k, a, b}).all()
	return r.Findings
}

// What cannot be seen is said, and is no agreement.
func TestUnseen(t *testing.T) {
	k := known()
	k.Recipe.UI = &recipes.UI{Pnpm: &recipes.Pnpm{}}
	for _, tt := range []struct {
		name   string
		change func(*program)
		want   string
	}{
		{"stripped", func(p *program) { p.stamps = nil }, "what is stamped into it: symbols are stripped"},
		{"one stamp", func(p *program) { delete(p.stamps, "Branch") }, "stamp Branch"},
		{"nothing with a name", func(p *program) { p.embedded = nil }, "embedded files: neither has any that has a name, and the recipe has an interface; the programs have 1000 and 1000 bytes"},
		{"no functions", func(p *program) { p.packages = nil }, "packages: a program has no table of its functions"},
		{"functions in a new form", func(p *program) { p.packages, p.err = nil, goprogram.ErrProgram }, "packages: " + goprogram.ErrProgram.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Report
			a, b := bell(), bell()
			a.stamps, b.stamps = maps.Clone(a.stamps), maps.Clone(b.stamps)
			tt.change(&a)
			tt.change(&b)
			(&judge{&r, "bell", k, a, b}).all()
			if len(r.Findings) > 0 || len(r.Unseen) != 1 || !strings.HasPrefix(r.Unseen[0].What, tt.want) {
				t.Errorf("%v and %v, want %q", r.Findings, r.Unseen, tt.want)
			}
			subject, _, _ := strings.Cut(tt.want, ":")
			for _, agreement := range r.Agreements {
				if strings.Contains(agreement.What, subject) {
					t.Errorf("and yet: %s", agreement)
				}
			}
		})
	}
}

func TestLinkerFlags(t *testing.T) {
	stamps, others := linkerFlags("-X github.com/prometheus/common/version.Version=1.2.3 \n-X 'github.com/prometheus/common/version.BuildUser=a b'  -X main.x=y -extldflags '-static -x' -w -X github.com/prometheus/common/version.Version=2 -X")
	want := map[string]string{"Version": "1.2.3", "BuildUser": "a b"}
	if !maps.Equal(stamps, want) || !slices.Equal(others, []string{"-X main.x=y", "-extldflags", "-static -x", "-w", "-X github.com/prometheus/common/version.Version=2", "-X"}) {
		t.Errorf("%q, %q", stamps, others)
	}
}
