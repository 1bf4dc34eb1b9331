package spdx

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha512"
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

// An ImageInput is all that the document of an image is made of.
type ImageInput struct {
	Publisher Publisher
	Image     artifact.Image             // its Documents are not looked at
	File      Hashes                     // of the file
	Manifests map[artifact.Digest]Hashes // of every platform's image manifest; SHA1 is not looked at
	Archives  map[string][]byte          // by name of the artifact: the document of the archive, as Describe made it
	Roots     Package                    // what was read in the source of the module Image.Roots
	Files     map[artifact.Digest]Member // of every file in a layer that is no archive's and no archive's document: Own or Roots
}

// Roots are files of the module Image.Roots, or made of its certificates: under
// that module's licence.
const Roots Whose = "roots"

// DescribeImage makes the document of an image. It refuses, with ErrInput, an
// ImageInput that would make it say less than there is.
func DescribeImage(in ImageInput) (*Document, error) {
	b := &imageBuilder{
		builder: builder{
			in:      Input{Publisher: in.Publisher, Packages: map[string]Package{GoPURL(in.Image.Roots.Path, in.Image.Roots.Version): in.Roots}},
			subject: in.Image.Name, created: timestamp(in.Image.Epoch),
			named:     map[common.ElementID]string{},
			packages:  map[string]*v2_3.Package{},
			relations: map[relation]bool{},
			extracted: map[string]Extracted{},
			doc:       &v2_3.Document{},
		},
		image: in, originals: map[string]original{}, contents: map[string]map[artifact.Digest]bool{},
		files: map[string]*v2_3.File{}, texts: map[common.ElementID]string{},
	}
	for _, step := range []func() error{b.readImage, b.addIndex, b.addRoots, b.addPlatforms, b.finishImage} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("describing %s: %w", b.subject, err)
		}
	}
	d := &Document{b.doc}
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("describing %s: %w: %w", b.subject, ErrInput, err)
	}
	return d, nil
}

// An imageBuilder makes the document of an image.
type imageBuilder struct {
	builder
	image     ImageInput
	originals map[string]original // by name of the artifact
	roots     *v2_3.Package
	contents  map[string]map[artifact.Digest]bool // of every path in some platform's layers
	files     map[string]*v2_3.File               // by all that is said of each
	texts     map[common.ElementID]string         // copyright of each, also where it is left to another document to say
}

// An original is the document of the archive that a platform's image is made of.
type original struct {
	ref   common.DocumentID
	text  []byte
	doc   *v2_3.Document
	root  *v2_3.Package
	files map[string][]*v2_3.File // of the archive, by SHA-256
}

func (b *imageBuilder) readImage() error {
	i := b.image.Image
	if err := readPublisher(b.in.Publisher); err != nil {
		return err
	}
	if i.Name == "" || i.Component == "" || i.Version == "" || i.Epoch <= 0 || i.Index.IsZero() || len(i.Platforms) == 0 {
		return fault("the image has no name, component, version, epoch, index or platform: build it again")
	}
	for _, p := range i.Platforms {
		o, err := b.readOriginal(p)
		if err != nil {
			return err
		}
		b.originals[p.Artifact] = o
		for _, l := range p.Layers {
			for _, m := range l.Members {
				if b.contents[m.Name] == nil {
					b.contents[m.Name] = map[artifact.Digest]bool{}
				}
				b.contents[m.Name][m.Digest] = true
			}
		}
	}
	return nil
}

// addIndex makes the package that the document describes. What it takes from
// the images of its platforms comes with them.
func (b *imageBuilder) addIndex() error {
	i := b.image.Image
	sums, err := checksums(i.Digest.Hex(), b.image.File)
	if err != nil {
		return fault("%s: %v: build it again", i.Name, err)
	}
	var made []string
	for _, p := range i.Platforms {
		made = append(made, p.Artifact)
	}
	b.root = b.imagePackage(b.element("Image", i.Name), imagePURL(i.Component, i.Version, i.Index, artifact.Platform{}))
	b.root.PackageFileName, b.root.PackageChecksums = i.Name, sums
	b.root.PackageSourceInfo = fmt.Sprintf("Made of %s and %s %s.", strings.Join(made, ", "), i.Roots.Path, i.Roots.Version)
	b.root.PackageComment = fmt.Sprintf("Image index %s, %s, for %s.", i.Index, i.Variant, quantity(len(i.Platforms), "platform", "platforms"))
	b.root.Annotations = b.properties(i.Name, archiveFile)
	b.relate("DOCUMENT", common.TypeRelationshipDescribe, b.root.PackageSPDXIdentifier)
	return nil
}

