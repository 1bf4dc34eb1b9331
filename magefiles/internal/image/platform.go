package image

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/dist"
	"palisade/recipes"
)

// A platformImage is the image of one platform, and its place in the index.
type platformImage struct {
	artifact.PlatformImage
	licence string // of what is the artifact's
	named   v1.Descriptor
}

// platform makes the image of one platform, on the base layer.
func (b *builder) platform(ctx context.Context, s Source) (platformImage, error) {
	layers := []layer{b.base}
	for _, l := range []struct {
		name    string
		entries func(Source) ([]entry, error)
	}{{"licences", b.licences}, {"binaries", b.binaries}, {"configuration", b.configuration}} {
		entries, err := l.entries(s)
		if err != nil {
			return platformImage{}, fmt.Errorf("layer %s: %w", l.name, err)
		}
		if len(entries) == 0 {
			continue
		}
		made, err := b.layer(ctx, l.name, b.epoch, entries)
		if err != nil {
			return platformImage{}, err
		}
		layers = append(layers, made)
	}
	return b.manifest(s, layers)
}

// licences are the texts that have to be passed on, and the artifact's SPDX
// document, which says what they are of.
func (b *builder) licences(s Source) ([]entry, error) {
	var all []entry
	for _, name := range append(slices.Clone(b.recipe.Image.Licences), recipes.TextsName) {
		f, err := s.member(name)
		if err != nil {
			return nil, err
		}
		all = append(all, s.file("usr/share/licenses/"+b.recipe.Name+"/"+name, 0o644, f))
	}
	document := dist.Document(s.Record, "")
	i := slices.IndexFunc(s.Record.Documents, func(f artifact.File) bool { return f.Name == document })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s has no document %s; build it again", ErrSource, s.Record.Name, document)
	}
	return append(all, s.file("usr/share/sbom/"+b.recipe.Name+".spdx.json", 0o644, s.Record.Documents[i])), nil
}

func (b *builder) binaries(s Source) ([]entry, error) {
	var all []entry
	for _, binary := range b.recipe.Binaries {
		f, err := s.member(binary.Name)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(s.Record.Binaries, func(r artifact.Binary) bool { return r.Name == binary.Name })
		if i < 0 || s.Record.Binaries[i].Digest != f.Digest {
			return nil, fmt.Errorf("%w: %s holds another %s than its record describes; build it again", ErrSource, s.Record.Name, binary.Name)
		}
		all = append(all, s.file("bin/"+binary.Name, 0o755, f))
	}
	return all, nil
}

// configuration is what may differ from one user to the next: files that he
// replaces, folders that he mounts something at.
func (b *builder) configuration(s Source) ([]entry, error) {
	var all []entry
	for _, f := range b.recipe.ImageFiles(s.Record.Platform, s.Record.Variant) {
		name := strings.TrimPrefix(f.As, "/")
		if f.Own != "" {
			content, err := fs.ReadFile(b.recipe.Dir, f.Own)
			if err != nil {
				return nil, err
			}
			all = append(all, text(name, content))
			continue
		}
		member, err := s.member(f.Member)
		if err != nil {
			return nil, err
		}
		all = append(all, s.file(name, 0o644, member))
	}
	dirs := b.recipe.ImageVolumes(s.Record.Variant)
	if w := b.recipe.Image.Workdir; w != "" && !slices.Contains(dirs, w) {
		dirs = append(dirs, w)
	}
	for _, dir := range dirs {
		mode := int64(0o755)
		if dir == recipes.CredentialsDir {
			mode = 0o700
		}
		all = append(all, folder(strings.TrimPrefix(dir, "/"), mode, recipes.User))
	}
	return all, nil
}

// forges are where the path of a module is the address of its repository.
var forges = []string{"github.com", "gitlab.com", "codeberg.org"}

// home is where upstream's source is.
func home(r *recipes.Recipe) string {
	if parts := strings.Split(r.Module, "/"); slices.Contains(forges, parts[0]) && len(parts) >= 3 {
		return "https://" + path.Join(parts[:3]...)
	}
	return r.Homepage
}

// licence is one expression for all of these, and for the certificates, which
// every image holds.
func (b *builder) licence(all ...string) string {
	short := b.distribution.Licence + " AND LicenseRef-" + strings.ReplaceAll(recipes.TextsName, "_", "-")
	if b.terms != "" {
		all, short = append(all, b.terms), "("+b.terms+") AND "+short
	}
	all = slices.Compact(slices.Sorted(slices.Values(all)))
	whole := strings.Join(all, " AND ")
	if len(all) > 1 {
		whole = "(" + strings.Join(all, ") AND (") + ")"
	}
	if slices.Contains(all, "") || len(whole) > recipes.MaxExpression {
		return short
	}
	return whole
}
