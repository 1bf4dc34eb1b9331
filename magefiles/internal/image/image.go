// Package image guarantees that the same artifacts give the same container
// image, byte for byte: what it writes depends on the recipe, the distribution
// and the artifacts' content alone, not on owner, umask, times, time zone, how
// many processors work on it or the Go that runs it. Every file that comes from
// an artifact has the digest that the artifact's record names, so that what is
// in the image is what is in the archive.
//
// It refuses artifacts that another recipe made, of other versions or variants
// than the image's, or for platforms that the recipe has no images for; and a
// file that has another digest than its record. It needs no container engine,
// no network and no registry.
//
// # The file
//
// An OCI image layout (image-spec v1.1, image-layout.md) in an uncompressed tar
// archive: index.json names one image index, which names one manifest for each
// platform, in the recipe's order. Beside it manifest.json says the same to
// Docker where it keeps images in its own store, and reads no such layout.
//
// # The layers
//
// Each is what package archive would make of it (order, times, format,
// compressor), but for owners and modes, which are those of this table. The
// directories above a file are root's, 0755, in each layer that has one there.
//
//	base           the certificate authorities and the licences of their list,
//	               users, the hosts file before DNS, /tmp:
//	               the same bytes for every image of a distribution
//	licences       /usr/share/licenses/NAME and the artifact's SPDX document,
//	               /usr/share/sbom/NAME.spdx.json
//	binaries       /bin, 0755
//	configuration  files, root's, 0644; volumes and the working directory, empty
//	               and of the user that it runs as, 0755, for credentials 0700.
//	               Left out where there is none of it
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/recipes"
)

// ErrSource is wrapped by every refusal of an artifact.
var ErrSource = errors.New("artifact is not what the image is made of")

// A Spec is all that an image is made of.
type Spec struct {
	Recipe       *recipes.Recipe // has an image section
	Distribution *recipes.Distribution
	Variant      string
	Sources      []Source // one for each platform, in any order
	Roots        Roots    // read from the module that Distribution names
	Temp         string   // a directory that has room for the image
	Workers      int      // platforms that are built at once; 1 if it is less
}

// A Source is an artifact of the release, and where its files are read.
type Source struct {
	Record  artifact.Record
	Licence string // the expression of all that it holds, from its SPDX document
	// Open reads a file of Record.Members or Record.Documents. What it gives is
	// held against the record. It is called by several goroutines.
	Open func(artifact.File) (io.ReadCloser, error)
}

