package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostConfines finds out without the code under test: a broken sandbox must
// not show as a host that has none.
func hostConfines() bool {
	cmd := exec.Command(filepath.Join(probeDir, "probe"), "mount")
	cmd.SysProcAttr = inUserNamespace(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	return cmd.Run() == nil
}

func inUserNamespace(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

func setHost(name string) {
	if err := errors.Join(unix.Sethostname([]byte(name)), unix.Setdomainname([]byte(name))); err != nil {
		panic(err)
	}
}

// TestConfinement lets the probe try what a command must not be able to do,
// and look at what it must not see.
func TestConfinement(t *testing.T) {
	confinable(t)
	t.Setenv("PALISADE_CANARY", "seen")
	secret := write(t, map[string]string{"secret": "another build's"})
	src := write(t, map[string]string{"file": "x"})
	out := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@palisade-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	// Not closed on execution: what a shell's redirection leaves open.
	leak, err := unix.Open(filepath.Join(secret, "secret"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)

	const readOnly = "read-only file system"
	const forbidden = "operation not permitted"
	for _, test := range []struct {
		name string
		args []string
		want string // what the probe prints, or "error:" and a part of its error
	}{
		{"host's file", []string{"read", "/etc/passwd"}, "error: no such file"},
		{"root", []string{"list", "/"}, "dev\nout\nprobe\nsrc\ntmp"},
		{"above root", []string{"list", "/.."}, "dev\nout\nprobe\nsrc\ntmp"},
		{"devices", []string{"list", "/dev"}, "null\nurandom\nzero"},
		{"tmp", []string{"list", "/tmp"}, ""},
		{"another build", []string{"read", filepath.Join(secret, "secret")}, "error: no such file"},
		{"proc", []string{"list", "/proc"}, "error: no such file"},
		{"inherited files", []string{"files"}, "0 device\n1 pipe\n2 pipe"},
		{"environment", []string{"env"}, ""},
		{"identity", []string{"identity"}, "uid 1000 1000 gid 1000 1000 parent 1 host palisade domain (none)"},
		{"processes", []string{"processes"}, "0"},
		{"session", []string{"session"}, "session 1"},
		{"core dumps", []string{"core"}, "0 0"},

		{"name", []string{"resolve", "example.com"}, "error: lookup example.com"},
		{"internet", []string{"dial", "tcp", "1.1.1.1:53"}, "error: network is unreachable"},
		{"host's loopback", []string{"dial", "tcp", l.Addr().String()}, "error: connection refused"},
		{"host's abstract socket", []string{"dial", "unix", abstract.Addr().String()}, "error: connection refused"},
		{"interfaces", []string{"interfaces"}, "lo"},
		{"virtual machine's host", []string{"socket", strconv.Itoa(unix.AF_VSOCK)}, "error: address family not supported"},
		{"packet socket", []string{"socket", strconv.Itoa(unix.AF_PACKET)}, "error: address family not supported"},
		{"internet socket", []string{"socket", strconv.Itoa(unix.AF_INET)}, ""},
		{"io_uring", []string{"uring"}, "error: function not implemented"},

		{"write to root", []string{"write", "/x"}, "error: " + readOnly},
		{"write to mount", []string{"write", "/src/file"}, "error: " + readOnly},
		{"make in mount", []string{"write", "/src/new"}, "error: " + readOnly},
		{"write to made file's directory", []string{"write", "/probe/x"}, "error: " + readOnly},
		{"write to writable mount", []string{"write", "/out/x"}, ""},
		{"write to tmp", []string{"write", "/tmp/x"}, ""},
		{"write to null", []string{"write", "/dev/null"}, ""},
		{"mode of null", []string{"chmod", "/dev/null"}, "error: " + readOnly},
		{"mode of standard input", []string{"fchmod"}, "error: " + readOnly},
		{"flags of root", []string{"flags", "/"}, "ro nosuid nodev 64"},
		{"flags of tmp", []string{"flags", "/tmp"}, "nosuid nodev 2048"},
		{"mode of tmp", []string{"mode", "/tmp"}, "dtrwxrwxrwx"},
		{"mode mask", []string{"mode", "/out/x"}, "-rw-r--r--"}, // made above

		{"capabilities", []string{"capabilities"}, "effective 0 permitted 0 inheritable 0 bounding 0 ambient 0 no_new_privs 1"},
		{"mount", []string{"mount"}, "error: " + forbidden},
		{"remount", []string{"remount", "/src"}, "error: " + forbidden},
		{"host name", []string{"sethostname"}, "error: " + forbidden},
		{"trace init", []string{"trace", "1"}, "error: " + forbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := probe(test.args...)
			spec.Mounts = append(spec.Mounts, Mount{Source: src, Target: "/src"}, Mount{Source: out, Target: "/out", Writable: true})
			got, _, err := output(t, spec)
			if part, ok := strings.CutPrefix(test.want, "error: "); ok {
				if !errors.As(err, new(*ExitError)) || !strings.HasPrefix(got, "error: ") || !strings.Contains(got, part) {
					t.Errorf("got %q, %v, want an error with %q", got, err, part)
				}
			} else if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	if held := tree(t, src); len(held) != 2 || held[filepath.Join(src, "file")] != "x" {
		t.Errorf("the read-only source holds %v", held)
	}
}

func TestNestedNamespaces(t *testing.T) {
	confinable(t)
	// A test can ask for what the sandbox does as far as the host lets it.
	if err := unix.Access("/proc/sys/user/max_user_namespaces", unix.W_OK); err == unix.EROFS {
		t.Skip("this host keeps /proc/sys read-only")
	}
	if got, _, err := output(t, probe("nest")); err == nil || !strings.Contains(got, "no space left") {
		t.Errorf("got %q, %v: a namespace in the namespace", got, err)
	}
}

// TestMountFlags looks at mounts below a mount, too.
func TestMountFlags(t *testing.T) {
	confinable(t)
	var dev, shm unix.Stat_t
	if unix.Stat("/dev", &dev) != nil || unix.Stat("/dev/shm", &shm) != nil || dev.Dev == shm.Dev {
		t.Skip("no mount at /dev/shm")
	}
	for _, test := range []struct {
		writable bool
		want     string
	}{{false, "ro nosuid nodev "}, {true, "nosuid nodev "}} {
		for _, name := range []string{"/host", "/host/shm"} {
			spec := probe("flags", name)
			spec.Mounts = append(spec.Mounts, Mount{Source: "/dev", Target: "/host", Writable: test.writable})
			if got, _, err := output(t, spec); err != nil || !strings.HasPrefix(got, test.want) {
				t.Errorf("%s, writable %v: flags %q, %v, want %q", name, test.writable, got, err, test.want)
			}
		}
	}
}

// TestLarge hands over more than a pipe holds, and as many mounts as a build
// of many modules has.
func TestLarge(t *testing.T) {
	confinable(t)
	src := write(t, map[string]string{"file": "x"})
	spec := probe("read", "/mod/399/file")
	for i := range 400 {
		spec.Mounts = append(spec.Mounts, Mount{Source: src, Target: fmt.Sprintf("/mod/%d", i)})
	}
	big := strings.Repeat("0123456789", 1<<18)
	spec.Files = map[string]string{"/etc/big": big}
	spec.Args = append(spec.Args, "/etc/big")
	if got, _, err := output(t, spec); err != nil || got != "x\n"+big {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestTmpReplaced(t *testing.T) {
	confinable(t)
	dir := t.TempDir()
	spec := probe("write", "/tmp/x")
	spec.Mounts = append(spec.Mounts, Mount{Source: dir, Target: "/tmp", Writable: true})
	if got, _, err := output(t, spec); err != nil {
		t.Fatal(got, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "x")); err != nil || string(data) != "written" {
		t.Errorf("got %q, %v", data, err)
	}
}

// TestSignalToInit shows that the command cannot end its own guard.
func TestSignalToInit(t *testing.T) {
	confinable(t)
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGKILL, unix.SIGSEGV} {
		if got, _, err := output(t, probe("signal", "1", strconv.Itoa(int(sig)))); err != nil {
			t.Errorf("%v: %s %v", sig, got, err)
		}
	}
}

// lockFile is a file in a directory that is mounted at /lock. The test can
// take the lock only when the probe that holds it is dead.
func lockFile(t *testing.T) (Mount, func() error) {
	t.Helper()
	dir := write(t, map[string]string{"file": ""})
	f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Mount{Source: dir, Target: "/lock", Writable: true}, func() error {
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
}

func TestCancel(t *testing.T) {
	either(t, func(t *testing.T, deny bool) {
		mount, lock := lockFile(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		r, w := io.Pipe()
		spec := probe("spawn", "wait", "hold", "{root}/lock/file")
		spec.Mounts = append(spec.Mounts, mount)
		spec.Deny, spec.Stdout = deny, w
		ended := make(chan error)
		go func() {
			_, err := Run(ctx, spec)
			w.CloseWithError(io.ErrUnexpectedEOF)
			ended <- err
		}()
		if got := firstLine(t, r); got != "holding" {
			t.Fatalf("the probe says %q", got)
		}
		if err := lock(); err == nil {
			t.Fatal("the probe holds no lock: nothing is shown")
		}
		cancel(why)
		if err := <-ended; !errors.Is(err, why) {
			t.Errorf("error %v, want the cause", err)
		}
		if !deny { // where there is no namespace to end with it, it is killed, but not waited for
			if err := lock(); err != nil {
				t.Errorf("the grandchild lives: %v", err)
			}
		} else {
			dies(t, lock)
		}
	})
}

// TestLeftBehind shows that what a command starts ends with it.
func TestLeftBehind(t *testing.T) {
	confinable(t)
	mount, lock := lockFile(t)
	spec := probe("spawn", "leave", "hold", "/lock/file")
	spec.Mounts = append(spec.Mounts, mount)
	if got, _, err := output(t, spec); err != nil || got != "holding" {
		t.Fatal(got, err)
	}
	if err := lock(); err != nil {
		t.Errorf("the grandchild lives: %v", err)
	}
}

// startParent has another process run spec.
func startParent(t *testing.T, spec Spec, attr *syscall.SysProcAttr, env ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), asParent+"="+string(data)), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// dies waits until the holder of a lock is dead.
func dies(t *testing.T, lock func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); lock() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it lives on")
		}
	}
}

func TestParentKilled(t *testing.T) {
	confinable(t)
	mount, lock := lockFile(t)
	spec := probe("spawn", "wait", "hold", "/lock/file")
	spec.Mounts = append(spec.Mounts, mount)
	cmd, out := startParent(t, spec, nil)
	if got := firstLine(t, out); got != "holding" {
		t.Fatalf("the probe says %q", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	dies(t, lock)
}

// TestThreadEnds lets the threads of this process end while commands run: a
// command must not go with the one that happened to start it.
func TestThreadEnds(t *testing.T) {
	confinable(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	var locks []func() error
	for range 4 { // one may be on the main thread, which does not end
		mount, lock := lockFile(t)
		locks = append(locks, lock)
		r, w := io.Pipe()
		spec := probe("hold", "/lock/file")
		spec.Mounts = append(spec.Mounts, mount)
		spec.Stdout = w
		go func() {
			_, err := Run(ctx, spec)
			ended <- err
		}()
		if got := firstLine(t, r); got != "holding" {
			t.Fatalf("the probe says %q", got)
		}
	}
	var threads sync.WaitGroup
	all := make(chan struct{})
	for range 100 { // more than there are idle ones
		threads.Add(1)
		go func() {
			runtime.LockOSThread() // and never unlock: the thread ends
			threads.Done()
			<-all
		}()
	}
	threads.Wait()
	close(all)
	// What is killed dies when it pleases the kernel; give it the time that
	// an unhurried sandbox takes.
	output(t, probe("exit", "0"))
	for _, lock := range locks {
		if err := lock(); err == nil {
			t.Error("the command is dead")
		}
	}
	cancel()
	for range locks {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

// TestHostNames gives the machine names that must not be seen.
func TestHostNames(t *testing.T) {
	confinable(t)
	cmd, out := startParent(t, probe("identity"), inUserNamespace(unix.CLONE_NEWUTS), asHost+"=canary")
	got, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !strings.HasSuffix(string(got), " host palisade domain (none)\n") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestInitEnvironment shows that the program that prepares the inside does
// not have the caller's environment either: this setting would make it speak.
func TestInitEnvironment(t *testing.T) {
	confinable(t)
	t.Setenv("GODEBUG", "inittrace=1")
	var stderr bytes.Buffer
	spec := probe("exit", "0")
	spec.Stderr = &stderr
	if _, err := Run(t.Context(), spec); err != nil || stderr.Len() > 0 {
		t.Errorf("got %q, %v", stderr.String(), err)
	}
}

// TestKeyring gives a process a session keyring with a key, and the command
// must not find it.
func TestKeyring(t *testing.T) {
	confinable(t)
	runtime.LockOSThread() // a keyring is a thread's, and handed on to what it forks; never unlocked
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
		t.Skip("no keyrings here: ", err)
	}
	if _, err := unix.AddKey("user", "palisade-canary", []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Skip("no keys here: ", err)
	}
	cmd, out := startParent(t, probe("key", "palisade-canary"), nil)
	got, _ := io.ReadAll(out)
	err := cmd.Wait()
	if err == nil || !strings.Contains(string(got), "error: required key not available") {
		t.Errorf("got %q, %v: the key was found", got, err)
	}
}

// TestDiscarded shows that no output is no device of the host's either.
func TestDiscarded(t *testing.T) {
	confinable(t)
	mount, _ := lockFile(t)
	spec := probe("files", "/lock/file")
	spec.Mounts = append(spec.Mounts, mount)
	if _, err := Run(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(mount.Source, "file")); err != nil || string(got) != "0 device\n1 pipe\n2 pipe\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestTerminal hands the command a file as standard output, and it must get a
// pipe.
func TestTerminal(t *testing.T) {
	confinable(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec := probe("files")
	spec.Stdout, spec.Stderr = f, f
	if _, err := Run(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "0 device\n1 pipe\n2 pipe\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
