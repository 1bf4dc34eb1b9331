package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify"
)

// How much is read that may be said of one manifest by anybody who can write
// to the repository. Whoever adds to it has to stay below MaxReferrers and
// MaxBundles: of an image of which more is said nothing can be told any more.
const (
	MaxReferrers = 100       // that may be bundles
	MaxBundles   = 256 << 20 // bytes of bundles, together
	maxBundle    = 64 << 20  // of one
	maxPages     = 20
)

// maybeBundle is what the manifest of a bundle is listed as: its type; that of its
// configuration, as some registries have it; or nothing.
var maybeBundle = []string{bundle.MediaType, ocilayout.EmptyType, ""}

// Referrers are the digests of the manifests that are said to refer to subject,
// sorted, but for those of another algorithm than sha256, and those that are
// listed as something else than a bundle: scanners may add to an image every day,
// and never come near the bound. That they are there, and do, is not looked at.
func (r *Repository) Referrers(ctx context.Context, subject artifact.Digest) ([]artifact.Digest, error) {
	var all []artifact.Digest
	err := r.Try(ctx, fmt.Sprintf("asking what refers to %s in %s", subject, r.name), func(ctx context.Context) (err error) {
		all, err = r.referrers(ctx, subject)
		return err
	})
	return all, unread(err)
}

// unread says of an error that it is of what others may have put beside an image.
func unread(err error) error {
	if err == nil || errors.Is(err, verify.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrReferrers, err)
}

func (r *Repository) referrers(ctx context.Context, subject artifact.Digest) ([]artifact.Digest, error) {
	answer, err := r.get(ctx, http.MethodGet, "referrers/"+subject.String(), ocilayout.IndexType)
	switch {
	case slices.Contains([]int{http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable}, status(err)):
		return r.tagged(ctx, subject)
	case err == nil && mediaType(answer) != ocilayout.IndexType:
		answer.Body.Close() // a page for people, as some give where there is nothing
		return r.tagged(ctx, subject)
	}
	var all []artifact.Digest
	for range maxPages {
		if err != nil {
			return nil, err
		}
		var data []byte
		data, err = whole(answer, ocilayout.MaxDocument)
		answer.Body.Close()
		if err != nil {
			return nil, err
		}
		if all, err = list(all, data); err != nil {
			return nil, err
		}
		var next string
		if next, err = following(answer); err != nil || next == "" {
			return sorted(all), err
		}
		answer, err = r.ask(ctx, http.MethodGet, next, ocilayout.IndexType)
	}
	if err == nil {
		answer.Body.Close()
	}
	return nil, fmt.Errorf("%w: more than %d pages of referrers", ErrTooLarge, maxPages)
}

// tagged reads the tag that stands for the referrers API
// (distribution-spec, "Referrers Tag Schema").
func (r *Repository) tagged(ctx context.Context, subject artifact.Digest) ([]artifact.Digest, error) {
	m, err := r.manifest(ctx, FallbackTag(subject))
	if status(err) == http.StatusNotFound {
		return nil, nil
	}
	if err == nil && m.MediaType != ocilayout.IndexType {
		err = fmt.Errorf("%w: the tag %s is of %s", ErrMediaType, FallbackTag(subject), m.MediaType)
	}
	if err != nil {
		return nil, err
	}
	all, err := list(nil, m.Data)
	return sorted(all), err
}

// FallbackTag is the tag under which referrers are listed where a registry has
// no API for it.
func FallbackTag(subject artifact.Digest) string { return "sha256-" + subject.Hex() }

// other are digests of other algorithms than sha256 (descriptor.md).
var other = regexp.MustCompile(`^(sha384|sha512|blake3):[0-9a-f]{64,128}$`)

// list adds what an answer names to all.
func list(all []artifact.Digest, data []byte) ([]artifact.Digest, error) {
	var index struct {
		Manifests []struct {
			Digest       string `json:"digest"`
			ArtifactType string `json:"artifactType"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: a list of referrers: %w", ErrAnswer, err)
	}
	for _, m := range index.Manifests {
		if !slices.Contains(maybeBundle, m.ArtifactType) {
			continue
		}
		// Nothing of ours has a digest of another algorithm.
		if d, err := artifact.ParseDigest(m.Digest); err == nil {
			all = append(all, d)
		} else if !other.MatchString(m.Digest) {
			return nil, fmt.Errorf("%w: a list of referrers: %w", ErrAnswer, err)
		}
	}
	if len(all) > MaxReferrers {
		return nil, fmt.Errorf("%w: more than %d referrers that may be bundles", ErrTooLarge, MaxReferrers)
	}
	return all, nil
}

func sorted(all []artifact.Digest) []artifact.Digest {
	slices.SortFunc(all, func(a, b artifact.Digest) int { return strings.Compare(a.Hex(), b.Hex()) })
	return slices.Compact(all)
}

// following is the address of the next page, which is in the same repository.
func following(answer *http.Response) (string, error) {
	link := answer.Header.Get("Link")
	if link == "" {
		return "", nil
	}
	target, rel, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !strings.Contains(rel, `rel="next"`) && !strings.Contains(rel, "rel=next") {
		return "", nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("%w: the link to the next page %.200q: %w", ErrAnswer, target, err)
	}
	u = answer.Request.URL.ResolveReference(u)
	if u.Host != answer.Request.URL.Host || u.Path != answer.Request.URL.Path {
		return "", fmt.Errorf("%w: the next page is elsewhere, at %.200q", ErrAnswer, target)
	}
	return u.String(), nil
}

// Bundles are the Sigstore bundles that refer to subject, in the order of their
// manifests' digests. Anything else that refers to it is passed over, as is
// what is listed and not there, larger than any document or bundle is, or larger
// than it is said to be: who may write to a repository may put anything beside an
// image. Nothing of the bundles is believed here.
func (r *Repository) Bundles(ctx context.Context, subject artifact.Digest) ([][]byte, error) {
	all, err := r.Referrers(ctx, subject)
	if err != nil {
		return nil, err
	}
	var bundles [][]byte
	left := int64(MaxBundles)
	for _, d := range all {
		m, err := r.Manifest(ctx, d.String())
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrMediaType) || errors.Is(err, ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, unread(err)
		}
		layer, ok := carried(m, subject)
		if !ok || layer.Size < 0 || layer.Size > maxBundle {
			continue
		}
		if left -= layer.Size; left < 0 {
			return nil, fmt.Errorf("%w: %w: more than %d bytes of bundles of %s in %s", ErrReferrers, ErrTooLarge, int64(MaxBundles), subject, r.name)
		}
		data, err := r.small(ctx, layer, maxBundle)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, unread(err)
		}
		bundles = append(bundles, data)
	}
	return bundles, nil
}

// carried is the one layer of a manifest about subject, if that is a bundle.
func carried(m Manifest, subject artifact.Digest) (ocilayout.Descriptor, bool) {
	var doc v1.Manifest
	if m.MediaType != ocilayout.ManifestType || json.Unmarshal(m.Data, &doc) != nil {
		return ocilayout.Descriptor{}, false
	}
	if doc.Subject == nil || doc.Subject.Digest.String() != subject.String() || len(doc.Layers) != 1 || string(doc.Layers[0].MediaType) != bundle.MediaType {
		return ocilayout.Descriptor{}, false
	}
	d, err := artifact.ParseDigest(doc.Layers[0].Digest.String())
	return ocilayout.Descriptor{MediaType: bundle.MediaType, Digest: d, Size: doc.Layers[0].Size}, err == nil
}

// status is that of an answer that is an error, or 0.
func status(err error) int {
	if answer := (*transport.Error)(nil); errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}
