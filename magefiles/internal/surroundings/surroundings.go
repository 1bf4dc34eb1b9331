// Package surroundings runs programs in surroundings that differ from the
// caller's in everything that a build must not depend on: user, host name,
// file mode mask, number of processors, order of the files in a folder, home,
// time zone, locale, and a set of variables that would change a build that heard
// them. It says which of them it varied and which this machine did not let it
// vary, so that what was not tried is never taken for a pass.
package surroundings

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"palisade/magefiles/internal/child"
)

// A Variation is one thing that differs. Why is set if it could not be varied.
type Variation struct {
	Name, Value string
	Why         string
}

const (
	// Directory is the name of the variation whose value is where the first
	// program ran; others may have run elsewhere.
	Directory = "directory"

	fileOrder = "order of files in a folder" // what Place.Cache is there for
)

// A Place is where programs run one after the other.
type Place struct {
	Home string // an empty directory
	// Cache is an empty directory that all of them share and nobody else uses.
	// Where the order of files is varied, a file system in memory lies over it
	// while they run, and what they leave there is gone with them.
	Cache string
	// Links are made in Cache: names in it, to what they lead to.
	Links  map[string]string
	Keep   []string // variables to pass on, "KEY=value": where to fetch from
	Stderr io.Writer
}

// A Program is what runs there.
type Program struct {
	Name string // for errors
	Says string // a line on Stderr before it begins, "" for none
	Args []string
	Dir  string
	Keep []string // variables of its own
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

// patience is how long a program has for ending once it was told to. Whoever
// runs the targets gives all of them five seconds.
const patience = 3 * time.Second

// Do runs the programs until one fails, and returns what was varied for them,
// sorted by name. The error is the first program's that failed, or the cause why
// ctx ended: then it was interrupted, to clear away what it made, and killed
// where it did not end by that.
func Do(ctx context.Context, place Place, programs []Program) ([]Variation, error) {
	env := append(slices.Clone(misleading), "HOME="+place.Home, "LANG="+locale, "LC_ALL="+locale, "TZ="+timeZone, "TMPDIR="+place.Home)
	tried := []Variation{
		{Name: "home", Value: place.Home},
		{Name: "locale", Value: locale}, {Name: "time zone", Value: timeZone},
		{Name: "umask", Value: fmt.Sprintf("%04o", umask)},
		{Name: "variables", Value: fmt.Sprint(misleading)},
	}
	o := order{Umask: umask, Cache: place.Cache, Links: place.Links}
	for _, p := range programs {
		c := command{p.Says, p.Args, p.Dir, slices.Concat(place.Keep, p.Keep, env)}
		for _, s := range slices.Concat(c.Args, []string{c.Dir}, c.Env) {
			if !utf8.ValidString(s) { // what JSON would replace
				return nil, fmt.Errorf("%s: %q is not UTF-8", p.Name, s)
			}
		}
		o.Programs = append(o.Programs, c)
	}
	if len(programs) > 0 {
		tried = append(tried, Variation{Name: Directory, Value: programs[0].Dir})
	}
	cmd, more := standIn(ctx, &o)
	told, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var answer bytes.Buffer
	cmd.Args, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{standInName}, []string{}, bytes.NewReader(told), &answer, place.Stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A terminal interrupts a whole group. To be interrupted twice is, for a
	// target, to end at once.
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	err = child.Run(cmd)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil && cmd.Process != nil { // what it started and did not wait for
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	r, unread := last(&answer)
	if err != nil && ctx.Err() == nil && r.Room > 0 {
		fmt.Fprintf(place.Stderr, "(what was at %s lay in memory, with room for %.1f GiB: if that was full or memory ran out, ask for fewer at a time)\n", place.Cache, float64(r.Room)/(1<<30))
	}
	switch n := r.Begun; {
	case err == nil && unread != nil:
		err = fmt.Errorf("reading what was varied: %w", unread)
	case err != nil && 0 < n && n <= len(programs):
		err = fmt.Errorf("%s: %w", programs[n-1].Name, err)
	}
	tried = slices.Concat(tried, more, r.Tried)
	slices.SortFunc(tried, func(a, b Variation) int { return strings.Compare(a.Name, b.Name) })
	return tried, err
}
