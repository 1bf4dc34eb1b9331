package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/releases"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/consume"
	"palisade/magefiles/internal/dist"
)

// A ReleaseVerifyRequest says where a release was published: in Registry, HOST/PATH,
// or in Directory. Version is which; by default the newest. Seen is the highest
// number of an index of releases that passed before. Folder is where the release is
// kept if it passes; by default it is not. The rest is as a VerifyRequest has it, but
// that the policy is "release" by default.
type ReleaseVerifyRequest struct {
	Registry, Directory, Version, Seen, Folder string
	Policy, Key, TrustedRoot, Output           string
}

// NewReleaseVerifyRequest takes flags, as NewVerifyRequest does.
func NewReleaseVerifyRequest(registry, directory, policy, key, trustedRoot, seen, version, output, to *string) (req ReleaseVerifyRequest, err error) {
	err = take(
		flag{"registry", registry, &req.Registry}, flag{"directory", directory, &req.Directory}, flag{"policy", policy, &req.Policy},
		flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot}, flag{"seen", seen, &req.Seen},
		flag{"version", version, &req.Version}, flag{"output", output, &req.Output}, flag{"to", to, &req.Folder},
	)
	return req, err
}

// releasePolicy is what is demanded of a release that is published.
const releasePolicy = "release"

// ReleaseVerify gets a release from where it was published and verifies it, and each
// of its images in the registry, as somebody does who has nothing of the publisher's
// but its name. It needs no checkout, no cache and no key. It prints what was
// checked, and refuses with status 3.
func ReleaseVerify(ctx context.Context, req ReleaseVerifyRequest) error {
	if err := oneOf("output", req.Output, "text", "json"); err != nil {
		return outcome(err)
	}
	cfg, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	s, err := newStranger(cfg, req)
	if err != nil {
		return outcome(err)
	}
	at, images, err := choosePlace(ctx, cfg, req.Registry, req.Directory)
	if err != nil {
		return fetched(err)
	}
	of, err := s.find(ctx, at)
	if err != nil {
		return fetched(fmt.Errorf("index of releases in %s: %w", at, err))
	}
	return inFolder(req.Folder, func(dir string) error {
		return s.release(ctx, at, images, of, dir)
	})
}

// choosePlace is where a release was published; images is nil of a directory, which
// has none but their files.
func choosePlace(ctx context.Context, cfg *config.Verifying, named, directory string) (at consume.Place, images *consume.Registry, err error) {
	if directory != "" {
		if named != "" {
			return nil, nil, fmt.Errorf("%w: -registry and -directory each name where a release was published: leave one out", config.ErrUsage)
		}
		return consume.Directory(directory), nil, nil
	}
	if named, err = chooseRegistry(cfg, named); err != nil {
		return nil, nil, err
	}
	images, err = consume.InRegistry(ctx, named, registry.Options{Keychain: credentials})
	return images, images, err
}

// A stranger verifies what was published.
type stranger struct {
	policy  policy.Policy
	trust   verify.Trust
	seen    uint64
	version string // of the release; "" for the newest
	output  string
	quiet   bool // prints what does not pass alone
}

func newStranger(cfg *config.Verifying, req ReleaseVerifyRequest) (s *stranger, err error) {
	s = &stranger{version: req.Version, output: req.Output}
	if s.seen, err = numberSeen(req.Seen); err != nil {
		return nil, err
	}
	if req.Policy == "" {
		req.Policy = releasePolicy
	}
	if s.policy, _, err = choosePolicy(req.Policy); err != nil {
		return nil, err
	}
	s.trust, err = chooseTrust(cfg, s.policy, req.Key, req.TrustedRoot)
	return s, err
}

// find is the release that is meant in the index of releases of a place. Nothing is
// read of one that is not signed, and none that is old is followed.
func (s *stranger) find(ctx context.Context, at consume.Place) (r releases.Release, err error) {
	index, signature, err := at.Index(ctx)
	if err != nil && (!errors.Is(err, consume.ErrNone) || s.seen == 0) {
		return r, err
	}
	return s.knows(index, signature)
}

// knows has everything be held against that index of releases, and is the release
// in it that is meant.
func (s *stranger) knows(index, signature []byte) (r releases.Release, err error) {
	s.trust.Fresh = &verify.Freshness{Index: index, Bundle: signature, Seen: s.seen, Version: s.version}
	i, err := s.trust.Releases(s.policy)
	if err == nil {
		err = i.Check(s.seen, s.trust.Now)
	}
	if err != nil {
		return r, err
	}
	for _, one := range i.Releases {
		if one.Version == s.version {
			return i.Find(one.Manifest, s.version)
		}
	}
	if s.version != "" {
		return r, fmt.Errorf("%w: it lists no version %.40q", releases.ErrNotReleased, s.version)
	}
	r, any := i.Newest()
	if !any {
		return r, fmt.Errorf("%w: every one that was released", releases.ErrWithdrawn)
	}
	return r, nil
}

