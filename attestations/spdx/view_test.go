package spdx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"unicode"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

func readDocument(t *testing.T, name string) *v2_3.Document {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "view", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return d.doc
}

func goldenView(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "view", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func aligned(v View) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	header, rows := v.Table()
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	return b.String()
}

// What a person reads: of a document of ours, of one of another tool, and of
// one in which nothing is said.
func TestView(t *testing.T) {
	for _, name := range []string{"before", "foreign", "silent"} {
		v := view(readDocument(t, name+".spdx.json"))
		goldenView(t, name+".table", aligned(v))
		var page bytes.Buffer
		if err := v.Markdown(&page); err != nil {
			t.Fatal(err)
		}
		goldenView(t, name+".md", page.String())
	}
}

// hostile is what a name can hold to deceive who reads it.
const hostile = "a\x1b[2Jb\u202egnp.exe\u2066|c`d\r\ne\u200bf\\|g\u0085h\u2028i\xffj<script>@all"

// Names come from outside and land in terminals and on pages: nothing that
// they hold moves a cursor, turns text, begins a line or ends a cell.
func TestHostileNames(t *testing.T) {
	doc := &v2_3.Document{
		SPDXIdentifier: "DOCUMENT", DocumentName: hostile, DocumentNamespace: hostile,
		CreationInfo: &v2_3.CreationInfo{Created: hostile, Creators: []common.Creator{{CreatorType: "Tool", Creator: hostile}}},
	}
	add := func(id common.ElementID, purl string) *v2_3.Package {
		p := &v2_3.Package{
			PackageName: hostile + string(id), PackageSPDXIdentifier: id, PackageVersion: hostile, PackageFileName: hostile, PackageComment: hostile,
			PackageLicenseConcluded: hostile, PackageSourceInfo: hostile, PackageSupplier: &common.Supplier{SupplierType: "Organization", Supplier: hostile},
			PackageChecksums: []common.Checksum{{Algorithm: "SHA256", Value: hostile}}, PackageDownloadLocation: hostile,
		}
		if purl != "" {
			p.PackageExternalReferences = []*v2_3.PackageExternalReference{{RefType: "purl", Locator: purl}, {RefType: "npmIntegrity", Locator: hostile}}
		}
		doc.Packages = append(doc.Packages, p)
		return p
	}
	add("A", "pkg:generic/a@1?os="+"%E2%80%AElinux%1B"+"&arch=x%7Cy")
	add("B", "pkg:golang/b@v1")
	add("C", "pkg:npm/c@1")
	add("D", "")
	doc.Files = []*v2_3.File{{FileName: hostile, FileSPDXIdentifier: "F", LicenseConcluded: hostile}, {FileName: hostile + ".patch", FileSPDXIdentifier: "P"}}
	doc.OtherLicenses = []*v2_3.OtherLicense{{LicenseIdentifier: hostile, ExtractedText: "a"}}
	for _, r := range []struct {
		a    common.ElementID
		kind string
		b    common.ElementID
	}{{"A", "CONTAINS", "F"}, {"P", "PATCH_APPLIED", "B"}, {"B", "DEPENDS_ON", "C"}, {"D", "BUILD_TOOL_OF", "A"}, {"F", "STATIC_LINK", "B"}} {
		doc.Relationships = append(doc.Relationships, testRelation(r.a, r.kind, r.b))
	}
	doc.Relationships = append(doc.Relationships, testRelation("DOCUMENT", "DESCRIBES", "A"))

	empty := &v2_3.Document{SPDXIdentifier: "DOCUMENT"}
	texts := map[string]string{"table": aligned(view(doc))}
	var page bytes.Buffer
	if err := view(doc).Markdown(&page); err != nil {
		t.Fatal(err)
	}
	texts["page"] = page.String()
	for name, changes := range map[string][]Change{"added": diff(empty, doc), "removed": diff(doc, empty), "raw": {
		{Kind: Changed, What: OfFile, Name: hostile, From: hostile, To: hostile, Detail: hostile}, {Kind: Requires, What: OfModule, Name: hostile, To: hostile},
		{Kind: LicenceChanged, What: OfText, Name: hostile}, {Kind: ContentChanged, Name: hostile, Detail: hostile}, {Kind: SupplierChanged, From: hostile},
	}} {
		var words strings.Builder
		for _, c := range changes {
			line := c.String()
			if strings.ContainsAny(line, "\n\r") {
				t.Errorf("%s: a change of several lines: %q", name, line)
			}
			words.WriteString(line + "\n")
		}
		texts[name] = words.String()
		page.Reset()
		if err := MarkdownDiff(&page, hostile, hostile, changes); err != nil {
			t.Fatal(err)
		}
		texts[name+" page"] = page.String()
	}
	for name, text := range texts {
		if len(text) < 200 {
			t.Errorf("%s: there is nothing to see: %q", name, text)
		}
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s holds %U", name, r)
			}
		}
		if strings.HasSuffix(name, "page") {
			checkPage(t, name, text)
		}
	}
}

// checkPage reads tables as GitHub's Markdown does: every row has the cells of
// its header, and outside code spans nothing of the hostile name is alive.
func checkPage(t *testing.T, name, page string) {
	columns := 0
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		bare := strings.NewReplacer(`\\`, "", `\|`, "", "\\`", "", `\<`, "", `\*`, "").Replace(line)
		if strings.Contains(bare, "`") && strings.Count(bare, "`")%2 != 0 || strings.Contains(bare, "<script") || strings.Contains(bare, "@all") {
			t.Errorf("%s: %q is not escaped", name, line)
		}
		switch n := strings.Count(bare, "|"); {
		case !strings.HasPrefix(line, "|"):
			columns = 0
			if n > 0 {
				t.Errorf("%s: a bar outside a table: %q", name, line)
			}
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("%s: %d columns, want %d: %q", name, n, columns, line)
		}
	}
}

func testRelation(a common.ElementID, kind string, b common.ElementID) *v2_3.Relationship {
	return &v2_3.Relationship{RefA: common.DocElementID{ElementRefID: a}, Relationship: kind, RefB: common.DocElementID{ElementRefID: b}}
}

// Module versions that were made from each other in a circle or a row are all
// shown: none hides behind another that is hidden itself.
func TestSealedInACircle(t *testing.T) {
	for name, from := range map[string][]string{"circle": {"1 2", "2 1", "3 1", "3 3"}, "row": {"1 2", "2 3"}, "row back": {"3 2", "2 1"}} {
		doc := &v2_3.Document{SPDXIdentifier: "DOCUMENT"}
		for _, v := range []string{"1", "2", "3"} {
			doc.Packages = append(doc.Packages, &v2_3.Package{
				PackageName: "m", PackageSPDXIdentifier: common.ElementID(v), PackageVersion: "v" + v,
				PackageExternalReferences: []*v2_3.PackageExternalReference{{RefType: "purl", Locator: "pkg:golang/m@v" + v}},
			})
		}
		for _, ends := range from {
			a, b, _ := strings.Cut(ends, " ")
			doc.Relationships = append(doc.Relationships, testRelation(common.ElementID(a), "GENERATED_FROM", common.ElementID(b)))
		}
		v := view(doc)
		var shown []string
		for _, p := range slices.Concat(v.Modules, v.Sources) {
			shown = append(shown, p.Version)
			shown = append(shown, strings.Split(p.Patched, ", ")...)
		}
		for _, want := range []string{"v1", "v2", "v3"} {
			if !slices.Contains(shown, want) {
				t.Errorf("%s: version %s is not shown: %q", name, want, shown)
			}
		}
	}
}
