package repro

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A program is how the test's small program is built: with which arguments,
// for which system, from a directory of which name; ui is what it embeds, if
// anything.
type program struct {
	goos, dir, dep string
	args           []string
	ui             string
	code           string // of the module that it depends on
}

func (p program) with(args ...string) program {
	p.args = append(append([]string{}, p.args...), args...)
	return p
}

var trimmed = program{goos: "linux", dir: "one", dep: "v1.0.0", args: []string{"-trimpath"}}

func (p program) on(goos string) program { p.goos = goos; return p }

// arch is arm64 for darwin, whose executables carry a signature of their pages.
var arch = map[string]string{"linux": "amd64", "darwin": "arm64", "windows": "amd64"}

// builder keeps what it built: the tests share sides.
type builder struct {
	root  string
	built map[string]string
}

var shared builder

func TestMain(m *testing.M) {
	status := m.Run()
	if shared.root != "" {
		os.RemoveAll(shared.root)
	}
	os.Exit(status)
}

func newBuilder(t testing.TB) *builder {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	if shared.root == "" {
		root, err := os.MkdirTemp("", "programs")
		must(t, err)
		shared = builder{root, map[string]string{}}
	}
	return &shared
}

// build compiles the program and gives the path of the executable. It imports
// nothing but a module of its own, so only the runtime is compiled with it.
func (b *builder) build(t testing.TB, p program) string {
	t.Helper()
	id := fmt.Sprintf("%q", p)
	if out := b.built[id]; out != "" {
		return out
	}
	dir := filepath.Join(b.root, p.dir)
	embeds, use := "", ""
	if p.ui != "" {
		embeds, use = "import \"embed\"\n\n//go:embed static\nvar ui embed.FS\n\n", "_, err := ui.ReadFile(\"static/same.txt\"); println(err == nil); "
		write(t, filepath.Join(dir, "static", "index.html.gz"), p.ui)
		write(t, filepath.Join(dir, "static", "same.txt"), "the same in all\n")
	}
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport \"example.test/dep\"\n\n"+embeds+"var stamp = \"unset\"\n\nfunc main() { "+use+"println(stamp, dep.Name) }\n")
	write(t, filepath.Join(dir, "go.mod"), "module example.test/main\n\ngo 1.26\n\nrequire example.test/dep "+p.dep+"\n\nreplace example.test/dep => ./dep\n")
	write(t, filepath.Join(dir, "dep", "dep.go"), "package dep\n\nvar Name = \"dep\"\n"+p.code)
	write(t, filepath.Join(dir, "dep", "go.mod"), "module example.test/dep\n\ngo 1.26\n")
	out := filepath.Join(b.root, fmt.Sprintf("program%d", len(b.built)))
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, p.args...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.goos, "GOARCH="+arch[p.goos], "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOPROXY=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %q: %v\n%s", p, err, text)
	}
	b.built[id] = out
	return out
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// report compares and gives one line for each difference.
func report(t *testing.T, a, b string) string {
	t.Helper()
	ds, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, d := range ds {
		lines.WriteString(d.String() + "\n")
	}
	return lines.String()
}

// expect holds that each of want, and none of not, is in the report.
func expect(t *testing.T, got string, want, not []string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(got, s) {
			t.Errorf("no %q in:\n%s", s, got)
		}
	}
	for _, s := range not {
		if strings.Contains(got, s) {
			t.Errorf("%q should not be in:\n%s", s, got)
		}
	}
}

func stamp(s string) string { return "-ldflags=-X=main.stamp=" + s }

