package upstream

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

var epoch = known().Recipe.Released

// An entry is one to pack.
type entry struct {
	tar.Header
	content string
}

func plain(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: epoch}, content}
}

func folder(name string) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch}, ""}
}

const (
	here  = "bell-1.2.3-vanilla.linux-amd64"
	there = "bell-1.2.3.linux-amd64"
)

// released is what lies in an archive of either side.
func released(dir string) []entry {
	return []entry{folder(dir), plain(dir+"/LICENSE", "licence\n"), plain(dir+"/bell.yml", "key: value\n")}
}

func tarGz(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		must(t, w.WriteHeader(&e.Header))
		_, err := io.WriteString(w, e.content)
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return buf.Bytes()
}

func zipped(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.Name, Method: zip.Deflate, Modified: e.ModTime}
		h.SetMode(e.FileInfo().Mode())
		m, err := w.CreateHeader(h)
		must(t, err)
		_, err = io.WriteString(m, e.content)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func archiveOf(data []byte) Archive { return Archive{bytes.NewReader(data), int64(len(data))} }

func lines(r Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.String())
	}
	return all
}

// What lies in the archives is compared by name, below their folders.
func TestMembers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		theirs func() []entry
		want   []string // how findings begin
	}{
		{"alike", func() []entry { return released(here) }, nil},
		{"as upstream calls it", func() []entry { return released(there) }, []string{"folder: " + here + " here, " + there + " there: variant"}},
		{"another version", func() []entry { return released("bell-1.2.4.linux-amd64") }, []string{"folder: " + here + " here, bell-1.2.4.linux-amd64 there: unexplained"}},
		{"another platform", func() []entry { return released("bell-1.2.3.linux-arm64") }, []string{"folder: " + here + " here, bell-1.2.3.linux-arm64 there: unexplained"}},
		{
			"another configuration", func() []entry { l := released(here); l[2].content = "key: other\n"; return l },
			[]string{"bell.yml: content: 11 bytes, sha256 "},
		},
		{"less", func() []entry { return released(here)[:2] }, []string{"bell.yml: member: 11 bytes, sha256 "}},
		{"more", func() []entry { return append(released(here), plain(here+"/install.sh", "")) }, []string{"install.sh: member: none here, 0 bytes, sha256 e3b0c44298fc there: unexplained"}},
		{"its own licences", func() []entry { return append(released(here), plain(here+"/THIRD_PARTY_LICENSES", "")) }, []string{"THIRD_PARTY_LICENSES: member: none here, 0 bytes, sha256 e3b0c44298fc there: unexplained"}},
		{"run bit", func() []entry { l := released(here); l[2].Mode = 0o755; return l }, []string{"bell.yml: may be run: false here, true there: unexplained"}},
		{
			"promu's packing", func() []entry {
				l := released(here)
				for i := range l {
					l[i].ModTime, l[i].Uname, l[i].Gname, l[i].Uid, l[i].Format = epoch.Add(time.Duration(i)*time.Hour), "root", "root", 1001, tar.FormatGNU
					l[i].Mode = l[i].Mode | 0o020
				}
				slices.Reverse(l)
				return l
			},
			[]string{
				"times of members: 2026-01-02T03:04:05Z here, 2026-01-02T03:04:05Z, 2026-01-02T04:04:05Z, 2026-01-02T05:04:05Z there: packing",
				"owners of members: 0/0 here, 1001/0 root/root there: packing", "modes of members: 0644, 0755 here, 0664, 0775 there: packing",
			},
		},
		{"packed before the release", func() []entry { l := released(here); l[2].ModTime = epoch.Add(-time.Hour); return l }, []string{"times of members: 2026-01-02T03:04:05Z here, 2026-01-02T02:04:05Z, 2026-01-02T03:04:05Z there: unexplained"}},
		{"a run bit for whoever owns it", func() []entry { l := released(here); l[1].Mode = 0o4644; return l }, []string{"modes of members: 0644, 0755 here, 0644, 0755, 4644 there: packing", "LICENSE: grants: none here, mode 4644 there: unexplained"}},
		{"to be written by everybody", func() []entry { l := released(here); l[0].Mode = 0o777; return l }, []string{"modes of members: 0644, 0755 here, 0644, 0777 there: packing", ".: grants: none here, mode 0777 there: unexplained"}},
		{"capabilities", func() []entry {
			l := released(here)
			l[1].PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01", "comment": "x"}
			return l
		}, []string{"LICENSE: grants: none here, attributes SCHILY.xattr.security.capability there: unexplained"}},
		{"an empty folder", func() []entry { return append(released(here), folder(here+"/spool")) }, []string{"spool: folder: none here, there there: unexplained"}},
		{"a file in a folder", func() []entry { return append(released(here), plain(here+"/a/b/c", "")) }, []string{"a/b/c: member: none here, 0 bytes, sha256 e3b0c44298fc there: unexplained", "a: folder: none", "a/b: folder: none"}},
		{"a folder that needs no entry", func() []entry { return released(here)[1:] }, []string{"modes of members: 0644, 0755 here, 0644 there: packing"}},
		{"what is not built any more", func() []entry { return append(released(here), plain(here+"/npm_licenses.tar.bz2", "")) }, []string{"npm_licenses.tar.bz2: member: none here, 0 bytes, sha256 e3b0c44298fc there: unexplained"}},
		{"a link", func() []entry {
			l := released(here)
			l[2] = entry{tar.Header{Typeflag: tar.TypeSymlink, Name: l[2].Name, Linkname: "LICENSE", Mode: 0o644, ModTime: epoch}, ""}
			return l
		}, []string{"bell.yml: content: 11 bytes, sha256 "}},
		{"a name that moves the cursor", func() []entry { return append(released(here), plain(here+"/\x1b[2J", "")) }, []string{`\x1b[2J: member: none here`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Compare(archiveOf(tarGz(t, released(here)...)), archiveOf(tarGz(t, tt.theirs()...)), known())
			if err != nil {
				t.Fatal(err)
			}
			got := lines(r)
			if len(got) != len(tt.want) {
				t.Fatalf("%q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("%q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
	// What ours has more, and in what form.
	ours := append(released(here), plain(here+"/THIRD_PARTY_LICENSES", "texts"))
	theirs := released(there)
	r, err := Compare(archiveOf(zipped(t, ours...)), archiveOf(tarGz(t, theirs...)), known())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.What+" "+f.Member+": "+string(f.Reason))
	}
	want := []string{"folder : variant", "owners of members : packing", "member THIRD_PARTY_LICENSES: licences"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// An archive that is none, or that no release is, is refused.
func TestRefused(t *testing.T) {
	good := tarGz(t, released(here)...)
	many := released(here)
	for i := range maxMembers {
		many = append(many, plain(here+"/"+strings.Repeat("a", i%50+1)+strings.Repeat("b", i/50), ""))
	}
	deep := here + strings.Repeat("/a", maxDepth+1)
	behind := func() []byte {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		first, second := unzipped(t, good), unzipped(t, tarGz(t, plain(here+"/behind", "")))
		_, err := z.Write(append(first, second...))
		must(t, err)
		must(t, z.Close())
		return buf.Bytes()
	}
	crowded := func() []byte {
		var l []entry
		for i := range 2 * maxMembers {
			l = append(l, plain(here+"/"+strings.Repeat("a", 1000)+string(rune('a'+i%26))+strings.Repeat("b", i/26), ""))
		}
		return zipped(t, l...)
	}
	device := entry{tar.Header{Typeflag: tar.TypeChar, Name: here + "/null"}, ""}
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, ErrArchive},
		{"text", []byte("#!/bin/sh\n"), ErrArchive},
		{"an empty archive", tarGz(t), ErrArchive},
		{"an empty zip archive", zipped(t), ErrArchive},
		{"cut off", good[:len(good)-9], ErrArchive},
		{"cut off in the middle", good[:len(good)/2], ErrArchive},
		{"another byte", append(bytes.Clone(good[:len(good)-6]), append([]byte{good[len(good)-6] ^ 1}, good[len(good)-5:]...)...), ErrArchive},
		{"no zip archive", []byte("PK\x03\x04"), ErrArchive},
		{"two folders", tarGz(t, append(released(here), released(there)...)...), ErrArchive},
		{"no folder", tarGz(t, plain("LICENSE", "")), ErrArchive},
		{"a name twice", tarGz(t, append(released(here), released(here)...)...), ErrArchive},
		{"a name twice, in capitals", tarGz(t, append(released(here), plain(here+"/license", ""))...), ErrArchive},
		{"a name that leads out", tarGz(t, plain(here+"/../../etc/passwd", "")), ErrArchive},
		{"an absolute name", tarGz(t, plain("/etc/passwd", "")), ErrArchive},
		{"a device", tarGz(t, append(released(here), device)...), ErrArchive},
		{"a name with a backslash", tarGz(t, plain(here+`/..\..\x`, "")), ErrArchive},
		{"a file that holds a file", tarGz(t, append(released(here), plain(here+"/LICENSE/x", ""))...), ErrArchive},
		{"a link that holds a file", tarGz(t, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: here + "/up", Linkname: "/"}, ""}, plain(here+"/up/x", "")), ErrArchive},
		{"members behind its end", behind(), ErrArchive},
		{"another archive behind it", append(bytes.Clone(good), good...), ErrArchive},
		{"a name that is too long", tarGz(t, plain(here+"/"+strings.Repeat("a", maxName), "")), ErrTooLarge},
		{"a target that is too long", tarGz(t, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: here + "/a", Linkname: strings.Repeat("a", maxName+1)}, ""}), ErrTooLarge},
		{"too deep", tarGz(t, plain(deep, "")), ErrTooLarge},
		{"a zip archive of too many", crowded(), ErrTooLarge},
		{"too many", tarGz(t, many...), ErrTooLarge},
		{"a program that is none", tarGz(t, append(released(here), plain(here+"/bell", "\x7fELF"))...), ErrArchive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := Compare(archiveOf(tt.data), archiveOf(tt.data), known()); !errors.Is(err, tt.want) {
				t.Errorf("%v, %v, want %v", r, err, tt.want)
			}
		})
	}
}

