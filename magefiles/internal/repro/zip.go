package repro

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// zipMembers reads an archive through. The members' sums are of their
// content; how it was compressed is one of the facts.
func (c *comparison) zipMembers(a content) ([]member, *zip.Reader, error) {
	z, err := zip.NewReader(a, a.size)
	// A path that leads outside matters to who unpacks; here it is a name.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, nil, err
	}
	if len(z.File) > c.lim.members {
		return nil, nil, fmt.Errorf("more than %d members", c.lim.members)
	}
	names := c.lim.names
	var (
		members []member
		count   = map[string]int{}
		left    = c.lim.unpacked
	)
	for _, f := range z.File {
		m := member{name: f.Name, nth: count[f.Name]}
		count[f.Name]++
		if names -= int64(len(f.Name)); names < 0 {
			return nil, nil, fmt.Errorf("more than %d bytes of names", c.lim.names)
		}
		packed, err := c.packedSum(f)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		m.facts = zipFacts(f, packed)
		r, err := f.Open()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		sum := sha256.New()
		m.size, err = io.Copy(sum, &bounded{r, left, c})
		r.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		left -= m.size
		sum.Sum(m.sum[:0])
		members = append(members, m)
	}
	return members, z, nil
}

// packedSum is the digest of a member as it is compressed.
func (c *comparison) packedSum(f *zip.File) (string, error) {
	r, err := f.OpenRaw()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	// Members may claim the same bytes.
	if _, err := io.Copy(sum, &bounded{r, c.lim.unpacked, c}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

func zipFacts(f *zip.File, packed string) []string {
	times, rest := timesOf(f.Extra)
	return []string{
		fmt.Sprintf("%s: %v (attributes %#x)", FileMode, f.Mode(), f.ExternalAttrs),
		fmt.Sprintf("%s: %s", TimeStamp, f.Modified.UTC().Format(time.RFC3339Nano)),
		fmt.Sprintf("%s: in the extra field %s", TimeStamp, brief(fmt.Sprintf("%x", times))),
		fmt.Sprintf("comment: %q", brief(f.Comment)),
		fmt.Sprintf("%s: versions %#x, %#x", Encoding, f.CreatorVersion, f.ReaderVersion),
		fmt.Sprintf("%s: flags %#x", Encoding, f.Flags),
		fmt.Sprintf("%s: extra field %q", Encoding, brief(string(rest))),
		fmt.Sprintf("%s: method %d", Compression, f.Method),
		// Last, and compared only where the content is equal: see zips.
		packed,
	}
}

// Parts of an extra field that are times (APPNOTE.TXT, section 4.5.2).
const (
	extraNTFS     = 0x000a
	extraTime     = 0x5455
	extraUnixTime = 0x5855
)

// timesOf parts an extra field into what says times and what says else.
func timesOf(extra []byte) (times, rest []byte) {
	for len(extra) >= 4 {
		end := 4 + int(binary.LittleEndian.Uint16(extra[2:]))
		if end > len(extra) {
			break
		}
		switch binary.LittleEndian.Uint16(extra) {
		case extraNTFS, extraTime, extraUnixTime:
			times = append(times, extra[:end]...)
		default:
			rest = append(rest, extra[:end]...)
		}
		extra = extra[end:]
	}
	return times, append(rest, extra...)
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

func (c *comparison) zips(p place, a, b content) {
	ma, za, errA := c.zipMembers(a)
	mb, zb, errB := c.zipMembers(b)
	first, _ := firstDifference(a, b)
	if err := errors.Join(errA, errB); err != nil {
		c.add(p.at("", first, "differs, and cannot be read as zip: %v", err))
		return
	}
	before := len(c.found)
	if za.Comment != zb.Comment {
		c.add(p.at("", -1, "comment: %q in the first build, %q in the second", clip([]byte(za.Comment)), clip([]byte(zb.Comment))))
	}
	namePacking(ma, mb)
	c.members(p, ma, mb, func(second bool, k key) ([]byte, error) {
		if second {
			return c.loadZip(zb, k)
		}
		return c.loadZip(za, k)
	})
	if len(c.found) == before {
		c.add(p.at("", first, "%s: every member is equal, the records around them differ", Encoding))
	}
}

// namePacking turns the last fact of each member into one about compression
// where both sides hold the same content, and takes it away where they do
// not: then the compressed bytes have to differ.
func namePacking(a, b []member) {
	inB := map[key]int{}
	for i, m := range b {
		inB[m.key()] = i
	}
	for _, ma := range a {
		i, ok := inB[ma.key()]
		if !ok {
			continue
		}
		last := len(ma.facts) - 1
		if ma.same(b[i]) {
			ma.facts[last] = string(Compression) + ": bytes " + ma.facts[last]
			b[i].facts[last] = string(Compression) + ": bytes " + b[i].facts[last]
			continue
		}
		ma.facts[last], b[i].facts[last] = "", ""
	}
}

func (c *comparison) loadZip(z *zip.Reader, k key) ([]byte, error) {
	nth := 0
	for _, f := range z.File {
		if f.Name != k.name {
			continue
		}
		if nth == k.nth {
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return c.loadAll(r, nil, int64(min(f.UncompressedSize64, uint64(c.lim.member)+1)))
		}
		nth++
	}
	return nil, fmt.Errorf("no member %q", k.name)
}
