package repro

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/magefiles/internal/goprogram"
)

// executables compares two executables of one format. First it says why they
// differ, as far as can be told: by what their build info says, the folders they
// were compiled from, the strings their variables hold and the files they embed,
// each of which is known for what it is. What is left of two that are laid out
// alike is looked at place by place. Then come the sections that differ, by name.
func (c *comparison) executables(p place, a, b content, k kind) {
	first, err := firstDifference(a, b)
	if err != nil {
		return
	}
	unread := errors.Join(goprogram.Sound(a, a.size), goprogram.Sound(b, b.size))
	ra, errA := regionsOf(unread, a, k)
	rb, errB := regionsOf(unread, b, k)
	if err := errors.Join(errA, errB); err != nil {
		c.add(p.at("", first, "%s, and cannot be read as %s: %v", sizes("content differs", a.size, b.size), k, err))
		return
	}
	differing := differingRegions(a, b, ra, rb)
	isIdentity := func(d regionDifference) bool { return d.a.identity }
	rest := slices.DeleteFunc(slices.Clone(differing), isIdentity)
	// A signature is made of the rest, and does not differ by itself.
	isID := func(d regionDifference) bool { return d.a.identity && d.a.name != signature }
	if len(rest) == 0 && slices.ContainsFunc(differing, isID) {
		c.add(p.at("", first, "%s: nothing but identifiers differs (%s), all code and data is equal; %s in the first build, %s in the second",
			BuildID, names(differing), goBuildID(a), goBuildID(b)))
	} else {
		c.program(p, a, b, first, rest)
	}
	for _, d := range differing {
		if d.a.name == peTimeStamp {
			continue
		}
		detail := p.at(d.a.name, d.offset, "%s%s", d.why, excerpts(a, b, d.offset, d.offsetB))
		detail.Detail = true
		c.add(detail)
	}
}

func regionsOf(unread error, a content, k kind) ([]region, error) {
	if unread != nil {
		return nil, unread
	}
	return regions(a, k)
}

// An evidence is what is known of why two programs differ.
type evidence struct {
	found    []finding
	told     bool    // something that changes all of a program: what else differs may follow
	moved    bool    // it was compiled from other folders
	strings  []piece // of the first build, that differ from the second's in marks
	embedded bool
}

// program says why two programs differ: at least something.
func (c *comparison) program(p place, a, b content, first int64, differing []regionDifference) {
	before := len(c.found)
	var e evidence
	info := c.buildInfo(p, a, b)
	e.told = slices.ContainsFunc(info, func(d Difference) bool {
		return slices.Contains([]Cause{Toolchain, Source, ModuleVersion, BuildSettings}, d.Cause())
	})
	c.roots(p, a, b, differing, &e)
	e.compareStrings(a, b)
	at := first
	if len(differing) > 0 {
		at = differing[0].offset // an identifier differs whenever anything does
	}
	left := int64(-1)
	embedded := c.embedded(p, a, b)
	e.embedded = len(embedded) > 0
	if !e.told && !e.embedded {
		left = e.compareSites(a, b, differing)
	}
	for _, f := range e.found {
		c.add(p.at("", f.at, "%s", f))
	}
	for _, d := range slices.Concat(info, embedded) {
		c.add(d)
	}
	for _, d := range differing {
		if d.a.name == peTimeStamp {
			c.add(p.at(d.a.name, d.offset, "%s: the one in the header differs", TimeStamp))
		}
	}
	switch {
	case len(c.found) == before:
		c.add(p.at("", at, "%s", sizes("content differs", a.size, b.size)))
	case left >= 0:
		c.add(p.at("", left, "content differs here too%s", excerpts(a, b, left, left)))
	}
}

// roots compares the folders that two programs were compiled from.
func (c *comparison) roots(p place, a, b content, differing []regionDifference, e *evidence) {
	ra, errA := goprogram.Roots(a, a.size)
	rb, errB := goprogram.Roots(b, b.size)
	if errA != nil || errB != nil {
		return
	}
	onlyA, onlyB := missing(ra, rb), missing(rb, ra)
	if e.moved = len(onlyA)+len(onlyB) > 0; !e.moved {
		return
	}
	d := p.at("", -1, "%s: compiled from %s", BuildPath, sides(onlyA, onlyB))
	for _, r := range differing {
		if strings.Contains(r.a.name, "pclntab") {
			d.Section, d.Offset = r.a.name, r.offset
		}
	}
	c.add(d)
}

// missing is what a has and b has not.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func sides(a, b []string) string {
	one := func(only []string, which string) string {
		switch len(only) {
		case 0:
			return ""
		case 1:
			return fmt.Sprintf("%q only in the %s build", clipped(only[0]), which)
		}
		return fmt.Sprintf("%q and %d more only in the %s build", clipped(only[0]), len(only)-1, which)
	}
	return strings.Trim(one(a, "first")+", "+one(b, "second"), ", ")
}

