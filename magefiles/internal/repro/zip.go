package repro

import (
	"archive/zip"
	"crypto/sha256"
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
	var (
		members []member
		count   = map[string]int{}
		left    = c.lim.unpacked
	)
	for _, f := range z.File {
		m := member{name: f.Name, nth: count[f.Name]}
		count[f.Name]++
		packed, err := packedSum(f)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		m.facts = zipFacts(f, packed)
		r, err := f.Open()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		sum := sha256.New()
		m.size, err = io.Copy(sum, &bounded{r, left})
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
func packedSum(f *zip.File) (string, error) {
	r, err := f.OpenRaw()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

func zipFacts(f *zip.File, packed string) []string {
	return []string{
		fmt.Sprintf("file mode: %v (attributes %#x)", f.Mode(), f.ExternalAttrs),
		"time stamp: " + f.Modified.UTC().Format(time.RFC3339Nano),
		fmt.Sprintf("comment: %q", f.Comment),
		fmt.Sprintf("versions: %#x, %#x", f.CreatorVersion, f.ReaderVersion),
		fmt.Sprintf("flags: %#x", f.Flags),
		fmt.Sprintf("extra field: %q", clip(f.Extra)),
		fmt.Sprintf("compression: method %d", f.Method),
		// Last, and compared only where the content is equal: see zips.
		packed,
	}
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
		c.add(p.at("", first, "zip framing: every member is equal, the records around them differ"))
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
		if ma.sum == b[i].sum && ma.size == b[i].size {
			ma.facts[last] = "compression: bytes " + ma.facts[last]
			b[i].facts[last] = "compression: bytes " + b[i].facts[last]
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
			return loadAll(r, c.lim.member)
		}
		nth++
	}
	return nil, fmt.Errorf("no member %q", k.name)
}
