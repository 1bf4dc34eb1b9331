package verify

import (
	"encoding/json"
	"fmt"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
)

// A testResult is a predicate test-result v0.1, and beside it what an audit
// found.
// https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
type testResult struct {
	Result        string            `json:"result"`
	Configuration []intoto.Resource `json:"configuration"`
	PassedTests   []string          `json:"passedTests"`
	WarnedTests   []string          `json:"warnedTests"`
	FailedTests   []string          `json:"failedTests"`
	Findings      []finding         `json:"findings"`
}

type finding struct {
	Check       string `json:"check"`
	Row         int    `json:"row"`
	Status      string `json:"status"`
	Observation string `json:"observation"`
}

var resultLimits = intoto.Limits{Size: 8 << 20, Depth: 16, Items: 10_000}

// verdict verifies the test result of an artifact, where there is one or has to
// be one.
func (v *verifier) verdict(r artifact.Record) (signed, policy.Audit, error) {
	name := r.Name + resultSuffix
	fail := func(err error) (signed, policy.Audit, error) { return signed{}, policy.Audit{}, err }
	if !v.dir.has(name) && !v.dir.has(bundleOf(name)) {
		if v.policy.Requires(policy.TestResult) {
			return fail(fmt.Errorf("%w: %w", policy.ErrNoAudit, missing(name)))
		}
		return fail(nil)
	}
	s, statement, err := v.attested(name, intoto.TestResult)
	if err != nil {
		return fail(err)
	}
	// Tools that come with a component are not what is audited.
	i := slices.IndexFunc(r.Binaries, func(b artifact.Binary) bool { return b.Name == r.Component })
	if i < 0 {
		return fail(fmt.Errorf("%w: there is no binary %s in %s", ErrSubject, r.Component, r.Name))
	}
	if err := about(statement, subjectOf(r.Binaries[i].Name, r.Binaries[i].Digest)); err != nil {
		return fail(err)
	}
	result, err := parseResult(statement.Predicate)
	if err != nil {
		return fail(fmt.Errorf("%w: %s: %w", ErrTestResult, name, err))
	}
	if !result.names(r.Name, r.Digest) {
		return fail(fmt.Errorf("%w: %s is not of this archive", ErrSubject, name))
	}
	audit, err := result.audit(r.Component)
	if err != nil {
		return fail(fmt.Errorf("%w: %s: %w", ErrTestResult, name, err))
	}
	return s, audit, v.beside(name, s.payload)
}

// audit is what a policy judges of a result of component.
func (r testResult) audit(component string) (policy.Audit, error) {
	checks, err := r.checks(component)
	skipped := len(r.Findings) - len(r.PassedTests) - len(r.FailedTests)
	return policy.Audit{Ran: true, Passed: r.Result == "PASSED", Checks: checks, Skipped: skipped}, err
}

// checks is the digest of the checks of component that the result is of: the
// first thing that its configuration names.
func (r testResult) checks(component string) (artifact.Digest, error) {
	if len(r.Configuration) == 0 || r.Configuration[0].Name != "checks of "+component {
		return artifact.Digest{}, fmt.Errorf("its configuration does not begin with the checks of %s", component)
	}
	return artifact.ParseDigest("sha256:" + r.Configuration[0].Digest["sha256"])
}

// names reports whether the configuration names that as what was tested.
func (r testResult) names(name string, d artifact.Digest) bool {
	return slices.ContainsFunc(r.Configuration, func(c intoto.Resource) bool {
		return c.Name == name && c.Digest["sha256"] == d.Hex()
	})
}

// ran reports whether the configuration names the archive r, and its component's
// own binary as what was run.
func (r testResult) ran(of artifact.Record) bool {
	return r.names(of.Name, of.Digest) && slices.ContainsFunc(of.Binaries, func(b artifact.Binary) bool {
		return b.Name == of.Component && r.names(b.Name, b.Digest)
	})
}

// parseResult reads a predicate that says one thing: its verdict is that of
// its lists, and these are those of its findings.
func parseResult(data json.RawMessage) (testResult, error) {
	var r testResult
	if err := intoto.Decode(data, &r, resultLimits); err != nil {
		return r, err
	}
	var passed, failed []string
	for _, f := range r.Findings {
		switch f.Status {
		case "PASS":
			passed = append(passed, f.Check)
		case "FAIL":
			failed = append(failed, f.Check)
		case "SKIP":
		default:
			return r, fmt.Errorf("the finding of %.60q has the status %.40q", f.Check, f.Status)
		}
	}
	if !slices.Equal(passed, r.PassedTests) || !slices.Equal(failed, r.FailedTests) || len(r.WarnedTests) > 0 {
		return r, fmt.Errorf("its lists of tests are not those of its findings")
	}
	want := "FAILED"
	if len(failed) == 0 && len(passed) > 0 {
		want = "PASSED"
	}
	if r.Result != want {
		return r, fmt.Errorf("its result is %.40q and its findings say %s", r.Result, want)
	}
	return r, nil
}

// Tests are the checks of a test result, by what came of them. Skipped counts those
// that neither passed nor failed.
type Tests struct {
	Passed, Failed []string
	Skipped        int
}

// ReadTests reads the predicate of a test result as Release does, so that it says
// one thing. Whose it is, and of what, is for others to know.
func ReadTests(predicate json.RawMessage) (Tests, error) {
	r, err := parseResult(predicate)
	if err != nil {
		return Tests{}, fmt.Errorf("%w: %w", ErrTestResult, err)
	}
	return Tests{r.PassedTests, r.FailedTests, len(r.Findings) - len(r.PassedTests) - len(r.FailedTests)}, nil
}
