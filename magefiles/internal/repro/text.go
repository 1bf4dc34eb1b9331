package repro

import (
	"bufio"
	"errors"
	"hash/maphash"
	"io"
)

// Bounds of how a text is taken apart.
const (
	longestPiece = 1 << 16 // bytes
	maxPaired    = 1 << 12 // pieces of one side that the other has not
)

var errPieces = errors.New("too many pieces to compare one by one")

// pieces calls see for each piece of a: up to and with the end of a line, a NUL or
// a semicolon, which ends much that machines write into one line.
func (c *comparison) pieces(a content, see func(at int64, text []byte) error) error {
	in := bufio.NewReaderSize(a.reader(), 1<<16)
	var (
		text []byte
		at   int64
		n    int
	)
	for {
		b, err := in.ReadByte()
		if err != nil && err != io.EOF {
			return err
		}
		if err == nil {
			text = append(text, b)
			if b != '\n' && b != 0 && b != ';' && len(text) < longestPiece {
				continue
			}
		}
		if len(text) > 0 {
			if n++; n > c.lim.pieces {
				return errPieces
			}
			if err := see(at, text); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		at, text = at+int64(len(text)), text[:0]
	}
}

// unpaired are the pieces that one side has more often than the other.
func (c *comparison) unpaired(a, b content) (onlyA, onlyB []piece, err error) {
	seed := maphash.MakeSeed()
	balance := map[uint64]int32{}
	count := func(by int32) func(int64, []byte) error {
		return func(_ int64, text []byte) error {
			sum := maphash.Bytes(seed, text)
			if balance[sum] += by; balance[sum] == 0 {
				delete(balance, sum)
			}
			return nil
		}
	}
	if err := errors.Join(c.pieces(a, count(1)), c.pieces(b, count(-1))); err != nil {
		return nil, nil, err
	}
	keep := func(all *[]piece, sign int32) func(int64, []byte) error {
		return func(at int64, text []byte) error {
			if sum := maphash.Bytes(seed, text); balance[sum]*sign > 0 {
				if len(*all) == maxPaired {
					return errPieces
				}
				balance[sum] -= sign
				*all = append(*all, piece{string(text), at})
			}
			return nil
		}
	}
	err = errors.Join(c.pieces(a, keep(&onlyA, 1)), c.pieces(b, keep(&onlyB, -1)))
	return onlyA, onlyB, err
}

// plain reports a difference that only the bytes themselves can explain: with a
// cause where marks of that are all that differs in some piece, and without for
// the pieces of which that is not so.
func (c *comparison) plain(p place, a, b content, first int64) {
	otherwise := func(at, in int64) {
		c.add(p.at("", at, "%s%s", sizes("content differs", a.size, b.size), excerpts(a, b, at, in)))
	}
	if a.size > c.lim.member || b.size > c.lim.member {
		otherwise(first, first)
		return
	}
	onlyA, onlyB, err := c.unpaired(a, b)
	if err != nil {
		otherwise(first, first)
		return
	}
	if len(onlyA)+len(onlyB) == 0 {
		c.add(p.at("", first, "%s: the lines are the same in both%s", Order, excerpts(a, b, first, first)))
		return
	}
	found, restA, restB := pairUp(onlyA, onlyB)
	for _, f := range found {
		c.add(p.at("", f.at, "%s", f))
	}
	switch {
	case len(found) == 0:
		otherwise(first, first)
	case len(restA) > 0 && len(restB) > 0:
		same, _ := firstDifference(bytesContent([]byte(restA[0].text)), bytesContent([]byte(restB[0].text)))
		otherwise(restA[0].at+same, restB[0].at+same)
	case len(restA) > 0:
		c.add(p.at("", restA[0].at, "content differs: %q only in the first build", clipped(restA[0].text)))
	case len(restB) > 0:
		c.add(p.at("", -1, "content differs: %q only in the second build", clipped(restB[0].text)))
	}
}
