package command

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/policies"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/config"
)

// A VerifyRequest says what to verify, and by what. Path is a release's folder
// or one artifact in it, by default what "mage build" made; Image is in place of
// it a reference to an image in a registry; Policy is the name
// of one that ships or else a file, by default "workstation"; Key is a file
// with a public key in PEM, by default this user's; TrustedRoot is a file, by
// default what PALISADE_TRUSTED_ROOT names. Output is "text", the default, or
// "json". Summary is the file that a summary of what passed is written to. The rest
// is of freshness.
type VerifyRequest struct {
	Path, Image, Policy, Key, TrustedRoot, Output, Summary string
	FreshRequest
}

// NewVerifyRequest takes flags, of which nil is one that was not given. One that
// was given empty is refused: a variable that a script forgot to set must not
// choose another release or a milder policy.
func NewVerifyRequest(path, image, policy, key, trustedRoot, output, vsa, index, seen, version *string) (req VerifyRequest, err error) {
	err = take(
		flag{"path", path, &req.Path}, flag{"image", image, &req.Image}, flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key},
		flag{"trustedRoot", trustedRoot, &req.TrustedRoot}, flag{"output", output, &req.Output}, flag{"vsa", vsa, &req.Summary},
		flag{"index", index, &req.Index}, flag{"seen", seen, &req.Seen}, flag{"version", version, &req.Version},
	)
	return req, err
}

// A flag is one of a target, nil if it was not given, and where it goes.
type flag struct {
	name  string
	given *string
	field *string
}

func take(flags ...flag) error {
	for _, f := range flags {
		switch {
		case f.given == nil:
		case *f.given == "":
			return outcome(fmt.Errorf("%w: -%s= is empty: say which, or leave the flag out", config.ErrUsage, f.name))
		default:
			*f.field = *f.given
		}
	}
	return nil
}

// defaultPolicy is what a user demands of his own builds.
const defaultPolicy = "workstation"

// Verify prints what was checked, and refuses with status 3. It reads no
// recipe, builds nothing, and needs no network, unless an image lies there.
func Verify(ctx context.Context, req VerifyRequest) error {
	if err := oneOf("output", req.Output, "text", "json"); err != nil {
		return outcome(err)
	}
	cfg, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	v, err := prepare(cfg, req)
	if err != nil {
		return outcome(err)
	}
	var summary *summary
	if req.Summary != "" {
		if summary, err = openSummary(ctx, cfg, req.Summary, v.folder); err != nil {
			return outcome(err)
		}
	}

	report, err := v.check(ctx, v.name, v.policy, v.trust)
	if len(report.Lines) > 0 && !errors.Is(err, verify.ErrUnreachable) { // nothing was refused, and nothing passed
		if err := printReport(report, req.Output); err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
	}
	if err != nil {
		return verdict(report, v.name, err)
	}
	if summary != nil {
		return summary.write(ctx, report, v.uri)
	}
	return nil
}

// A verification is one that is yet to be made.
type verification struct {
	check  check
	name   string // of what is verified
	folder string // of the release; "" of an image in a registry
	policy policy.Policy
	uri    string // of the policy
	trust  verify.Trust
}

func prepare(cfg *config.Verifying, req VerifyRequest) (v verification, err error) {
	if v.check, v.name, v.folder, err = chooseSubject(cfg, req); err != nil {
		return v, err
	}
	if v.policy, v.uri, err = choosePolicy(req.Policy); err != nil {
		return v, err
	}
	if v.trust, err = chooseTrust(cfg, v.policy, req.Key, req.TrustedRoot); err != nil {
		return v, err
	}
	v.trust.Fresh, err = chooseIndex(req.FreshRequest, v.folder, v.policy)
	return v, err
}

// A check is how something is verified.
type check func(ctx context.Context, name string, p policy.Policy, t verify.Trust) (verify.Report, error)

// chooseSubject is what to verify, how, and the release's folder; there is none
// of an image in a registry.
func chooseSubject(cfg *config.Verifying, req VerifyRequest) (do check, name, folder string, err error) {
	if req.Image == "" {
		name, single, err := releaseAt(cfg, req.Path)
		if single {
			return verify.File, name, filepath.Dir(name), err
		}
		return verify.Release, name, name, err
	}
	if req.Path != "" {
		return nil, "", "", fmt.Errorf("%w: -image and -path each name what to verify: leave one out", config.ErrUsage)
	}
	return func(ctx context.Context, name string, p policy.Policy, t verify.Trust) (verify.Report, error) {
		source, err := openImage(ctx, name)
		if err != nil {
			return verify.Report{}, err
		}
		return verify.Image(ctx, name, source, p, t)
	}, req.Image, "", nil
}

