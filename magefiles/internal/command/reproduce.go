package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/imagediff"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/diffoscope"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/repro"
	"palisade/magefiles/internal/reproduce"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// A ReproduceRequest says what to build again: what a VerifyRequest says to
// verify, but for Output and Summary of that, which has to pass first. Repository
// is a clone whose history may hold the commit that something was built from, by
// default the checkout. Folder is where the attestations go, by default beside
// what they are of; of an image in a registry it has to be said.
type ReproduceRequest struct {
	VerifyRequest
	Repository, Folder string
	Sign               bool
}

// NewReproduceRequest takes flags, as NewVerifyRequest does.
func NewReproduceRequest(path, image, policy, key, trustedRoot, repository, output, index, seen, version *string, sign *bool) (req ReproduceRequest, err error) {
	err = take(
		flag{"path", path, &req.Path}, flag{"image", image, &req.Image}, flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key},
		flag{"trustedRoot", trustedRoot, &req.TrustedRoot}, flag{"repository", repository, &req.Repository}, flag{"output", output, &req.Folder},
		flag{"index", index, &req.Index}, flag{"seen", seen, &req.Seen}, flag{"version", version, &req.Version},
	)
	req.Sign = sign == nil || *sign
	return req, err
}

// Reproduce verifies what was released, builds it again from its provenance in
// other surroundings, prints PASS or FAIL for each artifact and image, with every
// difference, and signs that what is equal was rebuilt. What is refused, what
// differs, and what nobody can build, is status 3; what cannot be built here, for
// lack of its sources or otherwise, is 1.
func Reproduce(ctx context.Context, req ReproduceRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	verifying, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	v, err := prepare(verifying, req.VerifyRequest)
	if err != nil {
		return outcome(err)
	}
	attester, err := openAttester(ctx, cfg, v, req)
	if err != nil {
		return outcome(err)
	}
	targets, err := verified(ctx, v)
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return err
	}
	scratch, remove, err := s.Temp("reproduce")
	if err != nil {
		return err
	}
	defer remove()
	if err := compileHere(cfg); err != nil {
		return err
	}
	report, err := rebuildAll(ctx, cfg, req.Repository, scratch, targets)
	if errors.Is(err, reproduce.ErrContradiction) {
		return failure{err, statusRefused}
	}
	if err != nil {
		return err
	}
	printVariations(report.Variations)
	if err := printResults(report); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := attester.write(ctx, s, report.Attested); err != nil {
		return err
	}
	if !report.Equal() {
		return failure{fmt.Errorf("%w: what was rebuilt from the provenance is not what was released", ErrNotReproducible), statusRefused}
	}
	return nil
}

// verified is what has to be rebuilt, once all of it has passed.
func verified(ctx context.Context, v verification) ([]reproduce.Target, error) {
	report, err := v.check(ctx, v.name, v.policy, v.trust)
	if err != nil {
		if len(report.Lines) > 0 && !errors.Is(err, verify.ErrUnreachable) {
			if err := printReport(report, "text"); err != nil {
				return nil, fmt.Errorf("writing results: %w", err)
			}
		}
		if errors.Is(err, policy.ErrRebuilders) {
			fmt.Fprintf(os.Stderr, "policy %s demands rebuilders, which there are too few of until you are one: name a -policy that demands none\n", v.policy.Name())
		}
		return nil, verdict(report, v.name, err)
	}
	fmt.Fprintf(os.Stderr, "%s passed %d checks under policy %s\n", v.name, len(report.Lines), report.Policy)
	open, err := v.trust.Attestations(v.policy)
	if err != nil {
		return nil, err
	}
	if v.folder == "" {
		return verifiedImage(ctx, v, report, open)
	}
	index, err := artifact.ParseDigest(report.Release)
	if err != nil {
		return nil, err
	}
	only := ""
	if v.name != v.folder {
		only = filepath.Base(v.name)
	}
	return reproduce.Release(v.folder, only, index, open)
}

// verifiedImage is likewise what an image in a registry has to be rebuilt.
func verifiedImage(ctx context.Context, v verification, report verify.Report, open reproduce.Open) ([]reproduce.Target, error) {
	source, err := openImage(ctx, v.name)
	if err != nil {
		return nil, outcome(err)
	}
	index, err := artifact.ParseDigest(report.Image) // a tag may name another one by now
	if err != nil {
		return nil, err
	}
	passed, err := report.Summary(verifierID, v.uri)
	if err != nil {
		return nil, err
	}
	var digests []artifact.Digest
	for _, s := range passed.Subject {
		d, err := artifact.ParseDigest("sha256:" + s.Digest["sha256"])
		if err != nil {
			return nil, err
		}
		digests = append(digests, d)
	}
	targets, err := reproduce.Image(ctx, v.name, source, digests, open)
	if err != nil {
		return nil, err
	}
	targets[len(targets)-1].Explain = func(ctx context.Context, rebuilt string) ([]string, error) {
		was, err := readIn(ctx, source, index, v.name)
		if err != nil {
			return nil, err
		}
		is, err := readImage(ctx, rebuilt)
		if err != nil {
			return nil, err
		}
		changed, err := imagediff.Diff(was, is)
		var lines []string
		for _, c := range changed {
			lines = append(lines, c.String())
		}
		return lines, err
	}
	return targets, nil
}

