package goprogram

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Bounds of the table of functions. Prometheus holds functions of some three
// thousand packages, from ten thousand files.
const (
	maxPackages  = 1 << 16
	maxFunctions = 1 << 22
	maxSources   = 1 << 18
	maxSource    = 4096      // bytes of the name of a file
	maxFunction  = 1 << 16   // bytes of the name of a function, with what it is an instance of
	maxNamed     = 1 << 30   // bytes of all names that are read
	maxLines     = 512 << 20 // bytes of the table
)

// Marks of the table as Go has written it since 1.18 and since 1.20 (go12magic and
// its successors, in internal/abi).
const (
	lines118 = 0xfffffff0
	lines120 = 0xfffffff1
)

// A Package is one of which a program holds functions.
type Package struct {
	Path      string // import path; "main" of the program's own
	Functions int    // how many, those of literals and of instances among them
}

// Packages are those of which a program of that size holds functions, sorted: Go's,
// as the table of functions has them, which stripping leaves. One of which the
// linker left nothing is not among them. None are found where there is no such
// table; one of a form that is not known is ErrProgram.
func Packages(r io.ReaderAt, size int64) ([]Package, error) {
	return guarded(r, size, (*program).packages)
}

// Roots are the folders from which a program of that size was compiled, sorted, as
// its table of functions has them: of each source file whose path is absolute what
// stands before the import path of a package, or before the end of one, and does
// not lie in another such folder. What changes in the code leaves them as they are.
// None are found of a program that was compiled with -trimpath, and where there is
// no table.
func Roots(r io.ReaderAt, size int64) ([]string, error) {
	return guarded(r, size, (*program).roots)
}

// A lineTable is the table of functions, taken apart. debug/gosym, which reads it
// as well, copies as many names as it is told that there are.
type lineTable struct {
	order               binary.ByteOrder
	names, files, funcs []byte
	count, sources      uint64
	since120            bool
}

// lineTable reads it; nil if there is none.
func (p *program) lineTable() (*lineTable, error) {
	data, err := p.functions()
	if err != nil || len(data) == 0 {
		return nil, err
	}
	unknown := fmt.Errorf("%w: its table of functions is of a form that is not known", ErrProgram)
	if int64(len(data)) < 8+8*p.word || int64(data[7]) != p.word {
		return nil, unknown
	}
	t := &lineTable{order: p.order}
	switch p.order.Uint32(data) {
	case lines120:
		t.since120 = true
	case lines118:
	default:
		return nil, unknown
	}
	field := func(n int64) uint64 { return p.number(data[8+n*p.word:]) }
	t.count, t.sources = field(0), field(1)
	// Where each of its parts begins: names, compilation units, files, lines, functions.
	at := []uint64{field(3), field(4), field(5), field(6), field(7), uint64(len(data))}
	if !slices.IsSorted(at) {
		return nil, unknown
	}
	t.names, t.files, t.funcs = data[at[0]:at[1]], data[at[2]:at[3]], data[at[4]:]
	if t.count > maxFunctions || t.sources > maxSources {
		return nil, fmt.Errorf("%w: %d functions of %d files", ErrTooMany, t.count, t.sources)
	}
	if t.count == 0 || t.count*8 > uint64(len(t.funcs)) {
		return nil, unknown
	}
	return t, nil
}

// text is the string at an offset up to its NUL.
func text(data []byte, offset uint64, most int) (string, error) {
	if offset >= uint64(len(data)) {
		return "", fmt.Errorf("%w: its table of functions points behind itself", ErrProgram)
	}
	data = data[offset:]
	n := bytes.IndexByte(data[:min(len(data), most)], 0)
	if n < 0 {
		return "", fmt.Errorf("%w: a name in its table of functions has no end", ErrProgram)
	}
	return string(data[:n]), nil
}

func (p *program) packages() ([]Package, error) {
	t, err := p.lineTable()
	if t == nil || err != nil {
		return nil, err
	}
	count, err := t.packages()
	if err != nil {
		return nil, err
	}
	var all []Package
	for _, path := range slices.Sorted(maps.Keys(count)) {
		all = append(all, Package{path, count[path]})
	}
	return all, nil
}

