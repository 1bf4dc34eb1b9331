package policy

import (
	"errors"
	"strings"
	"testing"
)

// Each word accepts what is as hermetic as it says, or more, and nothing else.
func TestHermetic(t *testing.T) {
	for word, accepted := range map[string][]Hermeticity{
		"required":     {Observed},
		"promised":     {Observed, Promised},
		"not-required": {Observed, Promised, NotHermetic},
	} {
		p := parse(t, strings.Replace(sample(t), "hermetic: required", "hermetic: "+word, 1))
		for _, h := range []Hermeticity{NotHermetic, Promised, Observed, Observed + 1, NotHermetic - 1} {
			c := good()
			c.Hermetic = h
			if h == Promised {
				c.Promise = "a worker of buildkit"
			}
			ok := false
			for _, a := range accepted {
				ok = ok || a == h
			}
			err := p.Judge(c)
			if (err == nil) != ok || err != nil && !errors.Is(err, ErrHermetic) {
				t.Errorf("%s, of %d: %v", word, h, err)
			}
			if said := err != nil && strings.Contains(err.Error(), `"a worker of buildkit"`) && strings.HasSuffix(err.Error(), "hermetic: promised"); said != (err != nil && h == Promised) {
				t.Errorf("%s, of %d, does not say who promised it, and what would accept that: %v", word, h, err)
			}
		}
	}
	for _, word := range []string{"observed", "Required", "promised-by-worker", "true", "[required]", "required, promised"} {
		if _, err := Parse([]byte(strings.Replace(sample(t), "hermetic: required", "hermetic: "+word, 1))); !errors.Is(err, ErrPolicy) {
			t.Errorf("hermetic: %s: %v", word, err)
		}
	}
}
