package consume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/unpack"
	"palisade/attestations/verify/registry"
)

// What the parts of a release are called in a registry.
const (
	releaseType  = "application/vnd.palisade.release.v1"
	saidType     = "application/vnd.palisade.release.said.v1"
	releasesType = "application/vnd.palisade.releases.v1"

	// FileType is the media type of a file.
	FileType = "application/vnd.palisade.release.file.v1"
)

// limits bound the documents that are decoded.
var limits = intoto.Limits{Size: ocilayout.MaxDocument, Depth: 5, Items: unpack.MaxMembers}

type descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    artifact.Digest `json:"digest"`
	Size      int64           `json:"size"`
}

type layer struct {
	MediaType   string          `json:"mediaType"`
	Digest      artifact.Digest `json:"digest"`
	Size        int64           `json:"size"`
	Annotations struct {
		Title string `json:"org.opencontainers.image.title"`
	} `json:"annotations"`
}

// A manifest is an OCI image manifest with the fields that one of files has.
type manifest struct {
	SchemaVersion int        `json:"schemaVersion"`
	MediaType     string     `json:"mediaType"`
	ArtifactType  string     `json:"artifactType"`
	Config        descriptor `json:"config"`
	Layers        []layer    `json:"layers"`
}

type child struct {
	MediaType    string          `json:"mediaType"`
	ArtifactType string          `json:"artifactType"`
	Digest       artifact.Digest `json:"digest"`
	Size         int64           `json:"size"`
}

// An index is an OCI image index with the fields that one of a release has.
type index struct {
	SchemaVersion int     `json:"schemaVersion"`
	MediaType     string  `json:"mediaType"`
	Manifests     []child `json:"manifests"`
}

// A Form is a release as a registry has it: two manifests, and the index of both.
type Form struct{ Release, Said, Index registry.Manifest }

// Form is the one form of these files. Files that no release can have are refused.
func (l Listing) Form() (Form, error) {
	var f Form
	if err := l.validate(); err != nil {
		return f, err
	}
	var err error
	if f.Release, err = manifestOf(releaseType, l.Release); err != nil {
		return f, err
	}
	if f.Said, err = manifestOf(saidType, l.Said); err != nil {
		return f, err
	}
	i := index{SchemaVersion: 2, MediaType: ocilayout.IndexType}
	for artifactType, m := range inOrder(f) {
		i.Manifests = append(i.Manifests, child{ocilayout.ManifestType, artifactType, m.Digest, int64(len(m.Data))})
	}
	f.Index, err = document(ocilayout.IndexType, i)
	return f, err
}

func inOrder(f Form) func(yield func(string, registry.Manifest) bool) {
	return func(yield func(string, registry.Manifest) bool) {
		_ = yield(releaseType, f.Release) && yield(saidType, f.Said)
	}
}

// IndexForm is an index of releases as a registry has it.
func IndexForm(index, bundle []byte) (registry.Manifest, error) {
	return manifestOf(releasesType, []File{
		{releases.FileName, int64(len(index)), artifact.DigestBytes(index)},
		{releases.BundleName, int64(len(bundle)), artifact.DigestBytes(bundle)},
	})
}

func manifestOf(artifactType string, files []File) (registry.Manifest, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: ocilayout.ManifestType, ArtifactType: artifactType,
		Config: descriptor{ocilayout.EmptyType, artifact.DigestBytes([]byte(ocilayout.Empty)), int64(len(ocilayout.Empty))},
	}
	for _, f := range files {
		l := layer{MediaType: FileType, Digest: f.Digest, Size: f.Size}
		l.Annotations.Title = f.Name
		m.Layers = append(m.Layers, l)
	}
	return document(ocilayout.ManifestType, m)
}

func document(mediaType string, of any) (registry.Manifest, error) {
	data, err := json.Marshal(of)
	if err == nil && len(data) > ocilayout.MaxDocument {
		err = fmt.Errorf("%w: a manifest of %d bytes, and registries take no more than %d", ErrTooLarge, len(data), ocilayout.MaxDocument)
	}
	return registry.Manifest{MediaType: mediaType, Digest: artifact.DigestBytes(data), Data: data}, err
}

