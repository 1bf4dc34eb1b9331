package spdx

import (
	"fmt"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// read is what was read of the package with that purl, which has a licence. Of
// a toolchain alone, which is in no artifact, it may be unknown.
func (b *builder) read(purl string) (Package, error) {
	p, ok := b.in.Packages[purl]
	switch {
	case !ok:
		return p, fault("nothing is known of package %s: build again, or state its licence in the recipe", purl)
	case p.Licence == "" && b.isTool(purl):
		p.Licence = "NOASSERTION"
		return p, nil
	case !validExpression(p.Licence):
		return p, fault("licence %q of package %s is not an SPDX expression: state it in the recipe", p.Licence, purl)
	}
	for _, id := range references(p.Licence) {
		i := slices.IndexFunc(p.Extracted, func(e Extracted) bool { return e.ID == id && e.Text != "" })
		if i < 0 {
			return p, fault("licence %s of package %s has no text: state it in the recipe", id, purl)
		}
		e := p.Extracted[i]
		if known, ok := b.extracted[id]; ok && known.Text != e.Text {
			return p, fault("licence %s of package %s has another text elsewhere: give one of them another name in the recipe", id, purl)
		}
		b.extracted[id] = e
	}
	return p, nil
}

// add makes a package of which the licence was read. Only the first of a purl
// is made.
func (b *builder) add(kind, name, version, purl string) (made *v2_3.Package, read Package, first bool, err error) {
	if made = b.packages[purl]; made != nil {
		return made, read, false, nil
	}
	if read, err = b.read(purl); err != nil {
		return nil, read, false, err
	}
	made = &v2_3.Package{
		PackageSPDXIdentifier: b.element(kind, name+"-"+version), PackageName: name, PackageVersion: version,
		PackageDownloadLocation: "NONE", IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded: read.Licence, PackageLicenseDeclared: read.Licence,
		PackageCopyrightText:      copyright(read.Copyright),
		PackageExternalReferences: []*v2_3.PackageExternalReference{reference(common.CategoryPackageManager, common.TypePackageManagerPURL, purl)},
		PrimaryPackagePurpose:     "LIBRARY",
	}
	switch {
	case read.Stated != "":
		made.PackageLicenseComments = "Stated in the recipe: " + clean(read.Stated)
	case read.Declared != "" && !declarable(read.Declared):
		made.PackageLicenseComments = fmt.Sprintf("Its metadata says %q, which is no SPDX expression.", clean(read.Declared))
	}
	if declarable(read.Declared) {
		made.PackageLicenseDeclared = read.Declared
	}
	b.packages[purl], b.doc.Packages = made, append(b.doc.Packages, made)
	return made, read, true, nil
}

// declarable reports whether a package's metadata names licences that SPDX
// knows: a LicenseRef of its own would have no text.
func declarable(s string) bool { return validExpression(s) && len(references(s)) == 0 }

// addModules adds every Go module that is linked into the binaries, and what
// was sealed in its place.
func (b *builder) addModules() error {
	for _, one := range b.binaries {
		made := map[string]*v2_3.Package{}
		for _, m := range one.modules {
			var err error
			if made[m.path], err = b.addModule(m); err != nil {
				return err
			}
			one.holds = append(one.holds, made[m.path])
		}
		if err := b.addStandardLibraryOf(one, made); err != nil {
			return err
		}
		for _, path := range sortedKeys(made) {
			b.relate(b.root.PackageSPDXIdentifier, common.TypeRelationshipContains, made[path].PackageSPDXIdentifier)
			for _, required := range one.links[path].Requires {
				if required != path {
					b.relate(made[path].PackageSPDXIdentifier, common.TypeRelationshipDependsOn, made[required].PackageSPDXIdentifier)
				}
			}
		}
		main := made[one.Main.Path].PackageSPDXIdentifier
		b.relate(b.root.PackageSPDXIdentifier, common.TypeRelationshipDependsOn, main)
	}
	return nil
}

// addModule adds what was compiled as a module. Where that was sealed here, it
// adds upstream's beside it.
func (b *builder) addModule(m linked) (*v2_3.Package, error) {
	if m.changed == nil {
		return b.addUpstream(m.compiled, "LIBRARY")
	}
	from, err := b.addUpstream(m.changed.From, "SOURCE")
	if err != nil {
		return nil, err
	}
	to := m.compiled
	made, read, first, err := b.add("Go", to.Path, to.Version, GoPURL(to.Path, to.Version))
	if err != nil || !first {
		return made, err
	}
	p := b.in.Publisher
	made.PackageSupplier = organization(p.Name, p.Namespace)
	made.PackageOriginator = &common.Originator{OriginatorType: from.PackageSupplier.SupplierType, Originator: from.PackageSupplier.Supplier}
	made.PackageHomePage = from.PackageHomePage
	made.PackageSourceInfo = fmt.Sprintf("Made from %s %s (%s, %s)%s.", m.changed.From.Path, m.changed.From.Version, m.changed.From.Sum, from.PackageDownloadLocation, changes(m.changed))
	if to.Path == b.in.Record.Source.Path {
		made.PrimaryPackagePurpose = "APPLICATION"
	}
	made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refGoH1, to.Sum))
	if to.Zip != nil {
		read.SHA256 = to.Zip.Hex()
	}
	if read.SHA256 != "" || read.SHA512 != "" {
		_, made.PackageFileName, _ = goZip(to.Path, to.Version)
		if made.PackageChecksums, err = sums(read.SHA256, read.SHA512); err != nil {
			return nil, fault("module %s %s: %v: build again", to.Path, to.Version, err)
		}
		made.Annotations = b.properties(made.PackageFileName, archiveFile)
	} else {
		made.PackageComment = "It was compiled from a folder and is no file anywhere, so it has no checksum: goModuleH1 is the hash of what lay in the folder."
	}
	b.relate(made.PackageSPDXIdentifier, common.TypeRelationshipGeneratedFrom, from.PackageSPDXIdentifier)
	return made, nil
}

