// Package publish puts the images of a release into a registry, and with each
// what was signed of it. It guarantees that a tag never names an image of which
// any part, or anything that has to be signed of it, is not there: blobs go
// first, then the manifests of the platforms, the index, the bundles as referrers
// of the index and of every manifest, and only when all images have come so far
// and were seen in the registry, the tags.
//
// It needs no key and builds nothing: it reads finished files, and can run on
// another machine than the one that signed them. What is there is not sent
// again; so a run that was interrupted is taken up by the next, and one that has
// nothing to do sends nothing. What others attached to an image stays, but where
// a tag stands for the referrers and they attach it at the same moment: no
// registry changes a tag only if it still is what it was.
//
// It refuses a release whose index is not signed, an image of which a signature,
// a bill of materials or a provenance is missing, or is of somebody else than who
// is trusted to sign it (ErrUnsigned), one that is not that of release.json
// (ErrMismatch), and to move a tag (ErrTag) unless it is told to. What a registry
// refuses is told by the errors of package registry.
//
// # Form
//
// The image of a component goes to REGISTRY/COMPONENT, under its version as tag.
// To the manifest of each platform the provenance of its archive is attached
// too, which is about the archive: what a policy demands of sources and patches
// is told by that, and a registry has no release.json.
//
// A bundle becomes an image manifest as cosign's WriteAttestationNewBundleFormat
// makes it, but for the time it is said to be created at, which is the image's
// epoch: so that the same bundle is the same manifest whenever it is pushed.
//
// # Files
//
// The files of a release (Release) go to REGISTRY/release, in the form of package
// consume, and into a directory, as the folder vVERSION; the index of releases
// (Index) lies beside them, under the tag "index" and as releases.json. Whoever calls
// keeps the order: everything under no tag, verified by its digest as a consumer
// would (Options.Before); then the tags and the folder; and the index last, which is
// what makes a release one.
//
// A version is of one content for ever: of another ErrTag tells. That more is said of
// the same files moves the tag in a registry; a folder is never changed. An index
// takes the place of the one that it follows, and no other's (ErrIndex): so of two
// who release at once, the second is told. As no registry changes a tag only if it
// still is what it was, both may find the same one there; the one whose index it is
// not in the end finds that out by looking again, or, if the other came later, when
// what was published is verified. A directory is locked meanwhile.
//
// # Rebuilders
//
// What others attest who built an image again (package attestations/rebuild) is
// attached to what it is about: by Publish to the index, out of the folder beside
// the file of the image; by Rebuilds, which anybody may run who can write to the
// repository, to the index and the manifests, out of a folder that holds nothing
// else of a release.
//
// Of each it is known before it is sent that it is well-formed; that it is called
// after who it says has signed it, so that there is one of each; and that it is
// about this very image and the provenance that the registry carries of it, which
// was opened. A bundle of a key does not hold the key. So that a signature
// verifies can be told of those alone who are named, by Options.Trust or
// Options.Rebuilders: one that says it is of one of them has to open by that. One of
// anybody else is carried as it is, and that is told. Publishing vouches
// for nobody: whoever verifies passes over those whom his policy does not name,
// and opens those whom it names.
//
// Whatever else lies in such a folder is refused (ErrRebuild).
//
// # Bounds
//
// What would make it more than is read of one digest (registry.MaxReferrers,
// ErrTooLarge) is refused before anything is sent: then the image could be verified
// by nobody. Publish comes near it by itself: each release of an image that did not
// change attaches what it signed, six bundles, so that the image is as freshly signed
// as the release. The recipe's next revision is another image, which has none.
package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/dist"
)

// Why nothing is published, beside the errors of package registry.
var (
	ErrNothing  = errors.New("there is no image to publish")
	ErrMismatch = errors.New("it is not what release.json says")
	ErrUnsigned = errors.New("it is not signed")
	ErrTag      = errors.New("the tag is of another image")
)

// Options say where to, and how.
type Options struct {
	Registry  string                               // with a folder, if the registry has any: registry.example/palisade
	Overwrite bool                                 // a version that names another image is moved too
	Only      func(component, variant string) bool // nil for every image of the release
	Trust     bundle.Trust                         // in who signed: every bundle has to open by it, but those of rebuilders
	// Rebuilders are who is known to build images again: what says that one of them
	// signed it, or one of Trust, has to open by that. The zero Rebuilders are nobody.
	Rebuilders bundle.Trust
	Keychain   authn.Keychain                   // nil for nobody's credentials
	Transport  http.RoundTripper                // nil for one of registry's
	Pause      registry.Pause                   // nil for a timer
	Note       func(format string, args ...any) // is told what happens; may be nil
	// Before is called when all of every image is in the registry, and no tag names
	// it: an error, and none will. It may be nil.
	Before func(ctx context.Context, images []Published) error
}

