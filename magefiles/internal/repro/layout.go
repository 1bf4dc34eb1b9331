package repro

import (
	"fmt"
	"slices"
	"strings"
)

// The files of an OCI image layout (image-layout.md) by which it is known, and
// the one that Docker reads.
const (
	layoutName   = "oci-layout"
	layoutIndex  = "index.json"
	layoutDocker = "manifest.json"
)

// Bounds of what is looked at as a layout. One for every platform that there is
// has some fifty members; registries take no larger documents.
const (
	maxParts    = 4096
	maxDocument = 4 << 20 // bytes
)

// isLayout reports whether an archive is an image layout: one in which each name
// is there once.
func isLayout(members []member) bool {
	if len(members) > maxParts {
		return false
	}
	found := 0
	for _, m := range members {
		if m.nth > 0 {
			return false
		}
		if m.name == layoutName || m.name == layoutIndex {
			found++
		}
	}
	return found == 2
}

// layouts compares two image layouts, read no stricter than is needed to walk
// them: whether one is an image is for others to say (attestations/ocilayout).
// What has the same role in both is compared, from index.json downwards: an
// index's manifests by platform, a manifest's layers in their order. A document
// that differs in nothing but digests and sizes of what differs below it is not
// reported.
func (c *comparison) layouts(p place, a, b []member, load func(second bool, k key) ([]byte, error)) {
	l := &layouts{comparison: c, place: p, load: load, explained: 4 * c.lim.explained, seen: map[twins]bool{}, changed: map[twins]string{}}
	for i, members := range [][]member{a, b} {
		l.sides[i] = side{map[string]member{}, map[string]string{}}
		for _, m := range members {
			l.sides[i].members[m.name] = m
		}
	}
	for _, name := range []string{layoutName, layoutIndex, layoutDocker} {
		if _, ok := l.sides[0].members[name]; ok {
			l.compare(name, twins{name, name})
		}
	}
	unnamed := func(i int, all []member) []member {
		return slices.DeleteFunc(slices.Clone(all), func(m member) bool { return l.sides[i].roles[m.name] != "" })
	}
	c.members(p, unnamed(0, a), unnamed(1, b), load)
	l.order(a, b)
}

// layouts is a comparison of two of them.
type layouts struct {
	*comparison
	place     place
	load      func(second bool, k key) ([]byte, error)
	sides     [2]side
	seen      map[twins]bool
	changed   map[twins]string // role of those whose contents differ, and of what layers unpack to
	explained int              // contents that may still be looked into
}

// Twins are the names of two members that have the same role.
type twins [2]string

// A side is one of the layouts.
type side struct {
	members map[string]member
	roles   map[string]string // of members, by name
}

func (l *layouts) say(role, format string, args ...any) {
	l.add(l.place.inside(role).at("", -1, format, args...))
}

// compare compares two members of a role, and reports whether their contents
// differ.
func (l *layouts) compare(role string, names twins) bool {
	ma, inA := l.sides[0].members[names[0]]
	mb, inB := l.sides[1].members[names[1]]
	l.claim(0, role, names[0])
	l.claim(1, role, names[1])
	switch {
	case !inA && !inB:
		return names[0] != names[1]
	case !inA:
		l.say(role, "%s is missing in the first build", names[0])
		return true
	case !inB:
		l.say(role, "%s is missing in the second build", names[1])
		return true
	case l.seen[names]:
		return !ma.same(mb)
	}
	l.seen[names] = true
	l.facts(l.place.inside(role), ma, mb)
	docs := [2]any{l.read(0, ma), l.read(1, mb)}
	l.descend(role, docs)
	if ma.same(mb) {
		if names[0] != names[1] {
			l.say(role, "is called %s in the first build, %s in the second, and has the same content", names[0], names[1])
		}
		return false
	}
	l.changed[names] = role
	if l.follows(role, docs) {
		return true
	}
	if l.explained--; l.explained < 0 {
		l.say(role, "content differs (%d and %d bytes); only the first %d differing parts are looked into", ma.size, mb.size, 4*l.lim.explained)
		return true
	}
	l.memberContents(l.place.inside(role), ma, mb, l.load)
	return true
}

// claim gives a member its role, unless it has one.
func (l *layouts) claim(i int, role, name string) bool {
	if l.sides[i].roles[name] != "" {
		return false
	}
	l.sides[i].roles[name] = role
	return true
}

