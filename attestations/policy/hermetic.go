package policy

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// A Hermeticity is how far it is known that what was built saw nothing but what
// its provenance names. One that is greater is more.
type Hermeticity int

// The kinds of hermeticity.
const (
	NotHermetic Hermeticity = iota // or nothing is known of it
	Promised                       // by another machine, and the builder did not see it
	Observed                       // by the builder, in its own sandbox
)

// The words of a policy for them.
var hermeticWords = [...]string{NotHermetic: "not-required", Promised: "promised", Observed: "required"}

// hermeticity reads the field hermetic.
func (r *reader) hermeticity(n *yaml.Node) Hermeticity {
	word := r.either(n, hermeticWords[Observed], hermeticWords[Promised], hermeticWords[NotHermetic])
	for h, w := range hermeticWords {
		if w == word {
			return Hermeticity(h)
		}
	}
	return Observed // of what was refused
}

// hermeticEnough refuses what is less hermetic than r demands.
func (r *rules) hermeticEnough(c Claim) error {
	switch {
	case c.Hermetic >= r.hermetic && c.Hermetic <= Observed:
		return nil
	case c.Hermetic == Promised:
		return fmt.Errorf("%w: it is the promise of %.80q, and the builder did not see it: build in the sandbox of one machine (without BUILDKIT_HOST and -cache), or accept that with hermetic: %s",
			ErrHermetic, c.Promise, hermeticWords[Promised])
	}
	return fmt.Errorf("%w: build it where namespaces are to be had", ErrHermetic)
}
