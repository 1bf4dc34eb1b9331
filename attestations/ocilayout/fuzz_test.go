package ocilayout

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/unpack"
)

// maxSeed leaves bombs to TestTamper.
const maxSeed = 64 << 10

// Whatever is accepted is an image that says one thing, of which no byte is
// left over: with another byte behind it, it is none.
func FuzzOpen(f *testing.F) {
	good := sample().Build()
	f.Add(good.Tar())
	f.Add(good.Tar()[:2048])
	f.Add(imagetest.Tar(imagetest.File("oci-layout", 0o644, string(good.Layout)), imagetest.File("index.json", 0o644, string(good.IndexJSON)), imagetest.File("manifest.json", 0o644, string(good.Docker))))
	for _, row := range slices.Concat(ofLayouts, ofBlobs, ofDocuments, ofLayers) {
		if data := row.made(); len(data) <= maxSeed {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := open(t, data, Visitor{})
		if err != nil {
			return
		}
		if len(l.Images) == 0 || l.Digest.IsZero() {
			t.Errorf("accepted %+v", l.Index)
		}
		again, err := Read(t.Context(), l.Descriptor, l, Visitor{})
		if err != nil || !reflect.DeepEqual(*again, l.Index) {
			t.Errorf("read again: %+v, %v", again, err)
		}
		if _, err := open(t, append(bytes.Clone(data), 'x'), Visitor{}); err == nil {
			t.Error("accepted with something behind it")
		}
		for _, i := range l.Images {
			accepted(t, i)
			b, err := l.Blob(t.Context(), i.Config.Descriptor)
			if err != nil {
				t.Fatal(err)
			}
			config, err := io.ReadAll(b)
			if err != nil || artifact.DigestBytes(config) != i.Config.Digest {
				t.Fatalf("configuration %s, %v", config, err)
			}
			started(t, i.Config, config)
		}
	})
}

// FuzzDocuments spoils the documents of an image whose digests and sizes fit.
func FuzzDocuments(f *testing.F) {
	built := sample().Build()
	p := built.Platforms[0]
	index, manifest, config := string(built.Blobs[built.Index]), string(built.Blobs[p.Manifest]), string(built.Blobs[p.Config])
	for _, more := range []string{index, manifest, config, ""} {
		f.Add(index, manifest, config, more)
	}
	for _, more := range []string{
		`"Healthcheck":{"Test":["CMD","x"]},`, `"OnBuild":["RUN x"],`, `"entrypoint":["/bin/x"],`, `"Entrypoint":["/bin/x"],`, `"ArgsEscaped":true,`,
		`"Env":["LD_PRELOAD=/x"],`, `"Labels":null,`, `"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,`,
	} {
		f.Add(index, manifest, strings.Replace(config, `"config":{`, `"config":{`+more, 1), "")
	}
	for _, edit := range [][2]string{{`"size":`, `"size":1e2,"size":`}, {`"size":`, `"size":99999999999999999999`}, {`"digest":`, `"urls":["https://example.org"],"digest":`}, {`"digest":`, `"data":"e30=","digest":`}} {
		f.Add(strings.Replace(index, edit[0], edit[1], 1), strings.Replace(manifest, edit[0], edit[1], 1), config, "")
	}
	f.Fuzz(func(t *testing.T, index, manifest, config, more string) {
		d, all := refitted(built, index, manifest, config)
		all[artifact.DigestBytes([]byte(more))] = []byte(more)
		read, err := Read(t.Context(), d, blobs{all, nil, map[artifact.Digest]int64{}}, Visitor{})
		if err != nil {
			return
		}
		for _, i := range read.Images {
			accepted(t, i)
			started(t, i.Config, all[i.Config.Digest])
		}
	})
}

// refitted are the blobs of b with these documents of its first platform in
// place of its own, whose digests and sizes fit, and what names the index.
func refitted(b imagetest.Built, index, manifest, config string) (Descriptor, map[artifact.Digest][]byte) {
	all := maps.Clone(b.Blobs)
	swap := func(in, mediaType string, old artifact.Digest, data string) string {
		d := artifact.DigestBytes([]byte(data))
		all[d] = []byte(data)
		named := func(d artifact.Digest) string { return fmt.Sprintf(`"digest":"%s","mediaType":"%s",`, d, mediaType) }
		sized := func(size int) string { return fmt.Sprintf(`"size":%d`, size) }
		before, after, ok := strings.Cut(in, named(old))
		if !ok {
			return in
		}
		return before + named(d) + strings.Replace(after, sized(len(b.Blobs[old])), sized(len(data)), 1)
	}
	p := b.Platforms[0]
	manifest = swap(manifest, ConfigType, p.Config, config)
	index = swap(index, ManifestType, p.Manifest, manifest)
	d := artifact.DigestBytes([]byte(index))
	all[d] = []byte(index)
	return Descriptor{IndexType, d, -1}, all
}

