package npm

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

const someIntegrity = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="

// entry is what npm writes of a package in a lock file.
func entry(name, version, more string) string {
	p := artifact.Package{Name: name, Version: version}
	return `{"version": "` + version + `", "resolved": "https://registry.npmjs.org/` + TarballPath(p) + `", "integrity": "` + someIntegrity + `"` + more + `}`
}

// packageLockOf is a lock of entries, pairs of place and entry.
func packageLockOf(entries ...string) string {
	var b strings.Builder
	b.WriteString(`{"name": "ui", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "ui", "devDependencies": {"a": "^1.0.0"}}`)
	for i := 0; i < len(entries); i += 2 {
		place, _ := json.Marshal(entries[i])
		b.WriteString(", " + string(place) + ": " + entries[i+1])
	}
	return b.String() + "}}"
}

func TestParsePackageLock(t *testing.T) {
	data, err := os.ReadFile("testdata/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePackageLock(data)
	if err != nil {
		t.Fatal(err)
	}
	p := func(place, name, version string) Placed {
		return Placed{LockedPackage: LockedPackage{Package: artifact.Package{Name: name, Version: version, Integrity: someIntegrity}}, Place: place}
	}
	binding := p("node_modules/@bundler/binding-linux-x64", "@bundler/binding-linux-x64", "1.0.0-rc.9")
	binding.OS, binding.CPU, binding.Optional = []string{"linux"}, []string{"x64"}, true
	watcher := p("node_modules/watcher", "watcher", "2.3.3")
	watcher.OS, watcher.Optional = []string{"darwin"}, true
	want := []Placed{
		binding,
		p("node_modules/bundler", "bundler", "1.0.0-rc.9"),
		p("node_modules/bundler/node_modules/@scope/glob", "@scope/glob", "4.0.3"),
		p("node_modules/glob", "glob", "2.0.0"),
		watcher,
		p("node_modules/watcher/node_modules/glob", "glob", "3.0.0"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParsePackageLockRefuses(t *testing.T) {
	a := entry("a", "1.0.0", "")
	for name, test := range map[string]struct{ lock, want string }{
		"nothing":                   {"", "EOF"},
		"another kind":              {"lockfileVersion: '9.0'", "invalid character"},
		"a list":                    {"[]", "cannot unmarshal"},
		"an older version":          {strings.Replace(packageLockOf(), ": 3,", ": 2,", 1), "lockfileVersion 2, want 3"},
		"something behind it":       {packageLockOf() + "{}", "something follows"},
		"a key twice":               {strings.Replace(packageLockOf(), `"requires"`, `"name": "x", "requires"`, 1), `key "name" is there twice`},
		"a key in other capitals":   {strings.Replace(packageLockOf(), `"requires"`, `"Packages": {}, "requires"`, 1), `key "packages" is there twice`},
		"an unknown key":            {strings.Replace(packageLockOf(), `"requires"`, `"dependencies": {}, "requires"`, 1), `unknown field "dependencies"`},
		"a place twice":             {packageLockOf("node_modules/a", a, "node_modules/a", a), `key "node_modules/a" is there twice`},
		"no project":                {`{"lockfileVersion": 3, "packages": {}}`, "no entry of the project itself"},
		"an integrity twice":        {packageLockOf("node_modules/a", entry("a", "1.0.0", `, "Integrity": "sha512-x"`)), `key "Integrity" is there twice`},
		"an unknown key of one":     {packageLockOf("node_modules/a", entry("a", "1.0.0", `, "patched": true`)), `unknown field "patched"`},
		"a link":                    {packageLockOf("node_modules/a", `{"resolved": "packages/a", "link": true}`), `unknown field "link"`},
		"a bundled package":         {packageLockOf("node_modules/a", entry("a", "1.0.0", `, "inBundle": true`)), `unknown field "inBundle"`},
		"a shrinkwrap":              {packageLockOf("node_modules/a", entry("a", "1.0.0", `, "hasShrinkwrap": true`)), `unknown field "hasShrinkwrap"`},
		"an alias":                  {packageLockOf("node_modules/b", entry("a", "1.0.0", `, "name": "a"`)), `unknown field "name"`},
		"an alias without a name":   {packageLockOf("node_modules/b", a), `is fetched from "https://registry.npmjs.org/a/-/a-1.0.0.tgz", and not from the registry as https://registry.npmjs.org/b/-/b-1.0.0.tgz`},
		"another version's tarball": {packageLockOf("node_modules/a", strings.Replace(a, "a-1.0.0.tgz", "a-1.0.1.tgz", 1)), "and not from the registry as"},
		"another registry":          {packageLockOf("node_modules/a", strings.Replace(a, "registry.npmjs.org", "registry.example", 1)), "and not from the registry as"},
		"git":                       {packageLockOf("node_modules/a", strings.Replace(a, "https://registry.npmjs.org/a/-/a-1.0.0.tgz", "git+ssh://git@example.org/a.git#0123", 1)), "and not from the registry as"},
		"no integrity":              {packageLockOf("node_modules/a", strings.Replace(a, `, "integrity": "`+someIntegrity+`"`, "", 1)), `integrity "" of a@1.0.0`},
		"a weak integrity":          {packageLockOf("node_modules/a", strings.Replace(a, someIntegrity, "sha1-z4PhNX7vuL3xVChQ1m2AB9Yg5AU=", 1)), "is not one sha512"},
		"two integrities":           {packageLockOf("node_modules/a", strings.Replace(a, someIntegrity, someIntegrity+" "+someIntegrity, 1)), "is not one sha512"},
		"no version":                {packageLockOf("node_modules/a", strings.Replace(a, `"version": "1.0.0", `, "", 1)), "is not a full semantic version"},
		"a workspace":               {packageLockOf("packages/a", a), "it is not below node_modules"},
		"a workspace's package":     {packageLockOf("packages/b/node_modules/a", a), "it is not below node_modules"},
		"no name":                   {packageLockOf("node_modules/", a), `it lies in ""`},
		"a folder in a package":     {packageLockOf("node_modules/a/b", a), `it lies in "a/b"`},
		"a hidden folder":           {packageLockOf("node_modules/.a", a), `it lies in ".a"`},
		"a way out":                 {packageLockOf("node_modules/..", a), `it lies in ".."`},
		"a way out in a scope":      {packageLockOf("node_modules/@s/..", a), `it lies in "@s/.."`},
		"an absolute place":         {packageLockOf("/node_modules/a", a), "it is not below node_modules"},
		"a place with a slash more": {packageLockOf("node_modules//a", a), `it lies in "/a"`},
		"in nothing":                {packageLockOf("node_modules/b/node_modules/a", a), "it lies in node_modules/b, where nothing is"},
		"too deep":                  {packageLockOf(strings.Repeat("node_modules/a/", 17)+"node_modules/a", a), "it lies in more than 16 others"},
		"nested too deep":           {packageLockOf("node_modules/a", entry("a", "1.0.0", `, "engines": `+strings.Repeat("[", 40)+strings.Repeat("]", 40))), "nested deeper than 32"},
		"too large":                 {strings.Repeat(" ", MaxLock+1), "larger than"},
	} {
		_, err := ParsePackageLock([]byte(test.lock))
		if !errors.Is(err, ErrLock) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, test.want)
		}
	}
}

func TestFitting(t *testing.T) {
	data, err := os.ReadFile("testdata/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ParsePackageLock(data)
	if err != nil {
		t.Fatal(err)
	}
	places := func(all []Placed) string {
		var names []string
		for _, p := range all {
			names = append(names, strings.ReplaceAll(p.Place, modules, ""))
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct {
		host Host
		want string
	}{
		{Host{"linux", "x64", "glibc"}, "@bundler/binding-linux-x64 bundler bundler/@scope/glob glob"},
		{Host{"linux", "arm64", "glibc"}, "bundler bundler/@scope/glob glob"},
		{Host{"darwin", "arm64", ""}, "bundler bundler/@scope/glob glob watcher watcher/glob"},
	} {
		got, err := Fitting(all, tt.host)
		if err != nil || places(got) != tt.want {
			t.Errorf("on %v: %s, %v; want %s", tt.host, places(got), err, tt.want)
		}
	}
	all[0].Optional = false
	if _, err := Fitting(all, Host{"darwin", "arm64", ""}); !errors.Is(err, ErrLock) || !strings.Contains(err.Error(), "binding-linux-x64 is not for darwin arm64, and not optional") {
		t.Errorf("one that is needed: %v", err)
	}
}

// Whatever is read has places that are npm's, each once, and contents that are
// pinned.
func FuzzParsePackageLock(f *testing.F) {
	data, err := os.ReadFile("testdata/package-lock.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	for _, s := range []string{"", "{}", packageLockOf(), packageLockOf("node_modules/a", entry("a", "1.0.0", "")), `{"lockfileVersion":3,"packages":{"":null,"node_modules/a":null}}`, "[[[["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lock string) {
		all, err := ParsePackageLock([]byte(lock))
		if err != nil {
			if !errors.Is(err, ErrLock) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		for i, p := range all {
			if i > 0 && all[i-1].Place >= p.Place {
				t.Errorf("%q is there twice or out of order", p.Place)
			}
			if !strings.HasSuffix(p.Place, modules+p.Name) || strings.Contains(p.Place, "..") && !strings.Contains(p.Name, "..") {
				t.Errorf("%s lies at %q", p.Name, p.Place)
			}
			if _, err := check(p.Package); err != nil {
				t.Error(err)
			}
		}
	})
}
