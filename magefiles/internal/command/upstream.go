package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/toolchain"
	"palisade/magefiles/internal/upstream"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// ErrUpstream is wrapped when ours differs from upstream's without a known reason.
var ErrUpstream = errors.New("not what upstream released")

// vanilla is the variant that upstream's release can be compared with.
const vanilla = "vanilla"

// An UpstreamRequest says what to compare: the archive of a component in the
// folder of the results, for one platform, by default this machine's, with the file
// at Path.
type UpstreamRequest struct{ Component, Path, Platform, Variant string }

// NewUpstreamRequest takes flags, as NewVerifyRequest does.
func NewUpstreamRequest(component, path, platform, variant *string) (req UpstreamRequest, err error) {
	err = take(flag{"component", component, &req.Component}, flag{"path", path, &req.Path}, flag{"platform", platform, &req.Platform}, flag{"variant", variant, &req.Variant})
	return req, err
}

// Upstream prints what is alike, each difference with its reason, and what could
// not be compared; a difference without a reason is refused with status 3, and so is
// what could not be compared. It builds nothing, and believes nothing of the other
// archive.
func Upstream(ctx context.Context, req UpstreamRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	report, err := compareUpstream(ctx, cfg, req, readUpstream)
	if err != nil {
		return outcome(err)
	}
	if _, err := io.WriteString(os.Stdout, pageOf(report)); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return judgeUpstream(report)
}

// judgeUpstream refuses what does not agree, and what is not known to.
func judgeUpstream(r upstream.Report) error {
	unexplained, unseen := len(r.Unexplained()), len(r.Unseen)
	if unexplained+unseen == 0 {
		return nil
	}
	return failure{fmt.Errorf("%w: %d of %d differences have no known reason, and %d things could not be compared: the lines that end in %q or begin with NOT SEEN say which; do not take the one for the other",
		ErrUpstream, unexplained, len(r.Findings), unseen, upstream.Unexplained), statusRefused}
}

// A reading of upstream's source says what it is to be compared by.
type reading func(context.Context, *config.Config, *pipeline.Plan) (upstream.Source, error)

func compareUpstream(ctx context.Context, cfg *config.Config, req UpstreamRequest, read reading) (upstream.Report, error) {
	plan, record, err := chooseVanilla(cfg, req)
	if err != nil {
		return upstream.Report{}, err
	}
	cell := plan.Cells[0]
	again := fmt.Sprintf("run mage build -component=%s -platform=%s -variant=%s", cell.Recipe.Name, cell.Platform, vanilla)
	if record.Recipe != cell.Recipe.Digest {
		return upstream.Report{}, failure{fmt.Errorf("%s was built by another recipe than recipes/%s is: %s", record.Name, cell.Recipe.Name, again), statusRefused}
	}
	ours, err := openArchive(filepath.Join(cfg.Dist, record.Name))
	if err != nil {
		return upstream.Report{}, fmt.Errorf("%w; %s", err, again)
	}
	defer ours.Close()
	// What is compared is what was digested: the open file.
	digest, _, err := artifact.DigestReader(io.NewSectionReader(ours, 0, ours.Size))
	if err != nil {
		return upstream.Report{}, fmt.Errorf("reading what was built: %w", err)
	}
	if digest != record.Digest {
		return upstream.Report{}, failure{fmt.Errorf("%s is not what was built: its digest is %s, and release.json says %s; %s", record.Name, digest, record.Digest, again), statusRefused}
	}
	theirs, err := openArchive(req.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: there is nothing at %s: name upstream's release archive", config.ErrUsage, req.Path)
	}
	if err != nil {
		return upstream.Report{}, err
	}
	defer theirs.Close()
	source, err := read(ctx, cfg, plan)
	if err != nil {
		return upstream.Report{}, err
	}
	known := upstream.Known{Recipe: cell.Recipe, Distribution: plan.Distribution, Platform: cell.Platform, Source: source}
	return upstream.Compare(ours.Archive, theirs.Archive, known)
}

// readUpstream reads the module that ours was built from, and the Go that built it:
// both lie in the cache of the build, or are fetched as it does, and are held
// against their hashes first.
func readUpstream(ctx context.Context, cfg *config.Config, plan *pipeline.Plan) (upstream.Source, error) {
	recipe, p := plan.Cells[0].Recipe, plan.Cells[0].Platform
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return upstream.Source{}, err
	}
	client := &modules.Client{Go: cfg.Go, Env: cfg.Fetch, Store: s, CPUs: cfg.CPUs}
	box := &toolchain.Box{Store: s, Modules: client, Pins: &plan.Distribution.Toolchains, Host: cfg.Host}
	golang, err := box.Go(ctx, recipe.Lock.Go)
	if err != nil {
		return upstream.Source{}, err
	}
	pinned := *client
	pinned.Go = filepath.Join(golang.Dir, "bin", "go")
	all, err := pinned.All(ctx, recipe.Lock)
	if err != nil {
		return upstream.Source{}, fmt.Errorf("recipe %s: %w", recipe.Name, err)
	}
	of := slices.IndexFunc(all, func(m modules.Module) bool { return m.Path == recipe.Module })
	if of < 0 {
		return upstream.Source{}, fmt.Errorf("recipe %s: its lock does not hold %s", recipe.Name, recipe.Module)
	}
	if err := client.Verify(ctx, all[of:of+1]); err != nil {
		return upstream.Source{}, err
	}
	module := os.DirFS(all[of].Dir)
	source, err := upstream.ReadSource(module, os.DirFS(golang.Dir), p)
	if err != nil {
		return upstream.Source{}, fmt.Errorf("%s: %w", all[of].Version, err)
	}
	source.Assets, err = assetsOf(module, recipe)
	return source, err
}

