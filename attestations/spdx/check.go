package spdx

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/utils"
)

// Check reports whether d keeps what this package promises, over and above
// what SPDX 2.3 demands: see the package's documentation. Every document of
// Describe and DescribeBinary does.
func (d *Document) Check() error {
	if err := validate(d.doc); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	c := checker{doc: d.doc, licences: map[string]bool{}, used: map[string]bool{}}
	for _, check := range []func() error{c.header, c.packages, c.graph, c.files, c.image, c.extracted, c.namespace} {
		if err := check(); err != nil {
			return fmt.Errorf("%w: %w", ErrDocument, err)
		}
	}
	return nil
}

// maxExpressions bounds the licence expressions that are parsed, in bytes: the
// parser is slow.
const maxExpressions = 256 << 10

type checker struct {
	doc      *v2_3.Document
	root     common.ElementID
	licences map[string]bool // expressions found valid
	length   int             // of these together
	used     map[string]bool // LicenseRefs
}

func (c *checker) header() error {
	d, i := c.doc, c.doc.CreationInfo
	if t, err := time.Parse(time.RFC3339, i.Created); err != nil || timestamp(t.Unix()) != i.Created {
		return fmt.Errorf("created is %.40q, not a second in UTC", i.Created)
	}
	if len(i.Creators) != 2 || i.Creators[0].CreatorType != "Organization" || i.Creators[1] != (common.Creator{CreatorType: "Tool", Creator: Tool}) {
		return fmt.Errorf("its creators are not an organisation and %s", Tool)
	}
	if !strings.HasPrefix(i.CreatorComment, sbomType+".") {
		return fmt.Errorf("its creation comment does not begin with %q", sbomType)
	}
	if len(d.Snippets) > 0 || len(d.Annotations) > 0 || len(d.Reviews) > 0 || len(d.ExternalDocumentReferences) > 0 && !ofImage(d) {
		return fmt.Errorf("it holds snippets, reviews, annotations of its own or references to other documents")
	}
	for _, r := range d.Relationships {
		if r.Relationship != common.TypeRelationshipDescribe && r.Relationship != common.TypeRelationshipDescribeBy {
			continue
		}
		if c.root != "" || r.RefA.ElementRefID != "DOCUMENT" || r.Relationship != common.TypeRelationshipDescribe {
			return fmt.Errorf("it describes more than one thing")
		}
		c.root = r.RefB.ElementRefID
	}
	if len(d.Packages) == 0 || c.root != d.Packages[0].PackageSPDXIdentifier {
		return fmt.Errorf("its first package is not what it describes")
	}
	return nil
}

func (c *checker) licence(of, expression string) error {
	if !c.licences[expression] {
		if c.length += len(expression); c.length > maxExpressions || !validExpression(expression) {
			return fmt.Errorf("%s: licence %.200q is no SPDX expression, or there are too many", of, expression)
		}
		c.licences[expression] = true
	}
	for _, id := range references(expression) {
		c.used[id] = true
	}
	return nil
}

