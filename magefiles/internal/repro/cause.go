package repro

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Marks that a host leaves in what is built on it.
var (
	timeMark = regexp.MustCompile(`(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T_][0-2]\d:[0-5]\d(?::[0-5]\d)?)?|(?:19|20)\d{6}-[0-2]\d:[0-5]\d:[0-5]\d|\b[0-2]\d:[0-5]\d:[0-5]\d\b`)
	unixMark = regexp.MustCompile(`\b1[4-9]\d{8}\b`)
	userMark = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*$`)
	pathMark = regexp.MustCompile(`^(?:/[A-Za-z0-9._@+~-]+){2,}/?$|^[A-Za-z]:[/\\][A-Za-z0-9._@+~/\\-]+$`)
)

// markLength bounds a string that is looked at as a whole.
const markLength = 512

// A trace is a sort of mark.
type trace int

const (
	tracePath trace = iota
	traceTime
	traceUser
	traces
)

var traceNames = [traces]string{"build path", "time stamp", "user or host name"}

// marks are the marks of one file. Once there are too many of them they can
// no longer show that a mark is missing, so partial ones are not compared.
type marks struct {
	seen    [traces]map[string]bool
	partial bool
}

// cause blames the difference between a and b on marks that only one of them
// holds, or is empty. It is a guess, if a good one: what it names is there.
// The offsets are those of the first difference of interest.
func (c *comparison) cause(a, b content, offsetA, offsetB int64) string {
	if a.size > c.lim.member || b.size > c.lim.member {
		return ""
	}
	ma, errA := c.gather(a.reader())
	mb, errB := c.gather(b.reader())
	if errA != nil || errB != nil || ma.partial || mb.partial {
		return ""
	}
	var causes []string
	for t := range traces {
		onlyA, onlyB := missing(ma.seen[t], mb.seen[t]), missing(mb.seen[t], ma.seen[t])
		if len(onlyA)+len(onlyB) > 0 {
			causes = append(causes, traceNames[t]+": "+sides(onlyA, onlyB))
		}
	}
	if len(causes) > 0 {
		return strings.Join(causes, "; ")
	}
	wordA, wordB := a.word(offsetA), b.word(offsetB)
	if wordA != wordB && unixMark.MatchString(wordA) && unixMark.MatchString(wordB) {
		return fmt.Sprintf("%s: %q in the first build, %q in the second", traceNames[traceTime], wordA, wordB)
	}
	return ""
}

// missing is what a holds and b does not, sorted.
func missing(a, b map[string]bool) []string {
	var only []string
	for s := range a {
		if !b[s] {
			only = append(only, s)
		}
	}
	slices.Sort(only)
	return only
}

func sides(a, b []string) string {
	one := func(only []string, which string) string {
		switch len(only) {
		case 0:
			return ""
		case 1:
			return fmt.Sprintf("%q only in the %s build", only[0], which)
		}
		return fmt.Sprintf("%q and %d more only in the %s build", only[0], len(only)-1, which)
	}
	return strings.Trim(one(a, "first")+", "+one(b, "second"), ", ")
}

func markByte(b byte) bool {
	switch {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return true
	}
	return strings.IndexByte("._@+~/:\\-", b) >= 0
}

// gather reads the marks of r. A string of interest ends at any byte that
// cannot stand in one, as the NUL that ends each file name in Go's tables.
func (c *comparison) gather(r io.Reader) (*marks, error) {
	m := &marks{}
	for t := range m.seen {
		m.seen[t] = map[string]bool{}
	}
	in := bufio.NewReaderSize(r, 1<<16)
	var run []byte
	for {
		b, err := in.ReadByte()
		if err == nil && markByte(b) {
			if run = append(run, b); len(run) < 2*markLength {
				continue
			}
			// Of a long run keep the end: a time stamp may lie across the cut.
			c.sort(m, run)
			run = append(run[:0], run[len(run)-64:]...)
			continue
		}
		if len(run) >= 8 {
			c.sort(m, run)
		}
		run = run[:0]
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *comparison) sort(m *marks, run []byte) {
	keep := func(t trace, s string) {
		if len(m.seen[t]) >= c.lim.marks {
			m.partial = true
			return
		}
		m.seen[t][s] = true
	}
	if bytes.IndexByte(run, '-') >= 0 || bytes.IndexByte(run, ':') >= 0 {
		for _, s := range timeMark.FindAll(run, -1) {
			keep(traceTime, string(s))
		}
	}
	if len(run) > markLength {
		return
	}
	run = bytes.TrimRight(run, ".:")
	switch {
	case pathMark.Match(run):
		keep(tracePath, string(run))
	case bytes.IndexByte(run, '@') > 0 && userMark.Match(run):
		keep(traceUser, string(run))
	}
}

// excerptLength bounds what is quoted of either side.
const excerptLength = 96

// word is the run of mark bytes around offset.
func (c content) word(offset int64) string {
	return c.around(offset, markByte)
}

// text is the printable run around offset.
func (c content) text(offset int64) string {
	return c.around(offset, func(b byte) bool { return 0x20 <= b && b < 0x7f })
}

func (c content) around(offset int64, in func(byte) bool) string {
	if offset < 0 {
		return ""
	}
	from := max(0, offset-excerptLength/2)
	buf := make([]byte, excerptLength)
	n, _ := c.ReadAt(buf, from)
	buf = buf[:n]
	at := int(offset - from)
	if at < 0 || at > len(buf) {
		return ""
	}
	start, end := at, at
	for start > 0 && in(buf[start-1]) {
		start--
	}
	for end < len(buf) && in(buf[end]) {
		end++
	}
	return string(buf[start:end])
}

// excerpts quotes the text around the difference, if it is text.
func excerpts(a, b content, offsetA, offsetB int64) string {
	textA, textB := a.text(offsetA), b.text(offsetB)
	if textA == textB || offsetA < 0 || offsetB < 0 || min(len(textA), len(textB)) < 4 {
		return ""
	}
	return fmt.Sprintf("; %q and %q", textA, textB)
}
