package artifact

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ImageSuffix ends the file name of an image, and BundlesSuffix that of the
// folder beside it, which holds what registries carry with it.
const (
	ImageSuffix   = ".oci.tar"
	BundlesSuffix = ".oci.d"
)

// LayerNames are the layers of a platform's image in their order. The last is
// left out where there is nothing to put into it.
var LayerNames = []string{"base", "licences", binaries, "configuration"}

const binaries = "binaries"

// An Image is a container image of one component in one variant for several
// platforms: an OCI image layout in a tar file. It is made of artifacts of the
// same release.
type Image struct {
	Name      string          `json:"name"`   // file name in dist/: component-version.oci.tar
	Size      int64           `json:"size"`   // bytes
	Digest    Digest          `json:"digest"` // of the file
	Component string          `json:"component"`
	Version   string          `json:"version"`   // ours: 3.15.0-palisade.1
	Variant   string          `json:"variant"`   // hardened or vanilla
	Epoch     int64           `json:"epoch"`     // SOURCE_DATE_EPOCH, seconds since 1970 UTC, that of its artifacts
	Index     Digest          `json:"index"`     // of the image index, which a registry serves under a tag
	Roots     Module          `json:"roots"`     // the Go module whose certificates the base layer holds
	Platforms []PlatformImage `json:"platforms"` // in the order of the index
	Documents []File          `json:"documents"` // SPDX, of the image: one, name.spdx.json
}

// A PlatformImage is the image of one platform, made of one artifact.
type PlatformImage struct {
	Platform Platform `json:"platform"`
	Manifest Digest   `json:"manifest"` // of the image manifest
	Config   Digest   `json:"config"`   // of the image configuration
	Artifact string   `json:"artifact"` // name of the artifact whose files it holds
	Layers   []Layer  `json:"layers"`   // in the order of the manifest, the lowest first
}

// A Layer is a gzip'ed tar file that the root file system is laid with.
type Layer struct {
	Name    string `json:"name"`    // base, licences, binaries or configuration
	Digest  Digest `json:"digest"`  // as stored
	DiffID  Digest `json:"diffID"`  // of the tar file, uncompressed
	Size    int64  `json:"size"`    // as stored, bytes
	Members []File `json:"members"` // its regular files, below /, sorted by name; directories have no content and are in diffID alone
}

// ImageName is the file name of a component's image in a version of ours.
func ImageName(component, version string) string { return component + "-" + version + ImageSuffix }

// BundlesDir is the folder in dist/ for what registries carry with i:
// prometheus-3.15.0-palisade.1.oci.d.
func (i Image) BundlesDir() string { return strings.TrimSuffix(i.Name, ImageSuffix) + BundlesSuffix }

// record is the artifact called name; artifacts are sorted.
func (m *Manifest) record(name string) (Record, bool) {
	at, found := slices.BinarySearchFunc(m.Artifacts, name, func(r Record, name string) int { return strings.Compare(r.Name, name) })
	if !found {
		return Record{}, false
	}
	return m.Artifacts[at], true
}

func (m *Manifest) validateImages() error {
	for n, i := range m.Images {
		if !plainName(i.Name) {
			return fmt.Errorf("%w: image name %q is not a plain file name", ErrManifest, i.Name)
		}
		if n > 0 && m.Images[n-1].Name >= i.Name {
			return fmt.Errorf("%w: image %q is there twice or out of order", ErrManifest, i.Name)
		}
		if err := m.validateImage(i); err != nil {
			return fmt.Errorf("%w: image %q: %w", ErrManifest, i.Name, err)
		}
	}
	return nil
}

