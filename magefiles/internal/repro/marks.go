package repro

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The sorts of marks that a host, or what was built on it, leaves in a text. Of
// each the expression is a group of the one that finds them all, so the first that
// fits is taken.
var sorts = []struct {
	cause Cause
	form  string
}{
	{OtherContent, `\b[0-9a-f]{128}\b|\b[0-9a-f]{96}\b|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b` +
		`|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b` +
		`|\bh1:[A-Za-z0-9+/]{43}=|\bsha(?:256|384|512)-[A-Za-z0-9+/]{43,86}={0,2}`},
	{TimeStamp, `\b(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T_ ]?[0-2]\d:[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z| ?[+-]\d\d:?\d\d| ?UTC\b)?)?` +
		`|\b(?:19|20)\d{6}-[0-2]\d:[0-5]\d:[0-5]\d` +
		`|\b(?:` + days + `),? (?:\d\d? )?(?:` + months + `) [ \d]?\d?[ \d:A-Z]{0,16}(?:19|20)\d\d(?: [0-2]\d:[0-5]\d:[0-5]\d)?(?: (?:GMT|UTC|[+-]\d{4})\b)?` +
		`|\b(?:` + months + `) [ \d]\d (?:19|20)\d\d\b` +
		`|\b[0-2]\d:[0-5]\d:[0-5]\d\b` +
		`|\b1[4-9]\d{8}\b`},
	{Toolchain, `\bgo1\.\d+(?:\.\d+|rc\d+|beta\d+)?\b`},
	{ModuleVersion, `\bv\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]*[0-9A-Za-z])?`},
	{UserOrHost, `\b[A-Za-z_][A-Za-z0-9_.-]*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?`},
	// What stands before a path cannot be looked behind for.
	{BuildPath, ``},
}

const (
	days     = `Mon|Tue|Wed|Thu|Fri|Sat|Sun`
	months   = `Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec`
	pathForm = `(?:^|[^A-Za-z0-9._@+~/:$-])((?:/[A-Za-z0-9._@+~-]+){2,}/?|[A-Za-z]:[/\\][A-Za-z0-9._@+~/\\-]+)`
)

var (
	markForm    = regexp.MustCompile(allForms())
	versionForm = regexp.MustCompile(`@v\d+\.\d+\.\d+[0-9A-Za-z.+-]*`)
	sourceForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

func allForms() string {
	var forms []string
	for _, s := range sorts {
		if s.form == "" {
			forms = append(forms, pathForm)
			continue
		}
		forms = append(forms, "("+s.form+")")
	}
	return strings.Join(forms, "|")
}

// A mark is one in a text, at an offset.
type mark struct {
	cause Cause
	text  string
	at    int
}

// masked is a text with a sign in place of each mark, and the marks.
func masked(s string) (string, []mark) {
	var (
		b     strings.Builder
		marks []mark
		done  = 0
	)
	for _, m := range markForm.FindAllStringSubmatchIndex(s, -1) {
		for sort := range sorts {
			from, to := m[2+2*sort], m[3+2*sort]
			if from < 0 {
				continue
			}
			cause := sorts[sort].cause
			// The version of a module follows its path as a host does a user.
			if v := versionForm.FindStringIndex(s[from:to]); cause == UserOrHost && v != nil {
				cause, from = ModuleVersion, from+v[0]+1
			}
			b.WriteString(s[done:from])
			fmt.Fprintf(&b, "\x00%d", sort)
			marks = append(marks, mark{cause, s[from:to], from})
			done = to
		}
	}
	b.WriteString(s[done:])
	return b.String(), marks
}

// A finding is a cause with its first marks on either side.
type finding struct {
	cause  Cause
	a, b   string
	at, in int64 // offsets of the first byte at which these differ, in the first build and in the second
	more   int   // of that cause
}

func (f finding) String() string {
	s := fmt.Sprintf("%s: %q in the first build, %q in the second", f.cause, f.a, f.b)
	if f.more > 0 {
		s += fmt.Sprintf(", and %d more", f.more)
	}
	return s
}

// likely is what two texts differ in, if that is nothing but marks. Offsets are
// from their begins.
func likely(a, b string) []finding {
	maskedA, inA := masked(a)
	maskedB, inB := masked(b)
	if maskedA != maskedB || len(inA) != len(inB) {
		return nil
	}
	return compareMarks(inA, inB)
}

func compareMarks(inA, inB []mark) (found []finding) {
	for i, m := range inA {
		o := inB[i]
		if m.text == o.text {
			continue
		}
		cause := m.cause
		switch {
		case cause != o.cause:
			cause = OtherContent
		case cause == BuildPath && versionForm.ReplaceAllString(m.text, "") == versionForm.ReplaceAllString(o.text, ""):
			cause = ModuleVersion
		}
		same := int64(0)
		for same < int64(min(len(m.text), len(o.text))) && m.text[same] == o.text[same] {
			same++
		}
		found = collect(found, finding{cause, clipped(m.text), clipped(o.text), int64(m.at) + same, int64(o.at) + same, 0})
	}
	return found
}

// collect adds a finding, to that of the same cause if there is one.
func collect(all []finding, f finding) []finding {
	i := slices.IndexFunc(all, func(o finding) bool { return o.cause == f.cause })
	if i < 0 {
		return append(all, f)
	}
	all[i].more += 1 + f.more
	return all
}

func clipped(s string) string {
	if len(s) > 2*excerptLength {
		return s[:2*excerptLength] + "…"
	}
	return s
}

// A piece is a part of a text, at an offset.
type piece struct {
	text string
	at   int64
}

// pairUp finds for each piece that only one side has the one that the other side has
// in its place: which differs from it in nothing but marks. What is left has none.
func pairUp(a, b []piece) (found []finding, restA, restB []piece) {
	type waiting struct {
		piece
		marks []mark
	}
	inB := map[string][]waiting{}
	for _, p := range b {
		s, marks := masked(p.text)
		inB[s] = append(inB[s], waiting{p, marks})
	}
	taken := map[int64]bool{}
	for _, p := range a {
		s, marks := masked(p.text)
		queue := inB[s]
		if len(queue) == 0 || len(marks) == 0 || len(marks) != len(queue[0].marks) {
			restA = append(restA, p)
			continue
		}
		other := queue[0]
		inB[s] = queue[1:]
		taken[other.at] = true
		for _, f := range compareMarks(marks, other.marks) {
			f.at, f.in = p.at+f.at, other.at+f.in
			found = collect(found, f)
		}
	}
	for _, p := range b {
		if !taken[p.at] {
			restB = append(restB, p)
		}
	}
	return found, restA, restB
}
