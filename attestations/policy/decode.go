package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth and maxList bound how deep and how long what is read may be.
const (
	maxDepth = 12
	maxList  = 4096
)

// document is the one YAML document in data, free of everything by which it
// could mean something else than what a person reads in it.
func document(data []byte) (*yaml.Node, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxSize)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its first document")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("it holds nothing")
	}
	return doc.Content[0], plain(doc.Content[0], 0)
}

func plain(n *yaml.Node, depth int) error {
	switch {
	case depth > maxDepth || len(n.Content) > maxList:
		return at(n, "nested too deeply, or too long")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at(n, "anchors and aliases are not allowed: write it out")
	case n.Style&yaml.TaggedStyle != 0:
		return at(n, "tags are not allowed: remove %s", n.Tag)
	}
	for _, c := range n.Content {
		if err := plain(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...)
}

// A reader keeps the first error of many steps.
type reader struct{ err error }

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		r.err = at(n, format, args...)
	}
}

// nothing stands for what could not be read.
var nothing = &yaml.Node{}

// fields are the values of exactly these keys; one that ends in "?" may be
// left out.
func (r *reader) fields(n *yaml.Node, keys ...string) map[string]*yaml.Node {
	got := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "fields are wanted: %s", strings.Join(keys, ", "))
	} else {
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			switch {
			case k.Kind != yaml.ScalarNode || strings.HasSuffix(k.Value, "?") || !slices.Contains(keys, k.Value) && !slices.Contains(keys, k.Value+"?"):
				r.fail(k, "unknown field %.60q; known are %s", k.Value, strings.Join(keys, ", "))
			case got[k.Value] != nil:
				r.fail(k, "field %q is there twice", k.Value)
			}
			got[k.Value] = v
		}
	}
	for _, k := range keys {
		name, optional := strings.CutSuffix(k, "?")
		if got[name] == nil && !optional {
			r.fail(n, "field %q is missing: nothing is accepted by being left out, see the package's documentation for the word that says so", k)
			got[name] = nothing
		}
	}
	return got
}

const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle

// word is a scalar that is not empty, and has no spaces around it that quotes
// would hide. A block of text has its newline.
func (r *reader) word(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" || n.Value != strings.TrimSpace(n.Value) && n.Style&quoted != 0 {
		r.fail(n, "a word is wanted, and nothing or something else stands there")
		return ""
	}
	return n.Value
}

// either is a word of these.
func (r *reader) either(n *yaml.Node, words ...string) string {
	w := r.word(n)
	if r.err == nil && !slices.Contains(words, w) {
		r.fail(n, "%.60q is not one of %s", w, strings.Join(words, ", "))
	}
	return w
}

// required is true for required, false for not-required.
func (r *reader) required(n *yaml.Node) bool {
	return r.either(n, "required", "not-required") == "required"
}

// list calls each for every element, of which there must be one.
func (r *reader) list(n *yaml.Node, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.fail(n, "a list with an element is wanted")
		return
	}
	for _, c := range n.Content {
		each(c)
	}
}

// words is a list of words, each there once.
func (r *reader) words(n *yaml.Node, read func(*yaml.Node) string) (all []string) {
	r.list(n, func(c *yaml.Node) {
		w := read(c)
		if slices.Contains(all, w) {
			r.fail(c, "%.60q is there twice", w)
		}
		all = append(all, w)
	})
	return all
}

func isWord(n *yaml.Node, word string) bool { return n.Kind == yaml.ScalarNode && n.Value == word }
