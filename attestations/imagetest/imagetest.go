// Package imagetest makes container images for tests: small ones, formed as
// this project's are, and spoiled ones. What it makes depends on its arguments
// alone. It refuses nothing, which is what it is for: where it cannot write
// what it is asked for it panics, for then the test is wrong.
package imagetest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
)

// An Image is what Build makes. Edit, if there is one, changes the documents
// before they are written; it gets their names: "index.json", "index",
// "manifest linux/amd64", "config linux/amd64".
type Image struct {
	Ref         string // what index.json calls it: "name:tag"
	Epoch       int64
	Annotations map[string]string // of the index, the manifests and, as labels, the configurations
	Platforms   []Platform
	Edit        func(what string, doc map[string]any)
}

// A Platform is the image of one platform.
type Platform struct {
	Platform artifact.Platform
	Artifact string         // that it is made of
	Config   map[string]any // how it is started: "User", "Entrypoint"
	Layers   []Layer
}

// A Layer holds entries in the order given.
type Layer struct {
	Name    string
	Entries []Entry
	Packed  []byte // nil, or what is stored in place of the entries
}

// An Entry is a header and the content of a file.
type Entry struct {
	tar.Header
	Content string
}

// File is a file of root's.
func File(name string, mode int64, content string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content}
}

// Folder is an empty folder.
func Folder(name string, mode int64, owner int) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner}, ""}
}

// Built is an image in pieces.
type Built struct {
	Layout, IndexJSON, Docker []byte // the files of a layout that are no blobs: oci-layout, index.json, manifest.json
	Index                     artifact.Digest
	Blobs                     map[artifact.Digest][]byte
	Platforms                 []artifact.PlatformImage
}

const (
	vendor = "application/vnd.oci.image."
	layer  = vendor + "layer.v1.tar+gzip"
)

// Build makes an image.
func (i Image) Build() Built {
	b := Built{Layout: []byte(`{"imageLayoutVersion":"1.0.0"}`), Blobs: map[artifact.Digest][]byte{}}
	var manifests []any
	for _, p := range i.Platforms {
		made := artifact.PlatformImage{Platform: p.Platform, Artifact: p.Artifact}
		var layers, diffIDs, history []any
		for _, l := range p.Layers {
			data, record := l.pack()
			layers, diffIDs = append(layers, b.blob(layer, data)), append(diffIDs, record.DiffID.String())
			history = append(history, map[string]any{"created": stamp(i.Epoch), "created_by": l.Name})
			made.Layers = append(made.Layers, record)
		}
		platform := map[string]any{"os": p.Platform.OS, "architecture": p.Platform.Arch}
		if p.Platform.Variant != "" {
			platform["variant"] = p.Platform.Variant
		}
		config := map[string]any{"Labels": i.Annotations}
		for key, value := range p.Config {
			config[key] = value
		}
		document := map[string]any{
			"created": stamp(i.Epoch), "config": config, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}, "history": history,
		}
		for key, value := range platform {
			document[key] = value
		}
		named := b.blob(vendor+"config.v1+json", i.encode("config "+p.Platform.String(), document))
		made.Config = digestOf(named)
		manifest := b.blob(vendor+"manifest.v1+json", i.encode("manifest "+p.Platform.String(), map[string]any{
			"schemaVersion": 2, "mediaType": vendor + "manifest.v1+json", "config": named, "layers": layers, "annotations": i.Annotations,
		}))
		made.Manifest = digestOf(manifest)
		manifest["platform"] = platform
		manifests = append(manifests, manifest)
		b.Platforms = append(b.Platforms, made)
	}
	index := b.blob(vendor+"index.v1+json", i.encode("index", map[string]any{
		"schemaVersion": 2, "mediaType": vendor + "index.v1+json", "manifests": manifests, "annotations": i.Annotations,
	}))
	b.Index = digestOf(index)
	index["annotations"] = map[string]any{"org.opencontainers.image.ref.name": i.Ref}
	b.IndexJSON = i.encode("index.json", map[string]any{"schemaVersion": 2, "mediaType": vendor + "index.v1+json", "manifests": []any{index}})
	b.Docker = docker(i.Ref, b.Platforms)
	return b
}

// docker is manifest.json, as "docker save" writes it.
func docker(ref string, platforms []artifact.PlatformImage) []byte {
	var images []string
	for _, p := range platforms {
		name := ref
		if len(platforms) > 1 {
			name += "-" + strings.ReplaceAll(p.Platform.String(), "/", "-")
		}
		var layers []string
		for _, l := range p.Layers {
			layers = append(layers, fmt.Sprintf("%q", "blobs/sha256/"+l.Digest.Hex()))
		}
		images = append(images, fmt.Sprintf(`{"Config":"blobs/sha256/%s","RepoTags":[%q],"Layers":[%s]}`, p.Config.Hex(), name, strings.Join(layers, ",")))
	}
	return []byte("[" + strings.Join(images, ",") + "]")
}

// blob stores data and gives its descriptor.
func (b Built) blob(mediaType string, data []byte) map[string]any {
	d := artifact.DigestBytes(data)
	b.Blobs[d] = data
	return map[string]any{"mediaType": mediaType, "digest": d.String(), "size": len(data)}
}

func digestOf(descriptor map[string]any) artifact.Digest {
	d, err := artifact.ParseDigest(descriptor["digest"].(string))
	must(err)
	return d
}

func (i Image) encode(what string, doc map[string]any) []byte {
	if i.Edit != nil {
		i.Edit(what, doc)
	}
	data, err := json.Marshal(doc)
	must(err)
	return data
}

func stamp(epoch int64) string { return time.Unix(epoch, 0).UTC().Format(time.RFC3339) }

// pack gives the blob of a layer and what release.json says of it.
func (l Layer) pack() ([]byte, artifact.Layer) {
	plain := Tar(l.Entries...)
	made := artifact.Layer{Name: l.Name, DiffID: artifact.DigestBytes(plain)}
	for _, e := range l.Entries {
		if e.Typeflag == tar.TypeReg {
			content := []byte(e.Content)
			made.Members = append(made.Members, artifact.File{Name: e.Name, Mode: fmt.Sprintf("%04o", e.Mode), Size: int64(len(content)), Digest: artifact.DigestBytes(content)})
		}
	}
	slices.SortFunc(made.Members, func(a, b artifact.File) int { return strings.Compare(a.Name, b.Name) })
	data := l.Packed
	if data == nil {
		data = Gzip(plain)
	}
	made.Digest, made.Size = artifact.DigestBytes(data), int64(len(data))
	return data, made
}

// Tar writes a tar archive.
func Tar(entries ...Entry) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		must(w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.Content))
		must(err)
	}
	must(w.Close())
	return buf.Bytes()
}

// Gzip compresses data.
func Gzip(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	must(err)
	must(w.Close())
	return buf.Bytes()
}

// Tar is the image layout in a tar file, with more entries at its end.
func (b Built) Tar(more ...Entry) []byte {
	entries := []Entry{Folder("blobs", 0o755, 0), Folder("blobs/sha256", 0o755, 0)}
	for d, data := range b.Blobs {
		entries = append(entries, File("blobs/sha256/"+d.Hex(), 0o644, string(data)))
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"index.json", b.IndexJSON}, {"manifest.json", b.Docker}, {"oci-layout", b.Layout}} {
		if f.data != nil {
			entries = append(entries, File(f.name, 0o644, string(f.data)))
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return Tar(append(entries, more...)...)
}

func must(err error) {
	if err != nil {
		panic("imagetest: " + err.Error())
	}
}
