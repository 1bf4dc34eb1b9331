//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"

	"palisade/magefiles/internal/command"
)

// Image makes container images in dist/, having built what was not there yet,
// and signs them. Of each component it is one for all platforms of linux that
// are there, or for those that are named.
func Image(ctx context.Context, component, platform, variant *string, hermetic, sign *bool) error {
	return exit(command.Image(ctx, selection(component, platform, variant), value(hermetic), sign == nil || *sign))
}

// IMAGE compares images. Its Go name differs from the target's above, though
// for mage both are "image".
type IMAGE mg.Namespace

// Diff says in words what changed from one image to another: by layer, file and
// package. Each is a file, or a reference to an image in a registry.
func (IMAGE) Diff(ctx context.Context, old, new string, format *string) error {
	return exit(command.DiffImage(ctx, old, new, value(format)))
}

// Publish puts the images of dist/ into a registry, with their signatures and
// attestations. It builds and signs nothing.
func Publish(ctx context.Context, registry, component, variant, policy, key, trustedRoot *string, overwrite *bool) error {
	req, err := command.NewPublishRequest(registry, component, variant, policy, key, trustedRoot)
	if err != nil {
		return exit(err)
	}
	req.Overwrite = value(overwrite)
	return exit(command.Publish(ctx, req))
}

// PUBLISH adds to what lies in a registry. Its Go name differs from the target's
// above, though for mage both are "publish".
type PUBLISH mg.Namespace

// Rebuild attaches to an image in a registry what those attest who built it again
// with reproduce, out of the folder at path. It changes nothing that is there.
func (PUBLISH) Rebuild(ctx context.Context, image, path, policy, key, trustedRoot *string) error {
	req, err := command.NewRebuildsRequest(image, path, policy, key, trustedRoot)
	if err == nil {
		err = command.PublishRebuilds(ctx, req)
	}
	return exit(err)
}
