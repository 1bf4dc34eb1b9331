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
		n := min(na, nb)
		if !bytes.Equal(bufA[:n], bufB[:n]) {
			for i := range n {
				if bufA[i] != bufB[i] {
					return done + int64(i), nil
				}
			}
		}
		done += int64(n)
		if na != nb {
			return done, nil
		}
		if na < len(bufA) {
			return -1, nil
		}
	}
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

// plain reports a difference that only the bytes themselves can explain.
func (c *comparison) plain(p place, a, b content, first int64) {
	why := sizes("content differs", a.size, b.size)
	if cause := c.cause(a, b, first, first); cause != "" {
		why = cause
	}
	c.add(p.at("", first, "%s%s", why, excerpts(a, b, first, first)))
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