// descend compares what two documents name, if they are indexes or manifests.
func (l *layouts) descend(role string, docs [2]any) {
	indexA, indexB := partsOf(docs[0], "manifests"), partsOf(docs[1], "manifests")
	layersA, layersB := partsOf(docs[0], "layers"), partsOf(docs[1], "layers")
	switch {
	case len(indexA) > 0 && len(indexB) > 0:
		l.manifests(indexA, indexB)
	case len(layersA) > 0 && len(layersB) > 0:
		l.image(role, docs, layersA, layersB)
	}
}

// follows compares two documents that differ, in all that does not follow from
// what they name. It reports whether anything does; else they are to be compared
// as what they are.
func (l *layouts) follows(role string, docs [2]any) bool {
	a, b, found := align(docs[0], docs[1], l.changed)
	if found {
		l.values(l.place.inside(role), "", a, b, -1)
	}
	return found
}

// read decodes a document. Whatever is none is nil.
func (l *layouts) read(i int, m member) any {
	if m.size > maxDocument {
		return nil
	}
	data, err := l.load(i == 1, m.key())
	if err != nil {
		return nil
	}
	v, err := decode(bytesContent(data), maxDocument)
	if err != nil {
		return nil
	}
	return v
}

// manifests compares what two indexes name, by platform and, of one platform, in
// their order.
func (l *layouts) manifests(a, b []any) {
	rolesA, inA := byPlatform(a)
	rolesB, inB := byPlatform(b)
	for _, role := range rolesA {
		if d, both := inB[role]; both {
			l.compare(role, twins{inA[role], d})
			continue
		}
		l.only(0, role, inA[role])
	}
	for _, role := range rolesB {
		if _, both := inA[role]; !both {
			l.only(1, role, inB[role])
		}
	}
}

// image compares what two manifests name: the layers in their order, and then
// the configuration, which holds digests of theirs.
func (l *layouts) image(role string, docs [2]any, a, b []any) {
	prefix, ofPlatform := strings.CutSuffix(role, "manifest")
	if !ofPlatform {
		prefix += " "
	}
	configs := [2]string{blobOf(fieldOf(docs[0], "config")), blobOf(fieldOf(docs[1], "config"))}
	unpacked := [2][]any{l.diffIDs(0, configs[0]), l.diffIDs(1, configs[1])}
	for n := range max(len(a), len(b)) {
		role := fmt.Sprintf("%slayer %d", prefix, n+1)
		switch {
		case n >= len(b):
			l.only(0, role, blobOf(a[n]))
		case n >= len(a):
			l.only(1, role, blobOf(b[n]))
		case l.compare(role, twins{blobOf(a[n]), blobOf(b[n])}):
			// What the layer unpacks to has a digest too, which names no member.
			if n < len(unpacked[0]) && n < len(unpacked[1]) {
				l.changed[twins{blobNamed(unpacked[0][n]), blobNamed(unpacked[1][n])}] = role + ", unpacked"
			}
		}
	}
	l.compare(prefix+"config", configs)
}

// diffIDs are the digests of unpacked layers that a configuration holds.
func (l *layouts) diffIDs(i int, name string) []any {
	m, ok := l.sides[i].members[name]
	if !ok {
		return nil
	}
	return partsOf(fieldOf(l.read(i, m), "rootfs"), "diff_ids")
}

// only reports what one side alone has, with all that it names.
func (l *layouts) only(i int, role, name string) {
	l.say(role, "only in the %s build", []string{"first", "second"}[i])
	l.claimAll(i, role, name)
}

func (l *layouts) claimAll(i int, role, name string) {
	m, ok := l.sides[i].members[name]
	if !ok || !l.claim(i, role, name) {
		return
	}
	doc := l.read(i, m)
	for _, d := range slices.Concat(partsOf(doc, "manifests"), []any{fieldOf(doc, "config")}, partsOf(doc, "layers")) {
		l.claimAll(i, "what belongs to "+role, blobOf(d))
	}
}

// order compares the order of what has a role, unless each side has its members
// in the order of their names: then it follows from the digests.
func (l *layouts) order(a, b []member) {
	byName := func(x, y member) int { return strings.Compare(x.name, y.name) }
	if slices.IsSortedFunc(a, byName) && slices.IsSortedFunc(b, byName) {
		return
	}
	of := func(i int, all []member) (roles []string) {
		for _, m := range all {
			if role := l.sides[i].roles[m.name]; role != "" {
				roles = append(roles, role)
			}
		}
		return roles
	}
	rolesA, rolesB := of(0, a), of(1, b)
	for i := range min(len(rolesA), len(rolesB)) {
		if rolesA[i] != rolesB[i] {
			l.say(rolesA[i], "%s: the second build has %q in its place", Order, rolesB[i])
			return
		}
	}
}
