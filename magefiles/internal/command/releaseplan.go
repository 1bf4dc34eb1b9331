package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/release"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// A ReleasePlanRequest says what to release. Component and Variant are as in a
// Selection. Shards is on how many machines to build, by default one for each
// platform; Tag what the CI was started by, which has to be that of the release.
// The index of releases to follow is Index, a file with its bundle beside it, or
// what was published in Registry, and is believed as Believe says; First says that
// there is none yet. A Rehearsal needs neither, nor a tag, and nobody publishes it.
// Output is "text", the default, "matrix" or "env".
type ReleasePlanRequest struct {
	Component, Variant, Shards, Tag, Index, Registry, Output string
	Believe                                                  BelieveRequest
	First, Rehearsal                                         bool
}

// NewReleasePlanRequest takes flags, as NewVerifyRequest does.
func NewReleasePlanRequest(component, variant, shards, tag, index, registry, policy, key, trustedRoot, seen, output *string, first, rehearsal *bool) (req ReleasePlanRequest, err error) {
	err = take(append(req.Believe.flags(policy, key, trustedRoot, seen),
		flag{"component", component, &req.Component}, flag{"variant", variant, &req.Variant}, flag{"shards", shards, &req.Shards},
		flag{"tag", tag, &req.Tag}, flag{"index", index, &req.Index}, flag{"registry", registry, &req.Registry}, flag{"output", output, &req.Output},
	)...)
	req.First, req.Rehearsal = first != nil && *first, rehearsal != nil && *rehearsal
	return req, err
}

// ReleasePlan says what a release consists of, in the file plan.json of
// PALISADE_RELEASE, and prints what of it was asked for. A checkout that is not as
// committed, and a tag that is not at its commit, are refused with status 3.
func ReleasePlan(ctx context.Context, req ReleasePlanRequest) error {
	if err := oneOf("output", req.Output, "text", "matrix", "env"); err != nil {
		return outcome(err)
	}
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	p, err := planRelease(ctx, cfg, req)
	if err != nil {
		return stepped(err)
	}
	data, err := p.Encode()
	if err != nil {
		return stepped(err)
	}
	if err := os.MkdirAll(cfg.Release, 0o755); err != nil {
		return fmt.Errorf("writing the plan: %w: make %s writable, or set PALISADE_RELEASE", err, cfg.Release)
	}
	err = store.WriteFile(planFile(cfg), 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	return printPlan(p, planFile(cfg), req.Output)
}

func printPlan(p release.Plan, name, output string) error {
	matrix, err := p.Matrix()
	if err != nil {
		return err
	}
	switch output {
	case "matrix":
		_, err = fmt.Printf("%s\n", matrix)
	case "env":
		_, err = fmt.Printf("plan=%s\nmatrix=%s\n", p.Digest(), matrix)
	default:
		for _, c := range p.Cells {
			if _, err = fmt.Printf("%s %s  shard %s on %s\n", c, c.Version, c.Shard, p.Runners[c.Platform]); err != nil {
				return err
			}
		}
		_, err = fmt.Printf("%s  %s\n", name, p.Digest())
	}
	return err
}

func planRelease(ctx context.Context, cfg *config.Config, req ReleasePlanRequest) (release.Plan, error) {
	fail := func(err error) (release.Plan, error) {
		return release.Plan{}, fmt.Errorf("planning a release: %w", err)
	}
	shards, err := countShards(req.Shards)
	if err != nil {
		return release.Plan{}, err
	}
	plan, err := pipeline.NewPlan(cfg, Selection{Component: req.Component, Variant: req.Variant, Platform: "all"})
	if err != nil {
		return release.Plan{}, err
	}
	next := plan.Distribution.Release
	if next == nil {
		return fail(errors.New("recipes/distribution.yaml has no section release: say which version is next, and who builds for which platform"))
	}
	state, err := checkout.Observe(ctx, cfg.Root, cfg.Git)
	if err != nil {
		return fail(err)
	}
	if err := release.Clean(state); err != nil { // before anything that such a checkout has no answer to
		return fail(err)
	}
	tool, err := toolOf(state)
	if err != nil {
		return fail(err)
	}
	o := release.Options{
		Distribution: plan.Distribution.Name, Release: next.Version, Settings: plan.Settings(), Tool: tool, Shards: shards, Runners: next.Runners,
	}
	if !req.Rehearsal {
		if o.Tag, err = tagged(ctx, cfg, state, next, req.Tag); err != nil {
			return fail(err)
		}
	}
	plan.Only(func(c pipeline.Cell) bool { _, ok := next.Runners[c.Platform]; return ok })
	p, err := release.Make(inputsOf(plan), state, o)
	if err != nil {
		return fail(err)
	}
	if p.Previous, err = previousIndex(ctx, cfg, req, p); err != nil {
		return fail(err)
	}
	return p, nil
}

func countShards(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%w: -shards=%.40s: say on how many machines to build, 2 for example", config.ErrUsage, text)
	}
	return n, nil
}

