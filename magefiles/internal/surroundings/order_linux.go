package surroundings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// What has to be free in memory: as much as cold caches took when one artifact of
// each component was built, and for the compiler.
const (
	compilerMemory = int64(3 << 30) // bytes, which the caches never get
	firstMemory    = int64(3 << 30)
	eachMemory     = int64(1 << 30) // for each program
)

// reorder lays a file system in memory over dir: it lists the files of a folder
// in another order than most disks, which go by a hash of the names or by what
// was made first. Whether it is another one than that of dir is found out. It
// returns how many bytes there is room for, at most twice as much as was wanted.
// The error says why there is none; it is for a statement that others read, and
// names no folder of this machine.
func reorder(dir string, programs int) (size int64, err error) {
	defer func() {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = fmt.Errorf("caches in memory, which lists files in another order: %s %s: %w", p.Op, filepath.Base(p.Path), p.Err)
		}
	}()
	free, err := freeMemory("/proc", "/sys/fs/cgroup")
	if err != nil {
		return 0, fmt.Errorf("it is not known how much memory is free for a file system with another order: %w", err)
	}
	size, err = room(free, programs)
	if err != nil {
		return 0, err
	}
	before, err := listing(dir)
	if err != nil {
		return 0, err
	}
	// Nothing mounted here may travel to the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("palisade", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return 0, fmt.Errorf("mounting a file system in memory: %w", err)
	}
	after, err := listing(dir)
	if err == nil && slices.Equal(before, after) {
		err = errors.New("a file system in memory lists files in the same order as that of the cache")
	}
	if err != nil {
		return 0, errors.Join(err, unix.Unmount(dir, 0))
	}
	return size, nil
}

// room is how many bytes of those that are free the caches of some programs get.
func room(free int64, programs int) (int64, error) {
	caches := firstMemory + int64(programs)*eachMemory
	if wanted := compilerMemory + caches; free < wanted {
		return 0, fmt.Errorf("caches in memory, which lists files in another order, want %d GiB of it to be free, and %.1f are", wanted>>30, float64(free)/(1<<30))
	}
	return min(free-compilerMemory, 2*caches), nil
}

// listing is the order in which the file system of dir lists files that are made
// there one after the other, and removed.
func listing(dir string) ([]string, error) {
	dir, err := os.MkdirTemp(dir, "order-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for i := range 32 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i*i)), nil, 0o600); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1) // not sorted
}
