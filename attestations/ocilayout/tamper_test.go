package ocilayout

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/unpack"
)

// A tampering is one way to offer something else than an image. before changes
// what is built, so that all digests fit; after what was built.
type tampering struct {
	name   string
	before func(i *imagetest.Image)
	after  func(b *imagetest.Built)
	file   func(b imagetest.Built) []byte
	want   error
}

func TestTamper(t *testing.T) {
	for _, row := range slices.Concat(ofLayouts, ofBlobs, ofDocuments, ofLayers) {
		t.Run(row.name, func(t *testing.T) {
			l, err := open(t, row.made(), Visitor{})
			if !errors.Is(err, row.want) || l != nil {
				t.Errorf("= %v, %v, want %v", l, err, row.want)
			}
		})
	}
}

// made is the sample, tampered with.
func (row tampering) made() []byte {
	i := sample()
	if row.before != nil {
		row.before(&i)
	}
	b := i.Build()
	if row.after != nil {
		row.after(&b)
	}
	if row.file != nil {
		return row.file(b)
	}
	return b.Tar()
}

var ofLayouts = []tampering{
	{name: "something behind its end", file: func(b imagetest.Built) []byte { return append(b.Tar(), 'x') }, want: unpack.ErrArchive},
	{name: "zeros without end", file: func(b imagetest.Built) []byte { return append(b.Tar(), make([]byte, 2<<20)...) }, want: unpack.ErrTooLarge},
	{name: "cut off", file: func(b imagetest.Built) []byte { return b.Tar()[:len(b.Tar())/2|1] }, want: unpack.ErrArchive},
	{name: "no tar file", file: func(imagetest.Built) []byte { return []byte("no tar file") }, want: unpack.ErrArchive},
	{name: "compressed", file: func(b imagetest.Built) []byte { return imagetest.Gzip(b.Tar()) }, want: unpack.ErrArchive},
	{name: "empty", file: func(imagetest.Built) []byte { return imagetest.Tar() }, want: ErrLayout},
	{name: "blob twice", file: func(b imagetest.Built) []byte {
		return b.Tar(imagetest.File("blobs/sha256/"+b.Index.Hex(), 0o644, string(b.Blobs[b.Index])))
	}, want: unpack.ErrDuplicate},
	{name: "second index.json", file: more(imagetest.File("index.json", 0o644, "{}")), want: unpack.ErrDuplicate},
	{name: "second manifest.json", file: more(imagetest.File("manifest.json", 0o644, "[]")), want: unpack.ErrDuplicate},
	{name: "huge manifest.json", after: func(b *imagetest.Built) { b.Docker = make([]byte, MaxDocument+1) }, want: unpack.ErrTooLarge},
	{name: "no manifest.json", after: func(b *imagetest.Built) { b.Docker = nil }, want: ErrLayout},
	{name: "empty manifest.json", after: func(b *imagetest.Built) { b.Docker = []byte{} }, want: ErrLayout},
	{name: "no image for Docker", after: docker(func(s string) string { return "[]" }), want: ErrLayout},
	{name: "one more for Docker", after: docker(func(s string) string { return s[:len(s)-1] + "," + s[1:] }), want: ErrLayout},
	{name: "another order for Docker", after: docker(func(s string) string {
		first, second, _ := strings.Cut(s[1:len(s)-1], "},")
		return "[" + second + "," + first + "}]"
	}), want: ErrLayout},
	{name: "another name for Docker", after: docker(func(s string) string { return strings.Replace(s, "beacon:", "bacon:", 1) }), want: ErrLayout},
	{name: "another configuration for Docker", after: func(b *imagetest.Built) {
		b.Docker = bytes.Replace(b.Docker, []byte(b.Platforms[0].Config.Hex()), []byte(b.Platforms[1].Config.Hex()), 1)
	}, want: ErrLayout},
	{name: "another layer for Docker", after: func(b *imagetest.Built) {
		b.Docker = bytes.Replace(b.Docker, []byte(b.Platforms[0].Layers[1].Digest.Hex()), []byte(b.Platforms[1].Layers[1].Digest.Hex()), 1)
	}, want: ErrLayout},
	{name: "the same for Docker in other bytes", after: docker(func(s string) string { return s + "\n" }), want: ErrLayout},
	{name: "no name", before: func(i *imagetest.Image) { i.Ref = "" }, want: ErrLayout},
	{name: "name without a tag", before: func(i *imagetest.Image) { i.Ref = "beacon" }, want: ErrLayout},
	{name: "tag without a name", before: func(i *imagetest.Image) { i.Ref = "1.2.0" }, want: ErrLayout},
	{name: "name in capitals", before: func(i *imagetest.Image) { i.Ref = "Beacon:1.2.0" }, want: ErrLayout},
	{name: "name with a digest", before: func(i *imagetest.Image) { i.Ref = "beacon:1.2.0@sha256" }, want: ErrLayout},
	{name: "tag that is too long", before: func(i *imagetest.Image) { i.Ref = "beacon:" + strings.Repeat("1", maxTag-len("-linux-arm-v7")+1) }, want: ErrLayout},
	{name: "blob of another algorithm", file: more(imagetest.File("blobs/sha512/"+strings.Repeat("0", 128), 0o644, "")), want: ErrUnreferenced},
	{name: "blob with another name", file: more(imagetest.File("blobs/sha256/x", 0o644, "")), want: ErrLayout},
	{name: "blob with a name in capitals", file: more(imagetest.File("blobs/sha256/"+strings.Repeat("A", 64), 0o644, "")), want: ErrLayout},
	{name: "name that leads out", file: more(imagetest.File("blobs/sha256/../../../x", 0o644, "")), want: unpack.ErrName},
	{name: "device of Windows", file: more(imagetest.File("blobs/sha256/nul", 0o644, "")), want: unpack.ErrName},
	{name: "bomb of headers", file: func(b imagetest.Built) []byte { return headed(b.Tar()) }, want: unpack.ErrTooLarge},
	{name: "bomb of headers behind a member", file: func(b imagetest.Built) []byte {
		whole := b.Tar()
		return append(whole[:len(whole)-1024:len(whole)-1024], headed(nil)...)
	}, want: unpack.ErrTooLarge},
	{name: "format of GNU", file: more(with(imagetest.File("blobs/sha256/x", 0o644, ""), func(h *tar.Header) { h.Format = tar.FormatGNU })), want: unpack.ErrType},
	{name: "symbolic link", file: more(imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "blobs/sha256/x", Linkname: "/etc/passwd"}}), want: unpack.ErrType},
	{name: "another version", after: func(b *imagetest.Built) { b.Layout = []byte(`{"imageLayoutVersion":"1.1.0"}`) }, want: ErrLayout},
	{name: "oci-layout with another key", after: func(b *imagetest.Built) { b.Layout = []byte(`{"imageLayoutVersion":"1.0.0","x":1}`) }, want: ErrLayout},
	{name: "key twice", after: func(b *imagetest.Built) {
		b.Layout = []byte(`{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}`)
	}, want: ErrLayout},
	{name: "huge index.json", after: func(b *imagetest.Built) { b.IndexJSON = make([]byte, MaxDocument+1) }, want: unpack.ErrTooLarge},
	{name: "second image", before: edit("index.json", func(doc map[string]any) {
		doc["manifests"] = append(doc["manifests"].([]any), doc["manifests"].([]any)[0])
	}), want: ErrLayout},
	{name: "no image", before: edit("index.json", func(doc map[string]any) { doc["manifests"] = []any{} }), want: ErrLayout},
	{name: "manifest in place of the index", before: edit("index.json", func(doc map[string]any) {
		doc["manifests"].([]any)[0].(map[string]any)["mediaType"] = ManifestType
	}), want: ErrMediaType},
}

