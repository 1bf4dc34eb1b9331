package store

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	children["full"] = func(dir string) error {
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
			fmt.Println("skip", err)
			return nil
		}
		return tryBig(dir, unix.ENOSPC)
	}
}

// A full disk is real here: a small one, mounted in namespaces of its own.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-child=full", "-in="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if _, refused := err.(*exec.ExitError); err != nil && !refused || strings.HasPrefix(string(out), "skip") {
		t.Skipf("no namespaces, no small disk: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, what := range []string{"file", "record"} {
		if !strings.Contains("\n"+string(out), "\n"+what+" ") || strings.Count(string(out), "store "+dir+" is full: free space there") != 2 {
			t.Errorf("the errors do not name the store and what to do:\n%s", out)
			break
		}
	}
}
