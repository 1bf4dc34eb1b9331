package goprogram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// what is embedded by the test's programs: two tables.
var pages = map[string]string{
	"ui/index.html":   "<!doctype html><title>bell</title>\n",
	"ui/js/app.js":    "console.log('ding')\n",
	"ui/empty.txt":    "",
	"other/words.txt": "ding dong\n",
}

const source = `package main

import (
	"embed"

	"example.test/main/what"
)

var none = "something"

//go:embed ui
var ui embed.FS

//go:embed other/words.txt
var other embed.FS

func main() {
	a, _ := ui.ReadFile("ui/index.html")
	b, _ := other.ReadFile("other/words.txt")
	println(len(a), len(b), what.Stamped, what.Written, none, what.Do())
}
`

const other = `package what

var (
	Stamped = "unset"
	Written = "in the source"
)

//go:noinline
func Do() int { return 7 }
`

func says(t *testing.T, program []byte, goos, dir string, stripped bool) {
	t.Helper()
	r := bytes.NewReader(program)
	stamps, err := Stamps(r, r.Size(), "example.test/main/what.Stamped", "example.test/main/what.Written", "main.none", "main.nothing")
	want := map[string]string{"example.test/main/what.Stamped": "1.2.3", "example.test/main/what.Written": "in the source"}
	if stripped {
		want = map[string]string{}
	}
	if err != nil || !maps.Equal(stamps, want) {
		t.Errorf("stamps %q, %v, want %q", stamps, err, want)
	}
	all, err := Strings(r, r.Size())
	for _, value := range []string{"1.2.3", "in the source"} { // stripped or not
		i := slices.IndexFunc(all, func(s String) bool { return s.Value == value })
		if i < 0 || string(program[all[i].Offset:][:len(value)]) != value {
			t.Errorf("no string %q in %d, %v", value, len(all), err)
		}
	}
	packages, err := Packages(r, r.Size())
	if err != nil {
		t.Error(err)
	}
	roots, err := Roots(r, r.Size())
	if err != nil {
		t.Error(err)
	}
	if stripped && goos == "windows" {
		if packages != nil {
			t.Errorf("packages of nowhere: %v", packages)
		}
		if roots != nil {
			t.Errorf("folders of nowhere: %v", roots)
		}
		return
	}
	for _, name := range []string{"main", "example.test/main/what", "runtime", "embed", "io/fs"} {
		if !slices.ContainsFunc(packages, func(p Package) bool { return p.Path == name && p.Functions > 0 }) {
			t.Errorf("no package %s in %v", name, packages)
		}
	}
	if i := slices.IndexFunc(packages, func(p Package) bool { return p.Path == "example.test/main/what" }); i < 0 || packages[i].Functions != 1 {
		t.Errorf("packages %v, want one function of what", packages)
	}
	// That of the program, in which the package's own is not named, and Go's.
	if goroot := filepath.Join(runtime.GOROOT(), "src"); len(roots) != 2 || !slices.Contains(roots, dir) || !slices.Contains(roots, goroot) {
		t.Errorf("folders %q, want %q and %q", roots, dir, goroot)
	}
	byPath := func(a, b Package) int { return strings.Compare(a.Path, b.Path) }
	if slices.ContainsFunc(packages, func(p Package) bool { return p.Path == "net/http" }) || !slices.IsSortedFunc(packages, byPath) {
		t.Errorf("packages %v", packages)
	}
}

