package command

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/publish"
	"palisade/recipes"
)

// A PublishRequest says which images go where. Registry is HOST/PATH, by
// default what recipes/distribution.yaml names; Component and Variant are names
// separated by commas, by default all that there are. Overwrite moves a version
// that names another image there. Policy, Key and TrustedRoot say who has to have
// signed, as those of a VerifyRequest; by default whose key the release names.
type PublishRequest struct {
	Registry, Component, Variant string
	Overwrite                    bool
	Policy, Key, TrustedRoot     string
}

// NewPublishRequest takes flags, as NewVerifyRequest does.
func NewPublishRequest(registry, component, variant, policy, key, trustedRoot *string) (req PublishRequest, err error) {
	err = take(
		flag{"registry", registry, &req.Registry}, flag{"component", component, &req.Component}, flag{"variant", variant, &req.Variant},
		flag{"policy", policy, &req.Policy}, flag{"key", key, &req.Key}, flag{"trustedRoot", trustedRoot, &req.TrustedRoot},
	)
	return req, err
}

// Publish puts images of the release in dist/ into a registry, with what was
// signed of them, and prints how each is called there. It needs no key, no
// recipe and no cache.
func Publish(ctx context.Context, req PublishRequest) error {
	cfg, err := config.LoadVerifying()
	if err != nil {
		return outcome(err)
	}
	only, err := chooseImages(cfg, req)
	if err != nil {
		return outcome(err)
	}
	if req.Registry, err = chooseRegistry(cfg, req.Registry); err != nil {
		return outcome(err)
	}
	trust, rebuilders, err := chooseSigner(cfg, req)
	if err != nil {
		return outcome(err)
	}
	con := console.New(os.Stdout, os.Stderr, console.Plain(true))
	defer con.Close()
	report, err := publish.Publish(ctx, publish.Options{
		Registry: req.Registry, Overwrite: req.Overwrite, Only: only, Trust: trust, Rebuilders: rebuilders, Keychain: credentials, Note: con.Notef,
	}, cfg.Dist)
	if len(report.Images) > 0 {
		var rows [][]string
		for _, i := range report.Images {
			rows = append(rows, []string{i.Image, fmt.Sprintf("%s:%s@%s", i.Repository, i.Tag, i.Index), fmt.Sprint(i.Sent), fmt.Sprintf("%.1f MiB", float64(i.Bytes)/(1<<20))})
		}
		if err := con.Table([]string{"IMAGE", "REFERENCE", "SENT", "SIZE"}, rows); err != nil {
			return err
		}
	}
	return published(err)
}

// published is err with the exit status of what was not published.
func published(err error) error {
	for _, refusal := range []error{publish.ErrMismatch, publish.ErrUnsigned, publish.ErrTag, publish.ErrRebuild} {
		if errors.Is(err, refusal) {
			return failure{err, statusRefused}
		}
	}
	for _, wrong := range []error{registry.ErrReference, publish.ErrNoRebuild} {
		if errors.Is(err, wrong) {
			err = fmt.Errorf("%w: %w", config.ErrUsage, err)
		}
	}
	return outcome(err)
}

// chooseImages says which images of the release are meant. A name that none of
// them has is refused.
func chooseImages(cfg *config.Verifying, req PublishRequest) (func(component, variant string) bool, error) {
	f, err := os.Open(filepath.Join(cfg.Dist, dist.Index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no release in %s: run mage image", config.ErrUsage, cfg.Dist)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w", cfg.Dist, err)
	}
	components, err := chooseOf("component", req.Component, m.Images, func(i artifact.Image) string { return i.Component })
	if err != nil {
		return nil, err
	}
	variants, err := chooseOf("variant", req.Variant, m.Images, func(i artifact.Image) string { return i.Variant })
	if err != nil {
		return nil, err
	}
	chosen := func(component, variant string) bool {
		return slices.Contains(components, component) && slices.Contains(variants, variant)
	}
	if !slices.ContainsFunc(m.Images, func(i artifact.Image) bool { return chosen(i.Component, i.Variant) }) {
		return nil, fmt.Errorf("%w: the release in %s has no such image: run mage image", config.ErrUsage, cfg.Dist)
	}
	return chosen, nil
}

// chooseOf is what of the images is named, or all that there is.
func chooseOf(what, names string, images []artifact.Image, of func(artifact.Image) string) ([]string, error) {
	var all []string
	for _, i := range images {
		all = append(all, of(i))
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if names == "" {
		return all, nil
	}
	chosen := strings.Split(names, ",")
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%w: no image of the release is of the %s %q; there are: %s", config.ErrUsage, what, name, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// chooseSigner is trust in who has to have signed: whom a policy believes, or the
// key that the release names. By that one a bundle shows that was torn, or that
// another key left; whose key it is is for whoever verifies to tell. A release
// that an identity signed names none. Rebuilders are known from a policy alone.
func chooseSigner(cfg *config.Verifying, req PublishRequest) (signers, rebuilders bundle.Trust, err error) {
	if req.Policy != "" {
		return trusted(cfg, req.Policy, req.Key, req.TrustedRoot)
	}
	if req.Key != "" || req.TrustedRoot != "" {
		return signers, rebuilders, fmt.Errorf("%w: -key and -trustedRoot go with -policy, which says who may sign", config.ErrUsage)
	}
	data, err := readSmall(filepath.Join(cfg.Dist, dist.PublicKey), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return signers, rebuilders, fmt.Errorf("%w: the release in %s names no key that signed it: say who has to have, with -policy=NAME|FILE", config.ErrUsage, cfg.Dist)
	}
	var key crypto.PublicKey
	if err == nil {
		key, err = signing.ParsePublicKey(data)
	}
	if err != nil {
		return signers, rebuilders, fmt.Errorf("reading who signed what is in %s: %w: run mage sign", cfg.Dist, err)
	}
	signers.Keys = []crypto.PublicKey{key}
	return signers, rebuilders, nil
}

// trusted is who may sign by a policy, and whose attestations of rebuilds count.
func trusted(cfg *config.Verifying, policy, key, root string) (signers, rebuilders bundle.Trust, err error) {
	demands, _, err := choosePolicy(policy)
	if err != nil {
		return signers, rebuilders, err
	}
	trust, err := chooseTrust(cfg, demands, key, root)
	if err != nil {
		return signers, rebuilders, err
	}
	if rebuilders, err = trust.Rebuilders(demands); err != nil {
		return signers, rebuilders, err
	}
	signers, err = trust.Bundles(demands)
	return signers, rebuilders, err
}

// chooseRegistry is where images go.
func chooseRegistry(cfg *config.Verifying, named string) (string, error) {
	if named == "" && cfg.Root != "" {
		d, err := recipes.LoadDistribution(os.DirFS(filepath.Join(cfg.Root, "recipes")))
		if err != nil {
			return "", err
		}
		named = d.Registry
	}
	if named == "" {
		return "", fmt.Errorf("%w: say where to: -registry=HOST/PATH, or registry in recipes/distribution.yaml", config.ErrUsage)
	}
	return named, nil
}
