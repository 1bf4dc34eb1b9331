package repro

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"palisade/attestations/imagetest"
)

var epoch = time.Unix(1750000000, 0).UTC()

// A file of an archive to plant differences in.
type planted struct {
	name, content string
	mode          int64
	mtime         time.Time
	owner         string
	uid           int
}

func files() []planted {
	return []planted{
		{"app/LICENSE", "licence\n", 0o644, epoch, "", 0},
		{"app/app", "#!/bin/sh\necho 1\n", 0o755, epoch, "", 0},
		{"app/app.yml", "key: value\n" + settings, 0o644, epoch, "", 0},
	}
}

func tarOf(t testing.TB, list []planted) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range list {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: f.mtime, Uid: f.uid, Uname: f.owner, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipOf(t testing.TB, data []byte, level int, change func(*gzip.Header)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, level)
	if err != nil {
		t.Fatal(err)
	}
	// Without this the writer puts a time before 1970 into 32 bits.
	w.ModTime = time.Unix(0, 0)
	if change != nil {
		change(&w.Header)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipOf(t testing.TB, list []planted, level int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, level) })
	for _, f := range list {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: f.mtime, Comment: f.owner}
		h.SetMode(os.FileMode(f.mode))
		m, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(m, f.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// pair writes two files of one name into two directories.
func pair(t testing.TB, name string, a, b []byte) (string, string) {
	t.Helper()
	root := t.TempDir()
	pathA, pathB := filepath.Join(root, "a", name), filepath.Join(root, "b", name)
	for path, data := range map[string][]byte{pathA: a, pathB: b} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pathA, pathB
}

func later(s string) string { return strings.Replace(s, ":05Z", ":06Z", 1) }

func elsewhere(s string) string { return strings.Replace(s, "/home/builder", "/home/other", 1) }

// Each cause is planted in one archive and reported of the member that it was
// planted in, and of no other.
func TestArchives(t *testing.T) {
	tests := []struct {
		name   string
		change func([]planted) []planted
		want   []string
		zip    []string // where zip says it otherwise
		causes []Cause
	}{
		{
			"missing", func(l []planted) []planted { return l[:2] },
			[]string{"x!app/app.yml: member only in the first build\n"}, nil, []Cause{Unknown},
		},
		{
			"extra", func(l []planted) []planted { return append(l, planted{"app/extra", "x", 0o644, epoch, "", 0}) },
			[]string{"x!app/extra: member only in the second build\n"}, nil, []Cause{Unknown},
		},
		{
			"twice", func(l []planted) []planted { return append(l, l[0]) },
			[]string{"x!app/LICENSE: member only in the second build\n"}, nil, []Cause{Unknown},
		},
		{
			"order", func(l []planted) []planted { l[0], l[1] = l[1], l[0]; return l },
			[]string{"x!app/LICENSE: order: the second build has \"app/app\" in its place\n"}, nil, []Cause{Order},
		},
		{
			"mode", func(l []planted) []planted { l[1].mode = 0o644; return l },
			[]string{"x!app/app: file mode: 0755 in the first build, 0644 in the second\n"},
			[]string{"x!app/app: file mode: -rwxr-xr-x (attributes 0x81ed0000) in the first build, -rw-r--r-- (attributes 0x81a40000) in the second\n"}, []Cause{FileMode},
		},
		{
			"mtime", func(l []planted) []planted { l[1].mtime = epoch.Add(2 * time.Second); return l },
			[]string{"x!app/app: time stamp: 2025-06-15T15:06:40Z in the first build, 2025-06-15T15:06:42Z in the second\n"}, nil, []Cause{TimeStamp},
		},
		{
			"owner", func(l []planted) []planted { l[1].owner, l[1].uid = "builder", 1000; return l },
			[]string{"x!app/app: owner: 0/0 \"\"/\"\" in the first build, 1000/0 \"builder\"/\"\" in the second\n"},
			[]string{"x!app/app: comment: \"\" in the first build, \"builder\" in the second\n"}, []Cause{Owner},
		},
		{
			"content", func(l []planted) []planted { l[1].content = "#!/bin/sh\necho 2\n"; return l },
			[]string{"x!app/app at byte 15: content differs; \"echo 1\" and \"echo 2\"\n"}, nil, []Cause{Unknown},
		},
		{
			"time in the content", func(l []planted) []planted { l[2].content = later(l[2].content); return l },
			[]string{`x!app/app.yml at byte 36: time stamp: "2026-01-02T03:04:05Z" in the first build, "2026-01-02T03:04:06Z" in the second` + "\n"}, nil, []Cause{TimeStamp},
		},
		{
			"path in the content", func(l []planted) []planted { l[2].content = elsewhere(l[2].content); return l },
			[]string{`x!app/app.yml at byte 49: build path: "/home/builder/work" in the first build, "/home/other/work" in the second` + "\n"}, nil, []Cause{BuildPath},
		},
		{
			"both", func(l []planted) []planted { l[2].content = elsewhere(later(l[2].content)); return l },
			[]string{"x!app/app.yml at byte 36: time stamp: ", "x!app/app.yml at byte 49: build path: "}, nil, []Cause{BuildPath, TimeStamp},
		},
		{
			"one, and something else", func(l []planted) []planted {
				l[2].content = later(strings.Replace(l[2].content, "value", "other", 1))
				return l
			},
			[]string{"x!app/app.yml at byte 36: time stamp: ", `x!app/app.yml at byte 5: content differs; "key: value" and "key: other"` + "\n"}, nil, []Cause{TimeStamp, Unknown},
		},
		{
			"one of a line that differs in more", func(l []planted) []planted {
				l[2].content = later(strings.Replace(l[2].content, "built", "made", 1))
				return l
			},
			[]string{`x!app/app.yml at byte 11: content differs`}, nil, []Cause{Unknown},
		},
		{
			"a line more, which has a time", func(l []planted) []planted { l[2].content += "at: 2026-01-02\n"; return l },
			[]string{`x!app/app.yml at byte 62: content differs`}, nil, []Cause{Unknown},
		},
		{
			"the order of lines", func(l []planted) []planted { l[2].content = settings + "key: value\n"; return l },
			[]string{`x!app/app.yml at byte 0: order: the lines are the same in both`}, nil, []Cause{Order},
		},
		{
			"renamed", func(l []planted) []planted { l[2].name = "app/a\x1b[2J"; return l },
			[]string{"x!app/app.yml: member only in the first build\n", `x!app/a\x1b[2J: member only in the second build` + "\n"}, nil, []Cause{Unknown},
		},
	}
	for _, tt := range tests {
		if tt.zip == nil {
			tt.zip = tt.want
		}
		for format, make := range map[string]func([]planted) []byte{
			"tar":    func(l []planted) []byte { return tarOf(t, l) },
			"tar.gz": func(l []planted) []byte { return gzipOf(t, tarOf(t, l), 6, nil) },
			"zip":    func(l []planted) []byte { return zipOf(t, l, 6) },
		} {
			t.Run(tt.name+" "+format, func(t *testing.T) {
				want := tt.want
				if format == "zip" {
					want = tt.zip
				}
				a, b := pair(t, "x", make(files()), make(tt.change(files())))
				got := report(t, a, b)
				expect(t, got, want, nil)
				ds, err := Compare(a, b)
				causes := tt.causes
				if format == "zip" && tt.name == "owner" {
					causes = []Cause{Unknown} // zip has no owners: it is a comment
				}
				if err != nil || !slices.Equal(Causes(ds), causes) {
					t.Errorf("%q, %v, want %q", Causes(ds), err, causes)
				}
				// zip has a second place for times, and reports that too.
				if lines := bytes.Count([]byte(got), []byte("\n")); lines != len(want) && !(format == "zip" && tt.name == "mtime") {
					t.Errorf("%d differences, want %d:\n%s", lines, len(want), got)
				}
			})
		}
	}
}

// The same content, packed differently, is told from different content.
func TestPacking(t *testing.T) {
	long := files()
	long[2].content = string(bytes.Repeat([]byte("abcabcabd "), 4000))
	inner := tarOf(t, long)
	padded := append(append([]byte{}, inner...), make([]byte, 512)...)
	plain := gzipOf(t, inner, 6, nil)
	tests := []struct {
		name      string
		a, b      []byte
		want, not []string
		causes    []Cause
	}{
		{
			"compression level", gzipOf(t, inner, 1, nil), gzipOf(t, inner, 9, nil),
			[]string{"compression: only gzip's own bytes differ, the content is equal"}, []string{"member", "app/"}, []Cause{Compression},
		},
		{
			"time in the gzip header", plain, gzipOf(t, inner, 6, func(h *gzip.Header) { h.ModTime = epoch }),
			[]string{"x [gzip header]: time stamp: none in the first build, 2025-06-15T15:06:40Z in the second"}, []string{"app/"}, []Cause{TimeStamp},
		},
		{
			"name in the gzip header", plain, gzipOf(t, inner, 6, func(h *gzip.Header) { h.Name = "x.tar" }),
			[]string{`x [gzip header]: compression: name "" in the first build, name "x.tar" in the second`}, []string{"app/"}, []Cause{Compression},
		},
		{
			"padding of the tar", plain, gzipOf(t, padded, 6, nil),
			[]string{"encoding: every member is equal"}, []string{"app/"}, []Cause{Encoding},
		},
		{
			"compression level of a zip", zipOf(t, long, 1), zipOf(t, long, 9),
			[]string{"x!app/LICENSE: compression: bytes "}, []string{"content differs"}, []Cause{Compression},
		},
		{
			"something behind the records of a zip", zipOf(t, long, 6), append(zipOf(t, long, 6), 0),
			[]string{"encoding: every member is equal"}, nil, []Cause{Encoding},
		},
		{
			"gzip of something else", gzipOf(t, []byte("echo 1\n"), 6, nil), gzipOf(t, []byte("echo 2\n"), 6, nil),
			[]string{`x!(content) at byte 5: content differs; "echo 1" and "echo 2"`}, nil, []Cause{Unknown},
		},
		{
			"cut off", plain, plain[:len(plain)-9],
			[]string{"cannot be unpacked to compare: ends before its content does"}, nil, []Cause{Unknown},
		},
		{
			"tar and zip", tarOf(t, long), zipOf(t, long, 6),
			[]string{"kind of file: tar in the first build, zip in the second"}, nil, []Cause{Unknown},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, "x", tt.a, tt.b)
			expect(t, report(t, a, b), tt.want, tt.not)
			if ds, err := Compare(a, b); err != nil || !slices.Equal(Causes(ds), tt.causes) {
				t.Errorf("%q, %v, want %q", Causes(ds), err, tt.causes)
			}
		})
	}
}

