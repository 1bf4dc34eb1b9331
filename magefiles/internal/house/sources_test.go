package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxLines is how long a source file may be.
const maxLines = 400

// A source is a Go file of the repository, by its path in it.
type source struct {
	name string
	text []byte
	file *ast.File
	set  *token.FileSet
}

func (s source) dir() string  { return path.Dir(s.name) }
func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// sources is every Go file but the recipes' lists of commands and what tests
// compile or read.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fsys := os.DirFS(root(t))
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == "testdata" || e.Name() == ".git" || name == "dist" || path.Dir(name) == "recipes" {
				return fs.SkipDir
			}
			return nil
		}
		// mage writes the one and removes it.
		if path.Ext(name) != ".go" || e.Name() == "mage_output_file.go" {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		s := source{name: name, text: text, set: token.NewFileSet()}
		s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d sources found", len(all))
	}
	return all
}

// The functions by which a program learns where and as whom it runs, and when.
var (
	environment = map[string][]string{
		"os":                    {"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Hostname", "UserCacheDir", "UserConfigDir", "UserHomeDir", "TempDir"},
		"os/exec":               {"LookPath"},
		"os/user":               {"Current", "Lookup", "LookupId", "LookupGroup", "LookupGroupId"},
		"syscall":               {"Getenv", "Environ", "Uname", "Gethostname"},
		"golang.org/x/sys/unix": {"Getenv", "Environ", "Uname"},
	}
	clock = map[string][]string{"time": {"Now", "Since", "Until"}}
)

// mayReadEnvironment and mayReadClock are all who may, and why. An entry that
// nothing needs is refused too.
var (
	mayReadEnvironment = map[string]string{
		"magefiles/internal/config":    "it is the one reader",
		"magefiles/internal/proxytest": "it is for tests, which need the go command",
	}
	mayReadClock = map[string]string{
		"attestations/signing/sigstoretest": "it is for tests, whose tokens expire",
		"magefiles/internal/audit":          "it bounds how long it waits for what it started",
		"magefiles/internal/command":        "it says how long a run took, and hands the clock to what signs and verifies",
		"magefiles/internal/console":        "it shows how long a stage takes",
		"magefiles/internal/pipeline":       "it records how long a stage took, and when a cell was built, in the fields that may differ",
	}
)

func TestEnvironmentAndClock(t *testing.T) {
	for _, tt := range []struct {
		what      string
		functions map[string][]string
		allowed   map[string]string
	}{{"the environment", environment, mayReadEnvironment}, {"the clock", clock, mayReadClock}} {
		used := map[string]bool{}
		for _, s := range sources(t) {
			if s.isTest() {
				continue
			}
			for _, at := range s.uses(tt.functions) {
				used[s.dir()] = true
				if tt.allowed[s.dir()] == "" {
					t.Errorf("%s: reads %s, which is for %v alone", at, tt.what, slices.Sorted(maps.Keys(tt.allowed)))
				}
			}
		}
		for dir := range tt.allowed {
			if !used[dir] {
				t.Errorf("%s does not read %s and need not be allowed to", dir, tt.what)
			}
		}
	}
}

// uses lists where s names one of the functions, whether it calls it or not.
func (s source) uses(functions map[string][]string) (found []string) {
	names := map[string]string{} // in this file -> import path
	for _, i := range s.file.Imports {
		importPath, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(importPath)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." && functions[importPath] != nil {
			found = append(found, s.at(i)+": "+importPath+" without a name")
		}
		names[name] = importPath
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && slices.Contains(functions[names[x.Name]], selector.Sel.Name) {
			found = append(found, s.at(n)+": "+x.Name+"."+selector.Sel.Name)
		}
		return true
	})
	return found
}

func (s source) at(n ast.Node) string { return s.set.Position(n.Pos()).String() }

// The test sees what it is there to see.
func TestUses(t *testing.T) {
	const text = `package x
import (
	. "time"
	"os"
	clock "time"
	other "example.org/os"
)
var now = clock.Now
func f() { other.Getenv(""); os.Getenv(""); os.Open(""); clock.Unix(0, 0) }
`
	s := source{name: "x.go", set: token.NewFileSet()}
	var err error
	if s.file, err = parser.ParseFile(s.set, s.name, text, parser.SkipObjectResolution); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.uses(clock)); got != "[x.go:3:2: time without a name x.go:8:11: clock.Now]" {
		t.Errorf("clock: %s", got)
	}
	if got := fmt.Sprint(s.uses(environment)); got != "[x.go:9:30: os.Getenv]" {
		t.Errorf("environment: %s", got)
	}
}

func TestLength(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d", s.name, n, maxLines)
		}
	}
}

// Without the tag "go build ./..." would compile the targets; with more than
// ten lines a target would hold what belongs into a package with tests.
func TestTargets(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		if s.dir() != "magefiles" {
			continue
		}
		found++
		if !bytes.HasPrefix(s.text, []byte("//go:build mage\n")) {
			t.Errorf("%s does not begin with //go:build mage", s.name)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				if n := s.set.Position(f.Body.End()).Line - s.set.Position(f.Body.Pos()).Line - 1; n > 10 {
					t.Errorf("%s: %s has %d lines", s.at(f), f.Name.Name, n)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no target found")
	}
}

// Every package opens with what it guarantees.
func TestPackageComments(t *testing.T) {
	says := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest() {
			says[s.dir()] = says[s.dir()] || s.file.Name.Name == "main" || strings.HasPrefix(s.file.Doc.Text(), "Package "+s.file.Name.Name+" ")
		}
	}
	for dir, ok := range says {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// topLevel is what the design puts there, and what git and Go keep there.
var topLevel = []string{
	"README.md", "SECURITY.md", "go.mod", "go.sum", ".ci", ".git", ".gitattributes", ".github", ".gitignore", ".gitlab-ci.yml",
	"recipes", "patches", "magefiles", "attestations", "scripts", "dist", "release",
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top of the repository", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(root(t), "magefiles", "internal")); err != nil {
		t.Error(err)
	}
}
