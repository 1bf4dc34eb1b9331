package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// What a file may cost. A configuration is written by people; whatever is
// beyond these is refused, not read in part.
const (
	maxSize  = 16 << 20  // bytes of one file
	maxDepth = 100       // of nesting, through aliases
	maxNodes = 1_000_000 // of one file, each alias counted as often as it is used
)

// A kind of node.
const (
	null = iota
	scalar
	sequence
	mapping
)

// A value is a node of a document with its aliases and merge keys resolved. It
// is not shared, and has no cycle.
type value struct {
	kind      int
	line, col int
	text      string  // of a scalar
	items     []value // of a sequence
	fields    []field // of a mapping, in order of appearance; no key twice
}

type field struct {
	key       string
	line, col int
	value     value
}

// get is the value of a key. What is not there is null, and has no position.
func (v value) get(key string) value {
	for _, f := range v.fields {
		if f.key == key {
			return f.value
		}
	}
	return value{}
}

func (v value) has(key string) bool { return v.get(key).kind != null }

// is says whether v is a scalar that YAML 1.1, as upstream reads it, takes for
// the given boolean.
func (v value) is(want bool) bool {
	if v.kind != scalar {
		return false
	}
	switch v.text {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y":
		return want
	case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N":
		return !want
	}
	return false
}

// texts is the scalars of a sequence, or of v itself.
func (v value) texts() (all []string) {
	if v.kind == scalar {
		return []string{v.text}
	}
	for _, i := range v.items {
		if i.kind == scalar {
			all = append(all, i.text)
		}
	}
	return all
}

// read is a file's bytes, refused if there are too many or if it is not one.
func read(name string) ([]byte, error) {
	// Before it is opened: opening a pipe may wait for ever.
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("reading %s: more than %d bytes", name, maxSize)
	}
	return data, nil
}

// parse reads the one document of data. An empty one is null.
func parse(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := dec.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}, nil
		}
		return nil, unquoted(err)
	}
	// Upstream reads the first and drops the others without a word.
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, unquoted(err)
		}
		return nil, fmt.Errorf("line %d: a second document, which would not be read; write one file for each", second.Line)
	}
	return first.Content[0], nil
}

var quoted = regexp.MustCompile("'[^']{2,}'|`[^`]*`")

// unquoted is a parser's error without what it quotes: a password that begins
// with * is an unknown anchor to it.
func unquoted(err error) error {
	return errors.New(quoted.ReplaceAllString(err.Error(), "(hidden)"))
}

// A resolver makes values of nodes.
type resolver struct {
	nodes int
	// late is the merging of YAML v3's Go package, where a mapping's own keys
	// win; that of v2 takes keys and merges in their order, and joins what both
	// have.
	late bool
}

func (r *resolver) resolve(n *yaml.Node, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, fmt.Errorf("line %d: nested more than %d deep, or an anchor that contains itself", n.Line, maxDepth)
	}
	if r.nodes++; r.nodes > maxNodes {
		return value{}, fmt.Errorf("line %d: more than %d nodes with its aliases", n.Line, maxNodes)
	}
	v := value{line: n.Line, col: n.Column}
	switch n.Kind {
	case yaml.AliasNode:
		return r.resolve(n.Alias, depth+1)
	case yaml.ScalarNode:
		if n.Tag != "!!null" {
			v.kind, v.text = scalar, n.Value
		}
	case yaml.SequenceNode:
		v.kind = sequence
		for _, c := range n.Content {
			item, err := r.resolve(c, depth+1)
			if err != nil {
				return value{}, err
			}
			v.items = append(v.items, item)
		}
	case yaml.MappingNode:
		v.kind = mapping
		return v, r.mapping(&v, n, depth)
	default:
		return value{}, fmt.Errorf("line %d: not a value", n.Line)
	}
	return v, nil
}

func (r *resolver) mapping(v *value, n *yaml.Node, depth int) error {
	own, at := map[string]bool{}, map[string]int{}
	set := func(f field, join bool) {
		i, ok := at[f.key]
		switch {
		case !ok:
			at[f.key] = len(v.fields)
			v.fields = append(v.fields, f)
		case join:
			v.fields[i] = f.over(v.fields[i])
		}
	}
	var merges []*yaml.Node
	merge := func(m *yaml.Node) error {
		from, err := r.merged(m, depth+1)
		for _, f := range from {
			set(f, !r.late)
		}
		return err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Tag == "!!merge" || k.Value == "<<" && k.Style == 0 {
			if merges = append(merges, c); r.late {
				continue
			}
			if err := merge(c); err != nil {
				return err
			}
			continue
		}
		if k.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: a key that is no plain text", k.Line)
		}
		if own[k.Value] {
			return fmt.Errorf("line %d: key %s is there twice; remove one", k.Line, shown(k.Value))
		}
		own[k.Value] = true
		item, err := r.resolve(c, depth+1)
		if err != nil {
			return err
		}
		set(field{k.Value, n.Content[i].Line, n.Content[i].Column, item}, true)
	}
	if r.late {
		for _, m := range merges {
			if err := merge(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// merged is the fields that a merge key brings, later ones to win when joined
// in order. Of a list the earlier mapping wins.
func (r *resolver) merged(n *yaml.Node, depth int) ([]field, error) {
	v, err := r.resolve(n, depth)
	if err != nil {
		return nil, err
	}
	from := []value{v}
	if v.kind == sequence {
		from = v.items
	}
	var all []field
	for i := range from {
		m := from[i]
		if !r.late {
			m = from[len(from)-1-i]
		}
		if m.kind != mapping {
			return nil, fmt.Errorf("line %d: << takes a mapping or a list of mappings", n.Line)
		}
		all = append(all, m.fields...)
	}
	return all, nil
}

// over is f laid over an earlier field of the same key: mappings are joined,
// since upstream decodes the one into what the other has set.
func (f field) over(earlier field) field {
	if f.value.kind != mapping || earlier.value.kind != mapping {
		return f
	}
	joined := f.value
	joined.fields = nil
	for _, e := range earlier.value.fields {
		for _, l := range f.value.fields {
			if l.key == e.key {
				e = l.over(e)
			}
		}
		joined.fields = append(joined.fields, e)
	}
	for _, l := range f.value.fields {
		if !earlier.value.has(l.key) {
			joined.fields = append(joined.fields, l)
		}
	}
	f.value = joined
	return f
}