// What is larger than it may be is refused before it is read.
func TestLarge(t *testing.T) {
	good := archiveOf(tarGz(t, released(here)...))
	if _, err := Compare(good, Archive{good.ReaderAt, maxPacked + 1}, known()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	bomb := plain(here+"/zeros", "")
	pipe, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		tw := tar.NewWriter(z)
		bomb.Size = maxMember + 1
		_ = tw.WriteHeader(&bomb.Header)
		_, _ = io.CopyN(tw, zeros{}, bomb.Size)
		w.CloseWithError(errors.Join(tw.Close(), z.Close()))
	}()
	data, err := io.ReadAll(pipe)
	must(t, err)
	if _, err := Compare(good, archiveOf(data), known()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes that unpack to %d: %v", len(data), bomb.Size, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func unzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	must(t, err)
	all, err := io.ReadAll(z)
	must(t, err)
	return all
}

// A member that is another when it is loaded is not compared.
func TestChanged(t *testing.T) {
	one, other := released(here), released(here)
	other[2].content = "key: other\n"
	a := archiveOf(zipped(t, one...))
	l, err := a.list()
	must(t, err)
	if _, err := archiveOf(zipped(t, other...)).load(l.members["bell.yml"]); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("%v", err)
	}
}

// Past the bound of findings there is one that nothing explains.
func TestManyFindings(t *testing.T) {
	var r Report
	for range maxFindings + 10 {
		r.differ("x", "y", "1", "2", Packing)
	}
	if unexplained := r.Unexplained(); len(r.Findings) != maxFindings+1 || len(unexplained) != 1 || !strings.Contains(unexplained[0].What, "more than 500") {
		t.Errorf("%d findings, unexplained %v", len(r.Findings), unexplained)
	}
}

