package webui

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCompressAssets(t *testing.T) {
	build := func() string {
		built, out := t.TempDir(), t.TempDir()
		for name, content := range map[string]string{
			"embed.go.tmpl":            "// licence\n\npackage ui\n\nimport \"embed\"\n\n",
			"static/m/index.html":      "<html>",
			"static/m/index.html-more": "more", // ".gz" brings it before index.html
			"static/m/assets/a-B_1.js": "script",
			"static/z.txt":             "text",
		} {
			if err := writeBytes(built, name, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := compressAssets(built, "embed.go.tmpl", out, "web/ui"); err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := build()
	want := "// licence\n\npackage ui\n\nimport \"embed\"\n\n" +
		"//go:embed static/m/assets/a-B_1.js.gz static/m/index.html-more.gz static/m/index.html.gz static/z.txt.gz\n" +
		"var EmbedFS embed.FS\n"
	if got := read(t, filepath.Join(out, "web/ui/embed.go")); got != want {
		t.Errorf("embed.go is\n%swant\n%s", got, want)
	}
	if got := gunzip(t, filepath.Join(out, "web/ui/static/m/assets/a-B_1.js.gz")); got != "script" {
		t.Errorf("compressed %q", got)
	}
	first, err := list(out)
	if err != nil || len(first) != 5 {
		t.Fatalf("%d files, %v; want the four and embed.go alone", len(first), err)
	}
	second, err := list(build())
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("%+v, then %+v", first[i], second[i])
		}
	}
}

func TestCompressAssetsRefuses(t *testing.T) {
	for name, file := range map[string]string{
		"nothing":          "other/a",
		"a space":          "static/a b",
		"a quote":          "static/a\"",
		"a pattern":        "static/[a]",
		"compressed":       "static/a.js.gz",
		"hidden":           "static/.a",
		"hidden directory": "static/.git/a",
	} {
		built := t.TempDir()
		if err := os.Mkdir(filepath.Join(built, "static"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{file, "embed.go.tmpl"} {
			if err := writeBytes(built, f, []byte("x\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := compressAssets(built, "embed.go.tmpl", t.TempDir(), "web/ui"); !errors.Is(err, errAsset) {
			t.Errorf("%s: error %v, want errAsset", name, err)
		}
	}
	built := t.TempDir()
	if err := writeBytes(built, "embed.go.tmpl", []byte("x\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(built, "static"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(built, "static", "a.txt")); err != nil {
		t.Fatal(err)
	}
	if err := compressAssets(built, "embed.go.tmpl", t.TempDir(), "web/ui"); err == nil {
		t.Error("followed a symbolic link out of what was built")
	}
}
