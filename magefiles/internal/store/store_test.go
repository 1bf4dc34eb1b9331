package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

// made is what the tests' step returns.
type made struct {
	Name  string            `json:"name"`
	Sizes map[string]int    `json:"sizes,omitempty"`
	File  artifact.Digest   `json:"file"`
	When  time.Time         `json:"when"`
	None  []artifact.Module `json:"none"`
}

// produce leaves two files, one of which runs, and an empty directory.
func produce(_ context.Context, dir string) (made, error) {
	for _, sub := range []string{"bin", "empty"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o750); err != nil {
			return made{}, err
		}
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "bin", "tool"), []byte("#!/bin/tool\n"), 0o700),
		os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a <b>"), 0o400),
	)
	return made{Name: "a <b> é", Sizes: map[string]int{"z": 1, "a": 2}, File: artifact.DigestBytes(nil), When: time.Now()}, err
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nothingLeft holds that neither a step nor work in progress is in the store.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"steps/*/*", "tmp/*"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestDo(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027)) // recorded modes must not show it
	dir := filepath.Join(t.TempDir(), "cache")
	s := open(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store has mode %v, %v; want 0700", info.Mode(), err)
	}
	key := NewKey("compile", "a", "b")
	if _, _, ok, err := Peek[made](s, key); ok || err != nil {
		t.Fatalf("an empty store has %v, %v", ok, err)
	}
	value, entry, cached, err := Do(t.Context(), s, key, produce)
	if err != nil || cached {
		t.Fatalf("first: cached %v, %v", cached, err)
	}
	want := []artifact.File{
		{Name: "a.txt", Mode: "0644", Size: 5, Digest: artifact.DigestBytes([]byte("a <b>"))},
		{Name: "bin/tool", Mode: "0755", Size: 12, Digest: artifact.DigestBytes([]byte("#!/bin/tool\n"))},
	}
	if !reflect.DeepEqual(entry.Files, want) {
		t.Errorf("files %v, want %v", entry.Files, want)
	}
	if info, err := os.Stat(filepath.Join(entry.Dir, "empty")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("empty directory: %v, %v", info, err)
	}
	again, entry2, cached, err := Do(t.Context(), open(t, dir), key, func(context.Context, string) (made, error) {
		t.Error("made twice")
		return made{}, nil
	})
	if err != nil || !cached {
		t.Fatalf("second: cached %v, %v", cached, err)
	}
	if !reflect.DeepEqual(again, value) || !reflect.DeepEqual(entry2, entry) {
		t.Errorf("the found result differs from the made one:\n%v %v\n%v %v", again, entry2, value, entry)
	}
	if err := entry.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := entry.Verify(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("verifying for nobody: got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeys(t *testing.T) {
	seen := map[Key]string{}
	for _, parts := range [][]string{
		{"s"}, {"s", ""}, {"s", "", ""}, {"s", "ab"}, {"s", "a", "b"}, {"s", "b", "a"}, {"s", "a\x00b"}, {"sa", "b"}, {"s", "\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		key := NewKey(parts[0], parts[1:]...)
		if other, ok := seen[key]; ok || key != NewKey(parts[0], parts[1:]...) {
			t.Errorf("%q has the key of %q", parts, other)
		}
		seen[key] = fmt.Sprintf("%q", parts)
	}
	s := open(t, t.TempDir())
	for _, step := range []string{"", "..", "a/b", "A", "-a", strings.Repeat("a", 65)} {
		if _, _, _, err := Do(t.Context(), s, NewKey(step), produce); err == nil {
			t.Errorf("step %q passes", step)
		}
	}
}

func TestFailedStepLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(t.Context())
	for name, test := range map[string]struct {
		produce func(context.Context, string) (any, error)
		want    string
	}{
		"error": {func(_ context.Context, dir string) (any, error) {
			// As a module cache does, it leaves what even its owner cannot remove at once.
			os.MkdirAll(filepath.Join(dir, "ro", "deep"), 0o755)
			os.WriteFile(filepath.Join(dir, "ro", "deep", "f"), nil, 0o444)
			os.Chmod(filepath.Join(dir, "ro", "deep"), 0o555)
			return nil, boom
		}, "boom"},
		"symlink": {func(_ context.Context, dir string) (any, error) {
			return nil, os.Symlink("/etc/passwd", filepath.Join(dir, "link"))
		}, "link is neither a regular file nor a directory"},
		"pipe": {func(_ context.Context, dir string) (any, error) {
			return nil, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644)
		}, "pipe is neither a regular file nor a directory"},
		"no JSON form": {func(context.Context, string) (any, error) { return func() {}, nil }, "encoding its value"},
		"ended": {func(context.Context, string) (any, error) {
			cancel(errors.New("interrupted"))
			return 1, nil
		}, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			c := t.Context()
			if name == "ended" {
				c = ctx
			}
			_, _, _, err := Do(c, s, NewKey("step"), test.produce)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			nothingLeft(t, dir)
			if _, _, cached, err := Do(t.Context(), s, NewKey("step"), produce); cached || err != nil {
				t.Errorf("the next run: cached %v, %v", cached, err)
			}
		})
	}
	t.Run("panic", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		func() {
			defer func() { recover() }()
			Do(t.Context(), s, NewKey("step"), func(context.Context, string) (int, error) { panic("bug") })
		}()
		nothingLeft(t, dir)
		if _, _, _, err := Do(t.Context(), s, NewKey("step"), produce); err != nil {
			t.Error(err)
		}
	})
}

