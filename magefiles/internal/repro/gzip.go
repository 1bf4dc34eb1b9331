package repro

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	errTooLong = errors.New("unpacks to more than is looked into")
	errCutOff  = errors.New("ends before its content does")
)

// bounded reads from r and fails, rather than ends, when limit is passed. It
// says errCutOff where r says io.ErrUnexpectedEOF, which io.ReadFull also
// says of a reader that is sound.
type bounded struct {
	r    io.Reader
	left int64
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
	return &bounded{z, c.lim.unpacked}, nil
}

// gzips tells a different way of compressing from different content.
func (c *comparison) gzips(p place, a, b content) {
	headA, errA := gzipHeader(a)
	headB, errB := gzipHeader(b)
	if errA != nil || errB != nil {
		return
	}
	for i, what := range headA {
		if headB[i] != what {
			c.add(p.at("gzip header", -1, "compression: %s in the first build, %s in the second", what, headB[i]))
		}
	}
	first, prefix, err := c.unpackedDifference(a, b)
	switch {
	case err != nil:
		c.add(p.at("", -1, "cannot be unpacked to compare: %v", err))
	case first < 0:
		at, _ := firstDifference(a, b)
		c.add(p.at("", at, "compression: only gzip's own bytes differ, the content is equal"))
	case len(prefix) > 262 && string(prefix[257:262]) == "ustar":
		c.tars(p, a, b, kindGzip)
	default:
		c.unpackedContents(p, a, b, first)
	}
}

// gzipHeader is what RFC 1952, section 2.3 puts before the compressed data,
// in words.
func gzipHeader(a content) ([]string, error) {
	z, err := gzip.NewReader(bytes.NewReader(a.head(1 << 17)))
	if err != nil {
		return nil, err
	}
	raw := a.head(10)
	when := "no time stamp"
	if !z.ModTime.IsZero() {
		when = "time stamp " + z.ModTime.UTC().Format(time.RFC3339)
	}
	return []string{
		when,
		fmt.Sprintf("name %q", z.Name),
		fmt.Sprintf("comment %q", z.Comment),
		fmt.Sprintf("extra field %q", clip(z.Extra)),
		fmt.Sprintf("level hint %d", raw[8]),
		fmt.Sprintf("system %d", z.OS),
	}, nil
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
		at, _ := firstDifference(bytesContent(bufA[:na]), bytesContent(bufB[:nb]))
		if at >= 0 && first < 0 {
			first = done + at
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
	return loadAll(r, c.lim.member)
}

// loadAll reads all of r, if it is no longer than limit.
func loadAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(&bounded{r, limit})
	if errors.Is(err, errTooLong) {
		return nil, fmt.Errorf("more than %d bytes are not looked into", limit)
	}
	return data, err
}
