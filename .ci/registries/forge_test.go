package registries

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A forger is who can write to a registry, and has no key. He works in a folder
// of it.
type forger struct {
	repository name.Repository
	options    []remote.Option
}

func newForger(t *testing.T, s server, home, folder string) forger {
	t.Helper()
	repository, err := name.NewRepository(s.address + "/" + folder + "/node_exporter")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(t, filepath.Join(home, "tls.crt"))))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	return forger{repository, []remote.Option{
		remote.WithContext(t.Context()), remote.WithTransport(transport), remote.WithAuth(&authn.Basic{Username: user, Password: password}),
	}}
}

// index is what a tag names.
func (f forger) index(t *testing.T, tag string) v1.ImageIndex {
	t.Helper()
	index, err := remote.Index(f.repository.Tag(tag), f.options...)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// other puts another image under a tag, that differs from the true one in a
// variable of each configuration alone, and returns the digests that index and
// manifests have now, in the order of descriptors.
func (f forger) other(t *testing.T, tag string, index v1.ImageIndex) []v1.Descriptor {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]v1.Descriptor, 1, 1+len(m.Manifests))
	raw, err := index.RawManifest()
	for _, d := range m.Manifests {
		image, imageErr := index.Image(d.Digest)
		if err = errors.Join(err, imageErr); err != nil {
			t.Fatal(err)
		}
		layers, layersErr := image.Layers()
		config, configErr := image.RawConfigFile()
		manifest, manifestErr := image.RawManifest()
		if err := errors.Join(layersErr, configErr, manifestErr); err != nil {
			t.Fatal(err)
		}
		evil := static.NewLayer(bytes.Replace(config, []byte(`"PATH=/bin"`), []byte(`"PATH=/tmp"`), 1), types.OCIConfigJSON)
		for _, blob := range append(layers, evil) {
			if err := remote.WriteLayer(f.repository, blob, f.options...); err != nil {
				t.Fatal(err)
			}
		}
		old, _, err := v1.SHA256(bytes.NewReader(config))
		if err != nil {
			t.Fatal(err)
		}
		changed := f.put(t, bytes.Replace(manifest, []byte(old.Hex), []byte(digest(t, evil).Hex), 1), types.OCIManifestSchema1)
		if changed.Digest == d.Digest || changed.Size != d.Size {
			t.Fatalf("the image %s was not changed as it was to be", d.Digest)
		}
		raw = bytes.Replace(raw, []byte(d.Digest.Hex), []byte(changed.Digest.Hex), 1)
		all = append(all, changed)
	}
	all[0] = f.put(t, raw, types.OCIImageIndex)
	if err := remote.Put(f.repository.Tag(tag), manifest{raw, types.OCIImageIndex}, f.options...); err != nil {
		t.Fatal(err)
	}
	return all
}

// put puts a manifest as it is.
func (f forger) put(t *testing.T, raw []byte, mediaType types.MediaType) v1.Descriptor {
	t.Helper()
	hash, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Put(f.repository.Digest(hash.String()), manifest{raw, mediaType}, f.options...); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: mediaType, Digest: hash, Size: size}
}

type manifest struct {
	raw       []byte
	mediaType types.MediaType
}

func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// push puts an index under a tag, with all that it names.
func (f forger) push(t *testing.T, tag string, index v1.ImageIndex) {
	t.Helper()
	if err := remote.WriteIndex(f.repository.Tag(tag), index, f.options...); err != nil {
		t.Fatal(err)
	}
}

// bundles are the manifests about a digest with what is in their one layer.
func (f forger) bundles(t *testing.T, of v1.Hash) (all []attached) {
	t.Helper()
	index, err := remote.Referrers(f.repository.Digest(of.String()), f.options...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		image, err := remote.Image(f.repository.Digest(d.Digest.String()), f.options...)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := image.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		content, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.LimitReader(content, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, attached{raw, data})
	}
	if len(all) < 3 {
		t.Fatalf("%d bundles are attached to %s", len(all), of)
	}
	return all
}

type attached struct{ manifest, bundle []byte }

// attach puts a bundle beside what has that digest and size, in the form that
// the true one has.
func (f forger) attach(t *testing.T, a attached, to v1.Descriptor) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.manifest, &m); err != nil {
		t.Fatal(err)
	}
	layer := m["layers"].([]any)[0].(map[string]any)
	content := static.NewLayer(a.bundle, types.MediaType(layer["mediaType"].(string)))
	layer["digest"], layer["size"] = digest(t, content), len(a.bundle)
	m["subject"] = v1.Descriptor{MediaType: to.MediaType, Digest: to.Digest, Size: to.Size}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range []v1.Layer{content, static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")} {
		if err := remote.WriteLayer(f.repository, blob, f.options...); err != nil {
			t.Fatal(err)
		}
	}
	f.put(t, raw, types.OCIManifestSchema1)
}

// descriptors are those of the index and of all that it names.
func descriptors(t *testing.T, index v1.ImageIndex) []v1.Descriptor {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := index.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return append([]v1.Descriptor{{MediaType: types.OCIImageIndex, Digest: digest(t, index), Size: int64(len(raw))}}, m.Manifests...)
}
