// Package ocilayout reads container images that others made: the OCI image
// index of one image, from an image layout in a tar file (Open) or piece by
// piece from wherever it lies (Read). It guarantees that every byte is the one
// that a digest above it names, up to the digest of the index; that all of it
// was read, to the last file of the last layer; and that nothing else is there.
//
// It reads what this project publishes and refuses the rest, though it be valid
// by the specification: one index, one manifest for each platform, layers that
// hold regular files and folders alone, each file in one layer. So what is said
// of a layer's files is said of the files that a container sees.
//
// # Refusals
//
//   - ErrLayout: a document that is not of its form, down to a key that is not
//     known here (embedded data and foreign addresses among them), or a tar file
//     that is no image layout, or tells Docker of other images (DockerManifest).
//   - ErrMediaType: an index, manifest, configuration or layer that is called
//     something else.
//   - ErrMissing, ErrUnreferenced: a blob that is named and not there, or there
//     and not named.
//   - ErrDigest: a blob that has another size or digest than what names it.
//   - ErrPlatform: a platform that is there twice, or cannot be told from another
//     in the name of a file, or a configuration of another.
//   - ErrDiffID: a layer that unpacks to something else than its configuration says.
//   - ErrWhiteout: a file that takes one of a lower layer away.
//   - unpack.ErrName, ErrType, ErrDuplicate, ErrTooLarge, ErrArchive: a layer or
//     layout with a member that leads out of it, is a link or a device, has another
//     mode than Member's, is there twice, in one layer or two, or is larger than
//     anything that is released.
//
// # Media types
//
// https://github.com/opencontainers/image-spec, v1.1.1: those below, and no
// others.
package ocilayout

import (
	"context"
	"errors"
	"io"
	"time"

	"palisade/attestations/artifact"
)

// The media types that are read.
const (
	IndexType    = "application/vnd.oci.image.index.v1+json"
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	ConfigType   = "application/vnd.oci.image.config.v1+json"
	LayerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// EmptyType and Empty are the configuration of what is no image, and its content
// (image-spec, "Guidance for an Empty Descriptor").
const (
	EmptyType = "application/vnd.oci.empty.v1+json"
	Empty     = "{}"
)

// RefName is the annotation that a layout's index.json names its image by.
const RefName = "org.opencontainers.image.ref.name"

// Bounds, beside those of package unpack for each layer.
const (
	MaxDocument  = 4 << 20 // of an index, manifest or configuration, in bytes; registries take no larger ones
	maxLayer     = 1 << 30
	maxPlatforms = 32
	maxLayers    = 16
	maxUnpacked  = 16 << 30 // of all layers of all platforms, each once
	maxMembers   = 20_000   // likewise; all of them are held at once
)

// Why an image is refused, beside the errors of package unpack.
var (
	ErrLayout       = errors.New("malformed image")
	ErrMediaType    = errors.New("part of an image with another media type")
	ErrMissing      = errors.New("blob is missing")
	ErrUnreferenced = errors.New("blob is named by nothing")
	ErrDigest       = errors.New("blob is not the one that is named")
	ErrPlatform     = errors.New("platform is there twice, or is not the one that is named")
	ErrDiffID       = errors.New("layer does not unpack to what the configuration says")
	ErrWhiteout     = errors.New("layer takes away what a lower one holds")
)

// A Descriptor names a blob (descriptor.md).
type Descriptor struct {
	MediaType string
	Digest    artifact.Digest
	Size      int64 // bytes; -1 of an index whose size nobody said
}

// An Index is an image for several platforms (image-index.md).
type Index struct {
	Descriptor
	Annotations map[string]string
	Images      []Image // one at least; in the order of the index
}

// An Image is the image of one platform (manifest.md).
type Image struct {
	Descriptor  // of the manifest
	Platform    artifact.Platform
	Annotations map[string]string
	Config      Config
	Layers      []Layer // the lowest first
}

// A Config says how a container is started (config.md). Lists that the
// document does not have are empty.
type Config struct {
	Descriptor
	Created      time.Time // zero if it does not say
	User         string
	Entrypoint   []string
	Cmd          []string
	Env          []string
	WorkingDir   string
	StopSignal   string
	ExposedPorts []string // sorted
	Volumes      []string // sorted
	Labels       map[string]string
	History      []string // what made each layer, one each; or none
}

// A Layer is what one tar file adds (layer.md).
type Layer struct {
	Descriptor
	DiffID  artifact.Digest // of the tar file
	Members []Member        // in its order
}

// A Member is a file or a folder of a layer.
type Member struct {
	Name     string // below /, without a slash at either end
	Folder   bool
	Mode     int64 // permission bits: of a file 0644 or 0755; of a folder 0755, 0700 or 01777
	UID, GID int
	Size     int64           // bytes; 0 of a folder
	Digest   artifact.Digest // zero of a folder
}

// A Source has the blobs of an image. What it gives is believed in nothing.
type Source interface {
	// Blob opens what d names. Of d nothing but the media type and the digest
	// need be looked at. An error for what is not there should wrap ErrMissing.
	Blob(ctx context.Context, d Descriptor) (io.ReadCloser, error)
}

// A Visitor gets the contents of files while layers are read. The zero Visitor
// gets none. What it got counts for nothing unless the reading ends without an
// error: a layer's digest is only known at its end. A layer that several
// platforms have is read once.
type Visitor struct {
	Keep func(Member) bool                    // of a file, whose digest is not yet known
	See  func(m Member, content []byte) error // of those
}

// Platform is the image of that platform.
func (i *Index) Platform(p artifact.Platform) (Image, bool) {
	for _, image := range i.Images {
		if image.Platform == p {
			return image, true
		}
	}
	return Image{}, false
}
