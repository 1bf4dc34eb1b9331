package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/imagediff"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/sign"
)

// Image makes an image of each selected component and variant, having built
// what was not there yet as Build does, signs it if it is told to, and prints a
// table of what it made.
func Image(ctx context.Context, sel Selection, hermetic, signed bool) error {
	var hand sign.Hand
	s, err := openPlan(sel, hermetic, pipeline.NewImagePlan, func(cfg *config.Config) (err error) {
		if signed {
			hand, err = handForBuild(ctx, cfg)
		}
		return err
	})
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	for _, why := range s.plan.LeftOut {
		s.console.Notef("left out: %s", why)
	}
	begun := time.Now()
	records, images, err := s.images(ctx)
	s.console.Close()
	if err != nil {
		return outcome(err)
	}
	s.admit(records)
	if err := s.sign(ctx, hand, signed); err != nil {
		return outcome(err)
	}
	s.console.Notef("%d images in %s, %s", len(images), s.config.Dist, time.Since(begun).Round(time.Millisecond))
	var rows [][]string
	for _, i := range images {
		var platforms []string
		for _, p := range i.Platforms {
			platforms = append(platforms, p.Platform.String())
		}
		rows = append(rows, []string{i.Name, fmt.Sprintf("%.1f MiB", float64(i.Size)/(1<<20)), i.Index.String(), strings.Join(platforms, ",")})
	}
	return s.console.Table([]string{"IMAGE", "SIZE", "INDEX", "PLATFORMS"}, rows)
}

// images builds what the plan holds, and makes images of it.
func (s *session) images(ctx context.Context) ([]artifact.Record, []artifact.Image, error) {
	records, err := s.pipeline.Run(ctx)
	if err != nil {
		return nil, nil, err
	}
	images, err := s.pipeline.Images(ctx, records)
	return records, images, err
}

// sign signs what is in dist/ and is new, if it is to be signed, and says so.
func (s *session) sign(ctx context.Context, hand sign.Hand, signed bool) error {
	if !signed {
		s.console.Notef("what is new is not signed: run mage sign")
		return nil
	}
	result, err := signDist(ctx, s.config, hand, true)
	if err == nil {
		s.console.Notef("%s", tally(result))
	}
	return err
}

// DiffImage prints what changed from one image to another, a line for each
// change or, as format "markdown", a page. Each is the file of an image, or a
// reference to one in a registry. That something changed is no error.
func DiffImage(ctx context.Context, from, to, format string) error {
	if err := oneOf("format", format, "text", "markdown"); err != nil {
		return outcome(err)
	}
	for _, name := range []string{from, to} {
		if name == "" || strings.HasPrefix(name, "-") {
			return outcome(fmt.Errorf("%w: %q is neither a file nor a reference; mage image:diff OLD NEW, options behind them", config.ErrUsage, name))
		}
	}
	a, err := readImage(ctx, from)
	if err != nil {
		return outcome(err)
	}
	b, err := readImage(ctx, to)
	if err != nil {
		return outcome(err)
	}
	changes, err := imagediff.Diff(a, b)
	if err != nil {
		return err
	}
	return printChanges(format, from, to, changes, imagediff.Markdown)
}

// readImage reads the image at name: a file if there is one, else what a
// registry has under that reference.
func readImage(ctx context.Context, name string) (imagediff.Image, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		documents := imagediff.Documents{}
		index, err := readLayout(ctx, name, info.Size(), documents.Visitor())
		return imagediff.Image{Index: index, Documents: documents}, err
	case err == nil:
		return imagediff.Image{}, fmt.Errorf("%w: %s is not a regular file", config.ErrUsage, name)
	case !errors.Is(err, fs.ErrNotExist):
		return imagediff.Image{}, fmt.Errorf("reading an image: %w", err)
	case strings.HasSuffix(name, artifact.ImageSuffix) || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "."):
		return imagediff.Image{}, fmt.Errorf("reading an image: %w", err)
	}
	source, err := openImage(ctx, name)
	if err != nil {
		return imagediff.Image{}, fmt.Errorf("there is no file %s: %w", name, err)
	}
	digest, err := source.Resolve(ctx)
	if err != nil {
		return imagediff.Image{}, err
	}
	return readIn(ctx, source, digest, name)
}

// readIn reads the image of that digest in a registry. name is what it is called,
// for people.
func readIn(ctx context.Context, source ocilayout.Source, digest artifact.Digest, name string) (imagediff.Image, error) {
	documents := imagediff.Documents{}
	index, err := ocilayout.Read(ctx, ocilayout.Descriptor{MediaType: ocilayout.IndexType, Digest: digest, Size: -1}, source, documents.Visitor())
	if err != nil {
		return imagediff.Image{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return imagediff.Image{Index: index, Documents: documents}, nil
}

func readLayout(ctx context.Context, name string, size int64, v ocilayout.Visitor) (*ocilayout.Index, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading an image: %w", err)
	}
	defer f.Close()
	l, err := ocilayout.Open(ctx, f, size, v)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &l.Index, nil
}

// openImage finds an image in a registry, with this user's credentials.
func openImage(ctx context.Context, reference string) (*registry.Image, error) {
	i, err := registry.Open(ctx, reference, registry.Options{Keychain: credentials})
	if errors.Is(err, registry.ErrReference) {
		err = fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	return i, err
}