// Build writes the image to w and returns what it is, but for its documents.
// On an error, what w has got is no image.
func Build(ctx context.Context, w io.Writer, s Spec) (artifact.Image, error) {
	b, err := s.prepare()
	if err != nil {
		return artifact.Image{}, fmt.Errorf("building an image: %w", err)
	}
	fail := func(err error) (artifact.Image, error) {
		return artifact.Image{}, fmt.Errorf("building the image of %s %s: %w", b.recipe.Name, b.image.Version, err)
	}
	dir, err := os.MkdirTemp(s.Temp, "image-*")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	b.blobs = newBlobs(dir)
	if b.base, err = b.layer(ctx, "base", s.Distribution.Roots.Released(), baseEntries(s.Roots)); err != nil {
		return fail(err)
	}
	made := make([]platformImage, len(b.sources))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(max(1, s.Workers))
	for i, source := range b.sources {
		group.Go(func() (err error) {
			if made[i], err = b.platform(inner, source); err != nil {
				err = fmt.Errorf("%s: %w", source.Record.Platform, err)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fail(err)
	}
	index, err := b.index(made)
	if err != nil {
		return fail(err)
	}
	for _, m := range made {
		b.image.Platforms = append(b.image.Platforms, m.PlatformImage)
	}
	b.image.Index = artifact.DigestBytes(index)
	ref := ocilayout.Ref(b.image.Component, b.image.Version)
	docker, err := ocilayout.DockerManifest(ref, b.image.Platforms)
	if err != nil {
		return fail(err)
	}
	if b.image.Digest, b.image.Size, err = b.blobs.write(ctx, w, b.epoch, index, docker, ref); err != nil {
		return fail(err)
	}
	return b.image, nil
}

// A builder is a Spec that was checked, and what was made of it so far.
type builder struct {
	recipe       *recipes.Recipe
	distribution *recipes.Distribution
	sources      []Source // in the recipe's order
	epoch        time.Time
	revision     string
	terms        string // of the certificates
	image        artifact.Image
	blobs        *blobs
	base         layer
}

// prepare checks s.
func (s Spec) prepare() (*builder, error) {
	r, d := s.Recipe, s.Distribution
	switch {
	case r == nil || d == nil:
		return nil, errors.New("neither recipe nor distribution may be left out")
	case r.Image == nil:
		return nil, fmt.Errorf("the recipe of %s has no image section: write one into recipes/%s/recipe.yaml", r.Name, r.Name)
	case d.Roots == nil || len(s.Roots.PEM) == 0:
		return nil, errors.New("no certificate authorities: name their module as roots in distribution.yaml")
	case len(s.Sources) == 0:
		return nil, fmt.Errorf("no artifact of %s is there: build one for linux first", r.Name)
	}
	b := &builder{recipe: r, distribution: d, sources: slices.Clone(s.Sources), epoch: r.Released.UTC().Truncate(time.Second), terms: s.Roots.Terms}
	version, platforms := r.FullVersion(d, s.Variant), r.ImagePlatforms()
	for _, source := range s.Sources {
		rec := source.Record
		refuse := func(format string, args ...any) error {
			return fmt.Errorf("%w: %s %s; build it again", ErrSource, rec.Name, fmt.Sprintf(format, args...))
		}
		switch {
		case rec.Component != r.Name || rec.Version != version || rec.Variant != s.Variant:
			return nil, refuse("is %s %s, %s, and not %s %s, %s", rec.Component, rec.Version, rec.Variant, r.Name, version, s.Variant)
		case rec.Recipe != r.Digest:
			return nil, refuse("was made by the recipe %s, which is %s now", rec.Recipe, r.Digest)
		case rec.Epoch != b.epoch.Unix() || rec.Revision != s.Sources[0].Record.Revision:
			return nil, refuse("has epoch %d and revision %s, want %d and %s", rec.Epoch, rec.Revision, b.epoch.Unix(), s.Sources[0].Record.Revision)
		case !slices.Contains(platforms, rec.Platform):
			return nil, refuse("is for %s, which images are not made for", rec.Platform)
		}
	}
	order := func(a Source) int { return slices.Index(platforms, a.Record.Platform) }
	slices.SortFunc(b.sources, func(x, y Source) int { return order(x) - order(y) })
	for i := 1; i < len(b.sources); i++ {
		if b.sources[i].Record.Platform == b.sources[i-1].Record.Platform {
			return nil, fmt.Errorf("%w: two artifacts for %s", ErrSource, b.sources[i].Record.Platform)
		}
	}
	b.revision = b.sources[0].Record.Revision
	b.image = artifact.Image{
		Name: artifact.ImageName(r.Name, version), Component: r.Name, Version: version, Variant: s.Variant,
		Epoch: b.epoch.Unix(), Roots: d.Roots.Artifact(),
	}
	return b, nil
}

// member is the file of an artifact that lies in its folder by that name.
func (s Source) member(name string) (artifact.File, error) {
	i := slices.IndexFunc(s.Record.Members, func(f artifact.File) bool {
		_, within, _ := strings.Cut(f.Name, "/")
		return within == name
	})
	if i < 0 {
		return artifact.File{}, fmt.Errorf("%w: %s holds no %s; build it again", ErrSource, s.Record.Name, name)
	}
	return s.Record.Members[i], nil
}
