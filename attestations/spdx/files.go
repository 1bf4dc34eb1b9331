package spdx

import (
	"path"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/utils"

	"palisade/attestations/artifact"
)

// rootPURL names what is described.
func (b *builder) rootPURL(file string) string {
	return ArtifactPURL(b.in.Publisher.Distribution, b.in.Record, file)
}

// addFile adds a file under a licence. Which licences it names itself is not
// looked at.
func (b *builder) addFile(kind, name, sha256 string, h Hashes, types []string, licence, copyright string) (*v2_3.File, error) {
	sums, err := checksums(sha256, h)
	if err != nil {
		return nil, fault("%s: %v: build again", name, err)
	}
	f := &v2_3.File{
		FileName: "./" + name, FileSPDXIdentifier: b.element(kind, name), FileTypes: types, Checksums: sums,
		LicenseConcluded: licence, LicenseInfoInFiles: []string{"NOASSERTION"}, FileCopyrightText: copyright,
	}
	b.doc.Files = append(b.doc.Files, f)
	return f, nil
}

// addPatches adds the patches of every module that is described.
func (b *builder) addPatches() error {
	for _, purl := range sortedKeys(b.changed) {
		changed := b.changed[purl]
		if b.packages[purl] == nil {
			continue // nothing of it is linked
		}
		from := b.packages[GoPURL(changed.From.Path, changed.From.Version)]
		for _, p := range changed.Patches {
			h, ok := b.in.Patches[p.Name]
			if !ok {
				return fault("patch %s has no hashes: build again", p.Name)
			}
			// It shows lines of what it changes, notices among them.
			f, err := b.addFile("Patch", "patches/"+p.Name, p.Digest.Hex(), h, []string{"SOURCE", "TEXT"}, b.in.Publisher.Licence, "NOASSERTION")
			if err != nil {
				return err
			}
			b.relate(f.FileSPDXIdentifier, common.TypeRelationshipPatchApplied, from.PackageSPDXIdentifier)
		}
	}
	return nil
}

// addFiles adds the files of the web interface and of what is described, and
// gives the packages that hold them what follows from them.
func (b *builder) addFiles() error {
	if err := b.addInterfaceFiles(); err != nil {
		return err
	}
	var files []*v2_3.File
	for _, one := range b.binaries {
		name := one.member
		if b.only != "" {
			name = one.Name
		}
		f, err := b.addFile("File", name, one.Digest.Hex(), b.in.Members[one.member].Hashes, []string{"BINARY", "APPLICATION"}, licences(one.holds), copyrights(one.holds))
		if err != nil {
			return err
		}
		f.Annotations = b.properties(one.Name, executableFile)
		files = append(files, f)
		for _, p := range one.holds {
			if p == b.ui || slices.Contains(b.notModules(), p) {
				continue // is in one of the modules
			}
			b.relate(f.FileSPDXIdentifier, common.TypeRelationshipStaticLink, p.PackageSPDXIdentifier)
		}
		b.relate(f.FileSPDXIdentifier, common.TypeRelationshipGeneratedFrom, b.moduleOf(one, one.Main.Path).PackageSPDXIdentifier)
	}
	if b.only == "" {
		others, err := b.addOtherMembers()
		if err != nil {
			return err
		}
		files = append(files, others...)
	}
	return b.hold(b.root, files)
}

// notModules are the packages made for what is embedded.
func (b *builder) notModules() []*v2_3.Package {
	var all []*v2_3.Package
	for _, e := range b.in.Record.Embedded {
		if p := b.packages[e.PURL]; p != nil {
			all = append(all, p)
		}
	}
	return all
}

