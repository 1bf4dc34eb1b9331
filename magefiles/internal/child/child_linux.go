package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Run is cmd.Run for a command that is killed when this process dies, however
// it dies. What the command itself started is its own to end.
func Run(cmd *exec.Cmd) error {
	// The signal comes at the death of the thread that forked, so that has to
	// live as long as the command. https://go.dev/issue/27505
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	bind(cmd)
	return cmd.Run()
}

func bind(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
