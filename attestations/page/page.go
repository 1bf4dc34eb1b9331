// Package page shows values that others chose, on a console and in GitHub's
// Markdown, so that each stays what it is, text on its line: it cannot move a
// cursor, hide, become a link, a mention, a tag or another column.
package page

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// MaxText bounds what is shown of one value, in bytes: whole licence
// expressions fit.
const MaxText = 16 << 10

// Line is s on one line and without what would move a terminal's cursor,
// turn the direction of text or hide in it: control and format characters,
// unassigned and private ones. Every kind of space becomes a plain one, and a
// letter or symbol that shows nothing the mark of what cannot be shown.
func Line(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText] + "…"
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsOneOf([]*unicode.RangeTable{unicode.Zl, unicode.Zp, unicode.Zs}, r):
			return ' '
		case strings.ContainsRune(blank, r):
			return unicode.ReplacementChar
		case unicode.IsPrint(r):
			return r
		default:
			return -1
		}
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.TrimSpace(s)
}

// blank are the letters and the symbol that are printable and shown as nothing:
// Hangul's fillers and Braille's empty pattern.
const blank = "\u115f\u1160\u3164\uffa0\u2800"

// Pair shows two values that differ so that they are seen to differ,
// even where the difference is in what Line takes away.
func Pair(a, b string) (string, string) {
	x, y := Line(a), Line(b)
	if x == y && a != b {
		return Line(strconv.QuoteToASCII(a)), Line(strconv.QuoteToASCII(b))
	}
	return x, y
}

// Code is s as text in Markdown: a name cannot become a link, a tag, a
// mention, another column or another line.
func Code(s string) string {
	s = Line(s)
	if s == "" {
		return ""
	}
	if !strings.ContainsAny(s, "`|\\") {
		return "`" + s + "`"
	}
	return Prose(s)
}

// Prose is s escaped for running text.
func Prose(s string) string {
	var b strings.Builder
	for _, r := range Line(s) {
		switch {
		case strings.ContainsRune("\\`*_[]<>|~&$#!{}", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '@':
			b.WriteString("&#64;") // no mention where a forge shows the page
		default:
			b.WriteRune(r)
		}
	}
	return noLinks.Replace(b.String())
}

// noLinks keeps GitHub's Markdown from making links of bare addresses.
var noLinks = strings.NewReplacer("://", "&#58;//", "www.", "www&#46;")

// Changes writes what changed between two things as a page, in the order that
// it is in; what has the same title is below that.
func Changes[C fmt.Stringer](w io.Writer, from, to string, changes []C, title func(C) string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# From %s to %s\n", Prose(from), Prose(to))
	if len(changes) == 0 {
		fmt.Fprint(&b, "\nNothing changed.\n")
	}
	last := ""
	for _, c := range changes {
		if t := title(c); t != last {
			fmt.Fprintf(&b, "\n## %s\n\n", t)
			last = t
		}
		fmt.Fprintf(&b, "- %s\n", Code(c.String()))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the changes: %w", err)
	}
	return nil
}
