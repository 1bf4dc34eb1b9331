package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	probes["identity"] = func([]string) error {
		var u unix.Utsname
		if err := unix.Uname(&u); err != nil {
			return err
		}
		fmt.Printf("uid %d %d gid %d %d parent %d host %s domain %s\n", os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid(),
			os.Getppid(), unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Domainname[:]))
		return nil
	}
	probes["capabilities"] = capabilities
	probes["sethostname"] = func([]string) error { return unix.Sethostname([]byte("x")) }
	probes["mount"] = func([]string) error { return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") }
	probes["remount"] = func(args []string) error {
		return unix.MountSetattr(unix.AT_FDCWD, args[0], 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
	}
	probes["nest"] = func([]string) error { return nest() }
	probes["trace"] = func(args []string) error {
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return unix.PtraceAttach(pid)
	}
	probes["socket"] = func(args []string) error {
		family, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		_, err = unix.Socket(family, unix.SOCK_STREAM, 0)
		return err
	}
	probes["uring"] = func([]string) error {
		params := make([]byte, 120)
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])), 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	probes["key"] = func(args []string) error {
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", args[0], 0)
		return err
	}
	probes["files"] = func(args []string) error { // open descriptors, but for Go's own
		var out strings.Builder
		for fd := 0; fd < 4096; fd++ {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) != nil {
				continue
			}
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if err != nil {
				return err
			}
			if flags&unix.FD_CLOEXEC == 0 {
				fmt.Fprintf(&out, "%d %s\n", fd, kind(st.Mode))
			}
		}
		if len(args) == 1 {
			return os.WriteFile(args[0], []byte(out.String()), 0)
		}
		fmt.Print(out.String())
		return nil
	}
	probes["flags"] = func(args []string) error { // of the mount that holds a file
		var st unix.Statfs_t
		if err := unix.Statfs(args[0], &st); err != nil {
			return err
		}
		for _, f := range []struct {
			flag int64
			name string
		}{{unix.ST_RDONLY, "ro"}, {unix.ST_NOSUID, "nosuid"}, {unix.ST_NODEV, "nodev"}} {
			if int64(st.Flags)&f.flag != 0 {
				fmt.Print(f.name, " ")
			}
		}
		fmt.Println(int64(st.Blocks) * st.Bsize >> 20)
		return nil
	}
	probes["session"] = func([]string) error {
		sid, err := unix.Getsid(0)
		fmt.Println("session", sid)
		return err
	}
	probes["core"] = func([]string) error {
		var limit unix.Rlimit
		err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
		fmt.Println(limit.Cur, limit.Max)
		return err
	}
	probes["fchmod"] = func([]string) error { return unix.Fchmod(0, 0o666) } // as it is: a test that fails must not harm its host
	probes["processes"] = func([]string) error {                             // of other sessions that can be seen
		own, err := unix.Getsid(0)
		if err != nil {
			return err
		}
		n := 0
		for pid := 1; pid < 1<<16; pid++ {
			if sid, err := unix.Getsid(pid); err == nil && sid != own {
				n++
			}
		}
		fmt.Println(n)
		return nil
	}
	probes["signal"] = func(args []string) error { // pid, signal
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		sig, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return unix.Kill(pid, unix.Signal(sig))
	}
	probes["kill"] = func([]string) error { return unix.Kill(os.Getpid(), unix.SIGKILL) }
	probes["burn"] = func([]string) error { // CPU and memory, so much at least
		block := make([]byte, 64<<20)
		for {
			for i := range block {
				block[i]++
			}
			var usage unix.Rusage
			if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil || usage.Utime.Nano() > int64(50*time.Millisecond) {
				return err
			}
		}
	}
	// hold locks a file, says so, and sleeps: a test that gets the lock knows
	// that the process is dead.
	probes["hold"] = func(args []string) error {
		f, err := os.OpenFile(args[0], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return err
		}
		fmt.Println("holding")
		time.Sleep(2 * time.Minute)
		return nil
	}
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "pipe"
	case unix.S_IFCHR:
		return "device"
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	}
	return "other"
}

// nest starts a process in a user namespace below the sandbox's.
func nest() error {
	cmd := exec.Command(os.Args[0], "args")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return cmd.Run()
}

func capabilities([]string) error {
	var caps [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
		return err
	}
	bounding, ambient := 0, 0
	for c := uintptr(0); c < 64; c++ {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err == nil {
			bounding += v
		}
		if v, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, c, 0, 0); err == nil {
			ambient += v
		}
	}
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	fmt.Printf("effective %x permitted %x inheritable %x bounding %d ambient %d no_new_privs %d\n",
		caps[0].Effective|caps[1].Effective, caps[0].Permitted|caps[1].Permitted, caps[0].Inheritable|caps[1].Inheritable,
		bounding, ambient, nnp)
	return err
}
