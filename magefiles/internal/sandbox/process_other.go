//go:build !unix

package sandbox

import (
	"os"
	"os/exec"
)

func group(*exec.Cmd) {}

func maxRSS(*os.ProcessState) int64 { return 0 }

func exitError(state *os.ProcessState) *ExitError { return &ExitError{Code: state.ExitCode()} }
