package upstream

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// How promu and how this project have Go compile (promu's cmd/build.go).
const (
	stampsThere = "-X github.com/prometheus/common/version.Version=1.2.3 -X github.com/prometheus/common/version.Revision=non-git " +
		"-X github.com/prometheus/common/version.Branch=non-git -X github.com/prometheus/common/version.BuildUser=root@buildhost " +
		"-X github.com/prometheus/common/version.BuildDate=20261122-10:11:12  -extldflags '-static'"
	stampsHere = "-X github.com/prometheus/common/version.Version=1.2.3-vanilla -X github.com/prometheus/common/version.Revision=6044da783597cc3b57aef7580ddcdcff58a4ee99 " +
		"-X github.com/prometheus/common/version.Branch=v1.2.3 -X github.com/prometheus/common/version.BuildUser=palisade -X github.com/prometheus/common/version.BuildDate=20260102-03:04:05"
)

var sources = map[string]string{
	"go.mod":                    "module example.test/bell\n\ngo 1.26\n\nrequire github.com/prometheus/common v0.70.1\n\nreplace github.com/prometheus/common => ./common\n",
	"common/go.mod":             "module github.com/prometheus/common\n\ngo 1.26\n",
	"common/version.go":         "package common\n",
	"common/version/version.go": "package version\n\nvar Version, Revision, Branch, BuildUser, BuildDate string\n\n//go:noinline\nfunc Print() { println(Version, Revision, Branch, BuildUser, BuildDate) }\n",
	"main.go":                   "package main\n\nimport (\n\t\"embed\"\n\n\t\"github.com/prometheus/common/version\"\n)\n\n//go:embed static\nvar static embed.FS\n\nfunc main() {\n\tversion.Print()\n\tdata, _ := static.ReadFile(\"static/index.html\")\n\tprintln(len(data))\n}\n",
	"static/index.html":         "<p>ding\n",
	"static/about.html":         "<p>dong\n",
}

// build compiles the sources, with changes, and gives the program.
func build(t *testing.T, changes map[string]string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, all := range []map[string]string{sources, changes} {
		for name, content := range all {
			path := filepath.Join(dir, filepath.FromSlash(name))
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", "program"}, args...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOTOOLCHAIN=local", "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "program"))
	must(t, err)
	return string(data)
}

// bellKnown is what is known of the sources, and of the Go that compiles them.
func bellKnown(t *testing.T) Known {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	up, _ := sourceFiles()
	up[".promu.yml"].Data = []byte("go:\n  version: 1.26\ntarball:\n  files: [LICENSE, bell.yml]\n")
	up["go.mod"].Data = []byte("module example.test/bell\n\ngo 1.24\n")
	k := known()
	k.Recipe.Tags = []string{"netgo"}
	k.Source, err = ReadSource(up, os.DirFS(strings.TrimSpace(string(goroot))), k.Platform)
	must(t, err)
	return k
}

// What the go command leaves in programs is read as it is meant: of the ways in
// which the two build nothing is unexplained, and what is planted beside them is.
func TestBuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles programs")
	}
	archive := func(dir, program string) Archive {
		e := entry{tar.Header{Typeflag: tar.TypeReg, Name: dir + "/bell", Mode: 0o755, ModTime: epoch}, program}
		return archiveOf(tarGz(t, append(released(dir), e)...))
	}
	ours := archive(here, build(t, nil, "-trimpath", "-tags=netgo", "-ldflags="+stampsHere))
	known := bellKnown(t)
	ways := []string{
		"build tag netgo: netgo", "folder: variant", "setting -ldflags: ldflags", "setting -trimpath: trimpath", "stamp Branch: stamp",
		"stamp BuildDate: stamp", "stamp BuildUser: stamp", "stamp Revision: checkout", "stamp Version: variant",
	}
	for _, tt := range []struct {
		name    string
		changes map[string]string
		args    []string
		more    []string
	}{
		{"as promu builds", nil, []string{"-ldflags=" + stampsThere}, nil},
		{"stripped of symbols", nil, []string{"-ldflags=" + stampsThere + " -s"}, []string{"-setting -ldflags: ldflags", "setting -ldflags: unexplained"}},
		{"with something else stamped", nil, []string{"-ldflags=" + stampsThere + " -X main.other=1"}, []string{"-setting -ldflags: ldflags", "setting -ldflags: unexplained"}},
		{"with another page", map[string]string{"static/index.html": "<p>bang\n"}, []string{"-ldflags=" + stampsThere}, []string{"embedded file static/index.html: unexplained"}},
		{"with a page more", map[string]string{"static/more.html": "<p>bang\n"}, []string{"-ldflags=" + stampsThere}, []string{"embedded file static/more.html: unexplained"}},
		{"with a page that is packed", map[string]string{"more.go": fmt.Sprintf("package main\n\nvar packed = []byte(%+q)\n\nfunc init() { println(packed[len(packed)-1]) }\n", gzipped(t, "<p>bang\n"))}, []string{"-ldflags=" + stampsThere}, []string{"gzip stream eaad1306c8d6: unexplained"}},
		{"to be loaded", nil, []string{"-ldflags=" + stampsThere, "-buildmode=pie"}, []string{"form: unexplained", "setting -buildmode: unexplained"}},
		{"by a tag", nil, []string{"-ldflags=" + stampsThere, "-tags=loud"}, []string{"build tag loud: unexplained"}},
		{
			"with a package more", map[string]string{"more.go": "package main\n\nimport \"text/tabwriter\"\n\nfunc init() { println(tabwriter.NewWriter(nil, 0, 0, 0, 0, 0)) }\n"}, []string{"-ldflags=" + stampsThere},
			[]string{"package text/tabwriter: unexplained"},
		},
		{"of an older language", map[string]string{"go.mod": "module example.test/bell\n\ngo 1.24\n\nrequire github.com/prometheus/common v0.70.1\n\nreplace github.com/prometheus/common => ./common\n", "common/go.mod": "module github.com/prometheus/common\n\ngo 1.24\n"}, []string{"-ldflags=" + stampsThere}, []string{"setting DefaultGODEBUG: language"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Compare(ours, archive(there, build(t, tt.changes, tt.args...)), known)
			must(t, err)
			want := slices.Clone(ways)
			for _, more := range tt.more {
				if more[0] == '-' {
					want = slices.DeleteFunc(want, func(s string) bool { return s == more[1:] })
					continue
				}
				want = append(want, more)
			}
			slices.Sort(want)
			var got []string
			for _, f := range r.Findings {
				got = append(got, fmt.Sprintf("%s: %s", f.What, f.Reason))
			}
			slices.Sort(got)
			// What a package more brings with it is what it imports.
			if tt.name == "with a package more" {
				got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(want, s) && s[:8] == "package " })
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if len(r.Unseen) > 0 {
				t.Errorf("not seen: %q", r.Unseen)
			}
		})
	}
}

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(content))
	must(t, err)
	must(t, z.Close())
	return packed.String()
}