// tagged is the tag of the release, which has to be at the commit of the checkout,
// and the one that was asked for, if any was.
func tagged(ctx context.Context, cfg *config.Config, state checkout.State, next *recipes.Release, asked string) (string, error) {
	tag := next.Tag()
	if asked != "" && asked != tag {
		return "", fmt.Errorf("%w: it is %q, and recipes/distribution.yaml says that the next release is %s: tag that %s, or change the version there", release.ErrTag, asked, next.Version, tag)
	}
	at, err := checkout.Tagged(ctx, cfg.Root, cfg.Git, tag)
	if err != nil {
		return "", fmt.Errorf("%w: recipes/distribution.yaml says that the next release is %s, and there is no tag %s in the checkout: %w", release.ErrTag, next.Version, tag, err)
	}
	if at != state.Commit {
		return "", fmt.Errorf("%w: %s is at commit %s, and the checkout at %s: check the tag out, or raise the version in recipes/distribution.yaml and tag that", release.ErrTag, tag, at, state.Commit)
	}
	return tag, nil
}

// inputsOf are the cells of a plan for whoever deals them to machines: how much
// there is to do goes by the modules to fetch, compile and describe.
func inputsOf(plan *pipeline.Plan) []release.Input {
	var inputs []release.Input
	for _, c := range plan.Cells {
		in := release.Input{Cell: release.Cell{
			Component: c.Recipe.Name, Version: c.Recipe.FullVersion(plan.Distribution, c.Variant),
			Platform: c.Platform, Variant: c.Variant, Recipe: c.Recipe.Digest,
		}}
		in.Image = c.Recipe.Image != nil && slices.Contains(c.Recipe.ImagePlatforms(), c.Platform)
		for m := range c.Recipe.Lock.Sums {
			if !strings.HasSuffix(m.Version, "/go.mod") {
				in.Weight++
			}
		}
		if c.Recipe.UI != nil {
			in.Weight += in.Weight / 2
		}
		inputs = append(inputs, in)
	}
	return inputs
}

// previousIndex is the index of releases that this one's follows, nil if there is
// none. What nobody believes is not followed: whoever can write to where it lies
// would have the publisher sign what he likes in the next. That the published one is
// still the same is held when the next is published.
func previousIndex(ctx context.Context, cfg *config.Config, req ReleasePlanRequest, p release.Plan) (*release.Previous, error) {
	given := 0
	for _, is := range []bool{req.First, req.Index != "", req.Registry != ""} {
		if is {
			given++
		}
	}
	switch {
	case req.First && req.Believe.Seen != "":
		return nil, fmt.Errorf("%w: -first says that there is no index of releases, and -seen=%.40s that there was one: leave one out", config.ErrUsage, req.Believe.Seen)
	case given > 1:
		return nil, fmt.Errorf("%w: -index, -registry and -first each say which index of releases this one follows: leave all but one out", config.ErrUsage)
	case given == 0 && req.Believe.Seen != "":
		return nil, fmt.Errorf("%w: -seen=%.40s says that there is an index of releases: name it, with -registry=HOST/PATH or -index=FILE", config.ErrUsage, req.Believe.Seen)
	case req.First || req.Rehearsal && given == 0:
		return nil, keepBefore(cfg, verify.Freshness{}, nil)
	case given == 0:
		return nil, fmt.Errorf("%w: say which index of releases this one follows, with -registry=HOST/PATH or -index=FILE; or that it is the first, with -first", config.ErrUsage)
	}
	s, err := req.Believe.stranger() // before anything is asked of a registry
	if err != nil {
		return nil, err
	}
	found, place, where, err := readPrevious(ctx, req)
	if err != nil {
		return nil, fetched(fmt.Errorf("reading the index of releases: %w", err))
	}
	index, err := s.follows(found, p.Distribution)
	if err != nil {
		return nil, fetched(fmt.Errorf("opening the index of releases in %s: %w", where, err))
	}
	if slices.ContainsFunc(index.Releases, func(r releases.Release) bool { return r.Version == p.Release }) {
		return nil, fmt.Errorf("%w: %s is released already, the index in %s lists it: raise the version in recipes/distribution.yaml", release.ErrTag, p.Release, where)
	}
	if err := keepBefore(cfg, found, fetchBefore(ctx, req, place)); err != nil {
		return nil, err
	}
	return &release.Previous{Number: index.Number, Digest: artifact.DigestBytes(found.Index)}, nil
}

// readPrevious reads it with its bundle, which nobody vouches for yet.
func readPrevious(ctx context.Context, req ReleasePlanRequest) (found verify.Freshness, place *consume.Registry, where string, err error) {
	if req.Index != "" {
		return found, nil, req.Index, readReleases(&found, req.Index)
	}
	place, err = consume.InRegistry(ctx, req.Registry, registry.Options{Keychain: credentials})
	if errors.Is(err, registry.ErrReference) {
		err = fmt.Errorf("%w: -registry: %w", config.ErrUsage, err)
	}
	if err != nil {
		return found, nil, "", err
	}
	found.Index, found.Bundle, err = place.Index(ctx)
	if errors.Is(err, consume.ErrNone) {
		err = fmt.Errorf("%w: if nothing was released yet, say so with -first", err)
	}
	return found, place, place.String(), err
}
