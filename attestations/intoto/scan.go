package intoto

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// A shape is what a value may hold. A nil shape allows anything.
type shape struct {
	fields map[string]*shape // of an object that becomes a struct
	elem   *shape            // of a list, or of an object that becomes a map
}

// plain is a value that holds no others.
var plain = &shape{}

func shapeOf(into any) *shape {
	if into == nil {
		return nil
	}
	return shapes{}.of(reflect.TypeOf(into))
}

// shapes remembers what was made, which ends the recursion of types that hold
// themselves.
type shapes map[reflect.Type]*shape

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (all shapes) of(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Interface || t == reflect.TypeFor[json.RawMessage]():
		return nil
	case reflect.PointerTo(t).Implements(unmarshaler), reflect.PointerTo(t).Implements(textUnmarshaler):
		return plain
	case all[t] != nil:
		return all[t]
	}
	switch t.Kind() {
	case reflect.Struct:
		s := &shape{fields: map[string]*shape{}}
		all[t] = s
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				panic(fmt.Sprintf("intoto: %v embeds %v: Decode does not know which keys it has", t, f.Type))
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case !f.IsExported() || name == "-":
			case name == "":
				s.fields[f.Name] = all.of(f.Type)
			default:
				s.fields[name] = all.of(f.Type)
			}
		}
		return s
	case reflect.Slice, reflect.Array, reflect.Map:
		s := &shape{}
		all[t] = s
		s.elem = all.of(t.Elem())
		return s
	}
	return plain
}

// A scanner walks over JSON that json.Valid has found to be such, so that it
// need not look for what is missing.
type scanner struct {
	data   []byte
	at     int
	limits Limits
}

// space moves to the next byte that is none and returns it.
func (s *scanner) space() byte {
	for {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
}

func (s *scanner) value(of *shape, depth int) error {
	switch s.space() {
	case '{', '[':
		if depth > s.limits.Depth {
			return fmt.Errorf("%w: more than %d levels", ErrTooDeep, s.limits.Depth)
		}
		return s.collection(of, depth)
	case '"':
		_, _, err := s.text()
		return err
	case 'n':
		if of != nil {
			return fmt.Errorf("%w: null", ErrValue)
		}
	}
	for s.at < len(s.data) && strings.IndexByte(" \t\r\n,]}", s.data[s.at]) < 0 {
		s.at++
	}
	return nil
}

// collection walks over an object or a list. A value of another kind than its
// shape is left to encoding/json to refuse.
func (s *scanner) collection(of *shape, depth int) error {
	object := s.data[s.at] == '{'
	s.at++
	var keys keys
	for n := 0; ; n++ {
		switch s.space() {
		case '}', ']':
			s.at++
			return nil
		case ',':
			s.at++
			s.space()
		}
		if n == s.limits.Items {
			return fmt.Errorf("%w: more than %d elements", ErrTooLarge, n)
		}
		elem := of
		if of != nil {
			elem = of.elem
		}
		if object {
			key, err := s.key()
			if err != nil {
				return err
			}
			if keys.add(key) {
				return fmt.Errorf("%w: %.100q", ErrDuplicateKey, key)
			}
			if of != nil && of.fields != nil {
				field, ok := of.fields[string(key)]
				if !ok {
					return fmt.Errorf("%w: %.100q", ErrUnknownKey, key)
				}
				elem = field
			}
			s.space()
			s.at++ // the colon
		}
		if err := s.value(elem, depth+1); err != nil {
			return err
		}
	}
}

// key moves behind a string and returns what it says.
func (s *scanner) key() ([]byte, error) {
	raw, escaped, err := s.text()
	switch {
	case err != nil:
		return nil, err
	case !escaped:
		return raw[1 : len(raw)-1], nil
	}
	var text string
	err = json.Unmarshal(raw, &text)
	return []byte(text), err
}

// text moves behind a string and returns it, quotes and all.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	start := s.at
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] != '\\' {
			continue
		}
		escaped = true
		s.at++
		if s.data[s.at] != 'u' {
			continue
		}
		switch s.unit(s.at+1) >> 10 {
		case 0xD800 >> 10:
			if next := s.data[s.at+5:]; !bytes.HasPrefix(next, []byte(`\u`)) || s.unit(s.at+7)>>10 != 0xDC00>>10 {
				return nil, true, fmt.Errorf("%w: half of a surrogate pair", ErrNotJSON)
			}
			s.at += 6
		case 0xDC00 >> 10:
			return nil, true, fmt.Errorf("%w: half of a surrogate pair", ErrNotJSON)
		}
		s.at += 4
	}
	s.at++
	return s.data[start:s.at], escaped, nil
}

// unit is the UTF-16 unit whose four hexadecimal digits begin there.
func (s *scanner) unit(at int) uint64 {
	n, _ := strconv.ParseUint(string(s.data[at:at+4]), 16, 16) // json.Valid saw them
	return n
}

// keys is the set of an object's keys. Most have few.
type keys struct {
	few  [][]byte
	many map[string]bool
}

// add reports whether the key was there already.
func (k *keys) add(key []byte) bool {
	if k.many != nil {
		if k.many[string(key)] {
			return true
		}
		k.many[string(key)] = true
		return false
	}
	for _, have := range k.few {
		if bytes.Equal(have, key) {
			return true
		}
	}
	if k.few = append(k.few, key); len(k.few) > 16 {
		k.many = make(map[string]bool, 2*len(k.few))
		for _, have := range k.few {
			k.many[string(have)] = true
		}
	}
	return false
}
