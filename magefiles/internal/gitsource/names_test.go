package gitsource

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// Each name is one that some system takes for another, or for more than a name.
func TestCheckPath(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "/a", "a/", "a//b", "./a", "a/../b", ".git", ".GIT", "a/.Git/b", "git~1", "GIT~12", ".g\u200cit", ".git\u200d", "\ufeff.git", ".git ", ".git.", ".git::$INDEX_ALLOCATION",
		"\uff0egit", "a\\b", "a:b", "a*", "a?", `a"`, "a<", "a>", "a|", "a\x00", "a\nb", "a\x1b[2J", "a\x7f", "a\u202eb", "a\u2028b", "a\u00a0b", "a\xff", "\ufffd", "a.", "a ", "a/b./c",
		"CON", "nul", "Aux.txt", "com1", "LPT9.log", "COM¹", "conin$", "prn .txt",
		strings.Repeat("a", 256), strings.Repeat("a/", 512) + "a", strings.Repeat("d/", 64) + "f",
	} {
		if err := checkPath(name, 64); err == nil {
			t.Errorf("%q is let pass", name)
		}
	}
	for _, name := range []string{
		"a", "a/b.c", ".gitignore", ".gitattributes", ".github/x", "git", "git~", "a b", "-x", "ä/é", "日本", "con-text", "console", "nul_", "com", "com10", ".a", "a..b", strings.Repeat("a", 255), "[x]{y}(z)!@#$%^&+=',;`",
	} {
		if err := checkPath(name, 64); err != nil {
			t.Errorf("%q %v", name, err)
		}
	}
}

func TestJudge(t *testing.T) {
	const blob = "100644 blob 0123456789abcdef0123456789abcdef01234567 "
	bounds := Bounds{}.filled()
	files, err := judge(blob+"     12\ta\x00100755 blob 01        3\tb/c\x00100664 blob 01 0\tB\x00", bounds)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"b" and "B" are one`) {
		t.Errorf("a folder and a file that fold: %v %v", files, err)
	}
	if files, err = judge(blob+"     12\ta\x00100755 blob 01        3\tb/c\x00100664 blob 01 0\tb/d\x00", bounds); err != nil || len(files) != 3 || files["a"] != 12 || files["b/c"] != 3 {
		t.Errorf("got %v, %v", files, err)
	}
	for name, test := range map[string]struct{ out, says string }{
		"nothing":             {"", "it has no files"},
		"a link":              {"120000 blob 01 3\ta\x00", "is a symbolic link"},
		"a submodule":         {"160000 commit 01 -\ta\x00", "is a submodule"},
		"a folder":            {"040000 tree 01 -\ta\x00", "has the mode"},
		"no size":             {blob + "-\ta\x00", "git ls-tree says"},
		"a negative size":     {blob + "-1\ta\x00", "git ls-tree says"},
		"no name":             {blob + "1\x00", "is no plain path"},
		"half a line":         {"100644 blob\ta\x00", "git ls-tree says"},
		"an empty line":       {blob + "1\ta\x00\x00", "git ls-tree says"},
		"capitals":            {blob + "1\tREADME\x00" + blob + "1\tReadme\x00", "are one where capitals"},
		"capitals of folders": {blob + "1\tA/x\x00" + blob + "1\ta/x\x00", "are one where capitals"},
		"accents":             {blob + "1\té\x00" + blob + "1\te\u0301\x00", "are one where capitals"},
		"sharp s":             {blob + "1\tstraße\x00" + blob + "1\tSTRASSE\x00", "are one where capitals"},
		"a sum beyond":        {blob + "9223372036854775807\ta\x00" + blob + "9223372036854775807\tb\x00", "it has more than"},
	} {
		if _, err := judge(test.out, bounds); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}

// What is let pass is a plain path that folds to nothing of git's.
func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"a", ".git", "a/.GIT", "git~1", "con", "ä", "a\u200cb", "a/b/c", "..", "\\", " ", "a."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkPath(name, 64) != nil {
			return
		}
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\:\x00\n") {
			t.Errorf("%q is let pass", name)
		}
		for part := range strings.SplitSeq(strings.ToLower(name), "/") {
			if part == ".git" || strings.HasPrefix(part, "git~") && part != "git~" && strings.Trim(part[4:], "0123456789") == "" {
				t.Errorf("%q is let pass", name)
			}
		}
	})
}
