package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/dist"
)

// An SBOMRequest says what to show of which documents. Path is an SPDX
// document, whoever made it, and excludes a selection. Format is "table", the
// default, or "markdown".
type SBOMRequest struct {
	Selection
	Path, Format string
}

// SBOM shows the document of each selected artifact, having built what was
// not there yet, or the one document at Path.
func SBOM(ctx context.Context, req SBOMRequest) error {
	if err := oneOf("format", req.Format, "table", "markdown"); err != nil {
		return outcome(err)
	}
	if req.Path != "" {
		if req.Selection != (Selection{}) {
			return outcome(fmt.Errorf("%w: -path names one document, and leaves no component, platform or variant to choose", config.ErrUsage))
		}
		con := console.New(os.Stdout, os.Stderr, console.Plain(true))
		defer con.Close()
		return show(con, req.Format, []string{req.Path})
	}
	s, err := open(req.Selection, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	for _, why := range s.plan.LeftOut {
		s.console.Notef("left out: %s", why)
	}
	records, err := s.pipeline.Run(ctx)
	s.console.Close()
	if err != nil {
		return outcome(err)
	}
	names, err := documents(s.config.Dist, records)
	if err != nil {
		return err
	}
	return show(s.console, req.Format, names)
}

// documents are the files that describe the archives of records.
func documents(dir string, records []artifact.Record) ([]string, error) {
	var names []string
	for _, r := range records {
		name := dist.Document(r, "")
		if !slices.ContainsFunc(r.Documents, func(f artifact.File) bool { return f.Name == name }) {
			return nil, fmt.Errorf("%s has no SPDX document: build it again", r.Name)
		}
		names = append(names, filepath.Join(dir, filepath.FromSlash(name)))
	}
	return names, nil
}

func show(con *console.Console, format string, names []string) error {
	for i, name := range names {
		d, err := document(name)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(os.Stdout)
		}
		if format == "markdown" {
			err = d.View().Markdown(os.Stdout)
		} else {
			header, rows := d.View().Table()
			err = con.Table(header, rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DiffSBOM prints what changed from one SPDX document to another, a line for
// each change or, as format "markdown", a page. That something changed is no
// error.
func DiffSBOM(from, to, format string) error {
	if err := oneOf("format", format, "text", "markdown"); err != nil {
		return outcome(err)
	}
	for _, name := range []string{from, to} {
		if name == "" || strings.HasPrefix(name, "-") {
			return outcome(fmt.Errorf("%w: %q is not the name of a document; mage sbom:diff OLD NEW, options behind them", config.ErrUsage, name))
		}
	}
	a, err := document(from)
	if err != nil {
		return err
	}
	b, err := document(to)
	if err != nil {
		return err
	}
	changes := spdx.Diff(a, b)
	return printChanges(format, from, to, changes, spdx.MarkdownDiff)
}

// printChanges prints a line for each change, or them all as a page.
func printChanges[C any](format, from, to string, changes []C, page func(w io.Writer, from, to string, changes []C) error) error {
	if format == "markdown" {
		return page(os.Stdout, filepath.Base(from), filepath.Base(to), changes)
	}
	if len(changes) == 0 {
		fmt.Fprintln(os.Stderr, "nothing changed")
	}
	var lines strings.Builder
	for _, c := range changes {
		fmt.Fprintln(&lines, c)
	}
	if _, err := io.WriteString(os.Stdout, lines.String()); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// document reads an SPDX document. What is no regular file is refused, for
// opening it might wait for ever.
func document(name string) (*spdx.Document, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("reading an SPDX document: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading an SPDX document: %s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading an SPDX document: %w", err)
	}
	defer f.Close()
	d, err := spdx.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return d, nil
}

// oneOf refuses a value that is none of those that there are. The first is
// what an empty one means.
func oneOf(what, value string, all ...string) error {
	if value == "" || slices.Contains(all, value) {
		return nil
	}
	return fmt.Errorf("%w: there is no %s %q; there are: %s", config.ErrUsage, what, value, strings.Join(all, ", "))
}
