package child

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test starts itself as the parent of a sleeper, kills the parent without
// warning, and waits for the sleeper to be gone.
func TestChildDiesWithItsParent(t *testing.T) {
	switch how := os.Getenv("CHILD_TEST_PARENT"); how {
	case "run", "start":
		cmd := exec.Command("/bin/sh", "-c", "echo $$; exec sleep 60")
		cmd.Stdout = os.Stdout
		if how == "run" {
			t.Fatal(Run(cmd))
		}
		ended, err := Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Fatal(<-ended)
	}
	t.Run("run", func(t *testing.T) { diesWithItsParent(t, "run") })
	t.Run("start", func(t *testing.T) { diesWithItsParent(t, "start") })
}

func diesWithItsParent(t *testing.T, how string) {
	parent := exec.Command(os.Args[0], "-test.run=^TestChildDiesWithItsParent$")
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT="+how)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for range 100 {
		if gone(pid) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Fatalf("process %d lives on", pid)
}

// gone reports whether pid has ended; one that nobody has waited for yet, has.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestStart(t *testing.T) {
	if _, err := Start(exec.Command("/no/such/command")); err == nil {
		t.Error("what is not there was started")
	}
	ended, err := Start(exec.Command("/bin/sh", "-c", "exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := <-ended; !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("got %v, want status 3", err)
	}
}
