//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Patch holds patched source against what it has to do.
type Patch mg.Namespace

// Test runs upstream's own tests, and those that the patches add, of every
// package that the patches touch.
func (Patch) Test(ctx context.Context, module, component *string) error {
	return exit(command.TestPatches(ctx, value(module), selection(component, nil, nil)))
}
