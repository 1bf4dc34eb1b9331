package webui

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read of a vfsgen file.
const (
	maxVFSSource = 64 << 20 // bytes of Go source
	maxVFSFiles  = 2_000
)

// errVFS is what every refusal of a vfsgen file wraps.
var errVFS = errors.New("not the output of vfsgen that is expected")

// A vfsFile is a file of a virtual file system.
type vfsFile struct {
	Name    string // slash-separated, relative to the root
	Content []byte
}

// Generated is the content of every file, by its name without the leading
// slash, of the file system that Go source written by
// github.com/shurcooL/vfsgen holds. It runs nothing; source of any other form
// is an error.
func Generated(src []byte) (map[string][]byte, error) {
	files, err := readVFS(src)
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte, len(files))
	for _, f := range files {
		all[f.Name] = f.Content
	}
	return all, nil
}

// readVFS reads the files that Go source written by
// github.com/shurcooL/vfsgen holds, sorted by name. It parses the source and
// runs nothing: the source must hold one literal of type vfsgen۰FS, whose
// values are pointers to literals of vfsgen's own three types with constant
// fields; content that vfsgen had compressed must decompress to the size it
// states. Anything else is an error.
func readVFS(src []byte) ([]vfsFile, error) {
	if len(src) > maxVFSSource {
		return nil, fmt.Errorf("%w: larger than %d bytes", errVFS, maxVFSSource)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errVFS, err)
	}
	var literals []*ast.CompositeLit
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && isIdent(lit.Type, "vfsgen۰FS") {
			literals = append(literals, lit)
			return false
		}
		return true
	})
	if len(literals) != 1 {
		return nil, fmt.Errorf("%w: %d literals of type vfsgen۰FS, want one", errVFS, len(literals))
	}
	if len(literals[0].Elts) > maxVFSFiles {
		return nil, fmt.Errorf("%w: more than %d files", errVFS, maxVFSFiles)
	}
	var files []vfsFile
	seen := map[string]bool{}
	total := 0
	for _, elt := range literals[0].Elts {
		pair, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			return nil, fmt.Errorf("%w: an entry without a name", errVFS)
		}
		name, err := stringOf(pair.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: name of an entry: %w", errVFS, err)
		}
		f, directory, err := vfsEntry(name, pair.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %q: %w", errVFS, name, err)
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: entry %q is there twice", errVFS, name)
		}
		seen[name] = true
		if total += len(f.Content); total > maxAssets {
			return nil, fmt.Errorf("%w: more than %d bytes in all", errVFS, maxAssets)
		}
		if !directory {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b vfsFile) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

func vfsEntry(name string, value ast.Expr) (f vfsFile, directory bool, err error) {
	relative, rooted := strings.CutPrefix(name, "/")
	if !rooted || name != "/" && !fs.ValidPath(relative) {
		return f, false, errors.New("its name is not a clean absolute path")
	}
	pointer, ok := value.(*ast.UnaryExpr)
	if !ok || pointer.Op != token.AND {
		return f, false, errors.New("it is not a pointer to a literal")
	}
	lit, ok := pointer.X.(*ast.CompositeLit)
	if !ok {
		return f, false, errors.New("it is not a pointer to a literal")
	}
	fields := map[string]ast.Expr{}
	for _, elt := range lit.Elts {
		pair, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			return f, false, errors.New("it has a field without a name")
		}
		key, ok := pair.Key.(*ast.Ident)
		if !ok || fields[key.Name] != nil {
			return f, false, errors.New("it has a field that is not one name, once")
		}
		fields[key.Name] = pair.Value
	}
	base, err := stringOf(fields["name"])
	if err != nil || base != path.Base(name) {
		return f, false, errors.New("its field name differs from where it is")
	}
	delete(fields, "name")
	delete(fields, "modTime")

	f.Name = relative
	switch {
	case isIdent(lit.Type, "vfsgen۰DirInfo") && len(fields) == 0:
		return f, true, nil
	case isIdent(lit.Type, "vfsgen۰FileInfo") && len(fields) == 1 && name != "/":
		f.Content, err = bytesOf(fields["content"])
	case isIdent(lit.Type, "vfsgen۰CompressedFileInfo") && len(fields) == 2 && name != "/":
		f.Content, err = decompress(fields["compressedContent"], fields["uncompressedSize"])
	default:
		err = errors.New("it is of an unknown type or has unknown fields")
	}
	if err == nil && len(f.Content) > maxAsset {
		err = fmt.Errorf("it is larger than %d bytes", maxAsset)
	}
	return f, false, err
}

func decompress(content, size ast.Expr) ([]byte, error) {
	packed, err := bytesOf(content)
	if err != nil {
		return nil, err
	}
	lit, ok := size.(*ast.BasicLit)
	if !ok || lit.Kind != token.INT {
		return nil, errors.New("its uncompressedSize is not a number")
	}
	want, err := strconv.ParseInt(lit.Value, 10, 64)
	if err != nil || want > maxAsset {
		return nil, fmt.Errorf("its uncompressedSize %s is not a number up to %d", lit.Value, maxAsset)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, want+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != want {
		return nil, fmt.Errorf("it does not decompress to its uncompressedSize of %d bytes", want)
	}
	return data, nil
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func stringOf(e ast.Expr) (string, error) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", errors.New("not a constant string")
	}
	return strconv.Unquote(lit.Value)
}

// bytesOf is the value of []byte("…").
func bytesOf(e ast.Expr) ([]byte, error) {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return nil, errors.New("its content is not []byte of a constant string")
	}
	slice, ok := call.Fun.(*ast.ArrayType)
	if !ok || slice.Len != nil || !isIdent(slice.Elt, "byte") {
		return nil, errors.New("its content is not []byte of a constant string")
	}
	text, err := stringOf(call.Args[0])
	return []byte(text), err
}