// packages counts the functions of each. A function's entry is two numbers of four
// bytes, the second of which is where it is described: there the second such
// number is where its name is.
func (t *lineTable) packages() (map[string]int, error) {
	count, left := map[string]int{}, maxNamed
	for i := range t.count {
		at := uint64(t.order.Uint32(t.funcs[8*i+4:]))
		if at+8 > uint64(len(t.funcs)) {
			return nil, fmt.Errorf("%w: its table of functions points behind itself", ErrProgram)
		}
		name, err := text(t.names, uint64(t.order.Uint32(t.funcs[at+4:])), maxFunction)
		if err != nil {
			return nil, err
		}
		if left -= len(name); left < 0 {
			return nil, fmt.Errorf("%w: more than %d bytes of names of functions", ErrTooMany, maxNamed)
		}
		of := t.packageOf(name)
		if of == "" { // of no package: equality of a type, and the like
			continue
		}
		// The linker writes %2e for a dot in the last element of a path.
		if count[strings.ReplaceAll(of, "%2e", ".")]++; len(count) > maxPackages {
			return nil, fmt.Errorf("%w: more than %d packages", ErrTooMany, maxPackages)
		}
	}
	return count, nil
}

// packageOf is what stands before the first dot behind the last slash, types of an
// instance left out, which have dots and slashes of their own.
func (t *lineTable) packageOf(name string) string {
	if begin, end := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']'); begin >= 0 && end > begin {
		name = name[:begin] + name[end+1:]
	}
	made := []string{"go.", "type."}
	if t.since120 {
		made = []string{"go:", "type:"}
	}
	if strings.HasPrefix(name, made[0]) || strings.HasPrefix(name, made[1]) {
		return ""
	}
	folder := strings.LastIndexByte(name, '/') + 1
	dot := strings.IndexByte(name[folder:], '.')
	if dot < 0 {
		return ""
	}
	return name[:folder+dot]
}

func (p *program) roots() ([]string, error) {
	t, err := p.lineTable()
	if t == nil || err != nil {
		return nil, err
	}
	suffixes, err := t.suffixes()
	if err != nil {
		return nil, err
	}
	folders := map[string]bool{}
	rest := t.files
	for range t.sources {
		name, err := text(rest, 0, maxSource)
		if err != nil {
			return nil, err
		}
		rest = rest[len(name)+1:]
		if name = strings.ReplaceAll(name, `\`, "/"); absolute(name) {
			folders[path.Dir(name)] = true
		}
	}
	found := map[string]bool{}
	for folder := range folders {
		found[rootOf(folder, suffixes)] = true
	}
	var roots []string
	for _, root := range slices.Sorted(maps.Keys(found)) {
		inAnother := func(of string) bool { return strings.HasPrefix(root, of+"/") }
		if !slices.ContainsFunc(roots, inAnother) {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

// suffixes are the ends, between slashes, of the paths of all packages of which the
// table names a function: those of which nothing is left but what was inlined too.
func (t *lineTable) suffixes() (map[string]bool, error) {
	packages, found := map[string]bool{}, map[string]bool{}
	for rest := t.names; len(rest) > 0; {
		name, err := text(rest, 0, maxFunction)
		if err != nil {
			return nil, err
		}
		rest = rest[len(name)+1:]
		of := strings.ReplaceAll(t.packageOf(name), "%2e", ".")
		if of == "" || packages[of] {
			continue
		}
		if packages[of] = true; len(packages) > maxPackages || len(of) > maxSource {
			return nil, fmt.Errorf("%w: more than %d packages, or one of %d bytes", ErrTooMany, maxPackages, len(of))
		}
		addSuffixes(found, of)
	}
	return found, nil
}

func addSuffixes(found map[string]bool, path string) {
	for more := true; more && !found[path]; {
		found[path] = true
		_, path, more = strings.Cut(path, "/")
	}
}

// absolute reports whether a path of any system is, one with a drive among them.
func absolute(name string) bool {
	return strings.HasPrefix(name, "/") || len(name) > 2 && name[1] == ':' && name[2] == '/'
}

// rootOf is a folder without the most that it has in common with the end of an
// import path.
func rootOf(folder string, suffixes map[string]bool) string {
	parts := strings.Split(folder, "/")
	for i, part := range parts {
		parts[i], _, _ = strings.Cut(part, "@v")
		if strings.Contains(part, "!") { // a capital, in the cache of modules
			parts[i] = capitals(parts[i])
		}
	}
	for i := 1; i < len(parts); i++ {
		if suffixes[strings.Join(parts[i:], "/")] {
			return strings.Join(parts[:i], "/")
		}
	}
	return folder
}

func capitals(s string) string {
	before, after, found := strings.Cut(s, "!")
	if !found || after == "" {
		return s
	}
	return before + strings.ToUpper(after[:1]) + capitals(after[1:])
}