// imagePackage is what the index and the image of each platform have in common.
func (b *imageBuilder) imagePackage(id common.ElementID, purl string) *v2_3.Package {
	i := b.image.Image
	like := b.originals[i.Platforms[0].Artifact].root // in what is true of the component
	p := &v2_3.Package{
		PackageSPDXIdentifier: id, PackageName: i.Component, PackageVersion: i.Version,
		PackageSupplier:           organization(b.in.Publisher.Name, b.in.Publisher.Namespace),
		PackageOriginator:         like.PackageOriginator,
		PackageDownloadLocation:   "NOASSERTION", // which registry has it is not known here
		IsFilesAnalyzedTagPresent: true, PackageHomePage: like.PackageHomePage, PackageSummary: like.PackageSummary,
		PackageExternalReferences: []*v2_3.PackageExternalReference{
			reference(common.CategoryPackageManager, common.TypePackageManagerPURL, purl),
			reference(common.CategorySecurity, common.TypeSecurityCPE23Type, referenced(like, common.TypeSecurityCPE23Type)),
		},
		PrimaryPackagePurpose: "CONTAINER",
	}
	b.doc.Packages = append(b.doc.Packages, p)
	return p
}

// imagePURL names an index, or the image of one platform, by its digest.
func imagePURL(component, version string, d artifact.Digest, p artifact.Platform) string {
	qualifiers := map[string]string{"tag": version}
	if p != (artifact.Platform{}) {
		qualifiers["arch"], qualifiers["os"] = p.Arch+p.Variant, p.OS
	}
	return packageurl.NewPackageURL(packageurl.TypeOCI, "", strings.ToLower(component), d.String(), packageurl.QualifiersFromMap(qualifiers), "").ToString()
}

func (b *imageBuilder) addRoots() (err error) {
	b.roots, err = b.addUpstream(b.image.Image.Roots, "SOURCE")
	return err
}

func (b *imageBuilder) addPlatforms() error {
	var packages []*v2_3.Package
	for _, p := range b.image.Image.Platforms {
		made, err := b.addPlatform(p)
		if err != nil {
			return fmt.Errorf("platform %s: %w", p.Platform, err)
		}
		packages = append(packages, made)
	}
	b.root.PackageLicenseConcluded = licences(packages)
	b.root.PackageLicenseDeclared, b.root.PackageCopyrightText = b.root.PackageLicenseConcluded, copyrights(packages)
	return nil
}

