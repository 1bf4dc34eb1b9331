package gobuild

import (
	"runtime/debug"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/source"
)

// info is the build info of a binary that is what was asked for.
func info(p source.Patched) *debug.BuildInfo {
	sums := p.Tree.Recipe().Lock.Sums
	return &debug.BuildInfo{
		GoVersion: "go1.26.8", Path: "example.org/bell/cmd/bell",
		Main: debug.Module{Path: bell.Path, Version: bell.Version, Sum: sums[bell]},
		Deps: []*debug.Module{{
			Path: rope.Path, Version: rope.Version,
			Replace: &debug.Module{Path: sealed.Path, Version: sealed.Version, Sum: "h1:sealed="},
		}},
		Settings: []debug.BuildSetting{
			{Key: "-buildmode", Value: "exe"}, {Key: "-compiler", Value: "gc"}, {Key: "-tags", Value: "netgo,builtinassets"},
			{Key: "-trimpath", Value: "true"}, {Key: "DefaultGODEBUG", Value: "x=1"}, {Key: "CGO_ENABLED", Value: "0"},
			{Key: "GOARCH", Value: "amd64"}, {Key: "GOOS", Value: "linux"}, {Key: "GOAMD64", Value: "v1"},
		},
	}
}

func set(key, value string) func(*debug.BuildInfo) {
	return func(b *debug.BuildInfo) {
		for i := range b.Settings {
			if b.Settings[i].Key == key {
				b.Settings[i].Value = value
				return
			}
		}
		b.Settings = append(b.Settings, debug.BuildSetting{Key: key, Value: value})
	}
}

func unset(key string) func(*debug.BuildInfo) {
	return func(b *debug.BuildInfo) {
		var kept []debug.BuildSetting
		for _, s := range b.Settings {
			if s.Key != key {
				kept = append(kept, s)
			}
		}
		b.Settings = kept
	}
}

