package imagediff

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/ocilayout"
	"palisade/attestations/spdx"
	"palisade/attestations/unpack"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sample is an image for two platforms. Both hold that bill of materials.
func sample(t *testing.T, version, document string) imagetest.Image {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "spdx", "testdata", "view", document))
	if err != nil {
		t.Fatal(err)
	}
	made := imagetest.Image{Ref: ocilayout.Ref("beacon", version), Epoch: 1700000000, Annotations: map[string]string{versionOf: version}}
	for _, arch := range []string{"amd64", "arm64"} {
		made.Platforms = append(made.Platforms, imagetest.Platform{
			Platform: artifact.Platform{OS: "linux", Arch: arch},
			Config: map[string]any{
				"User": "65532:65532", "Entrypoint": []string{"/bin/beacon"}, "Cmd": []string{"--bright"}, "Env": []string{"PATH=/bin"},
				"ExposedPorts": map[string]any{"9100/tcp": map[string]any{}}, "Volumes": map[string]any{"/data": map[string]any{}}, "WorkingDir": "/data",
			},
			Layers: []imagetest.Layer{
				{Name: "base", Entries: []imagetest.Entry{imagetest.Folder("etc", 0o755, 0), imagetest.File("etc/passwd", 0o644, "root:x:0:0::/:\n")}},
				{Name: "licences", Entries: []imagetest.Entry{
					imagetest.File("usr/share/licenses/beacon/LICENSE", 0o644, "Do as you like.\n"), imagetest.File("usr/share/sbom/beacon.spdx.json", 0o644, string(text)),
				}},
				{Name: "binaries", Entries: []imagetest.Entry{imagetest.File("bin/beacon", 0o755, "beacon "+version+" for "+arch)}},
				{Name: "configuration", Entries: []imagetest.Entry{imagetest.Folder("data", 0o755, 65532), imagetest.File("etc/beacon.yml", 0o644, "colour: red\n")}},
			},
		})
	}
	return made
}

func read(t *testing.T, i imagetest.Image) Image {
	t.Helper()
	data, documents := i.Build().Tar(), Documents{}
	l, err := ocilayout.Open(t.Context(), bytes.NewReader(data), int64(len(data)), documents.Visitor())
	if err != nil {
		t.Fatal(err)
	}
	return Image{&l.Index, documents}
}

