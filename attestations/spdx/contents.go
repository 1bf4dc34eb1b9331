package spdx

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// ImageContents is what the document of an image says is in it, to be compared
// with what was found there.
type ImageContents struct {
	Component, Version string
	File               string          // that the image lies in
	Digest             artifact.Digest // of the file
	Index              artifact.Digest
	Roots              artifact.Module // Path, Version, Sum and Zip
	Platforms          []PlatformContents
}

// PlatformContents is what is in the image of one platform.
type PlatformContents struct {
	Platform string // its slug, linux-armv7
	Manifest artifact.Digest
	Files    map[string]artifact.Digest // of all layers, by path below /
	Document Reference                  // of the archive that it was made of
}

// A Reference names another document (6.6): what it calls itself, and the
// SHA-1 of its bytes, which SPDX demands. Where more is asked for than to find
// it, the file of the same bytes in the image has a SHA-256.
type Reference struct{ Namespace, SHA1 string }

// ReferenceTo is how d, that was read from text, is referred to.
func ReferenceTo(d *Document, text []byte) Reference { return referenceTo(d.doc, text) }

func referenceTo(doc *v2_3.Document, text []byte) Reference {
	sum := sha1.Sum(text)
	return Reference{doc.DocumentNamespace, hex.EncodeToString(sum[:])}
}

// ContentsOf is what the document of i has to say, with the references to the
// documents of its artifacts, by their names.
func ContentsOf(i artifact.Image, documents map[string]Reference) ImageContents {
	c := ImageContents{Component: i.Component, Version: i.Version, File: i.Name, Digest: i.Digest, Index: i.Index, Roots: i.Roots}
	for _, p := range i.Platforms {
		one := PlatformContents{
			Platform: p.Platform.Slug(), Manifest: p.Manifest, Files: map[string]artifact.Digest{},
			Document: documents[p.Artifact],
		}
		for _, l := range p.Layers {
			for _, m := range l.Members {
				one.Files[m.Name] = m.Digest
			}
		}
		c.Platforms = append(c.Platforms, one)
	}
	return c
}

// Image is what d says of the image that it describes. Platforms are in the
// order of their slugs. It refuses (ErrDocument) what Check does, and a
// document of something else.
func (d *Document) Image() (ImageContents, error) {
	err := d.Check()
	if err == nil && !ofImage(d.doc) {
		err = fmt.Errorf("%w: it does not describe an image", ErrDocument)
	}
	if err != nil {
		return ImageContents{}, err
	}
	root := d.doc.Packages[0]
	c := ImageContents{Component: root.PackageName, Version: root.PackageVersion, File: root.PackageFileName}
	for _, read := range []func() error{
		func() (err error) {
			c.Digest, err = artifact.ParseDigest("sha256:" + sumOf(root.PackageChecksums, common.SHA256))
			return
		},
		func() (err error) { c.Index, err = artifact.ParseDigest(purlOf(root).Version); return },
		func() (err error) { c.Platforms, err = platformContents(d.doc); return },
		func() (err error) { c.Roots, err = rootsOf(d.doc); return },
	} {
		if err := read(); err != nil {
			return ImageContents{}, fmt.Errorf("%w: %w", ErrDocument, err)
		}
	}
	return c, nil
}

// ofImage reports whether doc describes an image.
func ofImage(doc *v2_3.Document) bool {
	return len(doc.Packages) > 0 && purlOf(doc.Packages[0]).Type == packageurl.TypeOCI
}

// platformImages are the packages of an image's platforms.
func platformImages(doc *v2_3.Document) []*v2_3.Package {
	all := slices.DeleteFunc(slices.Clone(doc.Packages[1:]), func(p *v2_3.Package) bool { return purlOf(p).Type != packageurl.TypeOCI })
	slices.SortFunc(all, func(x, y *v2_3.Package) int { return strings.Compare(slugOf(x), slugOf(y)) })
	return all
}

func slugOf(p *v2_3.Package) string {
	q := purlOf(p).Qualifiers.Map()
	return q["os"] + "-" + q["arch"]
}

