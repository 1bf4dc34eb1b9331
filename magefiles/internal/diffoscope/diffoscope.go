// Package diffoscope asks diffoscope (https://diffoscope.org) what differs
// between two files, where that is installed: more than this project's own report
// says, and in the words of a tool that others wrote. It guarantees an end: of
// the time that is taken, with all that was started, and of what is kept.
//
// What it says is an addition and never a verdict. That it is absent, fails, or
// sees no difference is said in one line, and is no error; nor does anything
// follow from it.
//
// It runs in a sandbox, with all that it starts in turn to look at files that
// others made: without network, in an environment of its own, with the system's
// programs, the two files, which it cannot change, and a folder to unpack them in.
// Where there is no such sandbox to be had it is not run.
package diffoscope

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"palisade/magefiles/internal/sandbox"
)

// A Tool is where the program is.
type Tool struct {
	Program string // absolute; "" if it is not installed
	Path    string // PATH, where it finds what it starts, of what the sandbox shows
	Temp    string // folder in which it may have one of its own

	deny bool // behave as if there were no sandbox
}

// What is asked of it at most. An archive of Prometheus is taken apart in a few
// minutes.
const (
	timeout   = 15 * time.Minute
	maxOutput = 1 << 20 // bytes that are kept
	maxFailed = 4096    // bytes of why it failed
)

// A Report is what it said.
type Report struct {
	Text string // lines of printable characters; "" if it said nothing of the files
	Note string // one line about why there is no text or not all of it; "" if there is nothing to say
}

// Compare has two files or folders compared. The error is the context's.
func (t Tool) Compare(ctx context.Context, a, b string) (Report, error) {
	return t.compare(ctx, a, b, timeout, maxOutput)
}

// statusDifferent is what it ends with if there is a difference, as 0 says that
// there is none and whatever else that it failed (diffoscope(1)).
const statusDifferent = 1

// What the sandbox shows of a system: its programs, and how it finds their parts.
var shown = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/magic", "/etc/magic.mime",
}

// scratch is where it may write.
const scratch = "/scratch"

func (t Tool) compare(ctx context.Context, a, b string, timeout time.Duration, max int) (Report, error) {
	if t.Program == "" {
		return Report{Note: "diffoscope is not installed, and would say more: https://diffoscope.org"}, nil
	}
	report, err := t.run(ctx, a, b, timeout, max)
	if ctx.Err() != nil {
		return Report{}, fmt.Errorf("running diffoscope: %w", ctx.Err())
	}
	if err != nil {
		report.Note = "diffoscope was not run: " + oneLine(err.Error())
	}
	return report, nil
}

// run gives what it said, or why it was not run.
func (t Tool) run(ctx context.Context, a, b string, timeout time.Duration, max int) (Report, error) {
	mounts, program, err := t.mounts()
	if err != nil {
		return Report{}, err
	}
	targets := []string{path.Join("/first", filepath.Base(a)), path.Join("/second", filepath.Base(b))}
	for i, name := range []string{a, b} {
		source, err := filepath.Abs(name)
		if err != nil {
			return Report{}, err
		}
		mounts = append(mounts, sandbox.Mount{Source: source, Target: targets[i]})
	}
	own, err := os.MkdirTemp(t.Temp, "diffoscope")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(own)
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, said := &head{max: max, full: cancel}, &head{max: maxFailed, full: func() {}}
	_, err = sandbox.Run(bounded, sandbox.Spec{
		Mounts: append(mounts, sandbox.Mount{Source: own, Target: scratch, Writable: true}),
		Dir:    scratch,
		Args: []string{
			program, "--no-progress", "--text-color=never", "--max-text-report-size=" + strconv.Itoa(max), "--text=-", "--", targets[0], targets[1],
		},
		Env:    []string{"PATH=" + t.Path, "HOME=" + scratch, "TMPDIR=" + scratch, "LC_ALL=C.UTF-8"},
		Stdout: out, Stderr: said,
		Require: true, Deny: t.deny,
	})
	report := Report{Text: printable(out.String())}
	var exit *sandbox.ExitError
	switch failed := errors.As(err, &exit); {
	case out.cut:
		report.Note = fmt.Sprintf("diffoscope has more to say: these are its first %d bytes", max)
	case bounded.Err() != nil:
		report.Note = fmt.Sprintf("diffoscope was stopped after %s", timeout)
	case err == nil:
		report.Note = "diffoscope sees no difference"
	case !failed:
		return report, err
	case exit.Code == statusDifferent && report.Text != "":
	default:
		report.Note = fmt.Sprintf("diffoscope failed: %v: %s", exit, oneLine(said.String()))
	}
	return report, nil
}

// mounts are what it needs of the system, and where it is itself.
func (t Tool) mounts() (mounts []sandbox.Mount, program string, err error) {
	if program, err = filepath.EvalSymlinks(t.Program); err != nil {
		return nil, "", err
	}
	all := shown
	inShown := func(name string) bool {
		return slices.ContainsFunc(shown, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
	}
	if !inShown(program) {
		// Elsewhere its libraries are beside the folder that it is in.
		dir := filepath.Dir(program)
		all = append(slices.Clone(shown), dir)
		if filepath.Base(dir) == "bin" {
			all = append(all, filepath.Join(filepath.Dir(dir), "lib"), filepath.Join(filepath.Dir(dir), "share"))
		}
	}
	for _, name := range all {
		if _, err := os.Stat(name); err == nil {
			mounts = append(mounts, sandbox.Mount{Source: name, Target: name})
		}
	}
	return mounts, program, nil
}

// A head keeps the first bytes that are written to it, and says when it is full.
type head struct {
	strings.Builder
	max  int
	cut  bool
	full func()
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.max - h.Len(); len(p) > room {
		h.Builder.Write(p[:room])
		h.cut = true
		h.full()
		return len(p), nil
	}
	return h.Builder.Write(p)
}

func oneLine(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }

// printable keeps what is said of files that others made from moving anybody's
// cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		if r == '\t' {
			return ' '
		}
		return '�'
	}, strings.ToValidUTF8(s, "�"))
}
