package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/verify/registry"
)

// maxPlatforms bounds how many manifests an index may name.
const maxPlatforms = 100

// ErrNoRebuild is wrapped where nothing is attested of an image.
var ErrNoRebuild = errors.New("there is no attestation of a rebuild of that image")

// Rebuilt is what Rebuilds attached, or found attached.
type Rebuilt struct {
	Repository string          // with its registry in front
	Index      artifact.Digest // that the reference named
	Bundles    []RebuiltBundle
	Sent       int   // blobs and manifests that were not there
	Bytes      int64 // of the blobs among them
}

// A RebuiltBundle is what one rebuilder attests of one digest.
type RebuiltBundle struct {
	File  string          // below the folder
	Of    artifact.Digest // the index, or a manifest
	By    bundle.Signer   // or so it says
	Known bool            // he is named, and did sign it
	There bool            // before
}

// Rebuilds attaches to an image in a registry what lies in dir, whoever attests
// there that he built it again: as "mage reproduce" writes it, of an image in a
// registry by its digests, of a release's by the name of its file. It needs no
// release. What else lies there is passed over.
//
// The provenance that was built from has to be attached already, and to open by
// o.Trust: without it nobody who verifies could tell what was rebuilt, and would
// have to refuse the image. The reference is resolved once. Nothing is changed
// that is there, and nothing is sent before all was looked at. Registry, Overwrite
// and Only of o are not used.
func Rebuilds(ctx context.Context, o Options, reference, dir string) (Rebuilt, error) {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	done, err := o.attachRebuilds(ctx, reference, dir)
	if err != nil {
		return done, fmt.Errorf("attaching what is in %s to %s: %w", dir, reference, err)
	}
	return done, nil
}

