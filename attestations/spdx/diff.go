package spdx

import (
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
	"palisade/attestations/page"
)

// Diff says what changed from a to b, the most important first: nothing for
// documents that say the same, whenever and by whom they were made.
//
// Packages are the same if their package URLs are, apart from versions and
// qualifiers; without one, if their names are. What the documents describe is
// the same if either describes one thing. Files are the same if their names
// below the folder that holds all of them are. Patches are the same if their
// names are, their bytes, or their names without the folder of a version.
func Diff(a, b *Document) []Change { return diff(a.doc, b.doc) }

func diff(a, b *v2_3.Document) []Change {
	d := &differ{a: newGraph(a), b: newGraph(b), partner: map[*node]*node{}, same: map[*node]*node{}}
	d.roots()
	packages := func(n *node) bool { return n.pkg != nil && n.role != roleRoot && n.role != rolePatch }
	d.matched(d.a.having(packages), d.b.having(packages), d.packages, packageSteps...)
	patches := func(n *node) bool { return n.role == rolePatch }
	d.matched(d.a.having(patches), d.b.having(patches), d.patch, patchSteps...)
	d.files()
	d.licenceTexts()
	d.edges()
	slices.SortFunc(d.changes, Compare)
	return slices.Compact(d.changes)
}

type differ struct {
	a, b    *graph
	pairs   []pair
	partner map[*node]*node // both ways
	same    map[*node]*node // of the same side, that says the same
	changes []Change
}

// having is every package and file for which is holds.
func (g *graph) having(is func(*node) bool) []*node {
	return slices.DeleteFunc(slices.Concat(g.packages, g.files), func(n *node) bool { return !is(n) })
}

func (d *differ) add(kind Kind, what What, name, detail, from, to string) {
	from, to = page.Pair(from, to)
	d.changes = append(d.changes, Change{Kind: kind, What: what, Name: page.Line(name), Detail: page.Line(detail), From: from, To: to})
}

// matched tells what was added and removed, and compares the rest.
func (d *differ) matched(as, bs []*node, compare func(a, b *node), steps ...step) {
	pairs, onlyA, onlyB := match(d.distinct(as), d.distinct(bs), steps...)
	for _, n := range onlyA {
		d.add(Removed, n.what(), n.fullName(), "", n.version(), "")
	}
	for _, n := range onlyB {
		d.add(Added, n.what(), n.fullName(), "", "", n.version())
	}
	for _, p := range pairs {
		d.pairs = append(d.pairs, p)
		d.partner[p.a], d.partner[p.b] = p.b, p.a
		compare(p.a, p.b)
	}
}

// distinct leaves out what is there twice: some tools list a package for every
// place where they found it.
func (d *differ) distinct(nodes []*node) []*node {
	first := map[string]*node{}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool {
		id := n.class() + "\n" + n.fingerprint()
		other, twice := first[id]
		if twice {
			d.same[n] = other
			other.applied = append(other.applied, n.applied...)
		} else {
			first[id] = n
		}
		return twice
	})
}

func (d *differ) roots() {
	if len(d.a.roots) == 1 && len(d.b.roots) == 1 {
		d.matched(d.a.roots, d.b.roots, d.packages, func(*node) string { return "the one" })
		return
	}
	d.matched(d.a.roots, d.b.roots, d.packages, packageSteps...)
}

func (n *node) what() What {
	switch {
	case n.role == roleRoot:
		return OfArtifact
	case n.role == rolePatch:
		return OfPatch
	case n.role == roleToolchain:
		return OfToolchain
	case n.pkg == nil:
		return OfFile
	case n.purl.Type == packageurl.TypeGolang:
		return OfModule
	default:
		return OfPackage
	}
}

// fullName tells the sealed module from the one that it was made from.
func (n *node) fullName() string {
	if n.role == roleSealed {
		return n.rawName() + " (patched)"
	}
	return n.rawName()
}

