package dist

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// image is made of items of one component; its content says which it is.
func (f fixture) image(t *testing.T, content string, items ...Item) ImageItem {
	t.Helper()
	r := items[0].Record
	i := artifact.Image{
		Name: artifact.ImageName(r.Component, r.Version), Component: r.Component, Version: r.Version, Variant: r.Variant,
		Index: artifact.DigestBytes([]byte("index " + content)), Roots: artifact.Module{Path: "roots", Version: "v1.0.0", Sum: "h1:x="},
	}
	for _, item := range items {
		r := item.Record
		d := artifact.DigestBytes([]byte("layer"))
		b := r.Binaries[0]
		i.Platforms = append(i.Platforms, artifact.PlatformImage{
			Platform: r.Platform, Manifest: artifact.DigestBytes([]byte("manifest " + r.Name + content)), Config: d, Artifact: r.Name,
			Layers: []artifact.Layer{
				{Name: "base", Digest: d, DiffID: d}, {Name: "licences", Digest: d, DiffID: d},
				{Name: "binaries", Digest: d, DiffID: d, Members: []artifact.File{{Name: "bin/" + b.Name, Mode: "0555", Size: b.Size, Digest: b.Digest}}},
			},
		})
	}
	leave := func(file, text string) store.Entry {
		_, e, _, err := store.Do(t.Context(), f.store, store.NewKey("test-2", file, text), func(_ context.Context, dir string) (int, error) {
			return 0, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	item := ImageItem{Layout: leave(i.Name, "image "+content), Documents: leave(ImageDocument(i), "document"), Provenance: leave(ImageProvenance(i), "provenance")}
	for _, made := range items {
		item.Artifacts = append(item.Artifacts, made.Record)
	}
	i.Size, i.Digest, i.Documents = item.Layout.Files[0].Size, item.Layout.Files[0].Digest, item.Documents.Files
	item.Image = i
	return item
}

func (f fixture) publishImages(t *testing.T, items ...ImageItem) {
	t.Helper()
	if err := f.open(t).PublishImages(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

// images is what the index names, each name once more for every platform.
func (f fixture) images(t *testing.T) []string {
	t.Helper()
	m, err := f.open(t).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, i := range m.Images {
		names = append(names, i.Name)
	}
	return names
}

// sign puts something where each bundle of an image lies.
func (f fixture) sign(t *testing.T, i artifact.Image) []string {
	t.Helper()
	names := []string{Bundle(i.Name), Bundle(ImageDocument(i)), Bundle(ImageProvenance(i)), Rebuilds(i.Name) + "/0001020304050607.sigstore.json"}
	for _, of := range []artifact.Digest{i.Index, i.Platforms[0].Manifest} {
		for _, what := range []Carried{CarriedSignature, CarriedDocument, CarriedProvenance, CarriedTestResult, CarriedVEX} {
			names = append(names, ImageBundle(i, of, what))
		}
	}
	for _, name := range names {
		file := filepath.Join(f.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestPublishImages(t *testing.T) {
	f := newFixture(t)
	amd64, arm64 := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened"), f.item(t, "bell", "1.0.0-palisade.1", "linux/arm64", "hardened")
	vanilla := f.item(t, "bell", "1.0.0-vanilla", "linux/amd64", "vanilla")
	f.publish(t, amd64, arm64, vanilla)
	image, plain := f.image(t, "one", amd64, arm64), f.image(t, "two", vanilla)
	f.publishImages(t, image, plain)
	files := f.files(t)
	for _, i := range []artifact.Image{image.Image, plain.Image} {
		for _, name := range []string{i.Name, ImageDocument(i), ImageProvenance(i)} {
			if files[name] == "" {
				t.Errorf("there is no %s", name)
			}
		}
		for _, line := range []string{i.Digest.Hex() + "  " + i.Name, i.Documents[0].Digest.Hex() + "  " + ImageDocument(i)} {
			if !strings.Contains(files[Sums], line+"\n") {
				t.Errorf("SHA256SUMS does not say %s", line)
			}
		}
	}
	want := []string{"bell-1.0.0-palisade.1.oci.tar", "bell-1.0.0-vanilla.oci.tar"}
	if got := f.images(t); !slices.Equal(got, want) {
		t.Errorf("the index names %q", got)
	}
	// A run that does nothing changes nothing, be it of images or archives.
	f.sign(t, image.Image)
	before := f.files(t)
	f.publishImages(t, image, plain)
	f.publish(t, amd64, arm64, vanilla)
	f.publish(t, f.item(t, "clock", "1.0.0-palisade.1", "linux/amd64", "hardened"))
	if got := f.images(t); !slices.Equal(got, want) {
		t.Errorf("the index names %q", got)
	}
	after := f.files(t)
	for name, text := range before {
		if name != Index && name != Sums && after[name] != text {
			t.Errorf("%s changed", name)
		}
	}
}

// An image goes, with everything that was said of it, when what it was made of
// does, when another takes its place, and when it is damaged.
func TestPruneImages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f fixture)
		stays  bool
		index  []string
	}{
		{"another archive of that name", func(t *testing.T, f fixture) {
			forged := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			text := []byte("another archive")
			_, e, _, err := store.Do(t.Context(), f.store, store.NewKey("test-3"), func(_ context.Context, dir string) (int, error) {
				return 0, os.WriteFile(filepath.Join(dir, forged.Record.Name), text, 0o644)
			})
			if err != nil {
				t.Fatal(err)
			}
			forged.Archive, forged.Record.Digest, forged.Record.Size = e, e.Files[0].Digest, e.Files[0].Size
			f.publish(t, forged)
		}, false, []string{}},
		{"another version of the archive", func(t *testing.T, f fixture) {
			f.publish(t, f.item(t, "bell", "1.0.0-palisade.2", "linux/amd64", "hardened"))
		}, false, []string{}},
		{"another version of the image", func(t *testing.T, f fixture) {
			next := []Item{f.item(t, "bell", "1.0.0-palisade.2", "linux/amd64", "hardened"), f.item(t, "bell", "1.0.0-palisade.2", "linux/arm64", "hardened")}
			f.publish(t, next...)
			f.publishImages(t, f.image(t, "two", next...))
		}, false, []string{"bell-1.0.0-palisade.2.oci.tar"}},
		{"the image is damaged", func(t *testing.T, f fixture) {
			forge(t, filepath.Join(f.dir, "bell-1.0.0-palisade.1.oci.tar"))
			f.publish(t)
		}, false, []string{}},
		{"the archive is damaged", func(t *testing.T, f fixture) {
			forge(t, filepath.Join(f.dir, "bell-1.0.0-palisade.1.linux-arm64.tar.gz"))
			f.publish(t)
		}, false, []string{}},
		{"another variant", func(t *testing.T, f fixture) {
			f.publish(t, f.item(t, "bell", "1.0.0-vanilla", "linux/amd64", "vanilla"))
		}, true, []string{"bell-1.0.0-palisade.1.oci.tar"}},
		{"another component", func(t *testing.T, f fixture) {
			f.publish(t, f.item(t, "bell-tower", "1.0.0-palisade.2", "linux/amd64", "hardened"))
		}, true, []string{"bell-1.0.0-palisade.1.oci.tar"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			items := []Item{f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened"), f.item(t, "bell", "1.0.0-palisade.1", "linux/arm64", "hardened")}
			f.publish(t, items...)
			image := f.image(t, "one", items...)
			f.publishImages(t, image)
			f.sign(t, image.Image)
			// Others' files, though they look alike.
			for _, name := range []string{"bell-1.0.0.oci.tar", "bell-1.0.0.oci.d"} {
				if err := os.WriteFile(filepath.Join(f.dir, name), []byte("upstream's"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(t, f)
			if got := f.images(t); !slices.Equal(got, tt.index) {
				t.Errorf("the index names %q, want %q", got, tt.index)
			}
			count := 0
			files := f.files(t)
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if strings.HasPrefix(name, "bell-1.0.0-palisade.1.oci") {
					count++
				}
			}
			if tt.stays && count != 3+14 || !tt.stays && count != 0 {
				t.Errorf("%d of its files are there", count)
			}
			if files["bell-1.0.0.oci.tar"] == "" || files["bell-1.0.0.oci.d"] == "" {
				t.Error("upstream's own is gone")
			}
		})
	}
}

// What was said of a file goes when the file does, and stays as long as the
// file stays.
func TestRetractImages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f fixture, item ImageItem)
		gone   func(name string) bool
	}{
		{"nothing", func(*testing.T, fixture, ImageItem) {}, func(string) bool { return false }},
		{"the provenance", func(t *testing.T, f fixture, item ImageItem) {
			forge(t, filepath.Join(f.dir, ImageProvenance(item.Image)))
		}, func(name string) bool {
			return strings.Contains(name, "provenance") || strings.Contains(name, ".rebuilds/")
		}},
		{"the document", func(t *testing.T, f fixture, item ImageItem) {
			forge(t, filepath.Join(f.dir, ImageDocument(item.Image)))
		}, func(name string) bool { return strings.Contains(name, "spdx") }},
		{"the image", func(t *testing.T, f fixture, item ImageItem) { forge(t, filepath.Join(f.dir, item.Image.Name)) },
			func(name string) bool {
				return name == "bell-1.0.0-palisade.1.oci.tar.sigstore.json" || strings.Contains(name, ".oci.d/") || strings.Contains(name, ".rebuilds/")
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			archive := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			f.publish(t, archive)
			image := f.image(t, "one", archive)
			f.publishImages(t, image)
			all := f.sign(t, image.Image)
			before, err := Stamp(f.dir)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, f, image)
			f.publishImages(t, image)
			files := f.files(t)
			for _, name := range all {
				if _, stays := files[name]; stays == tt.gone(name) {
					t.Errorf("%s is there: %v", name, stays)
				}
			}
			if after, err := Stamp(f.dir); err != nil || (after == before) != (tt.name == "nothing") {
				t.Errorf("the stamp is the same: %v, %v", after == before, err)
			}
		})
	}
}

func TestPublishImagesRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, f fixture, item *ImageItem)
	}{
		{"of an artifact that is not there", "not in this release", func(_ *testing.T, _ fixture, item *ImageItem) { item.Image.Platforms[0].Artifact = "x" }},
		{"of an artifact of which nothing is known", "is no longer the one that it was made of", func(_ *testing.T, _ fixture, item *ImageItem) { item.Artifacts = nil }},
		{"of an artifact that was replaced", "is no longer the one that it was made of", func(_ *testing.T, _ fixture, item *ImageItem) {
			item.Artifacts[0].Digest = artifact.DigestBytes([]byte("x"))
		}},
		{"of an artifact whose document was replaced", "is no longer the one that it was made of", func(_ *testing.T, _ fixture, item *ImageItem) {
			item.Artifacts[0].Documents = nil
		}},
		{"of another binary", "no binary of artifact", func(_ *testing.T, _ fixture, item *ImageItem) {
			item.Image.Platforms[0].Layers[2].Members[0].Digest = artifact.DigestBytes([]byte("x"))
		}},
		{"changed in the store", "publishing bell-1.0.0-palisade.1.oci.tar", func(t *testing.T, _ fixture, item *ImageItem) {
			forge(t, filepath.Join(item.Layout.Dir, item.Image.Name))
		}},
		{"a document changed in the store", "publishing bell-1.0.0-palisade.1.oci.tar", func(t *testing.T, _ fixture, item *ImageItem) {
			forge(t, filepath.Join(item.Documents.Dir, ImageDocument(item.Image)))
		}},
		{"no provenance", "it has no provenance", func(_ *testing.T, _ fixture, item *ImageItem) { item.Provenance = store.Entry{} }},
		{"no files", "another run changed its files", func(_ *testing.T, _ fixture, item *ImageItem) { item.Layout = store.Entry{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			archive := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			f.publish(t, archive)
			image := f.image(t, "one", archive)
			tt.change(t, f, &image)
			before := f.files(t)[Index]
			err := f.open(t).PublishImages(t.Context(), []ImageItem{image})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if f.files(t)[Index] != before {
				t.Error("the index changed")
			}
		})
	}
}

// The stamp sees what lies in a folder of bundles.
func TestStampOfBundles(t *testing.T) {
	f := newFixture(t)
	archive := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
	f.publish(t, archive)
	image := f.image(t, "one", archive)
	f.publishImages(t, image)
	names := f.sign(t, image.Image)
	before, err := Stamp(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(f.dir, names[len(names)-1])); err != nil {
		t.Fatal(err)
	}
	if after, err := Stamp(f.dir); err != nil || after == before {
		t.Errorf("a bundle is gone, and the stamp is the same: %v", err)
	}
}
