//go:build !linux

package modules

import "os/exec"

// run runs cmd. Here it may live on for a while where this process is killed;
// what it then still fetches is complete or ignored.
func run(cmd *exec.Cmd) error { return cmd.Run() }
