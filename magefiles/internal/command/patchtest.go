package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrPatchTests is wrapped when a test of patched source fails.
var ErrPatchTests = errors.New("tests of patched source fail")

// TestPatches runs upstream's tests of every package that the patches of the
// selected components touch, and prints a line for each package: of the
// modules that the list names, or of all.
func TestPatches(ctx context.Context, modules string, sel Selection) error {
	s, err := open(sel, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	subjects, err := s.plan.PatchedModules(modules)
	if err != nil {
		return outcome(err)
	}
	failed := 0
	for _, m := range subjects {
		report, err := s.pipeline.TestPatches(ctx, m)
		if err != nil {
			return err
		}
		if !report.Sandbox.Hermetic {
			s.console.Notef("%s: not in a sandbox: %s", m, report.Sandbox.Reason)
		}
		for _, p := range report.Packages {
			fmt.Fprintln(os.Stdout, p)
			for _, problem := range p.Problems {
				fmt.Fprintf(os.Stdout, "  %s\n", problem)
			}
			if len(p.Problems) > 0 {
				failed++
				fmt.Fprint(os.Stderr, strings.TrimRight(p.Output, "\n")+"\n")
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d packages", ErrPatchTests, failed)
	}
	return nil
}
