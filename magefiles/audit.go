//go:build mage

package main

import (
	"context"

	"palisade/magefiles/internal/command"
)

// Audit runs built components, or the binary at path, on loopback and checks
// them against the security model, one line a check. It refuses with status 3.
func Audit(ctx context.Context, component, variant, path, out *string) error {
	return exit(command.Audit(ctx, command.AuditRequest{
		Component: value(component), Variant: value(variant), Path: value(path), Out: value(out),
	}))
}
