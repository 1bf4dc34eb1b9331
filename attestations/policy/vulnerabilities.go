package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a policy refuses of known vulnerabilities.
var (
	ErrNoVEX      = errors.New("nothing says which vulnerabilities are known of it")
	ErrVulnerable = errors.New("a known vulnerability is left open")
	ErrOldData    = errors.New("what is known of vulnerabilities is older than the policy allows")
)

// A VEXClaim is what the OpenVEX document of an artifact says. The zero VEXClaim
// says that there is none.
type VEXClaim struct {
	Modified time.Time // of the data that it was made of
	Open     []string  // the vulnerabilities that it leaves open, for people
}

// JudgeVEX holds the OpenVEX document of an artifact against p.
func (p Policy) JudgeVEX(got VEXClaim, now time.Time) error {
	switch {
	case p.rules == nil:
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	case got.Modified.IsZero() && p.Requires(VEX):
		return fmt.Errorf("%w: run mage vuln -vex and sign what it writes", ErrNoVEX)
	case p.rules.vulnerable:
		return nil
	case len(got.Open) > 0:
		return fmt.Errorf("%w: %s; see what the document says to do", ErrVulnerable, strings.Join(got.Open, ", "))
	case got.Modified.Sub(now) > maxAhead: // of several the newest counts
		return fmt.Errorf("%w: its data changed on %s: set the clock, an age cannot be told by it", ErrClock, got.Modified.UTC().Format(time.RFC3339))
	case p.rules.dataAge == 0:
		return nil
	case now.Sub(got.Modified) > p.rules.dataAge:
		return fmt.Errorf("%w: of %s; take a newer document, or a newer release", ErrOldData, got.Modified.UTC().Format(time.RFC3339))
	}
	return nil
}