// What the compiler and the linker leave is read, of each format; without symbols
// all but what was stamped, and the packages of PE.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles programs")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.test/main\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "main.go"), source)
	write(t, filepath.Join(dir, "what", "what.go"), other)
	for name, content := range pages {
		write(t, filepath.Join(dir, name), content)
	}
	for _, tt := range []struct{ goos, goarch, ldflags string }{
		{"linux", "amd64", ""}, {"linux", "amd64", "-s -w "}, {"linux", "s390x", ""}, {"linux", "386", ""}, {"darwin", "arm64", ""}, {"windows", "amd64", ""}, {"windows", "amd64", "-s "},
	} {
		t.Run(tt.goos+" "+tt.goarch+" "+tt.ldflags, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "program")
			cmd := exec.Command("go", "build", "-o", out, "-ldflags="+tt.ldflags+"-X example.test/main/what.Stamped=1.2.3 -X main.none=", ".")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+tt.goos, "GOARCH="+tt.goarch, "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOPROXY=off")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, text)
			}
			program, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			want(t, program, pages, 2)
			says(t, program, tt.goos, dir, strings.Contains(tt.ldflags, "-s"))
		})
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, program []byte, files map[string]string, tables int) {
	t.Helper()
	got, err := Files(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, f := range got {
		seen[f.Table] = true
		content, ok := files[f.Name]
		if !ok || string(program[f.Offset:f.Offset+f.Size]) != content {
			t.Errorf("%+v is %q, want %q", f, program[f.Offset:f.Offset+f.Size], content)
		}
	}
	if len(got) != len(files) || len(seen) != tables {
		t.Errorf("%d files in %d tables, want %d in %d: %+v", len(got), len(seen), len(files), tables, got)
	}
}

// A crafted is an ELF file of one segment, with one table at its begin.
type crafted struct {
	class    byte // 1 or 2
	order    binary.AppendByteOrder
	encoding byte
	entries  []entry
	count    int // 0: as many as there are
	header   uint64
}

type entry struct {
	name, content string
	far           bool // the content's address is not one of the file
	length        uint64
}

const base = 0x10000

func (c crafted) build() []byte {
	word := 8
	if c.class == 1 {
		word = 4
	}
	number := func(b []byte, n uint64) []byte {
		if word == 4 {
			return c.order.AppendUint32(b, uint32(n))
		}
		return c.order.AppendUint64(b, n)
	}
	head := 52 + 32
	if word == 8 {
		head = 64 + 56
	}
	count := c.count
	if count == 0 {
		count = len(c.entries)
	}
	var table, text []byte
	textAt := uint64(base + head + 3*word + len(c.entries)*(4*word+16))
	for _, at := range []uint64{uint64(base+head+3*word) + c.header, uint64(count), uint64(count)} {
		table = number(table, at)
	}
	for _, e := range c.entries {
		table = number(table, textAt+uint64(len(text)))
		table = number(table, uint64(len(e.name)))
		text = append(text, e.name...)
		content := textAt + uint64(len(text))
		if e.content == "" {
			content = 0
		}
		if e.far {
			content = 1 << 31
		}
		table = number(table, content)
		table = number(table, uint64(len(e.content))+e.length)
		table = append(table, make([]byte, 16)...)
		text = append(text, e.content...)
	}
	size := uint64(head + len(table) + len(text))
	f := append([]byte("\x7fELF"), c.class, c.encoding, 1)
	f = append(f, make([]byte, 9)...)
	f = c.order.AppendUint16(f, 2)
	f = c.order.AppendUint16(f, 22)
	f = c.order.AppendUint32(f, 1)
	f = number(f, base)
	f = number(f, uint64(head)-map[int]uint64{4: 32, 8: 56}[word])
	f = number(f, 0)
	f = c.order.AppendUint32(f, 0)
	for _, n := range []int{map[int]int{4: 52, 8: 64}[word], map[int]int{4: 32, 8: 56}[word], 1, 0, 0, 0} {
		f = c.order.AppendUint16(f, uint16(n))
	}
	f = c.order.AppendUint32(f, 1) // PT_LOAD
	if word == 8 {
		f = c.order.AppendUint32(f, 4)
	}
	for _, n := range []uint64{0, base, base, size, size} {
		f = number(f, n)
	}
	if word == 4 {
		f = c.order.AppendUint32(f, 4)
	}
	f = number(f, 4096)
	return append(append(f, table...), text...)
}

func sample() crafted {
	return crafted{class: 2, order: binary.LittleEndian, encoding: 1, entries: []entry{
		{name: "ui/"}, {name: "ui/a.html", content: "<p>a"}, {name: "ui/empty"}, {name: "ui/z.js", content: "z()"},
	}}
}

// What is not a table to the last of its entries is none at all.
func TestCrafted(t *testing.T) {
	whole := map[string]string{"ui/a.html": "<p>a", "ui/empty": "", "ui/z.js": "z()"}
	for _, tt := range []struct {
		name   string
		change func(*crafted)
		files  map[string]string
	}{
		{"as it is", func(*crafted) {}, whole},
		{"32 bits", func(c *crafted) { c.class = 1 }, whole},
		{"big endian", func(c *crafted) { c.order, c.encoding = binary.BigEndian, 2 }, whole},
		{"32 bits, big endian", func(c *crafted) { c.class, c.order, c.encoding = 1, binary.BigEndian, 2 }, whole},
		{"the header points elsewhere", func(c *crafted) { c.header = 8 }, nil},
		{"more entries than there are", func(c *crafted) { c.count = 60 }, nil},
		{"more than there may be", func(c *crafted) { c.count = maxFiles + 1 }, nil},
		{"a name that is none of a file", func(c *crafted) { c.entries[1].name = "../a" }, nil},
		{"a name that is absolute", func(c *crafted) { c.entries[1].name = "/a" }, nil},
		{"a name that is empty", func(c *crafted) { c.entries[1].name = "" }, nil},
		{"a name that is too long", func(c *crafted) { c.entries[1].name = string(bytes.Repeat([]byte("a"), maxName+1)) }, nil},
		{"a folder with content", func(c *crafted) { c.entries[0].content = "x" }, nil},
		{"content that is not in the file", func(c *crafted) { c.entries[1].far = true }, nil},
		{"content that ends behind the file", func(c *crafted) { c.entries[3].length = 1 }, nil},
		{"content of every length", func(c *crafted) { c.entries[3].length = 1<<63 - 3 }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sample()
			tt.change(&c)
			tables := 0
			if len(tt.files) > 0 {
				tables = 1
			}
			want(t, c.build(), tt.files, tables)
		})
	}
}

