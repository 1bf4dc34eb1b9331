package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

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

// TestProc looks at what a /proc adds.
func TestProc(t *testing.T) {
	confinable(t)
	if err := available(true); err != nil && strings.Contains(err.Error(), "operation not permitted") {
		t.Skip("this host allows no /proc of one's own: ", err)
	}
	for _, test := range []struct {
		name string
		args []string
		want string // in what the probe prints
	}{
		{"own program", []string{"mode", "/proc/self/exe"}, "-rwx"},
		{"kernel's files", []string{"list", "/proc/sys"}, "error: open /proc/sys: no such file"},
		{"init's memory", []string{"read", "/proc/1/mem"}, "error: open /proc/1/mem: permission denied"},
		{"init's environment", []string{"read", "/proc/1/environ"}, "error: open /proc/1/environ: permission denied"},
		{"init's root", []string{"list", "/proc/1/root"}, "error: open /proc/1/root: permission denied"},
		{"init's files", []string{"read", "/proc/1/fd/0"}, "error: open /proc/1/fd/0: permission denied"},
		{"settings", []string{"write", "/proc/self/oom_score_adj"}, "error: open /proc/self/oom_score_adj: read-only file system"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := probe(test.args...)
			spec.Proc = true
			if got, _, _ := output(t, spec); !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
