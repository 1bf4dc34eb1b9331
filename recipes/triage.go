package recipes

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
)

// TriageName is the file of a recipe that answers known vulnerabilities. It may be
// left out. It is no part of Recipe.Digest: it decides nothing of what is built,
// and a release is built again as it was though more is known of it by then.
//
//   - id: GO-2026-4771           # of the Go vulnerability database
//     module: golang.org/x/net   # or stdlib
//     variants: [hardened]       # of which this is said, one at least: what a patch answers is open in vanilla
//     status: not_affected       # or fixed, affected, under_investigation
//     justification: inline_mitigations_already_exist # of not_affected alone: one of OpenVEX's
//     statement: The …           # what somebody found who looked; of affected what to do
//     until: 2027-01-31          # the last day, in UTC, on which this is said: at most a year ahead when it is used
//
// What is to be said of another variant is another answer. Two of the same
// vulnerability, module and variant are refused.
const TriageName = "triage.yaml"

// A Triage is what a recipe answers of known vulnerabilities, sorted by id, module
// and variants. The zero Triage answers none.
type Triage []Answer

// Of is what is answered of one variant, and of no other.
func (t Triage) Of(variant string) (answers Triage) {
	for _, a := range t {
		if slices.Contains(a.Variants, variant) {
			answers = append(answers, a)
		}
	}
	return answers
}

// An Answer is what somebody who looked says of one vulnerability in one module of
// some variants.
type Answer struct {
	ID            string
	Module        string    // path, or stdlib
	Variants      []string  // each of Variants() at most once, sorted
	Status        string    // one of OpenVEX's
	Justification string    // of not_affected
	Statement     string    // one line
	Until         time.Time // the end of the last day on which it is said
	Line          int       // of the file
}

// maxAnswers bounds a triage, and maxStatement the text of an answer, in bytes.
const (
	maxAnswers   = 1000
	maxStatement = 1000
)

// The words of OpenVEX. Those of package vex are the same, which this package
// does not reach.
var (
	triageStatuses       = []string{"not_affected", "affected", "fixed", "under_investigation"}
	triageJustifications = []string{
		"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
	}
	vulnerabilityForm = regexp.MustCompile(`^GO-[0-9]{4}-[0-9]{4,10}$`)
)

// LoadTriage reads the triage of the recipe called name in fsys, which is rooted
// at recipes/. A recipe without the file has none.
func LoadTriage(fsys fs.FS, name string) (Triage, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("%w: %.100q names no recipe", ErrInvalid, name)
	}
	file := name + "/" + TriageName
	data, err := readFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return ParseTriage(file, data)
}

// ParseTriage reads a triage; name is that of the file, for errors, which name
// the line too. One without an answer is refused: remove the file.
func ParseTriage(name string, data []byte) (Triage, error) {
	var nodes []yaml.Node
	if err := decodeBytes(name, data, &nodes); err != nil {
		return nil, err
	}
	if len(nodes) == 0 || len(nodes) > maxAnswers {
		return nil, fmt.Errorf("%w: %s: %d answers; one at least is wanted, and %d at most", ErrInvalid, name, len(nodes), maxAnswers)
	}
	var t Triage
	for _, n := range nodes {
		a, err := parseAnswer(&n)
		if err == nil {
			err = a.twice(t)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: line %d: %w", ErrInvalid, name, n.Line, err)
		}
		t = append(t, a)
	}
	slices.SortFunc(t, func(a, b Answer) int {
		return strings.Compare(a.ID+" "+a.Module+" "+a.Variants[0], b.ID+" "+b.Module+" "+b.Variants[0])
	})
	return t, nil
}

// twice refuses an answer to what was answered before.
func (a Answer) twice(before []Answer) error {
	for _, v := range a.Variants {
		if slices.ContainsFunc(before, func(b Answer) bool { return a.ID == b.ID && a.Module == b.Module && slices.Contains(b.Variants, v) }) {
			return fmt.Errorf("%s in %s is answered twice of %s", a.ID, a.Module, v)
		}
	}
	return nil
}

// parseAnswer reads exactly the fields that there are: variants, and the others,
// each of them text.
func parseAnswer(n *yaml.Node) (Answer, error) {
	if n.Kind != yaml.MappingNode {
		return Answer{}, errors.New("an answer is id, module, variants, status, justification, statement and until")
	}
	a := Answer{Line: n.Line}
	var until string
	fields := map[string]*string{
		"id": &a.ID, "module": &a.Module, "status": &a.Status, "justification": &a.Justification, "statement": &a.Statement, "until": &until,
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		if key == "variants" && a.Variants == nil {
			var err error
			if a.Variants, err = parseVariants(value); err != nil {
				return a, err
			}
			continue
		}
		field, known := fields[key]
		switch {
		case !known:
			return a, fmt.Errorf("the field %.60q is not known, or there twice", key)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null" || strings.TrimSpace(value.Value) == "":
			return a, fmt.Errorf("%s is empty, or no text", key)
		}
		*field = strings.TrimSpace(value.Value)
		delete(fields, key)
	}
	last, err := time.Parse(time.DateOnly, until)
	if err != nil {
		return a, fmt.Errorf("until is %.60q: an answer is for a time, say its last day, as 2027-01-31", until)
	}
	a.Until = last.AddDate(0, 0, 1)
	return a, a.validate()
}

// parseVariants reads of which variants an answer is. None never means all.
func parseVariants(n *yaml.Node) (all []string, err error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return nil, fmt.Errorf("variants is no list, or empty: say of which this is, of %s", strings.Join(Variants(), ", "))
	}
	for _, v := range n.Content {
		if v.Kind != yaml.ScalarNode || !slices.Contains(Variants(), v.Value) || slices.Contains(all, v.Value) {
			return nil, fmt.Errorf("variants names %.60q, which is there twice, or none of %s", v.Value, strings.Join(Variants(), ", "))
		}
		all = append(all, v.Value)
	}
	slices.Sort(all)
	return all, nil
}

func (a Answer) validate() error {
	moduleErr := module.CheckPath(a.Module)
	if a.Module == "stdlib" {
		moduleErr = nil
	}
	switch {
	case !vulnerabilityForm.MatchString(a.ID):
		return fmt.Errorf("id %.60q is none of the Go vulnerability database, as GO-2026-4771: pkg.go.dev/vuln tells that of a CVE", a.ID)
	case moduleErr != nil:
		return fmt.Errorf("module %.200q: %w", a.Module, moduleErr)
	case len(a.Variants) == 0:
		return fmt.Errorf("variants is missing: say of which this is, of %s", strings.Join(Variants(), ", "))
	case !slices.Contains(triageStatuses, a.Status):
		return fmt.Errorf("status %.60q is not one of %s", a.Status, strings.Join(triageStatuses, ", "))
	case a.Status == "not_affected" && !slices.Contains(triageJustifications, a.Justification):
		return fmt.Errorf("not_affected needs a justification, and %.60q is not one of %s", a.Justification, strings.Join(triageJustifications, ", "))
	case a.Status != "not_affected" && a.Justification != "":
		return fmt.Errorf("a justification is of not_affected alone, not of %s: say it in statement", a.Status)
	case a.Statement == "":
		return errors.New("statement is missing: what did somebody find who looked, or what is there to do?")
	case len(a.Statement) > maxStatement || strings.ContainsFunc(a.Statement, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("statement is not one printable line of at most %d bytes", maxStatement)
	}
	return nil
}
