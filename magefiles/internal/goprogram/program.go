// Package goprogram reads what a Go program says of itself beyond its build info:
// the files that it embeds by embed.FS, with their names (Files); the strings that
// the linker stamped into it (Stamps), and all that its variables begin with
// (Strings); the packages of which it holds code (Packages), and the folders from
// which that was compiled (Roots). It reads the program's own file, of ELF, Mach-O or PE, and runs
// nothing. What it names is there.
//
// It finds nothing, rather than guess, where a program does not say: addresses that
// are written down only when it is loaded, as some linkers of C leave them; symbols
// that are stripped; a file that is embedded as a string, which has no name, or in
// tables of other makers, such as vfsgen's. It refuses (ErrProgram) what is none of
// the three formats, and (ErrTooMany) more than a program of ours could hold, so
// that its work and its memory are bounded whatever a file claims; Sound says as
// much of a file to whoever reads it with the debug packages.
package goprogram

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Why a file is refused.
var (
	ErrProgram = errors.New("no program in a format that is read")
	ErrTooMany = errors.New("more in a program than is read")
)

// maxSegments is how many pieces of a program are loaded at most.
const maxSegments = 4096

// guarded has do read a program. The debug packages do not promise to withstand a
// hostile file: where one of them gives up the error wraps ErrProgram.
func guarded[T any](r io.ReaderAt, size int64, do func(*program) (T, error)) (found T, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			var none T
			found, err = none, fmt.Errorf("%w: %v", ErrProgram, failed)
		}
	}()
	p, err := read(r, size)
	if err != nil {
		return found, err
	}
	return do(p)
}

// A program is what has to be known of one to follow its addresses.
type program struct {
	io.ReaderAt
	word     int64 // bytes
	order    binary.ByteOrder
	segments []segment // with bytes in the file, by address
	symbols  func(see func(name string, address uint64)) error
	lines    segment // the table of functions and lines; empty where only symbols tell where it is
	looked   int     // entries of what could be tables of embedded files
}

// A segment is a stretch of the file that is loaded.
type segment struct {
	address      uint64
	offset, size int64
	writable     bool // when it is loaded: it holds variables
}

func read(r io.ReaderAt, size int64) (*program, error) {
	if err := Sound(r, size); err != nil {
		return nil, err
	}
	p := &program{ReaderAt: r, order: binary.LittleEndian, word: 8}
	magic := make([]byte, 4)
	if _, err := r.ReadAt(magic, 0); err != nil {
		return nil, fmt.Errorf("%w: it has no four bytes", ErrProgram)
	}
	var err error
	switch {
	case string(magic) == elf.ELFMAG:
		err = p.elf()
	case string(magic[:2]) == "MZ":
		err = p.pe()
	default:
		err = p.macho()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	if len(p.segments) > maxSegments {
		return nil, fmt.Errorf("%w: it has %d segments", ErrProgram, len(p.segments))
	}
	total := int64(0)
	for i, s := range p.segments {
		p.segments[i].offset = min(max(s.offset, 0), size)
		p.segments[i].size = min(max(s.size, 0), size-p.segments[i].offset)
		total += p.segments[i].size
	}
	if total > 2*size { // each is searched
		return nil, fmt.Errorf("%w: its segments lie over one another", ErrProgram)
	}
	slices.SortFunc(p.segments, func(a, b segment) int { return cmp.Compare(a.address, b.address) })
	return p, nil
}

func (p *program) elf() error {
	f, err := elf.NewFile(p)
	if err != nil {
		return err
	}
	if f.Class == elf.ELFCLASS32 {
		p.word = 4
	}
	p.order = f.ByteOrder
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD {
			p.segments = append(p.segments, segment{s.Vaddr, int64(s.Off), int64(s.Filesz), s.Flags&elf.PF_W != 0})
		}
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_PROGBITS && (s.Name == ".gopclntab" || s.Name == ".data.rel.ro.gopclntab") {
			p.lines = segment{address: s.Addr, offset: int64(s.Offset), size: int64(s.FileSize)}
		}
	}
	p.symbols = func(see func(string, uint64)) error { return p.elfSymbols(f, see) }
	return nil
}

