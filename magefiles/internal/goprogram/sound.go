package goprogram

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// The debug packages of the standard library copy each name that a symbol or a
// section points at, however often and however far it reaches, and keep every
// relocation: a file of some megabytes can have them ask for terabytes. A program
// of ours has some forty sections, no relocation, and symbols whose names have a
// tenth of the bytes of its code.
const (
	maxSections     = 4096
	maxSectionNames = 1 << 16 // bytes of the table of them
	maxCommands     = 1 << 20 // bytes of what Mach-O has to be loaded with
	maxRelocations  = 1 << 16
	maxSymbolName   = 1 << 15 // bytes
	maxSymbolNames  = 256 << 20
	maxSymbolTable  = 512 << 20 // bytes of the symbols, and as many of their names
)

// Sound reports whether a file of one of the three formats can be given to the
// debug packages, and to debug/buildinfo, without their asking for more memory
// than a small multiple of it. ErrProgram and ErrTooMany are why not. It does not
// say that they can read it.
func Sound(r io.ReaderAt, size int64) error {
	h := headers{r, size, binary.LittleEndian}
	magic, err := h.read(0, 4)
	if err != nil {
		return err
	}
	switch {
	case string(magic) == elf.ELFMAG:
		return h.elf()
	case string(magic[:2]) == "MZ":
		return h.pe()
	}
	return h.macho(magic)
}

// headers reads what stands in those of a file.
type headers struct {
	io.ReaderAt
	size  int64
	order binary.ByteOrder
}

func (h headers) read(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > h.size || n > h.size-at {
		return nil, fmt.Errorf("%w: it ends before its headers do", ErrProgram)
	}
	b := make([]byte, n)
	if _, err := h.ReadAt(b, at); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading a program: %w", err)
	}
	return b, nil
}

func tooMany(n int64, what string, most int64) error {
	return fmt.Errorf("%w: %d %s, of %d at most", ErrTooMany, n, what, most)
}

// elf bounds sections and the table of their names (System V ABI, chapter 4).
func (h headers) elf() error {
	head, err := h.read(0, 64)
	if err != nil {
		if head, err = h.read(0, 52); err != nil {
			return err
		}
	}
	wide := head[4] == 2
	if head[5] == 2 {
		h.order = binary.BigEndian
	}
	if wide && len(head) < 64 {
		return fmt.Errorf("%w: it ends before its headers do", ErrProgram)
	}
	table, counts, nameSize, entry := int64(h.order.Uint32(head[32:])), head[46:52], int64(20), int64(40)
	if wide {
		table, counts, nameSize, entry = int64(h.order.Uint64(head[40:])), head[58:64], 32, 64
	}
	entrySize, n, names := int64(h.order.Uint16(counts)), int64(h.order.Uint16(counts[2:])), int64(h.order.Uint16(counts[4:]))
	switch {
	case table == 0 && n == 0:
		return nil
	case n == 0: // more of them than 16 bits can say
		return tooMany(1<<16, "sections or more", maxSections)
	case n > maxSections:
		return tooMany(n, "sections", maxSections)
	case names >= n:
		return nil // has no names, or is refused by who reads it
	}
	section, err := h.read(table+names*entrySize, entry)
	if err != nil {
		return err
	}
	length, flags := int64(h.order.Uint32(section[nameSize:])), uint64(h.order.Uint32(section[8:]))
	if wide {
		length, flags = int64(h.order.Uint64(section[nameSize:])), h.order.Uint64(section[8:])
	}
	if flags&uint64(elf.SHF_COMPRESSED) != 0 {
		return fmt.Errorf("%w: its names of sections are compressed", ErrProgram)
	}
	if length < 0 || length > maxSectionNames {
		return tooMany(length, "bytes of names of sections", maxSectionNames)
	}
	return nil
}

// Load commands of Mach-O (mach-o/loader.h) of which each tells of a table.
const (
	lcSegment   = 0x1
	lcSymbols   = 0x2
	lcDynamic   = 0xb
	lcSegment64 = 0x19
)

