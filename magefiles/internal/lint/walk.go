package lint

import (
	"fmt"
	"strings"
)

// A place is a value together with where upstream's types put it.
type place struct {
	value
	typ    string
	key    string // in its mapping, or that of the list it is in
	path   string // as a person writes it
	line   int    // of the key, else of the value
	col    int
	parent *place
	free   bool // in a mapping of the operator's own words: labels, headers, parameters
}

// child is the place of a mapping's field.
func (p *place) child(f field, typ string, free bool) place {
	path := shown(f.key)
	if p.path != "" {
		path = p.path + "." + path
	}
	return place{f.value, typ, f.key, path, f.line, f.col, p, free}
}

func (p *place) item(i int, typ string) place {
	v := p.items[i]
	return place{v, typ, p.key, fmt.Sprintf("%s[%d]", p.path, i), v.line, v.col, p, p.free}
}

func (d *document) found(p place, severity Severity, id, what, instead string) {
	if p.path != "" {
		what = p.path + ": " + what
	}
	d.say(p.line, p.col, severity, id, what, instead)
}

// walk visits what is below p with upstream's types beside it.
func (d *document) walk(p place) {
	if p.kind == null {
		return
	}
	element, list := strings.CutPrefix(p.typ, "[]")
	entry, words := strings.CutPrefix(p.typ, "{}")
	keys, structure := upstreamSchema().structs[p.typ]
	switch {
	case p.typ == "any":
		d.anything(p)
	case p.typ == "scalar", p.typ == "secret":
		if !d.shape(p, scalar) {
			return
		}
		if p.typ == "secret" {
			d.secret(p)
		} else {
			d.plain(p)
		}
	case list:
		if !d.shape(p, sequence) {
			return
		}
		for i := range p.items {
			d.walk(p.item(i, element))
		}
	case words:
		if !d.shape(p, mapping) {
			return
		}
		free := (entry == "scalar" || entry == "[]scalar" || entry == "any") && p.key != "enum_values"
		for _, f := range p.fields {
			d.walk(p.child(f, entry, free))
		}
	case structure:
		if !d.shape(p, mapping) {
			return
		}
		for _, f := range p.fields {
			t, ok := upstreamSchema().field(p.typ, f.key)
			if !ok {
				d.found(p.child(f, "", false), Error, "unknown-key", "upstream knows no such key here and refuses the whole file", nearest(f.key, keys))
				continue
			}
			d.walk(p.child(f, t, strings.HasSuffix(p.typ, "/config.Header")))
		}
		d.client(p)
	}
}

// anything visits what upstream passes on as it is.
func (d *document) anything(p place) {
	switch p.kind {
	case scalar:
		d.plain(p)
	case sequence:
		for i := range p.items {
			d.anything(p.item(i, "any"))
		}
	case mapping:
		for _, f := range p.fields {
			d.anything(p.child(f, "any", true))
		}
	}
}

// shape refuses another kind of node than upstream decodes: it voids the file.
func (d *document) shape(p place, want int) bool {
	names := []string{"nothing", "plain text", "a list", "a mapping"}
	if p.kind != want {
		d.found(p, Error, "wrong-shape", "this is "+names[p.kind]+", upstream takes "+names[want]+" and refuses the whole file", names[want])
	}
	return p.kind == want
}

// nearest is the advice for an unknown key.
func nearest(key string, keys map[string]string) string {
	best, least := "", 1+len(key)/3
	for k := range keys {
		if n := distance(key, k, least); n < least || n == least && best != "" && k < best {
			best, least = k, n
		}
	}
	if best == "" {
		return "one of upstream's keys, or nothing"
	}
	return best
}

// distance is how many characters differ between a and b, at most limit+1.
func distance(a, b string, limit int) int {
	if len(a) > len(b)+limit || len(b) > len(a)+limit || len(a) > 100 {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// places is every place below p, p first, of a struct whose name ends as given.
func (p place) places(typ string) (all []place) {
	element, list := strings.CutPrefix(p.typ, "[]")
	entry, words := strings.CutPrefix(p.typ, "{}")
	if !list && !words && p.kind == mapping && strings.HasSuffix(p.typ, typ) {
		all = append(all, p)
	}
	if list && p.kind == sequence {
		for i := range p.items {
			all = append(all, p.item(i, element).places(typ)...)
		}
	}
	for _, f := range p.fields {
		t, ok := upstreamSchema().field(p.typ, f.key)
		if words {
			t, ok = entry, true
		}
		if ok {
			all = append(all, p.child(f, t, false).places(typ)...)
		}
	}
	return all
}

// top is the place of the whole document.
func (d *document) top() place {
	return place{value: d.root, typ: upstreamSchema().roots[d.kind], line: d.root.line, col: d.root.col}
}

// at is the place of a key, and whether it is there and not null.
func (p *place) at(key string) (place, bool) {
	for _, f := range p.fields {
		if f.key == key && f.value.kind != null {
			t, _ := upstreamSchema().field(p.typ, key)
			return p.child(f, t, false), true
		}
	}
	return place{value: value{}, key: key, line: p.line, col: p.col, parent: p}, false
}
