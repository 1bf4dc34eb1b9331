package spdx

import (
	"cmp"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/page"
)

// A graph is a document made ready to be asked: elements by their identifier,
// relationships in one direction each, and what every package is.
type graph struct {
	doc      *v2_3.Document
	nodes    map[common.ElementID]*node
	packages []*node // in the document's order
	files    []*node // likewise, of all packages
	roots    []*node // what the document describes
}

// A node is a package or a file, and what the relationships say of it.
type node struct {
	id   common.ElementID
	pkg  *v2_3.Package // nil for a file
	file *v2_3.File    // nil for a package
	purl packageurl.PackageURL
	key  string // the same for all versions of a package: its package URL without version and qualifiers, or its name
	role role

	upstream *node  // the module version that this one was made from, nil where it is none that was sealed
	print    string // see fingerprint
	source   bool   // something was made from it
	tool     bool   // it worked on something

	contains, requires, links, from, applied []*node // outwards
	requiredBy, linkedBy, inside             []*node // inwards
}

// A role is what a package or file is there for.
type role int

const (
	roleSource    role = iota // something else was made from it, no more
	roleRoot                  // described by the document
	roleStd                   // Go's standard library
	roleModule                // Go
	rolePackage               // of any other kind
	roleSealed                // a Go module version that was made from another of the same path
	roleToolchain             // worked on it
	rolePatch
	roleFile
)

// arcs gives each relationship type that is looked at one direction: those
// with reversed say of B what the other name says of A.
var arcs = map[string]struct {
	name     string
	reversed bool
}{
	common.TypeRelationshipContains:             {common.TypeRelationshipContains, false},
	common.TypeRelationshipContainedBy:          {common.TypeRelationshipContains, true},
	common.TypeRelationshipDependsOn:            {common.TypeRelationshipDependsOn, false},
	common.TypeRelationshipDependencyOf:         {common.TypeRelationshipDependsOn, true},
	common.TypeRelationshipRuntimeDependencyOf:  {common.TypeRelationshipDependsOn, true},
	common.TypeRelationshipOptionalDependencyOf: {common.TypeRelationshipDependsOn, true},
	common.TypeRelationshipProvidedDependencyOf: {common.TypeRelationshipDependsOn, true},
	common.TypeRelationshipStaticLink:           {common.TypeRelationshipStaticLink, false},
	common.TypeRelationshipDynamicLink:          {common.TypeRelationshipStaticLink, false},
	common.TypeRelationshipGeneratedFrom:        {common.TypeRelationshipGeneratedFrom, false},
	common.TypeRelationshipGenerates:            {common.TypeRelationshipGeneratedFrom, true},
	common.TypeRelationshipPatchApplied:         {common.TypeRelationshipPatchApplied, false},
	common.TypeRelationshipPatchFor:             {common.TypeRelationshipPatchApplied, false},
	common.TypeRelationshipBuildToolOf:          {common.TypeRelationshipBuildToolOf, false},
	common.TypeRelationshipDescribe:             {common.TypeRelationshipDescribe, false},
	common.TypeRelationshipDescribeBy:           {common.TypeRelationshipDescribe, true},
}

// newGraph reads doc, which need not be valid: what is not there is left out.
func newGraph(doc *v2_3.Document) *graph {
	g := &graph{doc: doc, nodes: map[common.ElementID]*node{}}
	for _, p := range doc.Packages {
		if p == nil || g.nodes[p.PackageSPDXIdentifier] != nil {
			continue
		}
		n := &node{id: p.PackageSPDXIdentifier, pkg: p, purl: purlOf(p), role: rolePackage}
		n.key = keyOf(p, n.purl)
		g.nodes[n.id] = n
		g.packages = append(g.packages, n)
		for _, f := range p.Files {
			if held := g.addFile(f); held != nil {
				n.contains, held.inside = append(n.contains, held), append(held.inside, n)
			}
		}
	}
	for _, f := range doc.Files {
		g.addFile(f)
	}
	for _, r := range doc.Relationships {
		g.relate(r)
	}
	for _, n := range g.roots {
		n.role = roleRoot
	}
	g.roots = unique(g.roots)
	for _, n := range g.nodes {
		for _, list := range []*[]*node{&n.contains, &n.requires, &n.links, &n.from, &n.applied, &n.requiredBy, &n.linkedBy, &n.inside} {
			*list = unique(*list)
		}
	}
	stoodFor := map[*node]bool{}
	for _, n := range unique(slices.Clone(g.packages)) {
		n.findUpstream(stoodFor)
	}
	for _, n := range g.nodes {
		n.role = n.findRole()
	}
	return g
}