// parseIndex reads the index of a release: where its two manifests are. That they
// are this long is all that is believed of it.
func parseIndex(m registry.Manifest) (release, said child, err error) {
	var i index
	if err := decode(m, ocilayout.IndexType, &i); err != nil {
		return release, said, err
	}
	if len(i.Manifests) != 2 || i.Manifests[0].ArtifactType != releaseType || i.Manifests[1].ArtifactType != saidType || i.SchemaVersion != 2 {
		return release, said, fmt.Errorf("%w: %s is no index of a manifest of %s and one of %s", ErrForm, m.Digest, releaseType, saidType)
	}
	for _, c := range i.Manifests {
		if c.MediaType != ocilayout.ManifestType || c.Digest.IsZero() || c.Size <= 0 || c.Size > ocilayout.MaxDocument {
			return release, said, fmt.Errorf("%w: the index %s names something else than a manifest", ErrForm, m.Digest)
		}
	}
	return i.Manifests[0], i.Manifests[1], nil
}

// ReleaseOf is the digest of what was built, of the index of a release.
func ReleaseOf(m registry.Manifest) (artifact.Digest, error) {
	release, _, err := parseIndex(m)
	return release.Digest, err
}

// parseManifest reads a manifest of files.
func parseManifest(m registry.Manifest, artifactType string) ([]File, error) {
	var doc manifest
	if err := decode(m, ocilayout.ManifestType, &doc); err != nil {
		return nil, err
	}
	var files []File
	for _, l := range doc.Layers {
		files = append(files, File{l.Annotations.Title, l.Size, l.Digest})
	}
	if err := validate(files); err != nil {
		return nil, err
	}
	// All else in it has one value.
	if form, err := manifestOf(artifactType, files); err != nil || !bytes.Equal(form.Data, m.Data) {
		return nil, fmt.Errorf("%w: the manifest %s is not the one of its files, as %s", ErrForm, m.Digest, artifactType)
	}
	return files, nil
}

// decode reads a document that is of that type, and written in its one form.
func decode(m registry.Manifest, mediaType string, into any) error {
	if m.MediaType != mediaType {
		return fmt.Errorf("%w: %s is %.100q, want %s", ErrForm, m.Digest, m.MediaType, mediaType)
	}
	if err := intoto.Decode(m.Data, into, limits); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrForm, m.Digest, err)
	}
	if form, err := json.Marshal(into); err != nil || !bytes.Equal(form, m.Data) {
		return fmt.Errorf("%w: %s is not written as it would be here (keys, their order, spaces)", ErrForm, m.Digest)
	}
	return nil
}

// validate refuses what is no release, or larger than any.
func (l Listing) validate() error {
	if len(l.Release) == 0 || len(l.Said) == 0 {
		return fmt.Errorf("%w: it has no files of which something is said", ErrForm)
	}
	for _, files := range [][]File{l.Release, l.Said} {
		if err := validate(files); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(l.Release, func(f File) bool { return f.Name == manifestName }) {
		return fmt.Errorf("%w: it has no %s", ErrForm, manifestName)
	}
	all := l.all()
	var wall unpack.Wall
	names := map[string]bool{}
	for _, f := range all {
		if err := wall.Enter(unpack.Entry{Name: f.Name, Size: f.Size}); err != nil {
			return fmt.Errorf("%w: %w", ErrForm, err)
		}
		names[f.Name] = true
	}
	for _, f := range all {
		for folder := path.Dir(f.Name); folder != "."; folder = path.Dir(folder) {
			if names[folder] {
				return fmt.Errorf("%w: %q is a file and a folder", ErrForm, folder)
			}
		}
	}
	return nil
}

func (l Listing) all() []File { return slices.Concat(l.Release, l.Said) }

// validate refuses files that are not in order, or of which one is nothing.
func validate(files []File) error {
	for n, f := range files {
		switch {
		case n > 0 && files[n-1].Name >= f.Name:
			return fmt.Errorf("%w: %q is there twice or out of order", ErrForm, f.Name)
		case f.Digest.IsZero():
			return fmt.Errorf("%w: %q has no digest", ErrForm, f.Name)
		case f.Size <= 0:
			return fmt.Errorf("%w: %q has %d bytes", ErrForm, f.Name, f.Size)
		}
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+": take it anew, and tell the publisher if it is still so", append([]any{ErrMismatch}, args...)...)
}
