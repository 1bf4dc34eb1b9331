package goprogram

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// The table of an embed.FS is, as the compiler's staticdata.WriteEmbed lays it
// out, for words of the program's size and byte order: a slice of entries, which
// begins behind its own header
//
//	address of the first entry, number of entries, the same number again
//
// and for each entry
//
//	address of the name, its length, address of the content, its length, 16 bytes of hash
//
// where the name of a folder ends in a slash and its content is empty. That a
// word holds the address of what lies three words behind it, and that every name
// is one of a file, is how a table is known, without symbols.

// Bounds of one program. Prometheus embeds some dozen files.
const (
	maxTables   = 256
	maxFiles    = 1 << 16 // of all tables
	maxLookedAt = 1 << 18 // entries, of what turned out to be none of a table too
	maxName     = 1024    // bytes
)

// A File is one that is embedded, folders left out.
type File struct {
	Table  int    // which table of the program holds it, from 0, in the order of their addresses
	Name   string // as embed has it, with slashes
	Offset int64  // of its content in the program's file; 0 if it is empty
	Size   int64  // bytes
}

// Files lists what the program of that size embeds, table by table, each in the
// compiler's order.
func Files(r io.ReaderAt, size int64) ([]File, error) { return guarded(r, size, (*program).files) }

func (p *program) files() ([]File, error) {
	var all []File
	tables := 0
	for _, s := range p.segments {
		err := p.headers(s, func(address, count uint64) error {
			found, ok := p.entries(address, count, tables)
			if p.looked > maxLookedAt {
				return fmt.Errorf("%w: more than %d entries of tables of files", ErrTooMany, maxLookedAt)
			}
			if !ok {
				return nil
			}
			if tables++; tables > maxTables || len(all)+len(found) > maxFiles {
				return fmt.Errorf("%w: more than %d tables or %d files", ErrTooMany, maxTables, maxFiles)
			}
			all = append(all, found...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// headers calls see for what could be the header of a table's slice: with the
// address behind it, and how many entries there are to be.
func (p *program) headers(s segment, see func(address, count uint64) error) error {
	return p.words(s, 3, func(address uint64, words []byte) error {
		behind, count := address+uint64(3*p.word), p.number(words[p.word:])
		if p.number(words) != behind || count == 0 || count > maxFiles || p.number(words[2*p.word:]) != count {
			return nil
		}
		return see(behind, count)
	})
}

// words calls see for each n words of a segment that follow one another.
func (p *program) words(s segment, n int64, see func(address uint64, words []byte) error) error {
	const chunk = 1 << 18
	length := n * p.word
	buf := make([]byte, chunk+length)
	// What the linker lays out has an address that is a multiple of the word.
	first := int64(-s.address & uint64(p.word-1))
	for from := first; from+length <= s.size; from += chunk {
		got, err := p.ReadAt(buf[:min(int64(len(buf)), s.size-from)], s.offset+from)
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading a program: %w", err)
		}
		for i := int64(0); i < chunk && i+length <= int64(got); i += p.word {
			if err := see(s.address+uint64(from+i), buf[i:i+length]); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries reads count of them, if that is what lies at an address.
func (p *program) entries(address, count uint64, table int) ([]File, bool) {
	entry := 4*p.word + 16
	offset, ok := p.at(address, int64(count)*entry)
	if !ok {
		return nil, false
	}
	var files []File
	buf := make([]byte, entry)
	for i := range int64(count) {
		// What looks like a table to its last entry may lie in another such.
		if p.looked++; p.looked > maxLookedAt {
			return nil, false
		}
		if _, err := p.ReadAt(buf, offset+i*entry); err != nil {
			return nil, false
		}
		name, ok := p.text(p.number(buf), p.number(buf[p.word:]), maxName)
		content, size := p.number(buf[2*p.word:]), p.number(buf[3*p.word:])
		path, folder := strings.CutSuffix(name, "/")
		switch {
		case !ok || !fs.ValidPath(path):
			return nil, false
		case folder:
			if size != 0 {
				return nil, false
			}
		case size == 0:
			files = append(files, File{Table: table, Name: name})
		default:
			at, ok := p.at(content, int64(min(size, 1<<62)))
			if !ok {
				return nil, false
			}
			files = append(files, File{table, name, at, int64(size)})
		}
	}
	return files, true
}

// text reads a string that is not empty and no longer than max.
func (p *program) text(address, length, max uint64) (string, bool) {
	if length == 0 || length > max {
		return "", false
	}
	offset, ok := p.at(address, int64(length))
	if !ok {
		return "", false
	}
	buf := make([]byte, length)
	if _, err := p.ReadAt(buf, offset); err != nil {
		return "", false
	}
	return string(buf), true
}
