//go:build e2e

package e2e

import "syscall"

// dieWithParent has the kernel end a child whose parent is gone, so that a
// test run that is killed leaves nothing running.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
