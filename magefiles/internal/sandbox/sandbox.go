// Package sandbox runs a command that sees what it is given and nothing else,
// without network.
//
// # What the command gets
//
// On Linux a command runs in user, mount, pid, network, ipc, uts and, where
// the kernel has them, cgroup namespaces of its own. Its root file system is
// empty and read-only but for what Spec names: mounts (read-only unless
// Writable, never with set-user-ID or devices), small files, /dev/null,
// /dev/zero, /dev/urandom and a private /tmp of at most 2 GiB of memory. Its
// environment is Spec.Env. It is user and group 1000 on host "palisade", file
// mode mask 022 (077 by Spec.Private), standard input empty, with no capability, no way to gain one
// and no inherited file descriptor, keyring or terminal. There is a loopback
// interface and no other, and no socket but of the families unix, inet, inet6
// and netlink. There is no /proc unless Spec.Proc asks for one. When the
// command ends, everything it started ends; so it does when the context is
// cancelled or the calling process dies, in whatever way.
//
// Not hidden are the clock, the kernel's version and the number of CPUs.
//
// # What is refused
//
// A mount whose source is missing or is neither a directory nor a regular
// file; one inside another mount at a place that is not there, since making it
// would write to the host; a target that is not a clean absolute path, or
// lies in /dev or /proc. A command never starts half-confined: either all of
// the above holds or Run fails, except where the host has no namespaces to
// give. Then the command runs unconfined and the Report says so, or, with
// Spec.Require, does not run at all.
//
// A program that calls Run must not be started under the name
// "palisade-sandbox-init" as process 1: that is how Run starts it again to
// prepare the inside.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"palisade/attestations/artifact"
)

// ErrUnavailable is what Run's error wraps when Spec.Require was set and the
// host cannot confine.
var ErrUnavailable = errors.New("no namespaces to confine the command in")

var errDenied = errors.New("denied by the caller")

// A Mount shows a directory or regular file of the host inside. A directory
// is shown with everything mounted below it. Nested targets are allowed; the
// inner one must exist in the outer one's source.
type Mount struct {
	Source   string // absolute path on the host; symbolic links are followed
	Target   string // clean absolute path inside
	Writable bool

	// The rest is for an executor that runs the command on another machine;
	// here it changes nothing.

	// Content is the hash of what Source holds, as whoever verified it knows it;
	// "" if nobody did.
	Content string
	// Leaves are the names of the executable files that the command leaves in a
	// writable mount and that are wanted. What it leaves in one without them is
	// nobody's.
	Leaves []string
}

// A Spec says what to run and all that it sees. In Args, Env, Dir and the
// contents of Files "{root}" stands for the root directory: nothing inside
// namespaces, and where they are refused the path of a directory that holds
// symbolic links to the mounts. "{serve}" stands for the base URL of Serve,
// http://127.0.0.1:PORT without a slash at its end.
type Spec struct {
	Mounts []Mount           // in any order
	Files  map[string]string // read-only files made inside: clean absolute path, not in a mount or /tmp, to content
	Dir    string            // working directory inside; "" is the root
	Args   []string          // Args[0] is an absolute path inside
	Env    []string          // the whole environment, "KEY=value"
	Serve  string            // host directory served read-only over HTTP to the command, "" for none
	Stdout io.Writer         // always by a pipe, so that no terminal is seen; nil discards
	Stderr io.Writer
	// Proc gives the command a read-only /proc that shows the processes of the
	// sandbox and nothing else of the kernel (subset=pid, Linux 5.8). Its
	// mountinfo tells where on the host's file systems the mounts come from:
	// ask only for a program that does not run without.
	Proc bool
	// Private makes the command's mode mask 077, in the sandbox or not: what it
	// creates is its user's alone.
	Private bool
	// Require makes it an error, wrapping ErrUnavailable, if the host cannot
	// confine.
	Require bool
	// Deny behaves as if the host could not confine.
	Deny bool
	// Temp is the host directory in which {root} is made where namespaces are
	// refused; "" is the system's directory for temporary files.
	Temp string
}

// A Result says how the command ran. Its times and memory are those of the
// command and all its waited-for descendants.
type Result struct {
	Report artifact.Sandbox // as observed from inside
	User   time.Duration
	System time.Duration
	MaxRSS int64 // bytes, of the largest process; 0 where unknown
}

// An ExitError says that the command ran and failed.
type ExitError struct {
	Code   int    // exit status; 128 and the signal's number if it was killed
	Signal string // the signal's name, "" if it exited by itself
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "killed by signal: " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Run runs the command of spec and waits for its end. The error wraps an
// *ExitError if the command failed, the context's error if that ended it, and
// ErrUnavailable as that says; any other means that it was not run. Report is
// filled in whenever the command ran to its end, successful or not.
func Run(ctx context.Context, spec Spec) (Result, error) {
	plan, err := newPlan(spec)
	if err != nil {
		return Result{}, err
	}
	reason := errDenied
	if !spec.Deny {
		reason = available(spec.Proc)
	}
	if reason == nil {
		return confined(ctx, plan)
	}
	if spec.Require {
		return Result{}, fmt.Errorf("%w: %w", ErrUnavailable, reason)
	}
	res, err := unconfined(ctx, plan)
	res.Report.Reason = reason.Error()
	return res, err
}

// Available is nil, or says why the host cannot confine. It finds out by
// preparing an empty sandbox, once in the life of the process.
func Available() error { return available(false) }
