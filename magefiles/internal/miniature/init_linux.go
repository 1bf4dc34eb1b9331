package miniature

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func init() {
	if os.Args[0] != initName {
		return
	}
	err := become()
	// Only a failure comes back here.
	_ = unix.Send(controlFD, []byte(err.Error()), 0)
	os.Exit(1)
}

// become runs in the machine's namespaces, and becomes the command.
func become() error {
	runtime.LockOSThread() // capabilities are a thread's
	text := make([]byte, 1<<20)
	n, err := unix.Read(controlFD, text)
	if err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(text[:n], &o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	if err := hide(o.Hidden, o.Dir); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return err
	}
	var fds []int
	for _, a := range o.Addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		fds = append(fds, int(f.Fd()))
	}
	if err := os.Chdir(o.Work); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(controlFD, []byte("ready"), rights, nil, 0); err != nil {
		return fmt.Errorf("passing on sockets: %w", err)
	}
	for _, fd := range append(fds, controlFD) {
		unix.CloseOnExec(fd)
	}
	err = unix.Exec(o.Args[0], o.Args, o.Env)
	fmt.Fprintf(os.Stderr, "starting %s: %v\n", o.Args[0], err)
	os.Exit(127)
	return err
}

// hide leaves of the folder all the one in it that is seen.
func hide(all, seen string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making its mounts private: %w", err)
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, seen, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("opening %s: %w", seen, err)
	}
	defer unix.Close(tree)
	if err := unix.Mount("tmpfs", all, "tmpfs", 0, "size=1m,mode=0755"); err != nil {
		return fmt.Errorf("hiding %s: %w", all, err)
	}
	if err := os.Mkdir(seen, 0o755); err != nil {
		return err
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, seen, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("showing %s: %w", seen, err)
	}
	return nil
}

// loopback brings it up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bringing up loopback: %w", err)
	}
	return nil
}