// elfSymbols reads the symbols, which elf.File.Symbols would with as many bytes of
// names as they claim to have.
func (p *program) elfSymbols(f *elf.File, see func(string, uint64)) error {
	i := slices.IndexFunc(f.Sections, func(s *elf.Section) bool { return s.Type == elf.SHT_SYMTAB })
	if i < 0 || int64(f.Sections[i].Link) >= int64(len(f.Sections)) {
		return nil
	}
	table, names := f.Sections[i], f.Sections[f.Sections[i].Link]
	each, value := int64(24), 8
	if p.word == 4 {
		each, value = 16, 4
	}
	if table.FileSize > maxSymbolTable || names.FileSize > maxSymbolTable {
		return tooMany(int64(max(table.FileSize, names.FileSize)), "bytes of symbols", maxSymbolTable)
	}
	text, err := io.ReadAll(io.NewSectionReader(p, int64(names.Offset), int64(names.FileSize)))
	if err != nil {
		return err
	}
	in := bufio.NewReader(io.NewSectionReader(p, int64(table.Offset), int64(table.FileSize)))
	for symbol := make([]byte, each); ; {
		if _, err := io.ReadFull(in, symbol); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
		at := min(int64(p.order.Uint32(symbol)), int64(len(text)))
		name, _, ended := bytes.Cut(text[at:min(int64(len(text)), at+maxName)], []byte{0})
		if ended {
			see(string(name), p.number(symbol[value:]))
		}
	}
}

// protWrite is VM_PROT_WRITE of mach/vm_prot.h.
const protWrite = 2

func (p *program) macho() error {
	f, err := macho.NewFile(p)
	if err != nil {
		return err
	}
	if f.Magic == macho.Magic32 {
		p.word = 4
	}
	p.order = f.ByteOrder
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok {
			p.segments = append(p.segments, segment{s.Addr, int64(s.Offset), int64(s.Filesz), s.Prot&protWrite != 0})
		}
	}
	if s := f.Section("__gopclntab"); s != nil {
		p.lines = segment{address: s.Addr, offset: int64(s.Offset), size: int64(s.Size)}
	}
	p.symbols = func(see func(string, uint64)) error {
		if f.Symtab != nil {
			for _, s := range f.Symtab.Syms {
				see(s.Name, s.Value)
			}
		}
		return nil
	}
	return nil
}

func (p *program) pe() error {
	f, err := pe.NewFile(p)
	if err != nil {
		return err
	}
	var base uint64
	switch h := f.OptionalHeader.(type) {
	case *pe.OptionalHeader64:
		base = h.ImageBase
	case *pe.OptionalHeader32:
		base, p.word = uint64(h.ImageBase), 4
	default:
		return errors.New("it does not say where it is loaded")
	}
	for _, s := range f.Sections {
		p.segments = append(p.segments, segment{base + uint64(s.VirtualAddress), int64(s.Offset), int64(min(s.Size, s.VirtualSize)), s.Characteristics&pe.IMAGE_SCN_MEM_WRITE != 0})
	}
	p.symbols = func(see func(string, uint64)) error {
		for _, s := range f.Symbols {
			if n := int(s.SectionNumber); n > 0 && n <= len(f.Sections) {
				see(s.Name, base+uint64(f.Sections[n-1].VirtualAddress)+uint64(s.Value))
			}
		}
		return nil
	}
	return nil
}

// at is where n bytes that are loaded at an address lie in the file.
func (p *program) at(address uint64, n int64) (offset int64, ok bool) {
	i, found := slices.BinarySearchFunc(p.segments, address, func(s segment, a uint64) int { return cmp.Compare(s.address, a) })
	if !found {
		i--
	}
	if i < 0 {
		return 0, false
	}
	s := p.segments[i]
	into := address - s.address
	if into > uint64(s.size) || n < 0 || n > s.size-int64(into) {
		return 0, false
	}
	return s.offset + int64(into), true
}

func (p *program) number(b []byte) uint64 {
	if p.word == 4 {
		return uint64(p.order.Uint32(b))
	}
	return p.order.Uint64(b)
}