// What FuzzDocuments changes is read, and not refused for its digest or size.
func TestRefitted(t *testing.T) {
	b := sample().Build()
	p := b.Platforms[0]
	config := strings.Replace(string(b.Blobs[p.Config]), `"--bright"`, `"--bright","--hot"`, 1)
	d, all := refitted(b, string(b.Blobs[b.Index]), string(b.Blobs[p.Manifest]), config)
	read, err := Read(t.Context(), d, blobs{all, nil, map[artifact.Digest]int64{}}, Visitor{})
	if err != nil || !slices.Equal(read.Images[0].Config.Cmd, []string{"--bright", "--hot"}) {
		t.Fatalf("%+v, %v", read, err)
	}
	started(t, read.Images[0].Config, []byte(config))
}

// FuzzLayer spoils the tar file of a layer whose digests fit. What is accepted
// holds what any reader of tar files finds in it, no more and no less.
func FuzzLayer(f *testing.F) {
	for _, l := range sample().Platforms[0].Layers {
		f.Add(imagetest.Tar(l.Entries...))
	}
	for _, row := range ofLayers {
		i := sample()
		row.before(&i)
		if l := i.Platforms[0].Layers[1]; l.Packed == nil {
			f.Add(imagetest.Tar(l.Entries...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		i := sample()
		i.Platforms = i.Platforms[:1]
		i.Platforms[0].Layers = i.Platforms[0].Layers[:1]
		i.Platforms[0].Layers[0].Packed = imagetest.Gzip(data)
		i.Edit = func(what string, doc map[string]any) {
			if strings.HasPrefix(what, "config") {
				doc["rootfs"].(map[string]any)["diff_ids"] = []any{artifact.DigestBytes(data).String()}
			}
		}
		l, err := open(t, i.Build().Tar(), Visitor{})
		if err != nil {
			return
		}
		accepted(t, l.Images[0])
		var want []Member
		for r := tar.NewReader(bytes.NewReader(data)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			m := Member{Name: strings.TrimSuffix(h.Name, "/"), Folder: h.Typeflag == tar.TypeDir, Mode: h.Mode, UID: h.Uid, GID: h.Gid, Size: h.Size}
			if content, err := io.ReadAll(r); err != nil {
				t.Fatal(err)
			} else if !m.Folder {
				m.Digest = artifact.DigestBytes(content)
			}
			want = append(want, m)
		}
		if got := l.Images[0].Layers[0].Members; !slices.Equal(got, want) {
			t.Errorf("accepted %+v, there is %+v", got, want)
		}
	})
}

// accepted holds an image against what is promised of it: laid one over the
// other, its layers leave every file of each where it is.
func accepted(t *testing.T, i Image) {
	t.Helper()
	files, folders := map[string]bool{}, map[string]bool{}
	for _, l := range i.Layers {
		for _, m := range l.Members {
			if !unpack.SafeName(m.Name) || !m.Folder && m.Mode != unpack.PlainMode && m.Mode != unpack.ProgramMode || files[strings.ToLower(m.Name)] || m.Folder != m.Digest.IsZero() {
				t.Errorf("accepted %+v", m)
			}
			if m.Folder {
				folders[strings.ToLower(m.Name)] = true
			} else {
				files[strings.ToLower(m.Name)] = true
			}
		}
	}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for name := range folders {
		if files[name] || strings.HasPrefix(path.Base(name), ".wh.") {
			t.Errorf("accepted %q as file and folder, or as a whiteout", name)
		}
	}
	if i.Digest.IsZero() || i.Config.Digest.IsZero() || len(i.Layers) == 0 || i.Platform.OS == "" {
		t.Errorf("accepted %+v", i)
	}
}

// started holds a configuration that was read against its document: it starts
// what a reader finds there that knows nothing of this package, and nothing
// there has a say in it that was passed over.
func started(t *testing.T, got Config, document []byte) {
	t.Helper()
	var doc struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	known := map[string]any{
		"User": &got.User, "Entrypoint": &got.Entrypoint, "Cmd": &got.Cmd, "Env": &got.Env, "WorkingDir": &got.WorkingDir, "StopSignal": &got.StopSignal,
		"Labels": &got.Labels, "ExposedPorts": nil, "Volumes": nil,
	}
	for key, value := range doc.Config {
		into, ok := known[key]
		if !ok {
			t.Errorf("accepted %q in a configuration", key)
		}
		if into == nil {
			continue
		}
		plain := reflect.New(reflect.TypeOf(into).Elem())
		if err := json.Unmarshal(value, plain.Interface()); err != nil || !reflect.DeepEqual(plain.Interface(), into) {
			t.Errorf("%s is %+v, %v, the document has %s", key, reflect.ValueOf(into).Elem(), err, value)
		}
	}
}
