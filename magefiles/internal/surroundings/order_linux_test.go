package surroundings

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is listed is all that was made, and nothing is left of it.
func TestListing(t *testing.T) {
	dir := t.TempDir()
	names, err := listing(dir)
	if err != nil || len(names) != 32 || !slices.Contains(names, "961") {
		t.Errorf("got %q, %v", names, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// Nothing is laid over anything where that would be too large, and it is said;
// nor where the folder cannot be listed, and then the reason tells no path.
func TestReorderRefuses(t *testing.T) {
	if _, err := reorder(t.TempDir(), 1<<20); err == nil || !strings.Contains(err.Error(), "want 1048582 GiB of it to be free, and ") {
		t.Errorf("got %v", err)
	}
	if free, err := freeMemory("/proc", "/sys/fs/cgroup"); err != nil || free < compilerMemory+firstMemory {
		t.Skipf("%d bytes are free, %v", free, err)
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if _, err := reorder(nowhere, 0); err == nil || strings.Contains(err.Error(), nowhere) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

// Where somebody else can lay a file system in memory over a folder, so does Do;
// and lays none over a folder that lies in memory already, whose order it is.
func TestDoVariesOrder(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", t.TempDir()).CombinedOutput(); err != nil {
		t.Skipf("no file system in memory here: %v: %s", err, out)
	}
	free, err := freeMemory("/proc", "/sys/fs/cgroup")
	if err != nil || free < compilerMemory+firstMemory+eachMemory {
		t.Skipf("%d bytes are free, %v", free, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ dir, why string }{
		{t.TempDir(), ""},
		{"/dev/shm", "a file system in memory lists files in the same order as that of the cache"},
	} {
		t.Run(tt.dir, func(t *testing.T) {
			cache, err := os.MkdirTemp(tt.dir, "surroundings-")
			if err != nil {
				t.Skip(err)
			}
			defer os.RemoveAll(cache)
			var fs unix.Statfs_t
			if err := unix.Statfs(cache, &fs); err != nil || (fs.Type == unix.TMPFS_MAGIC) != (tt.why != "") {
				t.Skipf("it lies on a file system of type %x, %v", fs.Type, err)
			}
			var stderr bytes.Buffer
			tried, err := Do(t.Context(), Place{Home: t.TempDir(), Cache: cache, Stderr: &stderr}, []Program{
				{Name: "leave", Args: []string{self, leaveArg, cache}, Dir: cache},
				{Name: "fail", Args: []string{self, observeArg, "fail"}, Dir: cache, Keep: []string{"CACHE=" + cache}},
			})
			if err == nil {
				t.Fatal("it did not fail")
			}
			i := slices.IndexFunc(tried, func(v Variation) bool { return v.Name == fileOrder })
			if i < 0 || tried[i].Why != tt.why {
				t.Fatalf("got %+v", tried)
			}
			inMemory := tt.why == ""
			if _, err := os.Stat(filepath.Join(cache, "shared")); (err == nil) == inMemory {
				t.Errorf("what a program left: %v", err)
			}
			if strings.Contains(stderr.String(), "(what was at "+cache+" lay in memory, with room for ") != inMemory {
				t.Errorf("it says %s", stderr.String())
			}
		})
	}
}

// A file system in memory has room for twice what is wanted, and not for all that
// is free.
func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		free     int64
		programs int
		want     int64
	}{
		{7 << 30, 1, 4 << 30}, {9 << 30, 1, 6 << 30}, {64 << 30, 1, 8 << 30}, {64 << 30, 6, 18 << 30},
	} {
		if got, err := room(tt.free, tt.programs); got != tt.want || err != nil {
			t.Errorf("of %d, %d programs get %d, %v", tt.free, tt.programs, got, err)
		}
	}
	if got, err := room(7<<30-1, 1); err == nil {
		t.Errorf("got %d", got)
	}
}