// packages compares two packages, or what two documents describe.
func (d *differ) packages(a, b *node) {
	what, name := a.what(), min(a.fullName(), b.fullName())
	va, vb := a.version(), b.version()
	order, known := b.compareVersion(a)
	switch {
	case what == OfArtifact && a.rawName() != b.rawName():
		d.add(Changed, what, "", "", joined(a.rawName(), va), joined(b.rawName(), vb))
		return
	case known && order > 0:
		d.add(Raised, what, name, "", va, vb)
	case known && order < 0:
		d.add(Lowered, what, name, "", va, vb)
	case va != vb:
		d.add(Changed, what, name, "", va, vb)
	case a.purpose() != b.purpose(): // an archive and a binary of the same name
		d.add(Changed, what, name, "purpose", a.purpose(), b.purpose())
	case a.qualifiers() == b.qualifiers():
		d.content(a, b, what, name)
	}
	if a.rawName() != b.rawName() {
		d.add(Changed, what, name, "name", a.rawName(), b.rawName())
	}
	if qa, qb := a.qualifiers(), b.qualifiers(); a.platform() != b.platform() {
		d.add(Changed, what, name, "platform", a.platform(), b.platform())
	} else if qa != qb {
		d.add(Changed, what, name, "qualifiers", qa, qb)
	}
	d.licences(a, b, what, name)
	if a.pkg != nil && b.pkg != nil && va == vb {
		if x, y := said(a.pkg.PackageDownloadLocation), said(b.pkg.PackageDownloadLocation); x != y {
			d.add(Changed, what, name, "download location", x, y)
		}
	}
	if x, y := a.supplier(), b.supplier(); x != y {
		d.add(SupplierChanged, what, name, "", x, y)
	}
}

func (n *node) purpose() string {
	if n.pkg == nil {
		return "FILE"
	}
	return n.pkg.PrimaryPackagePurpose
}

// content compares hashes under one version. A hash that only one side has is
// told too: it can no longer be compared.
func (d *differ) content(a, b *node, what What, name string) {
	x, y := a.digests(), b.digests()
	var algorithmsX, algorithmsY []string
	for _, dx := range x {
		algorithmsX = append(algorithmsX, dx.algorithm)
		for _, dy := range y {
			if dx.algorithm != dy.algorithm || dx.value == dy.value {
				continue
			}
			kind, detail := Changed, ""
			if v := a.version(); v != "" && v == b.version() {
				kind, detail = ContentChanged, v
			}
			d.add(kind, what, name, detail, dx.String(), dy.String())
			return
		}
	}
	for _, dy := range y {
		algorithmsY = append(algorithmsY, dy.algorithm)
	}
	if !slices.Equal(algorithmsX, algorithmsY) {
		d.add(Changed, what, name, "hashes", strings.Join(algorithmsX, ", "), strings.Join(algorithmsY, ", "))
	}
}

func (d *differ) licences(a, b *node, what What, name string) {
	var concludedA, concludedB, declaredA, declaredB string
	if a.pkg != nil {
		concludedA, declaredA = said(a.pkg.PackageLicenseConcluded), said(a.pkg.PackageLicenseDeclared)
	} else {
		concludedA = said(a.file.LicenseConcluded)
	}
	if b.pkg != nil {
		concludedB, declaredB = said(b.pkg.PackageLicenseConcluded), said(b.pkg.PackageLicenseDeclared)
	} else {
		concludedB = said(b.file.LicenseConcluded)
	}
	if concludedA != concludedB {
		d.add(LicenceChanged, what, name, "", concludedA, concludedB)
	}
	if declaredA != declaredB && (declaredA != concludedA || declaredB != concludedB) {
		d.add(LicenceChanged, what, name, "declared", declaredA, declaredB)
	}
}

