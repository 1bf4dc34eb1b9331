package spdx

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// evidence says in words how it is known that a package is in a binary.
var evidence = map[artifact.Evidence]string{
	artifact.ByBundler:  "Evidence: the bundler named it as a source of what it wrote",
	artifact.ByCompiler: "Evidence: definitions of it are in what the compiler of the web interface wrote",
	artifact.ByIdentity: "Evidence: files of the source are this package's, byte for byte",
	artifact.Stated:     "Evidence: stated in the recipe",
}

// interfaceModule is the sealed module that the files of the web interface
// were added to.
func (b *builder) interfaceModule() (*artifact.Patched, error) {
	var found *artifact.Patched
	for i := range b.in.Record.Patched {
		if p := &b.in.Record.Patched[i]; len(p.Added) > 0 {
			if found != nil {
				return nil, fault("files were added to both %s and %s: build again", found.To.Path, p.To.Path)
			}
			found = p
		}
	}
	switch ui := b.in.Record.UI; {
	case found != nil && ui == nil:
		return nil, fault("files were added to %s, but the record names no web interface: build again", found.To.Path)
	case found == nil && ui != nil:
		return nil, fault("the record names a web interface, but no module that its files were added to: build again")
	}
	return found, nil
}

// addInterface adds the web interface and its files, where what is described
// holds one.
func (b *builder) addInterface() error {
	in, err := b.interfaceModule()
	if err != nil || in == nil {
		return err
	}
	var files []string
	for _, f := range in.Added {
		files = append(files, f.Name)
	}
	owners := b.owners(in.To.Path, files)
	holders := b.which(func(one *binary) bool { return one.linksAny(in.To.Path, owners) })
	if len(holders) == 0 {
		if b.only == "" {
			return fault("no binary links a package of %s that holds the web interface: build again", in.To.Path)
		}
		return nil
	}
	r, ui, p := b.in.Record, b.in.Record.UI, b.in.Publisher
	origin, err := b.addUpstream(ui.Origin, "SOURCE")
	if err != nil {
		return err
	}
	version := r.Version
	if ui.Kind == "bundle" {
		version = strings.TrimPrefix(ui.Origin.Version, "v")
	}
	name := r.Component + "-web-interface"
	purl := packageurl.NewPackageURL(packageurl.TypeGeneric, p.Distribution, name, version, nil, "").ToString()
	b.ui = &v2_3.Package{
		PackageSPDXIdentifier: b.element("Interface", name+"-"+version), PackageName: name, PackageVersion: version,
		PackageSupplier:         organization(p.Name, p.Namespace),
		PackageOriginator:       &common.Originator{OriginatorType: origin.PackageSupplier.SupplierType, Originator: origin.PackageSupplier.Supplier},
		PackageDownloadLocation: "NONE", FilesAnalyzed: true, IsFilesAnalyzedTagPresent: true,
		PackageHomePage:           b.in.Component.Homepage,
		PackageSourceInfo:         fmt.Sprintf("Made from %s %s, %s, %s.", ui.Origin.Path, ui.Origin.Version, ui.Origin.Sum, origin.PackageDownloadLocation),
		PackageComment:            strings.TrimSpace(fmt.Sprintf("%s Its files are named as they lie in %s %s.", clean(ui.Note), in.To.Path, in.To.Version)),
		PackageExternalReferences: []*v2_3.PackageExternalReference{reference(common.CategoryPackageManager, common.TypePackageManagerPURL, purl)},
		PrimaryPackagePurpose:     "APPLICATION",
	}
	b.packages[purl], b.doc.Packages = b.ui, append(b.doc.Packages, b.ui)
	b.relate(b.ui.PackageSPDXIdentifier, common.TypeRelationshipGeneratedFrom, origin.PackageSPDXIdentifier)
	b.uiOwners = owners
	b.putInModule(b.ui, in.To.Path, holders)
	return nil
}

// put says that made is in each of these binaries.
func (b *builder) put(made *v2_3.Package, holders []*binary) {
	for _, one := range holders {
		b.relate(b.root.PackageSPDXIdentifier, common.TypeRelationshipContains, made.PackageSPDXIdentifier)
		if !slices.Contains(one.holds, made) {
			one.holds = append(one.holds, made)
		}
	}
}

// putInModule says so, and that made is in the module compiled as path there.
func (b *builder) putInModule(made *v2_3.Package, path string, holders []*binary) {
	b.put(made, holders)
	for _, one := range holders {
		b.relate(b.moduleOf(one, path).PackageSPDXIdentifier, common.TypeRelationshipContains, made.PackageSPDXIdentifier)
	}
}

func (b *builder) inInterface(made *v2_3.Package) bool {
	return b.ui != nil && b.relations[relation{b.ui.PackageSPDXIdentifier, common.TypeRelationshipContains, made.PackageSPDXIdentifier, ""}]
}

// moduleOf is the package of what was compiled as path into a binary.
func (b *builder) moduleOf(one *binary, path string) *v2_3.Package {
	i := slices.IndexFunc(one.modules, func(m linked) bool { return m.path == path })
	c := one.modules[i].compiled
	return b.packages[GoPURL(c.Path, c.Version)]
}

