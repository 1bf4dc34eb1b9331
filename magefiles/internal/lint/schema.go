package lint

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed fields.txt
var fieldsText string

// A schema is every key that upstream's types declare. A type is "scalar",
// "secret" (a scalar that upstream does not show), "any", "[]T", "{}T", or the
// name of a struct.
type schema struct {
	roots   map[Kind]string
	structs map[string]map[string]string // struct -> key -> type; key "*" is every other
}

// upstreamSchema is fields.txt. A test holds that it can be read.
var upstreamSchema = sync.OnceValue(func() *schema {
	s, err := readSchema(fieldsText)
	if err != nil {
		panic("lint: " + err.Error())
	}
	return s
})

func readSchema(text string) (*schema, error) {
	s := &schema{roots: map[Kind]string{}, structs: map[string]map[string]string{}}
	var current map[string]string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(f) == 3 && f[0] == "root":
			s.roots[Kind(f[1])] = f[2]
		case len(f) == 2 && f[0] == "struct":
			current = map[string]string{}
			s.structs[f[1]] = current
		case len(f) == 2 && strings.HasPrefix(line, "  ") && current != nil:
			current[f[0]] = f[1]
		default:
			return nil, fmt.Errorf("reading fields.txt: what is %q", line)
		}
	}
	return s, nil
}

// field is the type of a struct's key.
func (s *schema) field(structure, key string) (string, bool) {
	keys := s.structs[structure]
	if t, ok := keys[key]; ok {
		return t, true
	}
	t, ok := keys["*"]
	return t, ok
}
