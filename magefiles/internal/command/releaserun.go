package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// A ReleaseRequest says what to release by this machine alone, as the steps have it,
// each by its own request. Registry and Directory are where it goes, and where the
// index of releases is that it follows, unless Index is that. Policy, Key, TrustedRoot
// and Seen say by what that index is believed, and the release once it is published.
// Dry does everything but publish it, needs neither tag nor index, and goes by the
// policy "workstation" by default: a workstation makes nothing that "release" takes.
type ReleaseRequest struct {
	Component, Variant, Tag, Index string
	Registry, Directory            string
	Policy, Key, TrustedRoot, Seen string
	Database, Since                string
	First, Dry                     bool
}

// NewReleaseRequest takes flags, as NewVerifyRequest does.
func NewReleaseRequest(component, variant, tag, index, registry, directory, policy, key, trustedRoot, seen, database, since *string, first, dry *bool) (req ReleaseRequest, err error) {
	err = take(
		flag{"component", component, &req.Component}, flag{"variant", variant, &req.Variant}, flag{"tag", tag, &req.Tag}, flag{"index", index, &req.Index},
		flag{"registry", registry, &req.Registry}, flag{"directory", directory, &req.Directory},
		flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot}, flag{"seen", seen, &req.Seen},
		flag{"database", database, &req.Database}, flag{"since", since, &req.Since},
	)
	req.First, req.Dry = first != nil && *first, dry != nil && *dry
	if req.Dry && req.Policy == "" {
		req.Policy = defaultPolicy
	}
	return req, err
}

// Release does all steps of a release, in order, each as it would be done on a
// machine of its own: what one hands over is a file in PALISADE_RELEASE, and what is
// done already, of the same plan and the same inputs, is passed over. It ends with
// the first step that fails, and goes on there when it is called again; also where its
// own index of releases is published already.
func Release(ctx context.Context, req ReleaseRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	if !req.Dry && !req.First {
		if is, first := req.published(ctx); is {
			req.First = first
			return req.end(ctx)
		}
	}
	if err := begin("plan", func() error { return ReleasePlan(ctx, req.plan()) }); err != nil {
		return err
	}
	shards, err := plannedShards(cfg)
	if err != nil {
		return stepped(err)
	}
	for _, shard := range shards {
		one := ReleaseShardRequest{Shard: shard}
		if err := begin("build "+shard, func() error { return ReleaseBuild(ctx, one) }); err != nil {
			return err
		}
		if err := begin("audit "+shard, func() error { return ReleaseAudit(ctx, one) }); err != nil {
			return err
		}
	}
	err = begin("assemble", func() error {
		return ReleaseAssemble(ctx, ReleaseAssembleRequest{Database: req.Database, Since: req.Since})
	})
	if err == nil {
		err = begin("sign", func() error { return ReleaseSign(ctx, ReleaseSignRequest{Believe: req.believe()}) })
	}
	if err != nil {
		return err
	}
	if req.Dry {
		return begin("verify, and what publish would do", func() error { return rehearse(ctx, cfg, req) })
	}
	return req.end(ctx)
}

// end publishes what was signed, and verifies it there.
func (req ReleaseRequest) end(ctx context.Context) error {
	if err := begin("publish", func() error { return ReleasePublish(ctx, req.publish()) }); err != nil {
		return err
	}
	for _, at := range req.verify() {
		if err := begin("verify", func() error { return ReleaseVerify(ctx, at) }); err != nil {
			return err
		}
	}
	return nil
}

// begin says which step it is that begins.
func begin(step string, do func() error) error {
	fmt.Fprintf(os.Stderr, "release: %s\n", step)
	return do()
}

func (req ReleaseRequest) believe() BelieveRequest {
	return BelieveRequest{Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot, Seen: req.Seen}
}

func (req ReleaseRequest) plan() ReleasePlanRequest {
	p := ReleasePlanRequest{Component: req.Component, Variant: req.Variant, Tag: req.Tag, Index: req.Index, Believe: req.believe(), First: req.First, Rehearsal: req.Dry}
	switch {
	case req.Index != "" || req.First || req.Dry:
	case req.Registry != "":
		p.Registry = req.Registry
	case req.Directory != "":
		p.Index = filepath.Join(req.Directory, releases.FileName)
	}
	return p
}

func (req ReleaseRequest) publish() ReleasePublishRequest {
	return ReleasePublishRequest{Registry: req.Registry, Directory: req.Directory, First: req.First, Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot}
}

