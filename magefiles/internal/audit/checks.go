// Package audit runs a built component in a scratch directory on loopback and
// says, promise by promise of the security model, whether the binary keeps it.
//
// # What a finding means
//
// PASS: the check saw the promised thing happen. FAIL: it saw something else,
// or could not see what it came for. SKIP: there is nothing in this binary or
// on this machine that the check could look at, and it says what is missing;
// SKIP is never counted as PASS. No check reads patches or source: what is
// judged is what the binary does.
//
// Every check also runs on a vanilla build and on upstream's own binaries. It
// passes a flag of this distribution only where the binary's --help lists it,
// so a binary without the promise fails for what it does and not for a flag
// that it does not know.
//
// # Refusals
//
// A binary whose digest is not the one given, or whose file changes during the
// audit, is not judged. A component that no check knows is refused. All that a
// check does is bounded in time, connections and bytes.
package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Status is how a check ended.
type Status string

// The three ends of a check.
const (
	Pass Status = "PASS"
	Fail Status = "FAIL"
	Skip Status = "SKIP"
)

// A Finding is what one check saw. Observation is one line of printable
// characters, without any secret that was made during the audit.
type Finding struct {
	Check       string `json:"check"`
	Row         int    `json:"row"` // of the security model
	Status      Status `json:"status"`
	Observation string `json:"observation"`
}

// A Check holds one promise against a binary. run returns what was seen where
// the promise is kept; fail and skip make the other ends, and any other error
// means that the check could not see what it came for, which fails it too.
type Check struct {
	ID         string
	Rows       []int    // of the security model; a finding names the first
	Components []string // that promise it, nil for all
	Doc        string   // the promise, in a sentence
	run        func(context.Context, *bench) (seen string, err error)
}

// checkTime bounds one check.
const checkTime = 2 * time.Minute

// Checks is every check, in the order in which they run.
func Checks() []Check {
	return slices.Concat(webChecks, dosChecks, prometheusChecks, alertmanagerChecks, pushgatewayChecks,
		probeChecks, secretsChecks, unitChecks, patchesChecks)
}

// For reports whether the check speaks of the component.
func (c Check) For(component string) bool {
	return c.Components == nil || slices.Contains(c.Components, component)
}

// Run runs every check of the subject's component and tells each of its
// findings as it comes. An error means that there is no audit: the binary is
// not what the subject says, or the context ended.
func Run(ctx context.Context, subject Subject, settings Settings, each func(Finding)) ([]Finding, error) {
	return run(ctx, subject, settings, Checks(), each)
}

func run(ctx context.Context, subject Subject, settings Settings, checks []Check, each func(Finding)) ([]Finding, error) {
	b, err := newBench(ctx, subject, settings)
	if err != nil {
		return nil, fmt.Errorf("auditing %s: %w", subject.Component, err)
	}
	defer b.close()
	var all []Finding
	for _, c := range checks {
		if !c.For(subject.Component) {
			continue
		}
		f := b.judge(ctx, c)
		// What a check sees of an audit that is being ended is no finding.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all = append(all, f)
		each(f)
	}
	return all, subject.unchanged()
}

// judge runs one check in a directory of its own.
func (b *bench) judge(ctx context.Context, c Check) Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	f := Finding{Check: c.ID, Row: c.Rows[0], Status: Pass}
	seen, err := c.run(ctx, b)
	b.stopAll()
	var refused failure
	var without skipped
	switch {
	case errors.As(err, &without):
		f.Status, seen = Skip, string(without)
	case errors.As(err, &refused):
		f.Status, seen = Fail, err.Error()
	case err != nil:
		f.Status, seen = Fail, "could not be checked: "+err.Error()
	}
	f.Observation = b.presentable(seen)
	return f
}

// maxObservation is how many bytes of an observation are kept.
const maxObservation = 600

// presentable makes one printable line of s, without the paths and the
// secrets of this audit.
func (b *bench) presentable(s string) string {
	b.mu.Lock()
	for _, secret := range b.secrets {
		s = strings.ReplaceAll(s, secret, "[secret]")
	}
	b.mu.Unlock()
	s = strings.ReplaceAll(s, b.dir+"/", "")
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxObservation {
		s = strings.ToValidUTF8(s[:maxObservation], "") + "..."
	}
	return s
}

type (
	failure string
	skipped string
)

func (f failure) Error() string { return string(f) }
func (s skipped) Error() string { return string(s) }

// fail says what was seen in place of what is promised.
func fail(format string, args ...any) error { return failure(fmt.Sprintf(format, args...)) }

// skip says what is missing that the check would look at.
func skip(format string, args ...any) error { return skipped(fmt.Sprintf(format, args...)) }
