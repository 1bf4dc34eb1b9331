package patches

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// regularMode is git's mode of a regular file without run bits.
const regularMode = 0o100644

// parseDiff reads the diffs of the patch data, of which the first skip lines
// are its header.
func parseDiff(name string, data []byte, skip int) ([]*gitdiff.File, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, malformed(name, 1+bytes.Count(data[:i], []byte("\n")), "holds a zero byte: binary diffs are refused")
	}
	lines := strings.SplitAfter(string(data), "\n")
	body := strings.Join(lines[skip:], "")
	// Empty lines in the header's place keep the parser's line numbers right.
	files, _, err := gitdiff.Parse(strings.NewReader(strings.Repeat("\n", skip) + body))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%w: %s: changes %d files, want at most %d", ErrMalformed, name, len(files), MaxFiles)
	}
	// The parser skips text that it does not know, before and between diffs.
	// Writing the diffs out again shows whether it skipped anything.
	var out strings.Builder
	for _, f := range files {
		out.WriteString(f.String())
	}
	if i, ok := firstDifference(body, out.String()); !ok {
		return nil, malformed(name, skip+i+1, "not as git diff --no-renames writes it: %q", lineAt(body, i))
	}
	seen := make(map[string]bool)
	for _, f := range files {
		if err := checkFile(f); err != nil {
			return nil, fmt.Errorf("%w: %s: %s: %w", ErrMalformed, name, target(f), err)
		}
		if seen[target(f)] {
			return nil, fmt.Errorf("%w: %s: %s is changed twice", ErrMalformed, name, target(f))
		}
		seen[target(f)] = true
	}
	return files, nil
}

// target is the name of the file that f changes.
func target(f *gitdiff.File) string {
	if f.IsDelete {
		return f.OldName
	}
	return f.NewName
}

func checkFile(f *gitdiff.File) error {
	switch name := target(f); {
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("path leaves the tree or is not clean")
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\":*?<>|`, r) }):
		return fmt.Errorf("path holds a space or a character that not every system can write")
	case f.IsBinary || f.BinaryFragment != nil:
		return fmt.Errorf("binary diffs are refused")
	case f.IsRename || f.IsCopy || !f.IsNew && !f.IsDelete && f.OldName != f.NewName:
		return fmt.Errorf("renames and copies are refused: write a deletion and an addition, as git diff --no-renames does")
	case f.IsNew && f.IsDelete:
		return fmt.Errorf("is both added and deleted")
	case f.IsNew && f.NewMode != regularMode:
		return fmt.Errorf("new file has mode %o, want %o: a module zip carries no other", f.NewMode, regularMode)
	case !f.IsNew && f.NewMode != 0:
		return fmt.Errorf("mode changes are refused: a module zip carries no run bits")
	case f.OldMode != 0 && f.OldMode != regularMode:
		return fmt.Errorf("file has mode %o, want %o: a module zip carries no other", f.OldMode, regularMode)
	case !f.IsNew && !f.IsDelete && len(f.TextFragments) == 0:
		return fmt.Errorf("diff changes nothing")
	}
	return checkHunks(f)
}

// checkHunks refuses hunks that could apply elsewhere than where they say:
// the applier looks at OldPosition and OldLines alone.
func checkHunks(f *gitdiff.File) error {
	var shift int64 // of the new line numbers against the old, so far
	var unended bool
	for i, h := range f.TextFragments {
		oldStart, newStart := h.OldPosition, h.NewPosition
		if h.OldLines > 0 {
			oldStart--
		}
		if h.NewLines > 0 {
			newStart--
		}
		switch {
		case oldStart < 0 || newStart < 0 || h.OldLines < 0 || h.NewLines < 0 || h.OldPosition > maxSourceSize:
			return fmt.Errorf("hunk %d: line numbers out of range", i+1)
		case newStart != oldStart+shift:
			return fmt.Errorf("hunk %d: begins at line %d of the new file, want %d", i+1, newStart+1, oldStart+shift+1)
		case h.OldLines == 0 && (oldStart > 0 || i > 0):
			return fmt.Errorf("hunk %d: has no context: write at least one line around each change", i+1)
		case h.LeadingContext == 0 && oldStart > 0:
			return fmt.Errorf("hunk %d: has no context before its first change, which only the first line of a file may lack", i+1)
		}
		shift += h.NewLines - h.OldLines
		for _, line := range h.Lines {
			if !line.New() {
				continue
			}
			if unended {
				return fmt.Errorf("hunk %d: adds lines behind one without a newline", i+1)
			}
			unended = line.NoEOL()
		}
	}
	return nil
}

// firstDifference returns the index of the first line in which a and b differ;
// ok says that there is none. Two ways to write a hunk's head are the same: git
// leaves out a count of one, and space where it cuts a long heading.
func firstDifference(a, b string) (i int, ok bool) {
	for a != "" && b != "" {
		var lineA, lineB string
		lineA, a, _ = strings.Cut(a, "\n")
		lineB, b, _ = strings.Cut(b, "\n")
		if lineA != lineB && hunkHead(lineA) != hunkHead(lineB) {
			return i, false
		}
		i++
	}
	return i, a == b
}

var headForm = regexp.MustCompile(`^@@ -([0-9]+)(,[0-9]+)? \+([0-9]+)(,[0-9]+)? @@(.*)$`)

func hunkHead(line string) string {
	m := headForm.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	return fmt.Sprintf("@@ -%s%s +%s%s @@%s", m[1], cmp.Or(m[2], ",1"), m[3], cmp.Or(m[4], ",1"), strings.TrimRight(m[5], " \t"))
}

func lineAt(s string, i int) string {
	lines := strings.SplitN(s, "\n", i+2)
	if i >= len(lines) {
		return ""
	}
	return lines[i]
}
