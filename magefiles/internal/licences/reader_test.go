package licences

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/store"
)

func newReader(t testing.TB) *Reader {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Reader{Store: s}
}

// file is a member of an archive.
type file struct{ name, content string }

// moduleOf is a module whose zip file holds files as they are named.
func moduleOf(t testing.TB, files ...file) modules.Module {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, f.content)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	m := modules.Module{
		Version: module.Version{Path: "example.org/bell", Version: "v1.0.0"}, Sum: "h1:bell=",
		Zip: filepath.Join(t.TempDir(), "bell.zip"), ZipDigest: artifact.DigestBytes(b.Bytes()),
	}
	if err := os.WriteFile(m.Zip, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func packageOf(t testing.TB, files ...file) (artifact.Package, string) {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, f.content)
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bell.tgz")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(b.Bytes())
	return artifact.Package{Name: "bell", Version: "1.0.0", Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}, name
}

// say is what matters of a Found, in a line.
func say(f Found) string {
	var texts []string
	for _, t := range f.Texts {
		texts = append(texts, t.Name)
	}
	return fmt.Sprintf("%s | unknown %s | texts %s | %s", f.Expression, strings.Join(f.Unknown, ", "), strings.Join(texts, ", "), strings.Join(f.Copyright, ", "))
}

// world is a module in which licences lie in several folders; "@MIT" stands
// for the standard text of MIT.
func world(t testing.TB) []file {
	t.Helper()
	a, err := txtar.ParseFile("testdata/module.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var files []file
	for _, f := range a.Files {
		var b strings.Builder
		for line := range strings.Lines(string(f.Data)) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "@"); ok {
				data, err := standard.ReadFile("standard/" + id + ".txt")
				if err != nil {
					t.Fatal(err)
				}
				line = string(data)
			}
			b.WriteString(line)
		}
		files = append(files, file{"example.org/bell@v1.0.0/" + f.Name, b.String()})
	}
	return files
}

func TestModule(t *testing.T) {
	m := moduleOf(t, world(t)...)
	r := newReader(t)
	found, err := r.Module(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(m.Zip)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha512.Sum512(data); found.SHA512 != hex.EncodeToString(sum[:]) {
		t.Errorf("SHA-512 is %s", found.SHA512)
	}
	for _, tt := range []struct {
		dirs []string
		want string
	}{
		{[]string{""}, "Apache-2.0 | unknown  | texts LICENSE, NOTICE | Copyright 2012 The Bell Authors"},
		{[]string{"clapper"}, "Apache-2.0 | unknown  | texts LICENSE, NOTICE | Copyright 2012 The Bell Authors"},
		{[]string{"internal/rope/knot"}, "Apache-2.0 AND MIT | unknown  | texts LICENSE, NOTICE, internal/rope/AUTHORS, internal/rope/LICENSE | Copyright (c) 2009 Carl Drum, Copyright 2012 The Bell Authors"},
		{[]string{"odd"}, " | unknown odd/LICENSE | texts LICENSE, NOTICE, odd/LICENSE | Copyright 2012 The Bell Authors"},
		{[]string{"internal"}, "Apache-2.0 | unknown  | texts LICENSE, NOTICE | Copyright 2012 The Bell Authors"},
		{nil, " | unknown  | texts  | "},
	} {
		if got := say(found.For(tt.dirs)); got != tt.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.dirs, got, tt.want)
		}
	}

	// Read once: what is found again needs no zip file, and is the same.
	if err := os.Remove(m.Zip); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Reader{r, {Store: r.Store}} {
		again, err := r.Module(t.Context(), m)
		if err != nil || say(again) != say(found) || again.Texts[0].Content != found.Texts[0].Content || again.Texts[0].Content == "" {
			t.Errorf("again: %s, %v", say(again), err)
		}
	}
}

// Where no text names a holder of copyright, the heads of the linked sources do.
func TestHeads(t *testing.T) {
	apache, _ := standard.ReadFile("standard/Apache-2.0.txt")
	const at = "example.org/bell@v1.0.0/"
	found, err := newReader(t).Module(t.Context(), moduleOf(t,
		file{at + "LICENSE", string(apache)},
		file{at + "bell.go", "// Copyright 2012 The Bell Authors\npackage bell\n"},
		file{at + "bell_test.go", "// Copyright 2013 Test Author\npackage bell\n"},
		file{at + "rope/rope.go", "/*\n * Copyright 2014 Rope Inc.\n */\n" + strings.Repeat("// x\n", headSize) + "// Copyright 2015 Too Late\n"},
		file{at + "drum/LICENSE", "Copyright 2016 Carl Drum\n\n" + string(apache)},
		file{at + "drum/drum.go", "// Copyright 2017 Carl Drum\n"},
		file{at + "doc.txt", "Copyright 2018 Doc\n"},
	))
	if err != nil {
		t.Fatal(err)
	}
	for dirs, want := range map[string]string{
		"":          "Copyright 2012 The Bell Authors",
		"rope":      "Copyright 2014 Rope Inc.",
		"drum":      "Copyright 2016 Carl Drum",
		"rope drum": "Copyright 2014 Rope Inc., Copyright 2016 Carl Drum",
	} {
		if got := strings.Join(found.For(strings.Split(dirs, " ")).Copyright, ", "); got != want {
			t.Errorf("%q: %s, want %s", dirs, got, want)
		}
	}
}

