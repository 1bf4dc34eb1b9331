//go:build unix

package gitsource

import (
	"os/exec"
	"syscall"
)

// group lets the end of the context kill what git started, too.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
