package spdx

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

func inWords(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintln(&b, c)
	}
	return b.String()
}

// A whole release after another: every kind of change once, in the order of
// reading.
func TestDiff(t *testing.T) {
	before, after := readDocument(t, "before.spdx.json"), readDocument(t, "after.spdx.json")
	changes := diff(before, after)
	goldenView(t, "changes.txt", inWords(changes))
	var page bytes.Buffer
	if err := MarkdownDiff(&page, "before", "after", changes); err != nil {
		t.Fatal(err)
	}
	goldenView(t, "changes.md", page.String())
	page.Reset()
	if err := MarkdownDiff(&page, "before", "before", diff(before, before)); err != nil || !strings.HasSuffix(page.String(), "\nNothing changed.\n") {
		t.Errorf("%v: %q", err, page.String())
	}
	for name, doc := range map[string]*v2_3.Document{"before": before, "after": after, "foreign": readDocument(t, "foreign.spdx.json"), "silent": readDocument(t, "silent.spdx.json")} {
		if changes := diff(doc, doc); len(changes) > 0 {
			t.Errorf("%s against itself:\n%s", name, inWords(changes))
		}
	}
}

// A line of a small document: "P id name version purl licence hash" is a
// package ("-" is nothing said), "F id name hash" a file, "R a TYPE b" a
// relationship. The document describes what has the id root.
func sketch(t *testing.T, lines string) *v2_3.Document {
	t.Helper()
	doc := &v2_3.Document{SPDXIdentifier: "DOCUMENT"}
	sums := func(hash string) []common.Checksum {
		if hash == "-" {
			return nil
		}
		algorithm, value, ok := strings.Cut(hash, ":")
		if algorithm == "code" {
			return nil // set below
		}
		if !ok {
			algorithm, value = "SHA256", hash
		}
		return []common.Checksum{{Algorithm: common.ChecksumAlgorithm(algorithm), Value: value}}
	}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		for i := range f {
			if f[i] == "-" && f[0] == "P" && i != 6 {
				f[i] = ""
			}
		}
		switch {
		case len(f) == 0:
			continue
		case f[0] == "P" && len(f) == 7:
			p := &v2_3.Package{PackageSPDXIdentifier: common.ElementID(f[1]), PackageName: f[2], PackageVersion: f[3], PackageLicenseConcluded: f[5], PackageLicenseDeclared: f[5], PackageChecksums: sums(f[6])}
			if code, ok := strings.CutPrefix(f[6], "code:"); ok {
				p.PackageVerificationCode = &common.PackageVerificationCode{Value: code}
			}
			if f[4] != "" {
				p.PackageExternalReferences = []*v2_3.PackageExternalReference{{RefType: "purl", Locator: f[4]}}
			}
			doc.Packages = append(doc.Packages, p)
		case f[0] == "F" && len(f) == 4:
			doc.Files = append(doc.Files, &v2_3.File{FileSPDXIdentifier: common.ElementID(f[1]), FileName: f[2], Checksums: sums(f[3])})
		case f[0] == "R" && len(f) == 4:
			doc.Relationships = append(doc.Relationships, testRelation(common.ElementID(f[1]), f[2], common.ElementID(f[3])))
		default:
			t.Fatalf("a document has no line %q", line)
		}
		if f[1] == "root" {
			doc.Relationships = append(doc.Relationships, testRelation("DOCUMENT", "DESCRIBES", "root"))
		}
	}
	return doc
}