// owners are the packages of a module that files of it come with: each is in
// the nearest folder above it of which any binary links a package.
func (b *builder) owners(module string, files []string) map[string]bool {
	all := map[string]bool{}
	for _, file := range files {
		best, found := "", false
		for _, one := range b.all {
			for _, pkg := range one.links[module].Packages {
				dir := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
				if (dir == "" || strings.HasPrefix(file, dir+"/")) && len(dir) >= len(best) {
					best, found = dir, true
				}
			}
		}
		if found {
			all[strings.TrimSuffix(module+"/"+best, "/")] = true
		}
	}
	return all
}

// which are those binaries that are described for which holds is true.
func (b *builder) which(holds func(*binary) bool) []*binary {
	return slices.DeleteFunc(slices.Clone(b.binaries), func(one *binary) bool { return !holds(one) })
}

func (one *binary) linksAny(module string, packages map[string]bool) bool {
	return slices.ContainsFunc(one.links[module].Packages, func(pkg string) bool { return packages[pkg] })
}

// interfaceFiles are those files of an embedded package that came into the web
// interface, and those that lie in a package of their module. The origin of the
// interface can be another version of a module that is linked, so a path alone
// does not tell: a file is the interface's where no linked package is above it,
// or one that holds the interface.
func (b *builder) interfaceFiles(e artifact.Embedded) (inUI, inModule []string) {
	ui := b.in.Record.UI
	for _, file := range e.Files {
		of := ui != nil && e.In == ui.Origin.Path
		for owner := range b.owners(e.In, []string{file}) {
			of = of && b.uiOwners[owner]
		}
		if of {
			inUI = append(inUI, file)
		} else {
			inModule = append(inModule, file)
		}
	}
	return inUI, inModule
}

// holders are those binaries that hold files of a module. Where these lie
// below no linked package of it, they were written into the source of one, so
// whatever links the module holds them.
func (b *builder) holders(module string, files []string) []*binary {
	owners := b.owners(module, files)
	return b.which(func(one *binary) bool {
		_, linked := one.links[module]
		return linked && (len(owners) == 0 || one.linksAny(module, owners))
	})
}

// addEmbedded adds the packages that are no Go modules and are in what is
// described.
func (b *builder) addEmbedded() error {
	ui, known, made := b.in.Record.UI, map[string]bool{}, map[string]*v2_3.Package{}
	for _, e := range b.in.Record.Embedded {
		if known[e.PURL] {
			return fault("package %s is embedded twice: build again", e.PURL)
		}
		known[e.PURL] = true
		observed := e.Evidence == artifact.ByBundler || e.Evidence == artifact.ByCompiler
		if observed && ui == nil {
			return fault("package %s was seen in a web interface, but the record names no web interface: build again", e.PURL)
		}
		ofUI, ofModule := b.interfaceFiles(e)
		inUI := observed || len(ofUI) > 0
		var inModule, withUI []*binary
		if len(ofModule) > 0 || !inUI {
			inModule = b.holders(e.In, ofModule)
		}
		if inUI && b.ui != nil {
			withUI = b.which(func(one *binary) bool { return slices.Contains(one.holds, b.ui) })
		}
		if len(inModule)+len(withUI) == 0 {
			continue
		}
		p, err := b.addPackage(e)
		if err != nil {
			return err
		}
		made[e.PURL] = p
		if len(withUI) > 0 {
			b.relate(b.ui.PackageSPDXIdentifier, common.TypeRelationshipContains, p.PackageSPDXIdentifier)
		}
		b.put(p, withUI)
		b.putInModule(p, e.In, inModule)
	}
	for _, e := range b.in.Record.Embedded {
		for _, required := range e.Requires {
			switch {
			case !known[required]:
				return fault("package %s requires %s, which is not embedded: build again", e.PURL, required)
			case made[e.PURL] != nil && made[required] != nil && required != e.PURL:
				b.relate(made[e.PURL].PackageSPDXIdentifier, common.TypeRelationshipDependsOn, made[required].PackageSPDXIdentifier)
			}
		}
	}
	return nil
}

// pictures are the endings of fonts and images, which are no library.
var pictures = map[string]bool{
	".ttf": true, ".woff": true, ".woff2": true, ".eot": true, ".otf": true, ".svg": true, ".png": true, ".ico": true,
}

