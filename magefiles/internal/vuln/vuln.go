// Package vuln finds the vulnerabilities that are known of what built binaries
// link, and says of each archive, in an OpenVEX document, which of them affect it.
// Two runs over one release, one snapshot of the database and one triage say the
// same, to the byte: so who signs can look again instead of believing.
//
// It scans with govulncheck's library, in a process of its own that sees no
// variable, no configuration and no program of the user's, and that is bounded in
// time and memory. What is known is never asked for while it scans: before, a
// snapshot of the database is taken, of what is linked and no more.
//
// # Levels
//
// A vulnerability of a linked module in a version that has it is Linked at least;
// Imported if a package that has it is in the binary; and Reachable if a function
// that has it is: the linker keeps what could be called. Whether anything calls it,
// and with what, no binary shows. What the scanner cannot tell counts as Reachable:
// every function of a binary without symbols, and the packages that it would look
// for in another module than their own (entry.hidden).
//
// # Refusals
//
// It refuses a database that is malformed, larger than any real one, or
// contradicts itself (ErrDatabase); a snapshot that was not taken of what is
// linked (ErrSnapshot); a binary of which nothing could be told, since a module
// has no version or another stands in for it (ErrUnknown); an answer of a triage
// that is out of date (ErrExpired), is for longer than anybody can know (ErrTooLong)
// or answers nothing (ErrUnneeded); and, where documents are there already, one that
// says something else (ErrDiffers). An answer counts for archives of the variants
// that it names: what a patch answers is open where the patch is not.
package vuln

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/vex"
	"palisade/recipes"
)

// Why something is refused, each its own.
var (
	ErrDatabase = errors.New("the vulnerability database cannot be believed")
	ErrSnapshot = errors.New("the snapshot of the vulnerability database is not one of this release")
	ErrUnknown  = errors.New("of this binary cannot be told which vulnerabilities it has")
	ErrExpired  = errors.New("an answer to a vulnerability is out of date")
	ErrTooLong  = errors.New("an answer to a vulnerability is for too long")
	ErrUnneeded = errors.New("an answer is to no vulnerability that is there")
	ErrDiffers  = errors.New("the OpenVEX document does not say what is found")
)

// A Level is how far a vulnerability reaches into a binary.
type Level string

// The levels, from the least.
const (
	Linked    Level = "linked"    // a version of the module that has it
	Imported  Level = "imported"  // a package that has it
	Reachable Level = "reachable" // a function that has it, which the linker kept
)

var levels = []Level{Linked, Imported, Reachable}

// A Finding is a vulnerability that is known of a module that is linked.
type Finding struct {
	ID      string   `json:"id"`      // of the Go vulnerability database
	Aliases []string `json:"aliases"` // in others, sorted
	Summary string   `json:"summary"` // the database's, on one line
	Module  string   `json:"module"`  // "stdlib" of the standard library
	Version string   `json:"version"` // that was compiled
	Fixed   string   `json:"fixed"`   // the version that lacks it, "" if there is none yet
	Level   Level    `json:"level"`
	Symbols []string `json:"symbols"` // of Reachable, sorted: those that are in the binary, as far as that can be told

	limited bool // the database says of which systems it is
}

func (f Finding) order(g Finding) int {
	return strings.Compare(f.ID+" "+f.Module, g.ID+" "+g.Module)
}

// merge is what was found in several binaries of one archive.
func merge(all ...[]Finding) []Finding {
	merged := slices.Concat(all...)
	slices.SortStableFunc(merged, Finding.order)
	var one []Finding
	for _, f := range merged {
		n := len(one) - 1
		if n < 0 || one[n].order(f) != 0 {
			one = append(one, f)
			continue
		}
		if slices.Index(levels, f.Level) > slices.Index(levels, one[n].Level) {
			one[n].Level = f.Level
		}
		one[n].Symbols = append(slices.Clone(one[n].Symbols), f.Symbols...)
		slices.Sort(one[n].Symbols)
		one[n].Symbols = slices.Compact(one[n].Symbols)
	}
	return one
}