// compareStrings pairs the strings of variables that only one of two programs has.
func (e *evidence) compareStrings(a, b content) {
	sa, errA := goprogram.Strings(a, a.size)
	sb, errB := goprogram.Strings(b, b.size)
	if errA != nil || errB != nil {
		return
	}
	count := map[string]int{}
	for _, s := range sa {
		count[s.Value]++
	}
	for _, s := range sb {
		count[s.Value]--
	}
	only := func(all []goprogram.String, sign int) (pieces []piece) {
		for _, s := range all {
			if count[s.Value]*sign > 0 && len(pieces) < maxPaired {
				count[s.Value] -= sign
				pieces = append(pieces, piece{s.Value, s.Offset})
			}
		}
		return pieces
	}
	onlyA, onlyB := only(sa, 1), only(sb, -1)
	found, restA, _ := pairUp(onlyA, onlyB)
	for _, f := range found {
		if f, ok := e.believable(f); ok {
			e.found = collect(e.found, f)
		}
	}
	e.strings = slices.DeleteFunc(onlyA, func(s piece) bool { return slices.Contains(restA, s) })
}

// believable reports whether a finding in the data of a program is one. Other code
// has other routes, which look like paths, and other dates of the interfaces that
// it speaks; a digest may be the revision of the source.
func (e *evidence) believable(f finding) (finding, bool) {
	switch f.cause {
	case OtherContent:
		f.cause = Source
		return f, !e.told && sourceForm.MatchString(f.a) && sourceForm.MatchString(f.b)
	case UserOrHost:
		return f, true
	case TimeStamp:
		return f, !e.told || strings.ContainsAny(f.a, ":") || len(f.a) == 10 && !strings.Contains(f.a, "-")
	}
	return f, !e.told
}

// Bounds of what is looked at place by place.
const maxSites = 512

// compareSites looks at each place at which two programs that are laid out alike
// differ, for a cause. It gives the offset of the first that has none, or -1: also
// where there are too many of them, or the layout is another, to tell.
func (e *evidence) compareSites(a, b content, differing []regionDifference) int64 {
	alike := a.size == b.size
	left, sites := int64(-1), 0
	for _, d := range differing {
		if d.offset < 0 || d.offsetB < 0 {
			alike = false
			continue
		}
		switch {
		case d.a.off != d.b.off || d.a.size != d.b.size:
			alike = false
		case d.a.name == peTimeStamp, e.moved && strings.Contains(d.a.name, "pclntab"), strings.Contains(d.a.name, "debug"):
			continue // has its cause, or is compressed
		}
		// Of other layouts the first place alone can be told from what only moved.
		err := siteOffsets(a.part(d.offset, d.a.off+d.a.size-d.offset), b.part(d.offsetB, d.b.off+d.b.size-d.offsetB), func(at int64) bool {
			sites++
			if at, found := d.offset+at, e.site(a, b, d.offset+at, d.offsetB+at); !found && left < 0 {
				left = at
			}
			return alike && sites < maxSites
		})
		if err != nil {
			return -1
		}
	}
	if !alike || sites >= maxSites {
		return -1
	}
	return left
}

// site looks for the cause of one place.
func (e *evidence) site(a, b content, at, in int64) bool {
	inString := func(s piece) bool { return at >= s.at && at < s.at+int64(len(s.text)) }
	if slices.ContainsFunc(e.strings, inString) {
		return true
	}
	known := false
	for _, f := range likely(a.text(at), b.text(in)) {
		f, ok := e.believable(f)
		if known = known || ok; ok && !slices.ContainsFunc(e.found, func(o finding) bool { return o.cause == f.cause }) {
			f.at, f.in = at, in
			e.found = append(e.found, f)
		}
	}
	return known
}

// siteOffsets calls see for each place at which two of one size differ, a quotation
// apart, until it wants no more.
func siteOffsets(a, b content, see func(at int64) bool) error {
	ra, rb := a.reader(), b.reader()
	bufA, bufB := make([]byte, 1<<16), make([]byte, 1<<16)
	for done, next := int64(0), int64(0); ; done += int64(len(bufA)) {
		na, errA := io.ReadFull(ra, bufA)
		nb, errB := io.ReadFull(rb, bufB)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		for i := max(0, next-done); i < int64(min(na, nb)); i++ {
			if bufA[i] == bufB[i] {
				continue
			}
			if !see(done + i) {
				return nil
			}
			next = done + i + excerptLength/2
			i = next - done - 1
		}
		if na < len(bufA) || nb < len(bufB) {
			return nil
		}
	}
}