// docker changes manifest.json.
func docker(change func(string) string) func(*imagetest.Built) {
	return func(b *imagetest.Built) { b.Docker = []byte(change(string(b.Docker))) }
}

func more(e imagetest.Entry) func(imagetest.Built) []byte {
	return func(b imagetest.Built) []byte { return b.Tar(e) }
}

var ofBlobs = []tampering{
	{name: "byte of the index", after: flip(func(b imagetest.Built) artifact.Digest { return b.Index }), want: ErrDigest},
	{name: "byte of a manifest", after: flip(func(b imagetest.Built) artifact.Digest { return b.Platforms[1].Manifest }), want: ErrDigest},
	{name: "byte of a configuration", after: flip(func(b imagetest.Built) artifact.Digest { return b.Platforms[1].Config }), want: ErrDigest},
	{name: "byte of a layer", after: flip(func(b imagetest.Built) artifact.Digest { return b.Platforms[1].Layers[1].Digest }), want: ErrDigest},
	{name: "layer that is longer", after: func(b *imagetest.Built) {
		d := b.Platforms[0].Layers[0].Digest
		b.Blobs[d] = append(bytes.Clone(b.Blobs[d]), 0)
	}, want: ErrDigest},
	{name: "layer that is empty", after: func(b *imagetest.Built) { b.Blobs[b.Platforms[0].Layers[0].Digest] = nil }, want: ErrDigest},
	{name: "index missing", after: without(func(b imagetest.Built) artifact.Digest { return b.Index }), want: ErrMissing},
	{name: "manifest missing", after: without(func(b imagetest.Built) artifact.Digest { return b.Platforms[0].Manifest }), want: ErrMissing},
	{name: "configuration missing", after: without(func(b imagetest.Built) artifact.Digest { return b.Platforms[0].Config }), want: ErrMissing},
	{name: "layer missing", after: without(func(b imagetest.Built) artifact.Digest { return b.Platforms[0].Layers[2].Digest }), want: ErrMissing},
	{name: "blob that nothing names", after: func(b *imagetest.Built) { b.Blobs[artifact.DigestBytes([]byte("x"))] = []byte("x") }, want: ErrUnreferenced},
}

