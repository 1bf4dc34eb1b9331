package dist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// An ImageItem is an image to publish. The entries are not looked at if the
// directory already holds the image's files, but for the list of Provenance.
type ImageItem struct {
	Image      artifact.Image
	Artifacts  []artifact.Record // that it was made of
	Layout     store.Entry       // holds the file Image.Name
	Documents  store.Entry       // holds the file called ImageDocument(Image)
	Provenance store.Entry       // holds the file called ImageProvenance(Image)
}

// Manifest is what the directory holds: release.json, without what it names
// and is not there.
func (d *Dir) Manifest() (*artifact.Manifest, error) {
	m, before, err := d.index()
	if err == nil {
		dropStale(m, before)
	}
	return m, err
}

// HoldsImage is Holds for an image.
func (d *Dir) HoldsImage(i artifact.Image, provenance artifact.Digest) bool {
	if !d.memo.same(filepath.Join(d.dir, i.Name), i.Digest) {
		return false
	}
	for _, f := range i.Documents {
		if !d.memo.same(filepath.Join(d.dir, f.Name), f.Digest) {
			return false
		}
	}
	beside := filepath.Join(d.dir, ImageProvenance(i))
	if provenance.IsZero() {
		info, err := os.Lstat(beside)
		return err == nil && info.Mode().IsRegular()
	}
	return d.memo.same(beside, provenance)
}

// PublishImages puts images in place that are made of artifacts that are there
// already, and brings the index up to date. An image takes the place of the one
// that its component had in its variant.
func (d *Dir) PublishImages(ctx context.Context, items []ImageItem) error {
	unlock, err := Lock(ctx, d.store, d.dir)
	if err != nil {
		return err
	}
	defer unlock()
	index, before, err := d.index()
	if err != nil {
		return err
	}
	dropStale(index, before)
	for _, item := range items {
		index.Images = slices.DeleteFunc(index.Images, func(o artifact.Image) bool {
			return o.Component == item.Image.Component && o.Variant == item.Image.Variant
		})
		index.Images = append(index.Images, item.Image)
	}
	index.Sort()
	if _, err := index.Encode(); err != nil {
		return fmt.Errorf("publishing images to %s: %w", d.dir, err)
	}
	for _, item := range items {
		if err := item.current(index); err != nil {
			return fmt.Errorf("publishing %s: %w", item.Image.Name, err)
		}
	}
	g, inGroup := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0)) // each is read twice
	for _, item := range items {
		g.Go(func() error {
			err := inGroup.Err()
			if err == nil {
				err = d.publishImage(item)
			}
			if err != nil {
				return fmt.Errorf("publishing %s: %w", item.Image.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return d.settle(index)
}

// current refuses an image that was made of other artifacts than m names.
func (item ImageItem) current(m *artifact.Manifest) error {
	for _, p := range item.Image.Platforms {
		now, _ := find(m.Artifacts, p.Artifact)
		was, known := find(item.Artifacts, p.Artifact)
		if !known || replaced(was, now) {
			return fmt.Errorf("%s is no longer the one that it was made of, another run replaced it meanwhile: make the image again", p.Artifact)
		}
	}
	return nil
}

func (d *Dir) publishImage(item ImageItem) error {
	f, ok := item.Provenance.File(ImageProvenance(item.Image))
	if !ok {
		return errors.New("it has no provenance")
	}
	if d.HoldsImage(item.Image, f.Digest) {
		return nil
	}
	if err := d.putImage(item, f.Digest); err != nil {
		return err
	}
	// Read back, and so remembered: the next run need not read it.
	if !d.HoldsImage(item.Image, f.Digest) {
		return fmt.Errorf("%s does not hold what was written to it; make it again", d.dir)
	}
	return nil
}

func (d *Dir) putImage(item ImageItem, provenance artifact.Digest) error {
	i := item.Image
	if item.Layout.Dir == "" {
		return errors.New("another run changed its files meanwhile; make it again")
	}
	if err := d.retractImage(i, provenance); err != nil {
		return err
	}
	if err := item.Layout.CopyTo(i.Name, filepath.Join(d.dir, i.Name), 0o644); err != nil {
		return err
	}
	for _, f := range i.Documents {
		if err := item.Documents.CopyTo(f.Name, filepath.Join(d.dir, f.Name), 0o644); err != nil {
			return err
		}
	}
	return item.Provenance.CopyTo(ImageProvenance(i), filepath.Join(d.dir, ImageProvenance(i)), 0o644)
}

// retractImage removes what was said of files that are about to be replaced.
func (d *Dir) retractImage(i artifact.Image, provenance artifact.Digest) error {
	if !d.memo.same(filepath.Join(d.dir, i.Name), i.Digest) {
		if err := errors.Join(d.remove(Bundle(i.Name)), d.removeBundles(i.BundlesDir()), d.removeBundles(Rebuilds(i.Name))); err != nil {
			return err
		}
	}
	if !d.memo.same(filepath.Join(d.dir, ImageProvenance(i)), provenance) {
		if err := errors.Join(d.remove(Bundle(ImageProvenance(i))), d.removeCarried(i, CarriedProvenance), d.removeBundles(Rebuilds(i.Name))); err != nil {
			return err
		}
	}
	for _, f := range i.Documents {
		if !d.memo.same(filepath.Join(d.dir, f.Name), f.Digest) {
			if err := errors.Join(d.remove(Bundle(f.Name)), d.removeCarried(i, CarriedDocument)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCarried removes the bundles of one kind, of the index and of every
// platform.
func (d *Dir) removeCarried(i artifact.Image, what Carried) error {
	of := []artifact.Digest{i.Index}
	for _, p := range i.Platforms {
		of = append(of, p.Manifest)
	}
	for _, digest := range of {
		if err := d.remove(ImageBundle(i, digest, what)); err != nil {
			return err
		}
	}
	return nil
}

// removeBundles removes a whole folder of them. What the folder leads to by a
// link is not touched.
func (d *Dir) removeBundles(name string) error { return os.RemoveAll(filepath.Join(d.dir, name)) }

// dropStale takes an image out of the index whose artifacts are no longer those
// that it was made of: they are gone, or others are there under their names.
// The index was right before.
func dropStale(m *artifact.Manifest, before []artifact.Record) {
	m.Images = slices.DeleteFunc(m.Images, func(i artifact.Image) bool {
		return slices.ContainsFunc(i.Platforms, func(p artifact.PlatformImage) bool {
			now, there := find(m.Artifacts, p.Artifact)
			was, known := find(before, p.Artifact)
			return !there || known && replaced(was, now)
		})
	})
}

func find(list []artifact.Record, name string) (artifact.Record, bool) {
	n := slices.IndexFunc(list, func(r artifact.Record) bool { return r.Name == name })
	if n < 0 {
		return artifact.Record{}, false
	}
	return list[n], true
}

// replaced reports whether an image of the one artifact is none of the other.
func replaced(was, now artifact.Record) bool {
	return was.Digest != now.Digest || !slices.Equal(was.Documents, now.Documents)
}
