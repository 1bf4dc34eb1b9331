package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/consume"
)

// The folder of a version appears whole, for everybody to read, and stays as it is.
func TestDirectory(t *testing.T) {
	ctx := context.Background()
	r := newFiles(t, "binary")
	opened, dir := openRelease(t, r), filepath.Join(t.TempDir(), "site")
	of, want := entry(t, opened), published(t, r)
	if err := os.MkdirAll(filepath.Join(dir, ".v1.0.0.tmp", "left"), 0o755); err != nil { // by a run that was killed
		t.Fatal(err)
	}
	refuse := errors.New("not this one")
	if _, err := opened.ToDirectory(ctx, dir, version, func(_ context.Context, folder string) error {
		same(t, contents(t, folder), want)
		return refuse
	}); !errors.Is(err, refuse) {
		t.Fatal(err)
	}
	if left := contents(t, dir); len(left) > 0 {
		t.Errorf("what was refused left %v", left)
	}
	there, err := opened.ToDirectory(ctx, dir, version, nil)
	if err != nil || there {
		t.Fatal(there, err)
	}
	same(t, contents(t, filepath.Join(dir, "v1.0.0")), want)
	err = filepath.WalkDir(filepath.Join(dir, "v1.0.0"), func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if mode := map[bool]os.FileMode{true: 0o755, false: 0o644}[e.IsDir()]; err == nil && info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := fetch(t, consume.Directory(dir), of)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	// One that is there is judged as it lies there, though it has these very files.
	if err := os.MkdirAll(filepath.Join(dir, "v1.0.0", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{refuse, nil} {
		judged := ""
		there, err := openRelease(t, r).ToDirectory(ctx, dir, version, func(_ context.Context, folder string) error { judged = folder; return want })
		if !errors.Is(err, want) || there != (want == nil) || judged != filepath.Join(dir, "v1.0.0") {
			t.Errorf("again: %t, %v, want %v; judged was %q", there, err, want, judged)
		}
	}
	if _, err := openRelease(t, newFiles(t, "another")).ToDirectory(ctx, dir, version, nil); !errors.Is(err, ErrTag) {
		t.Errorf("another content: %v, want %v", err, ErrTag)
	}
	same(t, contents(t, filepath.Join(dir, "v1.0.0")), want)
	for name, spoil := range map[string]func(dir string) error{
		"a file more":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600) },
		"a file less":  func(dir string) error { return os.Remove(filepath.Join(dir, "SHA256SUMS")) },
		"another file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte("x"), 0o600) },
		"nothing":      os.RemoveAll,
		"a plain file": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, []byte("x"), 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			other := t.TempDir()
			if _, err := opened.ToDirectory(ctx, other, version, nil); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(other, "v1.0.0")); err != nil {
				t.Fatal(err)
			}
			if _, err := fetch(t, consume.Directory(other), of); err == nil && name != "a file more" {
				t.Error("it is fetched as it is")
			}
			if there, err := opened.ToDirectory(ctx, other, version, nil); there || (err == nil) != (name == "nothing") {
				t.Errorf("put again: %t, %v", there, err)
			}
		})
	}
}

// What lies in a directory is another release than the index says.
func TestDirectoryMismatch(t *testing.T) {
	r := newFiles(t, "binary")
	opened, dir := openRelease(t, r), t.TempDir()
	if _, err := opened.ToDirectory(context.Background(), dir, version, nil); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*releases.Release){
		"release.json": func(r *releases.Release) { r.Manifest = artifact.DigestBytes(nil) },
		"files":        func(r *releases.Release) { r.Files = artifact.DigestBytes(nil) },
	} {
		of := entry(t, opened)
		change(&of)
		if got, err := fetch(t, consume.Directory(dir), of); !errors.Is(err, consume.ErrMismatch) || len(got) > 0 {
			t.Errorf("another %s: %v, want %v; fetched %d files", name, err, consume.ErrMismatch, len(got))
		}
	}
	of := entry(t, opened)
	of.Version = "1.0.1"
	if _, err := fetch(t, consume.Directory(dir), of); !errors.Is(err, consume.ErrNone) {
		t.Errorf("another version: %v", err)
	}
}

// A run that ends early leaves no folder, and of several at once one makes it.
func TestDirectoryAtOnce(t *testing.T) {
	r := newFiles(t, "binary")
	opened, dir := openRelease(t, r), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := opened.ToDirectory(ctx, dir, version, func(context.Context, string) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	var made sync.Map
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			there, err := opened.ToDirectory(context.Background(), dir, version, nil)
			if err != nil {
				t.Error(err)
			}
			if !there {
				made.Store(n, true)
			}
		})
	}
	all.Wait()
	count := 0
	made.Range(func(any, any) bool { count++; return true })
	if left, err := os.ReadDir(dir); count != 1 || err != nil || len(left) != 1 {
		t.Errorf("made %d times: %v, %v", count, left, err)
	}
}

// What changes after it was read is not published.
func TestDirectoryChanged(t *testing.T) {
	r := newFiles(t, "binary")
	opened, dir := openRelease(t, r), t.TempDir()
	name := r.image.Platforms[0].Artifact
	r.write(t, name, []byte(strings.ToUpper(name)))
	if _, err := opened.ToDirectory(context.Background(), dir, version, nil); !errors.Is(err, consume.ErrMismatch) {
		t.Errorf("%v, want %v", err, consume.ErrMismatch)
	}
	s := newServer(t, true)
	if _, err := publishFiles(s.options(), opened, nil); !errors.Is(err, ErrMismatch) || slicesContain(s.heard("PUT"), "manifests/") {
		t.Errorf("%v, want %v", err, ErrMismatch)
	}
}

func slicesContain(all []string, part string) bool {
	return strings.Contains(strings.Join(all, "\n"), part)
}
