package repro

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// flip changes one bit in the middle of a section.
func flip(t *testing.T, program []byte, section string) []byte {
	t.Helper()
	rs, err := regions(bytesContent(program), bytesContent(program).kind())
	must(t, err)
	i := slices.IndexFunc(rs, func(r region) bool { return r.name == section })
	if i < 0 {
		t.Fatalf("no section %s", section)
	}
	changed := bytes.Clone(program)
	changed[rs[i].off+rs[i].size/2] ^= 1
	return changed
}

// Whatever system a program is for, what is planted in it is named, and that alone.
// Its build info is on one side, where there is some: without -trimpath it holds
// what the linker was told.
func TestPlanted(t *testing.T) {
	b := newBuilder(t)
	dir := func(p program, name string) program { p.dir = name; return p }
	plain := program{dir: "one", dep: "v1.0.0"}
	newer := trimmed
	newer.dep, newer.code = "v1.0.1", falseFriends
	friends := trimmed
	friends.code = strings.NewReplacer("flags", "rules", "healthy", "ready", "2019-06-01", "2018-05-01").Replace(falseFriends)
	same := func(data []byte) []byte { return data }
	text := map[string]string{"linux": ".text", "darwin": "__TEXT,__text", "windows": ".text"}
	at := func(s string) program { return trimmed.with(stamp(s)) }
	for _, tt := range []struct {
		name   string
		a, b   program
		change func(*testing.T, string, []byte) []byte
		want   []Cause
		only   string // for one system alone; "" for all
	}{
		{"nothing", trimmed, dir(trimmed, "two"), nil, nil, ""},
		{"a time stamp", at("2026-01-02T03:04:05Z"), at("2026-01-02T03:04:06Z"), nil, []Cause{TimeStamp}, ""},
		{"a time stamp of promu's form", at("20260102-03:04:05"), at("20260102-03:05:05"), nil, []Cause{TimeStamp}, "linux"},
		{"a time stamp of date's form", trimmed.with("-ldflags=-X 'main.stamp=Fri Jan  2 03:04:05 UTC 2026'"), trimmed.with("-ldflags=-X 'main.stamp=Sat Jan 10 13:14:15 UTC 2026'"), nil, []Cause{TimeStamp}, "linux"},
		{"seconds", at("1767322445"), at("1767322446"), nil, []Cause{TimeStamp}, "linux"},
		{"a time stamp that build info holds too", plain.with(stamp("2026-01-02T03:04:05Z")), plain.with(stamp("2026-01-02T03:04:06Z")), nil, []Cause{TimeStamp}, "linux"},
		{"a folder", plain, dir(plain, "two"), nil, []Cause{BuildPath}, ""},
		{"a folder whose name is longer", plain, dir(plain, "another"), nil, []Cause{BuildPath}, "linux"},
		{"a folder in what the linker was told", at("/home/one/src"), at("/home/two/src"), nil, []Cause{BuildPath}, "linux"},
		{"paths of one side alone", trimmed, plain, nil, []Cause{BuildSettings, BuildPath}, "linux"},
		{"a user and host", at("root@buildhost1"), at("root@buildhost22"), nil, []Cause{UserOrHost}, ""},
		{"a revision", at("0123456789012345678901234567890123456789"), at("0123456789012345678901234567890123456780"), nil, []Cause{Source}, "linux"},
		{"a build id", trimmed.with("-ldflags=-buildid=aaaa"), trimmed.with("-ldflags=-buildid=bbbb"), nil, []Cause{BuildID}, ""},
		{"a module's version", friends, newer, nil, []Cause{ModuleVersion}, ""},
		{"another setting", trimmed, trimmed.with("-tags=netgo"), nil, []Cause{BuildSettings}, "linux"},
		{"the toolchain", trimmed, trimmed, func(_ *testing.T, _ string, data []byte) []byte {
			version := runtime.Version()
			return bytes.ReplaceAll(data, []byte(version), []byte(version[:len(version)-1]+string(version[len(version)-1]^1)))
		}, []Cause{Toolchain}, ""},
		{"a bit of the code", trimmed, trimmed, func(t *testing.T, goos string, data []byte) []byte { return flip(t, data, text[goos]) }, []Cause{Unknown}, ""},
		{"other code", friends, friends.with("-ldflags=-X=example.test/dep.Name=another"), nil, []Cause{Unknown}, "linux"},
		{"a time stamp, and a bit of the code", at("2026-01-02T03:04:05Z"), at("2026-01-02T03:04:06Z"), func(t *testing.T, goos string, data []byte) []byte { return flip(t, data, text[goos]) }, []Cause{TimeStamp, Unknown}, ""},
		{"a time stamp and a folder", plain.with("-ldflags=-X=main.stamp=2026-01-02T03:04:05Z"), dir(plain, "two").with("-ldflags=-X=main.stamp=2026-01-02T03:04:06Z"), nil, []Cause{BuildPath, TimeStamp}, ""},
		{"a user and a time stamp", trimmed.with("-ldflags=-X=main.stamp=root@buildhost1 -X=example.test/dep.Name=2026-01-02"), trimmed.with("-ldflags=-X=main.stamp=root@buildhost2 -X=example.test/dep.Name=2026-01-03"), nil, []Cause{UserOrHost, TimeStamp}, "linux"},
		{"a module's version and a folder", plain, func() program { p := dir(plain, "two"); p.dep = "v1.0.1"; return p }(), nil, []Cause{ModuleVersion, BuildPath}, "linux"},
		{"the time stamp of PE", trimmed, trimmed, func(t *testing.T, _ string, data []byte) []byte { return flip(t, data, peTimeStamp) }, []Cause{TimeStamp}, "windows"},
	} {
		for _, goos := range []string{"linux", "darwin", "windows"} {
			if tt.only != "" && tt.only != goos {
				continue
			}
			t.Run(tt.name+" "+goos, func(t *testing.T) {
				first, err := os.ReadFile(b.build(t, tt.a.on(goos)))
				must(t, err)
				second, err := os.ReadFile(b.build(t, tt.b.on(goos)))
				must(t, err)
				change := tt.change
				if change == nil {
					change = func(_ *testing.T, _ string, data []byte) []byte { return same(data) }
				}
				x, y := pair(t, "program", first, change(t, goos, second))
				ds, err := Compare(x, y)
				if err != nil || !slices.Equal(Causes(ds), tt.want) {
					t.Errorf("%q, %v, want %q:\n%s", Causes(ds), err, tt.want, report(t, x, y))
				}
				// Told from the other side it is the same.
				if ds, err := Compare(y, x); err != nil || !slices.Equal(Causes(ds), tt.want) {
					t.Errorf("the other way about: %q, %v, want %q", Causes(ds), err, tt.want)
				}
			})
		}
	}
}