func platformContents(doc *v2_3.Document) (all []PlatformContents, err error) {
	for _, p := range platformImages(doc) {
		one := PlatformContents{Platform: slugOf(p), Files: map[string]artifact.Digest{}}
		if one.Manifest, err = artifact.ParseDigest("sha256:" + sumOf(p.PackageChecksums, common.SHA256)); err != nil {
			return nil, err
		}
		for _, f := range heldBy(doc, p.PackageSPDXIdentifier) {
			d, err := artifact.ParseDigest("sha256:" + sumOf(f.Checksums, common.SHA256))
			if err != nil {
				return nil, err
			}
			one.Files[strings.TrimPrefix(f.FileName, "./")] = d
		}
		for _, ref := range doc.ExternalDocumentReferences {
			if string(ref.DocumentRefID) == one.Platform {
				one.Document = Reference{ref.URI, ref.Checksum.Value}
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// rootsOf is the one Go module of an image's document.
func rootsOf(doc *v2_3.Document) (artifact.Module, error) {
	for _, p := range doc.Packages {
		if purl := purlOf(p); purl.Type == packageurl.TypeGolang {
			zip, err := artifact.ParseDigest("sha256:" + sumOf(p.PackageChecksums, common.SHA256))
			return artifact.Module{Path: p.PackageName, Version: p.PackageVersion, Sum: referenced(p, refGoH1), Zip: &zip}, err
		}
	}
	return artifact.Module{}, fmt.Errorf("it names no module whose certificates are in the image")
}

// heldBy is every file that one package contains.
func heldBy(doc *v2_3.Document, id common.ElementID) []*v2_3.File {
	held := map[common.ElementID]bool{}
	for _, r := range doc.Relationships {
		if r.Relationship == common.TypeRelationshipContains && r.RefA.ElementRefID == id {
			held[r.RefB.ElementRefID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(doc.Files), func(f *v2_3.File) bool { return !held[f.FileSPDXIdentifier] })
}

func sumOf(sums []common.Checksum, algorithm common.ChecksumAlgorithm) string {
	for _, s := range sums {
		if s.Algorithm == algorithm {
			return s.Value
		}
	}
	return ""
}

// Same explains how what was found differs from what c says; nil if in nothing.
// The order of platforms does not matter. What was found without its file, as
// in a registry, has no File, and its Digest is not compared.
func (c ImageContents) Same(found ImageContents) error {
	if found.File == "" {
		c.File, c.Digest = "", found.Digest
	}
	for n, p := range found.Platforms {
		// It would stand for the first.
		if slices.ContainsFunc(found.Platforms[:n], func(o PlatformContents) bool { return o.Platform == p.Platform }) {
			return fmt.Errorf("two platforms are called %.100q", p.Platform)
		}
	}
	said, got := c.statements(), found.statements()
	for _, what := range slices.Sorted(maps.Keys(got)) {
		if _, ok := said[what]; !ok {
			return fmt.Errorf("it does not say anything of %.300s, which is there", what)
		}
		if said[what] != got[what] {
			return fmt.Errorf("of %.300s it says %.300s, found was %.300s", what, said[what], got[what])
		}
	}
	for _, what := range slices.Sorted(maps.Keys(said)) {
		if _, ok := got[what]; !ok {
			return fmt.Errorf("it names %.300s, which is not there", what)
		}
	}
	return nil
}

func (c ImageContents) statements() map[string]string {
	zip := ""
	if c.Roots.Zip != nil {
		zip = c.Roots.Zip.String()
	}
	all := map[string]string{
		"the image": fmt.Sprintf("%q %q in the file %q, %s", c.Component, c.Version, c.File, c.Digest),
		"the index": c.Index.String(),
		"the roots": fmt.Sprintf("%q %q %s %s", c.Roots.Path, c.Roots.Version, c.Roots.Sum, zip),
	}
	for _, p := range c.Platforms {
		of := fmt.Sprintf(" of %q", p.Platform)
		all["the manifest"+of] = p.Manifest.String()
		all["the document of the archive"+of] = fmt.Sprintf("%q, SHA-1 %s", p.Document.Namespace, p.Document.SHA1)
		for name, d := range p.Files {
			all[fmt.Sprintf("the file %q", name)+of] = d.String()
		}
	}
	return all
}