func TestModuleRefuses(t *testing.T) {
	const at = "example.org/bell@v1.0.0/"
	mit := standardText(t, "MIT")
	for _, tt := range []struct {
		name  string
		files []file
		want  string
	}{
		{"a file of another module", []file{{"example.org/drum@v1.0.0/LICENSE", mit}}, `holds "example.org/drum@v1.0.0/LICENSE"`},
		{"a file that leads out", []file{{at + "../LICENSE", mit}}, "no file of the module"},
		{"a licence twice", []file{{at + "LICENSE", mit}, {at + "LICENSE", mit}}, "file LICENSE is there twice"},
		{"a licence without end", []file{{at + "LICENSE", strings.Repeat("x", maxText+1)}}, "LICENSE is larger than"},
		{"a notice without end", []file{{at + "NOTICE", strings.Repeat("x", maxText+1)}}, "NOTICE is larger than"},
		{"package.json without end", []file{{at + "package.json", strings.Repeat(" ", maxMetadata+1)}}, "package.json is larger than"},
		{"package.json is none", []file{{at + "package.json", "[]"}}, "package.json: json:"},
	} {
		_, err := newReader(t).Module(t.Context(), moduleOf(t, tt.files...))
		if !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "example.org/bell") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	m := moduleOf(t, file{at + "LICENSE", mit})
	m.ZipDigest = artifact.DigestBytes(nil)
	if _, err := newReader(t).Module(t.Context(), m); !errors.Is(err, modules.ErrChanged) || !strings.Contains(err.Error(), m.Zip) {
		t.Errorf("changed: %v", err)
	}
	if err := os.WriteFile(m.Zip, []byte("not a zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.ZipDigest = artifact.DigestBytes([]byte("not a zip"))
	if _, err := newReader(t).Module(t.Context(), m); !errors.Is(err, ErrSource) {
		t.Errorf("no zip: %v", err)
	}
	if _, err := newReader(t).Module(t.Context(), modules.Module{Zip: m.Zip + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestDir(t *testing.T) {
	fsys := fstest.MapFS{
		"LICENSE":         {Data: []byte(standardText(t, "BSD-3-Clause"))},
		"src/fmt/x.go":    {Data: []byte("// Copyright 2019 Nobody\n")},
		"src/odd/LICENSE": {Data: []byte("All rights reserved.")},
		"link":            {Mode: os.ModeSymlink, Data: []byte("/etc/passwd")},
	}
	found, err := newReader(t).Dir(t.Context(), "go h1:x", fsys)
	if err != nil {
		t.Fatal(err)
	}
	if got := say(found.For([]string{"src/fmt"})); got != "BSD-3-Clause | unknown  | texts LICENSE | Copyright (c) 2020 Ada Bell" {
		t.Errorf("got %s", got)
	}
	if !slices.Equal(found.Unknown, []string{"src/odd/LICENSE"}) || found.SHA512 != "" {
		t.Errorf("got %+v", found)
	}
}

// What was kept and changed since is refused, not passed on.
func TestStoredTextChanged(t *testing.T) {
	m := moduleOf(t, world(t)...)
	r := newReader(t)
	if _, err := r.Module(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(r.Store.Dir("steps", step) + "/*/files/*")
	if err != nil || len(kept) == 0 {
		t.Fatalf("%q, %v", kept, err)
	}
	for _, name := range kept {
		if err := os.WriteFile(name, []byte("Do as you like."), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (&Reader{Store: r.Store}).Module(t.Context(), m); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// The step's name is part of what is kept: another form of Found under the same
// name would be filled from what older programs left, and lack what is new.
func TestStepFollowsForm(t *testing.T) {
	form := fmt.Sprintf("%v %v %v %v", reflect.TypeFor[Found](), fields(reflect.TypeFor[Found]()), fields(reflect.TypeFor[Text]()), fields(reflect.TypeFor[Head]()))
	const want = "licences.Found [expression unknown texts copyright declared author homepage sha256 sha512 heads] [name notice told licences copyright digest -] [dir copyright tags]"
	if form != want || step != "licence-4" {
		t.Errorf("form of what is kept and step %s do not belong together: raise the step and note the form here\ngot  %s\nwant %s", step, form, want)
	}
}

func fields(of reflect.Type) []string {
	var all []string
	for f := range of.NumField() {
		if of.Field(f).IsExported() { // others are not kept
			all = append(all, of.Field(f).Tag.Get("json"))
		}
	}
	return all
}
