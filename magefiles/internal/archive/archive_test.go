package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

var update = flag.Bool("update", false, "rewrite golden files")

var epoch = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)

// kinds are the two archives, under their names' endings.
var kinds = []struct {
	name  string
	write func(io.Writer, time.Time, []Member) ([]artifact.File, error)
}{{"tar.gz", TarGz}, {"zip", Zip}}

// long needs PAX in a tar: its last element has over 100 characters.
var long = "x-1.0/" + strings.Repeat("long", 30)

// tree writes the files that the tests pack, and names them out of order.
func tree(t *testing.T) []Member {
	t.Helper()
	dir := t.TempDir()
	var members []Member
	add := func(name, content string, mode fs.FileMode) {
		host := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(host, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		members = append(members, Member{name, mode, host})
	}
	var words strings.Builder
	for i := range 40000 { // more than one block for the compressor
		words.WriteString(strings.Repeat("palisade", i%7))
		words.WriteByte(byte(i * i))
	}
	add("x-1.0/x", words.String(), 0o755)
	add("x-1.0/consoles/deep/a.html", "<p>a</p>", 0o644)
	add("x-1.0/LICENSE", "do what is right\n", 0o644)
	add("x-1.0/x.yml", "", 0o644)
	add("x-1.0/x-b", "sorts before x.yml and beside x", 0o755)
	add(long, "long name", 0o644)
	return members
}

func pack(t *testing.T, write func(io.Writer, time.Time, []Member) ([]artifact.File, error), at time.Time, members []Member) ([]byte, []artifact.File) {
	t.Helper()
	var buf bytes.Buffer
	files, err := write(&buf, at, members)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), files
}

func TestSameBytes(t *testing.T) {
	disturb := map[string]func(t *testing.T) (time.Time, []Member){
		"another time zone": func(t *testing.T) (time.Time, []Member) {
			old := time.Local
			t.Cleanup(func() { time.Local = old })
			time.Local = time.FixedZone("far", 13*3600+45*60)
			return epoch.Local(), tree(t)
		},
		"another umask": func(t *testing.T) (time.Time, []Member) {
			old := syscall.Umask(0o077)
			t.Cleanup(func() { syscall.Umask(old) })
			return epoch, tree(t)
		},
		"other modes of the same meaning": func(t *testing.T) (time.Time, []Member) {
			members := tree(t)
			for i := range members {
				members[i].Mode = members[i].Mode&0o700 | 0o062
			}
			return epoch, members
		},
		"other modification times": func(t *testing.T) (time.Time, []Member) {
			members := tree(t)
			for i, m := range members {
				at := time.Unix(int64(i)*1e8, 5)
				if err := os.Chtimes(m.Content, at, at); err != nil {
					t.Fatal(err)
				}
			}
			return epoch, members
		},
		"another order": func(t *testing.T) (time.Time, []Member) {
			members := tree(t)
			slices.Reverse(members)
			return epoch, members
		},
	}
	for _, kind := range kinds {
		want, wantFiles := pack(t, kind.write, epoch, tree(t))
		for name, how := range disturb {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				at, members := how(t)
				got, files := pack(t, kind.write, at, members)
				if !bytes.Equal(got, want) {
					t.Error("the bytes differ")
				}
				if !reflect.DeepEqual(files, wantFiles) {
					t.Errorf("the members differ:\n%v\n%v", files, wantFiles)
				}
			})
		}
	}
}

// A change of these digests means that an upgrade changed the bytes of every
// release: say so in its commit.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "digests.json")
	got := map[string]string{}
	for _, kind := range kinds {
		data, _ := pack(t, kind.write, epoch, tree(t))
		got[kind.name] = artifact.DigestBytes(data).String()
	}
	if *update {
		data, err := json.MarshalIndent(got, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(data, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("digests are %v, want %v", got, want)
	}
}

// header is what both formats say of an entry.
type header struct {
	Name    string
	Mode    fs.FileMode
	Time    int64
	Content string
}

func want(t *testing.T, members []Member, files []artifact.File) []header {
	t.Helper()
	dir := func(name string) header { return header{name, fs.ModeDir | 0o755, epoch.Unix(), ""} }
	headers := []header{dir("x-1.0/"), dir("x-1.0/consoles/"), dir("x-1.0/consoles/deep/")}
	for _, m := range members {
		content, err := os.ReadFile(m.Content)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, header{m.Name, m.Mode, epoch.Unix(), string(content)})
	}
	slices.SortFunc(headers, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
	var said []artifact.File
	for _, h := range headers {
		if h.Mode.IsRegular() {
			said = append(said, artifact.File{Name: h.Name, Mode: "0" + map[fs.FileMode]string{0o755: "755", 0o644: "644"}[h.Mode],
				Size: int64(len(h.Content)), Digest: artifact.DigestBytes([]byte(h.Content))})
		}
	}
	if !reflect.DeepEqual(files, said) {
		t.Errorf("it says it holds\n%v\nwant\n%v", files, said)
	}
	return headers
}

func compare(t *testing.T, got, want []header) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("entry %d is %.200v, want %.200v", i, got[i], want[i])
		}
	}
}

