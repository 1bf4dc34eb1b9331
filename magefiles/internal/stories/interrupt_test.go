package stories

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long something that has to happen may take before the story
// fails: far longer than it ever takes.
const patience = 2 * time.Minute

// interrupt runs palisade, and sends it a signal as soon as a file matches a
// pattern. It fails if the run does not end by that, lives on, or leaves a
// process. Its output is what stdout and stderr look at.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	signal, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %q", args[0])
	}
	var out output
	var err error
	// On a busy machine a stage can be over before it is seen. Then what was
	// made is removed, but for what was fetched, and it is tried again.
	for try := 0; try < 5; try++ {
		out, err = runUntil(ts, ts.MkAbs(args[1]), signal, args[2:])
		if err != nil {
			break
		}
		ts.Check(os.RemoveAll(distOf(ts)))
		ts.Check(os.RemoveAll(filepath.Join(ts.Getenv("PALISADE_CACHE"), "steps")))
	}
	fmt.Fprint(ts.Stdout(), out.stdout.String())
	fmt.Fprint(ts.Stderr(), out.stderr.String())
	exit, ok := err.(*exec.ExitError)
	if !ok {
		ts.Fatalf("waiting for %s: %v", args[1], err)
	}
	by := exit.Sys().(syscall.WaitStatus)
	if signal == syscall.SIGINT && by.ExitStatus() != 1 || signal == syscall.SIGKILL && by.Signal() != signal {
		ts.Fatalf("it ended otherwise than by the signal: %v", exit)
	}
	ts.Check(gone(ts.Getenv("WORK")))
}

type output struct{ stdout, stderr bytes.Buffer }

// runUntil runs palisade and sends it a signal when a file matches pattern. The
// error is how it ended, or that nothing matched.
func runUntil(ts *testscript.TestScript, pattern string, signal syscall.Signal, args []string) (out output, err error) {
	cmd := exec.Command(filepath.Join(ts.Getenv("WORK"), "bin", "palisade"), args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out.stdout, &out.stderr, ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "PALISADE_CACHE", "PALISADE_DIST", "GOPROXY", "GOSUMDB", "npm_config_registry"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that none but the process itself gets the signal
	if err := cmd.Start(); err != nil {
		return out, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for begun := time.Now(); ; time.Sleep(200 * time.Microsecond) {
		if names, _ := filepath.Glob(pattern); len(names) > 0 {
			break
		}
		if time.Since(begun) > patience {
			_ = cmd.Process.Kill()
			<-ended
			return out, fmt.Errorf("nothing matched in %v", patience)
		}
		select {
		case err := <-ended:
			return out, err
		default:
		}
	}
	_ = cmd.Process.Signal(signal)
	select {
	case err := <-ended:
		return out, err
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		return out, fmt.Errorf("it did not end in %v after the signal", patience)
	}
}

// gone waits until no process has anything to do with the directory work. A
// killed process takes its sandbox with it, but not in the same instant.
func gone(work string) error {
	var left []string
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		if left = processes(work); len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("processes live on: %s", strings.Join(left, "; "))
}

// processes lists those whose program, working directory, arguments,
// environment or mounts name the directory.
func processes(dir string) []string {
	var all []string
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range found {
		if pid, _ := strconv.Atoi(filepath.Base(proc)); pid == os.Getpid() {
			continue
		}
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		if err != nil {
			continue // a zombie, the kernel's, or another user's
		}
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		about := exe + "\x00" + cwd
		for _, name := range []string{"cmdline", "environ", "mountinfo"} {
			data, _ := os.ReadFile(filepath.Join(proc, name))
			about += "\x00" + string(data)
		}
		if strings.Contains(about, dir) {
			cmdline, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			all = append(all, filepath.Base(proc)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return all
}

// fifo puts a FIFO in a file's place. When somebody opens it to read, a file
// $WORK/held appears; the reader gets nothing until the story ends.
func fifo(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	if err := os.Remove(name); neg {
		ts.Check(err)
		return
	}
	ts.Check(syscall.Mkfifo(name, 0o600))
	w := worldOf(ts)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		defer f.Close()
		_ = os.WriteFile(filepath.Join(w.work, "held"), nil, 0o644)
		<-w.end
	}()
}
