package npm

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
)

func tarball(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, h := range members {
		body := h.Uname // what a member holds, in a field that Unpack ignores
		h.Uname = ""
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func file(name, body string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Uname: body}
}

func unpackBytes(t testing.TB, data []byte) (dir string, err error) {
	t.Helper()
	tmp := t.TempDir()
	tgz := filepath.Join(tmp, "x.tgz")
	if err := os.WriteFile(tgz, data, 0o644); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(tmp, "outer", "inner")
	return dir, Unpack(tgz, dir)
}

func TestUnpack(t *testing.T) {
	dir, err := unpackBytes(t, tarball(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "package/", Mode: 0o700},
		file("package/package.json", "{}", 0o600),
		file("package/bin/deep/tool", "#!", 0o4711),
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		body string
		mode fs.FileMode
	}{"package.json": {"{}", 0o644}, "bin/deep/tool": {"#!", 0o755}} {
		full := filepath.Join(dir, name)
		data, err := os.ReadFile(full)
		if err != nil || string(data) != want.body {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
		if info, err := os.Stat(full); err != nil || info.Mode() != want.mode {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want.mode)
		}
	}
}

// The folder's name says nothing; some packers write "./" behind it, and a file twice.
func TestUnpackDropsTheFolder(t *testing.T) {
	for _, members := range [][]tar.Header{
		{file("package/./a", "a", 0o644)},
		{file("package/./a", "a", 0o644), file("package/a", "a", 0o644)},
		{file("name/a", "a", 0o644)},
		{{Typeflag: tar.TypeDir, Name: "name", Mode: 0o755}, file("name/a", "a", 0o644)},
	} {
		dir, err := unpackBytes(t, tarball(t, members...))
		if data, _ := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(data) != "a" {
			t.Errorf("%s: %q, %v", members[0].Name, data, err)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := file("package/a", "a", 0o644)
	whole := tarball(t, good)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-8] ^= 1 // in gzip's checksum
	deep := "package/" + strings.Repeat("d/", maxDepth) + "f"
	for name, data := range map[string][]byte{
		"empty":              nil,
		"not gzip":           []byte("package/a"),
		"cut short":          whole[:len(whole)/2],
		"checksum":           flipped,
		"outside":            tarball(t, good, file("other/a", "a", 0o644)),
		"a hidden folder":    tarball(t, file(".package/a", "a", 0o644)),
		"above":              tarball(t, file("../a", "a", 0o644)),
		"no prefix":          tarball(t, file("a", "a", 0o644)),
		"climbing":           tarball(t, file("package/../../a", "a", 0o644)),
		"dotted":             tarball(t, file("package/././a", "a", 0o644)),
		"dotted further in":  tarball(t, file("package/a/./b", "b", 0o644)),
		"twice, once dotted": tarball(t, good, file("package/./a", "b", 0o644)),
		"absolute":           tarball(t, file("/package/a", "a", 0o644)),
		"backslash":          tarball(t, file(`package/..\a`, "a", 0o644)),
		"twice":              tarball(t, good, file("package/a", "longer", 0o644)),
		"twice, a folder":    tarball(t, tar.Header{Typeflag: tar.TypeDir, Name: "package/a", Mode: 0o755}, good),
		"too deep":           tarball(t, file(deep, "", 0o644)),
		"symbolic link":      tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "package/a", Linkname: "/etc"}),
		"hard link":          tarball(t, good, tar.Header{Typeflag: tar.TypeLink, Name: "package/b", Linkname: "package/a"}),
		"device":             tarball(t, tar.Header{Typeflag: tar.TypeChar, Name: "package/a"}),
		"pipe":               tarball(t, tar.Header{Typeflag: tar.TypeFifo, Name: "package/a"}),
		"file as directory":  tarball(t, good, file("package/a/b", "b", 0o644)),
	} {
		dir, err := unpackBytes(t, data)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if name != "file as directory" && !errors.Is(err, ErrArchive) {
			t.Errorf("%s: %v, want ErrArchive", name, err)
		}
		if held, _ := os.ReadDir(filepath.Dir(dir)); len(held) > 1 {
			t.Errorf("%s: wrote beside its directory: %v", name, held)
		}
	}
}

func TestUnpackRefusesSize(t *testing.T) {
	// The header alone announces too much; the bytes never come.
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "package/a", Size: MaxUnpacked + 1}); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unpackBytes(t, buf.Bytes()); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v, want ErrArchive for its size", err)
	}
}

func TestUnpackWantsEmpty(t *testing.T) {
	dir, err := unpackBytes(t, tarball(t, file("package/a", "a", 0o644)))
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpack(filepath.Join(dir, "../../x.tgz"), dir); err == nil {
		t.Error("unpacked over another package")
	}
}

func TestRead(t *testing.T) {
	tgz := filepath.Join(t.TempDir(), "a.tgz")
	write := func(members ...tar.Header) {
		t.Helper()
		if err := os.WriteFile(tgz, tarball(t, members...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(file("package/a", "one", 0o644), file("package/d/b", "two", 0o644), tar.Header{Typeflag: tar.TypeDir, Name: "package/e/"})
	got, err := Read(tgz, []string{"d/b", "e", "missing"})
	if err != nil || len(got) != 1 || string(got["d/b"]) != "two" {
		t.Errorf("got %q, %v; want d/b alone", got, err)
	}
	for name, members := range map[string][]tar.Header{
		"twice":    {file("package/a", "one", 0o644), file("package/a", "two", 0o644)},
		"a link":   {file("package/a", "one", 0o644), {Typeflag: tar.TypeSymlink, Name: "package/b", Linkname: "a"}},
		"climbing": {file("package/a", "one", 0o644), file("package/../b", "", 0o644)},
	} {
		write(members...)
		if got, err := Read(tgz, []string{"a"}); !errors.Is(err, ErrArchive) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestPURL(t *testing.T) {
	for want, p := range map[string]artifact.Package{
		"pkg:npm/%40mantine/core@9.5.0":    {Name: "@mantine/core", Version: "9.5.0"},
		"pkg:npm/highlight.js@11.0.0-rc.1": {Name: "highlight.js", Version: "11.0.0-rc.1"},
		"pkg:npm/a@1.0.0%2Bbuild":          {Name: "a", Version: "1.0.0+build"},
	} {
		if got := PURL(p); got != want {
			t.Errorf("%v is %s, want %s", p, got, want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarball(f, file("package/package.json", "{}", 0o755)))
	f.Add(tarball(f, tar.Header{Typeflag: tar.TypeDir, Name: "package/d"}, file("package/d/a", "a", 0o644)))
	f.Add(tarball(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "package/a", Linkname: ".."}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, _ := unpackBytes(t, data)
		outer := filepath.Dir(dir)
		err := filepath.WalkDir(outer, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%s is of type %v", name, d.Type())
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if held, _ := os.ReadDir(outer); len(held) > 1 {
			t.Errorf("wrote beside its directory: %v", held)
		}
	})
}
