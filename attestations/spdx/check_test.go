package spdx

import (
	"errors"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// Each change keeps a document valid SPDX and breaks a promise. Its namespace
// is made anew, so that nothing but the promise is broken.
func TestCheckRefuses(t *testing.T) {
	find := func(d *v2_3.Document, name string) *v2_3.Package {
		for _, p := range d.Packages {
			if p.PackageName == name {
				return p
			}
		}
		panic(name)
	}
	tests := []struct {
		name   string
		change func(*v2_3.Document)
		says   string
	}{
		{"time with a fraction", func(d *v2_3.Document) { d.CreationInfo.Created = "2023-11-14T22:13:20.5Z" }, "created"},
		{"time elsewhere", func(d *v2_3.Document) { d.CreationInfo.Created = "2023-11-14T23:13:20+01:00" }, "created"},
		{"another tool", func(d *v2_3.Document) { d.CreationInfo.Creators[1].Creator = "other-1" }, "creators"},
		{"no type of SBOM", func(d *v2_3.Document) { d.CreationInfo.CreatorComment = "" }, sbomType},
		{"annotation of its own", func(d *v2_3.Document) { d.Annotations = append(d.Annotations, &d.Packages[0].Annotations[0]) }, "annotations"},
		{"describes nothing", func(d *v2_3.Document) { d.Relationships = d.Relationships[1:] }, "describes"},
		{"describes two", func(d *v2_3.Document) {
			two := *d.Relationships[0]
			two.RefB.ElementRefID = "Go-stdlib-1.26.8"
			d.Relationships = append(d.Relationships, &two)
		}, "describes"},
		{"describes a file", func(d *v2_3.Document) { d.Relationships[0].RefB.ElementRefID = d.Files[0].FileSPDXIdentifier }, "describes"},
		{"no version", func(d *v2_3.Document) { find(d, "stdlib").PackageVersion = "" }, "no version"},
		{"no supplier", func(d *v2_3.Document) { find(d, "stdlib").PackageSupplier = nil }, "supplier"},
		{"unknown supplier", func(d *v2_3.Document) { find(d, "stdlib").PackageSupplier = &common.Supplier{Supplier: "NOASSERTION"} }, "supplier"},
		{"supplier without an address", func(d *v2_3.Document) { find(d, "stdlib").PackageSupplier.Supplier = "golang.org" }, "address"},
		{"licence not known", func(d *v2_3.Document) { find(d, "stdlib").PackageLicenseConcluded = "NOASSERTION" }, "stdlib 1.26.8: licence"},
		{"licence declared as none", func(d *v2_3.Document) { find(d, "stdlib").PackageLicenseDeclared = "NONE" }, "stdlib 1.26.8: licence"},
		{"licence not SPDX's", func(d *v2_3.Document) { find(d, "stdlib").PackageLicenseConcluded = "BSD" }, `"BSD"`},
		{"licence of a file not known", func(d *v2_3.Document) { d.Files[0].LicenseConcluded = "" }, d0},
		{"licence without its text", func(d *v2_3.Document) { d.OtherLicenses = nil }, "LicenseRef-palisade-glass"},
		{"text of no licence", func(d *v2_3.Document) {
			d.OtherLicenses = append(d.OtherLicenses, &v2_3.OtherLicense{LicenseIdentifier: "LicenseRef-x", ExtractedText: "x"})
		}, "LicenseRef-x"},
		{"no copyright text", func(d *v2_3.Document) { find(d, "stdlib").PackageCopyrightText = "" }, "copyright"},
		{"copyright not known", func(d *v2_3.Document) { find(d, "stdlib").PackageCopyrightText = "NOASSERTION" }, "copyright"},
		{"no source", func(d *v2_3.Document) { find(d, "stdlib").PackageSourceInfo = "" }, "sourceInfo"},
		{"no package URL", func(d *v2_3.Document) { find(d, "stdlib").PackageExternalReferences = nil }, "package URL"},
		{"malformed package URL", func(d *v2_3.Document) { find(d, "stdlib").PackageExternalReferences[0].Locator = "pkg:golang" }, "package URL"},
		{"package URL without a version", func(d *v2_3.Document) { find(d, "stdlib").PackageExternalReferences[0].Locator = "pkg:golang/stdlib" }, "package URL"},
		{"package URL of another", func(d *v2_3.Document) {
			find(d, "stdlib").PackageExternalReferences[0].Locator = find(d, glass).PackageExternalReferences[0].Locator
		}, "package URL of its own"},
		{"vulnerability", func(d *v2_3.Document) {
			p := find(d, "stdlib")
			p.PackageExternalReferences = append(p.PackageExternalReferences, reference("SECURITY", "advisory", "https://example.org"))
		}, "not one of ours"},
		{"malformed h1", func(d *v2_3.Document) { find(d, glass).PackageExternalReferences[1].Locator = "h1:x" }, "not one of ours"},
		{"checksum twice", func(d *v2_3.Document) {
			p := find(d, "stdlib")
			p.PackageChecksums = append(p.PackageChecksums, p.PackageChecksums[0])
		}, "checksums"},
		{"checksum in capitals", func(d *v2_3.Document) {
			c := find(d, "stdlib").PackageChecksums
			c[0].Value = strings.ToUpper(c[0].Value)
		}, "lower case"},
		{"file name without a checksum", func(d *v2_3.Document) { find(d, "stdlib").PackageChecksums = nil }, "no checksum"},
		{"file without SHA512", func(d *v2_3.Document) { d.Files[0].Checksums = d.Files[0].Checksums[:2] }, "all three"},
		{"file without a type", func(d *v2_3.Document) { d.Files[0].FileTypes = nil }, "all three"},
		{"other verification code", func(d *v2_3.Document) { d.Packages[0].PackageVerificationCode.Value = hashesOf("x").SHA1 }, "verification code"},
		{"files that were not looked at", func(d *v2_3.Document) {
			d.Packages[0].FilesAnalyzed, d.Packages[0].PackageVerificationCode, d.Packages[0].PackageLicenseInfoFromFiles = false, nil, nil
		}, "verification code"},
		{"licences of files that are not there", func(d *v2_3.Document) { find(d, "stdlib").PackageLicenseInfoFromFiles = []string{"MIT"} }, "did not look at"},
		{"relationship twice", func(d *v2_3.Document) { d.Relationships = append(d.Relationships, d.Relationships[1]) }, "twice"},
		{"relationship of another kind", func(d *v2_3.Document) { d.Relationships[1].Relationship = "OTHER" }, "not one of ours"},
		{"relationship to NONE", func(d *v2_3.Document) { d.Relationships[1].RefB = common.MakeDocElementSpecial("NONE") }, "not one of ours"},
		{"package that hangs on nothing", func(d *v2_3.Document) {
			lost := *find(d, "stdlib")
			lost.PackageSPDXIdentifier = "lost"
			lost.PackageExternalReferences = []*v2_3.PackageExternalReference{reference("PACKAGE-MANAGER", "purl", "pkg:npm/lost@1")}
			d.Packages = append(d.Packages, &lost)
		}, "nothing to do"},
		{"file that hangs on nothing", func(d *v2_3.Document) {
			lost := *d.Files[0]
			lost.FileSPDXIdentifier = "lost"
			d.Files = append(d.Files, &lost)
		}, "nothing to do"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Parse(strings.NewReader(golden(t)))
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
}

// d0 is the first file of the document that is changed.
const d0 = "./beaconctl"

// Anything that is changed afterwards no longer goes with the namespace.
func TestCheckNamespace(t *testing.T) {
	for _, change := range [][2]string{
		{`"versionInfo": "1.26.8"`, `"versionInfo": "1.26.9"`},
		{`"documentNamespace": "https://palisade.example/spdx/`, `"documentNamespace": "https://palisade.example/`},
		{`"documentNamespace": "https://palisade.example/`, `"documentNamespace": "palisade.example/`},
		{`"name": "beacon-1.2.0-palisade.1.linux-amd64/beaconctl"`, `"name": "other"`},
	} {
		d, err := Parse(strings.NewReader(strings.Replace(golden(t), change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Check(); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), "namespace") {
			t.Errorf("with %s: %v, want ErrDocument about the namespace", change[1], err)
		}
	}
}
