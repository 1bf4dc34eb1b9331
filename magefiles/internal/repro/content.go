package repro

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// content is bytes that can be read again from anywhere.
type content struct {
	io.ReaderAt
	size int64
}

func fileContent(f *os.File) (content, error) {
	info, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	if !info.Mode().IsRegular() {
		return content{}, fmt.Errorf("%s is not a regular file", f.Name())
	}
	return content{f, info.Size()}, nil
}

func bytesContent(b []byte) content { return content{bytes.NewReader(b), int64(len(b))} }

// part is c's bytes from offset on, cut to what is there.
func (c content) part(offset, size int64) content {
	offset = min(max(offset, 0), c.size)
	size = min(max(size, 0), c.size-offset)
	return content{io.NewSectionReader(c, offset, size), size}
}

func (c content) reader() io.Reader { return io.NewSectionReader(c, 0, c.size) }

// head is c's first n bytes, or fewer if it is shorter.
func (c content) head(n int) []byte {
	buf := make([]byte, min(int64(n), c.size))
	got, _ := c.ReadAt(buf, 0)
	return buf[:got]
}

// all reads c, if it is no longer than limit.
func (c content) all(limit int64) ([]byte, error) {
	if c.size > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return io.ReadAll(c.reader())
}

// firstDifference is the offset of the first byte that differs, which is the
// end of the shorter one where one begins with the other, or -1 where they
// are equal.
func firstDifference(a, b content) (int64, error) {
	var (
		bufA = make([]byte, 1<<16)
		bufB = make([]byte, 1<<16)
		ra   = a.reader()
		rb   = b.reader()
		done int64
	)
	for {
		na, errA := io.ReadFull(ra, bufA)
		nb, errB := io.ReadFull(rb, bufB)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return 0, err
			}
		}
		if at := differAt(bufA[:na], bufB[:nb]); at >= 0 {
			return done + int64(at), nil
		}
		done += int64(na)
		if na < len(bufA) {
			return -1, nil
		}
	}
}

// differAt is firstDifference of what lies in memory.
func differAt(a, b []byte) int {
	n := min(len(a), len(b))
	if !bytes.Equal(a[:n], b[:n]) {
		for i := range n {
			if a[i] != b[i] {
				return i
			}
		}
	}
	if len(a) != len(b) {
		return n
	}
	return -1
}

// contents compares bytes and, only where they differ, looks for the reason.
// It adds at least one difference if there is one.
func (c *comparison) contents(p place, a, b content) error {
	first, err := firstDifference(a, b)
	if err != nil || first < 0 {
		return err
	}
	before := len(c.found)
	ka, kb := a.kind(), b.kind()
	if ka != kb {
		c.add(p.at("", first, "kind of file: %s in the first build, %s in the second", ka, kb))
		return nil
	}
	if p.depth >= c.lim.depth && (ka == kindGzip || ka == kindTar || ka == kindZip) {
		c.add(p.at("", first, "differs; archives nested deeper than %d are not looked into", c.lim.depth))
		return nil
	}
	switch ka {
	case kindGzip:
		c.gzips(p, a, b)
	case kindTar:
		c.tars(p, a, b, "")
	case kindZip:
		c.zips(p, a, b)
	case kindELF, kindMachO, kindPE:
		c.executables(p, a, b, ka)
	case kindJSON:
		c.documents(p, a, b)
	}
	// Whatever the explanations above left out, different bytes are reported.
	if len(c.found) == before {
		c.plain(p, a, b, first)
	}
	return nil
}

func sizes(what string, a, b int64) string {
	if a == b {
		return what
	}
	return fmt.Sprintf("%s (%d and %d bytes)", what, a, b)
}

type kind string

const (
	kindOther kind = "bytes"
	kindGzip  kind = "gzip"
	kindTar   kind = "tar"
	kindZip   kind = "zip"
	kindELF   kind = "ELF"
	kindMachO kind = "Mach-O"
	kindPE    kind = "PE"
	kindJSON  kind = "JSON"
)

// kind goes by content: a name is what a build claims, not what it left.
func (c content) kind() kind {
	head := c.head(512)
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("\x1f\x8b"):
		return kindGzip
	case has("PK\x03\x04"), has("PK\x05\x06"):
		return kindZip
	case has("\x7fELF"):
		return kindELF
	case has("\xfe\xed\xfa\xce"), has("\xfe\xed\xfa\xcf"), has("\xce\xfa\xed\xfe"), has("\xcf\xfa\xed\xfe"):
		return kindMachO
	case has("MZ"):
		return kindPE
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return kindTar
	}
	if text := bytes.TrimLeft(head, " \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return kindJSON
	}
	return kindOther
}

// excerptLength bounds what is quoted of either side.
const excerptLength = 96

// text is the printable run around offset.
func (c content) text(offset int64) string {
	return c.around(offset, func(b byte) bool { return 0x20 <= b && b < 0x7f })
}

func (c content) around(offset int64, in func(byte) bool) string {
	if offset < 0 {
		return ""
	}
	from := max(0, offset-excerptLength/2)
	buf := make([]byte, excerptLength)
	n, _ := c.ReadAt(buf, from)
	buf = buf[:n]
	at := int(offset - from)
	if at < 0 || at > len(buf) {
		return ""
	}
	start, end := at, at
	for start > 0 && in(buf[start-1]) {
		start--
	}
	for end < len(buf) && in(buf[end]) {
		end++
	}
	return string(buf[start:end])
}

// excerpts quotes the text around the difference, if it is text.
func excerpts(a, b content, offsetA, offsetB int64) string {
	textA, textB := a.text(offsetA), b.text(offsetB)
	if textA == textB || offsetA < 0 || offsetB < 0 || min(len(textA), len(textB)) < 4 {
		return ""
	}
	return fmt.Sprintf("; %q and %q", textA, textB)
}