func (c *checker) packages() error {
	purls, tools := map[string]bool{}, map[common.ElementID]bool{}
	for _, r := range c.doc.Relationships {
		if r.Relationship == common.TypeRelationshipBuildToolOf {
			tools[r.RefA.ElementRefID] = true
		}
	}
	for _, p := range c.doc.Packages {
		of := fmt.Sprintf("package %s %s", p.PackageName, p.PackageVersion)
		for _, expression := range []string{p.PackageLicenseConcluded, p.PackageLicenseDeclared} {
			if expression == "NOASSERTION" && tools[p.PackageSPDXIdentifier] {
				continue
			}
			if err := c.licence(of, expression); err != nil {
				return err
			}
		}
		switch {
		case p.PackageVersion == "":
			return fmt.Errorf("%s has no version", of)
		case p.PackageSupplier == nil || !addressed.MatchString(p.PackageSupplier.Supplier):
			return fmt.Errorf("%s has no supplier with an address", of)
		case p.PackageCopyrightText == "" || p.PackageCopyrightText == "NOASSERTION" && wasRead(p):
			return fmt.Errorf("%s has no copyright text, nor NONE", of)
		case p.PackageSourceInfo == "" || p.PackageHomePage == "" || p.PrimaryPackagePurpose == "":
			return fmt.Errorf("%s has no sourceInfo, homepage or purpose", of)
		case !p.FilesAnalyzed && (p.PackageVerificationCode != nil || len(p.PackageLicenseInfoFromFiles) > 0):
			return fmt.Errorf("%s says of files what it did not look at", of)
		}
		purl, err := packageurl.FromString(referenced(p, common.TypePackageManagerPURL))
		if err != nil || purl.Version == "" || purls[referenced(p, common.TypePackageManagerPURL)] {
			return fmt.Errorf("%s has no package URL of its own with a version: %v", of, err)
		}
		purls[referenced(p, common.TypePackageManagerPURL)] = true
		if err := c.checksums(p.PackageChecksums); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		if p.PackageFileName != "" && len(p.PackageChecksums) == 0 {
			return fmt.Errorf("%s has a file but no checksum", of)
		}
		if err := c.references(p); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
	}
	return nil
}

// wasRead reports whether a package's own source was at hand: it then has a
// checksum, a verification code or the hash of a Go module or a git commit.
func wasRead(p *v2_3.Package) bool {
	return len(p.PackageChecksums) > 0 || p.FilesAnalyzed || referenced(p, refGoH1)+referenced(p, refGitH1) != ""
}

// addressed is a name and an address in parentheses.
var addressed = regexp.MustCompile(`^[^()"\\]+ \([^()"\\\s][^()"\\]*\)$`)

// checksums are SHA1, SHA256, SHA512, in this order, each at most once.
func (c *checker) checksums(sums []common.Checksum) error {
	order := []common.ChecksumAlgorithm{common.SHA1, common.SHA256, common.SHA512}
	last := -1
	for _, s := range sums {
		at := slices.Index(order, s.Algorithm)
		if at <= last || strings.ToLower(s.Value) != s.Value {
			return fmt.Errorf("its checksums are not of SHA1, SHA256, SHA512 in this order, each once, in lower case")
		}
		last = at
	}
	return nil
}

func (c *checker) references(p *v2_3.Package) error {
	for _, r := range p.PackageExternalReferences {
		known := r.Category == common.CategoryPackageManager && r.RefType == common.TypePackageManagerPURL ||
			r.Category == common.CategorySecurity && r.RefType == common.TypeSecurityCPE23Type && cpeForm.MatchString(r.Locator) ||
			r.Category == common.CategoryOther && (r.RefType == refGoH1 || r.RefType == refGitH1) && h1Form.MatchString(r.Locator) ||
			r.Category == common.CategoryOther && r.RefType == refNPMIntegrity && integrityForm.MatchString(r.Locator)
		if !known {
			return fmt.Errorf("its reference %.40q %.40q %.120q is not one of ours", r.Category, r.RefType, r.Locator)
		}
	}
	return nil
}

var (
	h1Form        = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	integrityForm = regexp.MustCompile(`^sha512-[A-Za-z0-9+/]{86}==$`)
	ociDigest     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	cpeForm       = regexp.MustCompile(`^cpe:2\.3:a(:([A-Za-z0-9._\-]|\\[^\s])+){3}(:\*){7}$`)
)

