package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
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
	inputs := append([]string{
		p.tool.String(), r.Digest.String(), cell.Platform.String(), cell.Variant, tool.Hash,
		fmt.Sprint(p.Config.Hermetic || sandbox.Available() == nil),
		p.plan.settings.String(), // which provenance names
	}, p.published(r)...)
	if p.workers != nil {
		inputs = append(inputs, "by "+p.workers.Name()) // which the record names
	}
	for _, path := range r.Patches {
		m, _ := r.Lock.Find(path) // Validate saw to it
		series, err := patches.Load(p.workshop.Patches, recipes.ShortName(path), m.Version)
		if err != nil {
			return store.Key{}, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		for _, patch := range series.For(cell.Variant, r.UI.Kind()).Patches {
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
	return store.NewKey("cell-3", inputs...), nil
}

// published is what texts and documents of r's artifacts repeat of
// distribution.yaml, which r's digest does not cover.
func (p *Pipeline) published(r *recipes.Recipe) []string {
	d := p.plan.Distribution
	return []string{d.Name, d.Publisher, d.Namespace, d.Licence, fmt.Sprintf("%q", r.Licences)}
}

// packed is an archive in the store.
type packed struct {
	File    artifact.File   `json:"file"`
	Members []artifact.File `json:"members"`

	licensed licensed
	files    store.Entry
	contents map[string]content // of each member, by its name
}

// A content is what becomes a member of an archive.
type content struct {
	archive.Member
	whose  spdx.Whose
	digest artifact.Digest
}

// archive packs what upstream's archive of the component holds: one folder of
// the archive's name, with binaries, licences and default configuration, the
// recipe's own where the variant is not vanilla; and the licences of all that
// is in the binaries, which demand to be passed on with them.
func (p *Pipeline) archive(ctx context.Context, l licensed) (packed, error) {
	b := l.Built
	r, platform := b.Source.Tree.Recipe(), b.Target.Platform
	name, folder, layout := gobuild.Layout(r, p.plan.Distribution, b.Target)
	write := archive.TarGz
	if platform.OS == "windows" {
		write = archive.Zip
	}
	epoch := gobuild.Epoch(b.Source)
	inputs := []string{p.tool.String(), name, epoch.String()}
	var members []archive.Member
	contents := map[string]content{}
	add := func(at gobuild.Place, file string, whose spdx.Whose, digest artifact.Digest) {
		m := archive.Member{Name: folder + "/" + at.Name, Mode: at.Mode, Content: file}
		inputs, members = append(inputs, at.Name, digest.String()), append(members, m)
		contents[m.Name] = content{m, whose, digest}
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
	texts, err := p.texts(ctx, l)
	if err != nil {
		return packed{}, fmt.Errorf("archiving %s for %s: %w", r.Name, platform, err)
	}
	for _, at := range layout {
		m := at.Member
		switch {
		case at.Binary:
			i := slices.IndexFunc(b.Binaries, func(b artifact.Binary) bool { return b.Name == at.Name })
			if i < 0 {
				return packed{}, fmt.Errorf("archiving %s for %s: %s was not compiled", r.Name, platform, at.Name)
			}
			add(at, filepath.Join(b.Files.Dir, at.Name), spdx.Compiled, b.Binaries[i].Digest)
			continue
		case m == (recipes.Member{}):
			add(at, texts, spdx.Texts, artifact.DigestBytes(l.Texts))
			continue
		}
		from, whose, place := filepath.Join(dir, filepath.FromSlash(m.From)), spdx.Upstream, "upstream's module does"
		if m.Own != "" {
			from, whose, place = filepath.Join(p.Config.Root, "recipes", r.Name, m.Own), spdx.Own, "recipe's folder does"
		}
		digest, _, err := artifact.DigestFile(from)
		if err != nil {
			return packed{}, fmt.Errorf("archiving %s: recipe.yaml names a file that the %s not have: %w", r.Name, place, err)
		}
		add(at, from, whose, digest)
	}
	pack, entry, _, err := store.Do(ctx, p.store, store.NewKey("archive-2", inputs...), func(ctx context.Context, out string) (packed, error) {
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			return packed{}, err
		}
		defer f.Close()
		listed, err := write(f, epoch, members)
		if err != nil {
			return packed{}, err
		}
		// What was packed has to be what was compiled, read back and licensed.
		for _, m := range listed {
			if m.Digest != contents[m.Name].digest {
				return packed{}, blame(ctx, fmt.Errorf("%s changed before it was packed: %w; build again", m.Name, store.ErrCorrupt), b.Files)
			}
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
	pack.licensed, pack.files, pack.contents = l, entry, contents
	if err := p.keepMembers(ctx, pack, r, folder); err != nil {
		return packed{}, fmt.Errorf("archiving %s for %s: %w", r.Name, platform, err)
	}
	return pack, nil
}

// blame is what the store says of entries of which one may have changed, for
// that names what to remove; or err, if none has.
func blame(ctx context.Context, err error, entries ...store.Entry) error {
	for _, e := range entries {
		if bad := e.Verify(ctx); bad != nil {
			return bad
		}
	}
	return err
}

// record is what the manifest says of an artifact.
func (p *Pipeline) record(ctx context.Context, a packed) (artifact.Record, error) {
	b := a.licensed.Built
	r, variant := b.Source.Tree.Recipe(), b.Target.Variant
	upstream, _ := b.Source.Tree.Upstream() // Fetch saw to it
	origin, err := p.box.GoOrigin(ctx, b.Toolchain)
	if err != nil {
		return artifact.Record{}, err
	}
	golang := b.Toolchain
	golang.Zip = &origin.Zip
	rec := artifact.Record{
		Name: a.File.Name, Size: a.File.Size, Digest: a.File.Digest,
		Component: r.Name, Version: r.FullVersion(p.plan.Distribution, variant), UpstreamVersion: r.Version,
		Platform: b.Target.Platform, Variant: variant, Recipe: r.Digest, Epoch: gobuild.Epoch(b.Source).Unix(),
		Source: upstream.Artifact(), Revision: r.StampedRevision(), UI: b.Source.UI, Embedded: a.licensed.Embedded,
		Patched: []artifact.Patched{}, Toolchains: []artifact.Tool{golang},
		Build: b.Invocation, Binaries: b.Binaries, Members: a.Members,
	}
	if commit := b.Source.Tree.Commit(); commit != nil {
		git := commit.Artifact()
		rec.Git = &git
	}
	for _, s := range b.Source.Sealed {
		rec.Patched = append(rec.Patched, s.Artifact())
	}
	tools, err := p.interfaces.tools(r)
	if err != nil {
		return artifact.Record{}, err
	}
	rec.Toolchains = append(rec.Toolchains, tools...)
	slices.SortFunc(rec.Toolchains, func(x, y artifact.Tool) int { return strings.Compare(x.Name, y.Name) })
	return rec, nil
}
