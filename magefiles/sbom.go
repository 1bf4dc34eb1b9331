//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// SBOM shows what is in each artifact, out of its SPDX document: modules,
// licences, patches and toolchains; or what is in the document at path,
// whoever made it.
func SBOM(ctx context.Context, component, platform, variant, format, path *string) error {
	return exit(command.SBOM(ctx, command.SBOMRequest{
		Selection: selection(component, platform, variant), Format: value(format), Path: value(path),
	}))
}

// Sbom compares documents. Its Go name differs from the target's above,
// though for mage both are "sbom".
type Sbom mg.Namespace

// Diff says in words what changed from one SPDX document to another.
func (Sbom) Diff(old, new string, format *string) error {
	return exit(command.DiffSBOM(old, new, value(format)))
}
