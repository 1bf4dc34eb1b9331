package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Temp makes an empty directory on the store's own file system. It is
// remove's to delete, or, after this process has died, the next Open's.
func (s *Store) Temp(prefix string) (dir string, remove func(), err error) {
	dir, f, err := s.temp(prefix)
	if err != nil {
		return "", nil, fmt.Errorf("making a temporary directory: %w", s.explain(err))
	}
	return dir, func() { _ = removeAll(dir); f.Close() }, nil
}

func (s *Store) temp(prefix string) (string, *os.File, error) {
	// Shared with other makers, against a sweep, which would take a directory
	// that is not locked yet for an abandoned one.
	gate, err := s.gate(unix.LOCK_SH)
	if err != nil {
		return "", nil, err
	}
	defer gate.Close()
	dir, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), fmt.Sprintf("%d-%s-*", os.Getpid(), prefix))
	if err != nil {
		return "", nil, err
	}
	f, err := lockDir(dir)
	if err != nil {
		os.Remove(dir)
		return "", nil, err
	}
	if f == nil {
		os.Remove(dir)
		return "", nil, fmt.Errorf("%s is locked by another process already", dir)
	}
	return dir, f, nil
}

// gate locks tmp itself; closing what it returns gives it back. Nobody holds
// it for longer than it takes to read a directory.
func (s *Store) gate(how int) (*os.File, error) {
	f, err := os.Open(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("flock %s: %w", f.Name(), err)
		}
	}
}

// lockDir takes the flock of a directory, or returns nil if another has it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	free, err := tryFlock(f, unix.LOCK_EX)
	if !free || err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes temporary directories whose owner is gone.
func (s *Store) sweep() error {
	gate, err := s.gate(unix.LOCK_EX)
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, "tmp")
	entries, err := os.ReadDir(tmp)
	var dead []*os.File
	for _, e := range entries {
		path := filepath.Join(tmp, e.Name())
		if !e.IsDir() {
			_ = os.Remove(path)
		} else if f, _ := lockDir(path); f != nil {
			dead = append(dead, f)
		}
	}
	gate.Close()
	for _, f := range dead {
		// What cannot be removed now (a child that outlived its parent still
		// writes there) is the next sweep's, and in nobody's way.
		_ = removeAll(f.Name())
		f.Close()
	}
	return err
}

// WriteFile puts what write writes at dst with mode perm, whatever the umask:
// completely and on disk, or not at all. A file at dst is replaced; a temporary
// file beside it that a killed process left is removed.
func WriteFile(dst string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := sideFile(dst)
	if err != nil {
		return fmt.Errorf("writing %s: %w", dst, err)
	}
	defer f.Close() // gives its lock back, once it has its name or is gone
	err = errors.Join(write(f), f.Chmod(perm))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), dst)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", dst, err)
	}
	return SyncFolder(filepath.Dir(dst))
}

// sideFile makes a locked temporary file beside dst, and removes those that
// nobody holds.
func sideFile(dst string) (*os.File, error) {
	dir, prefix := filepath.Dir(dst), "."+filepath.Base(dst)+".tmp-"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if len(e.Name()) > len(prefix) && e.Name()[:len(prefix)] == prefix && e.Type().IsRegular() {
			removeIfFree(filepath.Join(dir, e.Name()))
		}
	}
	for {
		f, err := os.CreateTemp(dir, prefix+"*")
		if err != nil {
			return nil, err
		}
		free, err := tryFlock(f, unix.LOCK_EX)
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			return nil, err
		}
		// Between making and locking it another process may have taken it for
		// a leftover: then it has, or soon will have, no name any more.
		var st unix.Stat_t
		if free && unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0 {
			return f, nil
		}
		f.Close()
	}
}

func removeIfFree(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if free, _ := tryFlock(f, unix.LOCK_EX); free {
		os.Remove(path)
	}
}

// SyncFolder has the names in a folder on disk.
func SyncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// writeResult is WriteFile for a place that nobody else knows yet.
func writeResult(ctx context.Context, path string, data []byte) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
