package repro

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
)

// settings are those of picture, with what a host may leave in them.
const settings = "built: 2026-01-02T03:04:05Z\ndir=/home/builder/work\n"

// picture is an image of two platforms, which have one layer in common.
func picture() imagetest.Image {
	i := imagetest.Image{Ref: "localhost/bell:1.0.0", Epoch: epoch.Unix(), Annotations: map[string]string{"org.opencontainers.image.version": "1.0.0"}}
	for _, arch := range []string{"amd64", "arm64"} {
		i.Platforms = append(i.Platforms, imagetest.Platform{
			Platform: artifact.Platform{OS: "linux", Arch: arch}, Artifact: "bell.tar.gz", Config: map[string]any{"Entrypoint": []string{"/bin/bell"}},
			Layers: []imagetest.Layer{
				{Name: "roots", Entries: []imagetest.Entry{at(imagetest.File("etc/cert.pem", 0o644, "one\n"))}},
				{Name: "binaries", Entries: []imagetest.Entry{
					at(imagetest.File("bin/bell", 0o755, "#!/bin/sh\necho 1 "+arch+"\n")), at(imagetest.File("etc/bell.yml", 0o644, settings)),
				}},
			},
		})
	}
	return i
}

func at(e imagetest.Entry) imagetest.Entry {
	e.ModTime = epoch
	return e
}

// bell is the n-th entry of the layer of binaries for linux/amd64.
func bell(i *imagetest.Image, n int) *imagetest.Entry { return &i.Platforms[0].Layers[1].Entries[n] }

func holding(e *imagetest.Entry, s string) { e.Content, e.Size = s, int64(len(s)) }