// An archive agrees with itself, and nothing that it says breaks a line.
func FuzzCompare(f *testing.F) {
	good := tarGz(f, released(here)...)
	other := released(there)
	other[2].content = "key: other\n"
	f.Add(good, tarGz(f, other...))
	f.Add(good, zipped(f, released(there)...))
	f.Add(good[:len(good)/2], []byte("PK\x05\x06"))
	f.Add(tarGz(f, append(released(here), plain(here+"/bell", "\x7fELF\x02\x01\x01"))...), good)
	f.Add(tarGz(f, append(released(here), plain(here+"/bell.exe", "MZ"), folder(here+"/a/b"))...), zipped(f, append(released(here), plain(here+"/bell.exe", "MZ"))...))
	f.Add(good, tarGz(f, append(released(there), entry{tar.Header{Typeflag: tar.TypeSymlink, Name: there + "/a", Linkname: "../../etc"}, ""}, plain(there+"/a/b", ""))...))
	f.Add(good, tarGz(f, entry{tar.Header{Typeflag: tar.TypeReg, Name: there + "/a", Mode: 0o4755, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}}, ""}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if r, err := Compare(archiveOf(a), archiveOf(a), known()); err == nil && len(r.Findings) > 0 {
			t.Fatalf("not like itself: %v", r.Findings)
		}
		r, err := Compare(archiveOf(a), archiveOf(b), known())
		if err != nil {
			return
		}
		if len(r.Findings) == 0 && len(r.Agreements) == 0 {
			t.Fatal("nothing was compared")
		}
		for _, line := range lines(r) {
			if strings.ContainsAny(line, "\n\r\x1b\x00") {
				t.Fatalf("a line that is none: %q", line)
			}
		}
	})
}
