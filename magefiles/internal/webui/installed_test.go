package webui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// layPackages makes node_modules as pnpm does: each package once in the
// virtual store, and symbolic links to it.
func layPackages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for where, self := range map[string]string{
		"zed@1.0.0_peer@2.0.0/node_modules/zed":   `{"name":"zed","version":"1.0.0"}`,
		"zed@1.0.0/node_modules/zed":              `{"name":"zed","version":"1.0.0"}`,
		"@s+a@2.0.0/node_modules/@s/a":            `{"name":"@s/a","version":"2.0.0","main":["odd"]}`,
		"@s+a@2.0.0/node_modules/@s/a/test/inner": `{"name":"inner","version":"9.9.9"}`,
	} {
		if err := writeBytes(dir, ".pnpm/"+where+"/package.json", []byte(self)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".pnpm/node_modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		".pnpm/zed@1.0.0/node_modules/@s": "../../@s+a@2.0.0/node_modules/@s",
		".pnpm/node_modules/zed":          "../zed@1.0.0/node_modules/zed",
		"zed":                             ".pnpm/zed@1.0.0/node_modules/zed",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInstalled(t *testing.T) {
	locked := []artifact.Package{
		{Name: "zed", Version: "1.0.0", Integrity: "z"},
		{Name: "skipped", Version: "1.0.0", Integrity: "s"},
		{Name: "@s/a", Version: "2.0.0", Integrity: "a"},
	}
	dir := layPackages(t)
	got, err := installed(dir, locked)
	if want := "[{@s/a 2.0.0 a} {zed 1.0.0 z}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
	if _, err := installed(dir, locked[:2]); err == nil || !strings.Contains(err.Error(), "@s/a@2.0.0") {
		t.Errorf("a package that no lock holds: %v", err)
	}
}

func TestHostLibs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := readELF(self)
	if err != nil {
		t.Skipf("no ELF here: %v", err)
	}
	libs, err := hostLibs(self, []string{self})
	if err != nil {
		t.Fatal(err)
	}
	if (o.interp == "") != (len(libs) == 0) {
		t.Errorf("interpreter %q, libraries %v", o.interp, libs)
	}
	seen := map[string]bool{}
	for _, l := range libs {
		seen[filepath.Base(l.path)] = true
		if info, err := os.Lstat(l.real); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s stands for %s, which is no file", l.path, l.real)
		}
	}
	for _, name := range o.needed {
		if !seen[name] {
			t.Errorf("%s is not among %v", name, libs)
		}
	}
	if _, err := findLib("libnowhere.so.1", []string{"/lib"}, o); err == nil || !strings.Contains(err.Error(), "libnowhere.so.1") {
		t.Errorf("a library that is nowhere: %v", err)
	}
	if _, err := findLib("../tmp/lib.so", []string{"/lib"}, o); err == nil {
		t.Error("a library named by a path was looked for")
	}
}

func TestFindAddons(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/addon.node", "lib.so.1", "tool", "data.bin", "text.node"} {
		content := "\x7fELF and more"
		if name == "text.node" {
			content = "text"
		}
		if err := writeBytes(dir, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := findAddons(dir)
	for i := range found {
		found[i], _ = filepath.Rel(dir, found[i])
	}
	if want := "[a/addon.node lib.so.1 tool]"; err != nil || fmt.Sprint(found) != want {
		t.Errorf("found %v, %v; want %s", found, err, want)
	}
}