func TestChanges(t *testing.T) {
	const module = "P m example.test/m v1.0.0 pkg:golang/example.test/m@v1.0.0 MIT aa\n"
	for _, tt := range []struct {
		name, from, to string
		want           []string
	}{
		{"other bytes", module, strings.Replace(module, "aa", "bb", 1), []string{"CONTENT CHANGED under the same version  example.test/m v1.0.0  SHA256 aa -> SHA256 bb"}},
		{"capitals of a digest", module, strings.Replace(module, "aa", "AA", 1), nil},
		{"a hash is gone", module, strings.Replace(module, "aa", "-", 1), []string{"changed  example.test/m hashes  SHA256 -> nothing"}},
		{"another hash", module, strings.Replace(module, "aa", "SHA1:cc", 1), []string{"changed  example.test/m hashes  SHA256 -> SHA1"}},
		{"other files", strings.Replace(module, "aa", "code:aa", 1), strings.Replace(module, "aa", "code:bb", 1), []string{"CONTENT CHANGED under the same version  example.test/m v1.0.0  verification code aa -> verification code bb"}},
		{"other bytes, and a package URL that says so", "P root a 1 pkg:generic/a@1?checksum=sha256:aa&file_name=a-1 MIT aa", "P root a 1 pkg:generic/a@1?checksum=sha256:bb&file_name=a1 MIT bb", []string{"CONTENT CHANGED under the same version  artifact a 1  SHA256 aa -> SHA256 bb"}},
		{"other bytes without a version", "P x tool - - MIT aa", "P x tool - - MIT bb", []string{"changed  tool  SHA256 aa -> SHA256 bb"}},
		{"raised past nine", "P x m v1.9.0 pkg:golang/m@v1.9.0 MIT aa", "P x m v1.10.0 pkg:golang/m@v1.10.0 MIT bb", []string{"raised  m  v1.9.0 -> v1.10.0"}},
		{"lowered to a release candidate", "P x m 1.0.0 pkg:npm/m@1.0.0 MIT aa", "P x m 1.0.0-rc.1 pkg:npm/m@1.0.0-rc.1 MIT bb", []string{"lowered  npm:m  1.0.0 -> 1.0.0-rc.1"}},
		{"no order is known", "P x m 1.9 pkg:deb/debian/m@1.9 MIT aa", "P x m 1.10 pkg:deb/debian/m@1.10 MIT bb", []string{"changed  deb:m  1.9 -> 1.10"}},
		{"build metadata has no order", "P x m v1.0.0 pkg:golang/m@v1.0.0 MIT aa", "P x m v1.0.0+incompatible pkg:golang/m@v1.0.0%2Bincompatible MIT bb", []string{"changed  m  v1.0.0 -> v1.0.0+incompatible"}},
		{"by name", "P x tool 1 - MIT aa", "P y tool 2 - MIT aa", []string{"changed  tool  1 -> 2"}},
		{"a licence", module, strings.Replace(module, "MIT", "Apache-2.0", 1), []string{"licence of example.test/m changed from MIT to Apache-2.0"}},
		{"a licence is no longer said", module, strings.Replace(module, "MIT", "NOASSERTION", 1), []string{"licence of example.test/m changed from MIT to nothing"}},
		{"two said nothing in two ways", strings.Replace(module, "MIT", "-", 1), strings.Replace(module, "MIT", "NOASSERTION", 1), nil},
		{"a hidden character", module, strings.Replace(module, "MIT", "MIT\u200b", 1), []string{`licence of example.test/m changed from "MIT" to "MIT\u200b"`}},
		{"several versions: equals stay", "P x m 1.0.0 pkg:npm/m@1.0.0 MIT aa\nP y m 2.0.0 pkg:npm/m@2.0.0 MIT bb", "P y m 1.0.0 pkg:npm/m@1.0.0 MIT aa\nP z m 3.0.0 pkg:npm/m@3.0.0 MIT cc", []string{"raised  npm:m  2.0.0 -> 3.0.0"}},
		{"several versions: the same major", "P x m 1.0.0 pkg:npm/m@1.0.0 MIT aa\nP y m 2.0.0 pkg:npm/m@2.0.0 MIT bb", "P y m 1.1.0 pkg:npm/m@1.1.0 MIT aa", []string{"removed  npm:m  2.0.0", "raised  npm:m  1.0.0 -> 1.1.0"}},
		{"several versions: one more", "P x m 1.0.0 pkg:npm/m@1.0.0 MIT aa", "P y m 1.0.0 pkg:npm/m@1.0.0 MIT aa\nP z m 2.0.0 pkg:npm/m@2.0.0 MIT bb", []string{"added  npm:m  2.0.0"}},
		{"twice the same, once", module + strings.Replace(module, "P m", "P n", 1) + "P x tool 1 - MIT aa\nR m DEPENDS_ON x", module + "P x tool 1 - MIT aa\nR m DEPENDS_ON x", nil},
		{"another order, other identifiers", module + "P x tool 1 - MIT aa", "P a tool 1 - MIT aa\n" + strings.Replace(module, "P m", "P b", 1), nil},
		{"another platform", "P root a 1 pkg:generic/a@1?arch=amd64&os=linux MIT aa", "P root a 1 pkg:generic/a@1?arch=arm64&os=linux MIT bb", []string{"artifact changed  a platform  linux/amd64 -> linux/arm64"}},
		{"another artifact", "P root a 1 pkg:generic/a@1 MIT aa", "P root b 2 pkg:generic/b@2 MIT bb", []string{"artifact changed  a 1 -> b 2"}},
		{"another distribution", "P root a 3.15.0-vanilla pkg:generic/a@3.15.0-vanilla MIT aa", "P root a 3.15.0-palisade.1 pkg:generic/a@3.15.0-palisade.1 MIT bb", []string{"artifact changed  a  3.15.0-vanilla -> 3.15.0-palisade.1"}},
		{"the next patch set", "P root a 3.15.0-palisade.9 pkg:generic/a@3 MIT aa", "P root a 3.15.0-palisade.10 pkg:generic/a@3 MIT bb", []string{"artifact raised  a  3.15.0-palisade.9 -> 3.15.0-palisade.10"}},
		{"the artifact's bytes", "P root a 1 pkg:generic/a@1 MIT aa", "P root a 1 pkg:generic/a@1 MIT bb", []string{"CONTENT CHANGED under the same version  artifact a 1  SHA256 aa -> SHA256 bb"}},
		{"the standard library", "P x stdlib 1.27rc1 pkg:golang/stdlib@1.27rc1 MIT aa", "P x stdlib 1.27.0 pkg:golang/stdlib@1.27.0 MIT bb", []string{"raised  stdlib  1.27rc1 -> 1.27.0"}},
		{"a toolchain is no dependency", module + "R m BUILD_TOOL_OF m", module, []string{"toolchain removed  example.test/m  v1.0.0", "added  example.test/m  v1.0.0"}},
		{"a patch moves on with its module", module + "F p ./t/v1.0.0/0001-a.patch aa\nR p PATCH_APPLIED m", module + "F p ./t/v1.1.0/0001-a.patch bb\nR p PATCH_APPLIED m",
			[]string{"patch changed  t/v1.0.0/0001-a.patch  SHA256 aa -> SHA256 bb", "patch moved  t/v1.0.0/0001-a.patch -> t/v1.1.0/0001-a.patch"}},
		{"a patch gets another number", module + "F p 0001-a.patch aa\nR p PATCH_APPLIED m", module + "F p 0002-a.patch aa\nR p PATCH_FOR m", []string{"patch moved  0001-a.patch -> 0002-a.patch"}},
		{"a patch is applied elsewhere", module + "P r root2 - - MIT aa\nF p 1.patch aa\nR p PATCH_APPLIED m", module + "P r root2 - - MIT aa\nF p 1.patch aa\nR p PATCH_APPLIED r", []string{"patch changed  1.patch applied to  example.test/m -> root2"}},
		{"files below a folder that holds the version", "P root a 1 - MIT aa\nF f ./a-1/x aa\nF g ./a-1/y bb\nR root CONTAINS f\nR g CONTAINED_BY root", "P root a 2 - MIT cc\nF f ./a-2/x dd\nF g ./a-2/z bb\nR root CONTAINS f\nR root CONTAINS g",
			[]string{"artifact raised  a  1 -> 2", "file added  z", "file removed  y", "file changed  x  SHA256 aa -> SHA256 dd"}},
		{"an edge", module + "P x tool 1 - MIT aa", module + "P x tool 1 - MIT aa\nR m DEPENDS_ON x", []string{"example.test/m now requires tool"}},
		{"an edge goes, told the other way", module + "P x tool 1 - MIT aa\nR x RUNTIME_DEPENDENCY_OF m", module + "P x tool 1 - MIT aa", []string{"example.test/m no longer requires tool"}},
		{"an edge to what is new needs no word", module, module + "P x tool 1 - MIT aa\nR m DEPENDS_ON x", []string{"added  tool  1"}},
		{"a sealed module stands for its upstream", module + "P x tool 1 - MIT aa\nR m DEPENDS_ON x\nR x DEPENDS_ON m",
			module + "P x tool 1 - MIT aa\nP s example.test/m v1.0.1-0.palisade.1 pkg:golang/example.test/m@v1.0.1-0.palisade.1 MIT bb\nR s GENERATED_FROM m\nR s DEPENDS_ON x\nR x DEPENDS_ON s", []string{"added  example.test/m (patched)  v1.0.1-0.palisade.1"}},
	} {
		a, b := sketch(t, tt.from), sketch(t, tt.to)
		if got := inWords(diff(a, b)); got != strings.Join(append(tt.want, ""), "\n") {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, strings.Join(tt.want, "\n"))
		}
		mirrored(t, tt.name, a, b)
	}
}

