package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/publish"
	"palisade/magefiles/internal/release"
)

// A ReleasePublishRequest says where a release goes: Registry is HOST/PATH, by
// default what recipes/distribution.yaml names; Directory a folder, in place of the
// registry or beside it. First says that there is no index of releases yet. Index is
// the file of an index of releases that is published alone, in place of a release.
// Policy, Key and TrustedRoot are those of a ReleaseVerifyRequest.
type ReleasePublishRequest struct {
	StepRequest
	Registry, Directory, Index string
	First                      bool
	Policy, Key, TrustedRoot   string
}

// NewReleasePublishRequest takes flags, as NewVerifyRequest does.
func NewReleasePublishRequest(plan, from, digests, registry, directory, index, policy, key, trustedRoot *string) (req ReleasePublishRequest, err error) {
	err = take(append(req.flags(plan, from, digests, nil),
		flag{"registry", registry, &req.Registry}, flag{"directory", directory, &req.Directory}, flag{"index", index, &req.Index},
		flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot},
	)...)
	return req, err
}

// ReleasePublish publishes what release:sign handed over, once it was verified as a
// stranger would: images and files under no tag first; verifies them where they are
// then, likewise; and only then the tags, the directory, and the index of releases
// last. It needs nothing that signs. What is there is not sent again, and a run that was
// interrupted is gone on with by the next. Nothing that is published is replaced.
func ReleasePublish(ctx context.Context, req ReleasePublishRequest) error {
	cfg, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	p, err := newPublication(cfg, req)
	if err != nil {
		return outcome(err)
	}
	defer p.console.Close()
	if req.Index != "" {
		err = p.indexAlone(ctx, req)
	} else {
		err = p.handedOver(ctx, req)
	}
	if len(p.rows) > 0 {
		if err := p.console.Table([]string{"PUBLISHED", "AS", "DIGEST", "SENT"}, p.rows); err != nil {
			return err
		}
	}
	return err
}

// A publication is a release on its way to where it is published.
type publication struct {
	console  *console.Console
	options  publish.Options // no registry, if it goes to none
	dir      string          // "" if it goes to none
	first    bool
	alone    bool // an index without a release
	stranger *stranger
	rows     [][]string // what has come to its end
}

func newPublication(cfg *config.Verifying, req ReleasePublishRequest) (*publication, error) {
	p := &publication{dir: req.Directory, first: req.First, alone: req.Index != ""}
	var err error
	p.options.Registry = req.Registry
	if req.Registry == "" && req.Directory == "" {
		if p.options.Registry, err = chooseRegistry(cfg, ""); err != nil {
			return nil, err
		}
	}
	if p.stranger, err = newStranger(cfg, ReleaseVerifyRequest{Policy: req.Policy, Key: req.Key, TrustedRoot: req.TrustedRoot}); err != nil {
		return nil, err
	}
	p.stranger.quiet = true
	if p.options.Trust, err = p.stranger.trust.Bundles(p.stranger.policy); err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	if p.options.Rebuilders, err = p.stranger.trust.Rebuilders(p.stranger.policy); err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	p.console = console.New(os.Stdout, os.Stderr, console.Plain(true))
	p.options.Keychain, p.options.Note = credentials, p.console.Notef
	return p, nil
}

// handedOver publishes the release that the signing handed over.
func (p *publication) handedOver(ctx context.Context, req ReleasePublishRequest) error {
	s, err := openStep(ctx, req.StepRequest, handover.Publish, "")
	if err != nil {
		return stepped(err)
	}
	if s.plan.Tag == "" {
		return stepped(fmt.Errorf("%w: the plan is of a rehearsal, and has none: nothing of it is published; plan anew at a tag", release.ErrTag))
	}
	inputs, err := s.inputs(ctx, handover.Sign)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(inputs)
	signed := inputs[0]
	work, leave, err := s.work(ctx)
	if err != nil {
		return stepped(err)
	}
	defer leave()
	if err := work.RemoveAll(handedDist); err != nil { // of a hand-over that was signed before
		return err
	}
	if err := signed.Unpack(ctx, work); err != nil {
		return stepped(err)
	}
	index, signature, err := beside(signed)
	if err != nil {
		return stepped(err)
	}
	if err := p.release(ctx, filepath.Join(work.Name(), handedDist), index, signature, s.plan); err != nil {
		return publishedAll(err)
	}
	return work.RemoveAll(handedDist)
}

