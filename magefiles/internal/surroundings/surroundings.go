// Package surroundings runs a program in surroundings that differ from the
// caller's in everything that a build must not depend on: user, host name,
// file mode mask, number of processors, home, time zone, locale, and a set of
// variables that would change a build that heard them. It says which of them
// it varied and which this machine did not let it vary, so that what was not
// tried is never taken for a pass.
package surroundings

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"palisade/magefiles/internal/child"
)

// A Variation is one thing that differs. Why is set if it could not be varied.
type Variation struct {
	Name, Value string
	Why         string
}

// A Run is a program to run elsewhere.
type Run struct {
	Args   []string
	Dir    string
	Home   string   // an empty directory
	Keep   []string // variables to pass on, "KEY=value": where to fetch from, and the program's own
	Stderr io.Writer
}

// change is what the stand-in is told to do before it becomes the program.
type change struct {
	Umask int    `json:"umask"`
	Host  string `json:"host"` // "" leaves it
	CPUs  int    `json:"cpus"`
}

// The values are unlike any that a build machine has by default. The time zone
// is a POSIX rule, which needs no database.
const (
	umask    = 0o077
	hostName = "elsewhere.invalid"
	userID   = 4242
	timeZone = "XXX-13:45"
	locale   = "tr_TR.UTF-8"
)

// misleading are variables that would change the result if they were heard.
var misleading = []string{
	"CGO_ENABLED=1", "GOAMD64=v3", "GOARM=5", "GOEXPERIMENT=nosuchexperiment", "GOFLAGS=-tags=nosuchtag",
	"LOGNAME=somebody", "NODE_OPTIONS=--no-such-option", "SOURCE_DATE_EPOCH=1", "USER=somebody",
}

// patience is how long the program has for ending once it was told to. Whoever
// runs the targets gives all of them five seconds.
const patience = 3 * time.Second

// Do runs r and returns what was varied, sorted by name. The error is the
// program's, or the cause why ctx ended: then the program was interrupted, to
// clear away what it made, and killed where it did not end by that.
func Do(ctx context.Context, r Run) ([]Variation, error) {
	env := append(slices.Clone(misleading), "HOME="+r.Home, "LANG="+locale, "LC_ALL="+locale, "TZ="+timeZone, "TMPDIR="+r.Home)
	tried := []Variation{
		{Name: "directory", Value: r.Dir}, {Name: "home", Value: r.Home},
		{Name: "locale", Value: locale}, {Name: "time zone", Value: timeZone},
		{Name: "umask", Value: fmt.Sprintf("%04o", umask)},
		{Name: "variables", Value: fmt.Sprint(misleading)},
	}
	c := change{Umask: umask}
	cmd, more := standIn(ctx, &c)
	tried = append(tried, more...)
	order, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd.Args = append([]string{standInName, string(order)}, r.Args...)
	cmd.Dir, cmd.Env, cmd.Stderr = r.Dir, slices.Concat(r.Keep, env), r.Stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A terminal interrupts a whole group. To be interrupted twice is, for a
	// target, to end at once.
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	slices.SortFunc(tried, func(a, b Variation) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	err = child.Run(cmd)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return tried, err
}

// standInName is the name under which this program starts itself to change
// what only a process can change of itself.
const standInName = "palisade-elsewhere"

func init() {
	if len(os.Args) < 3 || os.Args[0] != standInName {
		return
	}
	var c change
	err := json.Unmarshal([]byte(os.Args[1]), &c)
	if err == nil {
		err = become(c, os.Args[2:])
	}
	fmt.Fprintln(os.Stderr, "changing surroundings:", err)
	os.Exit(1)
}

func command(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "/proc/self/exe") }