func (g *graph) addFile(f *v2_3.File) *node {
	if f == nil || g.nodes[f.FileSPDXIdentifier] != nil {
		return nil
	}
	n := &node{id: f.FileSPDXIdentifier, file: f, key: "file", role: roleFile}
	g.nodes[n.id] = n
	g.files = append(g.files, n)
	return n
}

func (g *graph) relate(r *v2_3.Relationship) {
	if r == nil || r.RefA.DocumentRefID != "" || r.RefB.DocumentRefID != "" {
		return
	}
	arc, known := arcs[r.Relationship]
	a, b := r.RefA.ElementRefID, r.RefB.ElementRefID
	if arc.reversed {
		a, b = b, a
	}
	to := g.nodes[b]
	if !known || to == nil {
		return
	}
	if arc.name == common.TypeRelationshipDescribe && a == g.doc.SPDXIdentifier {
		g.roots = append(g.roots, to)
		return
	}
	from := g.nodes[a]
	if from == nil {
		return
	}
	switch arc.name {
	case common.TypeRelationshipContains:
		from.contains, to.inside = append(from.contains, to), append(to.inside, from)
	case common.TypeRelationshipDependsOn:
		from.requires, to.requiredBy = append(from.requires, to), append(to.requiredBy, from)
	case common.TypeRelationshipStaticLink:
		from.links, to.linkedBy = append(from.links, to), append(to.linkedBy, from)
	case common.TypeRelationshipGeneratedFrom:
		from.from = append(from.from, to)
		to.source = true
	case common.TypeRelationshipPatchApplied:
		from.applied = append(from.applied, to)
	case common.TypeRelationshipBuildToolOf:
		from.tool = true
	}
}

func (n *node) findRole() role {
	switch {
	case n.role == roleRoot:
		return roleRoot
	case len(n.applied) > 0:
		return rolePatch
	case n.file != nil:
		return roleFile
	case n.tool:
		return roleToolchain
	case n.purl.Type == packageurl.TypeGolang && n.purl.Namespace == "" && (n.purl.Name == "stdlib" || n.purl.Name == Std):
		return roleStd
	case n.upstream != nil:
		return roleSealed
	case n.source && len(n.requiredBy) == 0 && len(n.linkedBy) == 0 && len(n.inside) == 0:
		return roleSource
	case n.purl.Type == packageurl.TypeGolang:
		return roleModule
	default:
		return rolePackage
	}
}

// findUpstream sets node.upstream. What another stands for is not sealed
// itself, so that nothing is hidden behind a circle.
func (n *node) findUpstream(stoodFor map[*node]bool) {
	if n.purl.Type != packageurl.TypeGolang || n.role == roleRoot || stoodFor[n] {
		return
	}
	for _, from := range n.from {
		if from.key == n.key && from.upstream == nil && from != n && n.upstream == nil {
			n.upstream = from
			stoodFor[from] = true
		}
	}
}

// purlOf is the package URL of p, the zero value where it has none that can
// be read.
func purlOf(p *v2_3.Package) packageurl.PackageURL {
	for _, ref := range p.PackageExternalReferences {
		if ref != nil && ref.RefType == common.TypePackageManagerPURL {
			if purl, err := packageurl.FromString(ref.Locator); err == nil {
				return purl
			}
		}
	}
	return packageurl.PackageURL{}
}

// keyOf gives node.key.
func keyOf(p *v2_3.Package, purl packageurl.PackageURL) string {
	if purl.Type == "" {
		return "name " + p.PackageName
	}
	purl.Version, purl.Qualifiers = "", nil
	return purl.ToString()
}

