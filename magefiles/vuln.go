//go:build mage

package main

import (
	"context"

	"palisade/magefiles/internal/command"
)

// Vuln tells which known vulnerabilities are in what was built, or in the release
// at path, and how far each reaches: linked, imported, or reachable, which says that
// its function is in the binary. The recipe's triage.yaml answers them; what it does
// not answer is refused with status 3. With vex it is written for mage sign.
func Vuln(ctx context.Context, component, platform, variant, path, db, output *string, vex *bool) error {
	req, err := command.NewVulnRequest(component, platform, variant, path, db, output, vex)
	if err == nil {
		err = command.Vuln(ctx, req)
	}
	return exit(err)
}