// verdict is err, shorter where the report has said it already.
func verdict(report verify.Report, path string, err error) error {
	switch {
	case errors.Is(err, bundle.ErrTrust) && !errors.Is(err, verify.ErrRefused), errors.Is(err, policy.ErrPolicy):
		return outcome(fmt.Errorf("%w: %w", config.ErrUsage, err))
	case errors.Is(err, config.ErrUsage):
		return outcome(err)
	case !errors.Is(err, verify.ErrRefused):
		return err
	}
	failed := 0
	for _, l := range report.Lines {
		if l.Status == verify.Fail {
			failed++
		}
	}
	return failure{fmt.Errorf("%w: %s: %d of %d checks failed under policy %s: do not use it", verify.ErrRefused, path, failed, len(report.Lines), report.Policy), statusRefused}
}

func printReport(r verify.Report, output string) error {
	if output != "json" {
		return r.WriteText(os.Stdout)
	}
	data, err := r.Encode()
	if err == nil {
		_, err = os.Stdout.Write(data)
	}
	return err
}

// releaseAt is what to verify, and whether it is one artifact.
func releaseAt(cfg *config.Verifying, name string) (path string, single bool, err error) {
	if path = name; path == "" {
		path = cfg.Dist
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "":
		return "", false, fmt.Errorf("%w: there is no release in %s: run mage build, or name a folder or an artifact: -path=DIR|FILE", config.ErrUsage, path)
	case errors.Is(err, fs.ErrNotExist):
		return "", false, fmt.Errorf("%w: there is nothing at %s: name a release's folder, or an artifact beside its release.json", config.ErrUsage, path)
	case err != nil:
		return "", false, fmt.Errorf("looking at what to verify: %w", err)
	}
	return path, !info.IsDir(), nil
}

// choosePolicy reads a policy that ships, by its name, or else a file. The URI
// is what a summary calls it.
func choosePolicy(name string) (p policy.Policy, uri string, err error) {
	if name == "" {
		name = defaultPolicy
	}
	if slices.Contains(policies.Names, name) {
		p, err = policies.Load(name)
		return p, policies.URI(name), err
	}
	data, err := readSmall(name, policy.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return p, "", fmt.Errorf("%w: there is no policy %q: neither such a file, nor one of those that ship: %s", config.ErrUsage, name, strings.Join(policies.Names, ", "))
	}
	if err != nil {
		return p, "", fmt.Errorf("reading a policy: %w", err)
	}
	if p, err = policy.Parse(data); err != nil {
		return p, "", fmt.Errorf("%w: reading %s: %w", config.ErrUsage, name, err)
	}
	return p, p.URI(), nil
}

// chooseTrust reads what the policy cannot hold, and nothing that it has no
// use for.
func chooseTrust(cfg *config.Verifying, p policy.Policy, keyFile, rootFile string) (verify.Trust, error) {
	t := verify.Trust{Now: time.Now()}
	s := p.Signers()
	switch {
	case s.Given:
		key, err := readKey(cfg, p, keyFile)
		if err != nil {
			return t, err
		}
		t.Keys = []crypto.PublicKey{key}
	case keyFile != "":
		return t, fmt.Errorf("%w: policy %s says itself who may sign, and takes no key: leave -key out, or choose another -policy", config.ErrUsage, p.Name())
	}
	needed := len(s.Identities)+len(p.Rebuilders().Identities) > 0 || s.Log || s.Timestamp
	if rootFile == "" {
		rootFile = cfg.Signing.Root
	}
	switch {
	case rootFile == "" && needed:
		return t, fmt.Errorf("%w: policy %s believes certificates, timestamps or logs: say whose, with -trustedRoot=FILE or PALISADE_TRUSTED_ROOT", config.ErrUsage, p.Name())
	case rootFile == "":
		return t, nil
	}
	data, err := readSmall(rootFile, bundle.MaxRoot)
	if err == nil {
		t.Root, err = bundle.ParseRoot(data)
	}
	if err != nil {
		return t, fmt.Errorf("%w: reading the trusted root %s: %w", config.ErrUsage, rootFile, err)
	}
	return t, nil
}

// readKey reads the key that a policy wants to be given: this user's, unless
// another is named.
func readKey(cfg *config.Verifying, p policy.Policy, name string) (crypto.PublicKey, error) {
	own := name == ""
	if own {
		if name = cfg.Signing.Key; name == "" || strings.Contains(name, "://") {
			return nil, fmt.Errorf("%w: policy %s wants a key, and no file is known to hold yours: name the signer's public key with -key=FILE", config.ErrUsage, p.Name())
		}
		name = config.PublicKey(name)
	}
	data, err := readSmall(name, 64<<10)
	if errors.Is(err, fs.ErrNotExist) && own {
		return nil, fmt.Errorf("%w: policy %s wants a key, and you have none in %s: run mage build, which makes one and signs with it, or name the signer's with -key=FILE", config.ErrUsage, p.Name(), name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading a public key: %w", config.ErrUsage, err)
	}
	key, err := signing.ParsePublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the public key %s: %w", config.ErrUsage, name, err)
	}
	return key, nil
}

// readSmall reads a regular file of at most max bytes.
func readSmall(name string, max int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > max {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, max)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// within reports whether a file lies in a folder, by their names.
func within(name, dir string) bool {
	file, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(rel)
}
