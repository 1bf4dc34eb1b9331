package resultcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/step"
	"palisade/magefiles/internal/store"
)

// What an entry consists of (attestations/predicates/step.md).
const (
	artifactType = "application/vnd.palisade.step.v1"
	valueType    = "application/vnd.palisade.step.value.v1+json"
	fileType     = "application/vnd.palisade.step.file.v1"

	emptyType = ocilayout.EmptyType
	empty     = ocilayout.Empty
)

// maxBundle bounds the bundle of an entry, in bytes.
const maxBundle = 4 << 20

// maxTag is how long a tag may be (distribution-spec, "Pulling manifests").
const maxTag = 128

// ErrForm is what the refusal of a manifest wraps that is not the one of its
// bundle.
var ErrForm = errors.New("its manifest is not the one that its bundle has")

// A manifest is an OCI image manifest, with the fields that an entry's has.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    artifact.Digest `json:"digest"`
	Size      int64           `json:"size"`
}

func (d descriptor) oci() ocilayout.Descriptor {
	return ocilayout.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

func describe(mediaType string, data []byte) descriptor {
	return descriptor{mediaType, artifact.DigestBytes(data), int64(len(data))}
}

// form is the one manifest of an entry whose bundle b attests s.
func form(s step.Step, b descriptor) ([]byte, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: ocilayout.ManifestType, ArtifactType: artifactType,
		Config: describe(emptyType, []byte(empty)),
		Layers: []descriptor{b, {valueType, s.Value.Digest, s.Value.Size}},
	}
	for _, f := range s.Files {
		if f.Size > 0 {
			m.Layers = append(m.Layers, descriptor{fileType, f.Digest, f.Size})
		}
	}
	return json.Marshal(m)
}

// bundleOf is where a manifest that nobody vouches for has its bundle. Nothing
// else is read of it.
func bundleOf(data []byte) (descriptor, error) {
	var m manifest
	if err := intoto.Decode(data, &m, intoto.Limits{Size: ocilayout.MaxDocument, Depth: 4, Items: step.MaxFiles + 2}); err != nil {
		return descriptor{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if len(m.Layers) == 0 || m.Layers[0].MediaType != bundle.MediaType || m.Layers[0].Digest.IsZero() {
		return descriptor{}, fmt.Errorf("%w: it begins with no bundle", ErrForm)
	}
	if n := m.Layers[0].Size; n <= 0 || n > maxBundle {
		return descriptor{}, fmt.Errorf("%w: its bundle is said to have %d bytes, of at most %d", ErrForm, n, maxBundle)
	}
	return m.Layers[0], nil
}

// parts are the step and the inputs of a key, and the tag that stands for both;
// false if no tag can.
func parts(key store.Key) (name string, inputs artifact.Digest, tag string, ok bool) {
	name, sum, _ := strings.Cut(key.String(), "/")
	inputs, err := artifact.ParseDigest("sha256:" + sum)
	tag = name + "-" + sum
	return name, inputs, tag, err == nil && name != "" && len(tag) <= maxTag
}