// changes says what was done to a module before it was compiled.
func changes(c *artifact.Patched) string {
	var all []string
	if n := len(c.Patches); n > 0 {
		all = append(all, quantity(n, "patch", "patches"))
	}
	if n := len(c.Added); n > 0 {
		all = append(all, quantity(n, "file", "files")+" of the web interface")
	}
	if len(all) == 0 {
		return ""
	}
	return ", with " + strings.Join(all, " and ")
}

// addUpstream adds a module as the checksum database knows it.
func (b *builder) addUpstream(m artifact.Module, purpose string) (*v2_3.Package, error) {
	made, read, first, err := b.add("Go", m.Path, m.Version, GoPURL(m.Path, m.Version))
	if err != nil {
		return nil, err
	}
	if !first {
		if h1 := referenced(made, refGoH1); h1 != m.Sum {
			return nil, fault("module %s %s is %s and %s at once: build again", m.Path, m.Version, h1, m.Sum)
		}
		return made, nil
	}
	address, name, err := b.zipOf(m)
	if err != nil {
		return nil, fault("module %s %s: %v: build again", m.Path, m.Version, err)
	}
	if m.Zip == nil || !strings.HasPrefix(m.Sum, "h1:") {
		return nil, fault("module %s %s has no h1 or no digest of its zip file: build again", m.Path, m.Version)
	}
	if made.PackageChecksums, err = sums(m.Zip.Hex(), read.SHA512); err != nil {
		return nil, fault("module %s %s: %v: build again", m.Path, m.Version, err)
	}
	made.PackageSupplier, made.PackageHomePage = goSupplier(m.Path), goHome(m.Path, m.Version)
	made.PackageDownloadLocation, made.PackageFileName = address, name
	made.PackageSourceInfo = fmt.Sprintf("Module %s at %s, %s, %s.", m.Path, m.Version, m.Sum, address)
	made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refGoH1, m.Sum))
	if g := b.madeOf(m); g != nil {
		made.PackageSourceInfo = fmt.Sprintf("Module %s at %s, %s, made of commit %s, %s.", m.Path, m.Version, m.Sum, address, g.Sum)
		made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refGitH1, g.Sum))
	}
	made.PrimaryPackagePurpose = purpose
	if purpose == "LIBRARY" && m.Path == b.in.Record.Source.Path {
		made.PrimaryPackagePurpose = "APPLICATION"
	}
	made.Annotations = b.properties(name, archiveFile)
	return made, nil
}

// zipOf is where a module's zip file is had, and what it is called: no proxy is
// asked for one that was made of a commit.
func (b *builder) zipOf(m artifact.Module) (address, name string, err error) {
	address, name, err = goZip(m.Path, m.Version)
	if g := b.madeOf(m); g != nil {
		address = g.Address()
	}
	return address, name, err
}

// madeOf is the commit that m was made of, nil for a module that was fetched.
func (b *builder) madeOf(m artifact.Module) *artifact.Git {
	if r := b.in.Record; m.Path == r.Source.Path && m.Version == r.Source.Version {
		return r.Git
	}
	return nil
}

