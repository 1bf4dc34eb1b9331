package verify

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

const folder = "beacon-1.2.0-palisade.1.linux-amd64"

var ofArchives = []tampering{
	entryRow("name that leads upwards", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/../../evil"}, "x")),
	entryRow("name that begins upwards", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: "../evil"}, "x")),
	entryRow("absolute name", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: "/etc/evil"}, "x")),
	entryRow("name of Windows", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + `\evil`}, "x")),
	entryRow("drive of Windows", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: `C:evil`}, "x")),
	entryRow("device of Windows", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/aux.txt"}, "x")),
	entryRow("full stop that Windows cuts", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/LICENSE."}, "x")),
	entryRow("space that Windows cuts", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/LICENSE "}, "x")),
	entryRow("letter that is another one's capital", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/LICEN\u017fE"}, "x")),
	entryRow("control character", ErrMemberName, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/a\x1b[2J"}, "x")),
	entryRow("folder that leads upwards", ErrMemberName, more(tar.Header{Typeflag: tar.TypeDir, Name: "../evil/", Mode: 0o755}, "")),
	entryRow("symbolic link out", ErrMemberType, more(tar.Header{Typeflag: tar.TypeSymlink, Name: folder + "/link", Linkname: "/etc"}, "")),
	entryRow("symbolic link within", ErrMemberType, more(tar.Header{Typeflag: tar.TypeSymlink, Name: folder + "/link", Linkname: "beacon"}, "")),
	entryRow("hard link", ErrMemberType, more(tar.Header{Typeflag: tar.TypeLink, Name: folder + "/link", Linkname: folder + "/beacon"}, "")),
	entryRow("device", ErrMemberType, more(tar.Header{Typeflag: tar.TypeChar, Name: folder + "/null", Devmajor: 1, Devminor: 3}, "")),
	entryRow("pipe", ErrMemberType, more(tar.Header{Typeflag: tar.TypeFifo, Name: folder + "/pipe"}, "")),
	entryRow("extended attribute", ErrMemberType, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/x", PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}, "x")),
	entryRow("owner", ErrMemberType, func(h *[]*tar.Header, _ *[][]byte) { (*h)[1].Uid = 1000 }),
	entryRow("name twice", ErrDuplicate, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/LICENSE"}, "Do as you like.\n")),
	entryRow("name twice where capitals do not count", ErrDuplicate, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/License"}, "Do as you like.\n")),
	entryRow("folder twice", ErrDuplicate, more(tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}, "")),
	entryRow("member that is not listed", ErrMember, more(tar.Header{Typeflag: tar.TypeReg, Name: folder + "/more"}, "x")),
	entryRow("folder that is not listed", ErrMember, more(tar.Header{Typeflag: tar.TypeDir, Name: folder + "/more/", Mode: 0o755}, "")),
	entryRow("member missing", ErrMember, func(h *[]*tar.Header, c *[][]byte) { *h, *c = (*h)[:2], (*c)[:2] }),
	entryRow("members in another order", ErrMember, func(h *[]*tar.Header, c *[][]byte) {
		(*h)[1], (*h)[2], (*c)[1], (*c)[2] = (*h)[2], (*h)[1], (*c)[2], (*c)[1]
	}),
	entryRow("byte of a member", ErrMember, func(_ *[]*tar.Header, c *[][]byte) { (*c)[1] = []byte("Do as I like..\n\n") }),
	entryRow("set-user-ID", ErrMember, func(h *[]*tar.Header, _ *[][]byte) { (*h)[2].Mode = 0o4755 }),
	{name: "archive: mode that the manifest has too", before: func(t *testing.T, w *world) {
		m := w.artifacts[0]
		m.finish(t, func(h []*tar.Header, c [][]byte) []byte {
			h[2].Mode = 0o4755
			return pack(t, h, c)
		})
		m.rec.Members[1].Mode = "4755"
		w.audited(t, true)
	}, fails: []Check{Members}, wants: []error{ErrMemberType}},
	raw("bomb of one member", ErrTooLarge, func(t *testing.T, _ []byte) []byte {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		w := tar.NewWriter(z)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: folder + "/LICENSE", Mode: 0o644, Size: 7 << 30}); err != nil {
			t.Fatal(err)
		}
		z.Close()
		return buf.Bytes()
	}),
	raw("bomb of headers", ErrTooLarge, func(t *testing.T, packed []byte) []byte {
		header := pack(t, []*tar.Header{{Typeflag: tar.TypeReg, Name: strings.Repeat("x", 200)}}, [][]byte{nil})
		return headed(t, packed, bytes.Repeat(unzip(t, header)[:1024], 4096))
	}),
	raw("format of parts of two", ErrMemberType, func(t *testing.T, packed []byte) []byte {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/" + strings.Repeat("x", 200), Format: tar.FormatGNU}); err != nil {
			t.Fatal(err)
		}
		name := buf.Bytes()[:1024] // GNU's long name, of the folder that follows
		copy(name[512:], append([]byte(folder+"/"), make([]byte, 300)...))
		return headed(t, packed, name)
	}),
	raw("bomb behind the end", ErrTooLarge, func(t *testing.T, packed []byte) []byte {
		return regzip(t, packed, make([]byte, 64<<20))
	}),
	raw("something behind the end", ErrArchive, func(t *testing.T, packed []byte) []byte { return regzip(t, packed, []byte("x")) }),
	raw("second compressed stream", ErrArchive, func(_ *testing.T, packed []byte) []byte { return append(bytes.Clone(packed), packed...) }),
	raw("second compressed stream of zeros", ErrArchive, func(t *testing.T, packed []byte) []byte {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		if _, err := z.Write(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		z.Close()
		return append(bytes.Clone(packed), buf.Bytes()...)
	}),
	raw("something behind the compressed data", ErrArchive, func(_ *testing.T, packed []byte) []byte { return append(bytes.Clone(packed), 0) }),
	raw("wrong checksum of the compressed data", ErrArchive, func(_ *testing.T, packed []byte) []byte {
		packed = bytes.Clone(packed)
		packed[len(packed)-6] ^= 1
		return packed
	}),
	raw("cut off", ErrArchive, func(_ *testing.T, packed []byte) []byte { return packed[:len(packed)/2] }),
	raw("no archive", ErrArchive, func(*testing.T, []byte) []byte { return []byte("no archive") }),
}

// raw is an archive whose bytes were changed.
func raw(name string, want error, change func(t *testing.T, packed []byte) []byte) tampering {
	return tampering{name: "archive: " + name, before: func(t *testing.T, w *world) {
		w.artifacts[0].finish(t, func(h []*tar.Header, c [][]byte) []byte { return change(t, pack(t, h, c)) })
		w.audited(t, true)
	}, fails: []Check{Members}, wants: []error{want}}
}

func unzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return plain.Bytes()
}

// regzip compresses the archive anew with something behind it.
func regzip(t *testing.T, packed, behind []byte) []byte {
	t.Helper()
	return gzipped(t, unzip(t, packed), behind)
}

// headed compresses the archive anew with something before it.
func headed(t *testing.T, packed, before []byte) []byte {
	t.Helper()
	return gzipped(t, before, unzip(t, packed))
}

func gzipped(t *testing.T, parts ...[]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	for _, part := range parts {
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	return buf.Bytes()
}

// Who is about to vouch for an archive sees what whoever verifies it would.
func TestArchive(t *testing.T) {
	m := newMade(t, "hardened")
	if err := Archive(t.Context(), m.rec, bytes.NewReader(m.archive)); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name   string
		change func(m *made)
		want   error
	}{
		{"another file", func(m *made) { m.rec.Members[0].Digest = artifact.DigestBytes(nil) }, ErrMember},
		{"a file less", func(m *made) { m.rec.Members = m.rec.Members[1:] }, ErrMember},
		{"another module in a binary", func(m *made) { m.rec.Binaries[0].Modules[0].Version = "v9.9.9" }, ErrBuildInfo},
		{"a binary that is none", func(m *made) { m.rec.Binaries = nil }, ErrBuildInfo},
		{"a binary beyond all bounds", func(m *made) { m.rec.Binaries[0].Size = unpack.MaxMember + 1 }, ErrTooLarge},
		{"no archive", func(m *made) { m.archive = []byte("x") }, ErrArchive},
	} {
		m := newMade(t, "hardened")
		tt.change(m)
		if err := Archive(t.Context(), m.rec, bytes.NewReader(m.archive)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