// An archive and the binary in it have a name and a version in common.
func TestPurposes(t *testing.T) {
	archive, binary := sketch(t, "P root a 1 - MIT aa"), sketch(t, "P root a 1 - MIT bb")
	archive.Packages[0].PrimaryPackagePurpose, binary.Packages[0].PrimaryPackagePurpose = "ARCHIVE", "APPLICATION"
	if got := inWords(diff(archive, binary)); got != "artifact changed  a purpose  ARCHIVE -> APPLICATION\n" {
		t.Error(got)
	}
	mirrored(t, "purposes", archive, binary)
}

// LicenseRef-1 can mean two licences in two documents.
func TestLicenceTexts(t *testing.T) {
	of := func(text string) *v2_3.Document {
		return &v2_3.Document{OtherLicenses: []*v2_3.OtherLicense{{LicenseIdentifier: "LicenseRef-1", ExtractedText: text}}}
	}
	if got := inWords(diff(of("a"), of("b"))); !strings.HasPrefix(got, "licence text of LicenseRef-1 changed  sha256:ca978112ca1bbdca") {
		t.Error(got)
	}
	if got := inWords(diff(of("a"), of("a"))); got != "" {
		t.Error(got)
	}
}

// mirrored holds that the way back says the same, turned round.
func mirrored(t *testing.T, name string, a, b *v2_3.Document) {
	t.Helper()
	opposite := map[Kind]Kind{Added: Removed, Removed: Added, Raised: Lowered, Lowered: Raised, Requires: RequiresNoMore, RequiresNoMore: Requires}
	back := diff(b, a)
	for i, c := range back {
		back[i].From, back[i].To = c.To, c.From
		if kind, ok := opposite[c.Kind]; ok {
			back[i].Kind = kind
		}
	}
	slices.SortFunc(back, Compare)
	if there := diff(a, b); !slices.Equal(there, back) {
		t.Errorf("%s: there\n%+q\nand back, turned round\n%+q", name, there, back)
	}
}

