package verify

import (
	"fmt"
	"slices"

	"palisade/attestations/artifact"
)

// A subject is what lines are about: an artifact, or the release as a whole.
type subject struct {
	name     string
	digest   artifact.Digest // of its file; zero of the release as a whole
	lines    []Line
	refusals []error
}

// of names the artifact that s is about.
func (s *subject) of(name string, d artifact.Digest) *subject {
	s.name, s.digest = name, d
	return s
}

// check makes a check and adds its line, if the checks that it needs passed.
func (s *subject) check(c Check, needs []Check, make func() (detail string, err error)) {
	for _, need := range needs {
		if !s.passed(need) {
			s.skip(c, need.String()+" did not pass")
			return
		}
	}
	detail, err := make()
	status := Pass
	if err != nil {
		s.refusals = append(s.refusals, fmt.Errorf("%s: %s: %w", s.name, c, err))
		status, detail = Fail, err.Error()
	}
	s.add(c, status, detail)
}

func (s *subject) skip(c Check, why string) { s.add(c, Skip, "not made: "+why) }

func (s *subject) add(c Check, status Status, detail string) {
	s.lines = append(s.lines, Line{Artifact: oneLine(s.name), Number: c, Check: c.String(), Status: status, Detail: oneLine(detail)})
}

func (s *subject) passed(c Check) bool {
	return slices.ContainsFunc(s.lines, func(l Line) bool { return l.Number == c && l.Status == Pass })
}
