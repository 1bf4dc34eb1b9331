package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// A ReleaseShardRequest is a StepRequest of a step that each shard has.
type ReleaseShardRequest struct {
	StepRequest
	Shard string // 1/2
}

// NewReleaseShardRequest takes flags, as NewVerifyRequest does.
func NewReleaseShardRequest(shard, plan, from, digests, output *string) (req ReleaseShardRequest, err error) {
	err = take(append(req.flags(plan, from, digests, output), flag{"shard", shard, &req.Shard})...)
	if err == nil && req.Shard == "" {
		err = outcome(fmt.Errorf("%w: say which part of the release, with -shard=1/2", config.ErrUsage))
	}
	return req, err
}

// What the folders of a hand-over are.
const (
	handedDist   = "dist"   // what a release has
	handedBeside = "beside" // what it was made by, and is not in it
)

// ReleaseBuild builds a shard, always hermetically, signs nothing, and hands over
// what is in dist/ then, without the loose binaries.
func ReleaseBuild(ctx context.Context, req ReleaseShardRequest) error {
	s, err := openStep(ctx, req.StepRequest, handover.Build, req.Shard)
	if err != nil {
		return stepped(err)
	}
	h := s.header()
	if done, err := s.done(ctx, h); done || err != nil {
		return err
	}
	work, leave, err := s.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	records, err := s.build(ctx, work)
	if err != nil {
		return stepped(err)
	}
	return stepped(s.hand(ctx, h, work, shardFiles(records)))
}

// build builds the cells of the shard into the folder dist of work.
func (s *step) build(ctx context.Context, work *os.Root) ([]artifact.Record, error) {
	session, err := s.pipeline(work, false, func(c release.Cell) bool { return c.Shard == s.shard })
	if err != nil {
		return nil, err
	}
	defer session.console.Close()
	records, err := session.pipeline.Run(ctx)
	if err != nil {
		return nil, err
	}
	session.console.Notef("%d artifacts of shard %s", len(records), s.shard)
	m, err := readIndex(session.config)
	if err != nil {
		return nil, err
	}
	if _, err := s.plan.Accept(release.Part{Shard: s.shard, Manifest: *m}); err != nil {
		return nil, err
	}
	if len(m.Artifacts) != len(records) {
		return nil, errors.New("the index of what was built does not name what was built: remove " + work.Name())
	}
	return records, nil
}

// shardFiles are the files of a hand-over of these artifacts.
func shardFiles(records []artifact.Record) func(name string) bool {
	files := map[string]bool{path.Join(handedDist, dist.Index): true, path.Join(handedDist, dist.Sums): true}
	for _, r := range records {
		for _, f := range dist.Beside(r) {
			files[path.Join(handedDist, f.Name)] = true
		}
	}
	return func(name string) bool { return files[name] }
}