// Judge is what is to be said of each finding: what is in no binary does not
// affect it; of the rest the triage decides, which is that of the variant
// (recipes.Triage.Of), and what that does not answer affects it.
func Judge(found []Finding, t recipes.Triage) []vex.Verdict {
	var all []vex.Verdict
	for _, f := range found {
		v := vex.Verdict{ID: f.ID, Aliases: f.Aliases, Module: f.Module, Version: f.Version}
		answer := slices.IndexFunc(t, func(a recipes.Answer) bool { return f.answeredBy(a) })
		switch {
		case f.Level == Linked:
			v.Status, v.Justification, v.Note = vex.NotAffected, vex.CodeNotPresent, "the module is linked, and no package of it that has the vulnerability"
		case f.Level == Imported:
			v.Status, v.Justification, v.Note = vex.NotAffected, vex.CodeNotPresent, "of the package that has the vulnerability the linker kept no function that has it"
		case answer >= 0:
			a := t[answer]
			v.Status, v.Justification, v.Note = vex.Status(a.Status), a.Justification, a.Statement
		default:
			v.Status, v.Note = vex.Affected, f.action()
		}
		all = append(all, v)
	}
	slices.SortFunc(all, vex.Order)
	return all
}

// answeredBy reports whether a is about f, which needs an answer.
func (f Finding) answeredBy(a recipes.Answer) bool {
	return f.Level == Reachable && f.ID == a.ID && f.Module == a.Module
}

// action is what there is to do.
func (f Finding) action() string {
	switch {
	case f.Fixed == "":
		return fmt.Sprintf("no version of %s without it is known yet", f.Module)
	case f.Module == vex.Std:
		return fmt.Sprintf("build with Go %s or a later one", f.Fixed)
	}
	return fmt.Sprintf("raise %s to %s or a later version", f.Module, f.Fixed)
}

// current refuses a triage with an answer that was for a time that is over, or that
// is for more than a year from today, counted in days of UTC: who looked once does
// not know what will be called by then.
func current(component string, t recipes.Triage, now time.Time) error {
	today := now.UTC().Truncate(24 * time.Hour)
	for _, a := range t {
		last := a.Until.AddDate(0, 0, -1)
		what := fmt.Sprintf("recipes/%s/%s: line %d: %s in %s", component, recipes.TriageName, a.Line, a.ID, a.Module)
		if !now.Before(a.Until) {
			return fmt.Errorf("%w: %s was answered until %s: look at it again, and say until when that holds, or remove the answer",
				ErrExpired, what, last.Format(time.DateOnly))
		}
		if most := today.AddDate(1, 0, 0); last.After(most) {
			return fmt.Errorf("%w: %s is answered until %s: an answer is for a year at most, today until %s: say a day by which somebody looks again",
				ErrTooLong, what, last.Format(time.DateOnly), most.Format(time.DateOnly))
		}
	}
	return nil
}

// needed refuses an answer of a variant that nothing of what was found in that asks
// for. One that the database says to be of some systems alone may be of those that
// were not looked at.
func needed(component, variant string, t recipes.Triage, found []Finding, limited map[string]bool) error {
	for _, a := range t.Of(variant) {
		if limited[a.ID] || slices.ContainsFunc(found, func(f Finding) bool { return f.answeredBy(a) }) {
			continue
		}
		return fmt.Errorf("%w: recipes/%s/%s: line %d: %s in %s is reachable in no %s binary of %s that was looked at: remove the answer, or %s from its variants",
			ErrUnneeded, component, recipes.TriageName, a.Line, a.ID, a.Module, variant, component, variant)
	}
	return nil
}

// A Report is what was found in a release.
type Report struct {
	Database Database  `json:"database"`
	Archives []Archive `json:"archives"` // in the order of release.json
}

// An Archive is what was found in one.
type Archive struct {
	Name     string          `json:"name"`
	Digest   artifact.Digest `json:"digest"`
	Findings []Finding       `json:"findings"` // sorted by id and module
	Verdicts []Verdict       `json:"verdicts"` // one for each, in that order

	record artifact.Record
}

// A Verdict is that of a finding.
type Verdict struct {
	Status        vex.Status `json:"status"`
	Justification string     `json:"justification,omitempty"`
	Note          string     `json:"note,omitempty"`
	Open          bool       `json:"open"` // nobody has answered it so that nothing is left to do
}

// Open is how many findings are left open, each in each archive.
func (r Report) Open() (n int) {
	for _, a := range r.Archives {
		for _, v := range a.Verdicts {
			if v.Open {
				n++
			}
		}
	}
	return n
}
