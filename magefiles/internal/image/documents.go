package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// created says what each layer holds, in an image's history.
var created = map[string]string{
	"base":          "certificate authorities, users and /tmp",
	"licences":      "licences and the bill of materials",
	"binaries":      "binaries",
	"configuration": "configuration and volumes",
}

// annotations are on manifest and index, and in the configuration as labels
// (image-spec, annotations.md).
func (b *builder) annotations(licence string) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "created":     b.epoch.Format(time.RFC3339),
		prefix + "title":       b.recipe.Name,
		prefix + "description": b.recipe.Description,
		prefix + "url":         b.recipe.Homepage,
		prefix + "source":      home(b.recipe),
		prefix + "version":     b.image.Version,
		prefix + "revision":    b.revision,
		prefix + "licenses":    licence,
		prefix + "vendor":      b.distribution.Publisher,
	}
}

// manifest makes configuration and manifest of one platform.
func (b *builder) manifest(s Source, layers []layer) (platformImage, error) {
	licence := b.licence(s.Licence)
	labels := b.annotations(licence)
	config, err := encode(b.config(s.Record, layers, labels))
	if err != nil {
		return platformImage{}, err
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: describe(types.OCIConfigJSON, config), Annotations: labels}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: types.OCILayer, Size: l.Size, Digest: hashOf(l.Digest)})
	}
	document, err := encode(manifest)
	if err != nil {
		return platformImage{}, err
	}
	for _, data := range [][]byte{config, document} {
		if err := b.blobs.add(data); err != nil {
			return platformImage{}, err
		}
	}
	p := s.Record.Platform
	made := platformImage{licence: s.Licence, named: describe(types.OCIManifestSchema1, document), PlatformImage: artifact.PlatformImage{
		Platform: p, Manifest: artifact.DigestBytes(document), Config: artifact.DigestBytes(config), Artifact: s.Record.Name,
	}}
	made.named.Platform = &v1.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Variant}
	for _, l := range layers {
		made.Layers = append(made.Layers, l.Layer)
	}
	return made, nil
}

// config says how a container is started.
func (b *builder) config(r artifact.Record, layers []layer, labels map[string]string) v1.ConfigFile {
	i := b.recipe.Image
	made := v1.ConfigFile{
		Created: v1.Time{Time: b.epoch}, OS: r.Platform.OS, Architecture: r.Platform.Arch, Variant: r.Platform.Variant,
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: fmt.Sprintf("%d:%d", recipes.User, recipes.User), Env: []string{"PATH=/bin"},
			Entrypoint: i.Entrypoint, Cmd: i.Cmd, WorkingDir: i.Workdir, Labels: labels,
			ExposedPorts: map[string]struct{}{}, Volumes: map[string]struct{}{},
		},
	}
	for _, port := range i.Ports {
		made.Config.ExposedPorts[fmt.Sprintf("%d/tcp", port)] = struct{}{}
	}
	for _, v := range b.recipe.ImageVolumes(r.Variant) {
		made.Config.Volumes[v] = struct{}{}
	}
	if recipes.Credentials(r.Variant) {
		made.Config.Env = append(made.Config.Env, recipes.CredentialsEnv+"="+recipes.CredentialsDir)
	}
	for _, l := range layers {
		made.RootFS.DiffIDs = append(made.RootFS.DiffIDs, hashOf(l.DiffID))
		made.History = append(made.History, v1.History{Created: v1.Time{Time: l.epoch.UTC()}, CreatedBy: b.distribution.Name + ": " + created[l.Name]})
	}
	return made
}

// index names all platforms.
func (b *builder) index(made []platformImage) ([]byte, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	var licences []string
	for _, m := range made {
		index.Manifests, licences = append(index.Manifests, m.named), append(licences, m.licence)
	}
	index.Annotations = b.annotations(b.licence(licences...))
	document, err := encode(index)
	if err != nil {
		return nil, err
	}
	return document, b.blobs.add(document)
}

// describe names a document.
func describe(mediaType types.MediaType, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(data)), Digest: hashOf(artifact.DigestBytes(data))}
}

func hashOf(d artifact.Digest) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: d.Hex()} }

// encode writes JSON in one form: keys of structures in their order, of maps
// sorted, nothing between.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
