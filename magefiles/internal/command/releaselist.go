package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"palisade/attestations/releases"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/sign"
)

// list writes the index of releases that lists this one, and signs it. Everything
// else is signed by then. The digest of what was built is among what it lists.
func (r *signatory) list(ctx context.Context, work *os.Root, hand sign.Hand) (releases.Index, sign.Result, error) {
	fail := func(err error) (releases.Index, sign.Result, error) {
		return releases.Index{}, sign.Result{}, fmt.Errorf("listing the release: %w", err)
	}
	if err := r.sweep(work); err != nil {
		return fail(err)
	}
	root, err := work.OpenRoot(handedDist)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	listing, err := consume.Describe(ctx, root)
	if err != nil {
		return fail(err)
	}
	form, err := listing.Form()
	if err != nil {
		return fail(err)
	}
	entry := releases.Release{
		Version: r.plan.Release, Tag: "v" + r.plan.Release, Commit: r.plan.Commit,
		Files: form.Release.Digest, Images: releases.ImagesOf(r.manifest),
	}
	for _, f := range slices.Concat(listing.Release, listing.Said) {
		switch f.Name {
		case dist.Index:
			entry.Manifest = f.Digest
		case releases.NotesName:
			entry.Notes = f.Digest
		}
	}
	l := sign.Listing{Distribution: r.manifest.Distribution, Previous: r.previous, Release: entry, Issued: time.Now(), Life: r.life}
	if r.previous != nil {
		l.Digest = r.plan.Previous.Digest
	}
	return sign.Releases(ctx, filepath.Join(work.Name(), handedBeside), hand, l)
}
