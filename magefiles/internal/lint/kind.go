package lint

import (
	"errors"

	"go.yaml.in/yaml/v3"
)

// ErrKind says that a file's kind cannot be told.
var ErrKind = errors.New("whose configuration this is cannot be told from its keys; pass -kind=")

// tell is whose configuration a document is: the kind that declares most of its
// keys.
func tell(root *yaml.Node) (Kind, error) {
	r := resolver{}
	v, err := r.resolve(root, 0)
	if err != nil {
		return "", err
	}
	s := upstreamSchema()
	best, most, tie := Kind(""), 0, false
	for _, kind := range Kinds {
		n := 0
		for _, f := range v.fields {
			if _, ok := s.field(s.roots[kind], f.key); ok {
				n++
			}
		}
		switch {
		case n > most:
			best, most, tie = kind, n, false
		case n == most && n > 0:
			// Each scrape_configs is a prometheus.yml; modules are of two.
			tie = tie || kind != Scrape
		}
	}
	if modules := v.get("modules"); modules.kind == mapping {
		if v.has("auths") || v.has("version") {
			return SNMP, nil
		}
		for _, m := range modules.fields {
			switch {
			case m.value.has("prober"):
				return Blackbox, nil
			case m.value.has("walk"), m.value.has("get"), m.value.has("metrics"):
				return SNMP, nil
			}
		}
	}
	if best == "" || tie {
		return "", ErrKind
	}
	return best, nil
}