// rawName is what n is called, with its kind before it where another package
// of the same name might be meant. It is not fit to be shown.
func (n *node) rawName() string {
	if n.pkg == nil {
		return strings.TrimPrefix(n.file.FileName, "./")
	}
	name := n.pkg.PackageName
	if n.role == roleRoot || n.role == roleToolchain {
		return name
	}
	if slices.Contains(spaced, n.purl.Type) && !strings.Contains(strings.ToLower(name), strings.ToLower(n.purl.Namespace)) {
		name = n.purl.Namespace + "/" + name
	}
	if p := n.platform(); n.purl.Type == packageurl.TypeOCI && p != "" {
		name += " for " + p
	}
	if t := n.purl.Type; t != "" && t != packageurl.TypeGolang && t != packageurl.TypeGeneric {
		name = t + ":" + name
	}
	return name
}

// spaced are the types whose packages are not told apart without a namespace,
// which some tools leave out of the name.
var spaced = []string{packageurl.TypeComposer, packageurl.TypeGolang, packageurl.TypeMaven, packageurl.TypeNPM}

// qualifiers of n's package URL that tell one package from another: not those
// that say where it is had and what its bytes are.
func (n *node) qualifiers() string {
	apart := slices.DeleteFunc(slices.Clone(n.purl.Qualifiers), func(q packageurl.Qualifier) bool {
		return slices.Contains([]string{"checksum", "download_url", "file_name", "vcs_url"}, q.Key)
	})
	return apart.String()
}

func (n *node) name() string { return page.Line(n.rawName()) }

func (n *node) version() string {
	if n.pkg == nil {
		return ""
	}
	return cmp.Or(n.pkg.PackageVersion, n.purl.Version)
}

func unique(nodes []*node) []*node {
	slices.SortFunc(nodes, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.rawName(), b.rawName()), cmp.Compare(a.version(), b.version()), cmp.Compare(a.id, b.id))
	})
	return slices.Compact(nodes)
}

// names of nodes, each once, sorted.
func names(nodes []*node) []string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.name()
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A digest is a hash under the name of its algorithm.
type digest struct{ algorithm, value string }

func (d digest) String() string {
	if d.value == "" {
		return "none"
	}
	return d.algorithm + " " + d.value
}

// hashTypes are external references that hold a hash of the whole content
// which no SPDX checksum can.
var hashTypes = map[string]string{refGoH1: "h1", refNPMIntegrity: "integrity", refGitH1: "h1"}

// ofFiles is the name that a verification code goes by among hashes: it is the
// SHA-1 of the SHA-1s of a package's files (7.9).
const ofFiles = "verification code"

// preferred is the order in which hashes are shown and compared: what pins a
// package where it comes from, then what people compare, then what is left.
var preferred = []string{
	"h1", "integrity", "SHA256", "SHA512", "SHA384", "SHA3-256", "SHA3-512", "SHA3-384",
	"BLAKE2b-256", "BLAKE2b-512", "BLAKE2b-384", "BLAKE3", "SHA224", "SHA1", ofFiles, "MD6", "MD5", "MD4", "MD2", "ADLER32",
}

// digests are n's hashes in that order, of each algorithm one.
func (n *node) digests() []digest {
	var all []digest
	var sums []common.Checksum
	if n.pkg != nil {
		sums = n.pkg.PackageChecksums
		if code := n.pkg.PackageVerificationCode; code != nil {
			all = append(all, digest{ofFiles, strings.ToLower(code.Value)})
		}
		for _, ref := range n.pkg.PackageExternalReferences {
			if ref != nil && hashTypes[ref.RefType] != "" {
				all = append(all, digest{hashTypes[ref.RefType], strings.TrimPrefix(ref.Locator, hashTypes[ref.RefType]+":")})
			}
		}
	} else {
		sums = n.file.Checksums
	}
	for _, s := range sums {
		all = append(all, digest{string(s.Algorithm), strings.ToLower(s.Value)})
	}
	all = slices.DeleteFunc(all, func(d digest) bool { return !slices.Contains(preferred, d.algorithm) })
	slices.SortStableFunc(all, func(a, b digest) int {
		return cmp.Or(cmp.Compare(slices.Index(preferred, a.algorithm), slices.Index(preferred, b.algorithm)), strings.Compare(a.value, b.value))
	})
	return slices.CompactFunc(all, func(a, b digest) bool { return a.algorithm == b.algorithm })
}

// said is s, or nothing where s is one of SPDX's ways to say nothing.
func said(s string) string {
	if s == "NOASSERTION" {
		return ""
	}
	return s
}