// validate refuses trust by which nothing could be opened. There need be no
// rebuilders.
func (o Options) validate() error {
	err := o.Trust.Validate()
	if err == nil && len(o.Rebuilders.Keys)+len(o.Rebuilders.Identities) > 0 {
		err = o.Rebuilders.Validate()
	}
	return err
}

// A Report is what was published, in the order of the release.
type Report struct{ Images []Published }

// Published is an image in the registry.
type Published struct {
	Image      string          // name of its file
	Repository string          // with its registry in front
	Index      artifact.Digest // what to verify, and to run
	Tag        string          // that names it now
	Sent       int             // blobs, manifests and tags that were not there
	Bytes      int64           // of the blobs among them
}

// Publish publishes the images of the release that lies in dir. What it
// returns beside an error is what has come to its end before.
func Publish(ctx context.Context, o Options, dir string) (Report, error) {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("publishing what is in %s: %w", dir, err)
	}
	defer root.Close()
	report, err := publish(ctx, o, root)
	if err != nil {
		return report, fmt.Errorf("publishing what is in %s: %w", dir, err)
	}
	return report, nil
}

func publish(ctx context.Context, o Options, root *os.Root) (Report, error) {
	if err := o.validate(); err != nil {
		return Report{}, err
	}
	images, records, err := chosen(o, root)
	if err != nil {
		return Report{}, err
	}
	var pushes []*push
	defer func() {
		for _, p := range pushes {
			p.layout.Close()
		}
	}()
	// Everything is looked at before anything is sent: the files, the tags, and whether
	// there is room.
	for _, i := range images {
		p, err := prepare(ctx, o, root, i, records)
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", i.Name, err)
		}
		pushes = append(pushes, p)
	}
	for _, p := range pushes {
		_, err := p.freeTag(ctx)
		if err == nil {
			err = p.room(ctx)
		}
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", p.image.Name, err)
		}
	}
	for _, p := range pushes {
		o.Note("%s to %s", p.image.Name, p.to.Name())
		if err := p.content(ctx); err != nil {
			return Report{}, fmt.Errorf("%s: %w", p.image.Name, err)
		}
	}
	if o.Before != nil {
		var there []Published
		for _, p := range pushes {
			there = append(there, p.done())
		}
		if err := o.Before(ctx, there); err != nil {
			return Report{}, err
		}
	}
	var report Report
	for _, p := range pushes {
		if err := p.tag(ctx); err != nil {
			return report, fmt.Errorf("%s: %w", p.image.Name, err)
		}
		report.Images = append(report.Images, p.done())
	}
	return report, nil
}

// chosen are the images of the release that are asked for, and all artifacts.
func chosen(o Options, root *os.Root) ([]artifact.Image, []artifact.Record, error) {
	m, err := signedIndex(o, root)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dist.Index, err)
	}
	images := slices.DeleteFunc(m.Images, func(i artifact.Image) bool { return o.Only != nil && !o.Only(i.Component, i.Variant) })
	if len(images) == 0 {
		return nil, nil, fmt.Errorf("%w: run mage image", ErrNothing)
	}
	return images, m.Artifacts, nil
}

// signedIndex is the index of the release. That it is signed is what tells a
// release whose signing came to its end.
func signedIndex(o Options, root *os.Root) (*artifact.Manifest, error) {
	data, err := readSmall(root, dist.Index, maxIndex, mismatch)
	if err != nil {
		return nil, err
	}
	signature, err := readSmall(root, dist.Bundle(dist.Index), maxBundle, mismatch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing: run mage sign", ErrUnsigned, dist.Bundle(dist.Index))
	}
	if err == nil {
		if _, bad := bundle.OpenSignature(signature, o.Trust, artifact.DigestBytes(data)); bad != nil {
			err = fmt.Errorf("%w: %w: run mage sign", ErrUnsigned, bad)
		}
	}
	if err != nil {
		return nil, err
	}
	return artifact.ParseManifest(bytes.NewReader(data))
}

// prepare reads what is published of an image and connects to where it goes.
func prepare(ctx context.Context, o Options, root *os.Root, i artifact.Image, records []artifact.Record) (*push, error) {
	l, err := openLayout(root, i)
	if err != nil {
		return nil, err
	}
	p := &push{image: i, layout: l, overwrite: o.Overwrite, note: o.Note}
	if p.attached, err = bundles(reader{root, i, o}, records, l); err == nil {
		err = p.connect(ctx, o, i.Component)
	}
	if err == nil {
		_, err = name.NewTag(p.to.Name().Name()+":"+i.Version, name.StrictValidation)
	}
	if err == nil {
		err = p.ready(ctx)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return p, nil
}
