package publish

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/dist"
)

// A Release is a signed one on disk, of which every file is known. What is sent of
// it is held against that.
type Release struct {
	Manifest *artifact.Manifest
	Listing  consume.Listing
	Form     consume.Form // in a registry

	root *os.Root
}

// OpenRelease reads what is published of the release in dir. It refuses one that
// is not signed by who is trusted (ErrUnsigned), that lacks something, or in which
// something lies that is of no release (ErrMismatch): whatever was put there would
// be published.
func OpenRelease(ctx context.Context, o Options, dir string) (*Release, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("publishing what is in %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("publishing what is in %s: %w", dir, err)
	}
	r := &Release{root: root}
	if err := r.read(ctx, o); err != nil {
		root.Close()
		return nil, fmt.Errorf("publishing what is in %s: %w", dir, err)
	}
	return r, nil
}

// Close gives the folder back.
func (r *Release) Close() error { return r.root.Close() }

func (r *Release) read(ctx context.Context, o Options) (err error) {
	if r.Manifest, err = signedIndex(o, r.root); err != nil {
		return fmt.Errorf("%s: %w", dist.Index, err)
	}
	if r.Listing, err = consume.Describe(ctx, r.root); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if err := r.known(); err != nil {
		return err
	}
	r.Form, err = r.Listing.Form()
	return err
}

// known refuses what is said of nothing in the release.
func (r *Release) known() error {
	names := map[string]bool{dist.Bundle(dist.Index): true, dist.PublicKey: true, dist.TrustedRoot: true, releases.NotesName: true, dist.Bundle(releases.NotesName): true}
	var folders []string
	says := func(of string, documents ...string) {
		names[dist.Bundle(of)] = true
		for _, name := range documents {
			names[name], names[dist.Bundle(name)] = true, true
		}
		folders = append(folders, dist.Rebuilds(of)+"/")
	}
	for _, a := range r.Manifest.Artifacts {
		says(a.Name, dist.Document(a, ""), dist.Provenance(a), dist.TestResult(a), dist.VEX(a))
	}
	for _, i := range r.Manifest.Images {
		says(i.Name, dist.ImageDocument(i), dist.ImageProvenance(i))
		folders = append(folders, i.BundlesDir()+"/")
	}
	for _, f := range r.Listing.Said {
		if !names[f.Name] && !slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(f.Name, folder) }) {
			return mismatch("%q is of no release", f.Name)
		}
	}
	return nil
}
