package handover

import (
	"fmt"
	"regexp"
	"strings"

	"palisade/attestations/artifact"
)

// PlanKey is what the digest of the plan is known by.
const PlanKey = "plan"

// Digests are those of the files that a step takes, each under the key of who made
// it: what one step made never stands in for what another made. nil is that any will
// do, and only who asks knows why.
type Digests map[string]artifact.Digest

// Key is what the digest of a hand-over is known by: "assemble", or "build_1" of the
// first shard.
func Key(step string, s Shard) string {
	if s == (Shard{}) {
		return step
	}
	return fmt.Sprintf("%s_%d", step, s.Number)
}

var keyForm = regexp.MustCompile(`^[a-z]+(_[1-9][0-9]?)?$`)

// ParseDigests reads KEY=sha256:…, with commas between. No text is nil.
func ParseDigests(list string) (Digests, error) {
	if list == "" {
		return nil, nil
	}
	all := Digests{}
	for text := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(text, "=")
		if !ok || !keyForm.MatchString(key) {
			return nil, fmt.Errorf("%.100q does not say of what it is the digest: write it as build_1=sha256:…, as the step prints it with -output=env", text)
		}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("%s is there twice", key)
		}
		d, err := artifact.ParseDigest(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: a step before this one has not said its digest, or another wrote it", key, err)
		}
		all[key] = d
	}
	return all, nil
}

// Hold refuses (ErrDigest) a file of that digest in the place that key names.
func (d Digests) Hold(key string, got artifact.Digest) error {
	switch want, ok := d[key]; {
	case d == nil:
		return nil
	case !ok:
		return fmt.Errorf("%w: it is %s, and nobody said which %s has to be", ErrDigest, got, key)
	case want != got:
		return fmt.Errorf("%w: it is %s, and %s has to be %s; take the file that the step before made, not another of its name", ErrDigest, got, key, want)
	}
	return nil
}
