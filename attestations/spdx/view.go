package spdx

import (
	"cmp"
	"path"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/page"
)

// A View is what a person reads of a document: sorted values on one line
// each, without control and format characters, whatever the document holds.
// What the document does not say is empty.
type View struct {
	Name       string   // of the document
	Component  string   // what the document describes
	Version    string   // of it
	File       string   // that holds it
	Platform   string   // os/arch, from its package URL
	Digest     string   // of the file: "SHA256 0123…"
	Licence    string   // of it and what it holds
	Supplier   string   // of it
	Source     string   // what it was made from, in the document's words
	Others     []string // what else the document describes
	Namespace  string   // of the document
	Created    string   // RFC 3339
	Creators   []string
	Standard   []ViewPackage // the standard library
	Modules    []ViewPackage // Go modules
	Packages   []ViewPackage // packages of every other kind
	Sources    []ViewPackage // from which something was made, and which are not in it themselves
	Toolchains []ViewPackage
	Patches    []ViewPatch
	Files      []ViewFile
	Licences   []ViewLicence // of standard library, modules and packages
}

// A ViewPackage is a package of a View.
type ViewPackage struct {
	Kind       string // type of its package URL, "golang" or "npm"
	Name       string
	Version    string
	Patched    string   // version of the sealed module that stands in its place
	Licence    string   // concluded, or declared where nothing was
	Supplier   string   // without "Organization:"
	Main       bool     // what the document describes, or a binary in it, was made from it
	Direct     bool     // required by what the document describes, or its main module
	RequiredBy []string // names; none where the document tells no dependencies
	LinkedInto []string // names of binaries
	Digest     string   // "h1 …" where that is what pins it
	Note       string   // the document's comment on it: what is known of how it came there
}

// A ViewPatch is a patch and the packages that it was applied to.
type ViewPatch struct {
	Name    string
	Applied []string // name and version
	Digest  string
}

// A ViewFile is a file. In names the packages that hold it, none where what
// the document describes does, or nothing is said.
type ViewFile struct{ Name, Licence, Digest, In string }

// A ViewLicence says how many of the packages are under a licence. The empty
// one is of those that nothing is said of.
type ViewLicence struct {
	Licence string
	Count   int
}

// View is what a person reads of d.
func (d *Document) View() View { return view(d.doc) }

func view(doc *v2_3.Document) View {
	g := newGraph(doc)
	v := View{Name: page.Line(doc.DocumentName), Component: page.Line(doc.DocumentName), Namespace: page.Line(doc.DocumentNamespace)}
	if info := doc.CreationInfo; info != nil {
		v.Created = page.Line(info.Created)
		for _, c := range info.Creators {
			v.Creators = append(v.Creators, page.Line(c.CreatorType+": "+c.Creator))
		}
		slices.Sort(v.Creators)
	}
	if len(g.roots) == 0 && len(g.packages) == 1 { // it can only mean that one: SPDX 2.3, 11.1
		g.roots = g.packages[:1:1]
		g.packages[0].role = roleRoot
	}
	for i, root := range g.roots {
		if i == 0 {
			v.describe(root)
		} else {
			v.Others = append(v.Others, joined(root.name(), page.Line(root.version())))
		}
	}
	v.addPackages(g)
	for _, n := range slices.Concat(g.files, g.packages) {
		switch {
		case n.role == rolePatch:
			v.Patches = append(v.Patches, n.viewPatch())
		case n.role == roleFile:
			v.Files = append(v.Files, n.viewFile())
		}
	}
	slices.SortFunc(v.Patches, func(a, b ViewPatch) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Digest, b.Digest))
	})
	slices.SortFunc(v.Files, func(a, b ViewFile) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Digest, b.Digest))
	})
	v.count()
	return v
}

func (v *View) describe(root *node) {
	v.Component, v.Version = root.name(), page.Line(root.version())
	v.Licence, v.Digest, v.Platform = root.licence(), root.digest(), root.platform()
	if root.pkg != nil {
		v.File, v.Supplier, v.Source = page.Line(root.pkg.PackageFileName), root.supplier(), page.Line(root.pkg.PackageSourceInfo)
	} else {
		v.File = root.name()
	}
}

