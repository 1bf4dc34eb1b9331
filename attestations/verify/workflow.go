package verify

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/bundle"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

// A voucher is who signed a provenance, and the workflow that this names; nil if
// it names none.
type voucher struct {
	signed
	named *provenance.Workflow
}

// vouched makes the check of the workflows that provenances name, if there is
// one or the policy demands it.
func vouched(s *subject, p policy.Policy, needs []Check, all []voucher) {
	if !p.RequiresWorkflow() && !slices.ContainsFunc(all, func(v voucher) bool { return v.named != nil }) {
		return
	}
	s.check(Workflow, needs, func() (string, error) {
		var runs []string
		for _, v := range all {
			if v.named == nil && p.RequiresWorkflow() {
				return "", fmt.Errorf("%w: it is signed by %s", ErrNoWorkflow, v.by)
			}
			if err := v.check(); err != nil {
				return "", err
			}
			if v.named != nil && !slices.Contains(runs, v.named.Run) {
				runs = append(runs, v.named.Run)
			}
		}
		return fmt.Sprintf("run %s of %s", strings.Join(runs, ", "), all[0].by), nil
	})
}

// check holds the workflow that is named against the certificate, field by field.
// Only an identity has one, and no other than whose signature is believed.
func (v voucher) check() error {
	switch {
	case v.named == nil:
		return nil
	case v.by.KeyID != "":
		return fmt.Errorf("%w: it is signed by %s, which shows no workflow", ErrWorkflow, v.by)
	case v.workflow == bundle.Workflow{}:
		return fmt.Errorf("%w: it is signed by %s, whose certificate names no run of a workflow", ErrWorkflow, v.by)
	}
	shown := provenance.Workflow(v.workflow)
	if *v.named == shown {
		return nil
	}
	var differ []string
	said, is := reflect.ValueOf(*v.named), reflect.ValueOf(shown)
	for i := range said.NumField() {
		if a, b := said.Field(i).String(), is.Field(i).String(); a != b {
			differ = append(differ, fmt.Sprintf("%s is %.100q, and %.100q by the certificate", said.Type().Field(i).Tag.Get("json"), a, b))
		}
	}
	return fmt.Errorf("%w: %s", ErrWorkflow, strings.Join(differ, "; "))
}
