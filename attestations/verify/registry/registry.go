// Package registry reads images, and what is said of them, from OCI registries
// (distribution-spec v1.1). What it returns of a digest has that digest, or is
// an error; a reference with a tag is resolved once. It believes a registry
// nothing else: not a length, not a media type, not that a referrer is about
// what it was asked for.
//
// It is the one package of verify that reaches the network, and the ground that
// publishing stands on. Everything that it reads whole is bounded (ErrTooLarge),
// and so is the time that an answer may take (ErrUnavailable).
// What fails for a while (429, 5xx, a connection that breaks before an answer)
// is tried again a few times, no sooner than the registry asks for (Retry-After),
// and then given up (ErrUnavailable).
//
// # Refusals
//
//   - ErrDenied: the registry wants credentials, others, or does not let them do it.
//   - ErrPlaintext: HTTP without TLS to anything but this machine.
//   - ErrNotFound: there is no such repository, manifest or blob.
//   - ErrDigest: it answered with something else than what was asked for.
//   - ErrMediaType: a manifest that is neither an OCI image index nor an OCI image
//     manifest, or that calls itself something else than the registry does.
//   - ErrTooLarge, ErrUnavailable: see above.
//   - ErrReferrers, with the error above that is the reason: more refers to an image
//     than is read, or it cannot be read. Others may have put it there, so it is no
//     refusal of the image; and what is not read could have been one, so it is not
//     left out.
//   - ErrAnswer: an answer that is none of the specification's.
//
// # Credentials
//
// Credentials for a registry go to it alone, where it wants a password. Where it
// wants a token they go to the address that its challenge names (realm), by the rules
// of go-containerregistry: that is HTTPS, on whatever host, or HTTP if the registry
// itself has none but that; and no private address, loopback or link-local, unless
// it is the registry's own. A redirect from there has to keep these rules, and
// gets no credentials. The token goes to the registry alone; a host that it
// redirects to is asked without, or with one that anybody gets there. Over that,
// HTTP is for this machine alone here, and no redirect leads from another host to
// an address inside.
//
// # Referrers
//
// What refers to a manifest is asked of the referrers API, and where a registry
// has none, of the tag that stands for it (sha256-HEX). A Sigstore bundle is
// found in the form that cosign 2.6 and 3 write: an image manifest about the
// subject, whose one layer is the bundle.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"palisade/attestations/artifact"
	"palisade/attestations/verify"
)

// Why a registry is given up. The first six tell nothing of an image: they
// are verify.ErrUnreachable too.
var (
	ErrReference   error = unreachable("it names no image in a registry")
	ErrDenied      error = unreachable("the registry refuses these credentials")
	ErrPlaintext   error = unreachable("HTTP without TLS is for this machine alone")
	ErrNotFound    error = unreachable("it is not in the registry")
	ErrUnavailable error = unreachable("the registry cannot be had")
	ErrReferrers   error = unreachable("what is attached to it cannot be read: have whoever runs the repository remove what is not the publisher's or a rebuilder's")

	ErrDigest    = errors.New("the registry gave something else than what was asked for")
	ErrMediaType = errors.New("manifest of another media type")
	ErrTooLarge  = errors.New("larger than anything that is read here")
	ErrAnswer    = errors.New("the registry gave an answer that it must not give")
)

type unreachable string

func (u unreachable) Error() string        { return string(u) }
func (u unreachable) Is(target error) bool { return target == verify.ErrUnreachable }

// Options say how a registry is reached. The zero Options do, anonymously.
type Options struct {
	// Keychain knows the credentials of registries; nil for nobody's.
	// authn.DefaultKeychain reads docker's configuration and asks its helpers,
	// which are programs.
	Keychain authn.Keychain
	// Transport is what connects; nil for one like net/http's.
	Transport http.RoundTripper
	// Write asks for leave to push, beside that to pull.
	Write bool
	// Pause waits between two attempts; nil for a timer.
	Pause Pause

	within time.Duration // of a guard; 0 for the constant
}

// A Repository is one repository of a registry, with credentials for it. It is
// safe for use by several goroutines.
type Repository struct {
	name      name.Repository
	transport http.RoundTripper // has the credentials
	client    *http.Client
	pause     Pause
}

// Connect asks the registry how it wants to be spoken to. The repository's name
// has that of its registry in front, which is never made up:
// registry.example/prometheus.
func Connect(ctx context.Context, repository string, o Options) (*Repository, error) {
	n, err := ParseName(repository)
	if err != nil {
		return nil, err
	}
	r := &Repository{name: n, pause: o.Pause}
	if r.pause == nil {
		r.pause = sleep
	}
	keychain := o.Keychain
	if keychain == nil {
		keychain = authn.NewMultiKeychain()
	}
	inner := o.Transport
	if inner == nil {
		inner = patient()
	}
	scope := transport.PullScope
	if o.Write {
		scope = transport.PushScope
	}
	err = r.Try(ctx, "connecting to "+n.RegistryStr(), func(ctx context.Context) error {
		auth, err := authn.Resolve(ctx, keychain, n)
		if err != nil {
			return fmt.Errorf("%w: asking for credentials: %w", ErrDenied, err)
		}
		r.transport, err = transport.NewWithContext(ctx, n.Registry, auth, guard{inner, cmp.Or(o.within, within)}, []string{n.Scope(scope)})
		return err
	})
	if err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: r.transport, CheckRedirect: redirect}
	return r, nil
}

// ParseName reads the name of a repository with its registry's in front, and
// nothing behind. A URL is none, though a registry might be called "https:".
func ParseName(repository string) (name.Repository, error) {
	n, err := name.NewRepository(repository, name.StrictValidation)
	if err == nil && strings.Contains(repository, "//") {
		err = errors.New("it is a URL")
	}
	if err != nil {
		return n, fmt.Errorf("%w: %q: write HOST/REPOSITORY: %w", ErrReference, repository, err)
	}
	return n, nil
}

// Name is the repository's, with that of its registry in front.
func (r *Repository) Name() name.Repository { return r.name }

// Remote are the options by which package remote speaks to the registry as r
// does, with the same credentials. It tries nothing twice; Try does.
func (r *Repository) Remote(ctx context.Context) []remote.Option {
	once := remote.Backoff{Steps: 1}
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(r.transport), remote.WithAuth(authn.Anonymous),
		remote.WithRetryBackoff(once), remote.WithRetryPredicate(func(error) bool { return false }),
	}
}

// An Image is an image that a reference names.
type Image struct {
	*Repository
	reference name.Reference
}

var _ verify.Source = (*Image)(nil)

// Open connects to the registry of an image:
// registry.example/prometheus:3.15.0-palisade.1, or @sha256:…, or both, and
// then the digest alone counts. There is no tag that stands for none.
func Open(ctx context.Context, reference string, o Options) (*Image, error) {
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…: %w", ErrReference, reference, err)
	}
	if d, ok := ref.(name.Digest); ok {
		if _, err := artifact.ParseDigest(d.DigestStr()); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrReference, reference, err)
		}
	}
	r, err := Connect(ctx, ref.Context().Name(), o)
	if err != nil {
		return nil, err
	}
	return &Image{r, ref}, nil
}

// Resolve is the digest that the reference names now. Whoever asks twice may
// get two answers: what is read later is read by what was resolved.
func (i *Image) Resolve(ctx context.Context) (artifact.Digest, error) {
	m, err := i.Manifest(ctx, i.reference.Identifier())
	return m.Digest, err
}