// assetsOf is what the recipe knows to lie, as Go source that vfsgen wrote, in
// upstream's module.
func assetsOf(module fs.FS, recipe *recipes.Recipe) (map[string][]byte, error) {
	assets := map[string][]byte{}
	read := map[string]bool{}
	for _, b := range recipe.Bundled {
		if m := b.Module(); m.Path != recipe.Module || m.Version != "" {
			continue
		}
		for name := range b.Files {
			file, _, within := strings.Cut(name, "#")
			if !within || read[file] {
				continue
			}
			read[file] = true
			data, err := fs.ReadFile(module, file)
			if err != nil {
				return nil, fmt.Errorf("reading upstream's assets: %w", err)
			}
			held, err := webui.Generated(data)
			if err != nil {
				return nil, fmt.Errorf("reading %s of %s: %w", file, recipe.Module, err)
			}
			for name, content := range held {
				assets[file+"#"+name] = content
			}
		}
	}
	return assets, nil
}

// chooseVanilla is the plan of one cell, and the one archive of it that is meant.
func chooseVanilla(cfg *config.Config, req UpstreamRequest) (*pipeline.Plan, artifact.Record, error) {
	if req.Component == "" || req.Path == "" {
		return nil, artifact.Record{}, fmt.Errorf("%w: say which component, and with which archive of upstream's: -component=NAME -path=FILE", config.ErrUsage)
	}
	if err := oneOf("variant", req.Variant, vanilla); err != nil {
		return nil, artifact.Record{}, fmt.Errorf("%w: upstream releases nothing that compares with another", err)
	}
	plan, err := pipeline.NewPlan(cfg, Selection{Component: req.Component, Platform: req.Platform, Variant: vanilla})
	if err != nil {
		return nil, artifact.Record{}, err
	}
	if len(plan.Cells) != 1 {
		return nil, artifact.Record{}, fmt.Errorf("%w: one archive is compared with one: name one component and one platform", config.ErrUsage)
	}
	cell := plan.Cells[0]
	index, err := readIndex(cfg)
	if err != nil {
		return nil, artifact.Record{}, err
	}
	i := slices.IndexFunc(index.Artifacts, func(r artifact.Record) bool {
		return r.Component == cell.Recipe.Name && r.Platform == cell.Platform && r.Variant == vanilla
	})
	if i < 0 {
		return nil, artifact.Record{}, fmt.Errorf("%w: %s holds no vanilla %s for %s: run mage build -component=%s -platform=%s -variant=%s",
			config.ErrUsage, cfg.Dist, cell.Recipe.Name, cell.Platform, cell.Recipe.Name, cell.Platform, vanilla)
	}
	return plan, index.Artifacts[i], nil
}

// A releaseFile is an archive that is open.
type releaseFile struct {
	upstream.Archive
	io.Closer
}

// openArchive opens a regular file: opening another might wait for ever.
func openArchive(name string) (releaseFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return releaseFile{}, fmt.Errorf("reading a release archive: %w", err)
	}
	if !info.Mode().IsRegular() {
		return releaseFile{}, fmt.Errorf("%w: %s is not a regular file", config.ErrUsage, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return releaseFile{}, fmt.Errorf("reading a release archive: %w", err)
	}
	return releaseFile{upstream.Archive{ReaderAt: f, Size: info.Size()}, f}, nil
}

// pageOf is the report, a line for each thing, and then what the reasons mean that
// it gives.
func pageOf(r upstream.Report) string {
	var page strings.Builder
	for _, a := range r.Agreements {
		fmt.Fprintf(&page, "ALIKE    %s\n", a)
	}
	for _, u := range r.Unseen {
		fmt.Fprintf(&page, "NOT SEEN %s\n", u)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&page, "DIFFERS  %s\n", f)
	}
	for _, reason := range upstream.Reasons {
		if slices.ContainsFunc(r.Findings, func(f upstream.Finding) bool { return f.Reason == reason.Reason }) {
			fmt.Fprintf(&page, "  %s: %s\n", reason.Reason, reason.Says)
		}
	}
	return page.String()
}