// Random documents, with several versions and edges of every kind: a document
// does not differ from itself, in whatever order it lists what it holds, and
// the way back mirrors the way there.
func TestDiffProperties(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4))
		a, b := randomDocument(r), randomDocument(r)
		name := fmt.Sprint("seed ", seed)
		mirrored(t, name, a, b)
		shuffled := *a
		shuffled.Packages, shuffled.Files, shuffled.Relationships = slices.Clone(a.Packages), slices.Clone(a.Files), slices.Clone(a.Relationships)
		r.Shuffle(len(a.Packages), func(i, j int) {
			shuffled.Packages[i], shuffled.Packages[j] = shuffled.Packages[j], shuffled.Packages[i]
		})
		r.Shuffle(len(a.Files), func(i, j int) { shuffled.Files[i], shuffled.Files[j] = shuffled.Files[j], shuffled.Files[i] })
		r.Shuffle(len(a.Relationships), func(i, j int) {
			shuffled.Relationships[i], shuffled.Relationships[j] = shuffled.Relationships[j], shuffled.Relationships[i]
		})
		if changes := diff(a, &shuffled); len(changes) > 0 {
			t.Errorf("%s: against itself in another order:\n%s", name, inWords(changes))
		}
	}
}

func randomDocument(r *rand.Rand) *v2_3.Document {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	doc := &v2_3.Document{SPDXIdentifier: "DOCUMENT"}
	var ids []common.ElementID
	for i := range r.IntN(8) {
		id := common.ElementID(fmt.Sprint("p", i))
		ids = append(ids, id)
		p := &v2_3.Package{
			PackageName: one("a", "b"), PackageSPDXIdentifier: id, PackageVersion: one("", "v1.0.0", "v1.10.0", "v1.9.0", "v2.0.0", "1.9x"),
			PackageLicenseConcluded: one("", "MIT", "ISC"), PackageLicenseDeclared: one("MIT", "NOASSERTION"), PackageDownloadLocation: one("NOASSERTION", "x"),
			PackageChecksums: []common.Checksum{{Algorithm: common.ChecksumAlgorithm(one("SHA1", "SHA256")), Value: one("0", "1")}},
			PackageSupplier:  &common.Supplier{SupplierType: "Organization", Supplier: one("x", "y")},
		}
		if kind := one("", "golang", "npm", "deb"); kind != "" {
			p.PackageExternalReferences = []*v2_3.PackageExternalReference{{RefType: "purl", Locator: "pkg:" + kind + "/" + p.PackageName + "@" + p.PackageVersion + one("", "?arch=a")}}
		}
		doc.Packages = append(doc.Packages, p)
	}
	for i := range r.IntN(5) {
		id := common.ElementID(fmt.Sprint("f", i))
		ids = append(ids, id)
		doc.Files = append(doc.Files, &v2_3.File{
			FileName: "./" + one("v1/", "d/v1.0/", "d/v2.0/", "") + one("a", "b"), FileSPDXIdentifier: id,
			Checksums: []common.Checksum{{Algorithm: "SHA256", Value: one("0", "1", "2")}}, LicenseConcluded: one("", "MIT"),
		})
	}
	if len(ids) == 0 {
		return doc
	}
	any := func() common.ElementID { return ids[r.IntN(len(ids))] }
	for range r.IntN(3) {
		doc.Relationships = append(doc.Relationships, testRelation("DOCUMENT", "DESCRIBES", any()))
	}
	for range r.IntN(20) {
		kind := one("CONTAINS", "CONTAINED_BY", "DEPENDS_ON", "DEPENDENCY_OF", "STATIC_LINK", "GENERATED_FROM", "GENERATES", "PATCH_APPLIED", "BUILD_TOOL_OF", "OTHER")
		doc.Relationships = append(doc.Relationships, testRelation(any(), kind, any()))
	}
	return doc
}
