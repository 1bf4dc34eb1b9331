package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/source"
)

// ByHand runs the go command that Build runs, with the same arguments,
// environment and modules, as somebody would at a prompt: without a sandbox
// and without checking anything. It returns the processor time of that
// command and what it started, which the benchmark compares Build with. The
// binaries go to out, and nothing else takes them.
func (c *Compiler) ByHand(ctx context.Context, p source.Patched, t Target, out string) (time.Duration, error) {
	cmd, err := c.command(p, t)
	if err != nil {
		return 0, err
	}
	golang, err := c.Box.Go(ctx, p.Tree.Recipe().Lock.Go)
	if err != nil {
		return 0, err
	}
	work, remove, err := c.Store.Temp("by-hand")
	if err != nil {
		return 0, err
	}
	defer remove()
	for _, d := range []string{"build", "modcache"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o755); err != nil {
			return 0, err
		}
	}
	spec, err := c.spec(p, t, golang, cmd, work, out)
	if err != nil {
		return 0, err
	}
	var log bytes.Buffer
	spec.Stdout, spec.Stderr, spec.Deny, spec.Require = &log, &log, true, false
	result, err := sandbox.Run(ctx, spec)
	if err != nil {
		return 0, fmt.Errorf("compiling %s by hand: %w\n%s", p.Tree.Recipe().Name, err, bytes.TrimSpace(log.Bytes()))
	}
	return result.User + result.System, nil
}
