package spdx

import (
	"fmt"
	"slices"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// outwards are the relationships that an image's document has to what another
// one describes.
var outwards = []string{common.TypeRelationshipGeneratedFrom, common.TypeRelationshipCopyOf}

// maxPlatforms bounds the images of an index: each is held against the whole
// document.
const maxPlatforms = 32

// image holds the document of an image against what is promised of it alone:
// an index that contains the images of platforms, each of which is made of one
// archive that another document describes, and one module of certificates.
func (c *checker) image() error {
	if !ofImage(c.doc) {
		return nil
	}
	root := c.doc.Packages[0]
	if err := imageDigest(root); err != nil {
		return err
	}
	if purl := purlOf(root); purl.Qualifiers.Map()["os"] != "" || purl.Qualifiers.Map()["arch"] != "" {
		return fmt.Errorf("the package URL of the index is that of a platform's image")
	}
	if _, err := rootsOf(c.doc); err != nil {
		return err
	}
	platforms := platformImages(c.doc)
	if len(platforms) > maxPlatforms {
		return fmt.Errorf("it lists the images of %d platforms, more than %d", len(platforms), maxPlatforms)
	}
	if len(platforms) == 0 || len(platforms)+2 != len(c.doc.Packages) {
		return fmt.Errorf("it lists other packages than images of platforms and one module of certificates")
	}
	if len(c.doc.ExternalDocumentReferences) != len(platforms) {
		return fmt.Errorf("it refers to %d documents for %d platforms", len(c.doc.ExternalDocumentReferences), len(platforms))
	}
	for n, p := range platforms {
		if n > 0 && slugOf(platforms[n-1]) == slugOf(p) {
			return fmt.Errorf("platform %.100q is there twice", slugOf(p))
		}
		if p.PackageName != root.PackageName || p.PackageVersion != root.PackageVersion {
			return fmt.Errorf("platform %.100q is of %.100q %.100q", slugOf(p), p.PackageName, p.PackageVersion)
		}
		if err := c.platform(p); err != nil {
			return fmt.Errorf("platform %.100q: %w", slugOf(p), err)
		}
	}
	for _, r := range c.doc.Relationships {
		from := slices.ContainsFunc(platforms, func(p *v2_3.Package) bool { return p.PackageSPDXIdentifier == r.RefA.ElementRefID })
		if r.RefB.DocumentRefID != "" && (r.Relationship == common.TypeRelationshipGeneratedFrom) != from {
			return fmt.Errorf("%.200q is %s what is in another document", r.RefA.ElementRefID, r.Relationship)
		}
	}
	return c.held(platforms)
}

// held wants every file in the image of some platform, and nowhere else: one
// that only something else has to do with would be said to be in the image, and
// be compared with nothing. Files alone are copies, each of one in the archive
// that its platform's image is made of.
func (c *checker) held(platforms []*v2_3.Package) error {
	files, inside := map[common.ElementID]bool{}, map[common.ElementID][]string{}
	for _, f := range c.doc.Files {
		files[f.FileSPDXIdentifier] = true
	}
	for _, r := range c.doc.Relationships {
		if r.Relationship != common.TypeRelationshipContains || !files[r.RefB.ElementRefID] {
			continue
		}
		n := slices.IndexFunc(platforms, func(p *v2_3.Package) bool { return p.PackageSPDXIdentifier == r.RefA.ElementRefID })
		if n < 0 {
			return fmt.Errorf("%.200q, which is no platform's image, contains file %.200q", r.RefA.ElementRefID, r.RefB.ElementRefID)
		}
		inside[r.RefB.ElementRefID] = append(inside[r.RefB.ElementRefID], slugOf(platforms[n]))
	}
	for _, f := range c.doc.Files {
		if len(inside[f.FileSPDXIdentifier]) == 0 {
			return fmt.Errorf("file %.300q is in no platform's image", f.FileName)
		}
	}
	for _, r := range c.doc.Relationships {
		if from, in := r.RefA.ElementRefID, string(r.RefB.DocumentRefID); r.Relationship == common.TypeRelationshipCopyOf && !slices.Contains(inside[from], in) {
			return fmt.Errorf("%.200q is no file of the platform %.100q, and a copy of one of its archive", from, in)
		}
	}
	return nil
}

// imageDigest wants the digest in p's package URL, as OCI writes it, and beside
// it what p says itself.
func imageDigest(p *v2_3.Package) error {
	purl := purlOf(p)
	if purl.Type != packageurl.TypeOCI || !ociDigest.MatchString(purl.Version) {
		return fmt.Errorf("package %.200q has no image's package URL with a digest", p.PackageSPDXIdentifier)
	}
	q, got := purl.Qualifiers.Map(), referenced(p, common.TypePackageManagerPURL)
	d, err := artifact.ParseDigest(purl.Version)
	if want := imagePURL(p.PackageName, p.PackageVersion, d, artifact.Platform{OS: q["os"], Arch: q["arch"]}); err != nil || got != want {
		return fmt.Errorf("package URL %.300q is not that of an image of %.100q %.100q, %.300s", got, p.PackageName, p.PackageVersion, want)
	}
	return nil
}

func (c *checker) platform(p *v2_3.Package) error {
	if err := imageDigest(p); err != nil {
		return err
	}
	if "sha256:"+sumOf(p.PackageChecksums, common.SHA256) != purlOf(p).Version {
		return fmt.Errorf("its package URL has not the digest of its manifest")
	}
	names := map[string]bool{}
	for _, f := range heldBy(c.doc, p.PackageSPDXIdentifier) {
		if names[f.FileName] {
			return fmt.Errorf("it lists the file %.300q twice", f.FileName)
		}
		names[f.FileName] = true
	}
	inside, made := 0, 0
	for _, r := range c.doc.Relationships {
		switch {
		case r.RefA.ElementRefID == c.root && r.RefB.ElementRefID == p.PackageSPDXIdentifier && r.RefB.DocumentRefID == "" && r.Relationship == common.TypeRelationshipContains:
			inside++
		case r.RefA.ElementRefID == p.PackageSPDXIdentifier && r.RefB.DocumentRefID != "":
			made++
			if string(r.RefB.DocumentRefID) != slugOf(p) {
				return fmt.Errorf("it is made of what %.100q describes", r.RefB.DocumentRefID)
			}
		}
	}
	if inside != 1 || made != 1 {
		return fmt.Errorf("the index contains it %d times, and it is made of %d archives", inside, made)
	}
	for _, ref := range c.doc.ExternalDocumentReferences {
		if string(ref.DocumentRefID) == slugOf(p) && ref.Checksum.Algorithm == common.SHA1 && isDigest(common.SHA1, ref.Checksum.Value) && webAddress(ref.URI) {
			return nil
		}
	}
	return fmt.Errorf("it does not say where its archive is described, with the SHA-1 of that")
}
