package gitsource

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of names, in bytes.
const (
	maxName = 255
	maxPath = 1024
)

// list is the size of every file of a commit as it is kept, by path. It refuses a
// commit of which not everything is a file with a plain name.
func (r *repository) list(ctx context.Context, commit string) (map[string]int64, error) {
	out, err := r.ask(ctx, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	return judge(out, r.bounds)
}

// judge reads what "git ls-tree -r -l -z" prints.
func judge(out string, bounds Bounds) (map[string]int64, error) {
	refuse := func(format string, args ...any) (map[string]int64, error) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
	}
	files, folded, total := map[string]int64{}, map[string]string{}, int64(0)
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if line == "" && out == "" {
			break
		}
		about, name, _ := strings.Cut(line, "\t")
		fields := strings.Fields(about)
		if len(fields) != 4 {
			return refuse("git ls-tree says %.200q", line)
		}
		switch fields[0] {
		case "100644", "100755", "100664": // git wrote the last, long ago
		case "120000":
			return refuse("%.200q is a symbolic link", name)
		case "160000":
			return refuse("%.200q is a submodule: name its repository as a source of its own", name)
		default:
			return refuse("%.200q has the mode %.20q", name, fields[0])
		}
		if err := checkPath(name, bounds.Depth); err != nil {
			return refuse("%.200q %w", name, err)
		}
		if other, ok := collides(folded, name); ok {
			return refuse("%.200q and %.200q are one where capitals or the writing of accents do not count", other, name)
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil || size < 0 {
			return refuse("git ls-tree says %.200q", line)
		}
		files[name] = size
		if total += size; total > bounds.Bytes || len(files) > bounds.Files {
			return refuse("it has more than %d files, or %d bytes", bounds.Files, bounds.Bytes)
		}
	}
	if len(files) == 0 {
		return refuse("it has no files")
	}
	return files, nil
}

// collides reports whether a path, or a folder above it, is another one's on a file
// system that folds names, and remembers it in folded.
func collides(folded map[string]string, name string) (string, bool) {
	for p := name; p != "."; p = path.Dir(p) {
		key := norm.NFC.String(cases.Fold().String(norm.NFD.String(p)))
		if other, ok := folded[key]; ok && other != p {
			return other, true
		} else if ok {
			break // and so are all above it
		}
		folded[key] = p
	}
	return "", false
}

var (
	gitForm    = regexp.MustCompile(`(?i)^(\.git|git~[0-9]+)$`)
	deviceForm = regexp.MustCompile(`(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\.|$)`)
)

// checkPath refuses a path that some system would not take for what it says.
func checkPath(name string, depth int) error {
	if !utf8.ValidString(name) || !fs.ValidPath(name) || name == "." || len(name) > maxPath {
		return fmt.Errorf("is no plain path of at most %d bytes", maxPath)
	}
	parts := strings.Split(name, "/")
	if len(parts) > depth {
		return fmt.Errorf("lies deeper than %d", depth)
	}
	for _, part := range parts {
		switch {
		case len(part) > maxName:
			return fmt.Errorf("has a name of more than %d bytes", maxName)
		case strings.ContainsAny(part, `\:*?"<>|`):
			return fmt.Errorf("has a name with one of \\ : * ? \" < > |")
		case strings.ContainsFunc(part, hidden):
			return fmt.Errorf("has a name with a character that is not seen")
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " "):
			return fmt.Errorf("has a name that ends with a full stop or a space")
		case gitForm.MatchString(norm.NFKC.String(part)):
			return fmt.Errorf("would be git's own")
		case deviceForm.MatchString(part):
			return fmt.Errorf("has the name of a device")
		}
	}
	return nil
}

// hidden is true of control characters, of what only formats, which some file
// systems leave out, and of what has no meaning.
func hidden(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r != ' ' && unicode.Is(unicode.Z, r) || r == utf8.RuneError
}
