package ocilayout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/unpack"
)

var (
	amd64 = artifact.Platform{OS: "linux", Arch: "amd64"}
	armv7 = artifact.Platform{OS: "linux", Arch: "arm", Variant: "v7"}
)

// sample is an image for two platforms that share their lowest layer.
func sample() imagetest.Image {
	of := func(p artifact.Platform) imagetest.Platform {
		return imagetest.Platform{
			Platform: p,
			Config: map[string]any{
				"User": "65532:65532", "Entrypoint": []string{"/bin/beacon"}, "Cmd": []string{"--bright"}, "Env": []string{"PATH=/bin"},
				"WorkingDir": "/data", "ExposedPorts": map[string]any{"9100/tcp": map[string]any{}}, "Volumes": map[string]any{"/data": map[string]any{}},
			},
			Layers: []imagetest.Layer{
				{Name: "base", Entries: []imagetest.Entry{
					imagetest.Folder("etc", 0o755, 0), imagetest.File("etc/passwd", 0o644, "root:x:0:0::/:\n"), imagetest.Folder("tmp", 0o1777, 0),
					imagetest.File("run/here", 0o644, ""), // in a folder that nobody lists
				}},
				{Name: "binaries", Entries: []imagetest.Entry{
					imagetest.Folder("bin", 0o755, 0), imagetest.File("bin/beacon", 0o755, "beacon for "+p.String()),
				}},
				{Name: "configuration", Entries: []imagetest.Entry{imagetest.Folder("etc", 0o755, 0), imagetest.Folder("data", 0o755, 65532)}},
			},
		}
	}
	return imagetest.Image{
		Ref: "beacon:1.2.0", Epoch: 1700000000, Annotations: map[string]string{"org.opencontainers.image.version": "1.2.0"},
		Platforms: []imagetest.Platform{of(amd64), of(armv7)},
	}
}

func open(t *testing.T, data []byte, v Visitor) (*Layout, error) {
	t.Helper()
	return Open(t.Context(), bytes.NewReader(data), int64(len(data)), v)
}

