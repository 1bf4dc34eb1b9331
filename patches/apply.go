package patches

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// ErrDrift is what an ApplyError wraps when the tree is not the one that the
// patch was made for: a line differs, a file is missing or there already.
var ErrDrift = errors.New("source has drifted from the patch")

// An ApplyError says where a series stopped applying.
type ApplyError struct {
	Patch string // Patch.Name
	File  string // below the root, slash-separated
	Hunk  int    // of the patch in that file, from 1; 0 for the file as a whole
	Line  int    // of the file as the patch found it, from 1; 0 likewise
	Err   error
}

func (e *ApplyError) Error() string {
	where := e.File
	if e.Hunk > 0 {
		where = fmt.Sprintf("%s: hunk %d at line %d", e.File, e.Hunk, e.Line)
	}
	hint := ""
	if errors.Is(e.Err, ErrDrift) {
		hint = ": make the patch anew against this source, or drop it if its Drop-When has come true"
	}
	return fmt.Sprintf("applying %s: %s: %v%s", e.Patch, where, e.Err, hint)
}

// Unwrap returns the cause.
func (e *ApplyError) Unwrap() error { return e.Err }

// Apply changes the tree below root as the series says, each patch upon the
// result of those before it. Everything is computed before anything is
// written: when a patch does not apply exactly the tree is as it was and the
// error is an *ApplyError. Files are written under a temporary name and
// renamed; after any other error the tree may be half written and is to be
// thrown away. A changed file keeps its permission bits, a new one has 0644,
// a new directory 0755, whatever the umask. A directory left empty stays.
func Apply(root *os.Root, s Series) error {
	t := tree{root: root, files: make(map[string]*file)}
	for _, p := range s.Patches {
		if len(p.files) == 0 {
			return &ApplyError{Patch: p.Name, Err: errors.New("patch was not made by Load")}
		}
		for _, f := range p.files {
			if err := t.apply(f); err != nil {
				err.Patch, err.File = p.Name, target(f)
				return err
			}
		}
	}
	return t.write()
}

func (t *tree) apply(f *gitdiff.File) *ApplyError {
	old, err := t.lookup(target(f))
	if err != nil {
		return &ApplyError{Err: err}
	}
	switch {
	case f.IsNew && old.exists:
		return &ApplyError{Err: fmt.Errorf("%w: file to be added is there already", ErrDrift)}
	case !f.IsNew && !old.exists:
		return &ApplyError{Err: fmt.Errorf("%w: file to be changed or deleted is not there", ErrDrift)}
	case f.IsNew:
		if err := t.vacant(target(f)); err != nil {
			return &ApplyError{Err: err}
		}
	}
	data, bad := patched(old.data, f)
	if bad != nil {
		return bad
	}
	if f.IsDelete && len(data) > 0 {
		return &ApplyError{Err: fmt.Errorf("%w: file to be deleted holds more than the patch deletes", ErrDrift)}
	}
	if t.size += int64(len(data)); len(data) > maxSourceSize || t.size > maxTreeSize {
		return &ApplyError{Err: fmt.Errorf("result is larger than %d bytes, or all results are than %d", maxSourceSize, maxTreeSize)}
	}
	old.data, old.exists = data, !f.IsDelete
	return nil
}

// patched is src with the hunks of f applied. Its errors have no Patch and File.
func patched(src []byte, f *gitdiff.File) ([]byte, *ApplyError) {
	var dst bytes.Buffer
	lines := splitLines(src)
	applier := gitdiff.NewTextApplier(&dst, bytes.NewReader(src))
	for i, h := range f.TextFragments {
		if err := applier.ApplyFragment(h); err != nil {
			line, drift := explain(lines, h)
			if drift == nil {
				drift = fmt.Errorf("%w: %w", ErrDrift, err)
			}
			return nil, &ApplyError{Hunk: i + 1, Line: line, Err: drift}
		}
		// git reads a hunk without context behind it as one at the file's end.
		if end := int(h.OldPosition-1) + int(h.OldLines); h.OldLines > 0 && h.TrailingContext == 0 && end < len(lines) {
			_, found := excerpts("", lines[end])
			return nil, &ApplyError{Hunk: i + 1, Line: end + 1,
				Err: fmt.Errorf("%w: want the end of the file, found %q", ErrDrift, found)}
		}
	}
	if len(f.TextFragments) == 0 {
		return src, nil // an empty file is added or deleted
	}
	if err := applier.Close(); err != nil {
		return nil, &ApplyError{Err: err}
	}
	return dst.Bytes(), nil
}

// explain finds the first of lines, from 1, that is not what h wants there; its
// error is nil where all are.
func explain(lines []string, h *gitdiff.TextFragment) (int, error) {
	want := oldLines(h)
	if len(want) == 0 {
		return 1, fmt.Errorf("%w: want an empty file, found %d lines", ErrDrift, len(lines))
	}
	start := int(h.OldPosition) - 1
	i := mismatch(lines, start, want)
	if i < 0 {
		return start + 1, nil
	}
	elsewhere := ""
	for at := range lines {
		if mismatch(lines, at, want) < 0 {
			elsewhere = fmt.Sprintf(" (the hunk's lines stand at line %d)", at+1)
			break
		}
	}
	if start+i >= len(lines) {
		w, _ := excerpts(want[i], "")
		return start + i + 1, fmt.Errorf("%w: want %q, found the end of the file, which has %d lines%s", ErrDrift, w, len(lines), elsewhere)
	}
	w, found := excerpts(want[i], lines[start+i])
	return start + i + 1, fmt.Errorf("%w: want %q, found %q%s", ErrDrift, w, found, elsewhere)
}

// excerpts are the parts of two long lines around their first difference.
func excerpts(a, b string) (string, string) {
	const before, length = 40, 120
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	start = max(0, start-before)
	excerpt := func(s string) string {
		short := s[start:min(len(s), start+length)]
		if start > 0 {
			short = "..." + short
		}
		if start+length < len(s) {
			short += "..."
		}
		return short
	}
	return excerpt(a), excerpt(b)
}

// mismatch is the index of the first of want that is not in lines from start
// on, or -1.
func mismatch(lines []string, start int, want []string) int {
	for i, line := range want {
		if start+i >= len(lines) || lines[start+i] != line {
			return i
		}
	}
	return -1
}

func oldLines(h *gitdiff.TextFragment) []string {
	var old []string
	for _, line := range h.Lines {
		if line.Old() {
			old = append(old, line.Line)
		}
	}
	return old
}

func splitLines(data []byte) []string {
	var lines []string
	for line := range bytes.Lines(data) {
		lines = append(lines, string(line))
	}
	return lines
}
