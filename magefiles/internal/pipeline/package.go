package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/archive"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/store"
	"palisade/patches"
	"palisade/recipes"
)

// key is the digest of everything that decides what a cell becomes, found
// without doing any of it.
func (p *Pipeline) key(cell Cell) (store.Key, error) {
	r := cell.Recipe
	tool, err := p.box.PinnedGo(r.Lock.Go)
	if err != nil {
		return store.Key{}, err
	}
	inputs := []string{
		p.tool.String(), p.plan.Distribution.Name, r.Digest.String(), cell.Platform.String(), cell.Variant, tool.Hash,
		fmt.Sprint(p.Config.Hermetic || sandbox.Available() == nil),
	}
	for _, path := range r.Patches {
		m, _ := r.Lock.Find(path) // Validate saw to it
		series, err := patches.Load(p.workshop.Patches, recipes.ShortName(path), m.Version)
		if err != nil {
			return store.Key{}, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		for _, patch := range series.For(cell.Variant).Patches {
			inputs = append(inputs, patch.Name, patch.Digest.String())
		}
	}
	if r.UI != nil {
		ui, err := p.interfaces.Inputs(r)
		if err != nil {
			return store.Key{}, err
		}
		inputs = append(inputs, ui...)
	}
	return store.NewKey("cell-1", inputs...), nil
}

// packed is an archive in the store.
type packed struct {
	File    artifact.File   `json:"file"`
	Members []artifact.File `json:"members"`
	files   store.Entry
}

// archive packs what upstream's archive of the component holds: one folder of
// the archive's name, with binaries, licences and default configuration, the
// recipe's own where the variant is not vanilla.
func (p *Pipeline) archive(ctx context.Context, b gobuild.Built) (packed, error) {
	r, platform := b.Source.Tree.Recipe(), b.Target.Platform
	folder := fmt.Sprintf("%s-%s.%s", r.Name, r.FullVersion(p.plan.Distribution, b.Target.Variant), platform.Slug())
	write, name := archive.TarGz, folder+".tar.gz"
	if platform.OS == "windows" {
		write, name = archive.Zip, folder+".zip"
	}
	epoch := gobuild.Epoch(b.Source)
	inputs := []string{p.tool.String(), name, epoch.String()}
	var members []archive.Member
	for _, binary := range b.Binaries {
		inputs = append(inputs, binary.Name, binary.Digest.String())
		members = append(members, archive.Member{Name: folder + "/" + binary.Name, Mode: 0o755, Content: filepath.Join(b.Files.Dir, binary.Name)})
	}
	upstream, err := b.Source.Tree.Upstream()
	if err != nil {
		return packed{}, err
	}
	dir := upstream.Dir
	for _, s := range b.Source.Sealed {
		if s.From.Path == r.Module {
			dir = s.To.Dir
		}
	}
	for _, m := range r.Members(platform, b.Target.Variant) {
		from, whose := filepath.Join(dir, filepath.FromSlash(m.From)), "upstream's module does"
		if m.Own != "" {
			from, whose = filepath.Join(p.Config.Root, "recipes", r.Name, m.Own), "recipe's folder does"
		}
		digest, _, err := artifact.DigestFile(from)
		if err != nil {
			return packed{}, fmt.Errorf("archiving %s: recipe.yaml names a file that the %s not have: %w", r.Name, whose, err)
		}
		inputs = append(inputs, m.As, digest.String())
		members = append(members, archive.Member{Name: folder + "/" + m.As, Mode: 0o644, Content: from})
	}
	pack, entry, _, err := store.Do(ctx, p.store, store.NewKey("archive-1", inputs...), func(ctx context.Context, out string) (packed, error) {
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			return packed{}, err
		}
		defer f.Close()
		listed, err := write(f, epoch, members)
		if err != nil {
			return packed{}, err
		}
		// What was packed has to be what was compiled and read back.
		if err := sameBinaries(b.Binaries, listed, folder); err != nil {
			return packed{}, err
		}
		if err := f.Close(); err != nil {
			return packed{}, err
		}
		digest, size, err := artifact.DigestFile(f.Name())
		return packed{File: artifact.File{Name: name, Size: size, Digest: digest}, Members: listed}, err
	})
	if err != nil {
		return packed{}, fmt.Errorf("archiving %s for %s: %w", r.Name, platform, err)
	}
	pack.files = entry
	return pack, nil
}

func sameBinaries(binaries []artifact.Binary, members []artifact.File, folder string) error {
	for _, b := range binaries {
		i := slices.IndexFunc(members, func(m artifact.File) bool { return m.Name == folder+"/"+b.Name })
		if i < 0 || members[i].Digest != b.Digest {
			return fmt.Errorf("binary %s changed in the store after it was compiled: %w", b.Name, store.ErrCorrupt)
		}
	}
	return nil
}

// record is what the manifest says of an artifact.
func (p *Pipeline) record(cell Cell, b gobuild.Built, a packed) artifact.Record {
	r := cell.Recipe
	upstream, _ := b.Source.Tree.Upstream() // Fetch saw to it
	rec := artifact.Record{
		Name: a.File.Name, Size: a.File.Size, Digest: a.File.Digest,
		Component: r.Name, Version: r.FullVersion(p.plan.Distribution, cell.Variant), UpstreamVersion: r.Version,
		Platform: cell.Platform, Variant: cell.Variant, Recipe: r.Digest, Epoch: gobuild.Epoch(b.Source).Unix(),
		Source: upstream.Artifact(), Revision: r.StampedRevision(), UI: b.Source.UI,
		Patched: []artifact.Patched{}, Toolchains: []artifact.Tool{b.Toolchain},
		Build: b.Invocation, Binaries: b.Binaries, Members: a.Members,
	}
	for _, s := range b.Source.Sealed {
		rec.Patched = append(rec.Patched, s.Artifact())
	}
	if r.UI != nil && r.UI.Pnpm != nil {
		node, pnpm, _ := p.interfaces.tools(r.UI.Pnpm) // key resolved both
		rec.Toolchains = append(rec.Toolchains, node, pnpm)
	}
	slices.SortFunc(rec.Toolchains, func(x, y artifact.Tool) int { return strings.Compare(x.Name, y.Name) })
	return rec
}
