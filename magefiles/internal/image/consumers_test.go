package image

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/recipes"
)

// What others read of it: go-containerregistry, the reader of those who verify,
// and the index of a release.
func TestConsumers(t *testing.T) {
	for _, name := range []string{"bell", "clock"} {
		for _, variant := range recipes.Variants() {
			t.Run(name+" "+variant, func(t *testing.T) {
				s := spec(t, made(t), name, variant)
				data, image := build(t, s)
				validated(t, data, image)
				loaded(t, data, image)
				read(t, data, image)
				recorded(t, s, image)
			})
		}
	}
}

// validated holds the image against go-containerregistry: digests, sizes and
// diff IDs of all that is below the index, media types, platforms.
func validated(t *testing.T, data []byte, image artifact.Image) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files(t, data) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(root); err != nil {
		t.Error(err)
	}
	top, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Manifests) != 1 || top.Manifests[0].MediaType != types.OCIImageIndex || top.Manifests[0].Digest.String() != image.Index.String() {
		t.Fatalf("the layout names %+v", top.Manifests)
	}
	index, err := root.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(image.Platforms) {
		t.Fatalf("the index names %d manifests", len(manifest.Manifests))
	}
	for i, m := range manifest.Manifests {
		p := image.Platforms[i]
		if m.Digest.String() != p.Manifest.String() || m.Platform.String() != p.Platform.String() {
			t.Errorf("manifest %d is %s for %s, not %s for %s", i, m.Digest, m.Platform, p.Manifest, p.Platform)
		}
	}
}

