package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"palisade/magefiles/internal/child"
)

// unconfined runs the plan as an ordinary process: it hides nothing, but
// gives the command the same paths below {root}.
func unconfined(ctx context.Context, p plan) (Result, error) {
	root, err := os.MkdirTemp(p.Temp, "palisade-root-")
	if err != nil {
		return Result{}, fmt.Errorf("making a root of symbolic links: %w", err)
	}
	defer os.RemoveAll(root)

	url := ""
	if p.Serve != "" {
		dir, err := os.OpenRoot(p.Serve)
		if err != nil {
			return Result{}, fmt.Errorf("serving: %w", err)
		}
		defer dir.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Result{}, fmt.Errorf("serving %s: %w", p.Serve, err)
		}
		defer serve(l, dir)()
		url = "http://" + l.Addr().String()
	}
	p = p.expand(root, url)
	if !filepath.IsAbs(p.Args[0]) {
		return Result{}, fmt.Errorf("running %s: not an absolute path", p.Args[0])
	}
	if err := p.link(root); err != nil {
		return Result{}, err
	}

	args := p.Args
	if p.Private {
		// The mask is the whole process's: this one keeps its own.
		args = append([]string{"/bin/sh", "-c", `umask 077 && exec "$0" "$@"`}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0])
	cmd.Args = args
	cmd.Dir = p.Dir
	cmd.Env = append([]string{}, p.Env...) // nil would be the host's
	cmd.Stdout, cmd.Stderr = piped(p.Stdout), piped(p.Stderr)
	group(cmd)
	err = child.Run(cmd)
	var res Result
	if cmd.ProcessState != nil {
		res.User, res.System = cmd.ProcessState.UserTime(), cmd.ProcessState.SystemTime()
		res.MaxRSS = maxRSS(cmd.ProcessState)
	}
	if err == nil {
		return res, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = exitError(exit.ProcessState)
	}
	return res, fmt.Errorf("running %s: %w", p.Args[0], err)
}

// link fills root with a symbolic link for each mount, and the files. Where a
// mount holds another one, it becomes a directory of links to its entries.
func (p plan) link(root string) error {
	for i, pt := range p.points {
		target := filepath.Join(root, filepath.FromSlash(pt.Target))
		inner := p.points[i+1:]
		err := os.MkdirAll(filepath.Dir(target), 0o755)
		if err == nil {
			if pt.Writable && pt.outer(inner) {
				err = errors.New("without namespaces a writable mount cannot hold another one")
			} else {
				err = pt.linkTo(pt.Source, target, pt.Target, inner)
			}
		}
		if err != nil {
			return fmt.Errorf("linking %s at %s: %w", pt.Source, pt.Target, err)
		}
	}
	for name, content := range p.Files {
		target := filepath.Join(root, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(target), 0o755)
		if err == nil {
			err = os.WriteFile(target, []byte(content), 0o444)
		}
		if err != nil {
			return fmt.Errorf("making file %s: %w", name, err)
		}
	}
	return os.MkdirAll(filepath.Join(root, "tmp"), 0o700)
}

// linkTo makes target stand for source, which is seen inside as name. Places
// where one of inner goes are left free.
func (pt point) linkTo(source, target, name string, inner []point) error {
	within := point{Mount: Mount{Target: name}}
	if !within.outer(inner) {
		return os.Symlink(source, target)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, e := range entries {
		sub := path.Join(name, e.Name())
		taken := false
		for _, in := range inner {
			taken = taken || in.Target == sub
		}
		if taken {
			continue
		}
		if err := pt.linkTo(filepath.Join(source, e.Name()), filepath.Join(target, e.Name()), sub, inner); err != nil {
			return err
		}
	}
	return nil
}

// outer reports whether any of inner lies below pt.
func (pt point) outer(inner []point) bool {
	for _, in := range inner {
		if strings.HasPrefix(in.Target, pt.Target+"/") {
			return true
		}
	}
	return false
}

// piped hides a file from os/exec, which would hand it over as it is: a
// terminal to type into, a file to truncate or, for nil, the host's null device.
func piped(w io.Writer) io.Writer {
	if w == nil {
		w = io.Discard
	}
	return struct{ io.Writer }{w}
}
