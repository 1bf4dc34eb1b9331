package goprogram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// put writes numbers of 16, 32 or 64 bits, in the order of little ends.
func put(numbers ...any) []byte {
	var b bytes.Buffer
	for _, n := range numbers {
		if err := binary.Write(&b, binary.LittleEndian, n); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func zeros(n int) []byte { return make([]byte, n) }

// elfHead is an ELF file's header, of which the table of n sections begins behind
// it and has their names in its first.
func elfHead(n uint16) []byte {
	return put([]byte("\x7fELF\x02\x01\x01"), zeros(9), uint16(2), uint16(62), uint32(1), uint64(0), uint64(0), uint64(64), uint32(0),
		uint16(64), uint16(56), uint16(0), uint16(64), n, uint16(0))
}

// section is a header of one whose bytes are at an offset.
func section(kind uint32, flags, at, size uint64) []byte {
	return put(uint32(0), kind, flags, uint64(0), at, size, uint32(0), uint32(0), uint64(1), uint64(0))
}

// machoOf is a Mach-O file of those load commands.
func machoOf(commands ...[]byte) []byte {
	all := bytes.Join(commands, nil)
	return put(uint32(0xfeedfacf), uint32(0x01000007), uint32(3), uint32(2), uint32(len(commands)), uint32(len(all)), uint32(0), uint32(0), all)
}

func symtab(symbols, count, names, length uint32) []byte {
	return put(uint32(lcSymbols), uint32(24), symbols, count, names, length)
}

// peOf is a PE file, whose header is at 64.
func peOf(sections uint16, symbols, count uint32) []byte {
	return put([]byte("MZ"), zeros(58), uint32(64), []byte("PE\x00\x00"), uint16(0x8664), sections, uint32(0), symbols, count, uint16(0), uint16(0))
}

// claims are files that make more of themselves than they are. To the debug
// packages each but the last two is worth gigabytes.
var claims = []struct {
	name string
	data func() []byte
	want error
	why  string
}{
	{"ELF, sections", func() []byte { return elfHead(0xffff) }, ErrTooMany, "65535 sections"},
	{"ELF, more sections than its header can say", func() []byte { return append(elfHead(0), section(0, 0, 0, 1<<40)...) }, ErrTooMany, "65536 sections or more"},
	{"ELF, names of sections", func() []byte { return append(elfHead(1), section(3, 0, 128, 1<<20)...) }, ErrTooMany, "names of sections"},
	{"ELF, compressed names of sections", func() []byte { return append(elfHead(1), section(3, 0x800, 128, 100)...) }, ErrProgram, "compressed"},
	{"Mach-O, load commands", func() []byte {
		return put(uint32(0xfeedfacf), zeros(12), uint32(1<<20), uint32(1<<24), zeros(8))
	}, ErrTooMany, "load commands"},
	{"Mach-O, a command of no bytes", func() []byte { return machoOf(put(uint32(0x2), uint32(0))) }, ErrProgram, "0 bytes"},
	{"Mach-O, relocations", func() []byte {
		return machoOf(put(uint32(lcSegment64), uint32(72+80), zeros(56), uint32(1), uint32(0), zeros(56), uint32(0), uint32(1<<30), zeros(16)))
	}, ErrTooMany, "relocations"},
	{"Mach-O, names of symbols that have no end", func() []byte {
		at := uint32(32 + 24)
		return append(machoOf(symtab(at, 4, at+64, 1<<20)), append(zeros(64), bytes.Repeat([]byte{'a'}, 1<<20)...)...)
	}, ErrTooMany, "the name of a symbol"},
	{"Mach-O, one long name of every symbol", func() []byte {
		at, n, length := uint32(32+24), uint32(1<<14), uint32(maxSymbolName)
		names := append(bytes.Repeat([]byte{'a'}, maxSymbolName-1), 0)
		return append(machoOf(symtab(at, n, at+16*n, length)), append(zeros(int(16*n)), names...)...)
	}, ErrTooMany, "bytes of names of symbols"},
	{"Mach-O, two tables of symbols", func() []byte {
		at := uint32(32 + 48)
		return machoOf(symtab(at, 0, at, 0), symtab(at, 0, at, 0))
	}, ErrTooMany, "2 tables"},
	{"PE, sections", func() []byte { return peOf(0xffff, 0, 0) }, ErrTooMany, "65535 sections"},
	{"PE, relocations", func() []byte {
		one := put(zeros(32), uint16(0xffff), zeros(6))
		return append(peOf(2, 0, 0), append(one, one...)...)
	}, ErrTooMany, "relocations"},
	{"PE, one long name of every section", func() []byte {
		head := peOf(maxSections, 88+40*maxSections, 0)
		return append(head, append(zeros(40*maxSections), append(put(uint32(4+1<<17)), bytes.Repeat([]byte{'a'}, 1<<17)...)...)...)
	}, ErrTooMany, "names of sections"},
	{"PE, one long name of every symbol", func() []byte {
		n := uint32(1 << 14)
		symbols := bytes.Repeat(put(uint32(0), uint32(4), zeros(10)), int(n))
		names := append(bytes.Repeat([]byte{'a'}, maxSymbolName-1), 0)
		return bytes.Join([][]byte{peOf(0, 88, n), symbols, put(uint32(4 + len(names))), names}, nil)
	}, ErrTooMany, "bytes of names of symbols"},
	{"PE, symbols that are not there", func() []byte { return peOf(0, 88, 1<<20) }, ErrProgram, "ends before"},
	{"none of them", func() []byte { return []byte("#!/bin/sh\nexit\n") }, ErrProgram, "none of their marks"},
}

func TestSound(t *testing.T) {
	for _, tt := range claims {
		t.Run(tt.name, func(t *testing.T) {
			data := tt.data()
			err := Sound(bytes.NewReader(data), int64(len(data)))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want %v: %s", err, tt.want, tt.why)
			}
			if _, err := Files(bytes.NewReader(data), int64(len(data))); !errors.Is(err, tt.want) {
				t.Errorf("files of it: %v", err)
			}
		})
	}
	for _, c := range []crafted{sample(), {class: 1, order: binary.BigEndian, encoding: 2, entries: sample().entries}} {
		data := c.build()
		if err := Sound(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("a sound one: %v", err)
		}
	}
}

// Segments that lie over one another, and tables within tables, would be searched
// again and again.
func TestSearchedOnce(t *testing.T) {
	over := sample().build()
	binary.LittleEndian.PutUint16(over[56:], 3) // program headers, of which there are three now
	over = append(over[:64:64], append(bytes.Repeat(over[64:64+56], 3), over[64+56:]...)...)
	if files, err := Files(bytes.NewReader(over), int64(len(over))); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "over one another") {
		t.Errorf("%v, %v", files, err)
	}
	// In each entry the size and the hash are the header of a table that begins
	// behind it, and goes on to where there is none.
	const n, room = 3000, 512 << 10
	head := 64 + 56
	data := sample().build()[:head]
	header := func(behind int) []byte { return put(uint64(base+behind), uint64(n), uint64(n)) }
	data = append(data, header(head+24)...)
	for range n {
		data = append(data, put(uint64(base+1), uint64(3), uint64(base))...) // a file called ELF
		data = append(data, header(len(data)+24)...)
	}
	data = append(data, zeros(room-len(data))...)
	for _, at := range []int{64 + 32, 64 + 40} { // the segment's size
		binary.LittleEndian.PutUint64(data[at:], room)
	}
	if files, err := Files(bytes.NewReader(data), room); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "entries of tables") {
		t.Errorf("%d files, %v, want ErrTooMany", len(files), err)
	}
}

