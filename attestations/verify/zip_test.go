package verify

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

// zipOf packs files as package archive does for Windows.
func zipOf(t *testing.T, headers []zip.FileHeader, contents []string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i, h := range headers {
		f, err := w.CreateHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipHeader(name string, mode fs.FileMode) zip.FileHeader {
	h := zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Unix(1700000000, 0).UTC()}
	if strings.HasSuffix(name, "/") {
		h.Method = zip.Store
	}
	h.SetMode(mode)
	return h
}

// gap puts bytes before the directory of an archive, and has its end know.
func gap(data []byte) []byte {
	end := len(data) - 22
	begin := binary.LittleEndian.Uint32(data[end+16:])
	made := slices.Concat(data[:begin], []byte("hidden"), data[begin:])
	binary.LittleEndian.PutUint32(made[end+6+16:], begin+6)
	return made
}

// rawZip is an archive of one member, x/b, whose data is given as it is packed,
// behind its folder, of which likewise.
func rawZip(t *testing.T, change func(folder, member *zip.FileHeader, folderData, data *[]byte)) []byte {
	t.Helper()
	var packed, buf bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	// Package zip writes no content of a folder, so it gets its name afterwards.
	folder, member, data, folderData := zipHeader("x|", fs.ModeDir|0o755), zipHeader("x/b", 0o644), packed.Bytes(), []byte(nil)
	member.CRC32, member.UncompressedSize64 = crc32.ChecksumIEEE([]byte("hello")), 5
	folder.Method = zip.Store
	change(&folder, &member, &folderData, &data)
	folder.CompressedSize64, member.CompressedSize64 = uint64(len(folderData)), uint64(len(data))
	w := zip.NewWriter(&buf)
	for _, e := range []struct {
		h    *zip.FileHeader
		data []byte
	}{{&folder, folderData}, {&member, data}} {
		f, err := w.CreateRaw(e.h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(buf.Bytes(), []byte("x|"), []byte("x/"))
}

// What one program unpacks, every other one does: nothing is hidden where some
// look and others do not.
func TestZipHides(t *testing.T) {
	want := []artifact.File{{Name: "x/b", Mode: "0644", Size: 5, Digest: artifact.DigestBytes([]byte("hello"))}}
	extra := func(e string) func(folder, member *zip.FileHeader, folderData, data *[]byte) {
		return func(_, member *zip.FileHeader, _, _ *[]byte) { member.Extra = []byte(e) }
	}
	as := func(_, _ *zip.FileHeader, _, _ *[]byte) {}
	good := rawZip(t, as)
	begin := bytes.Index(good, []byte("PK\x01\x02"))
	end := func(change func(end []byte)) []byte {
		data := bytes.Clone(good)
		change(data[len(data)-zipEnd:])
		return data
	}
	local := func(at int) []byte {
		data := bytes.Clone(good)
		data[bytes.Index(data, []byte("x/b"))-30+at] ^= 1
		return data
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"as it is made", good, nil},
		{"time", rawZip(t, extra("UT\x05\x00\x01abcd")), nil},
		{"another name in a field of its own", rawZip(t, extra("up\x09\x00\x01\x00\x00\x00\x00evil")), ErrArchive},
		{"owner", rawZip(t, extra("ux\x05\x00\x01abcd")), ErrArchive},
		{"content of a folder", rawZip(t, func(_, _ *zip.FileHeader, folderData, _ *[]byte) { *folderData = []byte("hidden") }), ErrArchive},
		{"something behind the compressed data", rawZip(t, func(_, _ *zip.FileHeader, _, data *[]byte) { *data = append(*data, "hidden"...) }), ErrArchive},
		{"another checksum before the member than in the directory", local(14), ErrArchive},
		{"another packed size", local(18), ErrArchive},
		{"another size", local(22), ErrArchive},
		{"another checksum behind the member", zipWithSums(t, 4), ErrArchive},
		{"another packed size behind the member", zipWithSums(t, 8), ErrArchive},
		{"another size behind the member", zipWithSums(t, 12), ErrArchive},
		{"something behind the directory", func() []byte {
			data := slices.Concat(good[:len(good)-zipEnd], []byte("hidden"), good[len(good)-zipEnd:])
			binary.LittleEndian.PutUint32(data[len(data)-10:], uint32(len(data)-zipEnd-begin))
			return data
		}(), ErrArchive},
		{"as many members as point to another directory", end(func(e []byte) { binary.LittleEndian.PutUint16(e[10:], 0xffff) }), ErrTooLarge},
		{"a directory that is the most of it", slices.Concat(good[:len(good)-zipEnd], make([]byte, maxMembers<<10), func() []byte {
			e := bytes.Clone(good[len(good)-zipEnd:])
			binary.LittleEndian.PutUint32(e[12:], uint32(len(good)-zipEnd-begin+maxMembers<<10))
			return e
		}()), ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnpacker(want, func(artifact.File) bool { return false }, func(artifact.File, []byte) error { return nil })
			if err := u.zipped(bytes.NewReader(tt.data), int64(len(tt.data))); !errors.Is(err, tt.want) {
				t.Errorf("= %v, want %v", err, tt.want)
			}
		})
	}
}

// zipWithSums has the sums of its member behind it, with a bit changed of the
// byte at that place.
func zipWithSums(t *testing.T, at int) []byte {
	t.Helper()
	data := zipOf(t, []zip.FileHeader{zipHeader("x/", fs.ModeDir|0o755), zipHeader("x/b", 0o644)}, []string{"", "hello"})
	sums := bytes.Index(data, []byte("PK\x07\x08"))
	if sums < 0 {
		t.Fatal("there are none")
	}
	data[sums+at] ^= 1
	return data
}

func TestZip(t *testing.T) {
	want := []artifact.File{{Name: "x/a.exe", Mode: "0755", Size: 5, Digest: artifact.DigestBytes([]byte("hello"))}, {Name: "x/b", Mode: "0644", Size: 1 << 16, Digest: artifact.DigestBytes(make([]byte, 1<<16))}}
	headers := []zip.FileHeader{zipHeader("x/", fs.ModeDir|0o755), zipHeader("x/a.exe", 0o755), zipHeader("x/b", 0o644)}
	contents := []string{"", "hello", string(make([]byte, 1<<16))}
	good := zipOf(t, headers, contents)
	more := func(h zip.FileHeader, content string) []byte {
		return zipOf(t, append(headers[:3:3], h), append(contents[:3:3], content))
	}
	replaced := func(old, new string, n int) []byte {
		return bytes.Replace(bytes.Clone(good), []byte(old), []byte(new), n)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"as it is made", good, nil},
		{"name that leads upwards", more(zipHeader("../evil", 0o644), "x"), ErrMemberName},
		{"absolute name", more(zipHeader("/evil", 0o644), "x"), ErrMemberName},
		{"name of Windows", more(zipHeader(`x\evil`, 0o644), "x"), ErrMemberName},
		{"symbolic link", more(zipHeader("x/link", fs.ModeSymlink|0o777), "/etc"), ErrMemberType},
		{"device", more(zipHeader("x/null", fs.ModeDevice|0o666), ""), ErrMemberType},
		{"name twice", more(zipHeader("x/b", 0o644), contents[2]), ErrDuplicate},
		{"member that is not listed", more(zipHeader("x/c", 0o644), "x"), ErrMember},
		{"member missing", zipOf(t, headers[:2], contents[:2]), ErrMember},
		{"another content", zipOf(t, headers, []string{"", "hallo", contents[2]}), ErrMember},
		{"another mode", zipOf(t, []zip.FileHeader{headers[0], zipHeader("x/a.exe", 0o644), headers[2]}, contents), ErrMember},
		{"another name before the member than in the directory", replaced("x/a.exe", "x/e.exe", 1), ErrArchive},
		{"comment", append(replaced("", "", 0)[:len(good)-2], 1, 0, 'x'), ErrArchive},
		{"something before it", append([]byte("#!/bin/sh\n"), good...), ErrArchive},
		{"something behind it", append(bytes.Clone(good), 'x'), ErrArchive},
		{"cut off", good[:len(good)/2], ErrArchive},
		{"no archive", []byte("no archive"), ErrArchive},
		{"something between members and directory", gap(good), ErrArchive},
		{"bomb", more(zipHeader("x/c", 0o644), string(make([]byte, 1<<20))), ErrMember},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnpacker(want, func(artifact.File) bool { return false }, func(artifact.File, []byte) error { return nil })
			if err := u.zipped(bytes.NewReader(tt.data), int64(len(tt.data))); !errors.Is(err, tt.want) {
				t.Errorf("= %v, want %v", err, tt.want)
			}
		})
	}
}