// addOtherMembers adds the members that are no binaries.
func (b *builder) addOtherMembers() ([]*v2_3.File, error) {
	var everything []*v2_3.Package
	for _, one := range b.binaries {
		everything = append(everything, one.holds...)
	}
	source := GoPURL(b.in.Record.Source.Path, b.in.Record.Source.Version)
	var files []*v2_3.File
	for _, m := range b.in.Record.Members {
		given, types := b.in.Members[m.Name], []string{"TEXT"}
		var licence, text string
		switch given.Whose {
		case Compiled:
			continue
		case Own:
			licence, text = b.in.Publisher.Licence, copyright(given.Copyright)
		case Upstream:
			read, err := b.read(source)
			if err != nil {
				return nil, err
			}
			licence, text = read.Licence, "NOASSERTION" // the notices known are the whole module's
		case Texts:
			licence, text, types = licences(everything), copyrights(everything), []string{"DOCUMENTATION", "TEXT"}
		}
		f, err := b.addFile("File", m.Name, m.Digest.Hex(), given.Hashes, types, licence, text)
		if err != nil {
			return nil, err
		}
		f.Annotations = b.properties(path.Base(m.Name), plainFile)
		if given.Whose == Texts { // it holds the text of every licence
			f.LicenseInfoInFiles = identifiers(licence)
		}
		files = append(files, f)
	}
	return files, nil
}

// addInterfaceFiles adds the files of the web interface. Its licences are
// those of its source and of the packages in it.
func (b *builder) addInterfaceFiles() error {
	if b.ui == nil {
		return nil
	}
	in, err := b.interfaceModule()
	if err != nil {
		return err
	}
	origin := b.in.Record.UI.Origin
	parts := []*v2_3.Package{b.packages[GoPURL(origin.Path, origin.Version)]}
	for _, p := range b.notModules() {
		if b.inInterface(p) {
			parts = append(parts, p)
		}
	}
	b.ui.PackageLicenseConcluded, b.ui.PackageCopyrightText = licences(parts), copyrights(parts)
	var files []*v2_3.File
	for _, added := range in.Added {
		h, ok := b.in.Added[added.Name]
		if !ok {
			return fault("file %s of the web interface has no hashes: build again", added.Name)
		}
		// Which lines of which source went into which file is not known.
		f, err := b.addFile("Interface", added.Name, added.Digest.Hex(), h, fileTypes(added), b.ui.PackageLicenseConcluded, "NOASSERTION")
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	return b.hold(b.ui, files)
}

// hold says that p consists of these files, and what follows: its verification
// code (7.9) and the licences of all files together.
func (b *builder) hold(p *v2_3.Package, files []*v2_3.File) error {
	code, err := utils.GetVerificationCode(files, "")
	if err != nil {
		return err
	}
	var concluded, texts []string
	found := map[string]bool{}
	for _, f := range files {
		b.relate(p.PackageSPDXIdentifier, common.TypeRelationshipContains, f.FileSPDXIdentifier)
		concluded = append(concluded, f.LicenseConcluded)
		for _, id := range f.LicenseInfoInFiles {
			found[id] = true
		}
		if f.FileCopyrightText != "NONE" && f.FileCopyrightText != "NOASSERTION" {
			texts = append(texts, strings.Split(f.FileCopyrightText, "\n")...)
		}
	}
	p.PackageVerificationCode = &code
	p.PackageLicenseConcluded = combine(concluded)
	if p.PackageLicenseDeclared = p.PackageLicenseConcluded; len(found) > 1 {
		delete(found, "NOASSERTION")
	}
	p.PackageLicenseInfoFromFiles = sortedKeys(found)
	if p.PackageCopyrightText == "" {
		p.PackageCopyrightText = copyright(texts)
	}
	return nil
}

func licences(packages []*v2_3.Package) string {
	var all []string
	for _, p := range packages {
		all = append(all, p.PackageLicenseConcluded)
	}
	return combine(all)
}

func copyrights(packages []*v2_3.Package) string {
	var all []string
	for _, p := range packages {
		if p.PackageCopyrightText != "NONE" && p.PackageCopyrightText != "NOASSERTION" {
			all = append(all, strings.Split(p.PackageCopyrightText, "\n")...)
		}
	}
	return copyright(all)
}

// fileTypes are SPDX's (8.3) for a file of a web interface.
func fileTypes(f artifact.File) []string {
	switch strings.ToLower(path.Ext(f.Name)) {
	case ".go":
		return []string{"SOURCE", "TEXT"}
	case ".gz", ".br", ".zip":
		return []string{"ARCHIVE"}
	case ".html", ".css", ".js", ".json", ".txt", ".svg":
		return []string{"TEXT"}
	case ".ico", ".png", ".gif", ".jpg":
		return []string{"IMAGE"}
	}
	return []string{"OTHER"}
}