func (b *imageBuilder) addPlatform(p artifact.PlatformImage) (*v2_3.Package, error) {
	from := b.originals[p.Artifact]
	if err := b.refer(from); err != nil {
		return nil, err
	}
	sums, err := sums(p.Manifest.Hex(), b.image.Manifests[p.Manifest].SHA512)
	if err != nil {
		return nil, fault("image manifest %s: %v: build it again", p.Manifest, err)
	}
	i := b.image.Image
	made := b.imagePackage(b.element("Image", p.Platform.Slug()), imagePURL(i.Component, i.Version, p.Manifest, p.Platform))
	made.FilesAnalyzed = true
	made.PackageFileName, made.PackageChecksums = "blobs/sha256/"+p.Manifest.Hex(), sums
	made.PackageSourceInfo = fmt.Sprintf("Made of files of %s and of %s %s.", p.Artifact, i.Roots.Path, i.Roots.Version)
	made.PackageComment = fmt.Sprintf("%s for %s.", i.Variant, p.Platform)
	made.Annotations = b.properties(made.PackageFileName, archiveFile)
	var held []*v2_3.File
	var texts []string
	for _, l := range p.Layers {
		for _, m := range l.Members {
			f, err := b.addMember(p, from, m)
			if err != nil {
				return nil, fmt.Errorf("layer %s: %w", l.Name, err)
			}
			held = append(held, f)
			if text := b.texts[f.FileSPDXIdentifier]; text != "NONE" && text != "NOASSERTION" {
				texts = append(texts, strings.Split(text, "\n")...)
			}
		}
	}
	if len(held) == 0 {
		return nil, fault("it holds no file: build it again")
	}
	made.PackageCopyrightText = copyright(texts)
	b.relate(b.root.PackageSPDXIdentifier, common.TypeRelationshipContains, made.PackageSPDXIdentifier)
	b.relate(made.PackageSPDXIdentifier, common.TypeRelationshipContains, b.roots.PackageSPDXIdentifier)
	b.relations[relation{made.PackageSPDXIdentifier, common.TypeRelationshipGeneratedFrom, from.root.PackageSPDXIdentifier, from.ref}] = true
	return made, b.hold(made, held)
}

// readOriginal reads the document of the archive that p is made of.
func (b *imageBuilder) readOriginal(p artifact.PlatformImage) (original, error) {
	o := original{ref: common.DocumentID(p.Platform.Slug()), text: b.image.Archives[p.Artifact], files: map[string][]*v2_3.File{}}
	d, err := Parse(bytes.NewReader(o.text))
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return o, fault("the document of %s: %v: build it again", p.Artifact, err)
	}
	o.doc, o.root = d.doc, d.doc.Packages[0]
	if o.root.PackageFileName != p.Artifact || o.root.PackageName != b.image.Image.Component || o.root.PackageVersion != b.image.Image.Version {
		return o, fault("the document of %s describes %.200q: build it again", p.Artifact, o.root.PackageFileName)
	}
	for _, f := range heldBy(o.doc, o.root.PackageSPDXIdentifier) {
		sum := sumOf(f.Checksums, common.SHA256)
		o.files[sum] = append(o.files[sum], f)
	}
	return o, nil
}

// refer names the other document (6.6), and takes over the licences in it that
// the SPDX list does not have.
func (b *imageBuilder) refer(o original) error {
	to := referenceTo(o.doc, o.text)
	b.doc.ExternalDocumentReferences = append(b.doc.ExternalDocumentReferences, v2_3.ExternalDocumentRef{
		DocumentRefID: o.ref, URI: to.Namespace, Checksum: common.Checksum{Algorithm: common.SHA1, Value: to.SHA1},
	})
	for _, l := range o.doc.OtherLicenses {
		if known, ok := b.extracted[l.LicenseIdentifier]; ok && known.Text != l.ExtractedText {
			return fault("licence %s has another text elsewhere: give one of them another name in the recipe", l.LicenseIdentifier)
		}
		b.extracted[l.LicenseIdentifier] = Extracted{ID: l.LicenseIdentifier, Name: l.LicenseName, Text: l.ExtractedText}
	}
	return nil
}

// addMember adds a file of a layer. One that several platforms have is one.
func (b *imageBuilder) addMember(p artifact.PlatformImage, from original, m artifact.File) (*v2_3.File, error) {
	f, text, source, err := b.member(from, m)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%+v %q", *f, text)
	if known := b.files[key]; known != nil {
		f = known
	} else {
		name := m.Name
		if len(b.contents[name]) > 1 {
			name = p.Platform.Slug() + "/" + name
		}
		f.FileSPDXIdentifier = b.element("File", name)
		f.Annotations = b.properties(path.Base(m.Name), formOf(f))
		b.files[key], b.texts[f.FileSPDXIdentifier] = f, text
		b.doc.Files = append(b.doc.Files, f)
	}
	switch {
	case source == "":
	case source == b.roots.PackageSPDXIdentifier:
		b.relate(f.FileSPDXIdentifier, common.TypeRelationshipGeneratedFrom, source)
	default:
		b.relations[relation{f.FileSPDXIdentifier, common.TypeRelationshipCopyOf, source, from.ref}] = true
	}
	return f, nil
}

