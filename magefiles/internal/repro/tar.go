package repro

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// A member is what an archive says of one entry.
type member struct {
	name  string
	nth   int      // of the entries of that name, from 0
	facts []string // in words, each with the same index on either side
	size  int64
	sum   [sha256.Size]byte
}

// A key tells members of one name apart.
type key struct {
	name string
	nth  int
}

func (m member) key() key { return key{m.name, m.nth} }

func (c *comparison) openTar(a content, wrapped kind) (*tar.Reader, error) {
	if wrapped == kindGzip {
		r, err := c.unpack(a)
		if err != nil {
			return nil, err
		}
		return tar.NewReader(r), nil
	}
	return tar.NewReader(&bounded{a.reader(), c.lim.unpacked}), nil
}

// tarMembers reads an archive through, keeping no content. A member's content
// counts against the limit here too, for a sparse one is longer than its file.
func (c *comparison) tarMembers(a content, wrapped kind) ([]member, error) {
	t, err := c.openTar(a, wrapped)
	if err != nil {
		return nil, err
	}
	var (
		members []member
		count   = map[string]int{}
		left    = c.lim.unpacked
	)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return members, nil
		}
		if err != nil {
			return nil, err
		}
		if len(members) >= c.lim.members {
			return nil, fmt.Errorf("more than %d members", c.lim.members)
		}
		m := member{name: h.Name, nth: count[h.Name], facts: tarFacts(h)}
		count[h.Name]++
		sum := sha256.New()
		if m.size, err = io.Copy(sum, &bounded{t, left}); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		left -= m.size
		sum.Sum(m.sum[:0])
		members = append(members, m)
	}
}

func tarFacts(h *tar.Header) []string {
	var records []string
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		records = append(records, k+"="+h.PAXRecords[k])
	}
	return []string{
		fmt.Sprintf("type: %q", h.Typeflag),
		fmt.Sprintf("link target: %q", h.Linkname),
		fmt.Sprintf("file mode: %04o", h.Mode),
		"time stamp: " + h.ModTime.UTC().Format(time.RFC3339Nano),
		fmt.Sprintf("owner: %d/%d %q/%q", h.Uid, h.Gid, h.Uname, h.Gname),
		fmt.Sprintf("device: %d/%d", h.Devmajor, h.Devminor),
		fmt.Sprintf("extended header: %q", records),
		"header format: " + h.Format.String(),
	}
}

func (c *comparison) tars(p place, a, b content, wrapped kind) {
	ma, errA := c.tarMembers(a, wrapped)
	mb, errB := c.tarMembers(b, wrapped)
	if err := errors.Join(errA, errB); err != nil {
		first, _ := firstDifference(a, b)
		c.add(p.at("", first, "differs, and cannot be read as tar: %v", err))
		return
	}
	before := len(c.found)
	c.members(p, ma, mb, func(second bool, k key) ([]byte, error) {
		if second {
			return c.loadTar(b, wrapped, k)
		}
		return c.loadTar(a, wrapped, k)
	})
	if len(c.found) == before {
		c.add(p.at("", -1, "tar framing: every member is equal, padding or header encoding differs"))
	}
}

func (c *comparison) loadTar(a content, wrapped kind, k key) ([]byte, error) {
	t, err := c.openTar(a, wrapped)
	if err != nil {
		return nil, err
	}
	for nth := 0; ; {
		h, err := t.Next()
		if err != nil {
			return nil, err
		}
		if h.Name != k.name {
			continue
		}
		if nth == k.nth {
			return loadAll(t, c.lim.member)
		}
		nth++
	}
}

// members compares two archives' members: what is missing or too many, the
// order, what is said of each, and then their content, into which it looks.
func (c *comparison) members(p place, a, b []member, load func(second bool, k key) ([]byte, error)) {
	inB := map[key]member{}
	for _, m := range b {
		inB[m.key()] = m
	}
	inA := map[key]bool{}
	var common []key
	for _, m := range a {
		inA[m.key()] = true
		if _, ok := inB[m.key()]; !ok {
			c.add(p.inside(m.name).at("", -1, "member only in the first build"))
			continue
		}
		common = append(common, m.key())
	}
	i, ordered := 0, true
	for _, m := range b {
		if !inA[m.key()] {
			c.add(p.inside(m.name).at("", -1, "member only in the second build"))
			continue
		}
		if ordered && common[i] != m.key() {
			ordered = false
			c.add(p.inside(common[i].name).at("", -1, "order: the second build has %q in its place", m.name))
		}
		i++
	}
	explained := 0
	for _, ma := range a {
		mb, ok := inB[ma.key()]
		if !ok {
			continue
		}
		inside := p.inside(ma.name)
		for i, fact := range ma.facts {
			if mb.facts[i] != fact {
				c.add(inside.at("", -1, "%s in the first build, %s in the second", fact, after(mb.facts[i])))
			}
		}
		if ma.sum == mb.sum && ma.size == mb.size {
			continue
		}
		if explained++; explained > c.lim.explained {
			c.add(inside.at("", -1, "content differs (%d and %d bytes); only the first %d differing members are looked into", ma.size, mb.size, c.lim.explained))
			continue
		}
		c.memberContents(inside, ma, mb, load)
	}
}

func (c *comparison) memberContents(inside place, ma, mb member, load func(bool, key) ([]byte, error)) {
	before := len(c.found)
	da, errA := load(false, ma.key())
	db, errB := load(true, mb.key())
	err := errors.Join(errA, errB)
	if err == nil {
		err = c.contents(inside, bytesContent(da), bytesContent(db))
	}
	if err != nil {
		c.add(inside.at("", -1, "content differs (%d and %d bytes); %v", ma.size, mb.size, err))
	} else if len(c.found) == before {
		c.add(inside.at("", -1, "content differs"))
	}
}

// after drops the name of a fact, which the other side has said already.
func after(fact string) string {
	for i := range fact {
		if fact[i] == ':' && i+2 <= len(fact) {
			return fact[i+2:]
		}
	}
	return fact
}
