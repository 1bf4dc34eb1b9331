package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestJudgeVEX(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	old := func(age time.Duration, open ...string) VEXClaim { return VEXClaim{Modified: now.Add(-age), Open: open} }
	const none, any = "vulnerabilities: none-reachable", "vulnerabilities: any"
	const month, unlimited = "vulnerability-data: 720h", "vulnerability-data: unlimited"
	const there, absent = "test-result, vex]", "test-result]"
	for _, tt := range []struct {
		name                     string
		attestations, open, data string
		claim                    VEXClaim
		want                     error
	}{
		{"nothing said", there, none, month, VEXClaim{}, ErrNoVEX},
		{"nothing said, and any may be", there, any, unlimited, VEXClaim{}, ErrNoVEX},
		{"nothing said, and nothing demanded", absent, any, unlimited, VEXClaim{}, nil},
		{"nothing open", there, none, month, old(time.Hour), nil},
		{"open", there, none, month, old(time.Hour, "GO-2026-9001 in stdlib"), ErrVulnerable},
		{"open, and any may be", there, any, unlimited, old(time.Hour, "GO-2026-9001 in stdlib"), nil},
		{"open, and nothing demanded", absent, any, unlimited, old(time.Hour, "GO-2026-9001 in stdlib"), nil},
		{"as old as may be", there, none, month, old(720 * time.Hour), nil},
		{"older", there, none, month, old(720*time.Hour + time.Second), ErrOldData},
		{"of any age", there, none, unlimited, old(72000 * time.Hour), nil},
		{"old, and any may be", there, any, unlimited, old(72000 * time.Hour), nil},
		{"a little ahead", there, none, month, old(-time.Hour), nil},
		{"yet to come", there, none, month, old(-time.Hour - time.Second), ErrClock},
		{"yet to come, of any age", there, none, unlimited, old(-time.Hour - time.Second), ErrClock},
	} {
		text := strings.NewReplacer(there, tt.attestations, none, tt.open, month, tt.data).Replace(sample(t))
		if err := parse(t, text).JudgeVEX(tt.claim, now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := (Policy{}).JudgeVEX(old(time.Hour), now); !errors.Is(err, ErrPolicy) {
		t.Errorf("the zero policy: %v", err)
	}
}