func flip(which func(imagetest.Built) artifact.Digest) func(*imagetest.Built) {
	return func(b *imagetest.Built) {
		d := which(*b)
		b.Blobs[d] = bytes.Clone(b.Blobs[d])
		b.Blobs[d][len(b.Blobs[d])/2] ^= 1
	}
}

func without(which func(imagetest.Built) artifact.Digest) func(*imagetest.Built) {
	return func(b *imagetest.Built) { delete(b.Blobs, which(*b)) }
}

// edit changes a document, whose digests will fit.
func edit(which string, change func(doc map[string]any)) func(*imagetest.Image) {
	return func(i *imagetest.Image) {
		i.Edit = func(what string, doc map[string]any) {
			if what == which {
				change(doc)
			}
		}
	}
}

func environment(entries ...string) func(*imagetest.Image) {
	return edit(configOf, func(doc map[string]any) { doc["config"].(map[string]any)["Env"] = entries })
}

// of is the n-th descriptor of a list of a document.
func of(doc map[string]any, list string, n int) map[string]any {
	return doc[list].([]any)[n].(map[string]any)
}

const (
	manifestOf = "manifest linux/amd64"
	configOf   = "config linux/amd64"
)

var ofDocuments = []tampering{
	{name: "index of docker", before: edit("index", func(doc map[string]any) {
		doc["mediaType"] = "application/vnd.docker.distribution.manifest.list.v2+json"
	}), want: ErrMediaType},
	{name: "index without media type", before: edit("index", func(doc map[string]any) { delete(doc, "mediaType") }), want: ErrMediaType},
	{name: "index of another schema", before: edit("index", func(doc map[string]any) { doc["schemaVersion"] = 1 }), want: ErrLayout},
	{name: "index of something", before: edit("index", func(doc map[string]any) { doc["subject"] = of(doc, "manifests", 0) }), want: ErrLayout},
	{name: "index without manifests", before: edit("index", func(doc map[string]any) { doc["manifests"] = []any{} }), want: ErrLayout},
	{name: "too many manifests", before: edit("index", func(doc map[string]any) {
		doc["manifests"] = slices.Repeat(doc["manifests"].([]any), maxPlatforms)
	}), want: ErrLayout},
	{name: "key in other capitals", before: edit("index", func(doc map[string]any) { doc["Manifests"] = doc["manifests"] }), want: ErrLayout},
	{name: "null", before: edit("index", func(doc map[string]any) { doc["annotations"] = nil }), want: ErrLayout},
	{name: "platform twice", before: edit("index", func(doc map[string]any) {
		doc["manifests"] = append(doc["manifests"].([]any), of(doc, "manifests", 0))
	}), want: ErrPlatform},
	{name: "layer with a platform", before: edit(manifestOf, func(doc map[string]any) {
		of(doc, "layers", 0)["platform"] = map[string]any{"os": "linux", "architecture": "amd64"}
	}), want: ErrLayout},
	{name: "manifest without platform", before: edit("index", func(doc map[string]any) { delete(of(doc, "manifests", 0), "platform") }), want: ErrPlatform},
	{name: "another architecture than the configuration's", before: edit("index", func(doc map[string]any) {
		of(doc, "manifests", 0)["platform"].(map[string]any)["architecture"] = "arm64"
	}), want: ErrPlatform},
	{name: "another variant than the configuration's", before: edit("index", func(doc map[string]any) {
		of(doc, "manifests", 1)["platform"].(map[string]any)["variant"] = "v6"
	}), want: ErrPlatform},
	{name: "platform with features", before: edit("index", func(doc map[string]any) {
		of(doc, "manifests", 0)["platform"].(map[string]any)["os.version"] = "1"
	}), want: ErrLayout},
	{name: "platform that is none", before: func(i *imagetest.Image) {
		i.Edit = func(what string, doc map[string]any) {
			switch what {
			case "index":
				of(doc, "manifests", 0)["platform"].(map[string]any)["architecture"] = "amd64/../x"
			case configOf:
				doc["architecture"] = "amd64/../x"
			}
		}
	}, want: ErrPlatform},
	{name: "index in an index", before: edit("index", func(doc map[string]any) { of(doc, "manifests", 0)["mediaType"] = IndexType }), want: ErrMediaType},
	{name: "manifest of huge size", before: edit("index", func(doc map[string]any) { of(doc, "manifests", 0)["size"] = int64(1) << 40 }), want: unpack.ErrTooLarge},
	{name: "manifest of negative size", before: edit("index", func(doc map[string]any) { of(doc, "manifests", 0)["size"] = -1 }), want: ErrLayout},
	{name: "manifest of another size", before: edit("index", func(doc map[string]any) { of(doc, "manifests", 0)["size"] = 10 }), want: ErrDigest},
	{name: "manifest of docker", before: edit(manifestOf, func(doc map[string]any) { doc["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json" }), want: ErrMediaType},
	{name: "manifest of an artifact", before: edit(manifestOf, func(doc map[string]any) { doc["artifactType"] = "application/x" }), want: ErrLayout},
	{name: "embedded configuration", before: edit(manifestOf, func(doc map[string]any) { doc["config"].(map[string]any)["data"] = "e30=" }), want: ErrLayout},
	{name: "configuration that is none", before: edit(manifestOf, func(doc map[string]any) {
		doc["config"].(map[string]any)["mediaType"] = "application/vnd.oci.empty.v1+json"
	}), want: ErrMediaType},
	{name: "layer from elsewhere", before: edit(manifestOf, func(doc map[string]any) { of(doc, "layers", 0)["urls"] = []string{"https://example.org"} }), want: ErrLayout},
	{name: "layer without compression", before: edit(manifestOf, func(doc map[string]any) {
		of(doc, "layers", 0)["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
	}), want: ErrMediaType},
	{name: "foreign layer", before: edit(manifestOf, func(doc map[string]any) {
		of(doc, "layers", 0)["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	}), want: ErrMediaType},
	{name: "layer of huge size", before: edit(manifestOf, func(doc map[string]any) { of(doc, "layers", 0)["size"] = int64(1) << 40 }), want: unpack.ErrTooLarge},
	{name: "layer of two sizes", before: edit("manifest linux/arm/v7", func(doc map[string]any) { of(doc, "layers", 0)["size"] = 10 }), want: ErrDigest},
	{name: "no layers", before: edit(manifestOf, func(doc map[string]any) { doc["layers"] = []any{} }), want: ErrLayout},
	{name: "layer that the configuration does not know", before: edit(manifestOf, func(doc map[string]any) { doc["layers"] = doc["layers"].([]any)[:2] }), want: ErrDiffID},
	{name: "wrong DiffID", before: edit(configOf, func(doc map[string]any) {
		ids := doc["rootfs"].(map[string]any)["diff_ids"].([]any)
		ids[0], ids[1] = ids[1], ids[0]
	}), want: ErrDiffID},
	{name: "digest that is none", before: edit(configOf, func(doc map[string]any) {
		doc["rootfs"].(map[string]any)["diff_ids"].([]any)[0] = "md5:0"
	}), want: ErrLayout},
	{name: "root file system of another type", before: edit(configOf, func(doc map[string]any) { doc["rootfs"].(map[string]any)["type"] = "x" }), want: ErrLayout},
	{name: "history of another image", before: edit(configOf, func(doc map[string]any) { doc["history"] = doc["history"].([]any)[:1] }), want: ErrLayout},
	{name: "health check", before: edit(configOf, func(doc map[string]any) {
		doc["config"].(map[string]any)["Healthcheck"] = map[string]any{"Test": []string{"CMD", "x"}}
	}), want: ErrLayout},
	{name: "commands for images made of it", before: edit(configOf, func(doc map[string]any) {
		doc["config"].(map[string]any)["OnBuild"] = []string{"RUN x"}
	}), want: ErrLayout},
	{name: "another shell", before: edit(configOf, func(doc map[string]any) { doc["config"].(map[string]any)["Shell"] = []string{"/bin/x"} }), want: ErrLayout},
	{name: "entrypoint in other capitals", before: edit(configOf, func(doc map[string]any) { doc["config"].(map[string]any)["entrypoint"] = []string{"/x"} }), want: ErrLayout},
	{name: "variable twice", before: environment("PATH=/bin", "LD_PRELOAD=/x", "LD_PRELOAD="), want: ErrLayout},
	{name: "variable without a value", before: environment("LD_PRELOAD"), want: ErrLayout},
	{name: "variable without a name", before: environment("=/x"), want: ErrLayout},
	{name: "two variables in one", before: environment("PATH=/bin\x00LD_PRELOAD=/x"), want: ErrLayout},
	{name: "annotated layer", before: edit(manifestOf, func(doc map[string]any) {
		of(doc, "layers", 0)["annotations"] = map[string]string{"containerd.io/snapshot/stargz/toc.digest": "sha256:x"}
	}), want: ErrLayout},
	{name: "annotated manifest", before: edit("index", func(doc map[string]any) { of(doc, "manifests", 0)["annotations"] = map[string]string{"x": "y"} }), want: ErrLayout},
	{name: "platform with the slug of another", before: func(i *imagetest.Image) {
		i.Platforms[0].Platform = artifact.Platform{OS: "linux", Arch: "armv7"}
	}, want: ErrPlatform},
	{name: "too many files", before: func(i *imagetest.Image) {
		for n := range i.Platforms {
			for l := range 2 {
				var folders []imagetest.Entry
				for k := range maxMembers / 4 {
					folders = append(folders, imagetest.Folder(fmt.Sprintf("x%d-%d-%d", n, l, k), 0o755, 0))
				}
				i.Platforms[n].Layers[l+1].Entries = folders
			}
		}
	}, want: unpack.ErrTooLarge},
	{name: "volume that is no path", before: edit(configOf, func(doc map[string]any) {
		doc["config"].(map[string]any)["Volumes"] = map[string]any{"/data/../etc": map[string]any{}}
	}), want: ErrLayout},
	{name: "created at no time", before: edit(configOf, func(doc map[string]any) { doc["created"] = "yesterday" }), want: ErrLayout},
}

var ofLayers = []tampering{
	row("name that leads out", unpack.ErrName, imagetest.File("bin/../../x", 0o644, "x")),
	row("name that begins upwards", unpack.ErrName, imagetest.File("../x", 0o644, "x")),
	row("absolute name", unpack.ErrName, imagetest.File("/bin/x", 0o644, "x")),
	row("name of Windows", unpack.ErrName, imagetest.File(`bin\x`, 0o644, "x")),
	row("drive of Windows", unpack.ErrName, imagetest.File("C:x", 0o644, "x")),
	row("device of Windows", unpack.ErrName, imagetest.File("etc/aux.txt", 0o644, "x")),
	row("full stop that Windows cuts", unpack.ErrName, imagetest.File("etc/hosts.", 0o644, "x")),
	row("space that Windows cuts", unpack.ErrName, imagetest.File("etc/hosts ", 0o644, "x")),
	row("letter that is another one's capital", unpack.ErrName, imagetest.File("etc/ho\u017ft", 0o644, "x")),
	row("control character", unpack.ErrName, imagetest.File("etc/a\x1b[2J", 0o644, "x")),
	row("folder with an accent", unpack.ErrName, imagetest.Folder("\u00e9tc", 0o755, 0)),
	row("name with a dot", unpack.ErrName, imagetest.File("./bin/x", 0o644, "x")),
	row("symbolic link", unpack.ErrType, imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/sh", Linkname: "beacon"}}),
	row("hard link", unpack.ErrType, imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "bin/sh", Linkname: "bin/beacon"}}),
	row("device", unpack.ErrType, imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}),
	row("pipe", unpack.ErrType, imagetest.Entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}}),
	row("extended attribute", unpack.ErrType, with(imagetest.File("bin/x", 0o755, "x"), func(h *tar.Header) {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
	})),
	row("owner by name", unpack.ErrType, with(imagetest.File("bin/x", 0o755, "x"), func(h *tar.Header) { h.Uname = "root" })),
	row("set-user-ID", unpack.ErrType, imagetest.File("bin/x", 0o4755, "x")),
	row("set-group-ID", unpack.ErrType, imagetest.Folder("x", 0o2755, 0)),
	row("sticky file", unpack.ErrType, imagetest.File("bin/x", 0o1755, "x")),
	row("file that everybody may write to", unpack.ErrType, imagetest.File("bin/x", 0o666, "x")),
	row("program that everybody may write to", unpack.ErrType, imagetest.File("bin/x", 0o777, "x")),
	row("file that nobody may read", unpack.ErrType, imagetest.File("bin/x", 0, "x")),
	row("folder that everybody may write to", unpack.ErrType, imagetest.Folder("x", 0o777, 0)),
	row("format of GNU", unpack.ErrType, with(imagetest.File("bin/x", 0o644, "x"), func(h *tar.Header) { h.Format = tar.FormatGNU })),
	row("whiteout", ErrWhiteout, imagetest.File("etc/.wh.passwd", 0, "")),
	row("whiteout of all", ErrWhiteout, imagetest.File("etc/.wh..wh..opq", 0, "")),
	row("whiteout of a folder", ErrWhiteout, imagetest.Folder("etc/.wh.passwd", 0o755, 0)),
	row("file that some pass over", ErrWhiteout, imagetest.File(".wh..wh.plnk/x", 0o644, "x")),
	row("long name", unpack.ErrTooLarge, imagetest.File(strings.Repeat("x/", 300)+"x", 0o644, "x")),
	row("file twice", unpack.ErrDuplicate, imagetest.File("bin/beacon", 0o755, "x")),
	row("file twice where capitals do not count", unpack.ErrDuplicate, imagetest.File("bin/Beacon", 0o755, "x")),
	row("file of a lower layer", unpack.ErrDuplicate, imagetest.File("etc/passwd", 0o644, "root::0:0::/:\n")),
	row("file of a lower layer where capitals do not count", unpack.ErrDuplicate, imagetest.File("etc/Passwd", 0o644, "x")),
	row("file in place of a folder", unpack.ErrDuplicate, imagetest.File("tmp", 0o644, "x")),
	row("file in place of a folder that nobody lists", unpack.ErrDuplicate, imagetest.File("run", 0o644, "x")),
	row("file in place of a folder that nobody lists, where capitals do not count", unpack.ErrDuplicate, imagetest.File("RUN", 0o644, "x")),
	row("folder in place of a file", unpack.ErrDuplicate, imagetest.Folder("etc/passwd", 0o755, 0)),
	row("file below a file", unpack.ErrDuplicate, imagetest.File("etc/passwd/x", 0o644, "x")),
	row("folder with another mode", unpack.ErrDuplicate, imagetest.Folder("etc", 0o700, 0)),
	row("folder with another owner", unpack.ErrDuplicate, imagetest.Folder("etc", 0o755, 65532)),
	packed("bomb", unpack.ErrTooLarge, func() []byte {
		return imagetest.Gzip(imagetest.Tar(imagetest.File("bin/zeros", 0o755, string(make([]byte, 128<<20)))))
	}),
	packed("bomb of headers", unpack.ErrTooLarge, func() []byte {
		return imagetest.Gzip(headed(imagetest.Tar(imagetest.File("x", 0o644, "x"))))
	}),
	packed("format of parts of two", unpack.ErrType, func() []byte {
		long := imagetest.Tar(with(imagetest.Folder("bin/"+strings.Repeat("x", 200), 0o755, 0), func(h *tar.Header) { h.Format = tar.FormatGNU }))
		return imagetest.Gzip(append(long[:1024:1024], imagetest.Tar(imagetest.Folder("bin", 0o755, 0))...))
	}),
	packed("member that says it is huge", unpack.ErrTooLarge, func() []byte {
		e := imagetest.File("x", 0o644, "")
		var head bytes.Buffer
		e.Size = unpack.MaxMember + 1
		if err := tar.NewWriter(&head).WriteHeader(&e.Header); err != nil {
			panic(err)
		}
		return imagetest.Gzip(head.Bytes())
	}),
	packed("second compressed stream", unpack.ErrArchive, func() []byte {
		return slices.Concat(imagetest.Gzip(imagetest.Tar()), imagetest.Gzip(imagetest.Tar()))
	}),
	packed("something behind its end", unpack.ErrArchive, func() []byte { return imagetest.Gzip(append(imagetest.Tar(), 'x')) }),
	packed("something behind the compressed data", unpack.ErrArchive, func() []byte { return append(imagetest.Gzip(imagetest.Tar()), 0) }),
	packed("cut off", unpack.ErrArchive, func() []byte {
		whole := imagetest.Gzip(imagetest.Tar(imagetest.File("x", 0o644, strings.Repeat("word", 1000))))
		return whole[:len(whole)-12]
	}),
	packed("no tar file", unpack.ErrArchive, func() []byte { return imagetest.Gzip([]byte("no tar file")) }),
	packed("not compressed", unpack.ErrArchive, func() []byte { return imagetest.Tar() }),
	packed("something else than the DiffID says", ErrDiffID, func() []byte { return imagetest.Gzip(imagetest.Tar(imagetest.File("x", 0o644, "x"))) }),
}

// headed is an archive with headers of no member before it, a few MiB of them.
func headed(archive []byte) []byte {
	name := imagetest.Tar(imagetest.File(strings.Repeat("x", 200), 0o644, ""))
	return append(bytes.Repeat(name[:1024], 4096), archive...)
}

func with(e imagetest.Entry, change func(*tar.Header)) imagetest.Entry {
	change(&e.Header)
	return e
}

// row adds an entry to the second layer, where all digests fit.
func row(name string, want error, e imagetest.Entry) tampering {
	return tampering{name: "layer: " + name, before: func(i *imagetest.Image) {
		l := &i.Platforms[0].Layers[1]
		l.Entries = append(slices.Clone(l.Entries), e)
	}, want: want}
}

// packed stores something else as the second layer.
func packed(name string, want error, data func() []byte) tampering {
	return tampering{name: "layer: " + name, before: func(i *imagetest.Image) { i.Platforms[0].Layers[1].Packed = data() }, want: want}
}

// What is refused is refused for its own reason alone.
func TestSampleIsWhole(t *testing.T) {
	if _, err := open(t, sample().Build().Tar(), Visitor{}); err != nil {
		t.Error(err)
	}
	one := sample()
	one.Platforms[0].Config = maps.Clone(one.Platforms[0].Config)
	delete(one.Platforms[0].Config, "Volumes")
	one.Edit = func(what string, doc map[string]any) { delete(doc, "history") }
	if _, err := open(t, one.Build().Tar(), Visitor{}); err != nil {
		t.Error(err)
	}
}
