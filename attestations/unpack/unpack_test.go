package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/imagetest"
)

// Tar and TarGz are tried by those who use them, with every archive that is
// refused: packages verify and ocilayout. Here is what they cannot see.

func TestWall(t *testing.T) {
	var w Wall
	for _, tt := range []struct {
		e    Entry
		want error
	}{
		{Entry{Name: "a", Size: MaxMember}, nil},
		{Entry{Name: "A"}, ErrDuplicate},
		{Entry{Name: "b", Size: -1}, ErrTooLarge},
		{Entry{Name: "c", Size: MaxMember + 1}, ErrTooLarge},
		{Entry{Name: "a\x00b"}, ErrName},
		{Entry{Name: "a\u202eb"}, ErrName},
		{Entry{Name: "a\xffb"}, ErrName},
		{Entry{Name: "a."}, ErrName},
		{Entry{Name: "a "}, ErrName},
		{Entry{Name: " a/b"}, ErrName},
		{Entry{Name: "con/b"}, ErrName},
		{Entry{Name: "lpt1.txt"}, ErrName},
		{Entry{Name: "a\u017f"}, ErrName},
		{Entry{Name: "a\\b"}, ErrName},
		{Entry{Name: "c:b"}, ErrName},
		{Entry{Name: ""}, ErrName},
		{Entry{Name: "."}, ErrName},
		{Entry{Name: strings.Repeat("a/", maxName/2) + "a"}, ErrTooLarge},
		{Entry{Name: strings.Repeat("a/", maxName/2-1) + "aa"}, nil},
	} {
		if err := w.Enter(tt.e); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.e.Name, err, tt.want)
		}
	}
	w = Wall{}
	for n := range MaxMembers + 1 {
		err := w.Enter(Entry{Name: fmt.Sprint("a", n)})
		if (n == MaxMembers) != errors.Is(err, ErrTooLarge) {
			t.Fatalf("member %d: %v", n+1, err)
		}
	}
	w = Wall{}
	var err error
	for n := 0; err == nil && n < 10; n++ {
		err = w.Enter(Entry{Name: strings.Repeat("a", n+1), Size: MaxMember})
	}
	if !errors.Is(err, ErrTooLarge) || w.count != MaxUnpacked/MaxMember+1 {
		t.Errorf("after %d members: %v", w.count, err)
	}
}

func TestFileMode(t *testing.T) {
	for _, mode := range []int64{0, 0o400, 0o444, 0o555, 0o600, 0o666, 0o700, 0o775, 0o777, 0o1644, 0o2755, 0o4755, 1 << 20, -1} {
		if err := FileMode(Entry{Name: "a", Mode: mode}); !errors.Is(err, ErrType) {
			t.Errorf("%o: %v", mode, err)
		}
	}
	for _, mode := range []int64{PlainMode, ProgramMode} {
		if err := FileMode(Entry{Name: "a", Mode: mode}); err != nil {
			t.Error(err)
		}
	}
}

// Headers are bounded before each member, however the content before them is
// passed over; members of any size, and long names, are not refused for it.
func TestHeaders(t *testing.T) {
	long := strings.Repeat("x", 200) // a header of PAX
	name := imagetest.Tar(imagetest.File(long, 0o644, ""))[:1024]
	good := imagetest.Tar(imagetest.File("a", 0o644, strings.Repeat("a", 3<<20)), imagetest.File(long, 0o644, "x"), imagetest.File("c", 0o644, ""))
	behind := 512 + 3<<20 // of the first member
	bomb := slices.Concat(good[:behind], bytes.Repeat(name, 64), good[behind:])
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{{"good", good, nil}, {"bomb", bomb, ErrTooLarge}, {"bomb of the first", bytes.Repeat(name, 64), ErrTooLarge}} {
		for how, see := range map[string]func(Entry, io.Reader) error{
			"read": func(_ Entry, content io.Reader) error { _, err := io.Copy(io.Discard, content); return err },
			"left": func(Entry, io.Reader) error { return nil },
		} {
			for kind, r := range map[string]io.Reader{"stream": iotest(tt.data), "file": bytes.NewReader(tt.data)} {
				if err := Tar(r, see); !errors.Is(err, tt.want) {
					t.Errorf("%s, %s, content %s: %v, want %v", tt.name, kind, how, err, tt.want)
				}
			}
		}
	}
}

// What is passed over is not read, where that can be.
func TestSkips(t *testing.T) {
	data := imagetest.Tar(imagetest.File("a", 0o644, strings.Repeat("a", 8<<20)), imagetest.File("b", 0o644, "b"))
	in := &counter{r: bytes.NewReader(data)}
	err := Tar(struct {
		io.Reader
		io.Seeker
	}{in, in.r.(io.Seeker)}, func(Entry, io.Reader) error { return nil })
	if err != nil || in.n > 64<<10 {
		t.Errorf("%d bytes were read, %v", in.n, err)
	}
}