// loaded has go-containerregistry take each platform as "docker load" does,
// where Docker has a store of its own: by its name, from manifest.json alone.
func loaded(t *testing.T, data []byte, image artifact.Image) {
	t.Helper()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	all, err := tarball.LoadManifest(open)
	if err != nil || len(all) != len(image.Platforms) {
		t.Fatalf("%d images, %v", len(all), err)
	}
	for i, p := range image.Platforms {
		called := "localhost/" + image.Component + ":" + image.Version + "-" + strings.ReplaceAll(p.Platform.String(), "/", "-")
		if !slices.Equal(all[i].RepoTags, []string{called}) {
			t.Errorf("%s is called %q", p.Platform, all[i].RepoTags)
		}
		tag, err := name.NewTag(called)
		if err != nil {
			t.Fatal(err)
		}
		found, err := tarball.Image(open, &tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(found); err != nil {
			t.Error(err)
		}
		if config, err := found.ConfigName(); err != nil || config.String() != p.Config.String() {
			t.Errorf("%s has the configuration %s, %v", called, config, err)
		}
	}
}

// Where there is no other platform the image has its plain name.
func TestLoadedAlone(t *testing.T) {
	s := spec(t, made(t), "bell", "hardened")
	s.Sources = s.Sources[1:2]
	data, image := build(t, s)
	read(t, data, image)
	var all tarball.Manifest
	if err := json.Unmarshal(files(t, data)["manifest.json"], &all); err != nil || len(all) != 1 || !slices.Equal(all[0].RepoTags, []string{"localhost/bell:2.1.0-palisade.1"}) {
		t.Errorf("%+v, %v", all, err)
	}
}

// read holds the image against the strict reader, and what Build said of it
// against what that found.
func read(t *testing.T, data []byte, image artifact.Image) {
	t.Helper()
	l, err := ocilayout.Open(t.Context(), bytes.NewReader(data), int64(len(data)), ocilayout.Visitor{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Index.Digest != image.Index || l.Ref != ocilayout.Ref(image.Component, image.Version) || len(l.Images) != len(image.Platforms) {
		t.Errorf("the layout holds %s, called %q, %d platforms", l.Index.Digest, l.Ref, len(l.Images))
	}
	for i, found := range l.Images {
		p := image.Platforms[i]
		if found.Digest != p.Manifest || found.Config.Digest != p.Config || found.Platform != p.Platform || len(found.Layers) != len(p.Layers) {
			t.Fatalf("image %d is %+v", i, found)
		}
		for k, layer := range found.Layers {
			want := p.Layers[k]
			if layer.Digest != want.Digest || layer.DiffID != want.DiffID || layer.Size != want.Size {
				t.Errorf("layer %s of %s is %+v", want.Name, p.Platform, layer.Descriptor)
			}
		}
	}
}

// recorded puts the image into the index of its release, which refuses one that
// is not made of the artifacts there.
func recorded(t *testing.T, s Spec, image artifact.Image) {
	t.Helper()
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: s.Distribution.Name}
	for _, from := range s.Sources {
		m.Artifacts = append(m.Artifacts, from.Record)
	}
	image.Documents = []artifact.File{{Name: image.Name + ".spdx.json", Digest: artifact.DigestBytes(nil)}}
	m.Images = []artifact.Image{image}
	m.Sort()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.ParseManifest(bytes.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// The images of the components that there are: upstream's ports, arguments and
// places, and everything that they name is in them.
func TestShipped(t *testing.T) {
	fsys := os.DirFS(filepath.Join("..", "..", "..", "recipes"))
	names, err := recipes.Names(fsys)
	if err != nil {
		t.Fatal(err)
	}
	bases := map[artifact.Digest]bool{}
	for _, name := range names {
		for _, variant := range recipes.Variants() {
			t.Run(name+" "+variant, func(t *testing.T) {
				s := spec(t, fsys, name, variant)
				data, image := build(t, s)
				validated(t, data, image)
				read(t, data, image)
				l, err := ocilayout.Open(t.Context(), bytes.NewReader(data), int64(len(data)), ocilayout.Visitor{})
				if err != nil {
					t.Fatal(err)
				}
				for _, found := range l.Images {
					bases[found.Layers[0].Digest] = true
					complete(t, found, variant)
				}
			})
		}
	}
	if len(bases) != 1 {
		t.Errorf("%d base layers", len(bases))
	}
}

// complete sees to it that what the configuration names is there, and that who
// runs it owns nothing but what it has to write to.
func complete(t *testing.T, image ocilayout.Image, variant string) {
	t.Helper()
	owned := map[string]int64{}
	all := map[string]ocilayout.Member{}
	for _, layer := range image.Layers {
		for _, m := range layer.Members {
			all["/"+m.Name] = m
			if m.UID != 0 || m.GID != 0 {
				owned["/"+m.Name] = m.Mode
			}
			if !m.Folder && m.Mode != 0o644 && (m.Mode != 0o755 || !strings.HasPrefix(m.Name, "bin/")) {
				t.Errorf("%s has mode %o", m.Name, m.Mode)
			}
		}
	}
	c := image.Config
	wanted := []string{"/etc/passwd", "/etc/group", "/etc/ssl/certs/ca-certificates.crt", "/tmp", c.Entrypoint[0]}
	for _, argument := range c.Cmd {
		_, file, _ := strings.Cut(argument, "=")
		wanted = append(wanted, file)
	}
	for _, name := range wanted {
		if _, ok := all[name]; !ok {
			t.Errorf("%s: there is no %s", image.Platform, name)
		}
	}
	mayWrite := slices.Clone(c.Volumes)
	if c.WorkingDir != "" {
		mayWrite = append(mayWrite, c.WorkingDir)
	}
	for _, dir := range mayWrite {
		if m := all[dir]; !m.Folder || m.UID != recipes.User || m.GID != recipes.User {
			t.Errorf("%s: %s is %+v", image.Platform, dir, m)
		}
		delete(owned, dir)
	}
	if len(owned) > 0 {
		t.Errorf("%s: it owns %v too", image.Platform, owned)
	}
	hardened := variant != "vanilla"
	if slices.Contains(c.Volumes, "/credentials") != hardened || slices.Contains(c.Env, "PALISADE_CREDENTIALS_DIR=/credentials") != hardened {
		t.Errorf("%s: volumes %q, environment %q", image.Platform, c.Volumes, c.Env)
	}
	if hardened && all["/credentials"].Mode != 0o700 {
		t.Errorf("/credentials has mode %o", all["/credentials"].Mode)
	}
	if c.User != "65532:65532" || c.Env[0] != "PATH=/bin" || len(c.ExposedPorts) != 1 {
		t.Errorf("%s: %+v", image.Platform, c)
	}
}