// lines is a table of functions as Go 1.20 lays it out, of one function whose name
// is at an offset, and of one file.
func lines(change func(fields []uint64)) []byte {
	const head = 8 + 8*8
	names, files := "a/b.F\x00", "/src/a/b/b.go\x00"
	fields := []uint64{1, 1, 0, head, head + 6, head + 6, head + 6 + 14, head + 6 + 14, 8, 0}
	change(fields)
	table := put(uint32(fields[9])+lines120, uint16(0), uint8(1), uint8(8), fields[:8], []byte(names), []byte(files))
	// One entry, the end of them, and what the entry points at.
	return append(table, put(uint32(0), uint32(fields[8]+4), uint32(0), uint32(0), int32(0))...)
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(fields []uint64)
		want   error
	}{
		{"as it is", func([]uint64) {}, nil},
		{"of another form", func(f []uint64) { f[9] = 1 }, ErrProgram},
		{"no functions", func(f []uint64) { f[0] = 0 }, ErrProgram},
		{"more functions than there are", func(f []uint64) { f[0] = 100 }, ErrProgram},
		{"functions without end", func(f []uint64) { f[0] = maxFunctions + 1 }, ErrTooMany},
		{"files without end", func(f []uint64) { f[1] = maxSources + 1 }, ErrTooMany},
		{"more files than there are", func(f []uint64) { f[1] = 2 }, ErrProgram},
		{"parts in another order", func(f []uint64) { f[3], f[5] = f[5], f[3] }, ErrProgram},
		{"a part behind its end", func(f []uint64) { f[7] = 1 << 40 }, ErrProgram},
		{"a function behind its end", func(f []uint64) { f[8] = 1 << 20 }, ErrProgram},
		{"a name without end", func(f []uint64) { f[4]--; f[5]-- }, ErrProgram},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := lines(tt.change)
			p := &program{ReaderAt: bytes.NewReader(data), order: binary.LittleEndian, word: 8, lines: segment{size: int64(len(data))}}
			roots, unrooted := p.roots()
			packages, uncounted := p.packages()
			if err := errors.Join(unrooted, uncounted); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if unrooted == nil && (len(roots) != 1 || roots[0] != "/src") || uncounted == nil && (len(packages) != 1 || packages[0] != (Package{"a/b", 1})) {
				t.Errorf("%q, %v", roots, packages)
			}
		})
	}
}

