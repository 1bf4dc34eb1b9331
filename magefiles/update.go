//go:build mage

package main

import (
	"context"

	"palisade/magefiles/internal/command"
)

// Update tells what is newer than what the recipes pin: upstream's releases, Go's
// patch versions, with all every linked module; with check, status 3 if anything is
// behind. With component, it raises that recipe, tries its patches, locks it anew and
// shows what changes in what is built; it writes only if all of that works, or,
// with write, what there is.
func Update(ctx context.Context, component, version, output *string, check, write, all *bool) error {
	req, err := command.NewUpdateRequest(component, version, output, check, write, all)
	if err == nil {
		err = command.Update(ctx, req)
	}
	return exit(err)
}
