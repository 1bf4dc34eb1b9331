// Package upstream compares an archive of ours, of the variant vanilla, with the
// one that upstream released of the same version, at the level where the two can
// agree: what lies in them; of each program the Go that compiled it, the main
// package, the modules, the packages of which code is linked, the build settings,
// what is stamped into it and the files that it embeds; every other file byte for
// byte. That the bytes of the programs are not equal is known before, and why: it
// is what the differences here make of them.
//
// Each difference has its reason, one of a fixed table (Reasons). It has one only
// where both sides are exactly what they should be (Known): ours what the recipe
// says, theirs what upstream's own files of that version say, or promu writes. What
// is neither is Unexplained: it is for whoever calls to refuse. What could not be
// compared is said (Report.Unseen), and is no agreement. How the archives are
// compressed, and the order of what lies in them, is not compared.
//
// It refuses (ErrArchive) what is neither a tar archive in gzip nor a zip archive;
// one that holds more than one folder, a name twice, a name that leads out of it, or
// anything behind its end; and a program whose build info says two things of one.
// It refuses (ErrTooLarge) what is larger than anything that is released. Both
// archives are read as those of strangers, and nothing of them is run or written.
package upstream

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Why an archive is refused.
var (
	ErrArchive  = errors.New("malformed release archive")
	ErrTooLarge = errors.New("release archive is larger than any that is released")
)

// A Report is what was compared.
type Report struct {
	Agreements []Agreement // in the order in which they were compared
	Findings   []Finding   // likewise
	Unseen     []Agreement // what could not be compared, and why: it has no reason
}

// An Agreement is what both hold alike, in words.
type Agreement struct {
	Member string // of the archive, below its folder; "" is the archive
	What   string
}

// A Finding is a difference.
type Finding struct {
	Member       string
	What         string // that differs: "setting -trimpath", "module golang.org/x/net"
	Ours, Theirs string // "" is none
	Reason       Reason
}

// String is the finding in one line of printable characters.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s here, %s there: %s", printable(where(f.Member, f.What)), orNone(f.Ours), orNone(f.Theirs), f.Reason)
}

// String is the agreement in one line of printable characters.
func (a Agreement) String() string { return printable(where(a.Member, a.What)) }

func where(member, what string) string {
	if member == "" {
		return what
	}
	return member + ": " + what
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

// printable keeps what an archive says from moving the cursor of whoever reads it.
func printable(s string) string {
	const longest = 500
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// Unexplained are the findings that have no reason. Where Unseen is not empty the
// archives do not agree either.
func (r Report) Unexplained() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Reason != Unexplained })
}

// maxFindings are listed. Two archives of two versions have more.
const maxFindings = 500

func (r *Report) differ(member, what, ours, theirs string, why Reason) {
	switch n := len(r.Findings); {
	case n < maxFindings:
		r.Findings = append(r.Findings, Finding{member, what, ours, theirs, why})
	case n == maxFindings:
		r.Findings = append(r.Findings, Finding{What: fmt.Sprintf("and more than %d differences", maxFindings), Reason: Unexplained})
	}
}

func (r *Report) agree(member, format string, args ...any) {
	r.Agreements = append(r.Agreements, Agreement{member, fmt.Sprintf(format, args...)})
}

func (r *Report) unseen(member, format string, args ...any) {
	r.Unseen = append(r.Unseen, Agreement{member, fmt.Sprintf(format, args...)})
}

// Compare compares two archives. An error says that it could not be done, never
// that they differ.
func Compare(ours, theirs Archive, k Known) (Report, error) {
	var r Report
	a, err := ours.list()
	if err != nil {
		return r, fmt.Errorf("reading our archive: %w", err)
	}
	b, err := theirs.list()
	if err != nil {
		return r, fmt.Errorf("reading upstream's archive: %w", err)
	}
	r.folders(a.folder, b.folder, k)
	r.forms(a, b, k)
	for _, name := range names(a, b) {
		ma, inA := a.members[name]
		mb, inB := b.members[name]
		switch {
		case !inB:
			r.differ(name, "member", describe(ma), "", onlyOurs(ma, name, k))
		case !inA:
			r.differ(name, "member", "", describe(mb), Unexplained)
		case ma.program != "" && ma.program == mb.program:
			if err := r.programs(name, ours, theirs, ma, mb, k); err != nil {
				return r, err
			}
		case !ma.same(mb):
			r.differ(name, "content", describe(ma), describe(mb), Unexplained)
		default:
			r.agree(name, "the same %d bytes", ma.size)
		}
		if inA && inB && ma.runs != mb.runs {
			r.differ(name, "may be run", strconv.FormatBool(ma.runs), strconv.FormatBool(mb.runs), Unexplained)
		}
		if ma.grants != mb.grants {
			r.differ(name, "grants", ma.grants, mb.grants, Unexplained)
		}
	}
	r.within(a, b)
	return r, nil
}

// within compares the folders that the archives hold in their own.
func (r *Report) within(a, b listing) {
	for _, name := range slices.Sorted(maps.Keys(union(a.folders, b.folders))) {
		ga, inA := a.folders[name]
		gb, inB := b.folders[name]
		if inA != inB && name != "." { // which need not be told
			r.differ(name, "folder", is(inA), is(inB), Unexplained)
		}
		if ga != gb {
			r.differ(name, "grants", ga, gb, Unexplained)
		}
	}
}

// names are those of either archive, sorted.
func names(a, b listing) []string {
	var all []string
	for name := range a.members {
		all = append(all, name)
	}
	for name := range b.members {
		if _, both := a.members[name]; !both {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// describe shows a member.
func describe(m member) string {
	if m.link != "" {
		return "link to " + m.link
	}
	return fmt.Sprintf("%d bytes, sha256 %x", m.size, m.sum[:6])
}

// folders compares the names of the archives' folders, which hold component,
// version and platform.
func (r *Report) folders(ours, theirs string, k Known) {
	if ours == theirs {
		r.agree("", "folder %s", printable(ours))
		return
	}
	wantOurs, wantTheirs := k.folders()
	r.differ("", "folder", ours, theirs, when(ours == wantOurs && theirs == wantTheirs, Variant))
}

// forms compares what the archives say of their members, which unpacking may
// take over, beside what each grants. Ours says the same on every machine.
func (r *Report) forms(a, b listing, k Known) {
	released := k.Recipe.Released.UTC().Truncate(time.Second)
	for _, f := range []struct {
		what, ours, theirs string
		packed             bool // whether each has what its packer writes
	}{
		{"times of members", a.times, b.times, a.times == released.Format(time.RFC3339) && (b.first.IsZero() || !b.first.Before(released))},
		{"owners of members", a.owners, b.owners, a.owners == "0/0" || a.owners == ""},
		{"modes of members", a.modes, b.modes, plainModes(a.modes)},
	} {
		if f.ours == f.theirs {
			r.agree("", "%s: %s", f.what, printable(f.ours))
			continue
		}
		r.differ("", f.what, f.ours, f.theirs, when(f.packed, Packing))
	}
}

// plainModes reports whether modes are such as ours has.
func plainModes(modes string) bool {
	return !slices.ContainsFunc(strings.Split(modes, ", "), func(m string) bool { return m != "0644" && m != "0755" })
}