func (b *builder) isTool(purl string) bool {
	return slices.ContainsFunc(b.in.Record.Toolchains, func(t artifact.Tool) bool { return ToolPURL(t) == purl })
}

// golang is the toolchain that compiled everything.
func (b *builder) golang() (artifact.Tool, error) {
	i := slices.IndexFunc(b.in.Record.Toolchains, func(t artifact.Tool) bool { return t.Name == "go" })
	if i < 0 {
		return artifact.Tool{}, fault("the record names no Go toolchain: build again")
	}
	return b.in.Record.Toolchains[i], nil
}

// addStandardLibraryOf adds the standard library that is in a binary, and
// puts it among the packages that were made for it.
func (b *builder) addStandardLibraryOf(one *binary, made map[string]*v2_3.Package) error {
	tool, err := b.golang()
	if err != nil {
		return err
	}
	if one.GoVersion != "go"+tool.Version {
		return fault("binary %s was compiled by %s, but the record's toolchain is Go %s: build again", one.Name, one.GoVersion, tool.Version)
	}
	std, _, first, err := b.add("Go", "stdlib", tool.Version, StdPURL(tool.Version))
	if err != nil {
		return err
	}
	made[Std], one.holds = std, append(one.holds, std)
	if !first {
		return nil
	}
	toolchain, err := b.addTool(tool)
	if err != nil {
		return err
	}
	std.PackageSupplier, std.PackageHomePage = toolchain.PackageSupplier, goHome("std", "go"+tool.Version)
	std.PackageDownloadLocation, std.PackageFileName = toolchain.PackageDownloadLocation, toolchain.PackageFileName
	std.PackageChecksums, std.Annotations = slices.Clone(toolchain.PackageChecksums), b.properties(toolchain.PackageFileName, archiveFile)
	std.PackageSourceInfo = fmt.Sprintf("The source that lies in %s, %s.", tool.Package, toolchain.PackageDownloadLocation)
	std.PackageComment = "File name and hashes are those of the toolchain's zip file, which holds it."
	std.PackageExternalReferences = append(std.PackageExternalReferences, reference(common.CategorySecurity, common.TypeSecurityCPE23Type, cpe("cpe:2.3:a:golang:go", tool.Version)))
	b.relate(toolchain.PackageSPDXIdentifier, common.TypeRelationshipContains, std.PackageSPDXIdentifier)
	return nil
}

// addTools adds what ran: the compiler, and what built a web interface where
// one is in what is described.
func (b *builder) addTools() error {
	for _, t := range b.in.Record.Toolchains {
		if t.Name != "go" && b.ui == nil {
			continue
		}
		tool, err := b.addTool(t)
		if err != nil {
			return err
		}
		b.relate(tool.PackageSPDXIdentifier, common.TypeRelationshipBuildToolOf, b.root.PackageSPDXIdentifier)
		if t.Name != "go" {
			b.relate(tool.PackageSPDXIdentifier, common.TypeRelationshipBuildToolOf, b.ui.PackageSPDXIdentifier)
		}
	}
	return nil
}

func (b *builder) addTool(t artifact.Tool) (*v2_3.Package, error) {
	purl := ToolPURL(t)
	if t.Name == "" || t.Version == "" || purl == "" {
		return nil, fault("toolchain %q has no version or package: build again", t.Name)
	}
	made, read, first, err := b.add("Tool", t.Name, t.Version, purl)
	if err != nil || !first {
		return made, err
	}
	made.PrimaryPackagePurpose = "APPLICATION"
	path, version := splitVersion(t.Package)
	if !strings.HasPrefix(t.Hash, "h1:") {
		return made, b.describeNPM(made, read, packageurl.PackageURL{Type: packageurl.TypeNPM, Name: path, Version: version}, path, t.Hash, nil)
	}
	if t.Zip == nil {
		return nil, fault("toolchain %s has no digest of its zip file: build again", t.Package)
	}
	if made.PackageDownloadLocation, made.PackageFileName, err = goZip(path, version); err != nil {
		return nil, fault("toolchain %s: %v: build again", t.Package, err)
	}
	if made.PackageChecksums, err = sums(t.Zip.Hex(), read.SHA512); err != nil {
		return nil, fault("toolchain %s: %v: build again", t.Package, err)
	}
	made.PackageSupplier, made.PackageHomePage = goSupplier(path), "https://go.dev/dl/"
	made.PackageSourceInfo = fmt.Sprintf("Module %s, %s, %s.", t.Package, t.Hash, made.PackageDownloadLocation)
	made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refGoH1, t.Hash))
	made.Annotations = b.properties(made.PackageFileName, archiveFile)
	return made, nil
}
