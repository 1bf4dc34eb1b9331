package vuln

import (
	"fmt"

	"github.com/openvex/go-vex/pkg/vex"

	"palisade/attestations/intoto"
)

// openVEX has OpenVEX's own library read what is to be written, and hold each
// statement against its rules, which reading alone does not.
func openVEX(s intoto.Statement) error {
	doc, err := vex.Parse(s.Predicate)
	if err != nil {
		return fmt.Errorf("reading it as OpenVEX: %w", err)
	}
	if doc.Context != vex.ContextLocator() {
		return fmt.Errorf("reading it as OpenVEX: it is of %s, and the library of %s", doc.Context, vex.ContextLocator())
	}
	for i := range doc.Statements {
		if err := doc.Statements[i].Validate(); err != nil {
			return fmt.Errorf("reading it as OpenVEX: statement %d: %w", i+1, err)
		}
	}
	return nil
}
