// Package console guarantees that stdout holds results and nothing else, and
// that a person can follow on stderr what a build is doing: a live view on a
// terminal, one line for each change of stage elsewhere. It refuses to pass on
// what would move a terminal's cursor: control characters in names, stages,
// notes and reasons are dropped, for some come from the output of a compiler.
//
// # Lines on stderr
//
//	node_exporter linux/amd64 hardened: compiling     a stage begins (plain view only)
//	done node_exporter linux/amd64 hardened 12.3s     the cell is built
//	cached node_exporter linux/amd64 hardened         it was there already
//	FAIL node_exporter linux/amd64 hardened: reason
//
// The live view shows below them, for each cell at work, its name, its stage
// and the time since its first stage.
package console

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A Console writes progress and results. Its methods, and its cells', may be
// called concurrently.
type Console struct {
	stdout, stderr io.Writer
	now            func() time.Time

	mu    sync.Mutex // order of lines; never taken while mpb draws
	live  *mpb.Progress
	cells []*Cell // that have begun, in that order
}

// An Option changes what New decides.
type Option func(*choice)

type choice struct{ plain bool }

// Plain asks for plain lines even on a terminal if plain is true: for a
// terminal that cannot move its cursor.
func Plain(plain bool) Option { return func(c *choice) { c.plain = plain } }

// New writes results to stdout and progress to stderr, as a live view if
// stderr is a terminal. Who calls it calls Close before the program ends.
func New(stdout, stderr *os.File, options ...Option) *Console {
	var c choice
	for _, o := range options {
		o(&c)
	}
	if c.plain || !term.IsTerminal(int(stderr.Fd())) {
		return newConsole(stdout, stderr, nil)
	}
	return newConsole(stdout, stderr, mpb.New(mpb.WithOutput(stderr)))
}

func newConsole(stdout, stderr io.Writer, live *mpb.Progress) *Console {
	return &Console{stdout: stdout, stderr: stderr, live: live, now: time.Now}
}

// Notef writes a line to stderr, above the live view.
func (c *Console) Notef(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line(fmt.Sprintf(format, args...))
}

// line needs c.mu.
func (c *Console) line(s string) {
	s = strings.TrimRight(printable(s, "\n\t"), "\n") + "\n"
	if c.live != nil {
		if _, err := c.live.Write([]byte(s)); err == nil {
			return
		}
		// mpb gave up, because the terminal did: the line may still reach a log.
	}
	_, _ = io.WriteString(c.stderr, s)
}

// Close ends the live view; what is said afterwards comes as plain lines. A
// cell that is still at work leaves no line. Closing twice is closing once.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		return
	}
	for _, cell := range c.cells {
		cell.bar.Abort(true)
	}
	c.live.Wait()
	c.live = nil
	c.cells = nil
}

// Table writes rows below header to stdout, columns aligned by spaces, without
// colour. It ends the live view first, because a terminal may show both.
func (c *Console) Table(header []string, rows [][]string) error {
	c.Close()
	var buf bytes.Buffer
	w := tabwriter.NewWriter(&buf, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cols := make([]string, len(row))
		for i, col := range row {
			cols[i] = printable(col, "")
		}
		fmt.Fprintln(w, strings.Join(cols, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("aligning a table: %w", err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(buf.String()) {
		fmt.Fprintln(&out, strings.TrimRight(line, " \n"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// A Cell is one thing that is built.
type Cell struct {
	console *Console
	name    string
	stage   atomic.Pointer[string] // read by mpb while it draws

	// Guarded by console.mu.
	bar    *mpb.Bar
	start  time.Time // of the first stage
	began  bool
	cached bool
	ended  bool
}

// Cell is a new cell called name. It shows once it has a stage.
func (c *Console) Cell(name string) *Cell {
	return &Cell{console: c, name: printable(name, "")}
}

// Stage says what the cell does now. The stage that it is in already, and any
// stage after Done, is not news.
func (cell *Cell) Stage(name string) {
	c := cell.console
	c.mu.Lock()
	defer c.mu.Unlock()
	name = printable(name, "")
	if last := cell.stage.Load(); cell.ended || last != nil && *last == name {
		return
	}
	cell.stage.Store(&name)
	cell.begin()
	if c.live == nil {
		c.line(cell.name + ": " + name)
	}
}

// begin needs console.mu.
func (cell *Cell) begin() {
	c := cell.console
	if cell.began {
		return
	}
	cell.began, cell.start = true, c.now()
	if c.live != nil {
		// Copied, for mpb draws without console.mu.
		now, start := c.now, cell.start
		bar, err := c.live.Add(0, nil, mpb.PrependDecorators(
			decor.Any(func(decor.Statistics) string { return cell.name }, decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string { return *cell.stage.Load() }, decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string { return elapsed(now().Sub(start)) }, decor.WCSyncSpace),
		))
		if err != nil { // the terminal is gone
			c.live = nil
			return
		}
		cell.bar = bar
		c.cells = append(c.cells, cell)
	}
}

// Cached says that the cell was there already: Done(nil) then writes "cached"
// for "done". It does not end the cell.
func (cell *Cell) Cached() {
	c := cell.console
	c.mu.Lock()
	defer c.mu.Unlock()
	cell.cached = true
}

// Done ends the cell, with err if it failed. Only the first call counts.
func (cell *Cell) Done(err error) {
	c := cell.console
	c.mu.Lock()
	defer c.mu.Unlock()
	if cell.ended {
		return
	}
	cell.ended = true
	switch {
	case err != nil:
		c.line("FAIL " + cell.name + ": " + err.Error())
	case cell.cached:
		c.line("cached " + cell.name)
	case !cell.began:
		c.line("done " + cell.name)
	default:
		c.line("done " + cell.name + " " + elapsed(c.now().Sub(cell.start)))
	}
	if cell.bar != nil {
		cell.bar.Abort(true)
	}
}

// elapsed is a duration for a person: 4.2s, 2m05s, 1h02m.
func elapsed(d time.Duration) string {
	switch s := int(d.Seconds()); {
	case s < 60:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	default:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
}

// printable is s without control characters but those in keep; a line break or
// tab that is not kept becomes a space.
func printable(s, keep string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(keep, r) || !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r):
			return r
		case r == '\n' || r == '\t':
			return ' '
		default:
			return -1
		}
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