// Each case changes one thing of a binary that is accepted.
func TestCheck(t *testing.T) {
	p := patched(t)
	const pkg = "example.org/bell/cmd/bell"
	if err := check(info(p), p, linux, pkg); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		change     func(b *debug.BuildInfo)
	}{
		{"another Go", "compiled by go1.26.7, not go1.26.8", func(b *debug.BuildInfo) { b.GoVersion = "go1.26.7" }},
		{"another Go of that version", "compiled by go1.26.8 X:x", func(b *debug.BuildInfo) { b.GoVersion += " X:x" }},
		{"another command", "its main package is example.org/bell/cmd/pull", func(b *debug.BuildInfo) { b.Path = "example.org/bell/cmd/pull" }},
		{"another main module", "its main module is example.org/drum@v1.2.0", func(b *debug.BuildInfo) { b.Main.Path = "example.org/drum" }},
		{"another version", "its main module is example.org/bell@v1.2.1", func(b *debug.BuildInfo) { b.Main.Version = "v1.2.1" }},
		{"built in a checkout", "its main module is example.org/bell@(devel)", func(b *debug.BuildInfo) { b.Main.Version = "(devel)" }},
		{"another source", `module example.org/bell@v1.2.0 has the hash "h1:other="`, func(b *debug.BuildInfo) { b.Main.Sum = "h1:other=" }},
		{"source without a hash", `has the hash ""`, func(b *debug.BuildInfo) { b.Main.Sum = "" }},
		{"main module replaced", `module example.org/drum@v1.0.0 has the hash "h1:x=", the lock has ""`, func(b *debug.BuildInfo) {
			b.Main.Replace = &debug.Module{Path: "example.org/drum", Version: "v1.0.0", Sum: "h1:x="}
		}},
		{"module not of the lock", `module example.org/drum@v1.0.0 has the hash "h1:x=", the lock has ""`, func(b *debug.BuildInfo) {
			b.Deps = append(b.Deps, &debug.Module{Path: "example.org/drum", Version: "v1.0.0", Sum: "h1:x="})
		}},
		{"module not of the lock, without a hash", `module example.org/drum@v1.0.0 has the hash ""`, func(b *debug.BuildInfo) {
			b.Deps = append(b.Deps, &debug.Module{Path: "example.org/drum", Version: "v1.0.0"})
		}},
		{"patched module as upstream has it", "module example.org/rope is not the patched", func(b *debug.BuildInfo) {
			b.Deps[0] = &debug.Module{Path: rope.Path, Version: rope.Version, Sum: p.Tree.Recipe().Lock.Sums[rope]}
		}},
		{"patched module of another version", "is not the patched", func(b *debug.BuildInfo) { b.Deps[0].Version = "v0.8.0" }},
		{"patched module of another seal", "is not the patched", func(b *debug.BuildInfo) { b.Deps[0].Replace.Sum = "h1:other=" }},
		{"patched module of another sealed version", "is not the patched", func(b *debug.BuildInfo) { b.Deps[0].Replace.Version = "v0.9.1-0.vanilla.3" }},
		{"patched module of another path", "is not the patched", func(b *debug.BuildInfo) { b.Deps[0].Replace.Path = "example.org/other" }},
		{"directory in place of a module", "is not the patched", func(b *debug.BuildInfo) { b.Deps[0].Replace = &debug.Module{Path: "../rope"} }},
		{"cgo", `setting CGO_ENABLED is "1", not "0"`, set("CGO_ENABLED", "1")},
		{"cgo unknown", "setting CGO_ENABLED is missing", unset("CGO_ENABLED")},
		{"paths of the machine", "setting -trimpath is missing", unset("-trimpath")},
		{"another operating system", `setting GOOS is "freebsd", not "linux"`, set("GOOS", "freebsd")},
		{"another processor", `setting GOARCH is "arm64", not "amd64"`, set("GOARCH", "arm64")},
		{"another instruction set", `setting GOAMD64 is "v3", not "v1"`, set("GOAMD64", "v3")},
		{"instruction set of another processor", `setting GOARM="7" was not asked for`, set("GOARM", "7")},
		{"another compiler", `setting -compiler is "gccgo"`, set("-compiler", "gccgo")},
		{"another build mode", `setting -buildmode is "pie"`, set("-buildmode", "pie")},
		{"a tag less", `setting -tags is "netgo", not "netgo,builtinassets"`, set("-tags", "netgo")},
		{"no tags", "setting -tags is missing", unset("-tags")},
		{"race detector", `setting -race="true" was not asked for`, set("-race", "true")},
		{"flags of the linker", `setting -ldflags="-X a.b=c" was not asked for`, set("-ldflags", "-X a.b=c")},
		{"a repository", `setting vcs="git" was not asked for`, set("vcs", "git")},
		{"an experiment", `setting GOEXPERIMENT="x" was not asked for`, set("GOEXPERIMENT", "x")},
		{"a setting twice", `setting GOOS="linux" was not asked for`, func(b *debug.BuildInfo) {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: "GOOS", Value: "linux"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := info(p)
			tt.change(b)
			if err := check(b, p, linux, pkg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Upstream's own replacements, which the lock repeats, are held against its hashes.
func TestCheckUpstreamsReplacement(t *testing.T) {
	p := patched(t)
	p.Sealed = nil
	b := info(p)
	b.Deps[0] = &debug.Module{Path: "example.org/string", Version: "v1.0.0", Replace: &debug.Module{Path: rope.Path, Version: rope.Version, Sum: p.Tree.Recipe().Lock.Sums[rope]}}
	if err := check(b, p, linux, b.Path); err != nil {
		t.Error(err)
	}
	b.Deps[0].Replace.Sum = "h1:other="
	if err := check(b, p, linux, b.Path); err == nil || !strings.Contains(err.Error(), "module example.org/rope@v0.9.0 has the hash") {
		t.Errorf("got %v", err)
	}
}

// What a platform's settings have to be follows from what was asked for.
func TestCheckSettingsOfPlatforms(t *testing.T) {
	for _, tt := range []struct{ platform, level string }{
		{"linux/arm/v7", "GOARM=7"}, {"linux/s390x", ""}, {"windows/amd64", "GOAMD64=v1"}, {"linux/riscv64", "GORISCV64=rva20u64"},
	} {
		platform, err := artifact.ParsePlatform(tt.platform)
		if err != nil {
			t.Fatal(err)
		}
		settings := []artifact.Setting{
			{Key: "-buildmode", Value: "exe"}, {Key: "-compiler", Value: "gc"}, {Key: "-trimpath", Value: "true"}, {Key: "CGO_ENABLED", Value: "0"},
			{Key: "GOARCH", Value: platform.Arch}, {Key: "GOOS", Value: platform.OS},
		}
		if tt.level != "" {
			name, value, _ := strings.Cut(tt.level, "=")
			settings = append(settings, artifact.Setting{Key: name, Value: value})
		}
		if err := checkSettings(settings, nil, Target{Platform: platform}); err != nil {
			t.Errorf("%s: %v", tt.platform, err)
		}
		if err := checkSettings(settings[:len(settings)-1], nil, Target{Platform: platform}); err == nil {
			t.Errorf("%s: nothing is missing without %s", tt.platform, settings[len(settings)-1].Key)
		}
	}
}

// What is recorded is what was read, sorted, with the zip file that each
// module came in.
func TestObserved(t *testing.T) {
	p := patched(t)
	b := info(p)
	b.Deps = append(b.Deps, &debug.Module{Path: "a.example.org/first", Version: "v1.0.0", Sum: "h1:first="})
	got := observed(b, p)
	if got.GoVersion != "go1.26.8" || got.Package != b.Path || got.Main.Sum != b.Main.Sum || *got.Main.Zip != p.Tree.Modules()[0].ZipDigest {
		t.Errorf("got %+v", got)
	}
	if len(got.Modules) != 2 || got.Modules[0].Path != "a.example.org/first" || got.Modules[0].Zip != nil {
		t.Fatalf("modules are %+v", got.Modules)
	}
	if m := got.Modules[1]; m.Replace == nil || m.Replace.Sum != "h1:sealed=" || m.Replace.Zip != nil || *m.Zip != p.Tree.Modules()[1].ZipDigest {
		t.Errorf("the patched module is %+v", m)
	}
	if len(got.Settings) != len(b.Settings) || got.Settings[0].Key != "-buildmode" || got.Settings[len(got.Settings)-1].Key != "GOOS" {
		t.Errorf("settings are %+v", got.Settings)
	}
}
