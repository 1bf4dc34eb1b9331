package spdx

import (
	"cmp"
	"fmt"
	goversion "go/version"
	"regexp"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"golang.org/x/mod/semver"
)

// A pair is the same thing in two documents.
type pair struct{ a, b *node }

// A step of matching gives the same key to what belongs together; what it
// gives none is left for a later step.
type step func(*node) string

// match pairs nodes of two documents, by the first step that finds them a
// partner. Where a step gives several the same key, the newest goes with the
// newest. It treats both sides alike.
func match(as, bs []*node, steps ...step) (pairs []pair, onlyA, onlyB []*node) {
	onlyA, onlyB = newestFirst(as), newestFirst(bs)
	for _, key := range steps {
		waiting := map[string][]*node{}
		for _, b := range onlyB {
			if k := key(b); k != "" {
				waiting[k] = append(waiting[k], b)
			}
		}
		var rest []*node
		taken := map[*node]bool{}
		for _, a := range onlyA {
			k := key(a)
			if len(waiting[k]) == 0 {
				rest = append(rest, a)
				continue
			}
			b := waiting[k][0]
			waiting[k] = waiting[k][1:]
			taken[b] = true
			pairs = append(pairs, pair{a, b})
		}
		onlyA, onlyB = rest, slices.DeleteFunc(onlyB, func(b *node) bool { return taken[b] })
	}
	return pairs, onlyA, onlyB
}

func newestFirst(nodes []*node) []*node {
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b *node) int {
		if c := strings.Compare(a.class(), b.class()); c != 0 {
			return c
		}
		_, ordered := a.compareVersion(a)
		if _, both := b.compareVersion(b); ordered != both {
			return map[bool]int{true: -1, false: 1}[ordered]
		}
		order, _ := b.compareVersion(a)
		return cmp.Or(order, strings.Compare(b.version(), a.version()), strings.Compare(a.fingerprint(), b.fingerprint()))
	})
	return nodes
}

// packageSteps match packages: several versions of one package on a side stay
// with their equals first, then with their major version.
var packageSteps = []step{
	func(n *node) string { return n.class() + "\n" + n.fingerprint() },
	func(n *node) string { return n.class() + "\n" + n.version() + "\n" + n.qualifiers() },
	func(n *node) string { return n.class() + "\n" + n.version() },
	func(n *node) string { return n.class() + "\n" + semver.Major(vPrefixed(n.version())) },
	(*node).class,
}

// class tells apart what can have the same package URL and is never the same.
func (n *node) class() string {
	switch {
	case n.role == roleSealed || n.role == roleToolchain:
		return fmt.Sprint(n.role, " ", n.key)
	case n.purl.Type == packageurl.TypeOCI && n.role != roleRoot: // an index has an image for each platform
		return n.key + "\n" + n.platform()
	default:
		return n.key
	}
}

// patchSteps match patches: the next version of a module has a folder of its
// own, and a series can be renumbered.
var patchSteps = []step{
	func(n *node) string { return n.rawName() + "\n" + n.digest() },
	(*node).rawName,
	(*node).digest,
	func(n *node) string { return versionFolder.ReplaceAllString(n.rawName(), "/") },
}

var versionFolder = regexp.MustCompile(`/v[0-9][^/]*/`)

// fingerprint is all that is compared of n alone.
func (n *node) fingerprint() string {
	if n.print != "" {
		return n.print
	}
	parts := []string{n.key, n.rawName(), n.version(), n.qualifiers(), n.supplier()}
	if n.pkg != nil {
		parts = append(parts, n.pkg.PrimaryPackagePurpose, said(n.pkg.PackageLicenseConcluded), said(n.pkg.PackageLicenseDeclared), said(n.pkg.PackageDownloadLocation))
	} else {
		parts = append(parts, said(n.file.LicenseConcluded))
	}
	for _, d := range n.digests() {
		parts = append(parts, d.String())
	}
	n.print = fmt.Sprintf("%q", parts)
	return n.print
}

// ordered are the types of package whose versions are Semantic Versioning's.
var ordered = []string{packageurl.TypeCargo, packageurl.TypeGolang, packageurl.TypeNPM}

// compareVersion orders n's version and other's, where their order is known.
func (n *node) compareVersion(other *node) (order int, known bool) {
	a, b := n.version(), other.version()
	own := n.role == roleRoot || n.role == roleToolchain
	if !own && !slices.Contains(ordered, n.purl.Type) {
		return 0, false
	}
	if n.role == roleStd || n.role == roleToolchain {
		x, y := "go"+strings.TrimPrefix(a, "go"), "go"+strings.TrimPrefix(b, "go")
		if goversion.IsValid(x) && goversion.IsValid(y) {
			return goversion.Compare(x, y), true
		}
	}
	a, b = vPrefixed(a), vPrefixed(b)
	if !semver.IsValid(a) || !semver.IsValid(b) {
		return 0, false
	}
	// 3.15.0-vanilla does not come after 3.15.0-palisade.1: it is another thing.
	if n.role == roleRoot && suffix(a) != suffix(b) && core(a) == core(b) {
		return 0, false
	}
	return semver.Compare(a, b), true
}

func vPrefixed(version string) string { return "v" + strings.TrimPrefix(version, "v") }

func core(v string) string { return strings.TrimSuffix(semver.Canonical(v), semver.Prerelease(v)) }

func suffix(v string) string {
	name, _, _ := strings.Cut(semver.Prerelease(v), ".")
	return name
}
