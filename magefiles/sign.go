//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Sign signs what is in dist/ and is not signed yet: archives, images,
// documents, provenance, test results and the index. It builds and runs nothing.
func Sign(ctx context.Context) error {
	return exit(command.Sign(ctx))
}

// Keys holds what signs.
type Keys mg.Namespace

// Generate makes a key pair for this user, in cosign's format, with a password
// from a prompt or COSIGN_PASSWORD.
func (Keys) Generate(ctx context.Context) error {
	return exit(command.GenerateKey(ctx))
}