func diff(t *testing.T, a, b Image) []Change {
	t.Helper()
	changes, err := Diff(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func texts(changes []Change) (all []string) {
	for _, c := range changes {
		all = append(all, c.String())
	}
	return all
}

// on changes one platform's image.
func on(i *imagetest.Image, n int) *imagetest.Platform { return &i.Platforms[n] }

// everywhere does something to every platform's image.
func everywhere(change func(p *imagetest.Platform)) func(*imagetest.Image) {
	return func(i *imagetest.Image) {
		for n := range i.Platforms {
			change(&i.Platforms[n])
		}
	}
}

// entry puts an entry in place of another, or behind all.
func entry(layer, n int, e imagetest.Entry) func(p *imagetest.Platform) {
	return func(p *imagetest.Platform) {
		l := &p.Layers[layer]
		l.Entries = slices.Clone(l.Entries)
		if n == len(l.Entries) {
			l.Entries = append(l.Entries, e)
		}
		l.Entries[n] = e
	}
}

func config(key string, value any) func(p *imagetest.Platform) {
	return func(p *imagetest.Platform) {
		p.Config = maps.Clone(p.Config)
		p.Config[key] = value
	}
}

func TestDiff(t *testing.T) {
	const version = "1.2.0"
	digest := func(s string) string { return artifact.DigestBytes([]byte(s)).String() }
	for _, tt := range []struct {
		name   string
		change func(i *imagetest.Image)
		want   []string // that begin so; layers are left out
	}{
		{"nothing", func(*imagetest.Image) {}, nil},
		{"binary under the same version", everywhere(entry(2, 0, imagetest.File("bin/beacon", 0o755, "evil"))), []string{
			"CONTENT CHANGED under the same version  file /bin/beacon 1.2.0  " + digest("beacon 1.2.0 for amd64") + ", 22 bytes -> " + digest("evil") + ", 4 bytes  (linux/amd64)",
			"CONTENT CHANGED under the same version  file /bin/beacon 1.2.0  " + digest("beacon 1.2.0 for arm64") + ", 22 bytes -> " + digest("evil") + ", 4 bytes  (linux/arm64)",
		}},
		{"file of all platforms", everywhere(entry(3, 2, imagetest.File("etc/more.yml", 0o644, "x"))), []string{"file /etc/more.yml added  " + digest("x") + ", 1 bytes"}},
		{"file of one platform", func(i *imagetest.Image) { entry(3, 2, imagetest.File("etc/more.yml", 0o644, "x"))(on(i, 1)) }, []string{"file /etc/more.yml added  " + digest("x") + ", 1 bytes  (linux/arm64)"}},
		{"mode", everywhere(entry(0, 1, imagetest.File("etc/passwd", 0o755, "root:x:0:0::/:\n"))), []string{"file /etc/passwd mode changed  0644 -> 0755"}},
		{"owner of a folder", everywhere(entry(3, 0, imagetest.Folder("data", 0o755, 1000))), []string{"file /data/ owner changed  65532:65532 -> 1000:1000"}},
		{"folder for a file", everywhere(entry(3, 1, imagetest.Folder("etc/beacon.yml", 0o755, 0))), []string{
			"file /etc/beacon.yml removed  " + digest("colour: red\n") + ", 12 bytes", "file /etc/beacon.yml/ added  0755, 0:0",
		}},
		{"another layer", everywhere(func(p *imagetest.Platform) {
			entry(0, 2, p.Layers[3].Entries[1])(p)
			p.Layers[3].Entries = p.Layers[3].Entries[:1]
		}), []string{"file /etc/beacon.yml layer changed  configuration -> base"}},
		{"user", everywhere(config("User", "0:0")), []string{"configuration user changed  65532:65532 -> 0:0"}},
		{"command", everywhere(config("Cmd", []string{"--bright", "--hot"})), []string{`configuration command changed  ["--bright"] -> ["--bright" "--hot"]`}},
		{"no command", everywhere(config("Cmd", []string{})), []string{`configuration command removed  ["--bright"]`}},
		{"variable", everywhere(config("Env", []string{"PATH=/bin", "LD_PRELOAD=/x"})), []string{`configuration variable LD_PRELOAD added  "/x"`}},
		{"port", everywhere(config("ExposedPorts", map[string]any{"9101/tcp": map[string]any{}})), []string{"configuration port 9100/tcp removed  declared", "configuration port 9101/tcp added  declared"}},
		{"volume", everywhere(config("Volumes", map[string]any{})), []string{"configuration volume /data removed  declared"}},
		{"platform", func(i *imagetest.Image) { i.Platforms = i.Platforms[:1] }, []string{"platform linux/arm64 removed  sha256:"}},
		{"order of platforms", func(i *imagetest.Image) { slices.Reverse(i.Platforms) }, []string{"image order of the platforms changed  sha256:"}},
		{"annotation", func(i *imagetest.Image) {
			i.Edit = func(what string, doc map[string]any) {
				if what == "index" {
					doc["annotations"] = map[string]string{versionOf: version, "x": "y\x1b[2J"}
				}
			}
		}, []string{"image annotation x added  y[2J"}},
		{"empty annotation beside another", func(i *imagetest.Image) {
			i.Edit = func(what string, doc map[string]any) {
				if what == "index" {
					doc["annotations"] = map[string]string{versionOf: version, "x": "", "y": "z"}
				}
			}
		}, []string{`image annotation x added  ""`, "image annotation y added  z"}},
		{"version alone", func(i *imagetest.Image) { i.Annotations = map[string]string{versionOf: "1.2.1"} }, []string{"image annotation org.opencontainers.image.version changed  1.2.0 -> 1.2.1"}},
		{"label", func(i *imagetest.Image) {
			i.Edit = func(what string, doc map[string]any) {
				if strings.HasPrefix(what, "config") {
					doc["config"].(map[string]any)["Labels"] = map[string]string{versionOf: "9.9.9"}
				}
			}
		}, []string{"configuration label org.opencontainers.image.version changed  1.2.0 -> 9.9.9"}},
		{"form of a document", func(i *imagetest.Image) {
			i.Edit = func(what string, doc map[string]any) {
				if what == "config linux/amd64" {
					doc["author"] = "x"
				}
			}
		}, []string{"image form of the manifest changed  sha256:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := sample(t, version, "before.spdx.json"), sample(t, version, "before.spdx.json")
			tt.change(&b)
			changes := diff(t, read(t, a), read(t, b))
			got := texts(slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.What == OfLayer }))
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if back := diff(t, read(t, b), read(t, a)); len(back) != len(changes) {
				t.Errorf("the other way round there are %d changes, not %d", len(back), len(changes))
			}
		})
	}
}