func TestOpen(t *testing.T) {
	built := sample().Build()
	var kept []string
	l, err := open(t, built.Tar(), Visitor{
		Keep: func(m Member) bool { return m.Name == "bin/beacon" || m.Name == "etc/passwd" },
		See: func(m Member, content []byte) error {
			if artifact.DigestBytes(content) != m.Digest || int64(len(content)) != m.Size {
				t.Errorf("%s has not the content %q", m.Name, content)
			}
			kept = append(kept, string(content))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"root:x:0:0::/:\n", "beacon for linux/amd64", "beacon for linux/arm/v7"}; !slices.Equal(kept, want) {
		t.Errorf("seen were %q, want %q", kept, want)
	}
	if l.Ref != "beacon:1.2.0" || l.Digest != built.Index || l.Annotations["org.opencontainers.image.version"] != "1.2.0" || len(l.Images) != 2 {
		t.Errorf("%+v", l.Index)
	}
	i, ok := l.Platform(armv7)
	if !ok || i.Digest != built.Platforms[1].Manifest || i.Config.Digest != built.Platforms[1].Config || len(i.Layers) != 3 {
		t.Fatalf("%+v", i)
	}
	want := Config{
		Descriptor: i.Config.Descriptor, Created: time.Unix(1700000000, 0).UTC(), User: "65532:65532", Entrypoint: []string{"/bin/beacon"}, Cmd: []string{"--bright"},
		Env: []string{"PATH=/bin"}, WorkingDir: "/data", ExposedPorts: []string{"9100/tcp"}, Volumes: []string{"/data"},
		Labels: map[string]string{"org.opencontainers.image.version": "1.2.0"}, History: []string{"base", "binaries", "configuration"},
	}
	if !reflect.DeepEqual(i.Config, want) {
		t.Errorf("configuration:\n%+v, want\n%+v", i.Config, want)
	}
	for n, l := range i.Layers {
		w := built.Platforms[1].Layers[n]
		if l.Digest != w.Digest || l.DiffID != w.DiffID || l.Size != w.Size {
			t.Errorf("layer %d is %+v, want %+v", n, l, w)
		}
	}
	members := []Member{
		{Name: "bin", Folder: true, Mode: 0o755},
		{Name: "bin/beacon", Mode: 0o755, Size: 23, Digest: artifact.DigestBytes([]byte("beacon for linux/arm/v7"))},
	}
	if !reflect.DeepEqual(i.Layers[1].Members, members) {
		t.Errorf("%+v, want %+v", i.Layers[1].Members, members)
	}
	if data := i.Layers[2].Members[1]; data != (Member{Name: "data", Folder: true, Mode: 0o755, UID: 65532, GID: 65532}) {
		t.Errorf("%+v", data)
	}
	b, err := l.Blob(t.Context(), i.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(b); err != nil || artifact.DigestBytes(data) != i.Digest {
		t.Errorf("%s, %v", data, err)
	}
}

// blobs is a Source of its own making.
type blobs struct {
	all  map[artifact.Digest][]byte
	fail map[artifact.Digest]error
	read map[artifact.Digest]int64 // bytes that were taken
}

func (b blobs) Blob(_ context.Context, d Descriptor) (io.ReadCloser, error) {
	data, ok := b.all[d.Digest]
	if !ok {
		return nil, ErrMissing
	}
	return io.NopCloser(&tap{b, d.Digest, data}), nil
}

type tap struct {
	from blobs
	d    artifact.Digest
	left []byte
}

func (t *tap) Read(p []byte) (int, error) {
	if err := t.from.fail[t.d]; err != nil {
		return 0, err
	}
	if len(t.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	t.from.read[t.d] += int64(n)
	return n, nil
}

func TestRead(t *testing.T) {
	built := sample().Build()
	from := blobs{all: built.Blobs, fail: map[artifact.Digest]error{}, read: map[artifact.Digest]int64{}}
	d := Descriptor{MediaType: IndexType, Digest: built.Index, Size: -1}
	read, err := Read(t.Context(), d, from, Visitor{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := open(t, built.Tar(), Visitor{})
	if err != nil || !reflect.DeepEqual(*read, whole.Index) {
		t.Errorf("%+v, %v, want what the layout gives, %+v", read, err, whole.Index)
	}
	for digest, n := range from.read {
		if n != int64(len(built.Blobs[digest])) {
			t.Errorf("of %s %d bytes were read, want %d: each once", digest, n, len(built.Blobs[digest]))
		}
	}
	// What fails is the source, whatever is half read then: no verdict on the image.
	broken := errors.New("connection reset")
	for digest := range built.Blobs {
		from.fail = map[artifact.Digest]error{digest: broken}
		if _, err := Read(t.Context(), d, from, Visitor{}); !errors.Is(err, broken) || errors.Is(err, unpack.ErrArchive) || errors.Is(err, ErrDigest) {
			t.Errorf("%s fails: %v", digest, err)
		}
	}
	from.fail = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, d, from, Visitor{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Read(t.Context(), Descriptor{MediaType: ManifestType, Digest: built.Index, Size: -1}, from, Visitor{}); !errors.Is(err, ErrMediaType) {
		t.Errorf("a manifest for an index: %v", err)
	}
	// A source that gives more than it said, or without end.
	for size, want := range map[int64]error{int64(len(built.Blobs[built.Index])) - 1: ErrDigest, int64(len(built.Blobs[built.Index])) + 1: ErrDigest, MaxDocument + 1: unpack.ErrTooLarge} {
		if _, err := Read(t.Context(), Descriptor{IndexType, built.Index, size}, from, Visitor{}); !errors.Is(err, want) {
			t.Errorf("an index of %d bytes: %v, want %v", size, err, want)
		}
	}
	from.all[built.Index] = bytes.Repeat([]byte(" "), MaxDocument+100)
	from.read = map[artifact.Digest]int64{}
	if _, err := Read(t.Context(), d, from, Visitor{}); !errors.Is(err, unpack.ErrTooLarge) || from.read[built.Index] > MaxDocument+1 {
		t.Errorf("an index without end: %v, %d bytes were read", err, from.read[built.Index])
	}
}

// A visitor's error ends the reading.
func TestVisitorRefuses(t *testing.T) {
	enough := errors.New("enough")
	_, err := open(t, sample().Build().Tar(), Visitor{Keep: func(Member) bool { return true }, See: func(Member, []byte) error { return enough }})
	if !errors.Is(err, enough) {
		t.Errorf("= %v", err)
	}
}
