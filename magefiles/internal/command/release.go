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
	"palisade/magefiles/internal/attest"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/keys"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/release"
	"palisade/magefiles/internal/vuln"
	"palisade/recipes"
)

// A StepRequest is what the steps of a release have in common. Plan is the file of
// the plan, by default plan.json of PALISADE_RELEASE; From is what the step before
// handed over, a file or a folder of such files, by default the folder out there.
// Digests are KEY=sha256:…, with commas between, of the plan and of every file that is
// taken, as handover.ParseDigests has them: each file has to be the one that its own
// key names. Output is "text", the default, or "env": then nothing but KEY=sha256:… is
// printed, for a CI to hand on.
type StepRequest struct{ Plan, From, Digests, Output string }

func (r *StepRequest) flags(plan, from, digests, output *string) []flag {
	return []flag{{"plan", plan, &r.Plan}, {"from", from, &r.From}, {"digests", digests, &r.Digests}, {"output", output, &r.Output}}
}

// NewStepRequest takes flags, as NewVerifyRequest does.
func NewStepRequest(plan, from, digests, output *string) (req StepRequest, err error) {
	err = take(req.flags(plan, from, digests, output)...)
	return req, err
}

// refusals are why a step ends with status 3, whoever finds out.
var refusals = []error{
	release.ErrMalformed, release.ErrDirty, release.ErrTag, release.ErrCommit,
	release.ErrMissing, release.ErrDouble, release.ErrDiffers, release.ErrForeign,
	handover.ErrMalformed, handover.ErrStep, handover.ErrPlan, handover.ErrDigest, handover.ErrTooLarge,
	attest.ErrObserved, attest.ErrForeign, keys.ErrToken, vuln.ErrSnapshot, vuln.ErrDiffers,
}

// stepped gives the error of a step its exit status.
func stepped(err error) error {
	switch {
	case errors.Is(err, release.ErrShards):
		return outcome(fmt.Errorf("%w: %w", config.ErrUsage, err))
	case slices.ContainsFunc(refusals, func(refused error) bool { return errors.Is(err, refused) }):
		return failure{err, statusRefused}
	}
	return outcome(refusedVuln(err))
}

// A step is one of a release, in a checkout that is the one of the plan. What it
// knows lies in files alone, in PALISADE_RELEASE: plan.json, what each step made in
// out/, and what it makes that of in work/, which may be removed at any time.
type step struct {
	name    string // as package handover has it
	shard   handover.Shard
	config  *config.Config
	plan    release.Plan
	digest  artifact.Digest // of the plan
	request StepRequest
	digests handover.Digests // nil if any will do
}

// openStep reads the plan and holds the checkout against it. shard is empty for a
// step that has none.
func openStep(ctx context.Context, req StepRequest, name, shard string) (*step, error) {
	if err := oneOf("output", req.Output, "text", "env"); err != nil {
		return nil, err
	}
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	s := &step{name: name, config: cfg, request: req}
	if s.digests, err = handover.ParseDigests(req.Digests); err != nil {
		return nil, fmt.Errorf("%w: -digests: %w", config.ErrUsage, err)
	}
	if err := s.readPlan(); err != nil {
		return nil, err
	}
	if shard != "" {
		if s.shard, err = s.plan.ShardOf(shard); err != nil {
			return nil, fmt.Errorf("%w: -shard: %w", config.ErrUsage, err)
		}
	}
	if err := s.knowsKeys(); err != nil {
		return nil, err
	}
	return s, s.hold(ctx)
}

// planFile is where the plan of a release lies.
func planFile(cfg *config.Config) string { return filepath.Join(cfg.Release, "plan.json") }

func (s *step) readPlan() error {
	name := s.request.Plan
	if name == "" {
		name = planFile(s.config)
	}
	data, err := readSmall(name, release.MaxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no plan in %s: run mage release:plan, or name the file that it made with -plan=FILE", config.ErrUsage, name)
	}
	if err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	s.digest = artifact.DigestBytes(data)
	if err := s.digests.Hold(handover.PlanKey, s.digest); err != nil {
		return fmt.Errorf("reading the plan %s: %w", name, err)
	}
	if s.plan, err = release.ParsePlan(data); err != nil {
		return fmt.Errorf("reading the plan %s: %w", name, err)
	}
	return nil
}