func TestTarGzReadsBack(t *testing.T) {
	members := tree(t)
	data, files := pack(t, TarGz, epoch, members)
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data[4:8], []byte{0, 0, 0, 0}) || // MTIME: RFC 1952 section 2.3.1
		!zr.ModTime.IsZero() || zr.Name != "" || zr.OS != 255 {
		t.Errorf("gzip header names %v, %q, %d", zr.ModTime, zr.Name, zr.OS)
	}
	var got []header
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s is owned by %d %q, %d %q", h.Name, h.Uid, h.Uname, h.Gid, h.Gname)
		}
		if pax := h.Name == long; pax != (h.Format == tar.FormatPAX) || !pax && h.Format != tar.FormatUSTAR {
			t.Errorf("%s has format %v", h.Name, h.Format)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, header{h.Name, h.FileInfo().Mode(), h.ModTime.Unix(), string(content)})
	}
	compare(t, got, want(t, members, files))
}

func TestZipReadsBack(t *testing.T) {
	members := tree(t)
	data, files := pack(t, Zip, epoch, members)
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var got []header
	for _, f := range zr.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, header{f.Name, f.Mode(), f.Modified.Unix(), string(content)})
	}
	compare(t, got, want(t, members, files))
}

func TestStockTools(t *testing.T) {
	for _, tool := range []struct {
		kind int
		args []string
	}{{0, []string{"tar", "-xzf"}}, {1, []string{"unzip", "-q"}}} {
		t.Run(tool.args[0], func(t *testing.T) {
			program, err := exec.LookPath(tool.args[0])
			if err != nil {
				t.Skip(err)
			}
			members := tree(t)
			data, _ := pack(t, kinds[tool.kind].write, epoch, members)
			dir := t.TempDir()
			file := filepath.Join(dir, "archive")
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, append(tool.args[1:], file)...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, m := range members {
				want, err := os.ReadFile(m.Content)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, filepath.FromSlash(m.Name))
				got, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s holds %d bytes (%v), want %d", m.Name, len(got), err, len(want))
				}
				if info, err := os.Stat(path); err == nil && info.Mode()&0o100 != m.Mode&0o100 {
					t.Errorf("%s has mode %v, want %v", m.Name, info.Mode(), m.Mode)
				}
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	one := func(name, content string) []Member { return []Member{{name, 0o644, content}} }
	both := func(a, b string) []Member { return append(one(a, file), one(b, file)...) }
	for name, members := range map[string][]Member{
		"absolute":              one("/etc/passwd", file),
		"upwards":               one("../a", file),
		"upwards inside":        one("a/../../b", file),
		"no name":               one("", file),
		"the folder itself":     one(".", file),
		"empty element":         one("a//b", file),
		"folder's name":         one("a/", file),
		"backslash":             one(`a\b`, file),
		"drive":                 one("c:a", file),
		"line break":            one("a\nb", file),
		"not UTF-8":             one("a\xff", file),
		"twice":                 both("a", "a"),
		"file under a file":     both("a", "a/b"),
		"folder before a file":  both("a/b", "a"),
		"far under a file":      both("a/b/c/d", "a/b"),
		"symlink":               one("a", link),
		"directory":             one("a", dir),
		"pipe":                  one("a", pipe),
		"mode of a symlink":     {{"a", fs.ModeSymlink | 0o777, file}},
		"mode of a directory":   {{"a", fs.ModeDir | 0o755, file}},
		"mode of a device file": {{"a", fs.ModeDevice | 0o644, file}},
	} {
		for _, kind := range kinds {
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				if _, err := kind.write(io.Discard, epoch, members); !errors.Is(err, ErrMember) {
					t.Errorf("got %v, want ErrMember", err)
				}
			})
		}
	}
	for _, kind := range kinds {
		if _, err := kind.write(io.Discard, epoch, one("a", filepath.Join(dir, "none"))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v for a missing file, want fs.ErrNotExist", kind.name, err)
		}
		for _, at := range []time.Time{{}, epoch.Add(1), time.Unix(-1, 0)} {
			if _, err := kind.write(io.Discard, at, nil); err == nil {
				t.Errorf("%s: the epoch %v passes", kind.name, at)
			}
		}
	}
	if _, err := Zip(io.Discard, time.Unix(0, 0), nil); err == nil {
		t.Error("zip: 1970 passes, which it cannot say")
	}
}

// The error of a disk that is full must come out, also when it comes late.
func TestFailingWriter(t *testing.T) {
	members := tree(t)
	for _, kind := range kinds {
		data, _ := pack(t, kind.write, epoch, members)
		for _, room := range []int{0, 1, len(data) / 2, len(data) - 1} {
			if _, err := kind.write(&narrow{room}, epoch, members); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s with room for %d of %d bytes: got %v, want ENOSPC", kind.name, room, len(data), err)
			}
		}
	}
}

type narrow struct{ room int }

func (n *narrow) Write(p []byte) (int, error) {
	if len(p) > n.room {
		return 0, syscall.ENOSPC
	}
	n.room -= len(p)
	return len(p), nil
}