// verify is what is verified of what was published: wherever it went.
func (req ReleaseRequest) verify() (all []ReleaseVerifyRequest) {
	one := ReleaseVerifyRequest{Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot, Seen: req.Seen}
	if req.Registry != "" || req.Directory == "" {
		at := one
		at.Registry = req.Registry
		all = append(all, at)
	}
	if req.Directory != "" {
		at := one
		at.Directory = req.Directory
		all = append(all, at)
	}
	return all
}

// plannedShards are the shards of the plan that was just made.
func plannedShards(cfg *config.Config) ([]string, error) {
	data, err := readSmall(planFile(cfg), release.MaxPlan)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	p, err := release.ParsePlan(data)
	if err != nil {
		return nil, err
	}
	var all []string
	for n := range p.Shards {
		all = append(all, handover.Shard{Number: n + 1, Of: p.Shards}.String())
	}
	return all, nil
}

// rehearse verifies what was signed as a stranger would who got it, and shows what
// would be published.
func rehearse(ctx context.Context, cfg *config.Config, req ReleaseRequest) (err error) {
	verifying, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	s, err := newStranger(verifying, ReleaseVerifyRequest{Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot})
	if err != nil {
		return outcome(err)
	}
	s.quiet = true
	step, err := openStep(ctx, StepRequest{}, handover.Publish, "")
	if err != nil {
		return stepped(err)
	}
	inputs, err := step.inputs(ctx, handover.Sign)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(inputs)
	work, leave, err := step.work(ctx)
	if err != nil {
		return stepped(err)
	}
	defer leave()
	defer func() { err = errors.Join(err, work.RemoveAll(handedDist)) }()
	if err := work.RemoveAll(handedDist); err != nil { // of another rehearsal
		return err
	}
	if err := inputs[0].Unpack(ctx, work); err != nil {
		return stepped(err)
	}
	index, signature, err := beside(inputs[0])
	if err != nil {
		return stepped(err)
	}
	entry, err := s.knows(index, signature)
	if err != nil {
		return fetched(err)
	}
	dir := filepath.Join(work.Name(), handedDist)
	if err := s.files(ctx, fmt.Sprintf("release %s as it was signed", entry.Version), dir); err != nil {
		return err
	}
	rows, err := wouldBe(ctx, dir, placesOf(verifying, req), entry, index)
	if err != nil {
		return err
	}
	con := console.New(os.Stdout, os.Stderr, console.Plain(true))
	defer con.Close()
	return con.Table([]string{"WOULD BE PUBLISHED", "AS", "DIGEST"}, rows)
}

// places are where a release goes; one at least.
type places struct{ registry, directory string }

func placesOf(cfg *config.Verifying, req ReleaseRequest) places {
	p := places{req.Registry, req.Directory}
	if p == (places{}) {
		var err error
		if p.registry, err = chooseRegistry(cfg, ""); err != nil {
			p.registry = "REGISTRY" // nobody said yet
		}
	}
	return p
}

// wouldBe are the rows of what would be published of the release in a folder: images
// and files by their tags, the index by its number, and each file.
func wouldBe(ctx context.Context, dir string, to places, entry releases.Release, index []byte) ([][]string, error) {
	m, _, err := manifestIn(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	listing, err := consume.Describe(ctx, root)
	if err != nil {
		return nil, err
	}
	form, err := listing.Form()
	if err != nil {
		return nil, err
	}
	next, err := releases.Parse(index)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	add := func(what, as string, d artifact.Digest) { rows = append(rows, []string{what, as, d.String()}) }
	number := fmt.Sprintf("index %d", next.Number)
	if to.registry != "" {
		for _, i := range m.Images {
			add("image", fmt.Sprintf("%s/%s:%s", to.registry, i.Component, i.Version), i.Index)
		}
		at := to.registry + "/" + consume.Repository + ":"
		add("files", at+consume.Tag(entry.Version), form.Index.Digest)
		add(number, at+consume.IndexTag, artifact.DigestBytes(index))
	}
	if to.directory != "" {
		add("files", filepath.Join(to.directory, consume.Tag(entry.Version)), form.Index.Digest)
		add(number, filepath.Join(to.directory, releases.FileName), artifact.DigestBytes(index))
	}
	files := slices.Concat(listing.Release, listing.Said)
	slices.SortFunc(files, func(a, b consume.File) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range files {
		add("file", f.Name, f.Digest)
	}
	return rows, nil
}