func TestRootOf(t *testing.T) {
	suffixes := map[string]bool{}
	for _, path := range []string{"runtime", "github.com/Azure/sdk/core", "example.test/main/b/c", "c"} {
		addSuffixes(suffixes, path)
	}
	for folder, want := range map[string]string{
		"/usr/local/go/src/runtime":                              "/usr/local/go/src",
		"/root/go/pkg/mod/github.com/!azure/sdk@v1.2.3/core":     "/root/go/pkg/mod",
		"/work/vendor/github.com/Azure/sdk/core":                 "/work/vendor",
		"/work/b/c":                                              "/work",
		"/work/cmd/beacon":                                       "/work/cmd/beacon",
		"C:/Users/builder/go/pkg/mod/github.com/!azure/sdk/core": "C:/Users/builder/go/pkg/mod",
		"/tmp/go-build1/b001":                                    "/tmp/go-build1/b001",
	} {
		if got := rootOf(folder, suffixes); got != want {
			t.Errorf("%s: %q, want %q", folder, got, want)
		}
	}
}

func TestPackageOf(t *testing.T) {
	since, before := &lineTable{since120: true}, &lineTable{}
	for name, want := range map[string]string{
		"main.main": "main", "net/http.(*Server).Serve": "net/http", "gopkg.in/yaml%2ev3.Marshal": "gopkg.in/yaml%2ev3",
		"a/b.F[go.shape.struct { c/d.x int }]": "a/b", "a/b.(*T[c/d.E]).M.func1": "a/b", "type:.eq.a/b.T": "", "go:buildid": "", "memequal": "",
	} {
		if got := since.packageOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"type..eq.a/b.T": "", "go.buildid": "", "main.main": "main"} {
		if got := before.packageOf(name); got != want {
			t.Errorf("before Go 1.20, %s: %q, want %q", name, got, want)
		}
	}
}
