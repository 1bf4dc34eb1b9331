package modules

import (
	"os/exec"
	"runtime"
	"syscall"
)

// run runs cmd, which dies with this process however that dies.
func run(cmd *exec.Cmd) error {
	// The signal comes at the death of the thread that forked, so that has to
	// live as long as the command. https://go.dev/issue/27505
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}
