package upstream

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

const commit = "6044da783597cc3b57aef7580ddcdcff58a4ee99"

func at(path, version string) module.Version { return module.Version{Path: path, Version: version} }

// known is what a recipe and upstream's files say of bell 1.2.3.
func known() Known {
	return Known{
		Recipe: &recipes.Recipe{
			Name: "bell", Module: "example.test/bell", Version: "1.2.3", Revision: 1, Commit: commit,
			Released: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Tags: []string{"netgo", "timetzdata"},
			Lock: recipes.Lock{
				Go: "1.26.8", Upstream: "v1.2.3", GoMod: []byte("module palisade/recipes/bell\n\ngo 1.26.0\n"),
				Requires: []module.Version{at("example.test/bell", "v1.2.3"), at("example.test/dep", "v1.1.0"), at("example.test/rope", "v0.3.0"), at("example.test/new", "v0.1.0")},
				Sums: recipes.Sums{
					at("example.test/bell", "v1.2.3"): "h1:bell=", at("example.test/dep", "v1.1.0"): "h1:dep11=",
					at("example.test/rope", "v0.3.0"): "h1:rope=", at("example.test/new", "v0.1.0"): "h1:new=",
				},
			},
			Patched: recipes.Sums{at("example.test/bell", "v1.2.4-0.vanilla.1"): "h1:sealed=", at("example.test/bell", "v1.2.4-0.palisade.1"): "h1:patched=", at("example.test/rope", "v0.3.1-0.vanilla.1"): "h1:sealedrope="},
		},
		Distribution: &recipes.Distribution{Name: "palisade"},
		Platform:     artifact.Platform{OS: "linux", Arch: "amd64"},
		Source: Source{
			Go: "1.26", Toolchain: "1.25.1", Language: "1.25.0", Files: []string{"LICENSE", "bell.yml"},
			Requires: []module.Version{at("example.test/dep", "v1.0.0"), at("example.test/rope", "v0.3.0"), at("example.test/gone", "v0.2.0")},
			Sums: recipes.Sums{
				at("example.test/dep", "v1.0.0"): "h1:dep=", at("example.test/rope", "v0.3.0"): "h1:rope=", at("example.test/gone", "v0.2.0"): "h1:gone=",
			},
			godebugs: map[string]godebug{"strict": {26, "0"}, "ancient": {21, "1"}},
			standard: func(p string) bool { return p != "text/tomorrow" },
		},
	}
}

const (
	promuYML = "go:\n    # Keep it.\n    version: 1.26\nbuild:\n    binaries:\n        - name: bell\n    tags:\n        all:\n            - netgo\n            - extra\n        windows: []\n" +
		"    ldflags: |\n        -X {{.Version}}\ntarball:\n    files:\n        - examples/bell.yml\n        - LICENSE\n"
	sourceMod = "module example.test/bell\n\ngo 1.25.0\n\ntoolchain go1.25.1\n\nrequire (\n\texample.test/dep v1.0.0\n\texample.test/rope v0.3.0 // indirect\n)\n"
	sourceSum = "example.test/dep v1.0.0 h1:dep=\nexample.test/dep v1.0.0/go.mod h1:x=\n"
	goTable   = "var All = []Info{\n\t{Name: \"asynctimerchan\", Package: \"time\", Changed: 23, Old: \"1\"},\n\t{Name: \"execerrdot\", Package: \"os/exec\"},\n" +
		"\t{Name: \"urlstrictcolons\", Package: \"net/url\", Changed: 26, Old: \"0\"},\n}\n"
)

func sourceFiles() (upstream, golang fstest.MapFS) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{".promu.yml": file(promuYML), "go.mod": file(sourceMod), "go.sum": file(sourceSum)},
		fstest.MapFS{godebugTable: file(goTable), "src/text/template/exec.go": file("package template\n")}
}

