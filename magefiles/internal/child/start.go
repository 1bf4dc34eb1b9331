package child

import (
	"os/exec"
	"runtime"
)

// Start is cmd.Start for a command that ends as that of Run does. Its end,
// which is what cmd.Wait says, comes once on the channel.
func Start(cmd *exec.Cmd) (ended <-chan error, err error) {
	started, done := make(chan error), make(chan error, 1)
	go func() {
		// See Run: the thread that forks lives as long as the command.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		bind(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	return done, <-started
}
