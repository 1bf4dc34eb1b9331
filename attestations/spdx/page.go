package spdx

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/attestations/page"
)

// unsaid stands where the document says nothing.
const unsaid = "-"

// Table is the view for a console: the artifact, then what is in it, what was
// done to it and what it was made with, its own files, and how often each
// licence occurs.
// Every row has as many cells as the header.
func (v View) Table() (header []string, rows [][]string) {
	row := func(what, name, version, licence, note string) {
		cells := []string{what, name, version, licence, note}
		for i, c := range cells[:4] {
			if c == "" {
				cells[i] = unsaid
			}
		}
		rows = append(rows, cells)
	}
	row("artifact", v.Component, v.Version, v.Licence, joined(v.File, v.Platform))
	for _, part := range v.packages() {
		for _, p := range part.list {
			row(part.what, p.Name, p.Version, p.Licence, p.remark())
		}
	}
	for _, p := range v.Patches {
		row("patch", p.Name, "", "", strings.Join(p.Applied, ", "))
	}
	for _, f := range v.Files {
		if f.In == "" {
			row("file", f.Name, "", f.Licence, "")
		}
	}
	for _, l := range v.Licences {
		row("licence", orNotSaid(l.Licence), "", "", number(l.Count))
	}
	return []string{"WHAT", "NAME", "VERSION", "LICENCE", "NOTE"}, rows
}

type part struct {
	what, title string
	list        []ViewPackage
}

// packages are the lists of packages in the order of reading.
func (v View) packages() []part {
	return []part{
		{"standard library", "Standard library", v.Standard},
		{"module", "Go modules", v.Modules},
		{"package", "Other packages", v.Packages},
		{"source", "Made from", v.Sources},
		{"toolchain", "Toolchains", v.Toolchains},
	}
}

// remark is what the table says of a package beyond its columns.
func (p ViewPackage) remark() string {
	var parts []string
	if p.Patched != "" {
		parts = append(parts, "patched: "+p.Patched)
	}
	if needed := p.needed(); needed != "" {
		parts = append(parts, needed)
	} else if n := len(p.RequiredBy); n > 0 {
		parts = append(parts, "for "+some(p.RequiredBy, 2))
	}
	return strings.Join(append(parts, sentence(p.Note)...), "; ")
}

func (p ViewPackage) needed() string {
	switch {
	case p.Main:
		return "main module"
	case p.Direct:
		return "direct"
	default:
		return ""
	}
}

// sentence is the first line's worth of a note, none where there is none.
func sentence(s string) []string {
	if s == "" {
		return nil
	}
	const limit = 80
	if r := []rune(s); len(r) > limit {
		return []string{strings.TrimSpace(string(r[:limit])) + "…"}
	}
	return []string{s}
}

// some is the first n of names, and how many more there are.
func some(names []string, n int) string {
	if len(names) <= n+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

// Markdown writes the view as a page for GitHub's Markdown.
func (v View) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n", page.Prose(joined(v.Component, v.Version)))
	for _, fact := range []struct{ name, value string }{
		{"Artifact", v.File}, {"Platform", v.Platform}, {"Digest", v.Digest}, {"Licence", v.Licence}, {"Supplier", v.Supplier},
		{"Source", v.Source}, {"Describes also", strings.Join(v.Others, ", ")},
		{"Document", v.Namespace}, {"Created", joined(v.Created, strings.Join(v.Creators, ", "))},
	} {
		if fact.value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", fact.name, page.Code(fact.value))
		}
	}
	var licences [][]string
	for _, l := range v.Licences {
		licences = append(licences, []string{orNotSaid(l.Licence), fmt.Sprint(l.Count)})
	}
	section(&b, "Licences", []string{"Licence", "Packages"}, licences)
	var patches [][]string
	for _, p := range v.Patches {
		patches = append(patches, []string{p.Name, strings.Join(p.Applied, ", "), p.Digest})
	}
	section(&b, "Patches", []string{"Patch", "Applied to", "Digest"}, patches)
	for _, part := range v.packages() {
		packageSection(&b, part)
	}
	var files, inside [][]string
	for _, f := range v.Files {
		if f.In == "" {
			files = append(files, []string{f.Name, f.Licence, f.Digest})
		} else {
			inside = append(inside, []string{f.Name, f.In, f.Licence, f.Digest})
		}
	}
	section(&b, "Files", []string{"File", "Licence", "Digest"}, files)
	section(&b, "Files of packages", []string{"File", "In", "Licence", "Digest"}, inside)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the page of %s: %w", v.Name, err)
	}
	return nil
}

func number(packages int) string {
	if packages == 1 {
		return "1 package"
	}
	return fmt.Sprint(packages, " packages")
}

func orNotSaid(s string) string {
	if s == "" {
		return "not said"
	}
	return s
}

// packageSection leaves out the columns of which no package says anything, and
// the binaries where there is only one.
func packageSection(w io.Writer, p part) {
	columns := []struct {
		name  string
		value func(ViewPackage) string
	}{
		{"Name", func(p ViewPackage) string { return p.Name }},
		{"Version", func(p ViewPackage) string { return p.Version }},
		{"Patched", func(p ViewPackage) string { return p.Patched }},
		{"Licence", func(p ViewPackage) string { return p.Licence }},
		{"Supplier", func(p ViewPackage) string { return p.Supplier }},
		{"Needed", ViewPackage.needed},
		{"Required by", func(p ViewPackage) string { return some(p.RequiredBy, 5) }},
		{"Linked into", func(p ViewPackage) string { return some(p.LinkedInto, 5) }},
		{"Digest", func(p ViewPackage) string { return p.Digest }},
		{"Note", func(p ViewPackage) string { return p.Note }},
	}
	var binaries []string
	for _, entry := range p.list {
		binaries = append(binaries, entry.LinkedInto...)
	}
	slices.Sort(binaries)
	several := len(slices.Compact(binaries)) > 1
	var header []string
	rows := make([][]string, len(p.list))
	for _, c := range columns {
		if !slices.ContainsFunc(p.list, func(p ViewPackage) bool { return c.value(p) != "" }) || c.name == "Linked into" && !several {
			continue
		}
		header = append(header, c.name)
		for i, entry := range p.list {
			rows[i] = append(rows[i], c.value(entry))
		}
	}
	section(w, p.title, header, rows)
}

// section writes a table below a heading, nothing where there are no rows.
func section(w io.Writer, title string, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## %s (%d)\n\n| %s |\n|%s\n", title, len(rows), strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = page.Code(cell)
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
}
