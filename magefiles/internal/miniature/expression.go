package miniature

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// values are what an expression can name, each by its whole path: needs.X.outputs.Y,
// steps.X.outputs.Y, matrix.X, github.X, secrets.X, vars.X. What is not in it is
// not known, and an expression that names it is an error: the platform would give
// an empty string.
type values map[string]string

var (
	marked = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
	path   = regexp.MustCompile(`^[a-z]+(\.[A-Za-z0-9_-]+)+$`)
	parsed = regexp.MustCompile(`^fromJSON\((.*)\)$`)
)

// expand replaces what is between ${{ and }}, which has to be a path.
func (v values) expand(text string) (string, error) {
	var wrong error
	out := marked.ReplaceAllStringFunc(text, func(found string) string {
		value, err := v.value(marked.FindStringSubmatch(found)[1])
		if err != nil {
			wrong = err
		}
		return value
	})
	if wrong == nil && strings.Contains(out, "${{") {
		wrong = fmt.Errorf("%q has an expression without an end", text)
	}
	return out, wrong
}

func (v values) value(name string) (string, error) {
	name = strings.TrimSpace(name)
	if !path.MatchString(name) {
		return "", fmt.Errorf("${{ %s }} is no expression of those that jobs in miniature have", name)
	}
	value, ok := v[name]
	if !ok {
		return "", fmt.Errorf("${{ %s }} is not known", name)
	}
	return value, nil
}

// matrix is the rows of a job's matrix that is ${{ fromJSON(PATH) }}, of the form
// {"include":[{...}]} with strings alone.
func (v values) matrix(text string) ([]map[string]string, error) {
	m := marked.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || m[0] != strings.TrimSpace(text) {
		return nil, fmt.Errorf("the matrix %q is no expression", text)
	}
	call := parsed.FindStringSubmatch(strings.TrimSpace(m[1]))
	if call == nil {
		return nil, fmt.Errorf("the matrix %q is not fromJSON(...)", text)
	}
	data, err := v.value(call[1])
	if err != nil {
		return nil, err
	}
	var rows struct {
		Include []map[string]string `json:"include"`
	}
	d := json.NewDecoder(strings.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		return nil, fmt.Errorf("the matrix %s: %w", data, err)
	}
	if len(rows.Include) == 0 {
		return nil, fmt.Errorf("the matrix %s has no rows", data)
	}
	return rows.Include, nil
}
