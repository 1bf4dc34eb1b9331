package ocilayout

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

var limits = intoto.Limits{Size: MaxDocument, Depth: 8, Items: 1000}

// The documents, with every key that this project writes. One more is refused:
// "urls" and "data" would bring content in by another way, "subject" and
// "artifactType" make something else of it, and annotations of what an index or
// a manifest names have some read a layer by another list of its files.
type (
	descriptorJSON struct {
		MediaType   string            `json:"mediaType"`
		Digest      artifact.Digest   `json:"digest"`
		Size        int64             `json:"size"`
		Platform    *platformJSON     `json:"platform"`
		Annotations map[string]string `json:"annotations"`
	}
	platformJSON struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant"`
	}
	indexJSON struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []descriptorJSON  `json:"manifests"`
		Annotations   map[string]string `json:"annotations"`
	}
	manifestJSON struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Config        descriptorJSON    `json:"config"`
		Layers        []descriptorJSON  `json:"layers"`
		Annotations   map[string]string `json:"annotations"`
	}
	configJSON struct {
		Created      string `json:"created"`
		Author       string `json:"author"`
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant"`
		Config       struct {
			User         string              `json:"User"`
			ExposedPorts map[string]struct{} `json:"ExposedPorts"`
			Env          []string            `json:"Env"`
			Entrypoint   []string            `json:"Entrypoint"`
			Cmd          []string            `json:"Cmd"`
			Volumes      map[string]struct{} `json:"Volumes"`
			WorkingDir   string              `json:"WorkingDir"`
			Labels       map[string]string   `json:"Labels"`
			StopSignal   string              `json:"StopSignal"`
		} `json:"config"`
		RootFS struct {
			Type    string            `json:"type"`
			DiffIDs []artifact.Digest `json:"diff_ids"`
		} `json:"rootfs"`
		History []historyJSON `json:"history"`
	}
	historyJSON struct {
		Created    string `json:"created"`
		CreatedBy  string `json:"created_by"`
		Author     string `json:"author"`
		Comment    string `json:"comment"`
		EmptyLayer bool   `json:"empty_layer"`
	}
	layoutJSON struct {
		Version string `json:"imageLayoutVersion"`
	}
)

// decode reads a document, called what.
func decode(what string, data []byte, into any) error {
	if err := intoto.Decode(data, into, limits); err != nil {
		return fmt.Errorf("%w: reading the %s: %w", ErrLayout, what, err)
	}
	return nil
}

// typed refuses a document of another version or media type.
func typed(what string, version int, got, want string) error {
	if version != 2 {
		return fmt.Errorf("%w: the %s has schemaVersion %d, want 2", ErrLayout, what, version)
	}
	if got != want {
		return fmt.Errorf("%w: the %s calls itself %.100q, want %s", ErrMediaType, what, got, want)
	}
	return nil
}

// of is the descriptor, which must be of that media type and name something of
// at most max bytes. Only an index names platforms.
func (d descriptorJSON) of(what, mediaType string, max int64) (Descriptor, error) {
	switch {
	case d.MediaType != mediaType:
		return Descriptor{}, fmt.Errorf("%w: the %s is called %.100q, want %s", ErrMediaType, what, d.MediaType, mediaType)
	case d.Digest.IsZero() || d.Size <= 0:
		return Descriptor{}, fmt.Errorf("%w: the %s has no digest, or %d bytes", ErrLayout, what, d.Size)
	case d.Size > max:
		return Descriptor{}, tooLarge(what, d.Size, max)
	case d.Platform != nil && mediaType != ManifestType:
		return Descriptor{}, fmt.Errorf("%w: the %s has a platform of its own", ErrLayout, what)
	case len(d.Annotations) > 0 && mediaType != IndexType:
		return Descriptor{}, fmt.Errorf("%w: the %s is annotated where it is named", ErrLayout, what)
	}
	return Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// of is the platform, in the one form that it has.
func (p platformJSON) of() (artifact.Platform, error) {
	made := artifact.Platform{OS: p.OS, Arch: p.Architecture, Variant: p.Variant}
	if back, err := artifact.ParsePlatform(made.String()); err != nil || back != made {
		return artifact.Platform{}, fmt.Errorf("%w: %.100q is none", ErrPlatform, made.String())
	}
	return made, nil
}

// of is the configuration that d names, without what Read holds against the
// layers.
func (c configJSON) of(d Descriptor) (Config, error) {
	made := Config{
		Descriptor: d, User: c.Config.User, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: c.Config.Env,
		WorkingDir: c.Config.WorkingDir, StopSignal: c.Config.StopSignal, Labels: c.Config.Labels,
		ExposedPorts: slices.Sorted(maps.Keys(c.Config.ExposedPorts)), Volumes: slices.Sorted(maps.Keys(c.Config.Volumes)),
	}
	if c.Created != "" {
		var err error
		if made.Created, err = time.Parse(time.RFC3339Nano, c.Created); err != nil {
			return Config{}, fmt.Errorf("%w: the configuration was created %.60q", ErrLayout, c.Created)
		}
	}
	if c.RootFS.Type != "layers" {
		return Config{}, fmt.Errorf("%w: the root file system of the configuration is of type %.60q, want layers", ErrLayout, c.RootFS.Type)
	}
	for _, v := range slices.Concat(made.Volumes, []string{made.WorkingDir}) {
		if v != "" && (!path.IsAbs(v) || path.Clean(v) != v) {
			return Config{}, fmt.Errorf("%w: volume or working directory %.200q is no absolute path", ErrLayout, v)
		}
	}
	named := map[string]bool{}
	for _, entry := range made.Env {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" || strings.Contains(entry, "\x00") || named[name] {
			return Config{}, fmt.Errorf("%w: environment variable %.200q is no NAME=value, or is set twice", ErrLayout, entry)
		}
		named[name] = true
	}
	for _, h := range c.History {
		if !h.EmptyLayer {
			made.History = append(made.History, h.CreatedBy)
		}
	}
	if len(c.History) > 0 && len(made.History) != len(c.RootFS.DiffIDs) {
		return Config{}, fmt.Errorf("%w: the history tells of %d layers, and there are %d", ErrLayout, len(made.History), len(c.RootFS.DiffIDs))
	}
	return made, nil
}