func (m *Manifest) validateImage(i Image) error {
	switch {
	case i.Digest.IsZero() || i.Index.IsZero() || i.Component == "" || i.Version == "" || i.Variant == "" || i.Roots.Sum == "":
		return fmt.Errorf("it lacks digest, index, component, version, variant or roots")
	case i.Name != ImageName(i.Component, i.Version):
		return fmt.Errorf("an image of %s %s is called %q", i.Component, i.Version, ImageName(i.Component, i.Version))
	case len(i.Documents) != 1 || i.Documents[0].Name != i.Name+".spdx.json":
		return fmt.Errorf("its one document has to be %q", i.Name+".spdx.json")
	case len(i.Platforms) == 0:
		return fmt.Errorf("it has no platform")
	}
	platforms, digests := map[Platform]bool{}, map[Digest]bool{i.Index: true}
	for _, p := range i.Platforms {
		if platforms[p.Platform] || digests[p.Manifest] || p.Manifest.IsZero() || p.Config.IsZero() {
			return fmt.Errorf("platform %s is there twice, or lacks a manifest or config of its own", p.Platform)
		}
		platforms[p.Platform], digests[p.Manifest] = true, true
		r, found := m.record(p.Artifact)
		if !found {
			return fmt.Errorf("platform %s is made of artifact %q, which is not in this release", p.Platform, p.Artifact)
		}
		if r.Component != i.Component || r.Version != i.Version || r.Variant != i.Variant || r.Epoch != i.Epoch || r.Platform != p.Platform {
			return fmt.Errorf("platform %s is made of artifact %q, which is %s %s, %s, for %s, of epoch %d",
				p.Platform, p.Artifact, r.Component, r.Version, r.Variant, r.Platform, r.Epoch)
		}
		if err := validateLayers(p, r); err != nil {
			return fmt.Errorf("platform %s: %w", p.Platform, err)
		}
		if base, first := p.Layers[0], i.Platforms[0].Layers[0]; base.Digest != first.Digest || base.DiffID != first.DiffID {
			return fmt.Errorf("platforms %s and %s do not have the same base layer", i.Platforms[0].Platform, p.Platform)
		}
	}
	return nil
}

// validateLayers holds the layers of p against r, the artifact it is made of.
func validateLayers(p PlatformImage, r Record) error {
	if len(p.Layers) < len(LayerNames)-1 || len(p.Layers) > len(LayerNames) {
		return fmt.Errorf("%d layers, want %s", len(p.Layers), strings.Join(LayerNames, ", "))
	}
	seen := map[string]bool{}
	for n, l := range p.Layers {
		if l.Name != LayerNames[n] {
			return fmt.Errorf("layer %d is %q, want %q", n+1, l.Name, LayerNames[n])
		}
		if l.Digest.IsZero() || l.DiffID.IsZero() {
			return fmt.Errorf("layer %s lacks its digests", l.Name)
		}
		if l.Name == binaries && len(l.Members) != len(r.Binaries) {
			return fmt.Errorf("layer %s holds %d of the %d of artifact %q", l.Name, len(l.Members), len(r.Binaries), r.Name)
		}
		for k, f := range l.Members {
			if !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsAny(f.Name, "\\\x00") || f.Mode == "" {
				return fmt.Errorf("layer %s: member %q is no plain path below /, or has no mode", l.Name, f.Name)
			}
			if k > 0 && l.Members[k-1].Name >= f.Name {
				return fmt.Errorf("layer %s: member %q is there twice or out of order", l.Name, f.Name)
			}
			if seen[f.Name] {
				return fmt.Errorf("layer %s: member %q is in a lower one too", l.Name, f.Name)
			}
			seen[f.Name] = true
			if l.Name != binaries && strings.HasPrefix(f.Name, "bin/") {
				return fmt.Errorf("layer %s: %q lies among the binaries", l.Name, f.Name)
			}
			if l.Name == binaries && !slices.ContainsFunc(r.Binaries, func(b Binary) bool {
				return f.Name == "bin/"+path.Base(f.Name) && b.Name == path.Base(f.Name) && b.Digest == f.Digest && b.Size == f.Size
			}) {
				return fmt.Errorf("layer %s: %q is no binary of artifact %q", l.Name, f.Name, r.Name)
			}
		}
	}
	return nil
}
