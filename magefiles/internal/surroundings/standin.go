package surroundings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"palisade/magefiles/internal/child"
)

// standInName is the name under which this program starts itself to change
// what only a process can change of itself, and to start the programs from
// there.
const standInName = "palisade-elsewhere"

// An order is what the stand-in is told, on its standard input.
type order struct {
	Umask    int               `json:"umask"`
	Host     string            `json:"host"` // "" leaves it
	CPUs     int               `json:"cpus"` // 0 leaves them
	Cache    string            `json:"cache"`
	Memory   bool              `json:"memory"` // a file system in memory is to lie over Cache
	Links    map[string]string `json:"links"`
	Programs []command         `json:"programs"`
}

type command struct {
	Says string   `json:"says"`
	Args []string `json:"args"`
	Dir  string   `json:"dir"`
	Env  []string `json:"env"`
}

// A report is what it answers, on its standard output, before each program and
// when the last has ended.
type report struct {
	Tried []Variation `json:"tried"`
	Begun int         `json:"begun"` // how many programs did
	Room  int64       `json:"room"`  // bytes of the file system in memory, 0 for none
}

// last is the last of some reports.
func last(answer io.Reader) (r report, err error) {
	reports := json.NewDecoder(answer)
	for n := 0; ; n++ {
		var next report
		if err := reports.Decode(&next); err == io.EOF && n > 0 {
			return r, nil
		} else if err != nil {
			return r, err
		}
		r = next
	}
}

func init() {
	if len(os.Args) != 1 || os.Args[0] != standInName {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := obey(ctx)
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.Exited() {
		os.Exit(e.ExitCode())
	} else if err != nil {
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "in other surroundings:", err)
		}
		os.Exit(1)
	}
	os.Exit(0)
}

// obey changes this process and runs the programs from it. An init runs on the
// main thread and stays there, and so what is the thread's is the programs'.
func obey(ctx context.Context) error {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	unix.Umask(o.Umask)
	r, err := become(o)
	if err != nil {
		return err
	}
	if err := link(o.Cache, o.Links); err != nil {
		return err
	}
	answer, parent := json.NewEncoder(os.Stdout), os.Getppid()
	for _, c := range o.Programs {
		r.Begun++
		if err := answer.Encode(r); err != nil {
			return err
		}
		if os.Getppid() != parent {
			return errors.New("whoever wanted it is gone")
		}
		if c.Says != "" {
			fmt.Fprintln(os.Stderr, c.Says)
		}
		cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
		cmd.Dir, cmd.Env, cmd.Stderr = c.Dir, c.Env, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		if err := child.Run(cmd); err != nil {
			return err
		}
	}
	return answer.Encode(r)
}

// link makes the links in dir.
func link(dir string, links map[string]string) error {
	for name, to := range links {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(to, name); err != nil {
			return err
		}
	}
	return nil
}
