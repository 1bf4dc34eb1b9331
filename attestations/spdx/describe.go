package spdx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

// Describe makes the document of an archive. It refuses, with ErrInput, an
// Input that would make it say less than there is.
func Describe(in Input) (*Document, error) { return describe(in, "") }

// DescribeBinary makes the document of one loose binary, of that name: what is
// in it, and nothing that is only in another binary of the same archive.
func DescribeBinary(in Input, name string) (*Document, error) {
	if !slices.ContainsFunc(in.Record.Binaries, func(b artifact.Binary) bool { return b.Name == name && name != "" }) {
		return nil, fmt.Errorf("describing %s: %w: it has no binary %q", in.Record.Name, ErrInput, name)
	}
	return describe(in, name)
}

func describe(in Input, only string) (*Document, error) {
	b := &builder{
		in: in, subject: in.Record.Name, only: only,
		named:     map[common.ElementID]string{},
		packages:  map[string]*v2_3.Package{},
		relations: map[relation]bool{},
		extracted: map[string]Extracted{},
		doc:       &v2_3.Document{},
	}
	if only != "" {
		b.subject += ": " + only
	}
	steps := []func() error{
		b.readInput, b.addRoot, b.addModules,
		b.addInterface, b.addEmbedded, b.addTools, b.addPatches, b.addFiles, b.finish,
	}
	for _, step := range steps {
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

// A builder makes one document, step by step.
type builder struct {
	in       Input
	subject  string // what errors name
	only     string // name of the one binary that is described, "" for the archive
	created  string
	all      []*binary // of the artifact, sorted by name
	binaries []*binary // that the document is about
	changed  map[string]*artifact.Patched

	doc       *v2_3.Document
	root      *v2_3.Package
	ui        *v2_3.Package               // nil where there is none
	uiOwners  map[string]bool             // import paths of the packages that hold it
	named     map[common.ElementID]string // what each identifier is of
	packages  map[string]*v2_3.Package    // by package URL
	relations map[relation]bool
	extracted map[string]Extracted
}

// A relation is a relationship's ends and type. The far end is in another
// document if one is named.
type relation struct {
	from common.ElementID
	kind string
	to   common.ElementID
	in   common.DocumentID
}

func (b *builder) relate(from common.ElementID, kind string, to common.ElementID) {
	b.relations[relation{from: from, kind: kind, to: to}] = true
}

func fault(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInput}, args...)...)
}

// element gives what is called key an identifier that can be read: unlike
// parts may look alike in it, so the second of such gets part of its digest.
func (b *builder) element(kind, key string) common.ElementID {
	id := common.ElementID(kind + "-" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return '-'
	}, strings.TrimPrefix(key, "@")))
	if owner, taken := b.named[id]; taken && owner != key {
		id += common.ElementID("-" + artifact.DigestBytes([]byte(key)).Hex()[:12])
	}
	b.named[id] = key
	return id
}

// addRoot makes the package that the document describes. What it takes from
// its files comes with them.
func (b *builder) addRoot() error {
	r, c := b.in.Record, b.in.Component
	name, file, digest, hashes, size := r.Component, r.Name, r.Digest, b.in.Artifact, r.Size
	purpose, form := "ARCHIVE", archiveFile
	if b.only != "" {
		one := b.binaries[0]
		name, file, digest, hashes, size = one.Name, one.Name, one.Digest, b.in.Members[one.member].Hashes, one.Size
		purpose, form = "APPLICATION", executableFile
	}
	sums, err := checksums(digest.Hex(), hashes)
	if err != nil {
		return fault("%s: %v: build again", file, err)
	}
	source := fmt.Sprintf("Built from %s %s (upstream's version %s), %s", r.Source.Path, r.Source.Version, r.UpstreamVersion, r.Source.Sum)
	if r.Source.Zip != nil {
		source += ", zip file " + r.Source.Zip.String()
	}
	address, _, err := b.zipOf(r.Source)
	if err != nil {
		return fault("source: %v", err)
	}
	b.root = &v2_3.Package{
		PackageSPDXIdentifier: b.element("Artifact", file),
		PackageName:           name, PackageVersion: r.Version, PackageFileName: file,
		PackageSupplier:         organization(b.in.Publisher.Name, b.in.Publisher.Namespace),
		PackageOriginator:       &common.Originator{OriginatorType: "Organization", Originator: organization(c.Originator, c.Homepage).Supplier},
		PackageDownloadLocation: "NOASSERTION", // where a publisher puts it is not known here
		FilesAnalyzed:           true, IsFilesAnalyzedTagPresent: true,
		PackageChecksums: sums, PackageHomePage: c.Homepage,
		PackageSourceInfo: source + ", " + address + ".", PackageSummary: c.Description,
		PackageComment: fmt.Sprintf("%s for %s, %d bytes.", r.Variant, r.Platform, size),
		PackageExternalReferences: []*v2_3.PackageExternalReference{
			reference(common.CategoryPackageManager, common.TypePackageManagerPURL, b.rootPURL(file)),
			reference(common.CategorySecurity, common.TypeSecurityCPE23Type, cpe(c.CPE, r.UpstreamVersion)),
		},
		PrimaryPackagePurpose: purpose,
	}
	b.root.Annotations = b.properties(file, form)
	b.doc.Packages = append(b.doc.Packages, b.root)
	b.relate("DOCUMENT", common.TypeRelationshipDescribe, b.root.PackageSPDXIdentifier)
	return nil
}

