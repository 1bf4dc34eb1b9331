package modules

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"palisade/magefiles/internal/child"
)

// Tidy is what "go mod tidy" makes of a lock, in a directory of its own. What
// go.sum holds already is kept to: another hash for it is an error, but for the
// module that is given. What is new is confirmed by the checksum database.
func (c *Client) Tidy(ctx context.Context, goMod, goSum, tools []byte) (tidyMod, tidySum []byte, err error) {
	dir, remove, err := c.Store.Temp("tidy")
	if err != nil {
		return nil, nil, err
	}
	defer remove()
	for name, data := range map[string][]byte{"go.mod": goMod, "go.sum": c.Given.unlocked(goSum), "tools.go": tools} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, nil, err
		}
	}
	if err := c.TidyDir(ctx, dir); err != nil {
		return nil, nil, err
	}
	if tidyMod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
		return nil, nil, err
	}
	tidySum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	return tidyMod, tidySum, err
}

// TidyDir has "go mod tidy" change the lock of the module at dir, on the same
// terms as Tidy.
func (c *Client) TidyDir(ctx context.Context, dir string) error {
	if err := c.forget(); err != nil {
		return err
	}
	env, err := c.environment(ctx, dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.Go, "mod", "tidy")
	cmd.Dir, cmd.Env = dir, env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := child.Run(cmd); err != nil {
		return fmt.Errorf("tidying the lock: %w: %w\n%s", ErrFetch, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
