package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/provenance"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/attest"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/keys"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/sign"
)

// A ReleaseSignRequest is a StepRequest, of which From is what release:assemble
// handed over. Life is how long the next index of releases holds, by default
// releases.DefaultLife, and an hour of a rehearsal. Believe says by what the last one
// is believed.
type ReleaseSignRequest struct {
	StepRequest
	Life    string
	Believe BelieveRequest
}

// NewReleaseSignRequest takes flags, as NewVerifyRequest does.
func NewReleaseSignRequest(plan, from, digests, policy, key, trustedRoot, seen, output, life *string) (req ReleaseSignRequest, err error) {
	err = take(slices.Concat(req.flags(plan, from, digests, output), req.Believe.flags(policy, key, trustedRoot, seen), []flag{{"life", life, &req.Life}})...)
	return req, err
}

// ReleaseSign holds what was assembled against the checkout, looks for the known
// vulnerabilities once more, and signs: all of the release, and the index of releases
// that lists it. A workflow that has a token also says of everything who built it,
// which is itself. Nothing that was built is run, and what does not hold is refused
// with status 3.
func ReleaseSign(ctx context.Context, req ReleaseSignRequest) error {
	s, err := openStep(ctx, req.StepRequest, handover.Sign, "")
	if err != nil {
		return stepped(err)
	}
	inputs, err := s.inputs(ctx, handover.Assemble)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(inputs)
	h := s.header(inputs...)
	if !s.lapsed(ctx) {
		if done, err := s.done(ctx, h); done || err != nil {
			return err
		}
	}
	r := &signatory{step: s, assembled: inputs[0]}
	if err := r.prepare(ctx, req); err != nil {
		return stepped(err)
	}
	work, leave, err := s.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := r.sign(ctx, work); err != nil {
		return stepped(err)
	}
	return stepped(s.hand(ctx, h, work, r.handed))
}

// A signatory is the step that signs, on its way.
type signatory struct {
	*step
	assembled *handover.File
	manifest  *artifact.Manifest
	identity  *keys.Identity // nil if a key signs
	key       sign.Hand      // that does
	previous  *releases.Index
	life      time.Duration
}

// prepare refuses what can be refused before anything is read or asked for.
func (r *signatory) prepare(ctx context.Context, req ReleaseSignRequest) (err error) {
	if r.life, err = r.lifeOfNext(req.Life); err != nil {
		return err
	}
	if r.previous, err = r.before(req.Believe); err != nil {
		return err
	}
	if r.identity, err = keys.IdentityOf(ctx, r.config.Signing, time.Now); err != nil {
		return err
	}
	if r.identity == nil {
		if r.key, err = keys.Hand(ctx, r.config.Signing, time.Now, asker()); err != nil {
			return err
		}
	} else if r.vouches() {
		if err := r.source().Claimed(provenance.Workflow(r.identity.Claims.Workflow)); err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
	}
	if r.manifest, err = manifestOf(r.assembled); err != nil {
		return err
	}
	return r.accounted()
}

// source is what the release is of, by the plan.
func (r *signatory) source() attest.Source {
	return attest.Source{Commit: r.plan.Commit, Tag: r.plan.Tag, Repository: r.plan.Repository, Settings: r.plan.Settings}
}

// before is the index of releases that this release's follows; nil if it is the
// first. That the plan names it is not enough: who plans has no key, and was shown it
// by a registry. So who signs the next one opens its signature as well.
func (r *signatory) before(believe BelieveRequest) (*releases.Index, error) {
	data, err := r.lastIndex()
	switch {
	case err == nil && data == nil && believe.Seen != "":
		return nil, fmt.Errorf("%w: the plan follows no index of releases, and -seen=%.40s says that there is one: plan anew", config.ErrUsage, believe.Seen)
	case err != nil || data == nil:
		return nil, err
	}
	s, err := believe.stranger()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(beforeDir(r.config), releases.FileName)
	last := verify.Freshness{Index: data}
	if last.Bundle, err = readSmall(filepath.Join(beforeDir(r.config), releases.BundleName), maxIndexBundle); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the signature of %s: %w", name, err)
	}
	index, err := s.follows(last, r.plan.Distribution)
	if err != nil {
		return nil, fetched(fmt.Errorf("opening %s, which the next index of releases follows: %w", name, err))
	}
	return &index, nil
}