// release fetches a release into an empty folder, and verifies it and its images.
func (s *stranger) release(ctx context.Context, at consume.Place, images *consume.Registry, of releases.Release, dir string) error {
	if err := into(dir, func(root *os.Root) error { return at.Files(ctx, of, root) }); err != nil {
		return fetched(err)
	}
	name := fmt.Sprintf("release %s in %s", of.Version, at)
	if err := s.files(ctx, name, dir); err != nil {
		return err
	}
	if images == nil {
		if len(of.Images) > 0 {
			fmt.Fprintf(os.Stderr, "%s: its %d images were verified as files: -registry=HOST/PATH has them verified where they are run from\n", at, len(of.Images))
		}
		return nil
	}
	if err := s.images(ctx, images, of); err != nil {
		return err
	}
	made, err := imagesIn(dir)
	if err != nil {
		return err
	}
	return s.tags(ctx, images, made)
}

// imagesIn are the images of the release in a folder.
func imagesIn(dir string) ([]artifact.Image, error) {
	f, err := os.Open(filepath.Join(dir, dist.Index))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return nil, err
	}
	return m.Images, nil
}

func into(dir string, fetch func(*os.Root) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fetch(root)
}

// files verifies the release in a folder.
func (s *stranger) files(ctx context.Context, name, dir string) error {
	report, err := verify.Release(ctx, dir, s.policy, s.trust)
	return s.told(report, name, err)
}

// images verifies the images of a release by their digests, in the registry.
func (s *stranger) images(ctx context.Context, at *consume.Registry, of releases.Release) error {
	for _, i := range of.Images {
		source, err := openImage(ctx, at.Image(i))
		if err != nil {
			return fetched(err)
		}
		report, err := verify.Image(ctx, at.Image(i), source, s.policy, s.trust)
		if err := s.told(report, at.Image(i), err); err != nil {
			return err
		}
	}
	return nil
}

// tags refuses a version that names another image than the one that was verified:
// what people run is called by it.
func (s *stranger) tags(ctx context.Context, at *consume.Registry, images []artifact.Image) error {
	for _, i := range images {
		name := fmt.Sprintf("%s/%s:%s", at, i.Component, i.Version)
		source, err := openImage(ctx, name)
		if err != nil {
			return fetched(err)
		}
		d, err := source.Resolve(ctx)
		if err == nil && d != i.Index {
			err = fmt.Errorf("%w: %s is of %s, and the image of the release is %s: do not use it, and tell the publisher", consume.ErrMismatch, name, d, i.Index)
		}
		if err != nil {
			return fetched(err)
		}
	}
	return nil
}

// told prints a report, and gives what was verified its status.
func (s *stranger) told(report verify.Report, name string, err error) error {
	if len(report.Lines) > 0 && !errors.Is(err, verify.ErrUnreachable) && (err != nil || !s.quiet) {
		if err := printReport(report, s.output); err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
	}
	if err != nil {
		return verdict(report, name, err)
	}
	if s.quiet {
		passed := slices.DeleteFunc(slices.Clone(report.Lines), func(l verify.Line) bool { return l.Status != verify.Pass })
		fmt.Fprintf(os.Stderr, "%s passed %d checks under policy %s\n", name, len(passed), report.Policy)
	}
	return nil
}

// refusedAsFetched are why what was published is refused before it is verified.
var refusedAsFetched = []error{
	consume.ErrForm, consume.ErrTooLarge, consume.ErrMismatch, ocilayout.ErrMissing,
	registry.ErrDigest, registry.ErrMediaType, registry.ErrTooLarge, registry.ErrAnswer,
	verify.ErrNoReleases, verify.ErrReleases, verify.ErrForeign,
	releases.ErrMalformed, releases.ErrRollback, releases.ErrExpired, releases.ErrFuture,
	releases.ErrNotReleased, releases.ErrSuperseded, releases.ErrVersion, releases.ErrWithdrawn,
}

// fetched gives err the status of what was published and could not be fetched: that
// it is to be refused, or that nothing could be told.
func fetched(err error) error {
	switch {
	case errors.Is(err, bundle.ErrTrust), errors.Is(err, registry.ErrReference):
		return outcome(fmt.Errorf("%w: %w", config.ErrUsage, err))
	case errors.Is(err, verify.ErrUnreachable):
		return err
	case slices.ContainsFunc(refusedAsFetched, func(refused error) bool { return errors.Is(err, refused) }):
		return failure{fmt.Errorf("%w: %w", verify.ErrRefused, err), statusRefused}
	}
	return outcome(err)
}

// inFolder calls do with an empty folder, which gets the name if do returns no error,
// and is removed otherwise. Without a name it is removed in any case.
func inFolder(name string, do func(dir string) error) error {
	above, pattern := "", "palisade-release-*"
	if name != "" {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return outcome(fmt.Errorf("%w: -to=%s is there already: name a folder that is not", config.ErrUsage, name))
		}
		above, pattern = filepath.Dir(filepath.Clean(name)), "."+filepath.Base(name)+".tmp-*"
	}
	dir, err := os.MkdirTemp(above, pattern)
	if err != nil {
		return fmt.Errorf("making a folder for the release: %w", err)
	}
	err = do(dir)
	if err == nil && name != "" {
		if err = errors.Join(os.Chmod(dir, 0o755), os.Rename(dir, name)); err == nil {
			return nil
		}
		err = fmt.Errorf("keeping the release: %w", err)
	}
	if left := os.RemoveAll(dir); err == nil && left != nil {
		err = fmt.Errorf("removing a folder of the release: %w", left)
	}
	return err
}
