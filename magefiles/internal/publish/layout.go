package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/unpack"
)

// A layout is the file of an image. Its documents were read and are those of
// release.json; its blobs were not, and are held against their digests when
// they are sent.
type layout struct {
	*os.File
	at        map[artifact.Digest]extent
	index     document
	platforms []platform
}

// An extent is where a blob lies in the file.
type extent struct{ offset, size int64 }

// A document is an index or a manifest.
type document struct {
	mediaType string
	digest    artifact.Digest
	data      []byte
}

// A platform is a manifest with its configuration and its layers.
type platform struct {
	document
	blobs []v1.Descriptor
}

func mismatch(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+": build and sign it again, or take it anew", append([]any{ErrMismatch}, args...)...)
}

func openLayout(root *os.Root, i artifact.Image) (*layout, error) {
	f, err := root.Open(i.Name)
	if err != nil {
		return nil, err
	}
	l := &layout{File: f, at: map[artifact.Digest]extent{}}
	if err := l.read(i); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *layout) read(i artifact.Image) error {
	info, err := l.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != i.Size {
		return mismatch("it is no file of %d bytes", i.Size)
	}
	section := io.NewSectionReader(l.File, 0, i.Size)
	err = unpack.Tar(section, func(e unpack.Entry, _ io.Reader) error {
		hex, isBlob := strings.CutPrefix(e.Name, "blobs/sha256/")
		if e.Folder || !isBlob {
			return nil
		}
		d, err := artifact.ParseDigest("sha256:" + hex)
		if err != nil {
			return mismatch("a blob is called %.100q", hex)
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		l.at[d] = extent{offset, e.Size}
		return err
	})
	if err != nil {
		return err
	}
	return l.documents(i)
}

// documents reads the index and the manifests, which have to be those of the
// record, down to the digest and length of every blob.
func (l *layout) documents(i artifact.Image) error {
	var err error
	var index v1.IndexManifest
	if l.index, err = l.document(i.Index, ocilayout.IndexType, &index); err != nil {
		return err
	}
	if len(index.Manifests) != len(i.Platforms) {
		return mismatch("its index names %d manifests, not %d", len(index.Manifests), len(i.Platforms))
	}
	for n, p := range i.Platforms {
		if got := index.Manifests[n]; got.Digest.String() != p.Manifest.String() || got.MediaType != ocilayout.ManifestType {
			return mismatch("its index names %s in place of the manifest of %s", got.Digest, p.Platform)
		}
		var m v1.Manifest
		doc, err := l.document(p.Manifest, ocilayout.ManifestType, &m)
		if err != nil {
			return err
		}
		same := slices.EqualFunc(m.Layers, p.Layers, func(d v1.Descriptor, l artifact.Layer) bool {
			return d.MediaType == ocilayout.LayerType && d.Digest.String() == l.Digest.String() && d.Size == l.Size
		})
		if !same || m.Config.MediaType != ocilayout.ConfigType || m.Config.Digest.String() != p.Config.String() {
			return mismatch("the manifest of %s names other layers or another configuration", p.Platform)
		}
		made := platform{doc, append([]v1.Descriptor{m.Config}, m.Layers...)}
		for _, d := range made.blobs {
			if e, there := l.at[digestOf(d.Digest)]; !there || e.size != d.Size || len(d.URLs) > 0 {
				return mismatch("blob %s of %s is not there, or has another length", d.Digest, p.Platform)
			}
		}
		l.platforms = append(l.platforms, made)
	}
	return nil
}

func (l *layout) document(d artifact.Digest, mediaType string, into any) (document, error) {
	e, there := l.at[d]
	if !there || e.size > ocilayout.MaxDocument {
		return document{}, mismatch("it does not hold %s, or it is too large", d)
	}
	data, err := io.ReadAll(io.NewSectionReader(l.File, e.offset, e.size))
	if err != nil {
		return document{}, err
	}
	if got := artifact.DigestBytes(data); got != d {
		return document{}, mismatch("what it calls %s is %s", d, got)
	}
	var typed struct {
		MediaType string `json:"mediaType"`
	}
	if err := errors.Join(json.Unmarshal(data, &typed), json.Unmarshal(data, into)); err != nil {
		return document{}, mismatch("%s: %v", d, err)
	}
	if typed.MediaType != mediaType {
		return document{}, mismatch("%s calls itself %.100q, want %s", d, typed.MediaType, mediaType)
	}
	return document{mediaType, d, data}, nil
}

// open opens a blob, which is held against its digest while it is read: it ends
// with an error if it is another.
func (l *layout) open(d artifact.Digest) io.Reader {
	e := l.at[d]
	return &held{in: io.NewSectionReader(l.File, e.offset, e.size), want: d, left: e.size, sum: newHash()}
}

// digestOf is the digest of h; zero of one that is no SHA-256.
func digestOf(h v1.Hash) artifact.Digest {
	d, _ := artifact.ParseDigest(h.String())
	return d
}

func hashOf(d artifact.Digest) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: d.Hex()} }
