//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Reproduce builds a release again, or one artifact of it, or an image in a
// registry, from its provenance alone and in other surroundings, once it has been
// verified; compares every byte; and signs that it was rebuilt. What differs is
// explained, and status 3.
func Reproduce(ctx context.Context, path, image, policy, key, trustedRoot, repository, output, index, seen, version *string, sign *bool) error {
	req, err := command.NewReproduceRequest(path, image, policy, key, trustedRoot, repository, output, index, seen, version, sign)
	if err == nil {
		err = command.Reproduce(ctx, req)
	}
	return exit(err)
}

// REPRODUCE compares what is built here with what others build. Its Go name
// differs from the target's above, though for mage both are "reproduce".
type REPRODUCE mg.Namespace

// Upstream compares a vanilla archive in dist/ with the one that upstream released
// of the same version: members, modules, packages, Go, build settings, what is
// stamped and embedded. Each difference has its reason; one that has none is
// refused with status 3.
func (REPRODUCE) Upstream(ctx context.Context, component, path, platform, variant *string) error {
	req, err := command.NewUpstreamRequest(component, path, platform, variant)
	if err == nil {
		err = command.Upstream(ctx, req)
	}
	return exit(err)
}