func read(e Entry, name string) (string, error) {
	r, err := e.Open(name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func TestRead(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	s := open(t, t.TempDir())
	_, entry, _, err := Do(t.Context(), s, NewKey("step"), produce)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(entry, "bin/tool"); got != "#!/bin/tool\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{"none", "empty", "bin", "../result.json", ""} {
		if _, err := entry.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening %q: got %v, want fs.ErrNotExist", name, err)
		}
	}
	dir := t.TempDir()
	dst := filepath.Join(dir, "tool")
	leftover := filepath.Join(dir, ".tool.tmp-123")
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first
		if err := entry.CopyTo("bin/tool", dst, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dst); err != nil || info.Mode() != 0o755 {
		t.Errorf("copied with mode %v, %v; want 0755", info.Mode(), err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
	if err := entry.CopyTo("bin/tool", filepath.Join(dir, "none", "tool"), 0o755); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copying into a directory that is not there: got %v", err)
	}
}

func TestGoroutinesMakeOnce(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{open(t, dir), open(t, dir)} // as two parts of a program may
	var runs [3]atomic.Int32
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			value, entry, _, err := Do(t.Context(), stores[i%2], NewKey("step", fmt.Sprint(i%3)), func(ctx context.Context, dir string) (made, error) {
				runs[i%3].Add(1)
				time.Sleep(20 * time.Millisecond)
				return produce(ctx, dir)
			})
			if err != nil || value.Name == "" || len(entry.Files) != 2 {
				t.Errorf("got %v, %v, %v", value, entry, err)
			}
		})
	}
	wg.Wait()
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("step %d was made %d times", i, n)
		}
	}
	for _, s := range stores {
		if len(s.held) != 0 {
			t.Errorf("%d locks are still known", len(s.held))
		}
	}
}

func TestLockHonoursContext(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	unlock, err := s.Lock(t.Context(), "a/../name with ÿ")
	if err != nil {
		t.Fatal(err)
	}
	for name, waiter := range map[string]*Store{"in process": s, "by flock": other} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		go cancel(stop)
		if _, err := waiter.Lock(ctx, "a/../name with ÿ"); !errors.Is(err, stop) {
			t.Errorf("%s: got %v, want the context's cause", name, err)
		}
	}
	if free, err := other.Lock(t.Context(), "another"); err != nil {
		t.Error(err)
	} else {
		free()
	}
	var waits []string
	other.Waiting = func(name string) { waits = append(waits, name); unlock() }
	if free, err := other.Lock(t.Context(), "a/../name with ÿ"); err != nil {
		t.Error(err)
	} else {
		free()
	}
	if len(waits) != 1 || waits[0] != "a/../name with ÿ" {
		t.Errorf("told %q, want the lock's name once", waits)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	path := s.Dir("mod", "cache", "x")
	if path != filepath.Join(dir, "mod", "cache", "x") {
		t.Errorf("got %s", path)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Error(err)
	}
	if got := s.Dir(); got != dir {
		t.Errorf("got %s, want %s", got, dir)
	}
	for _, elem := range []string{"..", "a/../../b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q leads out of the store and passes", elem)
				}
			}()
			s.Dir(elem)
		}()
	}
}
