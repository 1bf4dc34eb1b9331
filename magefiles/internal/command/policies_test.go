package command

import (
	"os"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/policies"
	"palisade/attestations/policy"
	"palisade/magefiles/internal/audit"
	"palisade/recipes"
)

// What the policy for releases calls an audit is the one that is run today.
func TestReleasePinsChecks(t *testing.T) {
	p, err := policies.Load("release")
	if err != nil {
		t.Fatal(err)
	}
	names, err := recipes.Names(os.DirFS("../../../recipes"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d recipes, %v", len(names), err)
	}
	for _, name := range names {
		digest := audit.ChecksDigest(name)
		if err := p.JudgeAudit(name, "hardened", policy.Audit{Ran: true, Passed: true, Checks: digest}); err != nil {
			t.Errorf("release.yaml, %s: its checks are %s: %v", name, digest, err)
		}
		if err := p.JudgeAudit(name, "hardened", policy.Audit{Ran: true, Passed: true, Checks: artifact.DigestBytes(nil)}); err == nil {
			t.Errorf("release.yaml, %s: any checks will do; today they are %s", name, digest)
		}
	}
}
