package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
)

// Judge holds a claim against p. Its error joins every refusal; each wraps the
// sentinel of the demand that is not met.
func (p Policy) Judge(c Claim) error {
	if p.rules == nil {
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	}
	var refusals []error
	refuse := func(sentinel error, format string, args ...any) {
		refusals = append(refusals, fmt.Errorf("%w: "+format, append([]any{sentinel}, args...)...))
	}
	r := p.rules
	if err := p.JudgeBuilder(c.Builder); err != nil {
		refusals = append(refusals, err)
	}
	if !slices.Contains(r.buildTypes, c.BuildType) {
		refuse(ErrBuildType, "%q; accepted are %s", c.BuildType, strings.Join(r.buildTypes, ", "))
	}
	if err := r.hermeticEnough(c); err != nil {
		refusals = append(refusals, err)
	}
	if r.cleanTree && !c.CleanTree {
		refuse(ErrCleanTree, "commit them and build again")
	}
	a := p.accepted(c.Component, c.Variant)
	if a == nil {
		refuse(ErrArtifact, "%q, variant %q", c.Component, c.Variant)
		return errors.Join(refusals...)
	}
	if c.UpstreamModule != a.module {
		refuse(ErrUpstream, "%q; accepted is %s", c.UpstreamModule, a.module)
	}
	if !reaches(c.UpstreamVersion, a.minimumUpstream) {
		refuse(ErrOutdated, "upstream's %q; the minimum is %s", c.UpstreamVersion, a.minimumUpstream)
	}
	if !reaches("v"+c.Version, prefixed(a.minimumVersion)) {
		refuse(ErrOutdated, "version %q; the minimum is %s", c.Version, a.minimumVersion)
	}
	if err := a.patched(c.Patched); err != nil {
		refusals = append(refusals, err)
	}
	return errors.Join(refusals...)
}

// JudgeBuilder holds a builder.id alone against p: of what is no artifact, such as
// one step of a build, nothing else is known.
func (p Policy) JudgeBuilder(id string) error {
	if p.rules == nil {
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	}
	if !slices.Contains(p.rules.builders, id) {
		return fmt.Errorf("%w: %q; accepted are %s", ErrBuilder, id, strings.Join(p.rules.builders, ", "))
	}
	return nil
}

func (p Policy) accepted(component, variant string) *acceptance {
	i := slices.IndexFunc(p.rules.accept, func(a acceptance) bool { return a.component == component && a.variant == variant })
	if i < 0 {
		return nil
	}
	return &p.rules.accept[i]
}

func prefixed(version string) string {
	if version == "" {
		return ""
	}
	return "v" + version
}

// reaches reports whether version is minimum or newer. A version that has no
// order is not.
func reaches(version, minimum string) bool {
	return semver.IsValid(version) && (minimum == "" || semver.Compare(version, minimum) >= 0)
}

func (a *acceptance) patched(got []Series) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrPatches}, args...)...)
	}
	switch a.patches {
	case "any":
		return nil
	case "some":
		if len(got) == 0 {
			return refuse("none was applied")
		}
		return nil
	case "none":
		if len(got) > 0 {
			return refuse("%s was patched", got[0].Module)
		}
		return nil
	}
	for _, want := range a.series {
		i := slices.IndexFunc(got, func(s Series) bool { return s.Module == want.Module })
		switch {
		case i < 0:
			return refuse("%s was not patched", want.Module)
		case got[i] != want:
			return refuse("%s %s has the series %s, not %s of %s", want.Module, got[i].Version, got[i].Digest, want.Digest, want.Version)
		}
	}
	for i, s := range got {
		if !slices.Contains(a.series, s) || slices.Contains(got[:i], s) {
			return refuse("%s was patched too", s.Module)
		}
	}
	return nil
}

// An Audit is what the test result of an artifact says.
type Audit struct {
	Ran, Passed bool
	Checks      artifact.Digest // of what was checked
	Skipped     int             // of these
}

// JudgeAudit holds the test result of an artifact against p.
func (p Policy) JudgeAudit(component, variant string, got Audit) error {
	if p.rules == nil {
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	}
	a := p.accepted(component, variant)
	switch {
	case a == nil:
		return fmt.Errorf("%w: %q, variant %q", ErrArtifact, component, variant)
	case !got.Ran && a.audit == "passed":
		return fmt.Errorf("%w: run it and sign its result", ErrNoAudit)
	case got.Ran && !got.Passed && a.audit != "any-verdict":
		return fmt.Errorf("%w: see the findings in the test result", ErrAudit)
	case !got.Ran || a.audit == "any-verdict" || a.checks.IsZero():
		return nil
	case got.Checks != a.checks:
		return fmt.Errorf("%w: it was of the checks %s, not of %s", ErrAudit, got.Checks, a.checks)
	case got.Skipped > 0:
		return fmt.Errorf("%w: %d checks were skipped, see the findings in the test result", ErrAudit, got.Skipped)
	}
	return nil
}

// maxAhead is how far a trusted clock may be ahead of this machine's. By one that
// is set back nothing is ever too old.
const maxAhead = time.Hour

// JudgeTime holds the trusted time of a signature against p, whose zero value
// says that none is known.
func (p Policy) JudgeTime(signed, now time.Time) error {
	switch {
	case p.rules == nil:
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	case p.rules.maximumAge == 0:
		return nil
	case signed.IsZero():
		return fmt.Errorf("%w: the policy has a maximum age", ErrNoTime)
	case signed.Sub(now) > maxAhead:
		return fmt.Errorf("%w: on %s: set the clock, an age cannot be told by it", ErrClock, signed.UTC().Format(time.RFC3339))
	case now.Sub(signed) > p.rules.maximumAge:
		return fmt.Errorf("%w: on %s; take a newer release", ErrTooOld, signed.UTC().Format(time.RFC3339))
	}
	return nil
}