// beside is the index of releases that lies beside the release in a hand-over.
func beside(signed *handover.File) (index, signature []byte, err error) {
	if index, err = signed.Read(path.Join(handedBeside, releases.FileName), releases.MaxSize); err == nil {
		signature, err = signed.Read(path.Join(handedBeside, releases.BundleName), maxIndexBundle)
	}
	return index, signature, err
}

// release publishes the release in a folder of the folder of work, with the index of
// releases that it is the newest of.
func (p *publication) release(ctx context.Context, dir string, data, signature []byte, plan release.Plan) error {
	entry, err := p.stranger.knows(data, signature)
	if err != nil {
		return err
	}
	next, err := p.openIndex(ctx, data, signature)
	if err != nil {
		return err
	}
	var previous artifact.Digest
	if plan.Previous != nil {
		previous = plan.Previous.Digest
	}
	if entry.Version != plan.Release || entry.Commit != plan.Commit || next.Previous != previous {
		return fmt.Errorf("%w: the index of releases is of %s at %s, following %s, and the plan of %s at %s, following %s",
			release.ErrForeign, entry.Version, entry.Commit, next.Previous, plan.Release, plan.Commit, previous)
	}
	r, err := publish.OpenRelease(ctx, p.options, dir)
	if err != nil {
		return err
	}
	defer r.Close()
	if p.dir != "" { // looked at before anything is sent
		if _, err := r.Free(ctx, p.dir, entry.Version); err != nil {
			return err
		}
	}
	// As a stranger would, and before anything is sent: what was attached to an image
	// and is refused afterwards would stay with it, and so with every later release that
	// has the image.
	if err := p.stranger.files(ctx, fmt.Sprintf("release %s as it was signed", entry.Version), dir); err != nil {
		return err
	}
	if p.options.Registry != "" {
		if err := p.toRegistry(ctx, r, dir, entry); err != nil {
			return err
		}
	}
	if p.dir != "" {
		if err := p.toDirectory(ctx, r, entry); err != nil {
			return err
		}
	}
	return p.putIndex(ctx, next)
}

// openIndex opens an index that may take the place of the one that is published,
// everywhere that it goes to.
func (p *publication) openIndex(ctx context.Context, data, signature []byte) (*publish.Index, error) {
	next, err := publish.OpenIndex(p.options, data, signature, p.first)
	if err == nil {
		next.Alone = p.alone
		err = next.Check(0, p.stranger.trust.Now)
	}
	if err == nil && p.options.Registry != "" {
		var at *consume.Registry
		if at, err = p.place(ctx); err == nil {
			_, err = next.Look(ctx, at)
		}
	}
	if err == nil && p.dir != "" {
		_, err = next.Look(ctx, consume.Directory(p.dir))
	}
	return next, err
}

func (p *publication) place(ctx context.Context) (*consume.Registry, error) {
	return consume.InRegistry(ctx, p.options.Registry, registry.Options{Keychain: credentials})
}

// toRegistry puts images and files into the registry, and tags them once they are
// verified there.
func (p *publication) toRegistry(ctx context.Context, r *publish.Release, dir string, entry releases.Release) error {
	if entry.Files != r.Form.Release.Digest {
		return fmt.Errorf("%w: the files are %s, and the index of releases has them as %q: sign it again", publish.ErrMismatch, r.Form.Release.Digest, entry.Files)
	}
	files, err := r.ToRegistry(ctx, p.options, entry.Version)
	if err != nil {
		return err
	}
	all := p.options
	all.Before = func(ctx context.Context, _ []publish.Published) error {
		if err := files.Send(ctx); err != nil {
			return err
		}
		return p.verifyThere(ctx, files.Done().Index, entry, filepath.Join(filepath.Dir(dir), "fetched"))
	}
	if len(r.Manifest.Images) == 0 {
		err = all.Before(ctx, nil)
	} else {
		var report publish.Report
		report, err = publish.Publish(ctx, all, dir)
		for _, i := range report.Images {
			p.row("image", fmt.Sprintf("%s:%s", i.Repository, i.Tag), i.Index, i.Sent)
		}
	}
	if err == nil {
		err = files.Tag(ctx)
	}
	if err == nil {
		done := files.Done()
		p.row("files", fmt.Sprintf("%s:%s", done.Repository, done.Tag), done.Index, done.Sent)
	}
	return err
}

