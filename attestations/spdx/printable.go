package spdx

import (
	"strconv"
	"strings"
	"unicode"
)

// maxText bounds what is shown of one value, in bytes: whole licence
// expressions fit.
const maxText = 16 << 10

// printable is s on one line and without what would move a terminal's cursor,
// turn the direction of text or hide in it: control and format characters,
// unassigned and private ones. Every kind of space becomes a plain one.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsOneOf([]*unicode.RangeTable{unicode.Zl, unicode.Zp, unicode.Zs}, r):
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return -1
		}
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.TrimSpace(s)
}

// printablePair shows two values that differ so that they are seen to differ,
// even where the difference is in what printable takes away.
func printablePair(a, b string) (string, string) {
	x, y := printable(a), printable(b)
	if x == y && a != b {
		return printable(strconv.QuoteToASCII(a)), printable(strconv.QuoteToASCII(b))
	}
	return x, y
}

// markdown is s as text in Markdown: a name cannot become a link, a tag, a
// mention, another column or another line.
func markdown(s string) string {
	s = printable(s)
	if s == "" {
		return ""
	}
	if !strings.ContainsAny(s, "`|\\") {
		return "`" + s + "`"
	}
	return prose(s)
}

// prose is s escaped for running text.
func prose(s string) string {
	var b strings.Builder
	for _, r := range printable(s) {
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