func (v *View) addPackages(g *graph) {
	direct, main := g.direct()
	sealed := map[*node][]*node{} // by upstream's
	for _, n := range g.packages {
		if n.role == roleSealed {
			sealed[n.upstream] = append(sealed[n.upstream], n)
		}
	}
	for _, n := range g.packages {
		p := n.viewPackage(sealed[n], direct, main)
		switch {
		case n.role == roleSealed || n.role == roleRoot || n.role == rolePatch:
		case n.role == roleToolchain:
			v.Toolchains = append(v.Toolchains, p)
		case n.role == roleStd:
			v.Standard = append(v.Standard, p)
		case n.role == roleModule || len(sealed[n]) > 0:
			v.Modules = append(v.Modules, p)
		case n.role == roleSource:
			v.Sources = append(v.Sources, p)
		default:
			v.Packages = append(v.Packages, p)
		}
	}
	for _, list := range [][]ViewPackage{v.Standard, v.Modules, v.Packages, v.Sources, v.Toolchains} {
		slices.SortStableFunc(list, func(a, b ViewPackage) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Digest, b.Digest))
		})
	}
}

// direct is what the described elements and their main modules require, and
// these modules.
func (g *graph) direct() (direct, main map[*node]bool) {
	heads := slices.Clone(g.roots)
	for _, root := range g.roots {
		for _, held := range root.contains {
			if held.file != nil {
				heads = append(heads, held)
			}
		}
	}
	main = map[*node]bool{}
	for i := 0; i < len(heads); i++ {
		for _, from := range heads[i].from {
			if !main[from] {
				main[from] = true
				heads = append(heads, from)
			}
		}
	}
	direct = map[*node]bool{}
	for _, head := range heads {
		for _, required := range head.requires {
			direct[required] = !main[required]
		}
	}
	return direct, main
}

// viewPackage shows n, or the sealed ones that stand in its place.
func (n *node) viewPackage(sealed []*node, direct, main map[*node]bool) ViewPackage {
	p := ViewPackage{
		Kind: n.purl.Type, Name: n.name(), Version: page.Line(n.version()), Licence: n.licence(),
		Supplier: n.supplier(), Digest: n.digest(), Note: page.Line(n.pkg.PackageComment),
	}
	requiredBy, linkedBy := slices.Clone(n.requiredBy), slices.Clone(n.linkedBy)
	p.Direct, p.Main = direct[n], main[n]
	var versions []string
	for _, s := range sealed {
		versions = append(versions, page.Line(s.version()))
		requiredBy, linkedBy = append(requiredBy, s.requiredBy...), append(linkedBy, s.linkedBy...)
		p.Direct = p.Direct || direct[s]
		p.Licence = cmp.Or(s.licence(), p.Licence)
	}
	p.Patched = strings.Join(slices.Compact(slices.Sorted(slices.Values(versions))), ", ")
	p.RequiredBy, p.LinkedInto = names(requiredBy), names(linkedBy)
	for i, name := range p.LinkedInto {
		p.LinkedInto[i] = path.Base(name)
	}
	slices.Sort(p.LinkedInto)
	return p
}

func (n *node) viewPatch() ViewPatch {
	p := ViewPatch{Name: n.name(), Digest: n.digest()}
	for _, to := range n.applied {
		p.Applied = append(p.Applied, joined(to.name(), page.Line(to.version())))
	}
	return p
}

func (n *node) viewFile() ViewFile {
	f := ViewFile{Name: n.name(), Licence: n.licence(), Digest: n.digest()}
	if !slices.ContainsFunc(n.inside, func(in *node) bool { return in.role == roleRoot }) {
		f.In = strings.Join(names(n.inside), ", ")
	}
	return f
}

func (v *View) count() {
	counts := map[string]int{}
	for _, p := range slices.Concat(v.Standard, v.Modules, v.Packages) {
		counts[p.Licence]++
	}
	for licence, n := range counts {
		v.Licences = append(v.Licences, ViewLicence{licence, n})
	}
	slices.SortFunc(v.Licences, func(a, b ViewLicence) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Licence, b.Licence))
	})
}

// licence is the concluded one, or the declared one where none was concluded.
func (n *node) licence() string {
	if n.pkg != nil {
		return page.Line(cmp.Or(said(n.pkg.PackageLicenseConcluded), said(n.pkg.PackageLicenseDeclared)))
	}
	return page.Line(said(n.file.LicenseConcluded))
}

func (n *node) supplier() string {
	if n.pkg == nil || n.pkg.PackageSupplier == nil {
		return ""
	}
	return page.Line(said(n.pkg.PackageSupplier.Supplier))
}

// digest is the first of n's, "" where it has none.
func (n *node) digest() string {
	if all := n.digests(); len(all) > 0 {
		return page.Line(all[0].String())
	}
	return ""
}

func (n *node) platform() string {
	q := n.purl.Qualifiers.Map()
	if n.purl.Type != packageurl.TypeGeneric && n.purl.Type != packageurl.TypeOCI || q["os"] == "" && q["arch"] == "" {
		return ""
	}
	return page.Line(strings.Trim(q["os"]+"/"+q["arch"], "/"))
}

// joined is what is there of name and version.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}
