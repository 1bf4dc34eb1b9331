//go:build !linux

package surroundings

import (
	"context"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func standIn(ctx context.Context, _ *change) (*exec.Cmd, []Variation) {
	const why = "only Linux has namespaces"
	cmd := command(ctx)
	if self, err := os.Executable(); err == nil {
		cmd.Path = self
	}
	return cmd, []Variation{{Name: "processors", Value: "1", Why: why}, {Name: "user", Why: why}, {Name: "host name", Why: why}}
}

func become(c change, args []string) error {
	unix.Umask(c.Umask)
	return unix.Exec(args[0], args, os.Environ())
}
