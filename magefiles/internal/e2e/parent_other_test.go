//go:build e2e && unix && !linux

package e2e

import "syscall"

// dieWithParent is for linux alone; elsewhere the context's end has to do.
func dieWithParent() *syscall.SysProcAttr { return nil }