// finish says what the document is of, and closes it.
func (b *builder) finish() error {
	r := b.in.Record
	name := r.Name
	if b.only != "" {
		name = strings.TrimSuffix(strings.TrimSuffix(r.Name, ".tar.gz"), ".zip") + "/" + b.only
	}
	return b.close(name, fmt.Sprintf("%s. Of %s %s, made while it was built, from the build info of its binaries, the imports of the packages linked into them, and the digests of the verified sources. "+
		"Complete: every Go module, the standard library and every other package whose code or data is in what is described is listed, "+
		"and the dependencies among Go modules and among what a bundler put together are all there are. "+
		"Not listed: packages that were installed only to build a web interface; the provenance names them. "+
		"Not resolved: dependencies of packages for which there is other evidence, and what toolchains other than Go consist of.", sbomType, b.doc.Packages[0].PackageName, r.Version))
}

// close puts everything in order and gives the document its own name.
func (b *builder) close(name, comment string) error {
	p, doc := b.in.Publisher, b.doc
	slices.SortFunc(doc.Packages[1:], func(x, y *v2_3.Package) int {
		return cmp.Compare(x.PackageSPDXIdentifier, y.PackageSPDXIdentifier)
	})
	slices.SortFunc(doc.Files, func(x, y *v2_3.File) int { return cmp.Compare(x.FileSPDXIdentifier, y.FileSPDXIdentifier) })
	for _, rel := range slices.SortedFunc(maps.Keys(b.relations), compareRelations) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.DocElementID{ElementRefID: rel.from}, Relationship: rel.kind,
			RefB: common.DocElementID{DocumentRefID: rel.in, ElementRefID: rel.to},
		})
	}
	for _, id := range slices.Sorted(maps.Keys(b.extracted)) {
		e := b.extracted[id]
		doc.OtherLicenses = append(doc.OtherLicenses, &v2_3.OtherLicense{LicenseIdentifier: e.ID, LicenseName: cmp.Or(e.Name, "NOASSERTION"), ExtractedText: e.Text})
	}

	doc.SPDXVersion, doc.DataLicense, doc.SPDXIdentifier = v2_3.Version, v2_3.DataLicense, "DOCUMENT"
	doc.DocumentName = name
	doc.CreationInfo = &v2_3.CreationInfo{
		Created: b.created,
		Creators: []common.Creator{
			{CreatorType: "Organization", Creator: organization(p.Name, p.Namespace).Supplier},
			{CreatorType: "Tool", Creator: Tool},
		},
		CreatorComment: comment,
	}
	return seal(doc, p.Namespace)
}

// compareRelations puts what is described first, then orders by ends.
func compareRelations(x, y relation) int {
	last := func(r relation) int {
		if r.kind == common.TypeRelationshipDescribe {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(last(x), last(y)), cmp.Compare(x.from, y.from), cmp.Compare(x.kind, y.kind), cmp.Compare(x.in, y.in), cmp.Compare(x.to, y.to))
}

// timestamp is SOURCE_DATE_EPOCH in SPDX's form (6.9).
func timestamp(epoch int64) string { return time.Unix(epoch, 0).UTC().Format("2006-01-02T15:04:05Z") }
