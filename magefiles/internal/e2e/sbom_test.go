//go:build e2e && unix

package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	packageurl "github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// An sbom is a document as a stranger reads it: with SPDX's own library, and
// with nothing of ours.
type sbom struct {
	*v2_3.Document
	name     string
	packages map[common.ElementID]*v2_3.Package
	files    map[common.ElementID]*v2_3.File
}

// openSBOM reads a document that the record lists, at the digest listed.
func (r *release) openSBOM(t *testing.T, rec artifact.Record, name string) *sbom {
	t.Helper()
	i := slices.IndexFunc(rec.Documents, func(d artifact.File) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("release.json lists no document %s; build it, with: go tool mage build -component=%s", name, rec.Component)
	}
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	if digest, _, err := artifact.DigestFile(path); err != nil || digest != rec.Documents[i].Digest {
		t.Fatalf("release.json says %s is %s; the file is %s (%v)", name, rec.Documents[i].Digest, digest, err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := spdxjson.Read(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s := &sbom{doc, name, map[common.ElementID]*v2_3.Package{}, map[common.ElementID]*v2_3.File{}}
	for _, p := range doc.Packages {
		s.packages[p.PackageSPDXIdentifier] = p
	}
	for _, f := range doc.Files {
		s.files[f.FileSPDXIdentifier] = f
	}
	if len(s.packages) != len(doc.Packages) || len(s.files) != len(doc.Files) {
		t.Errorf("%s: an identifier is there twice", name)
	}
	return s
}

// targets is what an element has a relationship to; sources what has one to it.
func (s *sbom) targets(from common.ElementID, relationship string) []common.ElementID {
	return s.related(func(r *v2_3.Relationship) (common.DocElementID, common.DocElementID) { return r.RefA, r.RefB }, from, relationship)
}

func (s *sbom) sources(to common.ElementID, relationship string) []common.ElementID {
	return s.related(func(r *v2_3.Relationship) (common.DocElementID, common.DocElementID) { return r.RefB, r.RefA }, to, relationship)
}

func (s *sbom) related(ends func(*v2_3.Relationship) (common.DocElementID, common.DocElementID), id common.ElementID, relationship string) []common.ElementID {
	var all []common.ElementID
	for _, r := range s.Relationships {
		if from, to := ends(r); r.Relationship == relationship && from.ElementRefID == id && to.SpecialID == "" {
			all = append(all, to.ElementRefID)
		}
	}
	return all
}

// described is the one element that the document is about.
func (s *sbom) described(t *testing.T) *v2_3.Package {
	t.Helper()
	ids := s.targets(s.SPDXIdentifier, common.TypeRelationshipDescribe)
	if len(ids) != 1 || s.packages[ids[0]] == nil {
		t.Fatalf("%s describes %v, not one package", s.name, ids)
	}
	return s.packages[ids[0]]
}

// contents lists the files that a package contains, by the path in the archive.
func (s *sbom) contents(id common.ElementID) map[string]*v2_3.File {
	all := map[string]*v2_3.File{}
	for _, id := range s.targets(id, common.TypeRelationshipContains) {
		if f := s.files[id]; f != nil {
			all[strings.TrimPrefix(f.FileName, "./")] = f
		}
	}
	return all
}

// A linkedModule is a Go module as it was compiled: not what it replaces.
type linkedModule struct{ path, version, sum string }

func (m linkedModule) compare(o linkedModule) int {
	return cmp.Or(strings.Compare(m.path, o.path), strings.Compare(m.version, o.version), strings.Compare(m.sum, o.sum))
}

func moduleOf(p *v2_3.Package) linkedModule {
	return linkedModule{p.PackageName, p.PackageVersion, reference(p, "goModuleH1")}
}

// linked lists what a document says is linked into a binary, sorted.
func (s *sbom) linked(t *testing.T, binary common.ElementID) []linkedModule {
	t.Helper()
	var all []linkedModule
	for _, id := range s.targets(binary, common.TypeRelationshipStaticLink) {
		if s.packages[id] == nil {
			t.Fatalf("%s: %s is linked to %s, which is no package", s.name, binary, id)
		}
		all = append(all, moduleOf(s.packages[id]))
	}
	slices.SortFunc(all, linkedModule.compare)
	return all
}

// reference is the locator of a package's one external reference of a type.
func reference(p *v2_3.Package, kind string) string {
	var found []string
	for _, ref := range p.PackageExternalReferences {
		if ref.RefType == kind {
			found = append(found, ref.Locator)
		}
	}
	return strings.Join(found, " and ")
}

func sums(all []common.Checksum) map[common.ChecksumAlgorithm]string {
	m := map[common.ChecksumAlgorithm]string{}
	for _, c := range all {
		m[c.Algorithm] = c.Value
	}
	return m
}

// isTool says whether a package only worked on what the document is about.
func (s *sbom) isTool(p *v2_3.Package) bool {
	return len(s.targets(p.PackageSPDXIdentifier, common.TypeRelationshipBuildToolOf)) > 0
}

// checkPackages holds every package against what none of ours may lack.
func (s *sbom) checkPackages(t *testing.T) {
	t.Helper()
	unknown := func(v string) bool { return v == "" || v == "NOASSERTION" }
	for _, p := range s.Packages {
		url := reference(p, "purl")
		if url == "" {
			continue
		}
		purl, err := packageurl.FromString(url)
		if err != nil {
			t.Errorf("%s: %s: %v", s.name, p.PackageName, err)
			continue
		}
		if purl.Type != packageurl.TypeGolang && purl.Type != packageurl.TypeNPM {
			continue
		}
		// A purl of a Go module is read in lower case.
		name := strings.TrimPrefix(purl.Namespace+"/"+purl.Name, "/")
		if !s.isTool(p) && (!strings.EqualFold(name, p.PackageName) || purl.Version != p.PackageVersion) {
			t.Errorf("%s: %s %s has the package URL %s", s.name, p.PackageName, p.PackageVersion, url)
		}
		if !s.isTool(p) && (unknown(p.PackageLicenseConcluded) || unknown(p.PackageLicenseDeclared) || unknown(p.PackageCopyrightText) ||
			p.PackageSupplier == nil || unknown(p.PackageSupplier.Supplier)) {
			t.Errorf("%s: %s: of licence, declared licence, copyright and supplier one is not told: %q, %q, %q, %v", s.name, url,
				p.PackageLicenseConcluded, p.PackageLicenseDeclared, p.PackageCopyrightText, p.PackageSupplier)
		}
	}
}

// checkGraph walks from the document: every package and file is reached, and
// what depends on something is in what the document describes, as that is.
func (s *sbom) checkGraph(t *testing.T) {
	t.Helper()
	next := map[common.ElementID][]common.ElementID{}
	inside := map[common.ElementID]bool{s.described(t).PackageSPDXIdentifier: true}
	for _, r := range s.Relationships {
		a, b := r.RefA.ElementRefID, r.RefB.ElementRefID
		for _, end := range []common.DocElementID{r.RefA, r.RefB} {
			if id := end.ElementRefID; end.SpecialID == "" && id != s.SPDXIdentifier && s.packages[id] == nil && s.files[id] == nil {
				t.Errorf("%s: a %s is of %s, which is not there", s.name, r.Relationship, id)
			}
		}
		if r.RefB.SpecialID != "" {
			continue
		}
		switch r.Relationship {
		case common.TypeRelationshipBuildToolOf, common.TypeRelationshipPatchApplied:
			a, b = b, a // who walks comes from what was worked on
		case common.TypeRelationshipContains, common.TypeRelationshipStaticLink:
			inside[b] = true
		}
		next[a] = append(next[a], b)
	}
	reached := map[common.ElementID]bool{s.SPDXIdentifier: true}
	for todo := []common.ElementID{s.SPDXIdentifier}; len(todo) > 0; todo = todo[1:] {
		for _, id := range next[todo[0]] {
			if !reached[id] {
				reached[id] = true
				todo = append(todo, id)
			}
		}
	}
	for id := range s.packages {
		if !reached[id] {
			t.Errorf("%s: no way leads to the package %s", s.name, id)
		}
	}
	for id := range s.files {
		if !reached[id] {
			t.Errorf("%s: no way leads to the file %s", s.name, id)
		}
	}
	for _, r := range s.Relationships {
		if r.Relationship != common.TypeRelationshipDependsOn {
			continue
		}
		for _, end := range []common.DocElementID{r.RefA, r.RefB} {
			if end.SpecialID == "" && !inside[end.ElementRefID] {
				t.Errorf("%s: %s depends on %s, and %s is linked into nothing", s.name, r.RefA.ElementRefID, r.RefB.ElementRefID, end.ElementRefID)
			}
		}
	}
}