// What unpacks to far more than it is ends early, also where nobody reads the
// content.
func TestRatio(t *testing.T) {
	packed := imagetest.Gzip(imagetest.Tar(imagetest.File("x", 0o644, string(make([]byte, 64<<20)))))
	seen := false
	err := TarGz(bytes.NewReader(packed), func(Entry, io.Reader) error { seen = true; return nil })
	if !errors.Is(err, ErrTooLarge) || !seen {
		t.Errorf("= %v", err)
	}
	less := imagetest.Gzip(imagetest.Tar(imagetest.File("x", 0o644, string(make([]byte, maxSlack/2)))))
	if err := TarGz(bytes.NewReader(less), func(Entry, io.Reader) error { return nil }); err != nil {
		t.Errorf("a small one: %v", err)
	}
}

func TestCancellable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	packed := imagetest.Gzip(imagetest.Tar(imagetest.File("x", 0o644, "x"), imagetest.File("y", 0o644, strings.Repeat("word", 1<<20))))
	err := TarGz(Cancellable(ctx, iotest(packed)), func(Entry, io.Reader) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("= %v", err)
	}
}

// iotest reads a byte at a time.
func iotest(data []byte) io.Reader { return one{bytes.NewReader(data)} }

type one struct{ r io.Reader }

func (o one) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

// Whatever is read to its end had safe and different names, all that any reader
// of tar files finds in it, and not a byte more or less.
func FuzzTarGz(f *testing.F) {
	file := imagetest.File("x/a", 0o644, "hello")
	whole := imagetest.Tar(imagetest.Folder("x", 0o755, 0), file)
	changed := func(change func(h *tar.Header)) []byte {
		e := file
		change(&e.Header)
		return imagetest.Tar(file, e)
	}
	for _, data := range [][]byte{
		whole, imagetest.Tar(), whole[:700], append(bytes.Clone(whole), 'x'), append(bytes.Clone(whole), make([]byte, 4096)...),
		imagetest.Tar(imagetest.File(strings.Repeat("x", 200), 0o644, "long")), imagetest.Tar(file, file),
		changed(func(h *tar.Header) { h.Name = "X/A" }),
		changed(func(h *tar.Header) { h.Name = "../a" }),
		changed(func(h *tar.Header) { h.Name = "/a" }),
		changed(func(h *tar.Header) { h.Name, h.Format = "x/b", tar.FormatGNU }),
		changed(func(h *tar.Header) { h.Name, h.PAXRecords = "x/b", map[string]string{"SCHILY.xattr.user.x": "y"} }),
		changed(func(h *tar.Header) { h.Name, h.Uname = "x/b", "root" }),
		changed(func(h *tar.Header) { h.Name, h.Mode = "x/b", 0o4755 }),
		imagetest.Tar(file, imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "x/b", Linkname: "a"}}),
		imagetest.Tar(imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}}, file),
	} {
		f.Add(data, false)
		f.Add(imagetest.Gzip(data), true)
	}
	packed := imagetest.Gzip(whole)
	f.Add(slices.Concat(packed, packed), true)
	f.Add(packed[:len(packed)-1], true)
	f.Fuzz(func(t *testing.T, data []byte, isPacked bool) {
		if !isPacked {
			data = imagetest.Gzip(data)
		}
		names := map[string]bool{}
		var got []Entry
		err := TarGz(bytes.NewReader(data), func(e Entry, content io.Reader) error {
			folded := strings.ToLower(e.Name)
			if !SafeName(e.Name) || names[folded] || e.Size < 0 {
				t.Errorf("%+v", e)
			}
			names[folded] = true
			got = append(got, e)
			n, err := io.Copy(io.Discard, content)
			if err == nil && n != e.Size {
				t.Errorf("%+v has %d bytes", e, n)
			}
			return err
		})
		if err != nil {
			return
		}
		if want := listed(t, data); !slices.Equal(got, want) {
			t.Errorf("seen was %+v, there is %+v", got, want)
		}
		for _, other := range [][]byte{append(bytes.Clone(data), 'x'), data[:len(data)-1]} {
			if err := TarGz(bytes.NewReader(other), func(Entry, io.Reader) error { return nil }); !errors.Is(err, ErrArchive) {
				t.Errorf("%d bytes in place of %d: %v", len(other), len(data), err)
			}
		}
	})
}

// listed is what archive/tar and compress/gzip find in data.
func listed(t *testing.T, data []byte) (all []Entry) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Name: h.Name, Mode: h.Mode, UID: h.Uid, GID: h.Gid, Size: h.Size}
		if e.Folder = h.Typeflag == tar.TypeDir; e.Folder {
			e.Name = strings.TrimSuffix(e.Name, "/")
		} else if h.Typeflag != tar.TypeReg {
			t.Errorf("%s is of type %q", h.Name, h.Typeflag)
		}
		all = append(all, e)
	}
}
