package imagediff

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/attestations/page"
	"palisade/attestations/spdx"
)

// A Kind is what happened to something. That of a package is spdx.Kind's.
type Kind string

// The kinds of what is no package, in the order in which they are read.
const (
	ContentChanged Kind = "content" // of a file, under the same version of the image
	Added          Kind = "added"
	Removed        Kind = "removed"
	Changed        Kind = "changed"
)

// A What is the sort of thing that changed.
type What string

// The sorts of things, in the order in which they are read.
const (
	OfImage         What = "image" // annotations
	OfPlatform      What = "platform"
	OfConfiguration What = "configuration" // how a container is started
	OfLayer         What = "layer"
	OfPackage       What = "package" // in the bills of materials
	OfFile          What = "file"    // or folder, whose name ends with a slash
)

// A Change is one difference between two images. Its strings are printable and
// on one line each.
type Change struct {
	Platforms string // that it is of: "linux/amd64, linux/arm64"; empty if of all that both images have, or of the whole
	Kind      Kind
	What      What
	Name      string
	From, To  string      // what stood there before, and now stands; one may be empty
	Detail    string      // what From and To are, where the rest leaves it open
	Package   spdx.Change // of a package: all that there is to say, but for Platforms
}

// String is the change in words, on one line.
func (c Change) String() string {
	on := ""
	if c.Platforms != "" {
		on = "  (" + c.Platforms + ")"
	}
	if c.What == OfPackage {
		return c.Package.String() + on
	}
	subject := spaced(string(c.What), c.Name)
	switch c.Kind {
	case ContentChanged:
		return fmt.Sprintf("CONTENT CHANGED under the same version  %s  %s -> %s%s", spaced(subject, c.Detail), c.From, c.To, on)
	case Added:
		return fmt.Sprintf("%s added  %s%s", subject, c.To, on)
	case Removed:
		return fmt.Sprintf("%s removed  %s%s", subject, c.From, on)
	default:
		return fmt.Sprintf("%s  %s -> %s%s", spaced(subject, c.Detail, "changed"), c.From, c.To, on)
	}
}

// spaced is what is there of parts.
func spaced(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// titles are the headings under which Markdown writes changes, in their order.
var titles = []string{"Content changed under the same version", "Image", "Platforms", "Configuration", "Layers", "Packages", "Files"}

// rank is the place of a change among others.
func (c Change) rank() int {
	if c.Kind == ContentChanged {
		return 0
	}
	return 1 + slices.Index([]What{OfImage, OfPlatform, OfConfiguration, OfLayer, OfPackage, OfFile}, c.What)
}

func compare(a, b Change) int {
	if c := cmp.Compare(a.rank(), b.rank()); c != 0 {
		return c
	}
	if a.What == OfPackage && b.What == OfPackage {
		return cmp.Or(spdx.Compare(a.Package, b.Package), strings.Compare(a.Platforms, b.Platforms))
	}
	kinds := []Kind{ContentChanged, Added, Removed, Changed}
	return cmp.Or(
		strings.Compare(string(a.What), string(b.What)), strings.Compare(a.Name, b.Name),
		cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), strings.Compare(a.Detail, b.Detail),
		strings.Compare(a.Platforms, b.Platforms), strings.Compare(a.From, b.From), strings.Compare(a.To, b.To),
	)
}

// Table is the changes for a console. Every row has as many cells as the header.
func Table(changes []Change) (header []string, rows [][]string) {
	for _, c := range changes {
		what, name, from, to := string(c.What), c.Name, c.From, c.To
		if c.What == OfPackage {
			what, name, from, to = string(c.Package.What), spaced(c.Package.Name, c.Package.Detail), c.Package.From, c.Package.To
		}
		cells := []string{what, spaced(name, c.Detail), string(c.Kind), from, to, c.Platforms}
		for i, cell := range cells[:5] {
			if cell == "" {
				cells[i] = "-"
			}
		}
		rows = append(rows, cells)
	}
	return []string{"WHAT", "NAME", "CHANGE", "FROM", "TO", "PLATFORMS"}, rows
}

// Markdown writes changes, as Diff sorts them, as a page for GitHub's Markdown.
func Markdown(w io.Writer, from, to string, changes []Change) error {
	return page.Changes(w, from, to, changes, func(c Change) string { return titles[c.rank()] })
}