// Build info that says two things, or that is of no size or form that Go writes, is
// refused before anything of it is believed.
func TestHostileInfo(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program")
	}
	program := build(t, nil, "-trimpath")
	info := strings.Index(program, infoMagic)
	if info < 0 {
		t.Fatal("no build info")
	}
	with := func(at int, b string) string { return program[:at] + b + program[at+len(b):] }
	for _, tt := range []struct {
		name, program string
		want          error
	}{
		{"as it is", program, nil},
		{"a setting twice", strings.ReplaceAll(program, "\tGOOS=linux\n", "\tGOARCH=arm\n"), ErrArchive},
		{"the main module again", strings.ReplaceAll(program, "dep\tgithub.com/prometheus/common\t", "dep\texample.test/bell\tv1.00000000000\t"), ErrArchive},
		{"of an old form", with(info+15, "\x00"), ErrArchive},
		{"larger than any", with(info+infoHeader, "\xff\xff\xff\x7f"), ErrTooLarge},
		{"no build info", strings.ReplaceAll(program, infoMagic, strings.Repeat("x", len(infoMagic))), ErrArchive},
		{"sections that lie elsewhere", with(40, "\xff\xff\xff\xff\xff\xff\xff\x7f"), ErrArchive},
		{"cut off", program[:len(program)/2], ErrArchive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := read([]byte(tt.program), nil); !errors.Is(err, tt.want) || err != nil && tt.want == nil {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// Assets are found packed and as they are, and not where another is; a program that
// is full of what looks like more of them is refused.
func TestAssets(t *testing.T) {
	assets := map[string][]byte{"packed": []byte("page"), "plain": []byte("icon"), "missing": []byte("else")}
	var p program
	must(t, p.find([]byte("x\x1f\x8b\x08"+gzipped(t, "page")+"icon"+gzipped(t, "more")), assets))
	if !p.assets["packed"] || !p.assets["plain"] || p.assets["missing"] || len(p.streams) != 2 {
		t.Errorf("%v, %d streams", p.assets, len(p.streams))
	}
	if err := p.find([]byte(strings.Repeat("\x1f\x8b\x08", maxStarts+1)), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many beginnings: %v", err)
	}
	bomb := gzipped(t, strings.Repeat("\x00", maxStream))
	if err := p.find([]byte(strings.Repeat(bomb, maxUnzipped/maxStream+1)), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("streams that unpack to too much: %v", err)
	}
}

// A program that is none is refused, whatever it says.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte("MZ" + strings.Repeat("\x00", 94)))
	f.Add([]byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01" + strings.Repeat("\x00", 24)))
	f.Add([]byte("\x7fELF" + strings.Repeat("\x00", 60) + infoMagic + "\x00\x02" + strings.Repeat("\x00", 16) + "\xff\xff\xff\xff\x7f"))
	f.Add([]byte("\x7fELF" + infoMagic + "\x08\x00" + strings.Repeat("\x00", 16)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := read(data, map[string][]byte{"a": []byte("page")}); err == nil && (p.info == nil || p.form == "" || p.embedded == nil) {
			t.Errorf("%+v", p)
		}
	})
}
