package buildkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// One that falls silent in the middle, and closes no connection, is given up.
func TestSilent(t *testing.T) {
	a := &fake{id: "a"}
	a.run = func(ctx context.Context) error { a.die(errors.New("no answer")); <-ctx.Done(); return ctx.Err() }
	p := poolOf(t, a, &fake{id: "b", run: fine})
	p.heartbeat = time.Millisecond
	var told strings.Builder
	p.options.Note = func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }
	if result, err := p.Run(t.Context(), compilation(t)); err != nil || result.Report.Worker != "b" {
		t.Errorf("got %v, %v", result, err)
	}
	if a.ran != 1 || p.workers[0].lost == nil || !strings.Contains(told.String(), errSilent.Error()) {
		t.Errorf("it ran %d, and was left out for %v: %s", a.ran, p.workers[0].lost, told.String())
	}
	// One that answers is left alone.
	c := &fake{id: "c"}
	c.run = func(context.Context) error {
		for c.heard() < 3 {
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	p = poolOf(t, c)
	p.heartbeat = time.Millisecond
	if result, err := p.Run(t.Context(), compilation(t)); err != nil || result.Report.Worker != "c" {
		t.Errorf("got %v, %v", result, err)
	}
}

// What a command says is bounded, and nobody is spoken to who has gone.
func TestWords(t *testing.T) {
	var out, err strings.Builder
	w := &words{job: &job{stdout: &out, stderr: &err}, rest: 5}
	w.say(1, []byte("one"))
	w.say(2, []byte("two"))
	w.say(2, []byte("three"))
	if out.String() != "one" || err.String() != "tw" {
		t.Errorf("it said %q and %q", out.String(), err.String())
	}
	w.rest = 5
	w.stop()
	if w.say(1, []byte("late")); out.String() != "one" {
		t.Errorf("it said %q", out.String())
	}
	w.rest = 100
	if w.say(1, []byte("\x1b]0;title\a\u202e\xff\n")); out.String() != "one]0;title\uFFFD\n" {
		t.Errorf("it said %q", out.String())
	}
	if text := (said{errors.New("no room\r\ndone bell")}).Error(); text != "no room\n\tdone bell" {
		t.Errorf("it forges a line: %q", text)
	}
	long := said{fmt.Errorf("\x1b[2J%s: %w", strings.Repeat("x", maxReason), context.Canceled)}
	if text := long.Error(); len(text) > maxReason+4 || strings.Contains(text, "\x1b") || !errors.Is(long, context.Canceled) {
		t.Errorf("the reason is %d bytes: %.20q", len(text), text)
	}
}