// hold refuses a checkout that is not the one of the plan.
func (s *step) hold(ctx context.Context) error {
	state, err := checkout.Observe(ctx, s.config.Root, s.config.Git)
	if err != nil {
		return err
	}
	tool, err := toolOf(state)
	if err != nil {
		return err
	}
	fsys := os.DirFS(filepath.Join(s.config.Root, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		return err
	}
	settings, _, err := artifact.DigestFile(filepath.Join(s.config.Root, "recipes", "distribution.yaml"))
	if err != nil {
		return err
	}
	err = s.plan.Hold(state, tool, settings, func(component string) (artifact.Digest, error) {
		r, err := recipes.Load(fsys, d, component)
		if err != nil {
			return artifact.Digest{}, err
		}
		return r.Digest, nil
	})
	if err != nil {
		return fmt.Errorf("holding %s against the plan: %w", s.config.Root, err)
	}
	return nil
}

// toolOf is what makes a release: the sources in the checkout, or this program if
// they are elsewhere.
func toolOf(state checkout.State) (string, error) {
	if state.Tool.Sum != "" {
		return state.Tool.Sum, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	digest, _, err := artifact.DigestFile(self)
	return digest.String(), err
}

// file is what the step hands over.
func (s *step) file() string {
	return filepath.Join(s.config.Release, "out", handover.Name(s.name, s.shard))
}

// header is that of what the step makes of inputs.
func (s *step) header(inputs ...*handover.File) handover.Header {
	h := handover.Header{Schema: handover.Schema, Step: s.name, Plan: s.digest, Commit: s.plan.Commit, Tool: s.plan.Tool, Shard: s.shard}
	for _, f := range inputs {
		h.Inputs = append(h.Inputs, f.Digest())
	}
	h.Inputs = handover.SortDigests(h.Inputs)
	return h
}

// String names the step for a person.
func (s *step) String() string {
	if s.shard == (handover.Shard{}) {
		return s.name
	}
	return s.name + " " + s.shard.String()
}

// say prints the digest of what is handed over.
func (s *step) say(digest artifact.Digest) error {
	var err error
	if s.request.Output == "env" {
		_, err = fmt.Fprintf(os.Stdout, "%s=%s\n", handover.Key(s.name, s.shard), digest)
	} else {
		_, err = fmt.Fprintf(os.Stdout, "%s  %s\n", s.file(), digest)
	}
	return err
}

// progress is where lines go that are the result of a command on its own, and here
// only on the way to one.
func (s *step) progress() io.Writer {
	if s.request.Output == "env" {
		return os.Stderr
	}
	return os.Stdout
}

// hand hands over those files below work that keep says.
func (s *step) hand(ctx context.Context, h handover.Header, work *os.Root, keep func(name string) bool) error {
	var err error
	if h.Files, err = handover.Files(ctx, work, keep); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.file()), 0o755); err != nil {
		return fmt.Errorf("handing over: %w: make %s writable, or set PALISADE_RELEASE", err, s.config.Release)
	}
	digest, err := handover.Write(ctx, s.file(), h, work)
	if err != nil {
		return err
	}
	return s.say(digest)
}

// pipeline is what makes those cells of the plan that keep says, with results in
// the folder dist of work.
func (s *step) pipeline(work *os.Root, collected bool, keep func(release.Cell) bool) (*session, error) {
	cfg := *s.config
	cfg.Dist, cfg.Hermetic = filepath.Join(work.Name(), "dist"), true
	plan, err := pipeline.NewPlan(&cfg, Selection{Platform: "all", Variant: strings.Join(recipes.Variants(), ",")})
	if err != nil {
		return nil, err
	}
	plan.Run, plan.Collected = s.digest, collected
	plan.Only(func(c pipeline.Cell) bool {
		return slices.ContainsFunc(s.plan.Cells, func(w release.Cell) bool {
			return w.Component == c.Recipe.Name && w.Platform == c.Platform && w.Variant == c.Variant && keep(w)
		})
	})
	con := console.New(os.Stdout, os.Stderr, console.Plain(!cfg.Terminal))
	p, err := pipeline.Open(&cfg, con, plan)
	if err != nil {
		con.Close()
		return nil, err
	}
	return &session{&cfg, con, plan, p}, nil
}