// What is planted in an image is reported of the place that it is at, and of no
// other: not of the digests above it, nor of blobs that have other names.
func TestLayouts(t *testing.T) {
	other := "blobs/sha256/" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name   string
		change func(*imagetest.Image)
		after  func(imagetest.Built) []byte // nil: its layout
		want   []string                     // how each line begins
	}{
		{"equal", func(*imagetest.Image) {}, nil, nil},
		{
			"a file", func(i *imagetest.Image) { holding(bell(i, 0), "#!/bin/sh\necho 2 amd64\n") }, nil,
			[]string{`x!linux/amd64 layer 2!bin/bell at byte 15: content differs; "echo 1 amd64" and "echo 2 amd64"`},
		},
		{
			"a file of the layer that both have", func(i *imagetest.Image) {
				for p := range i.Platforms {
					holding(&i.Platforms[p].Layers[0].Entries[0], "two\n")
				}
			}, nil,
			[]string{"x!linux/amd64 layer 1!etc/cert.pem at byte 0: content differs"},
		},
		{
			"a file of that layer, for one of them", func(i *imagetest.Image) { holding(&i.Platforms[1].Layers[0].Entries[0], "two\n") }, nil,
			[]string{"x!linux/arm64 layer 1!etc/cert.pem at byte 0: content differs"},
		},
		{
			"a time stamp", func(i *imagetest.Image) { bell(i, 1).ModTime = epoch.Add(time.Hour) }, nil,
			[]string{"x!linux/amd64 layer 2!etc/bell.yml: time stamp: 2025-06-15T15:06:40Z in the first build, 2025-06-15T16:06:40Z in the second"},
		},
		{
			"a time stamp in a file", func(i *imagetest.Image) { holding(bell(i, 1), strings.Replace(settings, ":05Z", ":06Z", 1)) }, nil,
			[]string{`x!linux/amd64 layer 2!etc/bell.yml at byte 25: time stamp: "2026-01-02T03:04:05Z" in the first build, "2026-01-02T03:04:06Z" in the second`},
		},
		{
			"the time of all", func(i *imagetest.Image) { i.Epoch++ }, nil,
			[]string{
				"x!linux/amd64 config [created] at byte 145: time stamp: ", "x!linux/amd64 config [history[0].created] at byte 145: time stamp: ", "x!linux/amd64 config [history[1].created] at byte 145: time stamp: ",
				"x!linux/arm64 config [created] at byte 145: time stamp: ", "x!linux/arm64 config [history[0].created] at byte 145: time stamp: ", "x!linux/arm64 config [history[1].created] at byte 145: time stamp: ",
			},
		},
		{
			"a path in a file", func(i *imagetest.Image) { holding(bell(i, 1), strings.Replace(settings, "builder", "other", 1)) }, nil,
			[]string{`x!linux/amd64 layer 2!etc/bell.yml at byte 38: build path: "/home/builder/work" in the first build, "/home/other/work" in the second`},
		},
		{
			"compression", func(i *imagetest.Image) {
				i.Platforms[0].Layers[1].Packed = gzipOf(t, imagetest.Tar(i.Platforms[0].Layers[1].Entries...), 9, func(h *gzip.Header) { h.ModTime = time.Time{} })
			}, nil,
			[]string{"x!linux/amd64 layer 2 [gzip header]: compression: level hint 0 in the first build, level hint 2 in the second", "x!linux/amd64 layer 2 at byte "},
		},
		{
			"a time in the head of gzip", func(i *imagetest.Image) {
				i.Platforms[0].Layers[1].Packed = gzipOf(t, imagetest.Tar(i.Platforms[0].Layers[1].Entries...), gzip.DefaultCompression, func(h *gzip.Header) { h.ModTime = epoch })
			}, nil,
			[]string{"x!linux/amd64 layer 2 [gzip header]: time stamp: 2042-07-14T01:04:00Z in the first build, 2025-06-15T15:06:40Z in the second"},
		},
		{
			"mode", func(i *imagetest.Image) { bell(i, 0).Mode = 0o644 }, nil,
			[]string{"x!linux/amd64 layer 2!bin/bell: file mode: 0755 in the first build, 0644 in the second"},
		},
		{
			"how it is started", func(i *imagetest.Image) { i.Platforms[0].Config = map[string]any{"Entrypoint": []string{"/bin/sh"}} }, nil,
			[]string{`x!linux/amd64 config [config.Entrypoint[0]]`},
		},
		{
			"what is said of it", func(i *imagetest.Image) {
				i.Edit = func(what string, doc map[string]any) {
					if what == "manifest linux/amd64" {
						doc["annotations"] = map[string]string{"org.opencontainers.image.version": "1.0.1"}
					}
				}
			}, nil,
			[]string{`x!linux/amd64 manifest [annotations."org.opencontainers.image.version"]`},
		},
		{
			"its name", func(i *imagetest.Image) { i.Ref = "localhost/bell:2.0.0" }, nil,
			[]string{`x!index.json [manifests[0].annotations."org.opencontainers.image.ref.name"]`, "x!manifest.json [[0].RepoTags[0]]", "x!manifest.json [[1].RepoTags[0]]"},
		},
		{
			"a layer more", func(i *imagetest.Image) {
				p := &i.Platforms[0]
				p.Layers = append(p.Layers, imagetest.Layer{Name: "more", Entries: []imagetest.Entry{at(imagetest.File("more", 0o644, "more"))}})
			}, nil,
			[]string{
				"x!linux/amd64 layer 3: only in the second build", "x!linux/amd64 config [history] at byte ", "x!linux/amd64 config [rootfs.diff_ids] at byte ",
				"x!linux/amd64 manifest [layers]: 2 elements", "x!manifest.json [[0].Layers]: 2 elements",
			},
		},
		{
			"a platform less", func(i *imagetest.Image) { i.Platforms = i.Platforms[:1] }, nil,
			[]string{"x!linux/arm64 manifest: only in the first build", "x!image [manifests] at byte ", "x!manifest.json at byte ", "x!manifest.json [[0].RepoTags[0]]"},
		},
		{
			"a blob that nothing names", func(*imagetest.Image) {}, func(b imagetest.Built) []byte { return b.Tar(imagetest.File(other, 0o644, "x")) },
			[]string{"x!" + other + ": member only in the second build"},
		},
		{
			"a blob that is missing", func(*imagetest.Image) {}, func(b imagetest.Built) []byte {
				delete(b.Blobs, b.Platforms[0].Layers[1].Digest)
				return b.Tar()
			},
			[]string{"x!linux/amd64 layer 2: blobs/sha256/"},
		},
		{
			"a blob under another name", func(*imagetest.Image) {}, func(b imagetest.Built) []byte {
				config := b.Platforms[0].Config
				manifest := b.Platforms[0].Manifest
				b.Blobs[artifact.DigestBytes(nil)] = b.Blobs[config]
				delete(b.Blobs, config)
				b.Blobs[manifest] = bytes.ReplaceAll(b.Blobs[manifest], []byte(config.Hex()), []byte(artifact.DigestBytes(nil).Hex()))
				return b.Tar()
			},
			[]string{"x!linux/amd64 config: is called blobs/sha256/", "x!linux/amd64 manifest [config.digest] at byte "},
		},
		{
			"white space", func(*imagetest.Image) {}, func(b imagetest.Built) []byte {
				b.IndexJSON = append(b.IndexJSON, '\n')
				return b.Tar()
			},
			[]string{"x!index.json at byte "},
		},
		{
			"no list for Docker", func(*imagetest.Image) {}, func(b imagetest.Built) []byte {
				b.Docker = nil
				return b.Tar()
			},
			[]string{"x!manifest.json: manifest.json is missing in the second build"},
		},
		{
			"the owner of a file", func(*imagetest.Image) {}, func(b imagetest.Built) []byte {
				layout := imagetest.File("oci-layout", 0o644, string(b.Layout))
				layout.Uid, b.Layout = 7, nil
				return b.Tar(layout)
			},
			[]string{"x!oci-layout: owner: 0/0 \"\"/\"\" in the first build, 7/0"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := picture()
			tt.change(&i)
			second := i.Build().Tar()
			if tt.after != nil {
				second = tt.after(i.Build())
			}
			a, b := pair(t, "x", picture().Build().Tar(), second)
			got := report(t, a, b)
			lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
			for _, want := range tt.want {
				n := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) })
				if n < 0 {
					t.Errorf("no line %q", want)
					continue
				}
				lines = slices.Delete(lines, n, n+1)
			}
			if rest := strings.Join(lines, "\n"); rest != "" {
				t.Errorf("and %s", rest)
			}
			if t.Failed() {
				t.Logf("all of it:\n%s", got)
			}
		})
	}
}