func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(i *imagetest.Image)
		want   []string
	}{
		{"content", everywhere(entry(3, 1, imagetest.File("etc/beacon.yml", 0o644, "colour: green\n"))), []string{"layer configuration changed  sha256:"}},
		{"compression", everywhere(func(p *imagetest.Platform) {
			p.Layers[3].Packed = imagetest.Gzip(imagetest.Tar(p.Layers[3].Entries...))
			p.Layers[3].Packed[9] = 3 // the operating system that wrote it
		}), []string{"layer configuration compression alone changed  sha256:"}},
		{"order of files", everywhere(func(p *imagetest.Platform) {
			p.Layers[3].Entries = slices.Clone(p.Layers[3].Entries)
			slices.Reverse(p.Layers[3].Entries)
		}), []string{"layer configuration times or order alone changed  sha256:"}},
		{"one more", everywhere(func(p *imagetest.Platform) {
			p.Layers = append(slices.Clone(p.Layers), imagetest.Layer{Name: "more", Entries: []imagetest.Entry{imagetest.Folder("srv", 0o755, 0)}})
		}), []string{"layer more added  sha256:"}},
		{"one less", everywhere(func(p *imagetest.Platform) { p.Layers = p.Layers[:3] }), []string{"layer configuration removed  sha256:"}},
		{"order", everywhere(func(p *imagetest.Platform) {
			p.Layers = []imagetest.Layer{p.Layers[0], p.Layers[2], p.Layers[1], p.Layers[3]}
		}), []string{`layer order changed  ["base" "licences" "binaries" "configuration"] -> ["base" "binaries" "licences" "configuration"]`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := sample(t, "1.2.0", "before.spdx.json"), sample(t, "1.2.0", "before.spdx.json")
			tt.change(&b)
			changes := diff(t, read(t, a), read(t, b))
			got := texts(slices.DeleteFunc(changes, func(c Change) bool { return c.What != OfLayer }))
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// What a person reads of the next version of an image.
func TestViews(t *testing.T) {
	a, b := sample(t, "1.2.0", "before.spdx.json"), sample(t, "1.3.0", "after.spdx.json")
	config("Cmd", []string{"--bright", "<script>"})(on(&b, 0))
	changes := diff(t, read(t, a), read(t, b))
	var lines, table, markdown bytes.Buffer
	for _, c := range changes {
		fmt.Fprintln(&lines, c)
	}
	header, rows := Table(changes)
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		if len(row) != len(header) {
			t.Errorf("%q has not %d cells", row, len(header))
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, "beacon@1.2.0", "beacon@1.3.0", changes); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"changes.txt": lines.String(), "changes.table": table.String(), "changes.md": markdown.String()} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if !slices.ContainsFunc(changes, func(c Change) bool {
		return c.What == OfPackage && c.Platforms == "" && c.Package.What == spdx.OfModule
	}) {
		t.Error("no module is told of for all platforms")
	}
	markdown.Reset()
	if err := Markdown(&markdown, "a", "b", nil); err != nil || !strings.Contains(markdown.String(), "Nothing changed.") {
		t.Errorf("%s, %v", markdown.String(), err)
	}
}

// What cannot be compared is an error, not a silence.
func TestDiffRefuses(t *testing.T) {
	a, b := sample(t, "1.2.0", "before.spdx.json"), sample(t, "1.3.0", "after.spdx.json")
	left, right := read(t, a), read(t, b)
	if _, err := Diff(left, Image{right.Index, nil}); err == nil || !strings.Contains(err.Error(), "was not collected") {
		t.Errorf("without documents: %v", err)
	}
	everywhere(entry(1, 1, imagetest.File("usr/share/sbom/beacon.spdx.json", 0o644, "{}")))(&b)
	if _, err := Diff(left, read(t, b)); err == nil || !strings.Contains(err.Error(), "usr/share/sbom/beacon.spdx.json") {
		t.Errorf("with a malformed document: %v", err)
	}
}

// Nobody vouches for an image that is compared: its bills of materials are no
// more than fit into memory.
func TestVisitorIsBounded(t *testing.T) {
	v, m := Documents{}.Visitor(), ocilayout.Member{Name: "usr/share/sbom/x.spdx.json", Size: maxBill}
	if !v.Keep(m) || v.Keep(ocilayout.Member{Name: m.Name, Size: maxBill + 1}) {
		t.Error("one of the largest size is passed over, or a larger one is not")
	}
	content := make([]byte, maxBill)
	for n := range maxBills/maxBill + 1 {
		if err := v.See(m, content); (err != nil) != (n == maxBills/maxBill) || err != nil && !errors.Is(err, unpack.ErrTooLarge) {
			t.Errorf("after %d: %v", n, err)
		}
	}
}
