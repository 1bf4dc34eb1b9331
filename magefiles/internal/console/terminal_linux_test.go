package console

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A screen is what a terminal shows of what is written to it, as far as the
// live view uses one: lines, and "cursor up n, erase below".
type screen struct {
	mu    sync.Mutex
	lines []string
	err   error
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([AJ])`)

func (s *screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			if n, _ := strconv.Atoi(m[1]); m[2] == "A" {
				s.lines = s.lines[:max(len(s.lines)-n, 0)]
			}
			text = text[len(m[0]):]
			continue
		}
		line, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.Contains(line, "\x1b") {
			s.err = fmt.Errorf("the view wrote %q", text)
			return
		}
		s.lines = append(s.lines, strings.TrimRight(line, " \r"))
		text = rest
	}
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n") + "\n"
}

// soon waits until all that s shows matches pattern.
func (s *screen) soon(t *testing.T, pattern string) {
	t.Helper()
	whole := regexp.MustCompile("^(?:" + pattern + ")$")
	for range 200 {
		if whole.MatchString(s.String()) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the terminal shows\n%swant\n%s", s, pattern)
}

// terminal opens a pseudo-terminal of 100 by 30 and follows what it shows.
func terminal(t *testing.T) (tty *os.File, shows *screen, end func()) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shows = &screen{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf, rest := make([]byte, 4096), ""
		for {
			n, err := master.Read(buf)
			rest += string(buf[:n])
			if i := strings.LastIndex(rest, "\n"); i >= 0 {
				shows.write(rest[:i+1])
				rest = rest[i+1:]
			}
			if err != nil { // EIO: the other side is closed
				shows.write(rest)
				return
			}
		}
	}()
	return tty, shows, func() { tty.Close(); <-done; master.Close() }
}

func TestTerminal(t *testing.T) {
	tty, shows, end := terminal(t)
	stdout, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	c := New(stdout, tty)
	if c.live == nil {
		t.Fatal("a terminal has no live view")
	}
	cell := c.Cell("pushgateway linux/arm/v7 vanilla")
	cell.Stage("compiling")
	c.Cell("not begun")
	row := `pushgateway linux/arm/v7 vanilla +compiling +\d+\.\ds\n`
	shows.soon(t, row)

	c.now = func() time.Time { return cell.start.Add(4 * time.Second) }
	story(c)
	shows.soon(t, `waiting.*\ncached.*\ndone.*\nFAIL.*\n.*\n`+row) // what is over has no row any more
	cell.Stage("archiving")
	if err := c.Table(header, rows); err != nil {
		t.Fatal(err)
	}
	c.Notef("the end")
	end()
	if shows.err != nil {
		t.Error(shows.err)
	}
	golden(t, "live.screen", shows.String())
	got, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "stdout", string(got))
}

func TestPlainOnTerminal(t *testing.T) {
	tty, shows, end := terminal(t)
	c := New(os.Stdout, tty, Plain(true))
	c.Cell("a").Stage("b")
	c.Close()
	end()
	if got := shows.String(); got != "a: b\n" {
		t.Errorf("the terminal shows %q", got)
	}
}