// macho bounds the commands, relocations, and the symbols and their names.
func (h headers) macho(magic []byte) error {
	word := int64(8)
	switch string(magic) {
	case "\xcf\xfa\xed\xfe":
	case "\xce\xfa\xed\xfe":
		word = 4
	case "\xfe\xed\xfa\xcf":
		h.order = binary.BigEndian
	case "\xfe\xed\xfa\xce":
		h.order, word = binary.BigEndian, 4
	default:
		return fmt.Errorf("%w: it begins with none of their marks", ErrProgram)
	}
	head, err := h.read(0, 24+word) // with four reserved bytes, of 64 bits
	if err != nil {
		return err
	}
	count, length := int64(h.order.Uint32(head[16:])), int64(h.order.Uint32(head[20:]))
	if length > maxCommands {
		return tooMany(length, "bytes of load commands", maxCommands)
	}
	at := int64(28)
	if word == 8 {
		at = 32
	}
	commands, err := h.read(at, length)
	if err != nil {
		return err
	}
	tables, relocations := map[uint32]bool{}, int64(0)
	for ; count > 0 && len(commands) >= 8; count-- {
		kind, size := h.order.Uint32(commands), int64(h.order.Uint32(commands[4:]))
		if size < 8 || size > int64(len(commands)) {
			return fmt.Errorf("%w: a load command of %d bytes", ErrProgram, size)
		}
		command := commands[:size]
		commands = commands[size:]
		switch kind {
		case lcSegment, lcSegment64:
			first, each, where := 56, 68, 48
			if kind == lcSegment64 {
				first, each, where = 72, 80, 56
			}
			for ; first+each <= len(command); first += each {
				relocations += int64(h.order.Uint32(command[first+where+4:]))
			}
		case lcSymbols, lcDynamic:
			if tables[kind] {
				return tooMany(2, "tables of symbols", 1)
			}
			tables[kind] = true
			if kind == lcSymbols && len(command) >= 24 {
				of := func(i int) int64 { return int64(h.order.Uint32(command[8+4*i:])) }
				err := h.names(of(0), of(1), 8+word, of(2), of(3), func(symbol []byte) (uint32, bool) { return h.order.Uint32(symbol), true })
				if err != nil {
					return err
				}
			}
		}
	}
	if relocations > maxRelocations {
		return tooMany(relocations, "relocations", maxRelocations)
	}
	return nil
}

// pe bounds sections, relocations, and the symbols and their names (PE Format,
// "COFF File Header" and what follows it).
func (h headers) pe() error {
	at, err := h.read(0x3c, 4)
	if err != nil {
		return err
	}
	begin := int64(h.order.Uint32(at)) + 4
	head, err := h.read(begin, 20)
	if err != nil {
		return err
	}
	n := int64(h.order.Uint16(head[2:]))
	symbols, count, optional := int64(h.order.Uint32(head[8:])), int64(h.order.Uint32(head[12:])), int64(h.order.Uint16(head[16:]))
	if n > maxSections {
		return tooMany(n, "sections", maxSections)
	}
	sections, err := h.read(begin+20+optional, 40*n)
	if err != nil {
		return err
	}
	relocations := int64(0)
	for ; len(sections) > 0; sections = sections[40:] {
		relocations += int64(h.order.Uint16(sections[32:]))
	}
	if relocations > maxRelocations {
		return tooMany(relocations, "relocations", maxRelocations)
	}
	if symbols == 0 {
		return nil
	}
	names := symbols + 18*count
	length, err := h.read(names, 4)
	if err != nil {
		return err
	}
	// A section has its name from the same table, as /123: there are few of them,
	// and each has that of some symbol, or one that is as long as the table.
	total := int64(h.order.Uint32(length))
	if n*total > maxSymbolNames {
		if longest, err := h.longest(names, total); err != nil || n*longest > maxSymbolNames {
			return tooMany(n*longest, "bytes of names of sections", maxSymbolNames)
		}
	}
	return h.names(symbols, count, 18, names, total, func(symbol []byte) (uint32, bool) {
		return h.order.Uint32(symbol[4:]), h.order.Uint32(symbol) == 0
	})
}

// names bounds what the names of symbols come to, each from where it says to the
// next NUL.
func (h headers) names(symbols, count, each, names, length int64, at func([]byte) (uint32, bool)) error {
	if count*each > maxSymbolTable || length > maxSymbolTable {
		return tooMany(max(count*each, length), "bytes of symbols", maxSymbolTable)
	}
	table, err := h.read(names, length)
	if err != nil {
		return err
	}
	left := int64(maxSymbolNames)
	const chunk = 1 << 12
	for from := int64(0); from < count; from += chunk {
		some, err := h.read(symbols+from*each, min(chunk, count-from)*each)
		if err != nil {
			return err
		}
		for ; len(some) > 0; some = some[each:] {
			offset, named := at(some)
			if !named || int64(offset) >= length {
				continue
			}
			reach := table[offset:min(length, int64(offset)+maxSymbolName)]
			n := bytes.IndexByte(reach, 0)
			if n < 0 {
				n = len(reach)
			}
			if n == maxSymbolName {
				return tooMany(maxSymbolName, "bytes of the name of a symbol or more", maxSymbolName)
			}
			if left -= int64(n); left < 0 {
				return tooMany(maxSymbolNames, "bytes of names of symbols or more", maxSymbolNames)
			}
		}
	}
	return nil
}

// longest is the length of the longest name in a table.
func (h headers) longest(at, length int64) (longest int64, err error) {
	if length > maxSymbolTable {
		return length, nil
	}
	table, err := h.read(at, length)
	for len(table) > 0 {
		n := bytes.IndexByte(table, 0)
		if n < 0 {
			return max(longest, int64(len(table))), err
		}
		longest, table = max(longest, int64(n)), table[n+1:]
	}
	return longest, err
}
