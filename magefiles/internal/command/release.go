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
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/vuln"
	"palisade/recipes"
)

// A StepRequest is what the steps of a release have in common. Plan is the file of
// the plan, by default plan.json of PALISADE_RELEASE; From is what the step before
// handed over, a file or a folder of such files, by default the folder out there.
// With Digests, with commas between, the plan and every file that is taken has to
// be one of these. Output is "text", the default, or "env": then nothing but
// KEY=sha256:… is printed, for a CI to hand on.
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
	digests []artifact.Digest // nil if any will do
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
	if s.digests, err = parseDigests(req.Digests); err != nil {
		return nil, err
	}
	if err := s.readPlan(); err != nil {
		return nil, err
	}
	if shard != "" {
		if s.shard, err = s.plan.ShardOf(shard); err != nil {
			return nil, fmt.Errorf("%w: -shard: %w", config.ErrUsage, err)
		}
	}
	return s, s.hold(ctx)
}

func parseDigests(list string) ([]artifact.Digest, error) {
	if list == "" {
		return nil, nil
	}
	var digests []artifact.Digest
	for text := range strings.SplitSeq(list, ",") {
		d, err := artifact.ParseDigest(text)
		if err != nil {
			return nil, fmt.Errorf("%w: -digests: %w: a step before this one has not said its digest, or another wrote it", config.ErrUsage, err)
		}
		digests = append(digests, d)
	}
	return digests, nil
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
	if s.digests != nil && !slices.Contains(s.digests, s.digest) {
		return fmt.Errorf("reading the plan %s: %w: it is %s, which is none of -digests", name, handover.ErrDigest, s.digest)
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

// done reports whether the step was made already, of the same, and says so.
func (s *step) done(ctx context.Context, h handover.Header) (bool, error) {
	digest, ok := handover.Done(ctx, s.file(), h)
	if !ok {
		return false, nil
	}
	fmt.Fprintf(os.Stderr, "release:%s is done already, of the same plan: remove %s to have it done again\n", s, s.file())
	return true, s.say(digest)
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
	key := s.name
	if s.shard != (handover.Shard{}) {
		key += fmt.Sprintf("_%d", s.shard.Number)
	}
	var err error
	if s.request.Output == "env" {
		_, err = fmt.Fprintf(os.Stdout, "%s=%s\n", key, digest)
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

// work is the folder in which the step goes on where a former run of it, of the
// same plan, has stopped. Nobody else works there until it is given back.
func (s *step) work(ctx context.Context) (work *os.Root, leave func(), err error) {
	fail := func(err error) (*os.Root, func(), error) {
		return nil, nil, fmt.Errorf("preparing release:%s in %s: %w", s, s.config.Release, err)
	}
	dir := filepath.Join(s.config.Release, "work", strings.TrimSuffix(handover.Name(s.name, s.shard), ".tar"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	unlock, err := store.LockFolder(ctx, dir)
	if err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = s.begin(root)
	}
	if err != nil {
		unlock()
		return fail(err)
	}
	return root, func() { root.Close(); unlock() }, nil
}

// begun is the file that names the plan that a folder of work is of.
const begun = ".plan"

// begin empties a folder in which something else was made.
func (s *step) begin(work *os.Root) error {
	if said, err := work.ReadFile(begun); err == nil && string(said) == s.digest.String() {
		return nil
	}
	entries, err := fs.ReadDir(work.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := work.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return store.WriteFile(filepath.Join(work.Name(), begun), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, s.digest.String())
		return err
	})
}

// inputs opens what an earlier step handed over: the file that -from names, or all
// of that step's in the folder. Whoever calls closes them.
func (s *step) inputs(ctx context.Context, of string) (files []*handover.File, err error) {
	names, err := s.found(of)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	for _, name := range names {
		f, err := handover.Open(ctx, name, handover.Want{Step: of, Plan: s.digest, Digests: s.digests})
		if errors.Is(err, handover.ErrMalformed) {
			err = fmt.Errorf("%w; hand it over again, or remove it", err)
		}
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if h := f.Header(); h.Commit != s.plan.Commit || h.Tool != s.plan.Tool {
			return files, fmt.Errorf("%w: %s was made of commit %s by the tool %s, and the plan is of %s and %s", release.ErrForeign, name, h.Commit, h.Tool, s.plan.Commit, s.plan.Tool)
		}
	}
	if s.digests == nil {
		fmt.Fprintf(os.Stderr, "release:%s takes what release:%s left here as it is: on another machine, say its digest with -digests\n", s, of)
	}
	return files, nil
}

func (s *step) found(of string) ([]string, error) {
	from := s.request.From
	if from == "" {
		from = filepath.Join(s.config.Release, "out")
	}
	info, err := os.Stat(from)
	switch {
	case err == nil && !info.IsDir():
		return []string{from}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	pattern := of + ".tar"
	if of == handover.Build || of == handover.Audit {
		pattern = of + "-*.tar"
		if s.shard != (handover.Shard{}) {
			pattern = handover.Name(of, s.shard)
		}
	}
	names, err := fs.Glob(os.DirFS(from), pattern) // not of a folder whose own name is a pattern
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: there is no %s in %s: run mage release:%s, or name what it handed over with -from=FILE|DIR", config.ErrUsage, pattern, from, of)
	}
	for i := range names {
		names[i] = filepath.Join(from, names[i])
	}
	return names, err
}

func closeAll(files []*handover.File) {
	for _, f := range files {
		f.Close()
	}
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