func (d *differ) patch(a, b *node) {
	name := min(a.rawName(), b.rawName())
	if a.rawName() != b.rawName() {
		d.add(Changed, OfPatch, name, place, a.rawName(), b.rawName())
	}
	if a.version() != b.version() {
		d.add(Changed, OfPatch, name, "version", a.version(), b.version())
	}
	d.content(a, b, OfPatch, name)
	d.licences(a, b, OfPatch, name)
	x, y := strings.Join(names(a.applied), ", "), strings.Join(names(b.applied), ", ")
	if x != y {
		d.add(Changed, OfPatch, name, "applied to", x, y)
	}
}

func (d *differ) files() {
	isFile := func(n *node) bool { return n.role == roleFile }
	folderA, folderB := d.a.folder(), d.b.folder()
	as, bs := d.a.having(isFile), d.b.having(isFile)
	for _, side := range []struct {
		files  []*node
		folder string
	}{{as, folderA}, {bs, folderB}} {
		for _, n := range side.files {
			bare := *n.file // the document is not ours to change
			bare.FileName = strings.TrimPrefix(n.rawName(), side.folder)
			n.file = &bare
		}
	}
	d.matched(as, bs, func(a, b *node) {
		d.content(a, b, OfFile, a.rawName())
		d.licences(a, b, OfFile, a.rawName())
	}, (*node).fingerprint, (*node).rawName)
}

// folder is the one in which everything lies that the document describes, with
// a slash, or nothing: it holds the version in its name.
func (g *graph) folder() string {
	folder := ""
	for _, root := range g.roots {
		for _, n := range root.contains {
			if n.role != roleFile {
				continue
			}
			first, _, below := strings.Cut(n.rawName(), "/")
			if !below || folder != "" && folder != first+"/" {
				return ""
			}
			folder = first + "/"
		}
	}
	return folder
}

// licenceTexts compares licences that are not on the SPDX list: their names
// mean something in one document alone.
func (d *differ) licenceTexts() {
	texts := map[string]string{}
	for _, l := range d.a.doc.OtherLicenses {
		if l != nil {
			texts[l.LicenseIdentifier] = l.ExtractedText
		}
	}
	for _, l := range d.b.doc.OtherLicenses {
		if l == nil {
			continue
		}
		if before, ok := texts[l.LicenseIdentifier]; ok && before != l.ExtractedText {
			d.add(LicenceChanged, OfText, l.LicenseIdentifier, "",
				artifact.DigestBytes([]byte(before)).String(), artifact.DigestBytes([]byte(l.ExtractedText)).String())
		}
	}
}

// edges compares what requires or links what, between what is in both
// documents. A sealed module counts as the one it stands for.
func (d *differ) edges() {
	required := func(g *graph) map[*node]map[*node]bool {
		all := map[*node]map[*node]bool{}
		for _, n := range slices.Concat(g.packages, g.files) {
			from := d.meant(n)
			for _, to := range slices.Concat(n.requires, n.links) {
				if to = d.meant(to); to != from && d.partner[to] != nil {
					if all[from] == nil {
						all[from] = map[*node]bool{}
					}
					all[from][to] = true
				}
			}
		}
		return all
	}
	before, after := required(d.a), required(d.b)
	for _, p := range d.pairs {
		var gone, come []*node
		for to := range before[p.a] {
			if !after[p.b][d.partner[to]] {
				gone = append(gone, to)
			}
		}
		for to := range after[p.b] {
			if !before[p.a][d.partner[to]] {
				come = append(come, to)
			}
		}
		name := min(p.a.rawName(), p.b.rawName())
		if len(gone) > 0 {
			d.add(RequiresNoMore, p.a.what(), name, "", strings.Join(names(gone), ", "), "")
		}
		if len(come) > 0 {
			d.add(Requires, p.a.what(), name, "", "", strings.Join(names(come), ", "))
		}
	}
}

// meant is the module that a sealed one stands for, else n itself, or what
// says the same.
func (d *differ) meant(n *node) *node {
	if n.role == roleSealed {
		n = n.upstream
	}
	if other, ok := d.same[n]; ok {
		return other
	}
	return n
}
