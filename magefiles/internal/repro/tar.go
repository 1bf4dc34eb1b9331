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
	if a.size <= c.lim.unpacked {
		return tar.NewReader(a.reader()), nil // which passes over contents without reading them
	}
	return tar.NewReader(&bounded{a.reader(), c.lim.unpacked, c}), nil
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
		names   = c.lim.names
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
		if names -= int64(len(h.Name)); names < 0 {
			return nil, fmt.Errorf("more than %d bytes of names", c.lim.names)
		}
		m := member{name: h.Name, nth: count[h.Name], facts: tarFacts(h)}
		count[h.Name]++
		sum := sha256.New()
		if m.size, err = io.Copy(sum, &bounded{t, left, c}); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		left -= m.size
		sum.Sum(m.sum[:0])
		members = append(members, m)
	}
}

// tarFacts are what a header says, each after its cause. Extended headers say again
// what has a fact of its own.
func tarFacts(h *tar.Header) []string {
	var records []string
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if !slices.Contains(paxOfFacts, k) {
			records = append(records, k+"="+h.PAXRecords[k])
		}
	}
	return []string{
		fmt.Sprintf("type: %q", h.Typeflag),
		fmt.Sprintf("link target: %q", brief(h.Linkname)),
		fmt.Sprintf("%s: %04o", FileMode, h.Mode),
		fmt.Sprintf("%s: %s", TimeStamp, h.ModTime.UTC().Format(time.RFC3339Nano)),
		fmt.Sprintf("%s: accessed %s, changed %s", TimeStamp, paxTime(h.AccessTime), paxTime(h.ChangeTime)),
		fmt.Sprintf("%s: %d/%d %q/%q", Owner, h.Uid, h.Gid, brief(h.Uname), brief(h.Gname)),
		fmt.Sprintf("device: %d/%d", h.Devmajor, h.Devminor),
		fmt.Sprintf("%s: extended header %s", Encoding, brief(fmt.Sprintf("%q", records))),
		fmt.Sprintf("%s: header of %s", Encoding, h.Format),
	}
}

var paxOfFacts = []string{"atime", "ctime", "gid", "gname", "linkpath", "mtime", "path", "size", "uid", "uname"}

func paxTime(t time.Time) string {
	if t.IsZero() {
		return "(not said)"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// brief is s or, if that is long, its begin and its digest: what an archive says of
// each of its members is kept.
func brief(s string) string {
	if len(s) <= 2*excerptLength {
		return s
	}
	return fmt.Sprintf("%s… (%x)", s[:excerptLength], sha256.Sum256([]byte(s)))
}

func (c *comparison) tars(p place, a, b content, wrapped kind) {
	ma, mb, err := both(a, b, func(x content) ([]member, error) { return c.tarMembers(x, wrapped) })
	if err != nil {
		first, _ := firstDifference(a, b)
		c.add(p.at("", first, "differs, and cannot be read as tar: %v", err))
		return
	}
	before := len(c.found)
	sides := [2]*tarLoader{{c: c, of: a, wrapped: wrapped}, {c: c, of: b, wrapped: wrapped}}
	load := func(second bool, k key) ([]byte, error) {
		if second {
			return sides[1].load(k)
		}
		return sides[0].load(k)
	}
	if isLayout(ma) && isLayout(mb) {
		c.layouts(p, ma, mb, load)
	} else {
		c.members(p, ma, mb, load)
	}
	if len(c.found) == before {
		c.add(p.at("", -1, "%s: every member is equal, padding or headers differ", Encoding))
	}
}

// both does the same to both sides at a time.
func both[S, T any](a, b S, do func(S) (T, error)) (x, y T, err error) {
	var errB error
	done := make(chan struct{})
	go func() {
		defer close(done)
		y, errB = do(b)
	}()
	x, errA := do(a)
	<-done
	return x, y, errors.Join(errA, errB)
}

// A tarLoader loads members of an archive, in one go those that are asked for in
// their order.
type tarLoader struct {
	c       *comparison
	of      content
	wrapped kind
	r       *tar.Reader
	passed  map[string]int // members of each name
	buf     []byte         // of the member before
}

// load gives the content of a member, until the next is loaded.
func (l *tarLoader) load(k key) ([]byte, error) {
	if l.r == nil || l.passed[k.name] > k.nth {
		r, err := l.c.openTar(l.of, l.wrapped)
		if err != nil {
			return nil, err
		}
		l.r, l.passed = r, map[string]int{}
	}
	for {
		h, err := l.r.Next()
		if err != nil {
			l.r = nil
			return nil, err
		}
		nth := l.passed[h.Name]
		l.passed[h.Name]++
		if h.Name != k.name || nth != k.nth {
			continue
		}
		data, err := l.c.loadAll(l.r, l.buf, h.Size)
		if err == nil {
			l.buf = data
		}
		return data, err
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
			c.add(p.inside(common[i].name).at("", -1, "%s: the second build has %q in its place", Order, m.name))
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
		c.facts(inside, ma, mb)
		if ma.same(mb) {
			continue
		}
		if explained++; explained > c.lim.explained {
			c.add(inside.at("", -1, "content differs (%d and %d bytes); only the first %d differing members are looked into", ma.size, mb.size, c.lim.explained))
			continue
		}
		c.memberContents(inside, ma, mb, load)
	}
}

// facts names what an archive says otherwise of a member.
func (c *comparison) facts(p place, a, b member) {
	for i, fact := range a.facts {
		if b.facts[i] != fact {
			c.add(p.at("", -1, "%s in the first build, %s in the second", fact, after(b.facts[i])))
		}
	}
}

func (m member) same(other member) bool { return m.sum == other.sum && m.size == other.size }

func (c *comparison) memberContents(inside place, ma, mb member, load func(bool, key) ([]byte, error)) {
	before := len(c.found)
	keys := [2]key{ma.key(), mb.key()}
	da, db, err := both(0, 1, func(side int) ([]byte, error) { return load(side == 1, keys[side]) })
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
