package handover

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

var (
	plan   = artifact.DigestBytes([]byte("a plan"))
	header = Header{
		Schema: Schema, Step: Build, Plan: plan, Commit: strings.Repeat("ab", 20), Shard: Shard{1, 2},
		Tool: "h1:5NBkmd8MXirajj6AAEpi4HFVJnVkBNPTL1ggYAKqaws=",
	}
	content = map[string]string{
		"dist/A.tar.gz": strings.Repeat("an archive", 100), "dist/SHA256SUMS": "", "dist/release.json": strings.Repeat("x", block),
		"beside/vulndb/ID/GO-1.json": "{}",
	}
)

// folder is a folder with those files.
func folder(t testing.TB, files map[string]string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for name, text := range files {
		if err := errors.Join(root.MkdirAll(filepath.Dir(name), 0o755), root.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// written is a hand-over of content, and what it is.
func written(t testing.TB) (file string, h Header, digest artifact.Digest) {
	t.Helper()
	root := folder(t, content)
	h = header
	h.Inputs = SortDigests([]artifact.Digest{artifact.DigestBytes([]byte("2")), artifact.DigestBytes([]byte("1")), artifact.DigestBytes([]byte("2"))})
	var err error
	if h.Files, err = Files(t.Context(), root, All); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "build.tar")
	if digest, err = Write(t.Context(), file, h, root); err != nil {
		t.Fatal(err)
	}
	return file, h, digest
}

func filesOf(t *testing.T, root *os.Root) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := root.ReadFile(name)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if other, ok := b[name]; !ok || other != text {
			return false
		}
	}
	return true
}

