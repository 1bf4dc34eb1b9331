package repro

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/magefiles/internal/goprogram"
)

// embedded compares the files that two Go programs embed: what differs in each of
// them follows one line that says that files do. What cannot be read as a program
// that embeds anything has none: the sections of both are compared in any case.
func (c *comparison) embedded(p place, a, b content) []Difference {
	// A program may embed programs, or say that it embeds itself.
	if p.depth >= c.lim.depth {
		return nil
	}
	fa, errA := c.embeds(a)
	fb, errB := c.embeds(b)
	if errA != nil || errB != nil {
		return nil
	}
	inner := &comparison{lim: c.lim, work: c.work}
	inner.members(p, fa.members, fb.members, func(second bool, k key) ([]byte, error) {
		side := fa
		if second {
			side = fb
		}
		f := side.files[k]
		return side.content.part(f.Offset, f.Size).all(c.lim.member)
	})
	if len(inner.found) == 0 {
		return nil
	}
	var names []string
	for i, d := range inner.found {
		// That the file differs is the cause, where no other is known.
		inner.found[i].Detail = d.Cause() == Unknown
		name, _, _ := strings.Cut(strings.TrimPrefix(d.Member, p.inside("").member+embeddedMark), "!")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	why := fmt.Sprintf("%s: %q differs", EmbeddedFile, clipped(names[0]))
	if len(names) > 1 {
		why = fmt.Sprintf("%s: %q and %d more differ", EmbeddedFile, clipped(names[0]), len(names)-1)
	}
	return append([]Difference{p.at("", -1, "%s", why)}, inner.found...)
}

// embeddedMark stands before the names of embedded files.
const embeddedMark = "(embedded) "

// An embedding is a program and the files that it embeds, as members of an
// archive of which nothing but names and contents is said.
type embedding struct {
	content content
	members []member
	files   map[key]goprogram.File
}

func (c *comparison) embeds(a content) (embedding, error) {
	p := embedding{content: a, files: map[key]goprogram.File{}}
	files, err := goprogram.Files(a, a.size)
	if err != nil {
		return p, err
	}
	var (
		count = map[string]int{}
		left  = c.lim.unpacked // files may lie over one another
	)
	for _, f := range files {
		m := member{name: embeddedMark + f.Name, size: f.Size}
		m.nth = count[m.name]
		count[m.name]++
		if left -= f.Size; left < 0 || !c.charge(f.Size) {
			return p, fmt.Errorf("embeds more than %d bytes", c.lim.unpacked)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, a.part(f.Offset, f.Size).reader()); err != nil {
			return p, err
		}
		sum.Sum(m.sum[:0])
		p.members = append(p.members, m)
		p.files[m.key()] = f
	}
	return p, nil
}
