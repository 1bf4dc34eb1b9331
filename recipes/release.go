package recipes

import (
	"fmt"
	"regexp"
	"slices"

	"palisade/attestations/artifact"
)

// A Release says what the next release of the distribution is called and where
// its artifacts are built: a platform without a runner is in no release, for an
// artifact is audited on a machine of its platform.
type Release struct {
	Version string                       `yaml:"version"` // "1.4.0"; the tag is that with a "v" before
	Runners map[artifact.Platform]string `yaml:"runners"` // what the CI calls a machine of each platform
}

// Tag is what the commit of the release is tagged with.
func (r *Release) Tag() string { return "v" + r.Version }

var (
	releaseForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$`)
	runnerForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$`)
)

func (d *Distribution) validateRelease() error {
	r := d.Release
	if r == nil {
		return nil // it is built, and not released
	}
	if !releaseForm.MatchString(r.Version) {
		return fmt.Errorf("%w: distribution.yaml: release: version %q is not of three numbers, as 1.4.0", ErrInvalid, r.Version)
	}
	if len(r.Runners) == 0 {
		return fmt.Errorf("%w: distribution.yaml: release: runners name no platform: say what the CI calls a machine of each, linux/amd64: ubuntu-24.04", ErrInvalid)
	}
	for p, label := range r.Runners {
		if !slices.Contains(d.Platforms, p) {
			return fmt.Errorf("%w: distribution.yaml: release: runner of %s, which is not one of the platforms", ErrInvalid, p)
		}
		if !runnerForm.MatchString(label) {
			return fmt.Errorf("%w: distribution.yaml: release: runner of %s: %q is no plain name", ErrInvalid, p, label)
		}
	}
	return nil
}