func TestHandOver(t *testing.T) {
	file, h, digest := written(t)
	again, _, other := written(t)
	a, err := os.ReadFile(file)
	b, err2 := os.ReadFile(again)
	if err != nil || err2 != nil || !bytes.Equal(a, b) || digest != other || digest != artifact.DigestBytes(a) {
		t.Fatalf("twice the same files: %s and %s, %v %v", digest, other, err, err2)
	}
	f, err := Open(t.Context(), file, Want{Build, plan, Digests{"build_1": digest, "build_2": plan}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !f.Header().same(h) || f.Digest() != digest || !slices.Equal(f.Header().Files, h.Files) {
		t.Errorf("got %+v, %s", f.Header(), f.Digest())
	}
	root := folder(t, map[string]string{"dist/SHA256SUMS": "old", "dist/A.tar.gz": content["dist/A.tar.gz"], "dist/.unpacking": "of a run that was killed"})
	before, err := root.Stat("dist/A.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Unpack(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got := filesOf(t, root); !equal(got, content) {
		t.Errorf("unpacked %v", got)
	}
	if after, err := root.Stat("dist/A.tar.gz"); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that was there already was written again: %v", err)
	}
	for name, text := range content {
		if data, err := f.Read(name, int64(len(text))); err != nil || string(data) != text {
			t.Errorf("reading %s: %q, %v", name, data, err)
		}
	}
	if _, err := f.Read("dist/release.json", block-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("reading too much: %v", err)
	}
	if _, err := f.Read("dist/cosign.pub", block); !errors.Is(err, ErrMalformed) {
		t.Errorf("reading what is not there: %v", err)
	}
	some := folder(t, nil)
	if err := f.UnpackOnly(t.Context(), some, func(name string) bool { return name == "dist/A.tar.gz" }); err != nil {
		t.Fatal(err)
	}
	if got := filesOf(t, some); !equal(got, map[string]string{"dist/A.tar.gz": content["dist/A.tar.gz"]}) {
		t.Errorf("unpacked %v", got)
	}
	// Any tar reads it.
	r := tar.NewReader(bytes.NewReader(a))
	var names []string
	for {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if head.Mode != 0o644 || head.Typeflag != tar.TypeReg || head.Format != tar.FormatUSTAR || head.ModTime.Unix() != 0 {
			t.Errorf("%+v", head)
		}
		names = append(names, head.Name)
	}
	if want := []string{headerName, "beside/vulndb/ID/GO-1.json", "dist/A.tar.gz", "dist/SHA256SUMS", "dist/release.json"}; !slices.Equal(names, want) {
		t.Errorf("it holds %q, want %q", names, want)
	}
}

func TestDone(t *testing.T) {
	file, h, digest := written(t)
	if got, done := Done(t.Context(), file, h); !done || got != digest {
		t.Errorf("got %s, %v", got, done)
	}
	for name, change := range map[string]func(h *Header){
		"step":   func(h *Header) { h.Step = Audit },
		"plan":   func(h *Header) { h.Plan = artifact.DigestBytes(nil) },
		"commit": func(h *Header) { h.Commit = strings.Repeat("cd", 20) },
		"tool":   func(h *Header) { h.Tool = "h1:another" },
		"shard":  func(h *Header) { h.Shard = Shard{2, 2} },
		"inputs": func(h *Header) { h.Inputs = h.Inputs[:1] },
	} {
		other := h
		if change(&other); other.same(h) {
			t.Fatal(name)
		}
		if _, done := Done(t.Context(), file, other); done {
			t.Errorf("another %s: it is done", name)
		}
	}
	if err := os.Truncate(file, 4096); err != nil {
		t.Fatal(err)
	}
	if _, done := Done(t.Context(), file, h); done {
		t.Error("half of it is done")
	}
	if _, done := Done(t.Context(), file+"x", h); done {
		t.Error("what is not there is done")
	}
}

func TestShard(t *testing.T) {
	for _, good := range []string{"1/1", "1/2", "2/2", "3/8", "99/99"} {
		s, err := ParseShard(good)
		if err != nil || s.String() != good {
			t.Errorf("%s: %v, %v", good, s, err)
		}
	}
	for _, bad := range []string{"", "1", "0/2", "3/2", "1/100", "01/2", "+1/2", "1/2/3", " 1/2", "-1/-1", "1/", "/1"} {
		if s, err := ParseShard(bad); err == nil {
			t.Errorf("%q: %v", bad, s)
		}
	}
	if got := Name(Build, Shard{1, 2}); got != "build-1-of-2.tar" {
		t.Error(got)
	}
	if got := Name(Sign, Shard{}); got != "sign.tar" {
		t.Error(got)
	}
}

// Whatever is read as a header is written in the same bytes.
func FuzzHeader(f *testing.F) {
	_, h, _ := written(f)
	data, err := h.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Add(bytes.Replace(data, []byte("1/2"), []byte("2/2"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHeader(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if again, err := h.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v\n%s\n%s", err, data, again)
		}
	})
}

// No file of any content ends in anything but a refusal, or a hand-over that is
// written in the same bytes.
func FuzzOpen(f *testing.F) {
	file, _, _ := written(f)
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		name := filepath.Join(dir, "x.tar")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		opened, err := Open(t.Context(), name, Want{Step: Build, Plan: plan})
		if err != nil {
			return
		}
		defer opened.Close()
		root := folder(t, nil)
		if err := opened.Unpack(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(dir, "y.tar")
		if digest, err := Write(t.Context(), again, opened.Header(), root); err != nil || digest != opened.Digest() {
			t.Fatalf("%s, %v, want %s", digest, err, opened.Digest())
		}
	})
}

// Of a shard that there are no checks for, its audit hands over nothing.
func TestNothing(t *testing.T) {
	h := header
	h.Step = Audit
	file := filepath.Join(t.TempDir(), "audit.tar")
	digest, err := Write(t.Context(), file, h, folder(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), file, Want{Audit, plan, Digests{Key(Audit, h.Shard): digest}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root := folder(t, nil)
	if err := f.Unpack(t.Context(), root); err != nil || len(filesOf(t, root)) > 0 {
		t.Errorf("it holds something: %v", err)
	}
}

// Of a shard that no check knows there is no result, and that is handed over: as an
// empty list, and in no other form.
func TestNothingAudited(t *testing.T) {
	h := header
	h.Step = Audit
	file := filepath.Join(t.TempDir(), "audit.tar")
	if _, err := Write(t.Context(), file, h, folder(t, nil)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), file, Want{Step: Audit, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Header().Files; got == nil || len(got) != 0 {
		t.Errorf("it holds %v", got)
	}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	null := bytes.Replace(data, []byte(`"files": []`), []byte(`"files": null`), 1)
	if _, err := ParseHeader(null); bytes.Equal(null, data) || !errors.Is(err, ErrMalformed) {
		t.Errorf("with null: %v", err)
	}
}
