package patches

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"palisade/attestations/artifact"
)

const header = `Description: what
 why
Forwarded: no
Drop-When: never
Variants: hardened
`

const oneDiff = `
diff --git a/f b/f
--- a/f
+++ b/f
@@ -1 +1 @@
-a
+b
`

// series is a file system that holds patches of m v1.0.0 and their series.
func series(patches ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	var index strings.Builder
	for i, text := range patches {
		name := string(rune('1'+i)) + "-x.patch"
		fsys["m/v1.0.0/000"+name] = &fstest.MapFile{Data: []byte(text)}
		index.WriteString("000" + name + "\n")
	}
	fsys["m/v1.0.0/series"] = &fstest.MapFile{Data: []byte(index.String())}
	return fsys
}

func TestLoad(t *testing.T) {
	text := `Variants: vanilla,
  hardened
Forwarded: https://example.org/1
Description: what
 why
 .
 and more
Drop-When: upstream does
 it

` + oneDiff[1:]
	s, err := Load(series(text, header+oneDiff), "m", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Patches) != 2 || s.Module != "m" || s.Version != "v1.0.0" {
		t.Fatalf("series is %+v", s)
	}
	p := s.Patches[0]
	if p.Name != "m/v1.0.0/0001-x.patch" || p.Digest != artifact.DigestBytes([]byte(text)) {
		t.Errorf("patch is %s %s", p.Name, p.Digest)
	}
	h := p.Header
	if h.Description != "what\nwhy\n\nand more" || h.Summary() != "what" || h.Forwarded != "https://example.org/1" ||
		h.DropWhen != "upstream does\nit" || strings.Join(h.Variants, " ") != "hardened vanilla" {
		t.Errorf("header is %+v", h)
	}
	for variant, want := range map[string]int{"hardened": 2, "vanilla": 1, "fips": 0} {
		some := s.For(variant, "")
		if len(some.Patches) != want || some.Module != "m" || some.Version != "v1.0.0" {
			t.Errorf("for %s the series is %+v", variant, some)
		}
	}
}

// A patch that is there for one kind of web interface comes with no other.
func TestLoadInterface(t *testing.T) {
	s, err := Load(series("Interface: bundle\n"+header+oneDiff), "m", "v1.0.0")
	if err != nil || s.Patches[0].Header.Interface != "bundle" {
		t.Fatalf("got %+v, %v", s, err)
	}
	for kind, want := range map[string]int{"bundle": 1, "elm": 0, "": 0} {
		if got := len(s.For("hardened", kind).Patches); got != want {
			t.Errorf("with %q there are %d patches, want %d", kind, got, want)
		}
	}
	for _, field := range []string{"Interface: \n", "Interface: Bundle\n", "Interface: bundle, elm\n", "Interface: bundle\nInterface: elm\n"} {
		if _, err := Load(series(field+header+oneDiff), "m", "v1.0.0"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", field, err)
		}
	}
}

func TestLoadWithoutFolder(t *testing.T) {
	s, err := Load(series(header+oneDiff), "m", "v1.0.1")
	if err != nil || len(s.Patches) != 0 || s.Module != "m" || s.Version != "v1.0.1" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestLoadRefusesNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "m/v1.0.0", "../m", `m\v`, "/m"} {
		if _, err := Load(series(header+oneDiff), name, "v1.0.0"); !errors.Is(err, ErrMalformed) {
			t.Errorf("module %q: %v", name, err)
		}
		if _, err := Load(series(header+oneDiff), "m", name); !errors.Is(err, ErrMalformed) {
			t.Errorf("version %q: %v", name, err)
		}
	}
}

