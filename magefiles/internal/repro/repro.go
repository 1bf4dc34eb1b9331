// Package repro tells whether two builds left the same bytes, and where they
// did not: in which file, member and section, and why, if it can tell. It
// never calls two different things equal: bytes are compared first, and what
// is equal is not parsed; an explanation is looked for second, and where
// there is none the difference is reported without.
//
// # Permitted differences
//
//   - In an artifact, and in an image: none.
//   - In release.json (beside the artifacts, not inside one): the field
//     "timing" of each artifact, which says how long a build took.
//   - In the provenance of an artifact or an image (beside it): invocationId,
//     startedOn and finishedOn, which say which run it was.
//
// That is the whole list. Of a loose file its path, its kind, its bytes and
// whether it may be run are compared; owner, times and the other permission
// bits belong to the file system it lies on and not to the build. Inside an
// archive all of them are the build's, and count.
//
// # Causes
//
// Where the cause of a difference can be told, Why begins with it: see Cause. It is
// said of what it explains and of nothing else. Two texts, or two values of JSON,
// are said to differ in a time stamp where they are the same but for that, piece by
// piece; of what is left no cause is known. Two Go programs are asked for what each
// says in a place of its own: build info, folders of the source, strings of
// variables, embedded files. Where none of these differs, each place at which the
// programs do has to have its mark.
//
// Of two image layouts the blobs are paired by their place in the image, not by
// their names, which are their digests: so the report is about the file of a
// layer that differs, and not about blobs that are missing or too many, nor about
// the digests above it that differ because of it. Of a Go program each file that
// it embeds by embed.FS is compared by its name.
//
// # Refusals
//
// What is compared was made by somebody else, so all of it is bounded: files,
// members, bytes unpacked from one archive and from all that is in it, archives
// within archives, what a program claims to hold, differences listed. Past
// a bound Compare says what it did not look into; it does not guess. A tree
// that holds anything but directories, regular files and symbolic links is an
// error.
package repro

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
)

// A Difference is one place where two builds differ.
type Difference struct {
	File    string // slash-separated path below the compared directories, or the compared file's name
	Member  string // path inside the archive File, "" for File itself; archives within archives are joined by "!"
	Section string // part of an executable, key of a JSON file, or "" for the whole
	Offset  int64  // of the first differing byte in the file or member of the first build; -1 where bytes are not what differs
	Why     string // what differs and, where it can be told, the cause: "build path: ..."
	Detail  bool   // of a difference in the same file, whose cause is told, or is said to be unknown, in another line
}

// String is the difference in one line of printable characters.
func (d Difference) String() string {
	var b strings.Builder
	b.WriteString(printable(d.File))
	if d.Member != "" {
		b.WriteString("!" + printable(d.Member))
	}
	if d.Section != "" {
		b.WriteString(" [" + printable(d.Section) + "]")
	}
	if d.Offset >= 0 {
		b.WriteString(" at byte " + strconv.FormatInt(d.Offset, 10))
	}
	b.WriteString(": " + printable(d.Why))
	return b.String()
}

// printable keeps names that come from an archive from moving the cursor of
// whoever reads about them.
func printable(s string) string {
	const longest = 1000 // of what an archive may make as long as it likes
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// limits bound the work of one comparison.
type limits struct {
	differences int   // listed
	files       int   // in a tree
	members     int   // of one archive
	explained   int   // differing members of one archive that are looked into
	unpacked    int64 // bytes that one archive may unpack to
	member      int64 // bytes of a member that is looked into, which is held in memory
	parsed      int64 // bytes of a JSON file that is parsed
	depth       int   // of archives within archives, layouts and programs among them, and of directories in a tree times 16
	pieces      int   // of one text
	names       int64 // bytes of the names of all members of one archive
	work        int64 // bytes that one file, with all that is in it, is unpacked to or searched for, again and again
}

var defaults = limits{
	differences: 200,
	files:       100_000,
	members:     100_000,
	explained:   16,
	unpacked:    4 << 30,
	member:      512 << 20,
	parsed:      64 << 20,
	depth:       4,
	pieces:      1 << 20,
	names:       64 << 20,
	work:        24 << 30,
}

// Compare compares two regular files or two directories. It returns nil where
// they are the same but for what the package permits. The order of the
// differences is fixed: what is missing or too many, then each differing file
// by name. An error says that the comparison could not be made, never that
// the contents differ.
func Compare(a, b string) ([]Difference, error) {
	return compare(a, b, defaults)
}

func compare(a, b string, lim limits) ([]Difference, error) {
	ia, err := os.Stat(a)
	if err != nil {
		return nil, fmt.Errorf("comparing builds: %w", err)
	}
	ib, err := os.Stat(b)
	if err != nil {
		return nil, fmt.Errorf("comparing builds: %w", err)
	}
	c := newComparison(lim)
	switch {
	case ia.IsDir() && ib.IsDir():
		err = c.trees(a, b)
	case ia.Mode().IsRegular() && ib.Mode().IsRegular():
		err = c.namedFiles(a, b)
	case ia.Mode().Type() != ib.Mode().Type():
		c.add(Difference{File: filepath.Base(a), Offset: -1, Why: fmt.Sprintf("%s in the first build, %s in the second", kindOf(ia.Mode()), kindOf(ib.Mode()))})
	default:
		err = fmt.Errorf("comparing builds: %s is %s: only files and directories can be compared", a, kindOf(ia.Mode()))
	}
	if err != nil {
		return nil, err
	}
	return c.found, nil
}

// A comparison gathers differences up to its limits.
type comparison struct {
	lim   limits
	work  *atomic.Int64 // that may still be done on the file of the tree
	found []Difference
	full  bool
}

func newComparison(lim limits) *comparison {
	c := &comparison{lim: lim, work: new(atomic.Int64)}
	c.work.Store(lim.work)
	return c
}

// charge takes n bytes of the work that is left, and reports whether there was any.
func (c *comparison) charge(n int64) bool { return c.work.Add(-n) >= 0 }

// add keeps d, or says once that there are more.
func (c *comparison) add(d Difference) {
	if c.full {
		return
	}
	if len(c.found) >= c.lim.differences {
		c.full = true
		c.found = append(c.found, Difference{File: d.File, Offset: -1, Why: fmt.Sprintf("and more: only the first %d differences are listed", c.lim.differences)})
		return
	}
	c.found = append(c.found, d)
}

// A place is where in a build the comparison stands.
type place struct {
	file, member string
	depth        int // archives entered
}

func (p place) inside(name string) place {
	if p.member != "" {
		name = p.member + "!" + name
	}
	return place{p.file, name, p.depth + 1}
}

func (p place) at(section string, offset int64, format string, args ...any) Difference {
	return Difference{File: p.file, Member: p.member, Section: section, Offset: offset, Why: fmt.Sprintf(format, args...)}
}
