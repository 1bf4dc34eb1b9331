package stories

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
)

// wholeImage reads an image of the release, to the last file of the last layer,
// with what lies beside it.
func wholeImage(dir string, i artifact.Image, records []artifact.Record) error {
	for _, f := range append([]artifact.File{{Name: i.Name, Digest: i.Digest}}, i.Documents...) {
		if digest, _, err := artifact.DigestFile(filepath.Join(dir, f.Name)); err != nil || digest != f.Digest {
			return fmt.Errorf("release.json names %s, which is %v, %v", f.Name, digest, err)
		}
	}
	f, err := os.Open(filepath.Join(dir, i.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	layout, err := ocilayout.Open(context.Background(), f, i.Size, ocilayout.Visitor{})
	if err != nil {
		return fmt.Errorf("%s: %w", i.Name, err)
	}
	if layout.Digest != i.Index || layout.Ref != ocilayout.Ref(i.Component, i.Version) || len(layout.Images) != len(i.Platforms) {
		return fmt.Errorf("%s is not the image of release.json", i.Name)
	}
	data, err := os.ReadFile(filepath.Join(dir, dist.ImageProvenance(i)))
	if err != nil {
		return err
	}
	s, err := intoto.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", i.Name, err)
	}
	p, err := provenance.ParseImage(s)
	if err == nil {
		err = p.Check(i, records)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", i.Name, err)
	}
	return nil
}

// factsOf is what release.json says of an image.
func factsOf(i artifact.Image) []string {
	var lines []string
	fact := func(format string, more ...any) { lines = append(lines, i.Name+" "+fmt.Sprintf(format, more...)) }
	fact("component %s version %s variant %s", i.Component, i.Version, i.Variant)
	fact("digest %s size %d epoch %d index %s", i.Digest, i.Size, i.Epoch, i.Index)
	fact("roots %s@%s %s", i.Roots.Path, i.Roots.Version, i.Roots.Sum)
	for _, p := range i.Platforms {
		fact("platform %s manifest %s of %s", p.Platform, p.Manifest, p.Artifact)
		for _, l := range p.Layers {
			fact("layer %s of %s %s", l.Name, p.Platform, l.Digest)
			for _, m := range l.Members {
				fact("file %s %s of %s", m.Mode, m.Name, p.Platform)
			}
		}
	}
	for _, d := range i.Documents {
		fact("document %s %s", d.Name, d.Digest)
	}
	return lines
}