// sign does the work. Whatever can refuse comes before the first signature.
func (r *signatory) sign(ctx context.Context, work *os.Root) error {
	if err := r.unpack(ctx, work); err != nil {
		return err
	}
	if err := r.held(ctx, work); err != nil {
		return err
	}
	if err := r.confirmVulnerabilities(ctx, work); err != nil {
		return err
	}
	hand, err := r.attested(ctx, work)
	if err != nil {
		return err
	}
	result, err := sign.Release(ctx, filepath.Join(work.Name(), handedDist), hand)
	if err != nil {
		return err
	}
	next, listed, err := r.list(ctx, work, hand)
	if err != nil {
		return err
	}
	result.Signed, result.Kept = result.Signed+listed.Signed, result.Kept+listed.Kept
	if result.By == "" {
		result.By = listed.By
	}
	fmt.Fprintf(os.Stderr, "%s; index of releases number %d, which expires on %s\n", tally(result), next.Number, next.Expires.Format(time.RFC3339))
	return nil
}

// unpack puts what was assembled into work, but for provenance where this job says
// that. Bundles of a former run stay, whatever they are worth.
func (r *signatory) unpack(ctx context.Context, work *os.Root) error {
	if err := r.sweep(work); err != nil {
		return err
	}
	return r.assembled.UnpackOnly(ctx, work, func(name string) bool { return !r.vouches() || !r.isProvenance(name) })
}

// vouches reports whether this job says who built what it signs.
func (r *signatory) vouches() bool {
	return r.identity != nil && r.identity.Claims.Workflow != (bundle.Workflow{})
}

func (r *signatory) isProvenance(name string) bool {
	return slices.ContainsFunc(r.manifest.Artifacts, func(a artifact.Record) bool { return path.Join(handedDist, dist.Provenance(a)) == name }) ||
		slices.ContainsFunc(r.manifest.Images, func(i artifact.Image) bool { return path.Join(handedDist, dist.ImageProvenance(i)) == name })
}

// handed reports whether a file of work is handed over: what was assembled, but for
// the database, and what was signed of it.
func (r *signatory) handed(name string) bool {
	switch name {
	case path.Join(handedBeside, releases.FileName), path.Join(handedBeside, releases.BundleName), path.Join(handedDist, dist.PublicKey), path.Join(handedDist, dist.TrustedRoot):
		return true
	}
	if strings.HasPrefix(name, handedDatabase+"/") {
		return false
	}
	for _, i := range r.manifest.Images {
		if strings.HasPrefix(name, path.Join(handedDist, i.BundlesDir())+"/") && !strings.HasPrefix(path.Base(name), ".") {
			return true // of which package sign keeps no other
		}
	}
	return slices.ContainsFunc(r.assembled.Header().Files, func(f artifact.File) bool { return f.Name == name || dist.Bundle(f.Name) == name })
}

// sweep removes what lies in work and is not of this release, as an interrupted run
// may have left it: who publishes takes all that is there.
func (r *signatory) sweep(work *os.Root) error {
	for _, folder := range []string{handedDist, handedBeside} {
		err := fs.WalkDir(work.FS(), folder, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || e.IsDir() || r.handed(name) || strings.HasPrefix(name, handedDatabase+"/") {
				return err
			}
			return work.Remove(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// attested is who signs. As a workflow he also says who built what, and where; with
// a key, or as a person, what the jobs that built have said stays as it is.
func (r *signatory) attested(ctx context.Context, work *os.Root) (sign.Hand, error) {
	if r.identity == nil {
		return r.key, nil
	}
	hand, who, err := r.identity.Hand(ctx)
	if err != nil || !r.vouches() {
		return hand, err
	}
	named := provenance.Workflow(who.Workflow)
	if err := r.source().Witnessed(named); err != nil {
		return hand, fmt.Errorf("reading the certificate of %s: %w", who.Signer, err)
	}
	builder, err := r.builder(ctx)
	if err != nil {
		return hand, err
	}
	builder.ID = named.Builder()
	vouch := attest.Who{Builder: builder, Workflow: named, Source: r.source()}
	return hand, vouch.Release(ctx, filepath.Join(work.Name(), handedDist), r.manifest, func(name string, max int64) ([]byte, error) {
		return r.assembled.Read(path.Join(handedDist, name), max)
	})
}

// builder is this tool, in this checkout.
func (r *signatory) builder(ctx context.Context) (provenance.Builder, error) {
	state, err := checkout.Observe(ctx, r.config.Root, r.config.Git)
	if err != nil {
		return provenance.Builder{}, err
	}
	d, _, err := r.recipes()
	if err != nil {
		return provenance.Builder{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return provenance.Builder{}, err
	}
	program, _, err := artifact.DigestFile(self)
	return pipeline.Builder(d.Namespace, state, program), err
}
