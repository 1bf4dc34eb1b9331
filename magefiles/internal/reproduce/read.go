package reproduce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
)

// Open opens the bundle of an attestation and returns the statement in it, if
// somebody signed it who is believed.
type Open func(bundle []byte) (statement []byte, err error)

// Release is what a release that was verified has to be rebuilt: all of it, or
// the artifact or image called only. index is the digest of the release.json that
// was verified; each provenance is taken out of its bundle once more, so that
// nothing that came in between is believed. Of an image the archives come along
// that it is made of: they are built, and nothing is to be said of them.
func Release(dir, only string, index artifact.Digest, open Open) ([]Target, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r := released{dir, root, open}
	targets, err := r.targets(only, index)
	if err != nil {
		return nil, fmt.Errorf("reading the provenance of what is in %s: %w", dir, err)
	}
	return targets, nil
}

type released struct {
	dir  string
	root *os.Root
	open Open
}

func (r released) targets(only string, index artifact.Digest) ([]Target, error) {
	data, err := readFile(r.root, dist.Index, artifact.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	if artifact.DigestBytes(data) != index {
		return nil, fmt.Errorf("%s is no longer what was verified: verify it again", dist.Index)
	}
	m, err := artifact.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	all := only == "" || only == dist.Index
	var images []artifact.Image
	needed := map[string]bool{}
	for _, i := range m.Images {
		if all || i.Name == only {
			images = append(images, i)
			for _, p := range i.Platforms {
				needed[p.Artifact] = true
			}
		}
	}
	var targets []Target
	for _, rec := range m.Artifacts {
		asked := all || rec.Name == only
		if !asked && !needed[rec.Name] {
			continue
		}
		said, err := r.said(dist.Provenance(rec))
		if err == nil && said.Archive == nil {
			err = provenance.ErrBuildType
		}
		if err == nil {
			err = said.Archive.Check(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rec.Name, err)
		}
		targets = append(targets, Target{Name: rec.Name, Said: []Said{said}, Folder: r.dir, Attest: asked})
	}
	for _, i := range images {
		said, err := r.said(dist.ImageProvenance(i))
		if err == nil && said.Image == nil {
			err = provenance.ErrBuildType
		}
		if err == nil {
			err = said.Image.Check(i, m.Artifacts)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Name, err)
		}
		targets = append(targets, Target{Name: i.Name, Said: []Said{said}, Folder: r.dir, Attest: true})
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s names no %q", dist.Index, only)
	}
	return targets, nil
}

func (r released) said(name string) (Said, error) {
	name = dist.Bundle(name)
	data, err := readFile(r.root, name, maxStatement)
	if err != nil {
		return Said{}, err
	}
	statement, err := r.open(data)
	if err != nil {
		return Said{}, err
	}
	said, err := Read(statement)
	said.bundle = artifact.File{Name: name, Size: int64(len(data)), Digest: artifact.DigestBytes(data)}
	return said, err
}

// StillThere refuses what was rebuilt from a provenance that is no longer that of
// the release in dir: what would be said beside it is not of what lies there now.
func StillThere(dir string, a Attested) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if d, err := digestOf(root, a.Provenance.Name); err != nil || d != a.Provenance.Digest {
		return fmt.Errorf("%s was replaced in %s while %s was rebuilt: reproduce it again%s", a.Provenance.Name, dir, a.Target, because(err))
	}
	return nil
}

// A Registry is where an image is that was verified. *registry.Image is one.
type Registry interface {
	// Bundles are the bundles that are attached to an index or a manifest.
	Bundles(ctx context.Context, subject artifact.Digest) ([][]byte, error)
}

// Image is what an image in a registry has to be rebuilt: digests are those of
// its index and of its manifests, as they were verified. Bundles of others are
// passed over, and of several provenances of one digest one is taken. The archives
// that it is made of come first: they are built, and nothing is to be said of them.
func Image(ctx context.Context, name string, from Registry, digests []artifact.Digest, open Open) ([]Target, error) {
	image := Target{Name: name, Attest: true}
	var archives []Target
	for _, d := range digests {
		bundles, err := from.Bundles(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("reading the provenance of %s: %w", name, err)
		}
		found := false
		for _, data := range bundles {
			said, ok := openSaid(data, open)
			switch {
			case !ok:
			case said.Image != nil && !found && isAbout(said.Given.Subject, d):
				image.Said = append(image.Said, said)
				found = true
			case said.Archive != nil && !slices.ContainsFunc(archives, func(t Target) bool { return sameSubjects(t.Said[0], said) }):
				archives = append(archives, Target{Name: said.Archive.Subject[0].Name, Said: []Said{said}})
			}
		}
		if !found {
			return nil, fmt.Errorf("reading the provenance of %s: none that is believed is attached to %s any longer: verify it again", name, d)
		}
	}
	if len(image.Said) == 0 {
		return nil, errors.New("an image without an index has no provenance")
	}
	made, err := image.Said[0].Image.Archives()
	if err != nil {
		return nil, err
	}
	// Others may lie beside it.
	archives = slices.DeleteFunc(archives, func(t Target) bool {
		return !slices.ContainsFunc(made, func(a provenance.Archive) bool { return archiveOf(a, []Target{t}) != nil })
	})
	return append(archives, image), nil
}

func openSaid(bundle []byte, open Open) (Said, bool) {
	statement, err := open(bundle)
	if err != nil {
		return Said{}, false
	}
	said, err := Read(statement)
	return said, err == nil
}

func isAbout(subjects []intoto.Subject, d artifact.Digest) bool {
	return len(subjects) == 1 && subjects[0].Digest["sha256"] == d.Hex()
}

func sameSubjects(a, b Said) bool {
	return a.Given.Subject[0].Digest["sha256"] == b.Given.Subject[0].Digest["sha256"]
}