func (c *checker) files() error {
	held := map[common.ElementID][]*v2_3.File{}
	files := map[common.ElementID]*v2_3.File{}
	for _, f := range c.doc.Files {
		of := "file " + f.FileName
		if err := c.licence(of, f.LicenseConcluded); err != nil {
			return err
		}
		if err := c.checksums(f.Checksums); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		if len(f.Checksums) != 3 || f.FileCopyrightText == "" || len(f.FileTypes) == 0 || !strings.HasPrefix(f.FileName, "./") {
			return fmt.Errorf("%s has not all three checksums, a copyright text, a type and a name that begins with ./", of)
		}
		files[f.FileSPDXIdentifier] = f
	}
	for _, r := range c.doc.Relationships {
		if f := files[r.RefB.ElementRefID]; f != nil && r.Relationship == common.TypeRelationshipContains {
			held[r.RefA.ElementRefID] = append(held[r.RefA.ElementRefID], f)
		}
	}
	for _, p := range c.doc.Packages {
		mine := held[p.PackageSPDXIdentifier]
		if !p.FilesAnalyzed && len(mine) == 0 {
			continue
		}
		code, err := utils.GetVerificationCode(mine, "")
		if err != nil || p.PackageVerificationCode == nil || p.PackageVerificationCode.Value != code.Value || len(mine) == 0 || !p.FilesAnalyzed {
			return fmt.Errorf("package %s: its verification code is not that of its files", p.PackageName)
		}
	}
	return nil
}

func (c *checker) extracted() error {
	known := map[string]bool{}
	for _, l := range c.doc.OtherLicenses {
		if known[l.LicenseIdentifier] || l.ExtractedText == "" || !c.used[l.LicenseIdentifier] {
			return fmt.Errorf("licence %.100q is there twice, has no text, or nothing is under it", l.LicenseIdentifier)
		}
		known[l.LicenseIdentifier] = true
	}
	for _, id := range sortedKeys(c.used) {
		if !known[id] {
			return fmt.Errorf("licence %.100q has no text", id)
		}
	}
	return nil
}

// graph follows the relationships, either way, from what is described.
func (c *checker) graph() error {
	next := map[common.ElementID][]common.ElementID{}
	seen := map[relation]bool{}
	for _, r := range c.doc.Relationships {
		rel := relation{r.RefA.ElementRefID, r.Relationship, r.RefB.ElementRefID, r.RefB.DocumentRefID}
		kinds := ourRelations
		if rel.in != "" {
			kinds = outwards // header has seen that an image's document alone names others
		}
		if rel.from == "" || rel.to == "" || rel.in == "" && rel.from == rel.to || r.RefA.DocumentRefID != "" || seen[rel] || !slices.Contains(kinds, rel.kind) {
			return fmt.Errorf("relationship %.200q %.40q %.200q is there twice or is not one of ours", rel.from, rel.kind, rel.to)
		}
		seen[rel] = true
		if rel.in != "" {
			continue
		}
		next[rel.from], next[rel.to] = append(next[rel.from], rel.to), append(next[rel.to], rel.from)
	}
	delete(next, "DOCUMENT") // everything hangs on what is described, not on the document
	reached := map[common.ElementID]bool{c.root: true}
	for queue := []common.ElementID{c.root}; len(queue) > 0; queue = queue[1:] {
		for _, id := range next[queue[0]] {
			if !reached[id] {
				reached[id] = true
				queue = append(queue, id)
			}
		}
	}
	for _, p := range c.doc.Packages {
		if !reached[p.PackageSPDXIdentifier] {
			return fmt.Errorf("package %s %s has nothing to do with what is described", p.PackageName, p.PackageVersion)
		}
	}
	for _, f := range c.doc.Files {
		if !reached[f.FileSPDXIdentifier] {
			return fmt.Errorf("file %s has nothing to do with what is described", f.FileName)
		}
	}
	return nil
}

var ourRelations = []string{
	common.TypeRelationshipDescribe, common.TypeRelationshipContains, common.TypeRelationshipDependsOn, common.TypeRelationshipStaticLink,
	common.TypeRelationshipGeneratedFrom, common.TypeRelationshipPatchApplied, common.TypeRelationshipBuildToolOf,
}

// namespace is what the content says.
func (c *checker) namespace() error {
	digest, err := contentDigest(c.doc)
	if err != nil {
		return err
	}
	if base, ok := strings.CutSuffix(c.doc.DocumentNamespace, "/spdx/"+namePath(c.doc)+"/"+digest); !ok || !webAddress(base) {
		return fmt.Errorf("its namespace %.300q is not that of its content, whose digest is %s", c.doc.DocumentNamespace, digest)
	}
	return nil
}
