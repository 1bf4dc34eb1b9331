package patchtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"palisade/patches"
)

// A Package is what came of one package's tests.
type Package struct {
	Path     string // import path
	Passed   int    // tests, without subtests
	Failed   int    // likewise, as the series lists them
	Skipped  int
	Problems []string // why the package fails, none if it passes
	Output   string   // of what failed and was not to, the end of it
}

// String is the package's line in a report.
func (p Package) String() string {
	word := "PASS"
	if len(p.Problems) > 0 {
		word = "FAIL"
	}
	if p.Passed+p.Failed+p.Skipped+len(p.Problems) == 0 {
		return word + " " + p.Path + ": no tests"
	}
	s := fmt.Sprintf("%s %s: %d passed", word, p.Path, p.Passed)
	if p.Failed > 0 {
		s += fmt.Sprintf(", %d failed as listed", p.Failed)
	}
	if p.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", p.Skipped)
	}
	return s
}

// Bounds of what is kept, in bytes.
const (
	maxLine   = 1 << 20  // of the go command's output
	maxOutput = 64 << 10 // of a test's, and of the go command's own; the end is kept
)

// An event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
}

// A listener reads what the go command writes, as it comes.
type listener struct {
	stderr   tail
	rest     []byte // of a line that has not ended
	err      error
	packages map[string]*record
	builds   map[string]*tail // output of compilations, by what the go command calls them
}

// A record is what is known of a package.
type record struct {
	action   string // the last of the package: pass, fail, skip
	ended    bool   // the test program has come to its end, whatever it found
	build    string // the compilation that failed
	tests    map[string]string
	outputs  map[string]*tail
	problems []string
}

func (l *listener) Write(data []byte) (int, error) {
	l.rest = append(l.rest, data...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			break
		}
		l.read(line)
		l.rest = rest
	}
	if len(l.rest) > maxLine {
		return 0, fmt.Errorf("a line of the go command's output is longer than %d bytes", maxLine)
	}
	return len(data), nil
}

func (l *listener) read(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		if l.err == nil {
			l.err = fmt.Errorf("reading the go command's output: %q: %w", line[:min(len(line), 200)], err)
		}
		return
	}
	if l.packages == nil {
		l.packages, l.builds = map[string]*record{}, map[string]*tail{}
	}
	if e.Package == "" {
		if e.Action == "build-output" {
			keep(l.builds, e.ImportPath, e.Output)
		}
		return
	}
	r := l.packages[e.Package]
	if r == nil {
		r = &record{tests: map[string]string{}, outputs: map[string]*tail{}}
		l.packages[e.Package] = r
	}
	switch e.Action {
	case "output":
		keep(r.outputs, e.Test, e.Output)
		// The last line of every test program that did not die.
		r.ended = r.ended || e.Test == "" && (e.Output == "PASS\n" || e.Output == "FAIL\n")
	case "run":
		r.tests[e.Test] = e.Action
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.tests[e.Test] = e.Action
			if e.Action != "fail" {
				delete(r.outputs, e.Test)
			}
			return
		}
		r.action, r.build = e.Action, e.FailedBuild
	}
}

func (l *listener) close() error {
	if len(bytes.TrimSpace(l.rest)) > 0 && l.err == nil {
		l.err = fmt.Errorf("the go command's output ends within a line: %q", l.rest[:min(len(l.rest), 200)])
	}
	if l.err == nil && len(l.packages) == 0 {
		l.err = fmt.Errorf("the go command tested nothing: %s", strings.TrimSpace(l.stderr.String()))
	}
	return l.err
}

// judge holds what was seen against what was to be seen.
func (l *listener) judge(s Subject, folders []string, failed bool) []Package {
	var all []Package
	ok := true
	for _, folder := range folders {
		name := path.Join(s.Module.Path, folder)
		p := Package{Path: name}
		r := l.packages[name]
		switch {
		case r == nil:
			p.Problems = []string{"the go command does not know it: " + strings.TrimSpace(l.stderr.String())}
		case r.build != "":
			p.Problems = []string{"it does not compile"}
			if out := l.builds[r.build]; out != nil {
				p.Output = out.String()
			}
		default:
			r.judge(&p, s, folder)
		}
		ok = ok && (r == nil || r.action != "fail")
		all = append(all, p)
	}
	if failed && ok {
		all[0].Problems = append(all[0].Problems, "the go command failed, and says of no package that it did: "+strings.TrimSpace(l.stderr.String()))
	}
	return all
}

func (r *record) judge(p *Package, s Subject, folder string) {
	var tests, failures []string
	for name := range r.tests {
		tests = append(tests, name)
	}
	slices.Sort(tests)
	for _, name := range tests {
		action := r.tests[name]
		if action == "fail" {
			failures = append(failures, name)
		}
		switch top := !strings.Contains(name, "/"); {
		case action == "run":
			p.Problems = append(p.Problems, name+" did not end")
		case top && action == "pass":
			p.Passed++
		case top && action == "skip":
			p.Skipped++
		}
	}
	var unexpected []string
	for _, name := range failures {
		within := func(other string) bool { return strings.HasPrefix(other, name+"/") }
		listed := func(other string) bool {
			return slices.ContainsFunc(s.Series.Broken, func(t patches.BrokenTest) bool { return t.Package == folder && t.Covers(other) })
		}
		// A test fails with its subtests, of which each is looked at.
		if !listed(name) && !slices.ContainsFunc(failures, within) {
			unexpected = append(unexpected, name)
			p.Problems = append(p.Problems, name+" fails")
		}
	}
	for _, name := range failures {
		own := func(other string) bool { return other == name || strings.HasPrefix(other, name+"/") }
		if !strings.Contains(name, "/") && !slices.ContainsFunc(unexpected, own) {
			p.Failed++
		}
	}
	for _, t := range s.Series.Broken {
		if t.Package != folder {
			continue
		}
		switch action, there := r.tests[t.Test]; {
		case !there:
			p.Problems = append(p.Problems, fmt.Sprintf("%s is listed in upstream-tests as broken, but is not there: remove the line", t.Test))
		case action != "fail":
			p.Problems = append(p.Problems, fmt.Sprintf("%s is listed in upstream-tests as broken, but does not fail (%s): remove the line", t.Test, action))
		}
	}
	switch {
	case r.action == "skip" && len(tests) == 0: // it has no tests
	case r.action != "pass" && r.action != "fail":
		p.Problems = append(p.Problems, "its tests did not end")
	case !r.ended:
		unexpected = append(unexpected, "")
		p.Problems = append(p.Problems, "its test program stopped before all tests had run")
	case r.action == "fail" && len(failures) == 0:
		unexpected = append(unexpected, "")
		p.Problems = append(p.Problems, "it fails, though no test of it does")
	}
	for _, name := range unexpected {
		if out := r.outputs[name]; out != nil {
			p.Output += out.String()
		}
	}
}

func keep(tails map[string]*tail, name, text string) {
	if tails[name] == nil {
		tails[name] = &tail{}
	}
	tails[name].Write([]byte(text))
}

// A tail keeps the end of what is written to it.
type tail struct {
	data []byte
	cut  bool
}

func (t *tail) Write(data []byte) (int, error) {
	t.data = append(t.data, data...)
	if len(t.data) > 2*maxOutput { // not at every line
		t.data, t.cut = append([]byte(nil), t.data[len(t.data)-maxOutput:]...), true
	}
	return len(data), nil
}

func (t *tail) String() string {
	if t.cut {
		return "[…]" + string(t.data)
	}
	return string(t.data)
}