func (o Options) attachRebuilds(ctx context.Context, reference, dir string) (Rebuilt, error) {
	if err := o.validate(); err != nil {
		return Rebuilt{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Rebuilt{}, err
	}
	defer root.Close()
	image, err := registry.Open(ctx, reference, registry.Options{Keychain: o.Keychain, Transport: o.Transport, Write: true, Pause: o.Pause})
	if err != nil {
		return Rebuilt{}, err
	}
	index, err := image.Resolve(ctx)
	if err != nil {
		return Rebuilt{}, err
	}
	done := Rebuilt{Repository: image.Name().Name(), Index: index}
	p := &push{sender: sender{to: image.Repository}, note: o.Note}
	if err := p.ready(ctx); err != nil {
		return done, err
	}
	subjects, err := o.rebuiltSubjects(ctx, p, root, &done)
	if err != nil {
		return done, err
	}
	for _, s := range subjects {
		if _, err := p.missing(ctx, s); err != nil {
			return done, err
		}
	}
	for _, s := range subjects {
		if err := p.attach(ctx, s); err != nil {
			return done, err
		}
	}
	done.Sent, done.Bytes = int(p.sent.Load()), p.bytes.Load()
	return done, nil
}

// rebuiltSubjects are the index and those manifests of which something is
// attested, with what is not attached yet.
func (o Options) rebuiltSubjects(ctx context.Context, p *push, root *os.Root, done *Rebuilt) ([]subject, error) {
	index, manifests, err := readIndex(ctx, p.to, done.Index)
	if err != nil {
		return nil, err
	}
	said, err := o.carriedWith(ctx, p.to, done.Index)
	if err != nil {
		return nil, err
	}
	e := said.image.BuildDefinition.ExternalParameters
	s, err := o.rebuiltSubject(root, index, said, done, done.Index.Hex(), artifact.ImageName(e.Component, e.Version))
	if err != nil {
		return nil, err
	}
	subjects := []subject{s}
	for _, d := range manifests {
		if _, err := root.Lstat(artifact.RebuildsDir(d.Hex())); errors.Is(err, os.ErrNotExist) {
			continue
		}
		m, err := p.to.Manifest(ctx, d.String())
		if err != nil {
			return nil, err
		}
		if said, err = o.carriedWith(ctx, p.to, d); err != nil {
			return nil, err
		}
		if s, err = o.rebuiltSubject(root, document{m.MediaType, d, m.Data}, said, done, d.Hex()); err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	if len(done.Bundles) == 0 {
		return nil, fmt.Errorf("%w: neither %s nor %s is there, which mage reproduce writes", ErrNoRebuild,
			artifact.RebuildsDir(done.Index.Hex()), artifact.RebuildsDir(artifact.ImageName(e.Component, e.Version)))
	}
	return subjects, nil
}

// rebuiltSubject is what is attested of one digest, in the folders of these names.
func (o Options) rebuiltSubject(root *os.Root, of document, said carried, done *Rebuilt, names ...string) (subject, error) {
	s := subject{document: of}
	var fresh []rebuilt
	size := said.size
	for _, name := range names {
		found, err := o.rebuilds(root, artifact.RebuildsDir(name))
		if err != nil {
			return s, err
		}
		for _, one := range found {
			there := said.there[artifact.DigestBytes(one.data)]
			done.Bundles = append(done.Bundles, RebuiltBundle{one.file, of.digest, one.by, one.known, there})
			if !there {
				fresh = append(fresh, one)
				size += int64(len(one.data))
			}
		}
	}
	if err := readable(of.digest, size); err != nil && len(fresh) > 0 {
		return s, err
	}
	return s, s.attachRebuilt(fresh, said.provenances, said.image.BuildDefinition.InternalParameters.SourceDateEpoch)
}

// readable refuses that a digest has more bytes of bundles than anybody reads.
func readable(d artifact.Digest, size int64) error {
	if size <= registry.MaxBundles {
		return nil
	}
	return fmt.Errorf("%w: %s would have %d bytes of bundles, and no more than %d are read: have those removed of whom nobody believes", registry.ErrTooLarge, d, size, int64(registry.MaxBundles))
}

// readIndex reads an index, and names its manifests.
func readIndex(ctx context.Context, from *registry.Repository, d artifact.Digest) (document, []artifact.Digest, error) {
	m, err := from.Manifest(ctx, d.String())
	if err != nil {
		return document{}, nil, err
	}
	var index v1.IndexManifest
	if m.MediaType != ocilayout.IndexType {
		err = fmt.Errorf("%w: %s is an image for one platform: name the index that it belongs to", registry.ErrMediaType, d)
	} else if err = json.Unmarshal(m.Data, &index); err == nil && len(index.Manifests) > maxPlatforms {
		err = fmt.Errorf("%w: an index of %d manifests", registry.ErrTooLarge, len(index.Manifests))
	}
	if err != nil {
		return document{}, nil, err
	}
	var all []artifact.Digest
	for _, one := range index.Manifests {
		d, err := artifact.ParseDigest(one.Digest.String())
		if err != nil {
			return document{}, nil, fmt.Errorf("%w: the index %s: %w", registry.ErrAnswer, m.Digest, err)
		}
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return document{m.MediaType, m.Digest, m.Data}, all, nil
}

// carried is what a registry has with one digest.
type carried struct {
	there       map[artifact.Digest]bool // every bundle
	size        int64                    // of all, in bytes
	provenances [][]byte                 // of who is trusted, as they were signed
	image       provenance.Image         // the first of them
}

func (o Options) carriedWith(ctx context.Context, from *registry.Repository, d artifact.Digest) (carried, error) {
	bundles, err := from.Bundles(ctx, d)
	if err != nil {
		return carried{}, err
	}
	c := carried{there: map[artifact.Digest]bool{}}
	for _, data := range bundles {
		c.there[artifact.DigestBytes(data)] = true
		c.size += int64(len(data))
		opened, err := bundle.OpenAttestation(data, o.Trust)
		if err != nil {
			continue
		}
		s, err := intoto.Parse(opened.Payload())
		if err != nil || s.PredicateType != provenance.PredicateType || !alone(d)(s.Subject) {
			continue
		}
		p, err := provenance.ParseImage(s)
		if err != nil {
			continue
		}
		if c.provenances = append(c.provenances, opened.Payload()); len(c.provenances) == 1 {
			c.image = p
		}
	}
	if len(c.provenances) == 0 {
		return c, fmt.Errorf("%w: of what is attached to %s nothing is a provenance by who is trusted: name who signed it, as to mage verify", ErrUnsigned, d)
	}
	return c, nil
}
