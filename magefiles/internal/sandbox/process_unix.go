//go:build unix

package sandbox

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// group lets the end of the context kill what the command started, too.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

func maxRSS(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(usage.Maxrss) // bytes there, KiB elsewhere
	}
	return int64(usage.Maxrss) << 10
}

func exitError(state *os.ProcessState) *ExitError {
	if status, ok := state.Sys().(syscall.WaitStatus); ok {
		return statusError(status)
	}
	return &ExitError{Code: state.ExitCode()}
}

func statusError(status syscall.WaitStatus) *ExitError {
	if status.Signaled() {
		return &ExitError{Code: 128 + int(status.Signal()), Signal: status.Signal().String()}
	}
	return &ExitError{Code: status.ExitStatus()}
}
