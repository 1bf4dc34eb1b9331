package patchtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/patches"
)

// events is what the go command would say, one event for each of lines:
// "action test", "action" of the package, or "> output" of it.
func events(t *testing.T, lines ...string) string {
	t.Helper()
	var b strings.Builder
	for _, line := range lines {
		e := event{Package: "example.org/bell/web"}
		if text, ok := strings.CutPrefix(line, "> "); ok {
			e.Action, e.Output = "output", text+"\n"
		} else {
			e.Action, e.Test, _ = strings.Cut(line, " ")
		}
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", data)
	}
	return b.String()
}

func TestJudge(t *testing.T) {
	const end, failed = "> PASS", "> FAIL"
	for _, tt := range []struct {
		name   string
		events []string
		broken []string // tests
		want   string   // lines of the report
	}{
		{"all pass", []string{"run TestA", "pass TestA", "run TestB", "skip TestB", end, "pass"}, nil, "PASS: 1 passed, 1 skipped"},
		{"no tests", []string{"> ? example.org/bell/web [no test files]", "skip"}, nil, "PASS: no tests"},
		{"one fails", []string{"run TestA", "fail TestA", failed, "fail"}, nil, "FAIL: 0 passed\nTestA fails"},
		{"one fails as listed", []string{"run TestA", "fail TestA", "run TestB", "pass TestB", failed, "fail"}, []string{"TestA"}, "PASS: 1 passed, 1 failed as listed"},
		{"subtest as listed", []string{"run TestA", "run TestA/x", "fail TestA/x", "run TestA/y", "pass TestA/y", "fail TestA", failed, "fail"}, []string{"TestA/x"}, "PASS: 0 passed, 1 failed as listed"},
		{"subtest of a listed one", []string{"run TestA", "run TestA/x", "fail TestA/x", "fail TestA", failed, "fail"}, []string{"TestA"}, "PASS: 0 passed, 1 failed as listed"},
		{"subtest beside the listed one", []string{"run TestA", "run TestA/x", "fail TestA/x", "run TestA/xy", "fail TestA/xy", "fail TestA", failed, "fail"}, []string{"TestA/x"}, "FAIL: 0 passed\nTestA/xy fails"},
		{"listed one passes", []string{"run TestA", "pass TestA", end, "pass"}, []string{"TestA"}, "FAIL: 1 passed\nTestA is listed in upstream-tests as broken, but does not fail (pass): remove the line"},
		{"listed one is skipped", []string{"run TestA", "skip TestA", end, "pass"}, []string{"TestA"}, "FAIL: 0 passed, 1 skipped\nTestA is listed in upstream-tests as broken, but does not fail (skip): remove the line"},
		{"listed one is not there", []string{"run TestA", "pass TestA", end, "pass"}, []string{"TestB"}, "FAIL: 1 passed\nTestB is listed in upstream-tests as broken, but is not there: remove the line"},
		{"listed one panics", []string{"run TestA", "> panic: no", "fail TestA", "> FAIL\texample.org/bell/web\t0.1s", "fail"}, []string{"TestA"}, "FAIL: 0 passed, 1 failed as listed\nits test program stopped before all tests had run"},
		{"leaves early", []string{"run TestA", "pass TestA", "pass"}, nil, "FAIL: 1 passed\nits test program stopped before all tests had run"},
		{"never ends", []string{"run TestA"}, nil, "FAIL: 0 passed\nTestA did not end\nits tests did not end"},
		{"fails around its tests", []string{"run TestA", "pass TestA", failed, "fail"}, nil, "FAIL: 1 passed\nit fails, though no test of it does"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l listener
			text := events(t, tt.events...)
			for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
				if _, err := l.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.close(); err != nil {
				t.Fatal(err)
			}
			s := Subject{Module: module.Version{Path: "example.org/bell"}}
			for _, name := range tt.broken {
				s.Series.Broken = append(s.Series.Broken, patches.BrokenTest{Package: "web", Test: name})
			}
			// Of another package, and so of no concern.
			s.Series.Broken = append(s.Series.Broken, patches.BrokenTest{Package: "webs", Test: "TestA"})
			p := l.judge(s, []string{"web"}, tt.events[len(tt.events)-1] == "fail")[0]
			got := strings.Join(append([]string{strings.Replace(p.String(), " example.org/bell/web", "", 1)}, p.Problems...), "\n")
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// What the go command does not say clearly is never a pass.
func TestJudgeUnclear(t *testing.T) {
	good := events(t, "run TestA", "pass TestA", "> PASS", "pass")
	s := Subject{Module: module.Version{Path: "example.org/bell"}}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": good + "panic\n", "cut short": good + `{"Action":`, "of no package": `{"Action":"start"}` + "\n",
	} {
		var l listener
		l.stderr.Write([]byte("go: nothing to test"))
		if _, err := l.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := l.close(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var l listener
	l.Write([]byte(good))
	l.stderr.Write([]byte("exit status 1"))
	if p := l.judge(s, []string{"web"}, true)[0]; len(p.Problems) != 1 || !strings.Contains(p.Problems[0], "exit status 1") {
		t.Errorf("the go command failed, the package is %+v", p)
	}
	if p := l.judge(s, []string{"api", "web"}, false)[0]; len(p.Problems) != 1 || !strings.Contains(p.Problems[0], "does not know it") {
		t.Errorf("of a package that was not tested: %+v", p)
	}
	if _, err := l.Write(make([]byte, maxLine+1)); err == nil {
		t.Error("a line without an end is kept")
	}
}

// The end of a test's output says why it failed.
func TestTail(t *testing.T) {
	var all tail
	for range 3 * maxOutput {
		all.Write([]byte("x"))
	}
	all.Write([]byte("the end"))
	if s := all.String(); len(s) > 2*maxOutput+10 || !strings.HasPrefix(s, "[…]x") || !strings.HasSuffix(s, "the end") {
		t.Errorf("kept %d bytes, %q to %q", len(s), s[:8], s[len(s)-8:])
	}
}
