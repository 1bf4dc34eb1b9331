//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Check holds results against what is promised of them.
type Check mg.Namespace

// Reproducible builds twice, in surroundings as different as this machine
// allows, from cold caches, and compares every artifact byte by byte.
func (Check) Reproducible(ctx context.Context, component, platform, variant *string) error {
	return exit(command.Reproducible(ctx, selection(component, platform, variant)))
}
