package goprogram

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxStamp is how long what the linker stamped may be, in bytes.
const maxStamp = 4096

// Stamps are the values of those string variables, called "path.Name", that a
// program of that size holds before it runs: what the linker was told by -X, or
// what the source has. One whose symbol is stripped, or that has no value, is left
// out.
func Stamps(r io.ReaderAt, size int64, names ...string) (map[string]string, error) {
	return guarded(r, size, func(p *program) (map[string]string, error) {
		at, err := p.find(names...)
		if err != nil {
			return nil, err
		}
		found := map[string]string{}
		for name, address := range at {
			header := make([]byte, 2*p.word)
			offset, ok := p.at(address, int64(len(header)))
			if !ok {
				continue
			}
			if _, err := p.ReadAt(header, offset); err != nil {
				return nil, fmt.Errorf("reading a program: %w", err)
			}
			if s, ok := p.text(p.number(header), p.number(header[p.word:]), maxStamp); ok {
				found[name] = s
			}
		}
		return found, nil
	})
}

// find is where symbols of those names lie. Some linkers put a line before a name.
func (p *program) find(names ...string) (map[string]uint64, error) {
	found := map[string]uint64{}
	err := p.symbols(func(name string, address uint64) {
		if name = strings.TrimPrefix(name, "_"); slices.Contains(names, name) {
			found[name] = address
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: reading its symbols: %w", ErrProgram, err)
	}
	return found, nil
}

// functions is the table of them, or nil.
func (p *program) functions() ([]byte, error) {
	where := p.lines
	if where.size == 0 {
		const begin, end = "runtime.pclntab", "runtime.epclntab"
		found, err := p.find(begin, end)
		if err != nil {
			return nil, err
		}
		offset, ok := p.at(found[begin], int64(found[end]-found[begin]))
		if !ok || found[begin] == 0 {
			return nil, nil
		}
		where = segment{address: found[begin], offset: offset, size: int64(found[end] - found[begin])}
	}
	if where.size < 0 || where.size > maxLines {
		return nil, fmt.Errorf("%w: a table of functions of %d bytes", ErrTooMany, where.size)
	}
	data, err := io.ReadAll(io.NewSectionReader(p, where.offset, where.size))
	if err != nil {
		return nil, fmt.Errorf("reading a program: %w", err)
	}
	return data, nil
}
