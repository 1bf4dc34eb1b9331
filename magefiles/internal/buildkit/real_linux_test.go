package buildkit

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"palisade/magefiles/internal/sandbox"
)

var (
	buildkitd = flag.String("buildkitd", "", "the `program` of the daemon, as .ci/buildkit has it: workers are started and used")
	runc      = flag.String("runc", "runc", "the `program` that runs containers")
	unable    = flag.String("unable", "fail", "`what` to do where workers cannot run: fail, or say (the reason, and pass)")
)

// workersWanted skips where no daemon is given. Where one is and cannot run, the
// test fails, or says so and is skipped if that was asked for.
func workersWanted(t testing.TB) {
	t.Helper()
	if *buildkitd == "" {
		t.Skip("no -buildkitd given: no worker of BuildKit is tried")
	}
	switch why := cannotRun(); {
	case why == "":
	case *unable == "say":
		fmt.Fprintf(os.Stderr, "\nNOT SEEN: %s over workers of BuildKit: %s\n\n", t.Name(), why)
		t.Skip(why)
	default:
		t.Fatalf("workers of BuildKit cannot run here: %s (-unable=say passes all the same)", why)
	}
}

// cannotRun is why no daemon can run here, "" if it can.
func cannotRun() string {
	if os.Geteuid() != 0 {
		return "only root can run buildkitd with runc"
	}
	for _, program := range []string{"unshare", *runc} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("there is no %s, of Debian's package util-linux or runc: %v", program, err)
		}
	}
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWCGROUP}
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("root gets no namespaces: %v", err)
	}
	return ""
}

// A machine is a daemon on loopback that dies with all that it runs.
type machine struct {
	address string // tcp://…
	root    string // where it keeps what it has
	kill    func() // returns when nothing of it is left
}

// start starts one that listens until the test ends.
func start(t testing.TB, options ...string) *machine {
	t.Helper()
	program, err := exec.LookPath(*runc)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	m := &machine{address: "tcp://" + at, root: filepath.Join(dir, "root")}
	// The daemon is process 1 of a namespace: with it dies all that it runs, as
	// with a machine. By itself a killed daemon leaves its containers behind.
	cmd := exec.Command("unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", *buildkitd,
		"--config", os.DevNull, "--root", m.root, "--addr", m.address, "--containerd-worker=false",
		"--oci-worker=true", "--oci-worker-binary", program, "--oci-worker-net=host", "--otel-socket-path", filepath.Join(dir, "otel")}, options...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + dir} // where it mounts
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said // pipes: Wait waits for whoever holds them
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	m.kill = sync.OnceFunc(func() { _ = cmd.Process.Kill(); <-ended })
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("worker %s said, at last:\n%s", m.address, said)
		}
	})
	for {
		if c, err := net.Dial("tcp", at); err == nil {
			c.Close()
			return m
		}
		select {
		case <-ended:
			t.Fatalf("worker %s ended: %s", m.address, said)
		case <-t.Context().Done():
			t.Fatalf("worker %s does not listen: %s", m.address, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// compiles reports whether m runs a command.
func (m *machine) compiles() bool {
	running, _ := filepath.Glob(filepath.Join(m.root, "runc-*", "executor", "*", "config.json"))
	return len(running) > 0
}

// A tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (l *tail) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = append(l.data, data...)
	l.data = l.data[max(0, len(l.data)-4000):]
	return len(data), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.data)
}

// A real daemon answers him alone whom it knows, and does with a command what
// this package says.
func TestDaemon(t *testing.T) {
	workersWanted(t)
	c := certify(t)
	m := start(t, c.options()...)
	c.hold(t, m.address)
	if t.Failed() {
		return
	}
	probe := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(probe, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the probe: %v\n%s", err, out)
	}
	input := t.TempDir()
	if err := os.WriteFile(filepath.Join(input, "file"), []byte("sent"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ leaves, want string }{
		{"file", ""},
		{"file", ""}, // a second time, of what is there
		{"three", "exit status 3"},
		{"nothing", "leaf did not come back"},
		{"more", `"w/more" came back, which was not asked for`},
		{"link", `"w/leaf" came back, and is no regular file`},
		{"large", "more than 1073741824"},
	} {
		t.Run(tt.leaves, func(t *testing.T) {
			p := poolAt(t, m.address, TLS{Dir: c.right})
			scratch, out := t.TempDir(), t.TempDir()
			var said bytes.Buffer
			result, err := p.Run(t.Context(), sandbox.Spec{
				Mounts: []sandbox.Mount{
					{Source: probe, Target: "/probe"}, {Source: input, Target: "/input"},
					{Source: scratch, Target: "/scratch", Writable: true},
					{Source: out, Target: "/out", Writable: true, Leaves: []string{"leaf"}},
				},
				Files: map[string]string{"/etc/greeting": "hello"}, Dir: "/scratch",
				Args: []string{"{root}/probe/probe", tt.leaves}, Env: []string{"PATH=", "A=1", "HOME=/nonexistent"}, Stdout: &said, Stderr: io.Discard,
			})
			const want = `env A=1 HOME=/nonexistent PATH=
as 1000 1000 on palisade in /scratch
root [dev etc input out probe proc scratch sys tmp]
input [file] sent and hello
network []
`
			seen := tracing.ReplaceAllString(said.String(), "")
			if !strings.HasPrefix(seen, want) || strings.Contains(seen, "it could write") || strings.Contains(seen, "error:") {
				t.Errorf("the command saw:\n%s\nwant\n%s", seen, want)
			}
			left, _ := os.ReadDir(out)
			kept, _ := os.ReadDir(scratch)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || len(left) != 0 || errors.As(err, new(*sandbox.ExitError)) != (tt.leaves == "three") {
					t.Errorf("got %v and %v, want %s", err, left, tt.want)
				}
				return
			}
			data, _ := os.ReadFile(filepath.Join(out, "leaf"))
			if err != nil || string(data) != "left" || len(left) != 1 || len(kept) != 0 {
				t.Errorf("got %v, %q, and %v beside it", err, data, kept)
			}
			if r := result.Report; r.Executor != Name || r.Worker == "" || !r.Hermetic {
				t.Errorf("reported %+v", r)
			}
			m.keepsNoScratch(t, c)
		})
	}
}

// tracing is what BuildKit adds to the environment.
var tracing = regexp.MustCompile(` (OTEL|TRACE)[A-Z_]*=[^ \n]*`)

// keepsNoScratch fails if m still has what the probe wrote beside its leaf.
func (m *machine) keepsNoScratch(t *testing.T, c certificates) {
	t.Helper()
	d, err := poolAt(t, m.address, TLS{Dir: c.right}).dial(t.Context(), m.address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	used, err := d.(*connection).client.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range used {
		t.Logf("%d bytes: %s", u.Size, u.Description)
		if u.Size > 32<<20 {
			t.Errorf("the worker keeps %d bytes of %q", u.Size, u.Description)
		}
	}
}
