package licences

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMetadata(t *testing.T) {
	for _, tt := range []struct{ json, licence, author, homepage string }{
		{`{}`, "", "", ""},
		{"\ufeff" + `{"license": "MIT", "author": "Ada Bell <ada@example.org> (https://example.org)", "homepage": "https://example.org/bell"}`, "MIT", "Person: Ada Bell (ada@example.org)", "https://example.org/bell"},
		{`{"license": {"type": "ISC", "url": "x"}, "author": {"name": "Ada Bell", "email": "ada@example.org"}}`, "ISC", "Person: Ada Bell (ada@example.org)", ""},
		{`{"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}`, "(MIT OR GPL-2.0)", "", ""},
		{`{"licenses": ["MIT"]}`, "MIT", "", ""},
		{`{"license": 3, "licenses": {"name": "MIT"}, "author": 3, "homepage": 3}`, "MIT", "", ""},
		{`{"author": "Bell Technologies, Inc."}`, "", "Organization: Bell Technologies, Inc.", ""},
		{`{"author": {"name": "The Bell Authors"}}`, "", "Organization: The Bell Authors", ""},
		{`{"author": "Ada", "maintainers": ["Carl"]}`, "", "Person: Ada", ""},
		{`{"maintainers": [{"name": "Carl"}]}`, "", "Person: Carl", ""},
		{`{"contributors": ["Ada", "Carl"]}`, "", "", ""},
		{`{"author": [["Ada"]]}`, "", "", ""},
		{`{"author": "Ada <no mail>"}`, "", "Person: Ada", ""},
		{`{"author": "Ada\nPerson: Eve"}`, "", "Person: Ada Person: Eve", ""},
		{`{"author": "Ada\u001b[31m"}`, "", "Person: Ada[31m", ""},
		{`{"homepage": "javascript:alert(1)", "repository": "git+https://example.org/bell.git"}`, "", "", "https://example.org/bell"},
		{`{"homepage": "https://user:password@example.org"}`, "", "", ""},
		{`{"repository": {"url": "git://example.org/bell.git"}}`, "", "", "https://example.org/bell"},
		{`{"repository": {"url": "git@github.com:ada/bell.git"}}`, "", "", "https://github.com/ada/bell"},
		{`{"repository": "ada/bell"}`, "", "", "https://github.com/ada/bell"},
		{`{"license": "` + strings.Repeat("x", maxExpression+1) + `"}`, "", "", ""},
	} {
		got, err := parseMetadata([]byte(tt.json))
		if err != nil || got != (metadata{tt.licence, tt.author, tt.homepage}) {
			t.Errorf("%s: %+v, %v", tt.json, got, err)
		}
	}
}

func TestMetadataRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":       "",
		"no object":     `"MIT"`,
		"half":          `{"license": "MIT"`,
		"more":          `{} {}`,
		"deep":          `{"x": ` + strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting) + `}`,
		"deep and half": strings.Repeat("[", 1<<19),
		"large":         `{"x": "` + strings.Repeat("x", maxMetadata) + `"}`,
	} {
		if _, err := parseMetadata([]byte(data)); !errors.Is(err, ErrSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever package.json says, what is taken from it has one line and is bounded.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		`{"license": "MIT", "author": "Ada Bell <ada@example.org> (https://example.org)"}`, `{"licenses": [{"type": "MIT"}, "ISC", [["X"]]]}`,
		`{"author": {"name": "Ada", "email": 1}, "repository": {"url": "git+ssh://git@example.org/x.git"}}`, `{"license": "(((MIT"}`, `{"license": "("}`, `{"license": "DocumentRef-bell:"}`, `{"homepage": "https://[::1"}`, `[`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMetadata(data)
		if err != nil {
			if !errors.Is(err, ErrSource) {
				t.Error(err)
			}
			return
		}
		for _, s := range []string{m.licence, m.author, m.homepage} {
			if strings.ContainsAny(s, "\n\r\x00\x1b") || !utf8.ValidString(s) || len(s) > 1<<20 {
				t.Errorf("took %q", s)
			}
		}
		if _, _, why := (Found{Declared: m.licence}).tell(); strings.Contains(why, "\n") {
			t.Errorf("says %q", why)
		}
	})
}
