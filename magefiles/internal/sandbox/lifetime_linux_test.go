package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	cmd.Stderr = t.Output()
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
