package goprogram

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// Bounds of the strings of one program. Prometheus has some thirty thousand.
const (
	maxStrings = 1 << 18
	maxString  = 4096      // bytes of one that is read
	maxLooked  = 256 << 20 // bytes that are looked at in vain or not
)

// A String is the value that a variable of a program holds before it runs, or a
// part of one.
type String struct {
	Offset int64 // of its text in the program's file
	Value  string
}

// Strings are those that variables of a program of that size hold before it runs,
// in the order of the variables: printable ones of 4096 bytes at most. What the
// linker stamps is among them, symbols or not, and strings that source code has for
// variables; those that code alone mentions are not. A number that happens to be
// the address of text, before one that happens to be a length, may be among them.
func Strings(r io.ReaderAt, size int64) ([]String, error) {
	return guarded(r, size, (*program).strings)
}

func (p *program) strings() ([]String, error) {
	var all []String
	left := int64(maxLooked)
	for _, s := range p.segments {
		if !s.writable {
			continue
		}
		err := p.words(s, 2, func(_ uint64, words []byte) error {
			length := p.number(words[p.word:])
			if length == 0 || length > maxString {
				return nil
			}
			offset, ok := p.at(p.number(words), int64(length))
			if !ok {
				return nil
			}
			if left -= int64(length); left < 0 || len(all) == maxStrings {
				return fmt.Errorf("%w: more than %d strings or %d bytes of them", ErrTooMany, maxStrings, maxLooked)
			}
			if value, ok := p.text(p.number(words), length, maxString); ok && legible(value) {
				all = append(all, String{offset, value})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func legible(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
