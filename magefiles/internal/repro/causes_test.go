package repro

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
)

// A packed is a program in what it is released in.
type packed struct {
	program []byte
	mtime   time.Time
	level   int // of gzip
}

// archive holds the program as a release does.
func (p packed) archive(t *testing.T) []byte {
	t.Helper()
	return gzipOf(t, tarOf(t, []planted{
		{"app/LICENSE", strings.Repeat("licence\n", 1000), 0o644, epoch, "", 0},
		{"app/app", string(p.program), 0o755, p.mtime, "", 0},
	}), p.level, nil)
}

// image holds it in the second layer of its second platform.
func (p packed) image(t *testing.T) []byte {
	t.Helper()
	i := picture()
	e := imagetest.File("bin/app", 0o755, string(p.program))
	e.ModTime = p.mtime
	layer := &i.Platforms[1].Layers[1]
	layer.Entries = append(layer.Entries, e)
	layer.Packed = gzipOf(t, imagetest.Tar(layer.Entries...), p.level, nil)
	return i.Build().Tar()
}

// falseFriends is code that holds what looks like marks of a host and is none.
const falseFriends = `
var (
	Routes = []string{"/api/v1/status/flags", "/-/healthy/now", "/metrics/federate"}
	Since  = "2019-06-01"
	Layout = "2006-01-02T15:04:05Z07:00"
)

func init() { println(len(Routes), Since, Layout, "/another/path/of/it", "2021-12-01-preview") }
`

