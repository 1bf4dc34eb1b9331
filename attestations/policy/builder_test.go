package policy

import (
	"errors"
	"testing"
)

// Who made something that is no artifact has to be named as who makes those.
func TestJudgeBuilder(t *testing.T) {
	p := parse(t, sample(t))
	if len(p.rules.builders) == 0 {
		t.Fatal("the sample names no builder: this test looks at nothing")
	}
	for _, id := range p.rules.builders {
		if err := p.JudgeBuilder(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := p.JudgeBuilder(id + "0"); !errors.Is(err, ErrBuilder) {
			t.Errorf("%s0: %v", id, err)
		}
	}
	if err := p.JudgeBuilder(""); !errors.Is(err, ErrBuilder) {
		t.Errorf("nobody: %v", err)
	}
	if err := (Policy{}).JudgeBuilder(p.rules.builders[0]); !errors.Is(err, ErrPolicy) {
		t.Errorf("the zero policy: %v", err)
	}
}
