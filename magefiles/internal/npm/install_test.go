package npm

import (
	"archive/tar"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packed is an npm tarball of files, by name.
func packed(t *testing.T, files map[string]string) string {
	t.Helper()
	var members []tar.Header
	for _, name := range slices.Sorted(maps.Keys(files)) {
		members = append(members, file("package/"+name, files[name], 0o644))
	}
	return string(tarball(t, members...))
}

// A shelf is a registry's packages, and where a lock places them.
type shelf struct {
	t       *testing.T
	content map[string]string
	placed  []Placed
}

// put places name@version, whose package.json has more in it and which has other
// files too.
func (s *shelf) put(place, name, version, more string, files ...string) *Placed {
	all := map[string]string{"package.json": `{"name": "` + name + `", "version": "` + version + `"` + more + `}`}
	for _, f := range files {
		all[f] = "of " + name + "@" + version
	}
	tarball := packed(s.t, all)
	p := Placed{LockedPackage: LockedPackage{Package: pack(name, version, tarball)}, Place: place}
	s.content["/"+TarballPath(p.Package)] = tarball
	s.placed = append(s.placed, p)
	return &s.placed[len(s.placed)-1]
}

func newShelf(t *testing.T) *shelf { return &shelf{t: t, content: map[string]string{}} }

// tree is every file below dir, without the package.json of each package.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != packageJSON {
			rel, _ := filepath.Rel(dir, name)
			data, err := os.ReadFile(name)
			names = append(names, strings.ReplaceAll(filepath.ToSlash(rel), modules, "")+": "+string(data))
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

var here = Host{"linux", "x64", "glibc"}

func TestInstall(t *testing.T) {
	s := newShelf(t)
	s.put("node_modules/a", "a", "1.0.0", "", "a.js")
	s.put("node_modules/a/node_modules/@s/b", "@s/b", "2.0.0", "", "b.js")
	s.put("node_modules/@s/b", "@s/b", "1.0.0", "", "b.js")
	s.put("node_modules/c/node_modules/@s/b", "@s/b", "2.0.0", "", "b.js") // one that lies elsewhere too
	s.put("node_modules/c", "c", "1.0.0", `, "os": "!win32"`, "c.js")
	s.put("node_modules/musl", "musl", "1.0.0", `, "os": ["linux"], "libc": ["musl"]`, "m.node").Optional = true
	s.put("node_modules/musl/node_modules/a", "a", "1.0.0", "", "a.js")
	slices.SortFunc(s.placed, func(a, b Placed) int { return strings.Compare(a.Place, b.Place) })
	c, asked := registry(t, s.content)
	dir := t.TempDir()
	kept, err := c.Install(t.Context(), s.placed, here, dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := `@s/b/b.js: of @s/b@1.0.0
a/a.js: of a@1.0.0
a/@s/b/b.js: of @s/b@2.0.0
c/c.js: of c@1.0.0
c/@s/b/b.js: of @s/b@2.0.0`; tree(t, dir) != want {
		t.Errorf("installed:\n%s\nwant:\n%s", tree(t, dir), want)
	}
	if len(kept) != 5 || asked.Load() != 5 {
		t.Errorf("%d are said to be installed, %d were fetched", len(kept), asked.Load())
	}
	if _, err := c.Install(t.Context(), s.placed, here, dir); err == nil || !strings.Contains(err.Error(), "has some already") {
		t.Errorf("over what is installed: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		put  func(s *shelf)
		want error
		says string
	}{
		"one that is not to be had": {func(s *shelf) { s.put("node_modules/a", "a", "1.0.0", ""); clear(s.content) }, nil, "the registry answered 404"},
		"another content": {func(s *shelf) {
			s.put("node_modules/a", "a", "1.0.0", "")
			s.content["/a/-/a-1.0.0.tgz"] = packed(s.t, map[string]string{"x": ""})
		}, ErrIntegrity, ""},
		"another name":    {func(s *shelf) { s.put("node_modules/a", "a", "1.0.0", `, "name": "b"`) }, ErrArchive, `it calls itself "b"@"1.0.0"`},
		"another version": {func(s *shelf) { s.put("node_modules/a", "a", "1.0.0", `, "version": "1.0.1"`) }, ErrArchive, `it calls itself "a"@"1.0.1"`},
		"no package.json": {func(s *shelf) {
			tarball := packed(s.t, map[string]string{"x": ""})
			s.content["/a/-/a-1.0.0.tgz"] = tarball
			s.placed = []Placed{{LockedPackage: LockedPackage{Package: pack("a", "1.0.0", tarball)}, Place: "node_modules/a"}}
		}, ErrArchive, "reading its package.json"},
		"one for another machine": {func(s *shelf) { s.put("node_modules/a", "a", "1.0.0", `, "cpu": ["arm64"]`) }, ErrLock, "not for linux x64, and not optional"},
		"one that was brought along": {func(s *shelf) {
			s.put("node_modules/a", "a", "1.0.0", "", "node_modules/b/index.js")
			s.put("node_modules/a/node_modules/b", "b", "1.0.0", "")
		}, ErrArchive, "has brought one along"},
		"a place twice": {func(s *shelf) {
			s.put("node_modules/a", "a", "1.0.0", "")
			s.put("node_modules/a", "a", "1.0.0", "")
		}, ErrArchive, "has brought one along"},
		"a place elsewhere": {func(s *shelf) { s.put("../a", "a", "1.0.0", "") }, nil, "escapes"},
	} {
		s := newShelf(t)
		test.put(s)
		c, _ := registry(t, s.content)
		dir := filepath.Join(t.TempDir(), "ui")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := c.Install(t.Context(), s.placed, here, dir)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %v %q", name, err, test.want, test.says)
		}
		if beside, _ := os.ReadDir(filepath.Dir(dir)); len(beside) != 1 {
			t.Errorf("%s: something lies beside the folder", name)
		}
	}
}
