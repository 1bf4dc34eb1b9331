package console

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden holds got against testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

// tick is a clock that goes on by step at each look.
func tick(step time.Duration) func() time.Time {
	at := time.Unix(0, 0)
	return func() time.Time { at = at.Add(step); return at }
}

// story is a build as every view is told it.
func story(c *Console) {
	node := c.Cell("node_exporter linux/amd64 hardened")
	prom := c.Cell("prometheus linux/amd64 hardened")
	black := c.Cell("blackbox_exporter linux/amd64 hardened")
	node.Stage("fetching")
	node.Stage("fetching")
	prom.Stage("building the web UI")
	c.Notef("waiting for another build, which makes %s", "the toolchain")
	node.Stage("compiling")
	black.Cached()
	black.Done(nil)
	node.Done(nil)
	node.Stage("never shown")
	node.Done(errors.New("never shown"))
	prom.Done(errors.New("compiling: exit status 1\nweb/ui.go:3:1: \x1b[2Jexpected package\n"))
}

var header = []string{"ARTIFACT", "SIZE", ""}
var rows = [][]string{{"node_exporter-1.12.1.tar.gz", "12.3 MB", "4.0s"}, {"a", "1\tB\n", ""}}

func TestPlain(t *testing.T) {
	var stdout, stderr bytes.Buffer
	c := newConsole(&stdout, &stderr, nil)
	c.now = tick(4 * time.Second)
	story(c)
	if err := c.Table(header, rows); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	golden(t, "plain.stderr", stderr.String())
	golden(t, "stdout", stdout.String())
}

// A file is no terminal: New must see that, for logs of CI are files.
func TestNewOnFiles(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	stdout, stderr := open("stdout"), open("stderr")
	c := New(stdout, stderr)
	cell := c.Cell("node_exporter linux/amd64 hardened")
	cell.Stage("compiling")
	c.Close()
	got, err := os.ReadFile(stderr.Name())
	if want := "node_exporter linux/amd64 hardened: compiling\n"; err != nil || string(got) != want {
		t.Errorf("stderr %q, %v; want %q", got, err, want)
	}
	if got, err := os.ReadFile(stdout.Name()); err != nil || len(got) != 0 {
		t.Errorf("stdout %q, %v; want nothing", got, err)
	}
}

func TestTableReportsLostResults(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "closed"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := newConsole(f, &bytes.Buffer{}, nil).Table(header, rows); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}

// A lone writer minds two writers at once.
type lone struct {
	buf  bytes.Buffer
	t    *testing.T
	busy atomic.Bool
}

func (l *lone) Write(p []byte) (int, error) {
	if !l.busy.CompareAndSwap(false, true) {
		l.t.Error("two write at once")
		return len(p), nil
	}
	defer l.busy.Store(false)
	runtime.Gosched()
	return l.buf.Write(p)
}

// Lines come whole however many write them, in both views (run with -race).
func TestConcurrent(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprintf("live=%v", live), func(t *testing.T) {
			var stdout bytes.Buffer
			stderr := &lone{t: t}
			var p *mpb.Progress
			if live {
				p = mpb.New(mpb.WithOutput(stderr), mpb.WithAutoRefresh(), mpb.WithRefreshRate(time.Millisecond))
			}
			c := newConsole(&stdout, stderr, p)
			var wg sync.WaitGroup
			const cells = 8
			for i := range cells {
				wg.Go(func() {
					cell := c.Cell(fmt.Sprintf("cell-%d", i))
					for stage := range 20 {
						cell.Stage(fmt.Sprintf("stage-%d", stage))
						c.Notef("note %d of %d end", stage, i)
					}
					cell.Done(nil)
				})
			}
			wg.Wait()
			c.Close()
			c.Notef("after the end")
			var notes, done int
			for line := range strings.Lines(stderr.buf.String()) {
				line = line[strings.LastIndex(line, "\x1b[J")+1:]
				switch line = strings.TrimPrefix(line, "[J"); {
				case strings.HasPrefix(line, "note ") && strings.HasSuffix(line, " end\n"):
					notes++
				case strings.HasPrefix(line, "done cell-"):
					done++
				}
			}
			if notes != cells*20 || done != cells {
				t.Errorf("%d notes and %d ends came whole, want %d and %d", notes, done, cells*20, cells)
			}
			if !strings.HasSuffix(stderr.buf.String(), "after the end\n") {
				t.Error("what was said after Close is lost")
			}
			if stdout.Len() != 0 {
				t.Errorf("stdout holds %q", &stdout)
			}
		})
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0.0s",
		4299 * time.Millisecond:             "4.2s",
		59999 * time.Millisecond:            "59.9s",
		125 * time.Second:                   "2m05s",
		time.Hour + 2*time.Minute:           "1h02m",
		26*time.Hour + 59*time.Minute + 1e9: "26h59m",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%v) = %s, want %s", d, got, want)
		}
	}
}