// Every cause is planted in a program or around it, and named: as the only one,
// of the member that it is in, in an archive and in an image alike.
func TestCauses(t *testing.T) {
	b := newBuilder(t)
	plain := program{goos: "linux", dir: "one", dep: "v1.0.0"}
	elsewhere, newer := plain, trimmed
	elsewhere.dir, newer.dep = "two", "v1.0.1"
	page := func(text string, level int) program {
		p := trimmed
		page := "<p>" + text + "\n"
		for i := range 500 {
			page += fmt.Sprintf("<a href=%d>%x</a>\n", i*i%37, i*i)
		}
		p.ui = string(gzipOf(t, []byte(page), level, nil))
		return p
	}
	read := func(p program) []byte {
		data, err := os.ReadFile(b.build(t, p))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	of := func(p program) packed { return packed{read(p), epoch, 6} }
	base := of(trimmed)
	version := runtime.Version()
	next := version[:len(version)-1] + string(version[len(version)-1]^1)

	// What is another program altogether, and has routes and dates of its own.
	other := newer
	other.code = falseFriends
	flipped := packed{flip(t, base.program, ".text"), epoch, 6}
	stamped := func(text string) packed { return of(trimmed.with(stamp(text))) }
	for _, tt := range []struct {
		name string
		a, b packed
		want []Cause
		in   string // below the program
	}{
		{"time stamp", stamped("2026-01-02T03:04:05Z"), stamped("2026-01-02T03:04:06Z"), []Cause{TimeStamp}, " [.rodata] at byte "},
		{"time stamp of the member", base, packed{base.program, epoch.Add(time.Hour), 6}, []Cause{TimeStamp}, ": time stamp: 2025-06-15T15:06:40Z in the first build"},
		{"path", of(plain), of(elsewhere), []Cause{BuildPath}, " [.gopclntab] at byte "},
		{"user", stamped("root@buildhost1"), stamped("root@buildhost2"), []Cause{UserOrHost}, " [.rodata] at byte "},
		{"build id", of(trimmed.with("-ldflags=-buildid=aaaa")), of(trimmed.with("-ldflags=-buildid=bbbb")), []Cause{BuildID}, " [.note.go.buildid] at byte "},
		{"module version", base, of(newer), []Cause{ModuleVersion}, " [build info]: module version: example.test/dep v1.0.0 => ./dep"},
		{"module version with other code", base, of(other), []Cause{ModuleVersion}, " [build info]: module version: example.test/dep v1.0.0 => ./dep"},
		{"toolchain", base, packed{bytes.ReplaceAll(base.program, []byte(version), []byte(next)), epoch, 6}, []Cause{Toolchain}, " [build info]: toolchain: " + version},
		{"setting", base, of(trimmed.with("-tags=netgo")), []Cause{BuildSettings}, " [build info]: build settings: -tags="},
		{"compression", base, packed{base.program, epoch, 1}, []Cause{Compression}, ""},
		{"embedded file", of(page("one", 6)), of(page("two", 6)), []Cause{EmbeddedFile}, `!(embedded) static/index.html.gz!(content) at byte 3: content differs; "<p>one" and "<p>two"`},
		{"time stamp of an embedded file", of(page("2026-01-02T03:04:05Z", 6)), of(page("2026-01-02T03:04:06Z", 6)), []Cause{EmbeddedFile, TimeStamp}, `!(embedded) static/index.html.gz!(content) at byte 21: time stamp: `},
		{"compression of an embedded file", of(page("one", 1)), of(page("one", 9)), []Cause{EmbeddedFile, Compression}, `!(embedded) static/index.html.gz at byte `},
		{"nothing that is known", base, flipped, []Cause{Unknown}, " [.text] at byte "},
		{"module version and a time stamp", stamped("2026-01-02T03:04:05Z"), of(other.with(stamp("2026-01-02T03:04:06Z"))), []Cause{ModuleVersion, TimeStamp}, " [build info]: module version: "},
		{"a user and the time stamp of the member", stamped("root@buildhost1"), packed{stamped("root@buildhost2").program, epoch.Add(time.Hour), 6}, []Cause{UserOrHost, TimeStamp}, " at byte "},
		{"setting and time stamp", stamped("2026-01-02T03:04:05Z"), of(trimmed.with("-tags=netgo", stamp("2026-01-02T03:04:06Z"))), []Cause{BuildSettings, TimeStamp}, " [build info]: build settings: -tags="},
		{"embedded file and module version", of(page("one", 6)), of(func() program { p := page("two", 6); p.dep = "v1.0.1"; return p }()), []Cause{ModuleVersion, EmbeddedFile}, " [build info]: module version: "},
	} {
		for _, in := range []struct {
			name, member string
			make         func(packed, *testing.T) []byte
		}{
			{"app-1.0.0.linux-amd64.tar.gz", "app/app", packed.archive},
			{"app-1.0.0.oci.tar", "linux/arm64 layer 2!bin/app", packed.image},
		} {
			t.Run(tt.name+" "+in.name, func(t *testing.T) {
				a, b := pair(t, in.name, in.make(tt.a, t), in.make(tt.b, t))
				ds, err := Compare(a, b)
				if err != nil {
					t.Fatal(err)
				}
				got := report(t, a, b)
				if tt.in != "" {
					expect(t, got, []string{in.name + "!" + in.member + tt.in}, []string{"member only in"})
				}
				if causes := Causes(ds); !slices.Equal(causes, tt.want) {
					t.Errorf("causes %q, want %q", causes, tt.want)
				}
				for _, d := range ds {
					if tt.in != "" && !strings.HasPrefix(d.Member, in.member) {
						t.Errorf("reported of another place: %s", d)
					}
				}
				if t.Failed() {
					t.Log("\n" + got)
				}
			})
		}
	}
}

// What is between the parts of a report has no say in the causes.
func TestCause(t *testing.T) {
	for why, want := range map[string]Cause{
		"time stamp: \"x\" only in the first build": TimeStamp,
		"build id: nothing but identifiers differs": BuildID,
		"content differs":                      Unknown,
		"time stamp":                           Unknown,
		"\"time stamp: x\" in the first build": Unknown,
		"unknown: x":                           Unknown,
		"owner: 0/0 in the first build":        Owner,
	} {
		if got := (Difference{Why: why}).Cause(); got != want {
			t.Errorf("%s: %q, want %q", why, got, want)
		}
	}
	if got := (Difference{Why: "owner: x", Detail: true}).Cause(); got != "" {
		t.Errorf("a detail has cause %q", got)
	}
	all := []Difference{{Why: "compression: x"}, {Why: "time stamp: x"}, {Why: "y", Detail: true}, {Why: "toolchain: x"}, {Why: "time stamp: y"}, {Why: "other content: x"}}
	if got := Causes(all); !slices.Equal(got, []Cause{Toolchain, TimeStamp, Compression}) {
		t.Errorf("%q", got)
	}
	if got := Causes(append(all, Difference{Why: "y"})); !slices.Equal(got, []Cause{Toolchain, TimeStamp, Compression, Unknown}) {
		t.Errorf("%q", got)
	}
	if got := Causes(all[5:]); !slices.Equal(got, []Cause{OtherContent}) {
		t.Errorf("%q", got)
	}
	for _, sort := range sorts {
		if !slices.Contains(causes, sort.cause) {
			t.Errorf("%s is no cause", sort.cause)
		}
	}
}

// A program may embed programs, or say that it embeds itself, and more than its
// own file holds: past a bound its sections alone are compared.
func TestEmbeddedBounds(t *testing.T) {
	b := newBuilder(t)
	page := func(text string) program { p := trimmed; p.ui = text; return p }
	fileA, fileB := b.build(t, page("one one one one one one")), b.build(t, page("two two two two two two"))
	for _, tt := range []struct {
		bound func(*limits)
		named bool
	}{
		{func(*limits) {}, true}, {func(l *limits) { l.depth = 0 }, false}, {func(l *limits) { l.unpacked = 30 }, false},
	} {
		lim := defaults
		tt.bound(&lim)
		ds, err := compare(fileA, fileB, lim)
		named := slices.ContainsFunc(ds, func(d Difference) bool { return strings.HasPrefix(d.Member, "(embedded) ") })
		if err != nil || len(ds) == 0 || named != tt.named {
			t.Errorf("%v, %v, want an embedded file: %v", ds, err, tt.named)
		}
	}
}

// releases of the same name in two folders, as mage reproduce compares them.
func TestCausesOfFolders(t *testing.T) {
	p := picture()
	holding(bell(&p, 0), "#!/bin/sh\necho 2 amd64\n")
	a, b := pair(t, "bell.oci.tar", picture().Build().Tar(), p.Build().Tar())
	sums := func(file string) {
		data, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(filepath.Dir(file), "SHA256SUMS"), []byte(artifact.DigestBytes(data).Hex()+"  bell.oci.tar\n"), 0o644))
	}
	sums(a)
	sums(b)
	got := report(t, filepath.Dir(a), filepath.Dir(b))
	if ds, err := Compare(filepath.Dir(a), filepath.Dir(b)); err != nil || !slices.Equal(Causes(ds), []Cause{Unknown}) {
		t.Errorf("%q, %v", Causes(ds), err)
	}
	expect(t, got, []string{"SHA256SUMS at byte 0: other content: ", "bell.oci.tar!linux/amd64 layer 2!bin/bell at byte 15"}, nil)
}
