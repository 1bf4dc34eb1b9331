package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const hostName = "palisade"

// init takes over when enter has started this program as process 1 of new
// namespaces. Nothing of the program's own runs then.
func init() {
	if os.Args[0] != initName || os.Getpid() != 1 {
		return
	}
	// Capabilities and the like belong to a thread. The one that gives them up
	// must be the one that forks.
	runtime.LockOSThread()
	// Process 1 is deaf to signals from inside that it has no handler for,
	// but Go has one for those that end a program.
	signal.Notify(make(chan os.Signal, 1))
	ans, err := obey()
	if err != nil {
		ans.Failed = err.Error()
	}
	if err := json.NewEncoder(os.NewFile(reportFD, "report")).Encode(ans); err != nil {
		os.Exit(1)
	}
	os.Exit(0) // takes everything inside along
}

func obey() (answer, error) {
	if err := unix.CloseRange(specFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return answer{}, fmt.Errorf("keeping inherited files back: %w", err)
	}
	var o order
	if err := json.NewDecoder(os.NewFile(specFD, "order")).Decode(&o); err != nil {
		return answer{}, fmt.Errorf("reading the order: %w", err)
	}
	var ans answer
	var err error
	if ans.Namespaces, err = entered(o.Namespaces); err != nil {
		return ans, err
	}
	// No process may be traced into init, which has capabilities.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return ans, fmt.Errorf("closing init to tracing: %w", err)
	}
	unix.Umask(0o022)
	if err := bounded(); err != nil {
		return ans, err
	}
	var served *os.Root
	if o.Serve != "" {
		if served, err = os.OpenRoot(o.Serve); err != nil {
			return ans, fmt.Errorf("serving: %w", err)
		}
	}
	if err := buildRoot(o); err != nil {
		return ans, err
	}
	if err := unix.Sethostname([]byte(hostName)); err != nil {
		return ans, fmt.Errorf("setting the host name: %w", err)
	}
	if err := unix.Setdomainname([]byte("(none)")); err != nil {
		return ans, fmt.Errorf("setting the domain name: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return ans, fmt.Errorf("bringing up loopback: %w", err)
	}
	if served != nil {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", servePort))
		if err != nil {
			return ans, fmt.Errorf("serving %s: %w", o.Serve, err)
		}
		serve(l, served)
	}
	if err := dropPrivileges(); err != nil {
		return ans, err
	}
	if len(o.Args) == 0 {
		return ans, nil
	}
	return runCommand(o, ans)
}

// runCommand starts the command and waits for its end, reaping what it leaves
// behind.
func runCommand(o order, ans answer) (answer, error) {
	if err := unix.Chdir(o.Dir); err != nil {
		return ans, fmt.Errorf("changing to %s: %w", o.Dir, err)
	}
	// What this process has for standard input is the host's device, and
	// whoever owns that could change its mode through it.
	null, err := os.Open(os.DevNull)
	if err != nil {
		return ans, fmt.Errorf("opening standard input: %w", err)
	}
	defer null.Close()
	if o.Private {
		unix.Umask(0o077)
	}
	pid, err := syscall.ForkExec(o.Args[0], o.Args, &syscall.ProcAttr{Env: o.Env, Files: []uintptr{null.Fd(), 1, 2}})
	if errors.Is(err, os.ErrNotExist) {
		return ans, fmt.Errorf("starting %s: %w (neither it nor the loader it asks for may be missing from the mounts)", o.Args[0], err)
	}
	if err != nil {
		return ans, fmt.Errorf("starting %s: %w", o.Args[0], err)
	}
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return ans, fmt.Errorf("waiting for %s: %w", o.Args[0], err)
		}
		if got == pid {
			ans.Status = uint32(status)
			break
		}
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &usage); err != nil {
		return ans, fmt.Errorf("measuring %s: %w", o.Args[0], err)
	}
	ans.User, ans.System = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	ans.MaxRSS = int64(usage.Maxrss) << 10
	return ans, nil
}

// bounded keeps what the command can ask of the kernel small.
func bounded() error {
	// A core dump can be piped to a program of the host.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	// A namespace nested in this one would give capabilities over itself and
	// with them a larger part of the kernel to attack. Some hosts keep these
	// files read-only; what the command sees does not depend on it.
	err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	if err != nil && !errors.Is(err, os.ErrPermission) && !errors.Is(err, unix.EROFS) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forbidding nested namespaces: %w", err)
	}
	return nil
}

// dropPrivileges leaves this thread, and so the command, without capabilities,
// without a way to gain any, and without the caller's keys.
func dropPrivileges() error {
	// A fresh, anonymous session keyring; a kernel without keys has none to see.
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && err != unix.ENOSYS {
		return fmt.Errorf("leaving the session keyring: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	if err := restrictSockets(); err != nil {
		return err
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL && c > unix.CAP_SYS_ADMIN {
			break // behind the last one the kernel knows
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	// The ambient ones go with those they were raised from.
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