// rebuildAll rebuilds the targets below scratch.
func rebuildAll(ctx context.Context, cfg *config.Config, repository, scratch string, targets []reproduce.Target) (reproduce.Report, error) {
	there, err := elsewhere(cfg, scratch)
	if err == nil && repository != "" {
		repository, err = filepath.Abs(repository)
	}
	if err != nil {
		return reproduce.Report{}, err
	}
	program, _, err := artifact.DigestFile(there.Self)
	if err != nil {
		return reproduce.Report{}, fmt.Errorf("reading this program: %w", err)
	}
	state, err := checkout.Observe(ctx, cfg.Root, cfg.Git)
	if err != nil {
		return reproduce.Report{}, err
	}
	distribution, err := recipes.LoadDistribution(os.DirFS(filepath.Join(cfg.Root, "recipes")))
	if err != nil {
		return reproduce.Report{}, err
	}
	return reproduce.Run(ctx, reproduce.Options{
		Targets: targets, Elsewhere: there,
		Sources:    reproduce.Sources{Root: cfg.Root, Repository: repository, Git: cfg.Git},
		Diffoscope: diffoscope.Tool{Program: cfg.Diffoscope, Path: valueIn(cfg.Fetch, "PATH"), Temp: scratch},
		Rebuilder:  pipeline.Builder(distribution.Namespace, state, program),
		Invocation: pipeline.Invocation(cfg),
		Now:        time.Now,
		Note:       func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	})
}

// valueIn is a variable's in an environment.
func valueIn(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func printResults(report reproduce.Report) error {
	var lines strings.Builder
	for _, r := range report.Results {
		result := "PASS"
		if !r.Equal() {
			result = "FAIL"
		}
		fmt.Fprintf(&lines, "%s %s %s\n", result, r.Name, r.Digest)
		for _, c := range r.Changes {
			fmt.Fprintf(&lines, "  built of something else: %s\n", c)
		}
		for _, name := range r.Differs {
			fmt.Fprintf(&lines, "  differs: %s\n", name)
		}
		for _, c := range repro.Causes(r.Differences) {
			fmt.Fprintf(&lines, "  likely cause: %s\n", c)
		}
		for _, d := range r.Differences {
			fmt.Fprintf(&lines, "  %s\n", d)
		}
		for _, more := range r.More {
			fmt.Fprintf(&lines, "  %s\n", more)
		}
	}
	_, err := os.Stdout.WriteString(lines.String())
	return err
}

// An attester signs that something was rebuilt, and writes that to dir. The zero
// attester says that it does not.
type attester struct {
	signer  signing.Signer
	trust   *bundle.Trust // opens what the signer signs; nil if nobody can tell before
	dir     string
	release string // the release's folder, if dir is that
}

// openAttester opens the key first: what it needs is asked for before anything is
// verified or built.
func openAttester(ctx context.Context, cfg *config.Config, v verification, req ReproduceRequest) (attester, error) {
	if !req.Sign {
		return attester{}, nil
	}
	a := attester{dir: req.Folder}
	switch {
	case req.Folder == "" && v.folder == "":
		return a, fmt.Errorf("%w: say where to write that the image was rebuilt: -output=DIR, or -sign=false", config.ErrUsage)
	case req.Folder == "" || v.folder != "" && within(req.Folder, v.folder) && within(v.folder, req.Folder):
		a.dir, a.release = v.folder, v.folder
	case v.folder != "" && within(req.Folder, v.folder):
		return a, fmt.Errorf("%w: -output=%s lies in the release, where every file that release.json does not list is refused: leave it out, to write beside what was rebuilt, or name another folder", config.ErrUsage, req.Folder)
	}
	var err error
	a.signer, a.trust, err = openSigner(ctx, cfg.Signing, "that something was rebuilt, unless with -sign=false")
	return a, err
}

func (a attester) write(ctx context.Context, s *store.Store, all []reproduce.Attested) error {
	if len(all) == 0 {
		return nil
	}
	if a.signer == nil {
		fmt.Fprintln(os.Stderr, "that it was rebuilt is not attested, with -sign=false")
		return nil
	}
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return err
	}
	unlock, err := dist.Lock(ctx, s, dir)
	if err != nil {
		return err
	}
	defer unlock()
	for _, one := range all {
		if a.release != "" {
			if err := reproduce.StillThere(a.release, one); err != nil {
				return err
			}
		}
		file, by, err := a.keep(ctx, one)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %s was rebuilt by %s\n", file, one.Target, by)
	}
	return nil
}

// keep signs and writes one statement. Nobody can find it before it has been read
// as a consumer would.
func (a attester) keep(ctx context.Context, one reproduce.Attested) (file string, by bundle.Signer, err error) {
	content := signing.Statement(one.Statement)
	data, err := a.signer.Sign(ctx, content)
	if err != nil {
		return "", by, fmt.Errorf("signing that %s was rebuilt: %w", one.Target, err)
	}
	if a.trust != nil {
		if _, err := content.Open(data, *a.trust); err != nil {
			return "", by, fmt.Errorf("reading back that %s was rebuilt: %w", one.Target, err)
		}
	}
	if by, err = bundle.Claimed(data); err != nil {
		return "", by, err
	}
	file, err = reproduce.Keep(a.dir, one, by, data)
	return file, by, err
}
