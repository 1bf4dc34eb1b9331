//go:build !unix

package gitsource

import "os/exec"

// group does nothing here: what git started ends when git does.
func group(*exec.Cmd) {}