// member is a file without its identifier, its copyright text, and what it is
// a copy of or made from. The notices of a copy are left to the other document.
func (b *imageBuilder) member(from original, m artifact.File) (f *v2_3.File, text string, source common.ElementID, err error) {
	f = &v2_3.File{FileName: "./" + m.Name, LicenseInfoInFiles: []string{"NOASSERTION"}, FileTypes: []string{"TEXT"}}
	if same := from.files[m.Digest.Hex()]; len(same) > 0 {
		other := slices.MinFunc(same, func(x, y *v2_3.File) int {
			return cmp.Or(cmp.Compare(unlike(m, x), unlike(m, y)), cmp.Compare(x.FileSPDXIdentifier, y.FileSPDXIdentifier))
		})
		f.FileTypes, f.Checksums, f.LicenseInfoInFiles = other.FileTypes, other.Checksums, other.LicenseInfoInFiles
		f.LicenseConcluded, f.FileCopyrightText = other.LicenseConcluded, "NOASSERTION"
		return f, other.FileCopyrightText, other.FileSPDXIdentifier, nil
	}
	var hashes Hashes
	given, ok := b.image.Files[m.Digest]
	switch {
	case m.Digest == artifact.DigestBytes(from.text):
		one, big := sha1.Sum(from.text), sha512.Sum512(from.text)
		hashes = Hashes{SHA1: hex.EncodeToString(one[:]), SHA512: hex.EncodeToString(big[:])}
		f.FileTypes, f.LicenseConcluded, f.FileCopyrightText = []string{"SPDX", "TEXT"}, v2_3.DataLicense, "NONE"
	case !ok:
		return nil, "", "", fault("file %s is in no archive, and has no hashes: build it again", m.Name)
	case given.Whose == Roots:
		hashes, source = given.Hashes, b.roots.PackageSPDXIdentifier
		f.LicenseConcluded, f.FileCopyrightText = b.roots.PackageLicenseConcluded, b.roots.PackageCopyrightText
	case given.Whose == Own:
		hashes = given.Hashes
		f.LicenseConcluded, f.FileCopyrightText = b.in.Publisher.Licence, copyright(given.Copyright)
	default:
		return nil, "", "", fault("file %s: it is not known whose it is (%q): build it again", m.Name, given.Whose)
	}
	if f.Checksums, err = checksums(m.Digest.Hex(), hashes); err != nil {
		return nil, "", "", fault("file %s: %v: build it again", m.Name, err)
	}
	return f, f.FileCopyrightText, source, nil
}

// unlike tells two files of the same content apart by their names.
func unlike(m artifact.File, f *v2_3.File) int {
	if path.Base(m.Name) == path.Base(f.FileName) {
		return 0
	}
	return 1
}

func formOf(f *v2_3.File) form {
	if slices.Contains(f.FileTypes, "APPLICATION") {
		return executableFile
	}
	return plainFile
}

func (b *imageBuilder) finishImage() error {
	used := map[string]bool{}
	for _, p := range b.doc.Packages {
		for _, id := range references(p.PackageLicenseConcluded) {
			used[id] = true
		}
	}
	for id := range b.extracted { // what is in an archive and not in the image, as a toolchain's
		if !used[id] {
			delete(b.extracted, id)
		}
	}
	slices.SortFunc(b.doc.ExternalDocumentReferences, func(x, y v2_3.ExternalDocumentRef) int {
		return cmp.Compare(x.DocumentRefID, y.DocumentRefID)
	})
	return b.close(b.image.Image.Name, fmt.Sprintf("%s. Of the container image %s %s, made while it was built, from the digests of what is in its layers. "+
		"Complete: every file of every platform is listed, and so is what it was made from. "+
		"Not said again: what is in the binaries. The documents of the archives that they were taken from say it, to which this one refers; the image of each platform holds that of its own.",
		sbomType, b.image.Image.Component, b.image.Image.Version))
}
