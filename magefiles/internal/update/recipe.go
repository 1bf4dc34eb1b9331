package update

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ErrRecipe is wrapped when a recipe is not written so that it could be raised.
var ErrRecipe = errors.New("recipe.yaml cannot be raised")

// Raise is a recipe.yaml of another release: version, released and, where it
// names one, commit; revision 1. Every other byte stays, the comments among
// them, of which a person decides whether they still hold. A commit that is ""
// takes the line with it; a recipe that names none goes on naming none.
func Raise(recipeYAML []byte, version string, released time.Time, commit string) ([]byte, error) {
	values := []struct{ key, value string }{
		{"version", version}, {"revision", "1"}, {"released", released.UTC().Format(time.RFC3339)}, {"commit", commit},
	}
	before, err := fields(recipeYAML)
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitAfter(recipeYAML, []byte("\n"))
	for _, v := range values {
		node, ok := before[v.key]
		if !ok && v.key == "commit" {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%w: it has no %s", ErrRecipe, v.key)
		}
		if lines[node.Line-1], err = replaced(lines[node.Line-1], v.key, node, v.value); err != nil {
			return nil, err
		}
	}
	raised := bytes.Join(lines, nil)
	after, err := fields(raised)
	if err != nil {
		return nil, err
	}
	for key, node := range before {
		i := slices.IndexFunc(values, func(v struct{ key, value string }) bool { return v.key == key })
		switch now, ok := after[key]; {
		case i >= 0 && values[i].value == "" && !ok:
		case !ok:
			return nil, fmt.Errorf("%w: it would lose %s", ErrRecipe, key)
		case i >= 0 && now.Value != values[i].value || i < 0 && !same(node, now):
			return nil, fmt.Errorf("%w: it would have another %s", ErrRecipe, key)
		}
	}
	if len(after) > len(before) {
		return nil, fmt.Errorf("%w: it would say more than before", ErrRecipe)
	}
	return raised, nil
}

// replaced is the line of a top-level key with another value, and what is behind
// it, or nothing.
func replaced(line []byte, key string, node *yaml.Node, value string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(line, []byte(key+":"))
	old := bytes.TrimLeft(rest, " ")
	if !ok || node.Kind != yaml.ScalarNode || node.Style != 0 || node.Value == "" || !bytes.HasPrefix(old, []byte(node.Value)) {
		return nil, fmt.Errorf("%w: line %d: %s is not a plain value on the line of its name", ErrRecipe, node.Line, key)
	}
	if value == "" {
		return nil, nil
	}
	space := rest[:len(rest)-len(old)]
	return slices.Concat([]byte(key+":"), space, []byte(value), old[len(node.Value):]), nil
}

// fields is the values of the document's keys.
func fields(data []byte) (map[string]*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: it is not a list of keys", ErrRecipe)
	}
	all := map[string]*yaml.Node{}
	for pair := range slices.Chunk(doc.Content[0].Content, 2) {
		if _, twice := all[pair[0].Value]; twice || len(pair) != 2 {
			return nil, fmt.Errorf("%w: line %d: %s is there twice", ErrRecipe, pair[0].Line, pair[0].Value)
		}
		all[pair[0].Value] = pair[1]
	}
	return all, nil
}

// same reports whether two values say the same.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor && strings.TrimSpace(a.LineComment) == strings.TrimSpace(b.LineComment) &&
		slices.EqualFunc(a.Content, b.Content, same)
}
