// Package lint reads an operator's own configuration of Prometheus and its
// companions and names, by file and line, what weakens the security model:
// rows 13 and 17, check id config.lint.
//
// It knows every key that upstream declares, and which of them upstream treats
// as secret, from upstream's own types (fields.txt); it follows
// scrape_config_files and rule_files as upstream does, and resolves anchors,
// aliases and merge keys. It never prints a secret, never connects to anything,
// and reads no file that the configuration does not name.
//
// It refuses what it cannot judge: a file that is no YAML, that holds a key
// twice or two documents, that is too large or too deep, or whose kind cannot
// be told.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// A Kind says whose configuration a file is.
type Kind string

// The kinds. Scrape and Rules are what prometheus.yml includes; they may be
// given alone too.
const (
	Prometheus   Kind = "prometheus"
	Scrape       Kind = "scrape"
	Rules        Kind = "rules"
	Alertmanager Kind = "alertmanager"
	Web          Kind = "web"
	Blackbox     Kind = "blackbox"
	SNMP         Kind = "snmp"
)

// Kinds is every kind.
var Kinds = []Kind{Prometheus, Alertmanager, Web, Blackbox, SNMP, Scrape, Rules}

// A Severity is Warning or Error: an Error should not go into service.
type Severity string

const (
	Warning Severity = "warning"
	Error   Severity = "error"
)

// A Finding is one thing to change, and what to write in its place.
type Finding struct {
	File      string
	Line, Col int // from 1
	Severity  Severity
	ID        string
	What      string
	Instead   string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s: %s; write instead: %s", printable(f.File), f.Line, f.Col, f.Severity, f.ID, f.What, f.Instead)
}

// printable is a file's name as a terminal may see it.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// A Report is what was found: sorted by file and line, each finding once.
type Report struct {
	Findings         []Finding
	Files            int // judged, with those that were included
	Errors, Warnings int
}

// Summary is one line.
func (r Report) Summary() string {
	return fmt.Sprintf("%s, %s in %s", count(r.Errors, "error"), count(r.Warnings, "warning"), count(r.Files, "file"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// maxFiles and maxFindings bound what one run reads and says.
const (
	maxFiles    = 1000
	maxFindings = 1000
)

// Files lints each file. With kind "" each file's is told from its keys. An
// error names every file that could not be judged; the report then holds what
// was found in the others.
func Files(names []string, kind Kind) (Report, error) {
	if kind != "" && !slices.Contains(Kinds, kind) {
		return Report{}, fmt.Errorf("there is no kind %s; there are: %v", shown(string(kind)), Kinds)
	}
	l := &linter{seen: map[Finding]bool{}, read: map[string]bool{}}
	var errs []error
	for _, name := range names {
		if err := l.file(name, kind); err != nil {
			errs = append(errs, err)
		}
	}
	return l.report(), errors.Join(append(errs, l.errs...)...)
}

// A linter collects what is found in a file and those that it includes.
type linter struct {
	findings []Finding
	seen     map[Finding]bool
	read     map[string]bool // file and kind
	files    int
	errs     []error // of included files
}

func (l *linter) report() Report {
	r := Report{Findings: l.findings, Files: l.files}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.ID, b.ID), cmp.Compare(a.What, b.What))
	})
	for _, f := range r.Findings {
		if f.Severity == Error {
			r.Errors++
		} else {
			r.Warnings++
		}
	}
	return r
}

// A document is a file that is being linted.
type document struct {
	*linter
	name string
	dir  string // what relative names in it are relative to
	kind Kind
	root value
	// holdsSecret says that a secret stands in the file itself.
	holdsSecret bool
}

func (l *linter) file(name string, kind Kind) error {
	if l.read[name+"\x00"+string(kind)] {
		return nil
	}
	if len(l.read) == maxFiles {
		return fmt.Errorf("reading %s: more than %d files; name fewer, or split the patterns that include them", name, maxFiles)
	}
	l.read[name+"\x00"+string(kind)] = true
	data, err := read(name)
	if err != nil {
		return err
	}
	return l.document(name, data, kind)
}

func (l *linter) document(name string, data []byte, kind Kind) error {
	node, err := parse(data)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if kind == "" {
		if kind, err = tell(node); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
	}
	r := resolver{late: kind == Blackbox || kind == Rules}
	root, err := r.resolve(node, 0)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if root.line == 0 {
		root.line, root.col = 1, 1
	}
	d := &document{linter: l, name: name, dir: filepath.Dir(name), kind: kind, root: root}
	d.walk(place{value: root, typ: upstreamSchema().roots[kind]})
	switch kind {
	case Prometheus, Scrape:
		d.prometheus()
	case Alertmanager:
		d.alertmanager()
	case Web:
		d.web()
	case Blackbox:
		d.blackbox()
	case SNMP:
		d.snmp()
	}
	d.ownMode()
	d.files++
	return nil
}

// ownMode is about a file that holds a secret and that everybody can read.
func (d *document) ownMode() {
	info, err := os.Stat(d.name)
	if err != nil || !d.holdsSecret || !othersRead(info.Mode()) {
		return
	}
	severity := Warning
	if d.kind == Web {
		severity = Error // the hardened build does not start with it
	}
	d.say(1, 1, severity, "file-mode", "this file holds a secret and others can read it", "mode 0600: chmod o-rwx "+d.name)
}

func (d *document) say(line, col int, severity Severity, id, what, instead string) {
	f := Finding{d.name, max(line, 1), max(col, 1), severity, id, what, instead}
	if d.seen[f] {
		return
	}
	if len(d.findings) >= maxFindings {
		if len(d.findings) == maxFindings {
			d.findings = append(d.findings, Finding{d.name, f.Line, f.Col, Error, "too-many", fmt.Sprintf("more than %d findings; the rest is not shown", maxFindings), "what the findings so far say, and lint again"})
		}
		return
	}
	d.seen[f] = true
	d.findings = append(d.findings, f)
}

// shown is a name out of a file as a message may hold it: short, printable, and
// nothing that looks like a secret.
func shown(name string) string {
	if secretShape(name) != "" {
		return "(hidden: it looks like a secret)"
	}
	runes := []rune(name)
	if len(runes) > 60 {
		runes = append(runes[:60], '…')
	}
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./:", r)
	}
	if len(runes) > 0 && !slices.ContainsFunc(runes, func(r rune) bool { return !plain(r) }) {
		return string(runes)
	}
	return fmt.Sprintf("%q", string(runes))
}
