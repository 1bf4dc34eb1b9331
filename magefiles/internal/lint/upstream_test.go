package lint

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// A reader turns upstream's struct types into lines of fields.txt, by their
// syntax alone: names are resolved through the files' imports.
type reader struct {
	cache, recipe string
	versions      map[string]string // module -> version
	used          map[string]bool   // modules
	packages      map[string]*source
	structs       map[string][]string // name -> "key type", nil while it is read
}

// A source is a package's type declarations.
type source struct {
	types   map[string]declared
	methods map[string]*ast.FuncDecl // "Type.Method"
	files   []*ast.File
}

type declared struct {
	spec *ast.TypeSpec
	file *ast.File
}

// known is what syntax alone does not tell: types of the standard library, and
// those whose UnmarshalYAML takes another shape than their fields have.
var known = map[string]string{
	"time.Duration":           "scalar",
	"net/url.Values":          "{}[]scalar",
	"go.yaml.in/yaml/v3.Node": "scalar",
	"github.com/prometheus/prometheus/model/labels.Labels":           "{}scalar",
	"github.com/prometheus/prometheus/discovery/targetgroup.Group":   "static",
	"github.com/prometheus/alertmanager/config/common.Matchers":      "[]scalar",
	"github.com/prometheus/alertmanager/config/common.MatchRegexps":  "{}scalar",
	"github.com/prometheus/alertmanager/timeinterval.TimeInterval":   "any",
	"github.com/prometheus/alertmanager/notify/jira.JiraFieldConfig": "any",
	"github.com/prometheus/exporter-toolkit/web.TLSVersion":          "scalar",
	"github.com/prometheus/common/config.TLSVersion":                 "scalar",
}

func newReader(cache, recipe string, versions map[string]string) *reader {
	return &reader{cache, recipe, versions, map[string]bool{}, map[string]*source{}, map[string][]string{
		"static": {"labels {}scalar", "targets []scalar"},
	}}
}

func (r *reader) load(importPath string) (*source, error) {
	if s := r.packages[importPath]; s != nil {
		return s, nil
	}
	dir, err := r.dir(importPath)
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("reading %s: no sources in the module cache", importPath)
	}
	s := &source{types: map[string]declared{}, methods: map[string]*ast.FuncDecl{}}
	linux := build.Default
	linux.GOOS, linux.GOARCH = "linux", "amd64"
	for _, name := range names {
		if ok, err := linux.MatchFile(dir, filepath.Base(name)); err != nil || !ok || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					s.methods[baseName(d.Recv.List[0].Type)+"."+d.Name.Name] = d
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						s.types[ts.Name.Name] = declared{ts, f}
					}
				}
			}
		}
	}
	r.packages[importPath] = s
	return s, nil
}

// dir is where the module cache holds a package.
func (r *reader) dir(importPath string) (string, error) {
	for mod := importPath; mod != "."; mod = path.Dir(mod) {
		version := r.versions[mod]
		if version == "" {
			continue
		}
		escaped, err := module.EscapePath(mod)
		if err != nil {
			return "", err
		}
		r.used[mod] = true
		return filepath.Join(r.cache, escaped+"@"+version, strings.TrimPrefix(importPath, mod)), nil
	}
	return "", fmt.Errorf("recipe %s requires no module of %s", r.recipe, importPath)
}

func baseName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return baseName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// named is the type string of a declared type; a struct's fields are noted.
func (r *reader) named(importPath, name string) (string, error) {
	if t, ok := known[importPath+"."+name]; ok {
		return t, nil
	}
	// Upstream's types that are not shown are called so, in every module.
	if strings.HasPrefix(name, "Secret") {
		return "secret", nil
	}
	s, err := r.load(importPath)
	if err != nil {
		return "", err
	}
	d, ok := s.types[name]
	if !ok {
		return "", fmt.Errorf("%s declares no %s", importPath, name)
	}
	st, ok := d.spec.Type.(*ast.StructType)
	if !ok {
		t, err := r.typeOf(importPath, d.file, d.spec.Type)
		if err == nil && (strings.HasPrefix(t, "[]") || strings.HasPrefix(t, "{}")) && s.methods[name+".UnmarshalYAML"] != nil {
			t = "any"
		}
		return t, err
	}
	if s.methods[name+".UnmarshalYAML"] != nil && !tagged(st) {
		return "scalar", nil
	}
	full := strings.TrimPrefix(importPath, "github.com/prometheus/") + "." + name
	if r.recipe != "prometheus" {
		full = r.recipe + ":" + full
	}
	if _, ok := r.structs[full]; !ok {
		r.structs[full] = nil
		fields, err := r.fields(importPath, d.file, st)
		if err != nil {
			return "", fmt.Errorf("%s: %w", full, err)
		}
		slices.Sort(fields)
		r.structs[full] = fields
	}
	return full, nil
}

func tagged(st *ast.StructType) bool {
	return slices.ContainsFunc(st.Fields.List, func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, "yaml:") })
}

