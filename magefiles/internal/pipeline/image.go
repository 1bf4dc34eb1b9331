package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/image"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/store"
)

// ImageStages is what happens to each image, in this order, once the artifacts
// that it is made of are in dist/.
var ImageStages = []struct{ Name, Does string }{
	{"fetching", "the module of the certificate authorities, against the checksum database and its pin"},
	{"layering", "the files of the artifacts, each against its record, into layers, manifests and an index"},
	{"describing", "an SPDX document, which refers to those of the artifacts"},
	{"attesting", "the provenance: which artifacts and authorities went in, and who made it"},
	{"publishing", "into dist/, with SHA256SUMS and release.json last"},
}

// Images makes images of those records that Run returned that are for linux
// and whose recipe has an image, and publishes them: one for each component and
// variant, in the plan's order.
func (p *Pipeline) Images(ctx context.Context, records []artifact.Record) ([]artifact.Image, error) {
	editions, err := p.plan.editions(records)
	if err != nil || len(editions) == 0 {
		return nil, err
	}
	open := dist.Open
	if p.plan.Collected {
		open = dist.OpenCollected
	}
	target, err := open(p.Config.Dist, p.plan.Distribution.Name, p.store)
	if err != nil {
		return nil, err
	}
	results := make([]dist.ImageItem, len(editions))
	g, inGroup := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.Config.CPUs))
	for _, i := range largestFirst(editions) {
		g.Go(func() (err error) {
			results[i], err = p.image(inGroup, editions[i], target)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := target.PublishImages(ctx, results); err != nil {
		return nil, err
	}
	images := make([]artifact.Image, len(results))
	for i, r := range results {
		images[i] = r.Image
	}
	return images, nil
}

// image takes one image through the stages, or finds that there is nothing to
// do.
func (p *Pipeline) image(ctx context.Context, e edition, target *dist.Dir) (item dist.ImageItem, err error) {
	line := p.Console.Cell(e.String())
	defer func() { line.Done(err) }()
	key := p.imageKey(e)
	if made, kept, ok, err := store.Peek[artifact.Image](p.store, key); err == nil && ok {
		if f, ok := kept.File(dist.ImageProvenance(made)); ok && target.HoldsImage(made, f.Digest) {
			line.Cached()
			return dist.ImageItem{Image: made, Artifacts: e.records, Provenance: kept}, nil
		}
	}
	begun := time.Now()
	seen, err := p.witness.look(ctx)
	if err != nil {
		return dist.ImageItem{}, err
	}
	clock := &stopwatch{show: line.Stage}
	// Of two runs at once the first one's image stays, with what it said of itself.
	made, entry, _, err := store.Do(ctx, p.store, key, func(ctx context.Context, out string) (artifact.Image, error) {
		clock.begin("fetching")
		trusted, err := p.authorities.look(ctx)
		if err != nil {
			return artifact.Image{}, err
		}
		clock.begin("layering")
		made, origins, err := p.layer(ctx, e, trusted, out)
		if err != nil {
			return artifact.Image{}, err
		}
		clock.begin("describing")
		if made.Documents, err = p.describeImage(ctx, e, made, origins, trusted, out); err != nil {
			return artifact.Image{}, err
		}
		clock.begin("attesting")
		return made, p.attestImage(ctx, made, e, seen, begun, out)
	})
	if err != nil {
		return dist.ImageItem{}, err
	}
	return dist.ImageItem{Image: made, Artifacts: e.records, Layout: entry, Documents: entry, Provenance: entry}, nil
}

// imageKey is the digest of everything that decides what an image becomes.
// The settings name the authorities, and a record its recipe.
func (p *Pipeline) imageKey(e edition) store.Key {
	inputs := []string{p.tool.String(), p.plan.settings.String(), e.cells[0].Recipe.Digest.String(), e.cells[0].Variant}
	for _, r := range e.records {
		inputs = append(inputs, r.Platform.String(), r.Name, r.Digest.String())
		for _, d := range r.Documents {
			inputs = append(inputs, d.Name, d.Digest.String())
		}
	}
	return store.NewKey("image-1", inputs...)
}

// An origin is an artifact that an image is made of.
type origin struct {
	image.Source
	document []byte // of its archive
}

// layer writes the image to the file in out that is called as it is.
func (p *Pipeline) layer(ctx context.Context, e edition, trusted trusted, out string) (artifact.Image, []origin, error) {
	fail := func(err error) (artifact.Image, []origin, error) { return artifact.Image{}, nil, err }
	temp, remove, err := p.store.Temp("image")
	if err != nil {
		return fail(err)
	}
	defer remove()
	r := e.cells[0].Recipe
	whose, err := p.verdict(r, trusted)
	if err != nil {
		return fail(err)
	}
	trusted.Terms = whose.Expression
	spec := image.Spec{Recipe: r, Distribution: p.plan.Distribution, Variant: e.cells[0].Variant, Roots: trusted.Roots, Temp: temp, Workers: p.Config.CPUs}
	var origins []origin
	for _, rec := range e.records {
		o, err := p.origin(ctx, rec, temp)
		if err != nil {
			return fail(err)
		}
		origins, spec.Sources = append(origins, o), append(spec.Sources, o.Source)
	}
	f, err := os.Create(filepath.Join(out, artifact.ImageName(r.Name, r.FullVersion(p.plan.Distribution, spec.Variant))))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	made, err := image.Build(ctx, f, spec)
	if err != nil {
		return fail(err)
	}
	return made, origins, f.Close()
}

// origin finds the files of an artifact that is in the directory of results.
// Nothing is believed of where they lie: the image takes none but what the
// record names.
func (p *Pipeline) origin(ctx context.Context, rec artifact.Record, temp string) (origin, error) {
	fail := func(err error) (origin, error) { return origin{}, fmt.Errorf("reading %s: %w", rec.Name, err) }
	document, err := p.documentOf(rec)
	if err != nil {
		return fail(err)
	}
	parsed, err := spdx.Parse(bytes.NewReader(document))
	if err != nil {
		return fail(err)
	}
	licence := parsed.View().Licence
	_, kept, ok, err := store.Peek[struct{}](p.store, membersKey(rec.Digest))
	if err != nil {
		return fail(err)
	}
	if !ok || p.plan.Collected { // the store is younger than the artifact, or another machine's
		source, err := image.Unpack(ctx, p.Config.Dist, temp, rec, licence)
		return origin{source, document}, err
	}
	return origin{image.Source{Record: rec, Licence: licence, Open: func(f artifact.File) (io.ReadCloser, error) {
		if f.Name == dist.Document(rec, "") {
			return io.NopCloser(bytes.NewReader(document)), nil
		}
		_, name, _ := strings.Cut(f.Name, "/")
		if slices.ContainsFunc(rec.Binaries, func(b artifact.Binary) bool { return b.Name == name }) {
			return os.Open(filepath.Join(p.Config.Dist, filepath.FromSlash(dist.BinDir(rec)), name))
		}
		return kept.Open(name)
	}}, document}, nil
}

func (p *Pipeline) documentOf(rec artifact.Record) ([]byte, error) {
	name := dist.Document(rec, "")
	data, err := os.ReadFile(filepath.Join(p.Config.Dist, name))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(rec.Documents, func(f artifact.File) bool { return f.Name == name && f.Digest == artifact.DigestBytes(data) }) {
		return nil, fmt.Errorf("%w: %s is not the one of its record; build it again", image.ErrSource, name)
	}
	return data, nil
}

// attestImage writes the provenance of an image to out.
func (p *Pipeline) attestImage(ctx context.Context, made artifact.Image, e edition, seen seen, begun time.Time, out string) error {
	builder, run, err := p.ended(ctx, seen, begun)
	if err != nil {
		return err
	}
	statement, err := provenance.ImageStatement(made, e.records, builder, run)
	if err != nil {
		return err
	}
	data, err := intoto.Marshal(statement)
	if err != nil {
		return fmt.Errorf("attesting %s: %w", made.Name, err)
	}
	return os.WriteFile(filepath.Join(out, dist.ImageProvenance(made)), data, 0o644)
}

// trusted is whom images trust.
type trusted struct {
	image.Roots
	module modules.Module
	found  licences.Found
}

// authorities reads whom images trust: once in a run, and not at all if there
// is nothing to do.
type authorities struct {
	pipeline *Pipeline

	mu   sync.Mutex
	read bool
	all  trusted
}

func (a *authorities) look(ctx context.Context) (trusted, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.read {
		return a.all, nil
	}
	p, pin := a.pipeline, a.pipeline.plan.Distribution.Roots
	m, err := p.hostGo.One(ctx, module.Version{Path: pin.Module, Version: pin.Version}, pin.Sum)
	if err != nil {
		return trusted{}, err
	}
	if m.ZipDigest != pin.Zip {
		return trusted{}, fmt.Errorf("fetching %s: %w: its zip file is %s, but recipes/distribution.yaml pins %s", m.Version, modules.ErrChanged, m.ZipDigest, pin.Zip)
	}
	t := trusted{module: m}
	if t.found, err = p.reader.Module(ctx, m); err != nil {
		return trusted{}, err
	}
	if t.Roots, err = image.ReadRoots(os.DirFS(m.Dir)); err != nil {
		return trusted{}, fmt.Errorf("reading %s: %w", m.Version, err)
	}
	if n := len(t.Left); n > 0 {
		p.Console.Notef("images do not trust %d of the authorities of %s, whose constraints a file of certificates cannot tell: %s", n, m.Version, strings.Join(t.Left, "; "))
	}
	a.read, a.all = true, t
	return t, nil
}
