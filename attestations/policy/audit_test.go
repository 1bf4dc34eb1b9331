package policy

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

func TestJudgeAudit(t *testing.T) {
	checks, err := artifact.ParseDigest("sha256:" + strings.Repeat("c", 64)) // as sample.yaml has it
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		word  string
		audit Audit
		want  error
	}{
		{"passed", Audit{}, ErrNoAudit}, {"passed", Audit{Ran: true}, ErrAudit}, {"passed", Audit{Ran: true, Passed: true}, nil}, {"passed", Audit{Passed: true}, ErrNoAudit},
		{"passed-if-run", Audit{}, nil}, {"passed-if-run", Audit{Ran: true}, ErrAudit}, {"passed-if-run", Audit{Ran: true, Passed: true}, nil},
		{"any-verdict", Audit{}, nil}, {"any-verdict", Audit{Ran: true}, nil},
	} {
		tt.audit.Checks = checks
		p := parse(t, strings.Replace(sample(t), "audit: passed\n", "audit: "+tt.word+"\n", 1))
		if err := p.JudgeAudit("prometheus", "hardened", tt.audit); !errors.Is(err, tt.want) {
			t.Errorf("%s, %+v: %v", tt.word, tt.audit, err)
		}
	}
	if err := parse(t, sample(t)).JudgeAudit("x", "hardened", Audit{Ran: true, Passed: true}); !errors.Is(err, ErrArtifact) {
		t.Errorf("another component: %v", err)
	}
	for _, audit := range []Audit{
		{Ran: true, Passed: true},
		{Ran: true, Passed: true, Checks: artifact.DigestBytes(nil)},
		{Ran: true, Passed: true, Checks: checks, Skipped: 1},
	} {
		for _, word := range []string{"passed", "passed-if-run"} {
			p := parse(t, strings.Replace(sample(t), "audit: passed\n", "audit: "+word+"\n", 1))
			if err := p.JudgeAudit("prometheus", "hardened", audit); !errors.Is(err, ErrAudit) {
				t.Errorf("%s, %+v: %v", word, audit, err)
			}
		}
		anyChecks := parse(t, strings.Replace(sample(t), "checks: "+checks.String(), "checks: any", 1))
		if err := anyChecks.JudgeAudit("prometheus", "hardened", audit); err != nil {
			t.Errorf("any checks, %+v: %v", audit, err)
		}
	}
}