func (r *reader) fields(importPath string, file *ast.File, st *ast.StructType) (all []string, err error) {
	for _, f := range st.Fields.List {
		t, err := r.typeOf(importPath, file, f.Type)
		if err != nil {
			return nil, err
		}
		var tag string
		if f.Tag != nil {
			text, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				return nil, err
			}
			tag = reflect.StructTag(text).Get("yaml")
		}
		key, options, _ := strings.Cut(tag, ",")
		switch {
		case t == "discoveries":
			sd, err := r.discoveries(importPath)
			if err != nil {
				return nil, err
			}
			all = append(all, sd...)
		case key == "-":
		case strings.Contains(options, "inline") && strings.HasPrefix(t, "{}"):
			all = append(all, "* "+t[2:])
		case strings.Contains(options, "inline"):
			all = append(all, r.structs[t]...)
		case key != "":
			all = append(all, key+" "+t)
		default:
			names := []string{baseName(f.Type)}
			if len(f.Names) > 0 {
				names = nil
				for _, n := range f.Names {
					names = append(names, n.Name)
				}
			}
			for _, n := range names {
				if ast.IsExported(n) {
					all = append(all, strings.ToLower(n)+" "+t)
				}
			}
		}
	}
	return all, nil
}

func (r *reader) typeOf(importPath string, file *ast.File, e ast.Expr) (string, error) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return r.typeOf(importPath, file, e.X)
	case *ast.ArrayType:
		if id, ok := e.Elt.(*ast.Ident); ok && id.Name == "byte" {
			return "scalar", nil
		}
		t, err := r.typeOf(importPath, file, e.Elt)
		return "[]" + t, err
	case *ast.MapType:
		t, err := r.typeOf(importPath, file, e.Value)
		return "{}" + t, err
	case *ast.Ident:
		switch e.Name {
		case "string", "bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64":
			return "scalar", nil
		case "any":
			return "any", nil
		}
		if !ast.IsExported(e.Name) && r.packages[importPath].types[e.Name].spec == nil {
			return "", fmt.Errorf("unknown type %s", e.Name)
		}
		return r.named(importPath, e.Name)
	case *ast.SelectorExpr:
		imported := importOf(file, e.X.(*ast.Ident).Name, r.versions)
		if strings.HasSuffix(imported, "prometheus/discovery") && e.Sel.Name == "Configs" {
			return "discoveries", nil
		}
		// What has no tag of yaml's, such as a compiled expression, is no key.
		if t, err := r.named(imported, e.Sel.Name); err == nil || strings.HasPrefix(imported, "github.com/prometheus/") {
			return t, err
		}
		return "any", nil
	}
	return "any", nil
}

// importOf is the path that a file imports under a name.
func importOf(file *ast.File, name string, versions map[string]string) string {
	for _, i := range file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if i.Name != nil {
			if i.Name.Name == name {
				return p
			}
			continue
		}
		prefix, _, _ := module.SplitPathVersion(p)
		if base := path.Base(prefix); base == name || base == "go-"+name {
			return p
		}
	}
	return "unknown/" + name
}

// discoveries is the keys that register themselves: NAME_sd_configs.
func (r *reader) discoveries(importPath string) ([]string, error) {
	all := []string{"static_configs []static"}
	base := strings.TrimSuffix(importPath, "/config") + "/discovery"
	dir, err := r.dir(base)
	if err != nil {
		return nil, err
	}
	subs, err := filepath.Glob(filepath.Join(dir, "*", "*.go"))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, s := range subs {
		dirs = append(dirs, path.Base(filepath.Dir(s)))
	}
	for _, d := range slices.Compact(dirs) {
		if d == "install" || d == "refresh" || d == "targetgroup" {
			continue
		}
		s, err := r.load(base + "/" + d)
		if err != nil {
			return nil, err
		}
		var found []string
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
					if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "RegisterConfig" {
						found = append(found, baseName(call.Args[0].(*ast.UnaryExpr).X.(*ast.CompositeLit).Type))
					}
				}
				return true
			})
		}
		for _, name := range found {
			t, err := r.named(base+"/"+d, name)
			if err != nil {
				return nil, err
			}
			ret := s.methods[name+".Name"].Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit).Value
			key, err := strconv.Unquote(ret)
			if err != nil {
				return nil, err
			}
			all = append(all, key+"_sd_configs []"+t)
		}
	}
	return all, nil
}

func (r *reader) write(out, read io.Writer) {
	for _, mod := range slices.Sorted(maps.Keys(r.used)) {
		fmt.Fprintf(read, "# read: %s %s %s\n", r.recipe, mod, r.versions[mod])
	}
	for _, name := range slices.Sorted(maps.Keys(r.structs)) {
		if name == "static" && r.recipe != "prometheus" {
			continue
		}
		fmt.Fprintf(out, "struct %s\n", name)
		for _, f := range r.structs[name] {
			fmt.Fprintf(out, "  %s\n", f)
		}
	}
}
