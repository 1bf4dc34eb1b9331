package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Sizes of the file systems in memory, as mount option "size".
const (
	rootSize = "64m" // mount points and Spec.Files
	tmpSize  = "2g"
)

var devices = []string{"/dev/null", "/dev/zero", "/dev/urandom"}

// A root is the new root file system while it is being built. It lies over
// the old one, where every path still leads to the host; so all of it is
// reached from its directory's file descriptor.
type root struct {
	fd   int
	made map[string]bool // directories made
}

// buildRoot puts the process into a root file system that holds what o names
// and nothing else. It needs Linux 5.12 for mount_setattr.
func buildRoot(o order) error {
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the old root: %w", err)
	}
	defer unix.Close(old)
	// Nothing mounted here may travel to the host, or the other way.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	fd, err := tmpfs(rootSize, "0755")
	if err != nil {
		return fmt.Errorf("making the root: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting the root: %w", err)
	}
	r := &root{fd: fd, made: map[string]bool{}}
	if err := r.fill(o); err != nil {
		return err
	}
	// The old root comes to lie over the new one and is taken off: the way
	// that needs no directory to put it in, see pivot_root(2).
	if err := unix.Fchdir(fd); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Fchdir(old); err != nil {
		return fmt.Errorf("leaving the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := setattr(fd, unix.MOUNT_ATTR_RDONLY, 0); err != nil {
		return fmt.Errorf("making the root read-only: %w", err)
	}
	return nil
}

func (r *root) fill(o order) error {
	for _, name := range devices {
		// Read-only is the node, not the device: its owner on the host may be
		// the caller, and could change its mode.
		err := r.bind(point{Mount: Mount{Source: name, Target: name}},
			unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return fmt.Errorf("mounting %s: %w", name, err)
		}
	}
	if err := r.tmp(); err != nil {
		return fmt.Errorf("mounting %s: %w", privateTmp, err)
	}
	if o.Proc {
		if err := r.proc(); err != nil {
			return fmt.Errorf("mounting /proc: %w", err)
		}
	}
	for _, pt := range o.Mounts {
		attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
		if !pt.Writable {
			attr |= unix.MOUNT_ATTR_RDONLY
		}
		if err := r.bind(pt, attr); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", pt.Source, pt.Target, err)
		}
	}
	for name, content := range o.Files {
		if err := r.file(name, content); err != nil {
			return fmt.Errorf("making file %s: %w", name, err)
		}
	}
	return nil
}

// bind shows pt.Source at pt.Target. The mount has its attributes before it
// can be reached.
func (r *root) bind(pt point, attr uint64) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, pt.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("opening the source: %w", err)
	}
	defer unix.Close(tree)
	if err := setattr(tree, attr, unix.AT_RECURSIVE); err != nil {
		return fmt.Errorf("restricting it: %w", err)
	}
	// Only the new root's own directories take a mount point. In a mount it
	// would be made on the host.
	if pt.Within == "" {
		if err := r.mountPoint(pt.Target, pt.Directory); err != nil {
			return fmt.Errorf("making the mount point: %w", err)
		}
	}
	target, err := unix.Openat2(r.fd, relative(pt.Target), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return fmt.Errorf("opening the mount point: %w", err)
	}
	defer unix.Close(target)
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("attaching it: %w", err)
	}
	return nil
}

// tmp mounts the private /tmp.
func (r *root) tmp() error {
	fd, err := tmpfs(tmpSize, "1777")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := r.mkdirAll(privateTmp); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", r.fd, relative(privateTmp), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func (r *root) file(name, content string) error {
	if err := r.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	fd, err := unix.Openat(r.fd, relative(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return err
	}
	for rest := []byte(content); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && err != unix.EINTR {
			unix.Close(fd)
			return err
		}
		rest = rest[max(n, 0):]
	}
	return unix.Close(fd)
}

func (r *root) mountPoint(name string, directory bool) error {
	if directory {
		return r.mkdirAll(name)
	}
	return r.file(name, "")
}

// mkdirAll makes name and its parents. It is only called for names that lie
// in no mount of the host's.
func (r *root) mkdirAll(name string) error {
	if name == "/" || r.made[name] {
		return nil
	}
	if err := r.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	if err := unix.Mkdirat(r.fd, relative(name), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	r.made[name] = true
	return nil
}

func relative(name string) string { return strings.TrimPrefix(name, "/") }

// tmpfs makes a file system in memory, not attached anywhere.
func tmpfs(size, mode string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "size", size); err != nil {
		return -1, err
	}
	if err := unix.FsconfigSetString(fs, "mode", mode); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}

func setattr(fd int, attr uint64, flags uint) error {
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|flags, &unix.MountAttr{Attr_set: attr})
}

// proc mounts a /proc that holds the processes of this pid namespace and, by
// subset=pid (Linux 5.8), nothing else of the kernel's.
func (r *root) proc() error {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "subset", "pid"); err != nil {
		return err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC,
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := r.mkdirAll("/proc"); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", r.fd, "proc", unix.MOVE_MOUNT_F_EMPTY_PATH)
}
