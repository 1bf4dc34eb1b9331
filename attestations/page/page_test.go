package page

import (
	"strings"
	"testing"
)

// What others chose stays on its line, and is seen.
func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                        "plain",
		" a\tb\nc\u2028d\u00a0e ":      "a b c d e",
		"a\x1b[2Jb\u202ec\u200bd":      "a[2Jbcd",
		"\xff\ue000":                   "\uFFFD",
		"a\u3164b\uffa0c\u115f":        "a\uFFFDb\uFFFDc\uFFFD", // letters that show nothing
		"\u2800":                       "\uFFFD",
		"Ünïcödé 漢字":                   "Ünïcödé 漢字",
		strings.Repeat("x", 2*MaxText): strings.Repeat("x", MaxText) + "…",
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%.40q) = %.40q, want %.40q", in, got, want)
		}
	}
}

// Two values that differ only in what is taken away are seen to differ.
func TestPair(t *testing.T) {
	for _, tt := range [][4]string{
		{"a", "b", "a", "b"},
		{"v1\u200b", "v1", `"v1\u200b"`, `"v1"`},
		{"MIT", "MIT\u202e", `"MIT"`, `"MIT\u202e"`},
	} {
		if x, y := Pair(tt[0], tt[1]); x != tt[2] || y != tt[3] {
			t.Errorf("Pair(%q, %q) = %q, %q", tt[0], tt[1], x, y)
		}
	}
}

// In Markdown a value becomes no code, link, tag, mention or column.
func TestMarkdown(t *testing.T) {
	for in, want := range map[string][2]string{
		"":                  {"", ""},
		"x_y":               {"`x_y`", `x\_y`},
		"a`b":               {"a\\`b", "a\\`b"},
		"a|b":               {`a\|b`, `a\|b`},
		"<b>@you":           {"`<b>@you`", `\<b\>&#64;you`},
		"https://www.x.org": {"`https://www.x.org`", "https&#58;//www&#46;x.org"},
		"[a](b)":            {"`[a](b)`", `\[a\](b)`},
	} {
		if got := [2]string{Code(in), Prose(in)}; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
