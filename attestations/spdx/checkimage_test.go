package spdx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/utils"
)

// Each change keeps an image's document valid SPDX and breaks a promise.
func TestCheckRefusesImages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "sample-image.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(d *v2_3.Document, from, to common.ElementID) *v2_3.Relationship {
		i := slices.IndexFunc(d.Relationships, func(r *v2_3.Relationship) bool {
			return r.RefA.ElementRefID == from && (r.RefB.ElementRefID == to || to == "" && r.RefB.DocumentRefID != "")
		})
		return d.Relationships[i]
	}
	const amd64, arm64 = "Image-linux-amd64", "Image-linux-arm64"
	platform := func(d *v2_3.Document) *v2_3.Package { return platformImages(d)[0] }
	tests := []struct {
		name   string
		change func(*v2_3.Document)
		says   string
	}{
		{"index without a digest", func(d *v2_3.Document) {
			d.Packages[0].PackageExternalReferences[0].Locator = "pkg:oci/beacon@latest"
		}, "with a digest"},
		{"another package", func(d *v2_3.Document) {
			platform(d).PackageExternalReferences[0].Locator = "pkg:npm/beacon@1"
		}, "other packages"},
		{"no certificates", func(d *v2_3.Document) {
			i := slices.IndexFunc(d.Packages, func(p *v2_3.Package) bool { return p.PackageName == rootsPath })
			d.Packages[i].PackageExternalReferences[0].Locator = "pkg:npm/roots@1"
		}, "no module"},
		{"platform without a digest", func(d *v2_3.Document) {
			platform(d).PackageExternalReferences[0].Locator = "pkg:oci/beacon@1?arch=amd64&os=linux"
		}, "with a digest"},
		{"digest of another manifest", func(d *v2_3.Document) {
			platform(d).PackageExternalReferences[0].Locator = "pkg:oci/beacon@" + digestOf("x").String() + "?arch=amd64&os=linux&tag=1.2.0-palisade.1"
		}, "digest of its manifest"},
		{"platform twice", func(d *v2_3.Document) {
			p := platform(d)
			p.PackageExternalReferences[0].Locator = strings.Replace(p.PackageExternalReferences[0].Locator, "amd64", "arm64", 1)
			find(d, amd64, "").RefB.DocumentRefID = "linux-arm64"
		}, "is there twice"},
		{"one document for two", func(d *v2_3.Document) {
			find(d, arm64, "").RefB.DocumentRefID = "linux-amd64"
		}, `made of what "linux-amd64" describes`},
		{"made of no archive", func(d *v2_3.Document) {
			find(d, amd64, "").RefB.DocumentRefID = ""
			find(d, amd64, "Artifact-beacon-1.2.0-palisade.1.linux-amd64.tar.gz").RefB.ElementRefID = arm64
		}, "made of 0 archives"},
		{"not in the index", func(d *v2_3.Document) {
			find(d, d.Packages[0].PackageSPDXIdentifier, amd64).Relationship = "DEPENDS_ON"
		}, "contains it 0 times"},
		{"copy of an archive", func(d *v2_3.Document) { find(d, amd64, "").Relationship = "COPY_OF" }, "COPY_OF what is in another document"},
		{"file made from another document", func(d *v2_3.Document) {
			find(d, "File-linux-amd64-bin-beacon", "").Relationship = "GENERATED_FROM"
		}, "GENERATED_FROM what is in another document"},
		{"contains another document", func(d *v2_3.Document) { find(d, amd64, "").Relationship = "CONTAINS" }, "not one of ours"},
		{"one reference more", func(d *v2_3.Document) {
			more := d.ExternalDocumentReferences[0]
			more.DocumentRefID = "other"
			d.ExternalDocumentReferences = append(d.ExternalDocumentReferences, more)
		}, "3 documents for 2 platforms"},
		{"reference by SHA256", func(d *v2_3.Document) {
			d.ExternalDocumentReferences[0].Checksum = common.Checksum{Algorithm: common.SHA256, Value: digestOf("x").Hex()}
		}, "SHA-1"},
		{"reference to nowhere", func(d *v2_3.Document) { d.ExternalDocumentReferences[0].URI = "beacon" }, "described"},
		{"index of another name", func(d *v2_3.Document) {
			r := d.Packages[0].PackageExternalReferences[0]
			r.Locator = strings.Replace(r.Locator, "oci/beacon@", "oci/bacon@", 1)
		}, "is not that of an image"},
		{"platform by another tag", func(d *v2_3.Document) {
			r := platform(d).PackageExternalReferences[0]
			r.Locator = strings.Replace(r.Locator, "tag=1.2.0", "tag=1.2.1", 1)
		}, "is not that of an image"},
		{"platform in a repository", func(d *v2_3.Document) {
			r := platform(d).PackageExternalReferences[0]
			r.Locator = strings.Replace(r.Locator, "&tag=", "&repository_url=registry.example%2Fbeacon&tag=", 1)
		}, "is not that of an image"},
		{"index for a platform", func(d *v2_3.Document) {
			r := d.Packages[0].PackageExternalReferences[0]
			r.Locator = strings.Replace(r.Locator, "?tag=", "?arch=386&os=linux&tag=", 1)
		}, "package URL of the index"},
		{"platform of another version", func(d *v2_3.Document) {
			p := platform(d)
			p.PackageVersion = "1.2.1-palisade.1"
			r := p.PackageExternalReferences[0]
			r.Locator = strings.Replace(r.Locator, "tag=1.2.0", "tag=1.2.1", 1)
		}, `is of "beacon" "1.2.1-palisade.1"`},
		{"too many platforms", func(d *v2_3.Document) {
			for n := range maxPlatforms {
				p := *d.Packages[0]
				p.PackageSPDXIdentifier = common.ElementID(fmt.Sprint("Image-more-", n))
				p.PackageExternalReferences = slices.Clone(p.PackageExternalReferences)
				r := *p.PackageExternalReferences[0]
				r.Locator = strings.Replace(r.Locator, "?tag=", fmt.Sprintf("?arch=x%d&os=linux&tag=", n), 1)
				p.PackageExternalReferences[0] = &r
				d.Packages = append(d.Packages, &p)
				d.Relationships = append(d.Relationships, &v2_3.Relationship{
					RefA: common.DocElementID{ElementRefID: d.Packages[0].PackageSPDXIdentifier}, RefB: common.DocElementID{ElementRefID: p.PackageSPDXIdentifier}, Relationship: "CONTAINS",
				})
			}
		}, "images of 34 platforms"},
		{"file of the roots alone", func(d *v2_3.Document) {
			more := *d.Files[0]
			more.FileSPDXIdentifier, more.FileName = "File-bin-sh", "./bin/sh"
			d.Files = append(d.Files, &more)
			roots := slices.IndexFunc(d.Packages, func(p *v2_3.Package) bool { return p.PackageName == rootsPath })
			d.Relationships = append(d.Relationships, &v2_3.Relationship{
				RefA: common.DocElementID{ElementRefID: "File-bin-sh"}, RefB: common.DocElementID{ElementRefID: d.Packages[roots].PackageSPDXIdentifier},
				Relationship: "GENERATED_FROM",
			})
		}, `file "./bin/sh" is in no platform's image`},
		{"copy of what no document describes", func(d *v2_3.Document) {
			find(d, "File-linux-amd64-bin-beacon", "").RefB.DocumentRefID = "nowhere"
		}, "one end does not exist"},
		{"copy of what is for another platform", func(d *v2_3.Document) {
			find(d, "File-linux-amd64-bin-beacon", "").RefB.DocumentRefID = "linux-arm64"
		}, `no file of the platform "linux-arm64"`},
		{"copy that is no file", func(d *v2_3.Document) {
			find(d, "File-linux-amd64-bin-beacon", "").RefA.ElementRefID = d.Packages[0].PackageSPDXIdentifier
		}, "is no file of"},
		{"file of the index", func(d *v2_3.Document) {
			root := d.Packages[0]
			f := d.Files[0]
			code, err := utils.GetVerificationCode([]*v2_3.File{f}, "")
			if err != nil {
				t.Fatal(err)
			}
			root.FilesAnalyzed, root.PackageVerificationCode, root.PackageLicenseInfoFromFiles = true, &code, f.LicenseInfoInFiles
			d.Relationships = append(d.Relationships, &v2_3.Relationship{
				RefA: common.DocElementID{ElementRefID: root.PackageSPDXIdentifier}, RefB: common.DocElementID{ElementRefID: f.FileSPDXIdentifier}, Relationship: "CONTAINS",
			})
		}, "which is no platform's image"},
		{"file twice in a platform", func(d *v2_3.Document) {
			for _, f := range d.Files {
				if f.FileName == "./etc/passwd" {
					f.FileName = "./bin/beacon"
				}
			}
		}, `the file "./bin/beacon" twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Parse(strings.NewReader(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			tt.change(d.doc)
			if err := seal(d.doc, "https://palisade.example"); err != nil {
				t.Fatal(err)
			}
			err = d.Check()
			if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check: %v, want ErrDocument that says %q", err, tt.says)
			}
		})
	}
	// An archive's document refers to no other.
	d, err := Parse(strings.NewReader(golden(t)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	d.doc.ExternalDocumentReferences = other.doc.ExternalDocumentReferences
	if err := seal(d.doc, "https://palisade.example"); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err == nil || !strings.Contains(err.Error(), "references to other documents") {
		t.Errorf("an archive's document that refers to others: %v", err)
	}
}

// A person sees which platform is meant, and what changed is told for each.
func TestViewImage(t *testing.T) {
	one, err := DescribeImage(sampleImage(t))
	if err != nil {
		t.Fatal(err)
	}
	v := one.View()
	var platforms []string
	for _, p := range v.Packages {
		platforms = append(platforms, p.Name)
	}
	if !slices.Equal(platforms, []string{"oci:beacon for linux/amd64", "oci:beacon for linux/arm64"}) || len(v.Modules) != 1 || v.Modules[0].Name != rootsPath {
		t.Errorf("packages %q, modules %+v", platforms, v.Modules)
	}
	in := sampleImage(t)
	in.Image.Platforms = in.Image.Platforms[1:]
	two, err := DescribeImage(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range one.doc.Packages {
		if purlOf(p).Type == "oci" {
			p.PackageVersion = "1.2.1-palisade.1"
		}
	}
	var changes []string
	for _, c := range Diff(two, one) {
		if c.What == OfPackage {
			changes = append(changes, string(c.Kind)+" "+c.Name)
		}
	}
	slices.Sort(changes)
	if want := []string{"added oci:beacon for linux/amd64", "changed oci:beacon for linux/arm64"}; !slices.Equal(changes, want) {
		t.Errorf("changes are %q, want %q", changes, want)
	}
}
