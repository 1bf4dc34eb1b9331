package repro

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
)

var (
	errTooLong = errors.New("unpacks to more than is looked into")
	errCutOff  = errors.New("ends before its content does")
	errWork    = errors.New("there is too much in it, all in all, to be looked into")
)

// bounded reads from r and fails, rather than ends, when limit is passed. It
// says errCutOff where r says io.ErrUnexpectedEOF, which io.ReadFull also
// says of a reader that is sound.
type bounded struct {
	r    io.Reader
	left int64
	c    *comparison // whose work it is
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// Exactly limit bytes are fine: only what follows them is too much.
		if n, err := b.r.Read(make([]byte, 1)); n == 0 {
			return 0, cutOff(err)
		}
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if !b.c.charge(int64(n)) {
		return 0, errWork
	}
	return n, cutOff(err)
}

func cutOff(err error) error {
	if err == io.ErrUnexpectedEOF {
		return errCutOff
	}
	return err
}

// unpack opens the content of a gzip file, bounded.
func (c *comparison) unpack(a content) (io.Reader, error) {
	z, err := gzip.NewReader(a.reader())
	if err != nil {
		return nil, err
	}
	return &bounded{z, c.lim.unpacked, c}, nil
}

// gzips tells a different way of compressing from different content.
func (c *comparison) gzips(p place, a, b content) {
	headA, sizeA, errA := gzipHeader(a)
	headB, sizeB, errB := gzipHeader(b)
	if errA != nil || errB != nil {
		return
	}
	before := len(c.found)
	for i, what := range headA {
		if headB[i] != what {
			c.add(p.at("gzip header", -1, "%s in the first build, %s in the second", what, after(headB[i])))
		}
	}
	if at, err := firstDifference(a.part(sizeA, a.size), b.part(sizeB, b.size)); err == nil && at < 0 && len(c.found) > before {
		return // what is behind the headers is the same
	}
	first, prefix, err := c.unpackedDifference(a, b)
	switch {
	case err != nil:
		c.add(p.at("", -1, "cannot be unpacked to compare: %v", err))
	case first < 0:
		at, _ := firstDifference(a, b)
		c.add(p.at("", at, "%s: only gzip's own bytes differ, the content is equal", Compression))
	case len(prefix) > 262 && string(prefix[257:262]) == "ustar":
		c.tars(p, a, b, kindGzip)
	default:
		c.unpackedContents(p, a, b, first)
	}
}

// gzipFields are the flags for a name, a comment and an extra field.
const gzipFields = 0x1c

// gzipHeader is what RFC 1952, section 2.3 puts before the compressed data,
// in words, after the cause that a difference would have, and how many bytes it has.
func gzipHeader(a content) ([]string, int64, error) {
	head := bytes.NewReader(a.head(1 << 17))
	z, err := gzip.NewReader(head)
	if err != nil {
		return nil, 0, err
	}
	size := head.Size() - int64(head.Len())
	raw := a.head(10)
	when := "none"
	if seconds := binary.LittleEndian.Uint32(raw[4:]); seconds != 0 {
		when = time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
	}
	return []string{
		fmt.Sprintf("%s: %s", TimeStamp, when),
		fmt.Sprintf("%s: name %q", Compression, z.Name),
		fmt.Sprintf("%s: comment %q", Compression, z.Comment),
		fmt.Sprintf("%s: extra field %q", Compression, clip(z.Extra)),
		fmt.Sprintf("%s: level hint %d", Compression, raw[8]),
		fmt.Sprintf("%s: system %d", Compression, z.OS),
		fmt.Sprintf("%s: flags %#x", Compression, raw[3]&^gzipFields),
	}, size, nil
}

// unpackedDifference is firstDifference of the unpacked contents, and how the
// first of them begins.
func (c *comparison) unpackedDifference(a, b content) (int64, []byte, error) {
	ra, err := c.unpack(a)
	if err != nil {
		return 0, nil, err
	}
	rb, err := c.unpack(b)
	if err != nil {
		return 0, nil, err
	}
	var (
		prefix []byte
		done   int64
		bufA   = make([]byte, 1<<16)
		bufB   = make([]byte, 1<<16)
		first  = int64(-1)
	)
	for {
		na, errA := io.ReadFull(ra, bufA)
		nb, errB := io.ReadFull(rb, bufB)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return 0, nil, err
			}
		}
		if prefix == nil {
			prefix = append([]byte{}, bufA[:min(na, 512)]...)
		}
		if at := differAt(bufA[:na], bufB[:nb]); at >= 0 {
			first = done + int64(at)
		}
		done += int64(na)
		if first >= 0 || na < len(bufA) {
			return first, prefix, nil
		}
	}
}

// unpackedContents looks into a gzip file that holds something else than tar.
func (c *comparison) unpackedContents(p place, a, b content, first int64) {
	inside := p.inside("(content)")
	da, errA := c.load(a)
	db, errB := c.load(b)
	if errA != nil || errB != nil {
		c.add(inside.at("", first, "content differs; %v", errors.Join(errA, errB)))
		return
	}
	if err := c.contents(inside, bytesContent(da), bytesContent(db)); err != nil {
		c.add(inside.at("", first, "content differs; %v", err))
	}
}

func (c *comparison) load(a content) ([]byte, error) {
	r, err := c.unpack(a)
	if err != nil {
		return nil, err
	}
	return c.loadAll(r, nil, 0)
}

// loadAll reads all of r into buf or, where that is too small, into another, if it
// is no longer than a member may be. The size is what r is known to have, if that
// is known.
func (c *comparison) loadAll(r io.Reader, buf []byte, size int64) ([]byte, error) {
	if size > c.lim.member {
		return nil, fmt.Errorf("more than %d bytes are not looked into", c.lim.member)
	}
	// What is read besides is that nothing follows.
	if int64(cap(buf)) < size+bytes.MinRead {
		buf = make([]byte, 0, size+bytes.MinRead)
	}
	out := bytes.NewBuffer(buf[:0])
	_, err := out.ReadFrom(&bounded{r, c.lim.member, c})
	if errors.Is(err, errTooLong) {
		return nil, fmt.Errorf("more than %d bytes are not looked into", c.lim.member)
	}
	return out.Bytes(), err
}