func TestRefused(t *testing.T) {
	for _, data := range []string{"", "\x7fE", "\x7fELF", "MZ and no more", "#!/bin/sh\n", "\xcf\xfa\xed\xfe", sampleHead()} {
		if files, err := Files(bytes.NewReader([]byte(data)), int64(len(data))); !errors.Is(err, ErrProgram) {
			t.Errorf("%q: %v, %v, want ErrProgram", data, files, err)
		}
	}
	many := sample()
	program := many.build()
	program = append(program, make([]byte, -len(program)&7)...) // so that copies begin where words do
	head := 64 + 56
	table := program[head:]
	for range maxTables {
		program = append(program, table...)
	}
	// Each copy speaks of itself: its header and nothing else has to move.
	for i := range maxTables + 1 {
		at := head + i*len(table)
		binary.LittleEndian.PutUint64(program[at:], uint64(base+at+24))
	}
	for _, at := range []int{64 + 32, 64 + 40} {
		binary.LittleEndian.PutUint64(program[at:], uint64(len(program)))
	}
	if files, err := Files(bytes.NewReader(program), int64(len(program))); !errors.Is(err, ErrTooMany) {
		t.Errorf("%d files, %v, want ErrTooMany", len(files), err)
	}
}

func sampleHead() string { return string(sample().build()[:40]) }

// Whatever is found lies in the file, under a name of a file.
func FuzzProgram(f *testing.F) {
	f.Add(sample().build())
	small := sample()
	small.class, small.order, small.encoding = 1, binary.BigEndian, 2
	f.Add(small.build())
	f.Add([]byte("MZ"))
	for _, hostile := range claims {
		f.Add(hostile.data())
	}
	f.Add([]byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Stamps(bytes.NewReader(data), int64(len(data)), "a.b")
		_, _ = Packages(bytes.NewReader(data), int64(len(data)))
		_, _ = Roots(bytes.NewReader(data), int64(len(data)))
		all, err := Strings(bytes.NewReader(data), int64(len(data)))
		for _, s := range all {
			if err != nil || s.Offset < 0 || string(data[s.Offset:][:len(s.Value)]) != s.Value {
				t.Fatalf("%+v of %d bytes, %v", s, len(data), err)
			}
		}
		files, err := Files(bytes.NewReader(data), int64(len(data)))
		if err != nil && len(files) > 0 {
			t.Fatalf("%v and %v", files, err)
		}
		for _, file := range files {
			if file.Name == "" || file.Offset < 0 || file.Size < 0 || file.Offset+file.Size > int64(len(data)) {
				t.Fatalf("%+v of %d bytes", file, len(data))
			}
		}
	})
}
