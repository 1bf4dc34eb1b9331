package webui

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func packed(t testing.TB, content string) string {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[]byte(%q)", buf.String())
}

// vfs is a vfsgen file that holds entries, as vfsgen writes one.
func vfs(entries ...string) string {
	return "package asset\n\nimport \"time\"\n\nvar Assets = func() http.FileSystem {\n\tfs := vfsgen۰FS{\n" +
		strings.Join(entries, "\n") + "\n\t}\n\treturn fs\n}()\n"
}

const modTime = "modTime: time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)"

func vfsDir(name, base string) string {
	return fmt.Sprintf("%q: &vfsgen۰DirInfo{name: %q, %s},", name, base, modTime)
}

func vfsPlain(name, base, content string) string {
	return fmt.Sprintf("%q: &vfsgen۰FileInfo{name: %q, %s, content: []byte(%q)},", name, base, modTime, content)
}

func vfsPacked(name, base string, size int, content string) string {
	return fmt.Sprintf("%q: &vfsgen۰CompressedFileInfo{name: %q, %s, uncompressedSize: %d, compressedContent: %s},", name, base, modTime, size, content)
}

func TestReadVFS(t *testing.T) {
	files, err := readVFS([]byte(vfs(
		vfsDir("/", "/"),
		vfsDir("/static", "static"),
		vfsPlain("/static/font.woff2", "font.woff2", "\x00\xff not UTF-8"),
		vfsPacked("/static/a.js", "a.js", 6, packed(t, "script")),
	)))
	if err != nil {
		t.Fatal(err)
	}
	want := []vfsFile{{"static/a.js", []byte("script")}, {"static/font.woff2", []byte("\x00\xff not UTF-8")}}
	if fmt.Sprintf("%q", files) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q, want %q", files, want)
	}
}

func TestReadVFSRefuses(t *testing.T) {
	script := packed(t, "script")
	bomb := packed(t, strings.Repeat("\x00", 1<<20))
	for name, src := range map[string]string{
		"not Go":                "var",
		"no file system":        "package asset\n",
		"two file systems":      vfs() + "var other = vfsgen۰FS{}\n",
		"of another type":       vfs(`"/a": &other{name: "a"},`),
		"a value, not pointer":  vfs(`"/a": vfsgen۰FileInfo{name: "a", content: []byte("a")},`),
		"unknown field":         vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: []byte("a"), mode: 1},`),
		"field twice":           vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: []byte("a"), content: []byte("b")},`),
		"nameless field":        vfs(`"/a": &vfsgen۰FileInfo{"a", modTime, []byte("a")},`),
		"computed content":      vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: read("/etc/passwd")},`),
		"joined content":        vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: []byte("a" + b)},`),
		"an array":              vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: [1]byte("a")},`),
		"another base name":     vfs(vfsPlain("/a", "b", "a")),
		"relative":              vfs(vfsPlain("a", "a", "a")),
		"climbing":              vfs(vfsPlain("/../a", "a", "a")),
		"not clean":             vfs(vfsPlain("/x//a", "a", "a")),
		"the root as a file":    vfs(vfsPlain("/", "/", "a")),
		"twice":                 vfs(vfsPlain("/a", "a", "a"), vfsPlain("/a", "a", "b")),
		"size too small":        vfs(vfsPacked("/a", "a", 5, script)),
		"size too large":        vfs(vfsPacked("/a", "a", 7, script)),
		"negative size":         vfs(vfsPacked("/a", "a", -1, script)),
		"decompresses to more":  vfs(vfsPacked("/a", "a", 10, bomb)),
		"beyond the bound":      vfs(vfsPacked("/a", "a", maxAsset+1, bomb)),
		"not compressed":        vfs(vfsPacked("/a", "a", 1, `[]byte("a")`)),
		"entry without a name":  vfs(`&vfsgen۰FileInfo{name: "a", content: []byte("a")},`),
		"name not a constant":   vfs(`name: &vfsgen۰FileInfo{name: "a", content: []byte("a")},`),
		"directory with a file": vfs(`"/a": &vfsgen۰DirInfo{name: "a", content: []byte("a")},`),
	} {
		if files, err := readVFS([]byte(src)); !errors.Is(err, errVFS) || files != nil {
			t.Errorf("%s: %d files, error %v; want a refusal", name, len(files), err)
		}
	}
}

func FuzzReadVFS(f *testing.F) {
	f.Add([]byte(vfs(vfsDir("/", "/"), vfsPlain("/a.woff", "a.woff", "a"), vfsPacked("/a.js", "a.js", 6, packed(f, "script")))))
	f.Add([]byte(vfs(`"/a": &vfsgen۰FileInfo{name: "a", content: []byte("a" + "b")},`)))
	f.Fuzz(func(t *testing.T, src []byte) {
		files, err := readVFS(src)
		if err != nil && (files != nil || !errors.Is(err, errVFS)) {
			t.Errorf("%d files with error %v", len(files), err)
		}
		for i, file := range files {
			if strings.HasPrefix(file.Name, "/") || strings.Contains("/"+file.Name+"/", "/../") {
				t.Errorf("name %q is not below the root", file.Name)
			}
			if i > 0 && file.Name <= files[i-1].Name {
				t.Errorf("name %q is out of order", file.Name)
			}
		}
	})
}
