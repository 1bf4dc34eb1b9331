package buildkit

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func packed(t testing.TB, members ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		content := strings.Repeat("x", int(h.Size))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReceive(t *testing.T) {
	dir := tar.Header{Name: "w/", Typeflag: tar.TypeDir}
	a, b := tar.Header{Name: "w/a", Size: 3}, tar.Header{Name: "w/b", Size: 700}
	var many []tar.Header
	for range maxMembers + 1 {
		many = append(many, dir)
	}
	whole := packed(t, dir, a, b)
	for _, tt := range []struct {
		name string
		data []byte
		want string // "" where it is taken
	}{
		{"as asked for", whole, ""},
		{"without its directory", packed(t, a, b), ""},
		{"with padding", append(bytes.Clone(whole), make([]byte, 1<<14)...), ""},
		{"with much behind it", append(bytes.Clone(whole), make([]byte, maxPadding+1)...), "after its end"},
		{"one missing", packed(t, dir, a), "b did not come back"},
		{"one more", packed(t, dir, a, b, tar.Header{Name: "w/c"}), `"w/c" came back, which was not asked for`},
		{"one twice", packed(t, a, a, b), "a came back twice"},
		{"beside", packed(t, tar.Header{Name: "a"}), "not asked for"},
		{"above", packed(t, tar.Header{Name: "w/../a"}), "not asked for"},
		{"a link", packed(t, tar.Header{Name: "w/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "is no regular file"},
		{"a directory", packed(t, tar.Header{Name: "w/a/", Typeflag: tar.TypeDir}), "not asked for"},
		{"many", packed(t, many...), "more than"},
		{"cut short", whole[:2100], "unexpected EOF"},
		{"nothing", nil, "a did not come back"},
		{"no archive", bytes.Repeat([]byte("x"), 1024), "invalid tar header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			err := receive(bytes.NewReader(tt.data), out, []string{"a", "b"})
			entries, listErr := os.ReadDir(out)
			if listErr != nil {
				t.Fatal(listErr)
			}
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || len(entries) != 0 {
					t.Errorf("got %v and %v, want %s and nothing", err, entries, tt.want)
				}
				return
			}
			info, statErr := os.Stat(filepath.Join(out, "b"))
			if err != nil || statErr != nil || info.Size() != 700 || info.Mode().Perm()&0o100 == 0 || len(entries) != 2 {
				t.Errorf("got %v, %v, %v", err, info, entries)
			}
		})
	}
}

// A file that is there is never written over.
func TestReceiveKeeps(t *testing.T) {
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "a"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := receive(bytes.NewReader(packed(t, tar.Header{Name: "w/a", Size: 1})), out, []string{"a"})
	if data, _ := os.ReadFile(filepath.Join(out, "a")); err == nil || string(data) != "mine" {
		t.Errorf("got %v, and it is %q", err, data)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(packed(f, tar.Header{Name: "w/", Typeflag: tar.TypeDir}, tar.Header{Name: "w/a", Size: 3}))
	f.Add(packed(f, tar.Header{Name: "w/../../a", Size: 3}))
	f.Add(packed(f, tar.Header{Name: "w/a", Typeflag: tar.TypeLink, Linkname: "a"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		out := filepath.Join(parent, "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		err := receive(bytes.NewReader(data), out, []string{"a"})
		inside, _ := os.ReadDir(out)
		beside, _ := os.ReadDir(parent)
		if got := fmt.Sprint(inside); len(beside) != 1 || err == nil && len(inside) != 1 || err != nil && len(inside) != 0 {
			t.Errorf("%v left %s", err, got)
		}
	})
}
