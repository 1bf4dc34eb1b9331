package spdx

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/attestations/page"
)

// A Kind is what happened to something.
type Kind string

// The kinds, in the order in which an auditor wants to read them.
const (
	ContentChanged  Kind = "content"  // other bytes under the same version
	LicenceChanged  Kind = "licence"  // concluded or declared
	SupplierChanged Kind = "supplier" // who distributes it
	Added           Kind = "added"
	Removed         Kind = "removed"
	Lowered         Kind = "lowered" // to a version that comes before
	Raised          Kind = "raised"  // to a version that comes after
	Changed         Kind = "changed" // another version of unknown order, other bytes, another place
	Requires        Kind = "requires"
	RequiresNoMore  Kind = "requires no more"
)

// A What is the sort of thing that changed.
type What string

// The sorts of things, in the order in which changes of one kind come.
const (
	OfArtifact  What = "artifact" // what the documents describe
	OfText      What = "licence text"
	OfPatch     What = "patch"
	OfToolchain What = "toolchain"
	OfModule    What = "module"  // Go, or the standard library
	OfPackage   What = "package" // any other
	OfFile      What = "file"
)

// place is the Detail of a patch that has another name.
const place = "place"

// A Change is one difference between two documents. Its strings are printable
// and on one line each.
type Change struct {
	Kind Kind
	What What
	Name string
	// From and To are what stood there before and what stands there now:
	// versions, digests with their algorithm, licences, names. One of them may
	// be empty.
	From, To string
	// Detail says what From and To are where Kind and What leave it open:
	// the version under which the content changed, "declared", "platform".
	Detail string
}

// String is the change in words, on one line.
func (c Change) String() string {
	name := page.Line(c.Name)
	from, to := orNothing(c.From), orNothing(c.To)
	arrow := from + " -> " + to
	prefix := ""
	if c.What != OfModule && c.What != OfPackage {
		prefix = string(c.What) + " "
	}
	switch c.Kind {
	case ContentChanged:
		return fmt.Sprintf("CONTENT CHANGED under the same version  %s%s  %s", prefix, joined(name, page.Line(c.Detail)), arrow)
	case LicenceChanged:
		if c.What == OfText {
			return fmt.Sprintf("licence text of %s changed  %s", name, arrow)
		}
		return fmt.Sprintf("%s of %s%s changed from %s to %s", joined(page.Line(c.Detail), "licence"), prefix, name, from, to)
	case SupplierChanged:
		return fmt.Sprintf("supplier of %s%s changed from %s to %s", prefix, name, from, to)
	case Added:
		return spread(prefix+"added", name, c.To)
	case Removed:
		return spread(prefix+"removed", name, c.From)
	case Requires:
		return fmt.Sprintf("%s now requires %s", name, some(strings.Split(to, ", "), 5))
	case RequiresNoMore:
		return fmt.Sprintf("%s no longer requires %s", name, some(strings.Split(from, ", "), 5))
	case Changed:
		if c.Detail == place {
			return spread(prefix+"moved", arrow)
		}
		fallthrough
	default:
		return spread(prefix+string(c.Kind), joined(name, page.Line(c.Detail)), arrow)
	}
}

// spread sets the parts of a line apart by two spaces.
func spread(parts ...string) string {
	for i := range parts {
		parts[i] = page.Line(parts[i])
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "  ")
}

func orNothing(s string) string {
	if s = page.Line(s); s == "" {
		return "nothing"
	}
	return s
}

// rank is the place of a change among others: what an auditor must see first
// is lowest.
func (c Change) rank() int {
	kinds := []Kind{ContentChanged, LicenceChanged, SupplierChanged, Added, Removed, Lowered, Raised, Changed, Requires, RequiresNoMore}
	whats := []What{OfArtifact, OfText, OfPatch, OfToolchain, OfModule, OfPackage, OfFile}
	kind, what := slices.Index(kinds, c.Kind), slices.Index(whats, c.What)
	switch {
	case kind < 2: // content, licences
		return kind*100 + what
	case c.What == OfPatch:
		return 200 + kind
	case kind == 2: // suppliers
		return 300 + what
	case c.What == OfArtifact:
		return 400 + kind
	case c.What == OfToolchain:
		return 500 + kind
	case c.What == OfFile:
		return 700 + kind
	case c.Kind == Requires || c.Kind == RequiresNoMore:
		return 800 + kind
	default:
		return 600 + kind
	}
}

// title is the heading under which MarkdownDiff writes a change.
func (c Change) title() string {
	return []string{
		"Content changed under the same version", "Licences", "Patches", "Suppliers",
		"Artifact", "Toolchains", "Modules and packages", "Files", "Dependencies",
	}[c.rank()/100]
}

// Compare is the order in which Diff sorts.
func Compare(a, b Change) int {
	return cmp.Or(
		cmp.Compare(a.rank(), b.rank()), strings.Compare(a.Name, b.Name), strings.Compare(a.Detail, b.Detail),
		strings.Compare(a.From, b.From), strings.Compare(a.To, b.To), cmp.Compare(a.What, b.What), cmp.Compare(a.Kind, b.Kind),
	)
}

// MarkdownDiff writes changes, as Diff sorts them, as a page for GitHub's
// Markdown.
func MarkdownDiff(w io.Writer, from, to string, changes []Change) error {
	return page.Changes(w, from, to, changes, Change.title)
}
