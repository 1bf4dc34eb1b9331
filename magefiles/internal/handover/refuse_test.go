package handover

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// tarOf is an archive of members as they come.
func tarOf(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		text := m.PAXRecords["text"]
		m.PAXRecords = nil
		if m.Typeflag == 0 {
			m.Typeflag, m.Size = tar.TypeReg, int64(len(text))
		}
		if m.Mode == 0 {
			m.Mode = 0o644
		}
		m.Format = tar.FormatUSTAR
		if err := w.WriteHeader(&m); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func text(s string) map[string]string { return map[string]string{"text": s} }

func TestOpenRefuses(t *testing.T) {
	file, h, digest := written(t)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	any := Want{Step: Build, Plan: plan}
	members := func(change func(all []tar.Header) []tar.Header) func() []byte {
		return func() []byte {
			all := []tar.Header{{Name: headerName, PAXRecords: text(string(encoded))}}
			for _, f := range h.Files {
				all = append(all, tar.Header{Name: f.Name, PAXRecords: text(content[f.Name])})
			}
			return tarOf(t, change(all)...)
		}
	}
	edited := func(old, new string) func() []byte {
		return members(func(all []tar.Header) []tar.Header {
			if strings.Count(string(encoded), old) != 1 {
				t.Fatalf("%q is not there once", old)
			}
			all[0].PAXRecords = text(strings.Replace(string(encoded), old, new, 1))
			return all
		})
	}
	if same := members(func(all []tar.Header) []tar.Header { return all })(); !bytes.Equal(same, good) {
		t.Fatal("the test writes another archive than the package")
	}
	for _, tt := range []struct {
		name string
		data func() []byte
		want Want
		is   error
		says string
	}{
		{"another digest", nil, Want{Build, plan, Digests{"build_1": plan}}, ErrDigest, digest.String()},
		{"no digest", nil, Want{Build, plan, Digests{}}, ErrDigest, digest.String()},
		{"the digest of another shard", nil, Want{Build, plan, Digests{"build_1": plan, "build_2": digest}}, ErrDigest, "build_1 has to be " + plan.String()},
		{"the digest of another step", nil, Want{Build, plan, Digests{"audit_1": digest}}, ErrDigest, "nobody said which build_1 has to be"},
		{"another step", nil, Want{Sign, plan, nil}, ErrStep, "of release:build, not of release:sign"},
		{"another plan", nil, Want{Build, digest, nil}, ErrPlan, plan.String()},
		{"no plan", nil, Want{Step: Build}, ErrPlan, plan.String()},
		{"nothing", func() []byte { return nil }, any, ErrMalformed, "it ends too early"},
		{"no tar", func() []byte { return bytes.Repeat([]byte("x"), 2048) }, any, ErrMalformed, "it does not begin with handover.json"},
		{"half", func() []byte { return good[:len(good)/2] }, any, ErrMalformed, "it would have"},
		{"without its end", func() []byte { return good[:len(good)-block] }, any, ErrMalformed, "it would have"},
		{"something behind", func() []byte { return append(bytes.Clone(good), make([]byte, block)...) }, any, ErrMalformed, "it would have"},
		{"another end", func() []byte { d := bytes.Clone(good); d[len(d)-1] = 1; return d }, any, ErrMalformed, "at its end"},
		{"something in the padding", func() []byte {
			d := bytes.Clone(good)
			d[len(d)-5*block-1] = 1 // behind A.tar.gz
			return d
		}, any, ErrMalformed, "behind dist/A.tar.gz"},
		{"another content", members(func(all []tar.Header) []tar.Header { all[1].PAXRecords = text("[]"); return all }), any, ErrMalformed, "has the digest"},
		{"a link", members(func(all []tar.Header) []tar.Header {
			all[3] = tar.Header{Name: all[3].Name, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}
			return all
		}), any, ErrMalformed, "another member stands, or one of another form"},
		{"a hard link", members(func(all []tar.Header) []tar.Header {
			all[3] = tar.Header{Name: all[3].Name, Typeflag: tar.TypeLink, Linkname: all[2].Name}
			return all
		}), any, ErrMalformed, "of another form"},
		{"a program", members(func(all []tar.Header) []tar.Header { all[2].Mode = 0o755; return all }), any, ErrMalformed, "of another form"},
		{"an owner", members(func(all []tar.Header) []tar.Header { all[2].Uname = "root"; return all }), any, ErrMalformed, "of another form"},
		{"a member twice", members(func(all []tar.Header) []tar.Header { all[3] = all[2]; return all }), any, ErrMalformed, "it would have"},
		{"another order", members(func(all []tar.Header) []tar.Header { all[1], all[2] = all[2], all[1]; return all }), any, ErrMalformed, "where handover.json names beside/vulndb/ID/GO-1.json"},
		{"a member more", members(func(all []tar.Header) []tar.Header { return append(all, tar.Header{Name: "x"}) }), any, ErrMalformed, "it would have"},
		{"another first", members(func(all []tar.Header) []tar.Header { all[0].Name = "x"; return all }), any, ErrMalformed, "it does not begin with"},
		{"a lying size", edited(`"size": 1000`, `"size": 1001`), any, ErrMalformed, "of another form"},
		{"a huge size", edited(`"size": 1000`, `"size": 9000000000`), any, ErrMalformed, "larger"},
		{"a name twice", edited(`"dist/SHA256SUMS"`, `"dist/A.tar.gz"`), any, ErrMalformed, "twice"},
		{"a name in other capitals", edited(`"dist/SHA256SUMS"`, `"dist/a.tar.gz"`), any, ErrMalformed, "twice"},
		{"a folder in other capitals", edited(`"beside/`, `"Dist/`), any, ErrMalformed, "in other capitals"},
		{"a file that is a folder", edited(`"beside/vulndb/ID/GO-1.json"`, `"dist"`), any, ErrMalformed, "a folder too"},
		{"a name that leads out", edited(`"beside/`, `"../`), any, ErrMalformed, "leads out"},
		{"a hidden name", edited(`"beside/vulndb/ID/GO-1.json"`, `"dist/.unpacking"`), any, ErrMalformed, "hidden"},
		{"its own name", edited(`"beside/vulndb/ID/GO-1.json"`, `"handover.json"`), any, ErrMalformed, "twice"},
		{"a mode", edited(`"size": 1000`, `"mode": "0755", "size": 1000`), any, ErrMalformed, "has a mode"},
		{"another schema", edited(`handover.v1`, `handover.v2`), any, ErrMalformed, "schema"},
		{"a step that is none", edited(`"build"`, `"plan"`), any, ErrMalformed, "no step is called"},
		{"a shard of a step without", edited(`"build"`, `"sign"`), any, ErrMalformed, `shard "1/2" of step sign`},
		{"a shard that is none", edited(`"1/2"`, `"3/2"`), any, ErrMalformed, "is no shard"},
		{"a commit that is none", edited(header.Commit, "main"), any, ErrMalformed, "is no commit"},
		{"no tool", edited(header.Tool, ""), any, ErrMalformed, "which tool"},
		{"inputs in another order", edited(h.Inputs[0].Hex(), strings.Repeat("f", 64)), any, ErrMalformed, "out of order"},
		{"an unknown field", edited(`"step"`, `"more": 1, "step"`), any, ErrMalformed, "unknown field"},
		{"a key twice", edited(`"step"`, `"step": "build", "step"`), any, ErrMalformed, "the form"},
		{"something behind the header", edited("  ]\n}\n", "  ]\n}\n{}"), any, ErrMalformed, "something follows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := file
			if tt.data != nil {
				name = filepath.Join(t.TempDir(), "x.tar")
				if err := os.WriteFile(name, tt.data(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f, err := Open(t.Context(), name, tt.want)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want %v: %s", err, tt.is, tt.says)
			}
			if f != nil {
				t.Error("it is opened")
			}
		})
	}
	if _, err := Open(t.Context(), t.TempDir(), any); !errors.Is(err, ErrMalformed) {
		t.Errorf("a folder: %v", err)
	}
}

// A header as large as its bound says is not read into memory before it comes.
func TestOpenTooLarge(t *testing.T) {
	head, err := headOf(headerName, MaxHeader+1)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, Want{Step: Build, Plan: plan}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Skip(err) // a file system without holes
	}
	if _, err := Open(t.Context(), file, Want{Step: Build, Plan: plan}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a terabyte: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name, want string
		ctx        context.Context
		change     func(root *os.Root, h *Header) error
	}{
		{"a file that changed", "it changed meanwhile", nil, func(root *os.Root, _ *Header) error {
			return root.WriteFile("dist/release.json", bytes.Repeat([]byte("y"), block), 0o644)
		}},
		{"a file that grew", "it changed meanwhile", nil, func(root *os.Root, _ *Header) error {
			return root.WriteFile("dist/release.json", bytes.Repeat([]byte("x"), block+1), 0o644)
		}},
		{"a file that went", "no such file", nil, func(root *os.Root, _ *Header) error { return root.Remove("dist/release.json") }},
		{"a link that leads out", "escapes", nil, func(root *os.Root, _ *Header) error {
			return errors.Join(root.Remove("dist/release.json"), root.Symlink("/etc/passwd", "dist/release.json"))
		}},
		{"nothing", "it holds nothing", nil, func(_ *os.Root, h *Header) error { h.Files = nil; return nil }},
		{"no commit", "no commit", nil, func(_ *os.Root, h *Header) error { h.Commit = ""; return nil }},
		{"an interrupt", "context canceled", ended, func(*os.Root, *Header) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := folder(t, content)
			h := header
			var err error
			if h.Files, err = Files(t.Context(), root, All); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(root, &h); err != nil {
				t.Fatal(err)
			}
			out := folder(t, map[string]string{"build.tar": "the former one"})
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			if _, err = Write(ctx, filepath.Join(out.Name(), "build.tar"), h, root); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if got := filesOf(t, out); !equal(got, map[string]string{"build.tar": "the former one"}) {
				t.Errorf("it left %v", got)
			}
		})
	}
}