// A member is not read beyond what it says, however long it is.
func TestZipLies(t *testing.T) {
	content := make([]byte, 1<<20)
	want := []artifact.File{{Name: "a", Mode: "0644", Size: 10, Digest: artifact.DigestBytes(content[:10])}}
	data := zipOf(t, []zip.FileHeader{zipHeader("a", 0o644)}, []string{string(content)})
	size := []byte{0, 0, 0x10, 0}
	if n := bytes.Count(data, size); n < 2 {
		t.Fatalf("the size is there %d times", n)
	}
	data = bytes.ReplaceAll(data, size, []byte{10, 0, 0, 0})
	u := newUnpacker(want, func(artifact.File) bool { return false }, func(artifact.File, []byte) error { return nil })
	if err := u.zipped(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrArchive) {
		t.Errorf("= %v", err)
	}
}

// Nothing an archive holds makes the unpacker take more than it may, or accept
// what is not listed.
func FuzzUnpack(f *testing.F) {
	want := []artifact.File{{Name: "x/a", Mode: "0644", Size: 5, Digest: artifact.DigestBytes([]byte("hello"))}}
	var t testing.T
	f.Add(zipOf(&t, []zip.FileHeader{zipHeader("x/a", 0o644)}, []string{"hello"}), true)
	f.Add([]byte("\x1f\x8b\x08"), false)
	f.Fuzz(func(t *testing.T, data []byte, zipped bool) {
		seen := 0
		u := newUnpacker(want, func(artifact.File) bool { return true }, func(g artifact.File, content []byte) error {
			seen++
			if fmt.Sprint(g) != fmt.Sprint(want[0]) || artifact.DigestBytes(content) != g.Digest {
				t.Errorf("seen %v with %d bytes", g, len(content))
			}
			return nil
		})
		var err error
		if zipped {
			err = u.zipped(bytes.NewReader(data), int64(len(data)))
		} else {
			err = u.tarGz(bytes.NewReader(data))
		}
		if seen > 1 || err == nil && seen != 1 {
			t.Errorf("%d members seen, %v", seen, err)
		}
	})
}