func TestLoadBounds(t *testing.T) {
	long := strings.Repeat("# a long comment\n", MaxSeriesSize/16)
	many := strings.Builder{}
	for range MaxFiles + 1 {
		many.WriteString(strings.ReplaceAll(oneDiff[1:], "/f", "/f"+strings.Repeat("x", many.Len()%7)))
	}
	for name, tt := range map[string]struct {
		change func(fstest.MapFS)
		want   string
	}{
		"series": {func(m fstest.MapFS) { m["m/v1.0.0/series"].Data = []byte(long) }, "series is larger"},
		"patch": {func(m fstest.MapFS) {
			m["m/v1.0.0/0001-x.patch"].Data = append([]byte(header+oneDiff), make([]byte, MaxPatchSize)...)
		}, "0001-x.patch is larger"},
		"header": {func(m fstest.MapFS) {
			m["m/v1.0.0/0001-x.patch"].Data = []byte(header + strings.Repeat(" more\n", MaxHeaderSize/6) + oneDiff)
		}, `in the first 16384 bytes`},
		"files":   {func(m fstest.MapFS) { m["m/v1.0.0/0001-x.patch"].Data = []byte(header + "\n" + many.String()) }, "changes 1001 files"},
		"symlink": {func(m fstest.MapFS) { m["m/v1.0.0/0001-x.patch"].Mode = fs.ModeDir }, "0001-x.patch is not a regular file"},
		"zero": {func(m fstest.MapFS) {
			m["m/v1.0.0/0001-x.patch"].Data = []byte(header + strings.Replace(oneDiff, "+b", "+\x00", 1))
		}, "0001-x.patch:12: holds a zero byte"},
		"number": {func(m fstest.MapFS) {
			m["m/v1.0.0/series"].Data = []byte("0001-x.patch\n0001-y.patch\n")
			m["m/v1.0.0/0001-y.patch"] = m["m/v1.0.0/0001-x.patch"]
		}, "series:2: 0001-y.patch stands behind 0001-x.patch"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := series(header + oneDiff)
			tt.change(fsys)
			_, err := Load(fsys, "m", "v1.0.0")
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseSeries(t *testing.T) {
	var many strings.Builder
	for i := range MaxPatches + 1 {
		fmt.Fprintf(&many, "%04d-x.patch\n", i+1)
	}
	for _, tt := range []struct{ text, want string }{
		{"# why\n\n0001-a.patch\n#0002-b.patch\n0010-c.1_d.patch", "0001-a.patch 0010-c.1_d.patch"},
		{"0002-a.patch\n0001-b.patch\n", "s:2: 0001-b.patch stands behind 0002-a.patch"},
		{"0001-a.patch\n0001-a.patch\n", "s:2:"},
		{"0001-a.patch -p1\n", `s:1: "0001-a.patch -p1" is not`},
		{"0001-a.patch # why\n", "s:1:"},
		{"0001-a.patch\r\n", "s:1:"},
		{" 0001-a.patch\n", "s:1:"},
		{"a.patch\n", "s:1:"},
		{"0001-A.patch\n", "s:1:"},
		{"0001-a/../b.patch\n", "s:1:"},
		{"../0001-a.patch\n", "s:1:"},
		{"# nothing\n", "names no patch"},
		{"", "names no patch"},
		{many.String(), "s:1000: more than 999 patches"},
	} {
		names, err := parseSeries("s", []byte(tt.text))
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: %v", tt.text, err)
			}
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown", "Forwarded:", "Origin: here\nForwarded:", `p:3: unknown header field "Origin"`},
		{"case", "Drop-When:", "Drop-when:", `p:4: unknown header field "Drop-when"`},
		{"prose", "Forwarded:", "This changes it\nForwarded:", `p:3: unknown header field "This changes it"`},
		{"missing", "Forwarded: no\n", "", "p:1: header field Forwarded is missing"},
		{"doubled", "Drop-When", "Forwarded", "p:4: header field Forwarded is there twice"},
		{"empty", "Forwarded: no", "Forwarded: ", "p:3: header field Forwarded is empty"},
		{"no why", " why\n", "", "Description does not say why"},
		{"empty continuation", " why", " ", "p:2: empty continuation line"},
		{"stray continuation", "Description", " stray\nDescription", "p:1: continuation line without a field"},
		{"text behind", "hardened\n", "hardened\n\nmore\n", `p:7: header ends at an empty line: want "diff --git ", found "more"`},
		{"continuation behind", "hardened\n", "hardened\n\n, vanilla\n", "p:7: header ends"},
		{"variant unknown", "hardened", "hardened, fips", `unknown variant "fips"`},
		{"variant twice", "hardened", "hardened, hardened", "variant hardened is there twice"},
		{"variant missing", "hardened", "vanilla", "hardened is not among them"},
		{"variant trailing comma", "hardened", "hardened,", `unknown variant ""`},
		{"carriage return", "Forwarded: no", "Forwarded: no\r", "p:3: header holds a control character"},
		{"encoding", "why", "wh\xff", "p:2: header holds a control character or is not UTF-8"},
		{"traditional diff", "diff --git a/f b/f\n", "", `p:7: header ends at an empty line: want "diff --git ", found "--- a/f"`},
		{"no diff", oneDiff, "", `p:6: no line begins with "diff --git "`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := parseHeader("p", []byte(strings.Replace(header+oneDiff, tt.old, tt.new, 1)))
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestShipped holds every series that is shipped to the format, and to being
// found by its name.
func TestShipped(t *testing.T) {
	shipped, err := All(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(shipped) == 0 {
		t.Fatal("no series found")
	}
	for _, s := range shipped {
		for _, p := range s.Patches {
			if path.Dir(p.Name) != s.Module+"/"+s.Version {
				t.Errorf("%s is in series %s/%s", p.Name, s.Module, s.Version)
			}
			if n := len(p.Header.Summary()); n > 72 {
				t.Errorf("%s: summary has %d bytes, want at most 72", p.Name, n)
			}
		}
	}
}

func TestAllRefusesStrayFiles(t *testing.T) {
	fsys := series(header + oneDiff)
	fsys["m/notes"] = &fstest.MapFile{}
	if _, err := All(fsys); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "m/notes is not a version's folder") {
		t.Error(err)
	}
	delete(fsys, "m/notes")
	fsys["testdata/x/series"] = &fstest.MapFile{}
	fsys["patches.go"] = &fstest.MapFile{}
	if all, err := All(fsys); err != nil || len(all) != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
}
