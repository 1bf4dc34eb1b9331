package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/lint"
)

// ErrLint says that a configuration should not go into service as it is.
var ErrLint = errors.New("configuration refused")

// Lint prints what weakens the security model in each of the files, separated
// by commas, and in what they include. A file that cannot be judged is status
// 1, whatever was found in others.
func Lint(files, kind string) error {
	names := strings.FieldsFunc(files, func(r rune) bool { return r == ',' })
	if len(names) == 0 {
		return outcome(fmt.Errorf("%w: name what to lint: mage lint -file=prometheus.yml[,alertmanager.yml…]", config.ErrUsage))
	}
	known := kind == ""
	for _, k := range lint.Kinds {
		known = known || string(k) == kind
	}
	if !known {
		return outcome(fmt.Errorf("%w: kind %q; there are: %v", config.ErrUsage, kind, lint.Kinds))
	}
	report, err := lint.Files(names, lint.Kind(kind))
	for _, f := range report.Findings {
		fmt.Fprintln(os.Stdout, f)
	}
	fmt.Fprintln(os.Stdout, report.Summary())
	if err != nil {
		return fmt.Errorf("linting: %w", err)
	}
	if report.Errors > 0 {
		return failure{fmt.Errorf("%w: %s", ErrLint, report.Summary()), statusRefused}
	}
	return nil
}