// Two different byte strings never compare equal, whatever they pretend to
// be; equal ones always do.
func FuzzCompare(f *testing.F) {
	seed := files()
	other := files()
	other[1].content = "x"
	f.Add(tarOf(f, seed), tarOf(f, other))
	f.Add(gzipOf(f, tarOf(f, seed), 6, nil), gzipOf(f, tarOf(f, other), 1, nil))
	f.Add(zipOf(f, seed, 6), zipOf(f, other, 9))
	f.Add(zipOf(f, seed, 6), zipOf(f, seed, 9))
	f.Add([]byte(`{"a":[1,2,{"b":"2026-01-02"}]}`), []byte(`{"a":[1,2,{"b":"2026-01-03"}]}`))
	f.Add([]byte(`{"a":1}`), []byte(`{"a": 1}`))
	f.Add([]byte("\x7fELF\x02\x01\x01"), []byte("\x7fELF\x01\x01\x01"))
	f.Add([]byte("MZ"), []byte("MZ\x00"))
	f.Add([]byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01"), []byte("\xcf\xfa\xed\xfe\x07\x00\x00\x02"))
	f.Add([]byte(""), []byte("\x00"))
	later := picture()
	later.Epoch++
	f.Add(picture().Build().Tar(), later.Build().Tar())
	f.Add(picture().Build().Tar(), picture().Build().Tar(imagetest.File("blobs/sha256/x", 0o644, "")))
	lim := limits{differences: 20, files: 100, members: 100, explained: 4, unpacked: 1 << 20, member: 1 << 18, parsed: 1 << 16, depth: 3, pieces: 100, names: 1 << 12, work: 1 << 24}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c := newComparison(lim)
		if err := c.contents(place{file: "x"}, bytesContent(a), bytesContent(b)); err != nil {
			t.Fatal(err)
		}
		if equal := bytes.Equal(a, b); equal != (len(c.found) == 0) {
			t.Fatalf("equal is %v, but the report is %v", equal, c.found)
		}
		if len(c.found) > lim.differences+1 {
			t.Fatalf("%d differences", len(c.found))
		}
		for _, d := range c.found {
			if s := d.String(); d.Why == "" || bytes.ContainsAny([]byte(s), "\n\r\x1b\x00") {
				t.Fatalf("a line that is none: %q", s)
			}
		}
		again := newComparison(lim)
		again.contents(place{file: "x"}, bytesContent(b), bytesContent(b))
		if len(again.found) > 0 {
			t.Fatalf("not equal to itself: %v", again.found)
		}
	})
}