func TestReadSource(t *testing.T) {
	up, golang := sourceFiles()
	s, err := ReadSource(up, golang, artifact.Platform{OS: "linux", Arch: "amd64"})
	must(t, err)
	if s.Go != "1.26" || s.Toolchain != "1.25.1" || s.Language != "1.25.0" || !slices.Equal(s.Tags, []string{"netgo", "extra"}) || !slices.Equal(s.Files, []string{"bell.yml", "LICENSE"}) {
		t.Errorf("%+v", s)
	}
	if !s.requires(at("example.test/dep", "v1.0.0"), "h1:dep=") || s.requires(at("example.test/dep", "v1.0.0"), "h1:other=") ||
		s.requires(at("example.test/dep", "v1.0.1"), "h1:dep=") || s.requires(at("example.test/rope", "v0.3.0"), "") || !s.names("example.test/rope") || s.names("example.test/x") {
		t.Error("what go.mod and go.sum select is not read as it is meant")
	}
	for line, want := range map[string]map[string]string{
		"1.22.0": {"asynctimerchan": "1", "urlstrictcolons": "0"}, "1.25": {"urlstrictcolons": "0"}, "1.26.1": {}, "2.0": nil, "1": nil, "1.x": nil,
	} {
		if got := s.defaults(line); !maps.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("go %s: %v, want %v", line, got, want)
		}
	}
	if !s.standard("text/template") || s.standard("text/tomorrow") {
		t.Error("the packages of Go are not read")
	}
	if s, err = ReadSource(up, golang, artifact.Platform{OS: "windows", Arch: "amd64"}); err != nil || len(s.Tags) != 0 {
		t.Errorf("windows: %q, %v", s.Tags, err)
	}
	for _, tt := range []struct{ name, file, content, want string }{
		{"no version of Go", ".promu.yml", "build: {}\n", `go.version is ""`},
		{"a version of no Go", ".promu.yml", "go:\n  version: 1.26.x\n", `go.version is "1.26.x"`},
		{"no YAML", ".promu.yml", "\t", ".promu.yml"},
		{"no go line", "go.mod", "module x\n", "no go line"},
		{"no go.mod", "go.mod", "<<<<\n", "go.mod"},
		{"no go.sum", "go.sum", "x\n", "go.sum"},
		{"too large", "go.sum", strings.Repeat("\n", maxSourceFile+1), "larger than any"},
	} {
		up, golang := sourceFiles()
		up[tt.file] = &fstest.MapFile{Data: []byte(tt.content)}
		if _, err := ReadSource(up, golang, artifact.Platform{}); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	golang[godebugTable] = &fstest.MapFile{Data: []byte("var All []Info\n")}
	if _, err := ReadSource(up, golang, artifact.Platform{}); !errors.Is(err, ErrSource) {
		t.Errorf("a table of another form: %v", err)
	}
	if _, err := ReadSource(fstest.MapFS{}, golang, artifact.Platform{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no source: %v", err)
	}
}

// The builder's Go is a release of the version that is asked for, or the one that
// go.mod names.
func TestBuilder(t *testing.T) {
	k := known()
	for goVersion, want := range map[string]bool{
		"go1.26": true, "go1.26.0": true, "go1.26.12": true, "go1.25.1": true, "go1.25.2": false, "go1.27.0": false, "go1.2": false, "go1.260.1": false,
		"devel go1.26-abcdef": false, "go1.26.8 X:nodwarf5": false, "go1.26rc1": false, "": false, "go": false,
	} {
		if k.builder(goVersion) != want {
			t.Errorf("%q: %t", goVersion, !want)
		}
	}
	if k.Source.Toolchain = ""; k.builder("go") {
		t.Error("no toolchain line stands for any Go")
	}
}

func FuzzReadSource(f *testing.F) {
	f.Add(promuYML, sourceMod, sourceSum, goTable)
	f.Add("go: {version: '1.26'}\nbuild: &a {tags: {all: [x]}}\n", "module x\ngo 1.26\n", "", "\t{Name: \"a\", Changed: 99999999999999999999, Old: \"\"},\n")
	f.Fuzz(func(t *testing.T, promu, goMod, goSum, table string) {
		file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
		s, err := ReadSource(fstest.MapFS{".promu.yml": file(promu), "go.mod": file(goMod), "go.sum": file(goSum)}, fstest.MapFS{godebugTable: file(table)}, artifact.Platform{OS: "linux"})
		if err == nil && (!languageForm.MatchString(s.Go) || s.Language == "" || len(s.godebugs) == 0) {
			t.Errorf("%+v", s)
		}
	})
}