// The order of blobs follows from their digests only where each side has it so.
func TestOrderOfLayouts(t *testing.T) {
	b := picture().Build()
	straight := b.Tar()
	docker, layout := b.Docker, b.Layout
	b.Docker, b.Layout = nil, nil
	turned := b.Tar(imagetest.File("oci-layout", 0o644, string(layout)), imagetest.File("manifest.json", 0o644, string(docker)))
	fileA, fileB := pair(t, "x", straight, turned)
	expect(t, report(t, fileA, fileB), []string{`x!manifest.json: order: the second build has "oci-layout" in its place`}, []string{"differs"})
}

// A layout in which a name is there twice, or that has more members than any, is
// compared as an archive.
func TestNoLayouts(t *testing.T) {
	twice := func(content string) []byte {
		return picture().Build().Tar(imagetest.File("oci-layout", 0o644, content))
	}
	a, b := pair(t, "x", twice("1"), twice("2"))
	expect(t, report(t, a, b), []string{"x!oci-layout at byte 0: content differs"}, nil)
	many := func(content string) []byte {
		var more []imagetest.Entry
		for range maxParts {
			more = append(more, imagetest.File("x", 0o644, ""))
		}
		return picture().Build().Tar(append(more, imagetest.File("y", 0o644, content))...)
	}
	a, b = pair(t, "x", many("1"), many("2"))
	expect(t, report(t, a, b), []string{"x!y at byte 0: content differs"}, nil)
}

// Past the bound it says so.
func TestBoundOfLayouts(t *testing.T) {
	lim := defaults
	lim.explained = 0
	changed := picture()
	holding(bell(&changed, 0), "x")
	a, b := pair(t, "x", picture().Build().Tar(), changed.Build().Tar())
	ds, err := compare(a, b, lim)
	if err != nil || len(ds) == 0 || !strings.Contains(ds[0].String(), "only the first 0 differing parts are looked into") {
		t.Errorf("%v, %v", ds, err)
	}
}