// verifyThere fetches what no tag names yet, by its digest, into a folder that is
// nobody else's, and verifies it as a stranger would.
func (p *publication) verifyThere(ctx context.Context, index artifact.Digest, entry releases.Release, folder string) error {
	at, err := p.place(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o700)); err != nil { // of a run that was killed
		return err
	}
	defer os.RemoveAll(folder)
	if err := into(folder, func(root *os.Root) error { return at.FilesAt(ctx, index, entry, root) }); err != nil {
		return fetched(err)
	}
	if err := p.stranger.files(ctx, fmt.Sprintf("release %s in %s", entry.Version, at), folder); err != nil {
		return err
	}
	return p.stranger.images(ctx, at, entry)
}

// toDirectory puts the files into the directory, where they are verified before they
// have their name, or before the index names a folder that was there.
func (p *publication) toDirectory(ctx context.Context, r *publish.Release, entry releases.Release) error {
	there, err := r.ToDirectory(ctx, p.dir, entry.Version, func(ctx context.Context, folder string) error {
		return p.stranger.files(ctx, fmt.Sprintf("release %s in %s", entry.Version, p.dir), folder)
	})
	if err == nil {
		p.row("files", filepath.Join(p.dir, consume.Tag(entry.Version)), r.Form.Index.Digest, sent(there))
	}
	return err
}

// putIndex puts the index of releases where it goes, as the last of all.
func (p *publication) putIndex(ctx context.Context, next *publish.Index) error {
	what := fmt.Sprintf("index %d", next.Number)
	if p.options.Registry != "" {
		there, err := next.ToRegistry(ctx, p.options)
		if err != nil {
			return err
		}
		p.row(what, p.options.Registry+"/"+consume.Repository+":"+consume.IndexTag, next.Digest(), sent(there))
	}
	if p.dir != "" {
		there, err := next.ToDirectory(ctx, p.dir)
		if err != nil {
			return err
		}
		p.row(what, filepath.Join(p.dir, releases.FileName), next.Digest(), sent(there))
	}
	return nil
}

// indexAlone publishes an index of releases that was signed anew.
func (p *publication) indexAlone(ctx context.Context, req ReleasePublishRequest) error {
	if req.Plan+req.From+req.Digests != "" || req.First {
		return outcome(fmt.Errorf("%w: -index is published in place of a release, and goes without -plan, -from, -digests and -first", config.ErrUsage))
	}
	var f verify.Freshness
	if err := readReleases(&f, req.Index); err != nil {
		return outcome(err)
	}
	next, err := p.openIndex(ctx, f.Index, f.Bundle)
	if err == nil {
		err = p.putIndex(ctx, next)
	}
	return publishedAll(err)
}

func (p *publication) row(what, as string, digest artifact.Digest, sent int) {
	p.rows = append(p.rows, []string{what, as, digest.String(), fmt.Sprint(sent)})
}

func sent(there bool) int {
	if there {
		return 0
	}
	return 1
}

// publishedAll gives err its status, whichever part of publishing it comes from.
func publishedAll(err error) error {
	var told failure
	switch {
	case err == nil || errors.As(err, &told):
		return err
	case errors.Is(err, publish.ErrIndex), errors.Is(err, release.ErrForeign):
		return failure{err, statusRefused}
	case errors.Is(err, publish.ErrFirst):
		return outcome(fmt.Errorf("%w: %w", config.ErrUsage, err))
	}
	if as := published(err); errors.As(as, &told) {
		return as
	}
	return fetched(err)
}
