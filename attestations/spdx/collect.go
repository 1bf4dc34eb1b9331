package spdx

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// A binary is one of the artifact's, with what it links.
type binary struct {
	artifact.Binary
	member  string   // its name in the archive
	modules []linked // but for the standard library, sorted by path
	links   map[string]Link
	holds   []*v2_3.Package // whose code or data is in it
}

// linked is a Go module in a binary.
type linked struct {
	path     string            // as build info has it
	compiled artifact.Module   // what stood in its place, or itself
	changed  *artifact.Patched // nil where it is as upstream made it
}

// readPublisher refuses a publisher of whom not everything is known.
func readPublisher(p Publisher) error {
	switch {
	case plainName(p.Name) == "" || p.Distribution == "" || !webAddress(p.Namespace) || strings.HasSuffix(p.Namespace, "/"):
		return fault("the publisher's name, distribution and namespace (an address without a slash at its end) are all needed: state them in distribution.yaml")
	case !validExpression(p.Licence) || len(references(p.Licence)) > 0:
		return fault("licence %q of the publisher is not an expression of SPDX licences: state it in distribution.yaml", p.Licence)
	}
	return nil
}

// readInput brings in into order and refuses what does not fit together.
func (b *builder) readInput() error {
	c, r := b.in.Component, b.in.Record
	if err := readPublisher(b.in.Publisher); err != nil {
		return err
	}
	switch {
	case c.Description == "" || plainName(c.Originator) == "" || !webAddress(c.Homepage) || strings.Count(c.CPE, ":") != 4 || !strings.HasPrefix(c.CPE, "cpe:2.3:a:"):
		return fault("description, originator, homepage and cpe of %s are all needed: state them in its recipe.yaml", r.Component)
	case r.Name == "" || r.Component == "" || r.Version == "" || r.UpstreamVersion == "" || r.Epoch <= 0 || r.Source.Path == "" || r.Source.Sum == "":
		return fault("the record has no name, component, version, epoch or source: build again")
	case len(r.Binaries) == 0:
		return fault("the record has no binaries: build again")
	}
	b.created = timestamp(r.Epoch)
	b.changed = map[string]*artifact.Patched{}
	for i := range r.Patched {
		changed := &r.Patched[i]
		if purl := GoPURL(changed.To.Path, changed.To.Version); b.changed[purl] != nil {
			return fault("module %s was sealed twice: build again", changed.To.Path)
		} else {
			b.changed[purl] = changed
		}
	}
	for _, recorded := range r.Binaries {
		one, err := b.readBinary(recorded)
		if err != nil {
			return err
		}
		b.all = append(b.all, one)
	}
	for _, l := range b.in.Links {
		if !slices.ContainsFunc(b.all, func(x *binary) bool { return x.Name == l.Binary }) {
			return fault("links are given of %q, which is no binary of it: build again", l.Binary)
		}
	}
	slices.SortFunc(b.all, func(x, y *binary) int { return cmp.Compare(x.Name, y.Name) })
	for _, one := range b.all {
		if b.only == "" || one.Name == b.only {
			b.binaries = append(b.binaries, one)
		}
	}
	return b.readMembers()
}

func (b *builder) readBinary(recorded artifact.Binary) (*binary, error) {
	one := &binary{Binary: recorded, links: map[string]Link{}}
	if one.Main.Path == "" || one.Package == "" || one.GoVersion == "" {
		return nil, fault("binary %q has no build info: build again, without stripping it", one.Name)
	}
	for _, x := range b.all {
		if x.Name == one.Name {
			return nil, fault("binary %q is there twice: build again", one.Name)
		}
	}
	given := slices.DeleteFunc(slices.Clone(b.in.Links), func(l Links) bool { return l.Binary != one.Name })
	if len(given) != 1 {
		return nil, fault("binary %s: links are given %d times, want once: build again", one.Name, len(given))
	}
	for _, m := range given[0].Modules {
		if _, twice := one.links[m.Module]; twice {
			return nil, fault("binary %s: its links name module %s twice: build again", one.Name, m.Module)
		}
		one.links[m.Module] = m
	}
	known := map[string]bool{Std: true}
	for _, m := range append([]artifact.Module{one.Main}, one.Modules...) {
		if known[m.Path] || m.Path == "" {
			return nil, fault("binary %s: its build info names module %q twice: build again", one.Name, m.Path)
		}
		known[m.Path] = true
		if _, ok := one.links[m.Path]; !ok {
			return nil, fault("binary %s: its build info names module %s, of which no package is linked: build again", one.Name, m.Path)
		}
		compiled, err := b.compiled(one, m)
		if err != nil {
			return nil, err
		}
		one.modules = append(one.modules, compiled)
	}
	for _, path := range slices.Sorted(maps.Keys(one.links)) {
		if !known[path] {
			return nil, fault("binary %s: packages of module %s are linked, which its build info does not name: build again", one.Name, path)
		}
		for _, required := range one.links[path].Requires {
			if !known[required] {
				return nil, fault("binary %s: module %s requires %s, which is not linked: build again", one.Name, path, required)
			}
		}
	}
	if _, ok := one.links[Std]; !ok {
		return nil, fault("binary %s: its links do not name the standard library: build again", one.Name)
	}
	slices.SortFunc(one.modules, func(x, y linked) int { return cmp.Compare(x.path, y.path) })
	return one, nil
}

// compiled is what was compiled as the module that build info calls m.
func (b *builder) compiled(one *binary, m artifact.Module) (linked, error) {
	l := linked{path: m.Path, compiled: m}
	if m.Replace != nil {
		l.compiled = *m.Replace
	}
	c := l.compiled
	if c.Path == "" || c.Version == "" || !strings.HasPrefix(c.Sum, "h1:") {
		return l, fault("binary %s: its build info has no version or h1 hash of module %s: build again from a recipe's lock", one.Name, m.Path)
	}
	if l.changed = b.changed[GoPURL(c.Path, c.Version)]; l.changed != nil && l.changed.To.Sum != c.Sum {
		return l, fault("binary %s: module %s %s is %s in its build info, but was sealed as %s: build again", one.Name, c.Path, c.Version, c.Sum, l.changed.To.Sum)
	}
	return l, nil
}

// readMembers holds the artifact's members against what is given of them.
func (b *builder) readMembers() error {
	seen := map[string]bool{}
	for _, m := range b.in.Record.Members {
		given, ok := b.in.Members[m.Name]
		switch {
		case !ok:
			return fault("member %s has no hashes: build again", m.Name)
		case seen[m.Name]:
			return fault("member %s is there twice: build again", m.Name)
		case given.Whose != Compiled && given.Whose != Own && given.Whose != Upstream && given.Whose != Texts:
			return fault("member %s: it is not known whose it is (%q): build again", m.Name, given.Whose)
		}
		seen[m.Name] = true
		if given.Whose != Compiled {
			continue
		}
		name := m.Name[strings.LastIndexByte(m.Name, '/')+1:]
		i := slices.IndexFunc(b.all, func(x *binary) bool { return x.Name == name })
		if i < 0 || b.all[i].Digest != m.Digest || b.all[i].member != "" {
			return fault("member %s is not the binary that was recorded: build again", m.Name)
		}
		b.all[i].member = m.Name
	}
	for _, name := range slices.Sorted(maps.Keys(b.in.Members)) {
		if !seen[name] {
			return fault("hashes are given of %s, which is no member: build again", name)
		}
	}
	for _, one := range b.all {
		if one.member == "" {
			return fault("binary %s is no member: build again", one.Name)
		}
	}
	return nil
}