func TestFilesRefuses(t *testing.T) {
	root := folder(t, content)
	if err := root.Symlink("SHA256SUMS", "dist/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := Files(t.Context(), root, All); err == nil || !strings.Contains(err.Error(), "neither a regular file nor a folder") {
		t.Errorf("a link: %v", err)
	}
	files, err := Files(t.Context(), root, func(name string) bool { return name == "dist/SHA256SUMS" })
	if err != nil || len(files) != 1 || files[0] != (artifact.File{Name: "dist/SHA256SUMS", Digest: artifact.DigestBytes(nil)}) {
		t.Errorf("got %v, %v", files, err)
	}
}

// What changes between opening and unpacking is not unpacked.
func TestUnpackRefuses(t *testing.T) {
	file, _, _ := written(t)
	f, err := Open(t.Context(), file, Want{Step: Build, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	outside := folder(t, nil)
	root := folder(t, nil)
	if err := root.Symlink(outside.Name(), "dist"); err != nil {
		t.Fatal(err)
	}
	if err := f.Unpack(t.Context(), root); err == nil {
		t.Error("it is unpacked through a link")
	}
	if got := filesOf(t, outside); len(got) != 0 {
		t.Errorf("it wrote %v", got)
	}
	root = folder(t, map[string]string{"dist/release.json/x": ""})
	if err := f.Unpack(t.Context(), root); err == nil || !strings.Contains(err.Error(), "a folder lies in its place") {
		t.Errorf("a folder in its place: %v", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("an archive"))
	out, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = out.WriteAt([]byte("AN"), int64(at))
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	root = folder(t, nil)
	if err := f.Unpack(t.Context(), root); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if got := filesOf(t, root); !equal(got, map[string]string{"beside/vulndb/ID/GO-1.json": "{}"}) {
		t.Errorf("it left %v", got)
	}
}