func TestExecutables(t *testing.T) {
	b := newBuilder(t)
	two := trimmed
	two.dir = "two"
	newer := trimmed
	newer.dep = "v1.0.1"
	one := program{goos: "linux", dir: "one", dep: "v1.0.0"}
	other := one
	other.dir = "two"
	tests := []struct {
		name      string
		a, b      program
		want, not []string
	}{
		{
			"paths trimmed, two directories", trimmed, two,
			nil, []string{"at byte", "differ"},
		},
		{
			"paths not trimmed, two directories", one, other,
			[]string{"[.gopclntab] at byte ", "build path: compiled from \"", "/one\" only in the first build, ", "/two\" only in the second build"},
			[]string{"time stamp", "user or host name", "build id: nothing", "toolchain"},
		},
		{
			"paths trimmed on one side", trimmed, one,
			[]string{"build path: compiled from ", "only in the second build", "[build info]: build settings: -trimpath=true in the first build, (none) in the second"},
			[]string{"only in the first build", "build id: nothing"},
		},
		{
			"stamped with a time", trimmed.with(stamp("2026-01-02T03:04:05Z")), trimmed.with(stamp("2026-01-02T03:04:06Z")),
			[]string{`time stamp: "2026-01-02T03:04:05Z" in the first build, "2026-01-02T03:04:06Z" in the second` + "\n", "[.rodata] at byte"},
			[]string{"build path", "user or host name", "build id: nothing"},
		},
		{
			"stamped with seconds", trimmed.with(stamp("1767322445")), trimmed.with(stamp("1767322446")),
			[]string{`time stamp: "1767322445" in the first build, "1767322446" in the second`},
			[]string{"build path", "user or host name", "build id: nothing"},
		},
		{
			"stamped with a user and host", trimmed.with(stamp("root@buildhost1")), trimmed.with(stamp("root@buildhost2")),
			[]string{"user or host name:", "root@buildhost1", "root@buildhost2"},
			[]string{"build path", "time stamp", "build id: nothing"},
		},
		{
			"another Go build id", trimmed.with("-ldflags=-buildid=aaaa"), trimmed.with("-ldflags=-buildid=bbbb"),
			[]string{"build id: nothing but identifiers differs", ".note.go.buildid", `"aaaa" in the first build, "bbbb" in the second`},
			[]string{"build path", "[.text]", "[.rodata]"},
		},
		{
			"another module version", trimmed, newer,
			[]string{"[build info]: module version: example.test/dep v1.0.0 => ./dep (devel) in the first build, example.test/dep v1.0.1"},
			[]string{"build path", "toolchain", "build id: nothing"},
		},
		{
			"another setting", trimmed, trimmed.with("-tags=netgo"),
			[]string{"[build info]: build settings: -tags=(none) in the first build, netgo in the second"},
			[]string{"build path", "toolchain", "build id: nothing"},
		},
		{
			"stripped", trimmed, trimmed.with("-ldflags=-s"),
			[]string{"[.symtab] at byte", "section only in the first build"},
			[]string{"build path", "toolchain"},
		},
		{
			"other systems", trimmed, trimmed.on("windows"),
			[]string{"kind of file: ELF in the first build, PE in the second"}, nil,
		},
		{
			"Mach-O stamped", trimmed.on("darwin").with(stamp("2026-01-02T03:04:05Z")), trimmed.on("darwin").with(stamp("2026-01-02T03:04:06Z")),
			[]string{"time stamp:", "[__TEXT,__rodata] at byte", "[Go build id] at byte", `"2026-01-02T03:04:05Z`},
			[]string{"build path", "build id: nothing", "[__TEXT,__text]"},
		},
		{
			"Mach-O, another Go build id", trimmed.on("darwin").with("-ldflags=-buildid=aaaa"), trimmed.on("darwin").with("-ldflags=-buildid=bbbb"),
			[]string{"build id: nothing but identifiers differs", `"aaaa" in the first build, "bbbb" in the second`},
			[]string{"[__TEXT,__text]"},
		},
		{
			"PE stamped", trimmed.on("windows").with(stamp("2026-01-02T03:04:05Z")), trimmed.on("windows").with(stamp("2026-01-02T03:04:06Z")),
			[]string{"time stamp:", "[.rdata] at byte", "[Go build id] at byte", `"2026-01-02T03:04:05Z`},
			[]string{"build path", "build id: nothing", "[.text]"},
		},
		{
			"PE, another Go build id", trimmed.on("windows").with("-ldflags=-buildid=aaaa"), trimmed.on("windows").with("-ldflags=-buildid=bbbb"),
			[]string{"build id: nothing but identifiers differs", `"aaaa" in the first build, "bbbb" in the second`},
			[]string{"[.text]"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := report(t, b.build(t, tt.a), b.build(t, tt.b))
			t.Log("\n" + got)
			if (got == "") != (tt.want == nil) {
				t.Errorf("report is %q", got)
			}
			expect(t, got, tt.want, tt.not)
		})
	}
}

// What no compiler here would make is planted in the bytes.
func TestPatchedExecutables(t *testing.T) {
	b := newBuilder(t)
	for _, goos := range []string{"linux", "darwin", "windows"} {
		path := b.build(t, trimmed.on(goos))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k := bytesContent(whole).kind()
		rs, err := regions(bytesContent(whole), k)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(goos+" every byte has its section", func(t *testing.T) {
			at := int64(0)
			for _, r := range rs {
				if r.off != at || r.size <= 0 {
					t.Fatalf("%s begins at %d, not %d", r.name, r.off, at)
				}
				at += r.size
			}
			if at != int64(len(whole)) {
				t.Fatalf("sections end at %d of %d", at, len(whole))
			}
		})
		for _, r := range rs {
			changed := bytes.Clone(whole)
			at := r.off + r.size/2
			changed[at] ^= 0x01
			t.Run(goos+" "+r.name, func(t *testing.T) {
				other := filepath.Join(t.TempDir(), filepath.Base(path))
				if err := os.WriteFile(other, changed, 0o755); err != nil {
					t.Fatal(err)
				}
				got := report(t, path, other)
				expect(t, got, []string{fmt.Sprintf(" at byte %d: ", at)}, nil)
				isID := slices.Contains([]string{"Go build id", "LC_UUID", ".note.go.buildid", ".note.gnu.build-id"}, r.name)
				if strings.Contains(got, "build id: nothing") != isID {
					t.Errorf("a change in %s is reported as\n%s", r.name, got)
				}
			})
		}
		t.Run(goos+" toolchain", func(t *testing.T) {
			version := runtime.Version()
			next := version[:len(version)-1] + string(version[len(version)-1]^1)
			changed := bytes.ReplaceAll(whole, []byte(version), []byte(next))
			other := filepath.Join(t.TempDir(), filepath.Base(path))
			if err := os.WriteFile(other, changed, 0o755); err != nil {
				t.Fatal(err)
			}
			expect(t, report(t, path, other), []string{"[build info]: toolchain: " + version + " in the first build, " + next + " in the second"}, []string{"build id: nothing"})
		})
		t.Run(goos+" cut off", func(t *testing.T) {
			other := filepath.Join(t.TempDir(), filepath.Base(path))
			if err := os.WriteFile(other, whole[:len(whole)/2], 0o755); err != nil {
				t.Fatal(err)
			}
			if got := report(t, path, other); got == "" {
				t.Error("half an executable equals the whole")
			}
		})
	}
}
