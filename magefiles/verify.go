//go:build mage

package main

import (
	"context"

	"palisade/magefiles/internal/command"
)

// Verify holds a release, or one artifact of it, or an image in a registry,
// against a policy, and refuses with status 3. The policy is a file, or one that
// ships: workstation, the default, or release. It needs no checkout, and no
// network but for an image; vsa is a file for a signed summary of what passed. index
// is the file releases.json, by which it has to be the newest release, or the one of
// that version; seen is the highest number of an index so far, and an older is refused.
func Verify(ctx context.Context, path, image, policy, key, trustedRoot, output, vsa, index, seen, version *string) error {
	req, err := command.NewVerifyRequest(path, image, policy, key, trustedRoot, output, vsa, index, seen, version)
	if err == nil {
		err = command.Verify(ctx, req)
	}
	return exit(err)
}