func (b *builder) addPackage(e artifact.Embedded) (*v2_3.Package, error) {
	purl, err := packageurl.FromString(e.PURL)
	if err != nil || purl.Version != e.Version || e.Version == "" || e.Name == "" {
		return nil, fault("embedded package %q %q: its package URL %q does not name that version (%v): build again, or correct the recipe", e.Name, e.Version, e.PURL, err)
	}
	why, ok := evidence[e.Evidence]
	if !ok || (e.Evidence == artifact.Stated) != (e.Note != "") {
		return nil, fault("embedded package %s: its evidence %q is not known, or is without a reason: build again", e.PURL, e.Evidence)
	}
	made, read, first, err := b.add("Embedded-"+purl.Type, e.Name, e.Version, e.PURL)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, fault("package %s is embedded and something else at once: build again", e.PURL)
	}
	if e.Note != "" {
		why += ": " + strings.TrimSuffix(clean(e.Note), ".")
	}
	if files := slices.Sorted(slices.Values(e.Files)); len(files) > 0 {
		why += "; files of " + e.In + ": " + strings.Join(files, ", ")
	}
	made.PackageComment = why + "."
	if len(e.Files) > 0 && !slices.ContainsFunc(e.Files, func(f string) bool { return !pictures[strings.ToLower(path.Ext(f))] }) {
		made.PrimaryPackagePurpose = "OTHER"
	}
	return made, b.describeNPM(made, read, purl, e.Name, e.Integrity, b.commit(e))
}

// commit is the one that an embedded package was compiled from, nil if it is not
// known.
func (b *builder) commit(e artifact.Embedded) *artifact.Git {
	if e.Evidence == artifact.ByCompiler {
		for _, g := range b.in.Record.UI.Commits {
			if g.Name == e.Name+"@"+e.Version {
				return &g
			}
		}
	}
	return nil
}

// describeNPM says whose made is and where it is had. Integrity is empty for
// what is in no npm registry; commit is nil for what was fetched from no repository.
func (b *builder) describeNPM(made *v2_3.Package, read Package, purl packageurl.PackageURL, name, integrity string, commit *artifact.Git) error {
	var err error
	if purl.Type == packageurl.TypeNPM && purl.Namespace == "" {
		purl.Namespace, purl.Name = split(name)
	}
	if made.PackageSupplier, err = packageSupplier(purl, read.Supplier); err != nil {
		return fault("package %s %s: %v", name, purl.Version, err)
	}
	if made.PackageHomePage = read.Homepage; !webAddress(read.Homepage) {
		made.PackageHomePage = packageHome(purl)
	}
	if commit != nil {
		made.PackageDownloadLocation = commit.Address()
		made.PackageSourceInfo = fmt.Sprintf("Package %s %s, commit %s of %s, %s.", name, purl.Version, commit.Commit, commit.Repository, commit.Sum)
		made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refGitH1, commit.Sum))
		return nil
	}
	if integrity == "" {
		made.PackageDownloadLocation = elsewhere(purl)
		made.PackageSourceInfo = fmt.Sprintf("Package %s %s, %s.", name, purl.Version, packageHome(purl))
		if made.PackageHomePage == "" {
			made.PackageHomePage = "NONE"
		}
		if read.SHA256 != "" || read.SHA512 != "" {
			made.PackageChecksums, err = sums(read.SHA256, read.SHA512)
			return wrap(err, name)
		}
		made.PackageComment = strings.TrimSpace(made.PackageComment + " Its own source was not read, so it has no checksum.")
		if made.PackageCopyrightText == "NONE" {
			made.PackageCopyrightText = "NOASSERTION" // who did not look does not know that there is none
		}
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(integrity, "sha512-"))
	digits := hex.EncodeToString(raw)
	switch {
	case err != nil || !strings.HasPrefix(integrity, "sha512-") || len(raw) != 64 || purl.Type != packageurl.TypeNPM:
		return fault("package %s %s: integrity %q is not an npm package's sha512: build again", name, purl.Version, integrity)
	case read.SHA512 != "" && read.SHA512 != digits:
		return fault("package %s %s: its tarball's SHA-512 is not that of its integrity: build again", name, purl.Version)
	}
	if made.PackageChecksums, err = sums(read.SHA256, digits); err != nil {
		return wrap(err, name)
	}
	made.PackageDownloadLocation, made.PackageFileName = npmTarball(name, purl.Version)
	made.PackageSourceInfo = fmt.Sprintf("Package %s %s, %s.", name, purl.Version, made.PackageDownloadLocation)
	made.PackageExternalReferences = append(made.PackageExternalReferences, reference(common.CategoryOther, refNPMIntegrity, integrity))
	made.Annotations = b.properties(made.PackageFileName, archiveFile)
	return nil
}

func wrap(err error, name string) error {
	if err != nil {
		return fault("package %s: %v: build again", name, err)
	}
	return nil
}

// elsewhere is where a package is had whose own source was not read.
func elsewhere(purl packageurl.PackageURL) string {
	repository := "https://github.com/" + purl.Namespace + "/" + purl.Name
	switch purl.Type {
	case packageurl.TypeElm: // as Elm itself fetches it
		return repository + "/zipball/" + purl.Version + "/"
	case packageurl.TypeGithub: // SPDX 2.3, 7.7: a repository at a commit or tag
		return "git+" + repository + "@" + purl.Version
	case packageurl.TypeNPM:
		address, _ := npmTarball(strings.TrimPrefix(purl.Namespace+"/"+purl.Name, "/"), purl.Version)
		return address
	}
	return "NOASSERTION"
}
