package consume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/releases"
	"palisade/attestations/unpack"
	"palisade/attestations/verify/registry"
)

func TestRegistry(t *testing.T) {
	w, l := newWorld(t), listing()
	for _, f := range l.all() {
		w.blob(t, []byte(f.Name))
	}
	honest(t, l).publish(t, w, nil)
	names, err := fetched(t, w.place(t), entry(l))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range l.all() {
		want = append(want, f.Name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = w.place(t).Some(context.Background(), entry(l), root, func(name string) bool { return name == manifestName })
	if got, bad := sizes(root); err != nil || bad != nil || len(got) != 1 || got[0].Name != manifestName {
		t.Errorf("of one file got %v, %v, %v", got, err, bad)
	}
	form, err := l.Form()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := ReleaseOf(form.Index); err != nil || d != form.Release.Digest {
		t.Errorf("the index is of %s, %v", d, err)
	}
}

// Whatever a registry says, of what is no release nothing is fetched, and of one that
// is another than the index of releases names.
func TestRegistryRefuses(t *testing.T) {
	rename := func(to string) func(*hostile) {
		return func(h *hostile) { h.said.Layers[1].Annotations.Title = to }
	}
	noted := func(h *hostile) { h.said.Layers[0].Annotations.Title = releases.NotesName }
	for _, tt := range []struct {
		name   string
		change func(*hostile)
		index  func(*index)
		of     func(*releases.Release)
		want   error
	}{
		{name: "a name that leads out", change: func(h *hostile) { h.said.Layers[0].Annotations.Title = "../x" }, want: unpack.ErrName},
		{name: "a name that leads out on its way", change: rename("b/../../x"), want: unpack.ErrName},
		{name: "an absolute name", change: func(h *hostile) { h.said.Layers[0].Annotations.Title = "/etc/x" }, want: unpack.ErrName},
		{name: "a name of another system", change: rename("b\\x"), want: unpack.ErrName},
		{name: "a device", change: rename("b/con"), want: unpack.ErrName},
		{name: "no name", change: func(h *hostile) { h.said.Layers[0].Annotations.Title = "" }, want: unpack.ErrName},
		{name: "a name twice in one", change: rename("a.tar.gz.rebuilds/x.sigstore.json"), want: ErrForm},
		{name: "a name twice in both", change: func(h *hostile) { h.said.Layers[0].Annotations.Title = "a.tar.gz" }, want: unpack.ErrDuplicate},
		{name: "a name twice in other capitals", change: func(h *hostile) { h.said.Layers[0].Annotations.Title = "A.tar.gz" }, want: unpack.ErrDuplicate},
		{name: "a file that is a folder", change: rename("release.json/x"), want: ErrForm},
		{name: "out of order", change: func(h *hostile) { slices.Reverse(h.said.Layers) }, want: ErrForm},
		{name: "an empty file", change: func(h *hostile) { h.said.Layers[0].Size = 0 }, want: ErrForm},
		{name: "a negative file", change: func(h *hostile) { h.said.Layers[0].Size = -1 }, want: ErrForm},
		{name: "a huge file", change: func(h *hostile) { h.said.Layers[0].Size = unpack.MaxMember + 1 }, want: ErrTooLarge},
		{name: "huge together", change: func(h *hostile) {
			for n := range h.said.Layers {
				h.said.Layers[n].Size = unpack.MaxMember
			}
			for n := range 4 {
				l := h.said.Layers[1]
				l.Annotations.Title = fmt.Sprintf("b%d", n)
				h.said.Layers = append(h.said.Layers, l)
			}
		}, want: ErrTooLarge},
		{name: "too many", change: func(h *hostile) {
			h.said.Layers = nil
			for n := range unpack.MaxMembers {
				var l layer
				l.MediaType, l.Digest, l.Size = FileType, artifact.DigestBytes(nil), 1
				l.Annotations.Title = fmt.Sprintf("b%05d", n)
				h.said.Layers = append(h.said.Layers, l)
			}
		}, want: ErrTooLarge},
		{name: "nothing said", change: func(h *hostile) { h.said.Layers = nil }, want: ErrForm},
		{name: "another type of file", change: func(h *hostile) { h.said.Layers[0].MediaType = ocilayout.LayerType }, want: ErrForm},
		{name: "another artifact", change: func(h *hostile) { h.said.ArtifactType = releasesType }, want: ErrForm},
		{name: "a configuration", change: func(h *hostile) { h.said.Config.MediaType = ocilayout.ConfigType }, want: ErrForm},
		{name: "another order of the two", change: func(h *hostile) { h.release, h.said = h.said, h.release }, want: ErrForm},
		{name: "spaces", change: func(h *hostile) { h.spaced = true }, want: ErrForm},
		{name: "no index", change: func(h *hostile) { h.kind, h.index.MediaType = ocilayout.ManifestType, ocilayout.ManifestType }, want: ErrForm},
		{name: "three manifests", index: func(i *index) { i.Manifests = append(i.Manifests, i.Manifests[1]) }, want: ErrForm},
		{name: "another length", index: func(i *index) { i.Manifests[1].Size++ }, want: ErrForm},
		{name: "a huge manifest", index: func(i *index) { i.Manifests[1].Size = ocilayout.MaxDocument + 1 }, want: ErrForm},
		{name: "an index in an index", index: func(i *index) { i.Manifests[1].MediaType = ocilayout.IndexType }, want: ErrForm},
		{name: "another release.json", of: func(r *releases.Release) { r.Manifest = artifact.DigestBytes(nil) }, want: ErrMismatch},
		{name: "other files", of: func(r *releases.Release) { r.Files = artifact.DigestBytes(nil) }, want: ErrMismatch},
		{name: "other notes", change: noted, of: func(r *releases.Release) { r.Notes = artifact.DigestBytes(nil) }, want: ErrMismatch},
		{name: "notes that are not listed", change: noted, want: ErrMismatch},
		{name: "no notes, where some are listed", of: func(r *releases.Release) { r.Notes = artifact.DigestBytes(nil) }, want: ErrMismatch},
		{name: "no files in a registry", of: func(r *releases.Release) { r.Files = artifact.Digest{} }, want: ErrNone},
		{name: "another version", of: func(r *releases.Release) { r.Version = "1.0.1" }, want: ErrNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, l := newWorld(t), listing()
			for _, f := range l.all() {
				w.blob(t, []byte(f.Name))
			}
			h := honest(t, l)
			if tt.change != nil {
				tt.change(&h)
			}
			of := entry(l)
			of.Files = h.publish(t, w, tt.index)
			if tt.of != nil {
				tt.of(&of)
			}
			names, err := fetched(t, w.place(t), of)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if n := w.blobs.Load(); n > 0 || len(names) > 0 {
				t.Errorf("%d blobs were read, and %q written", n, names)
			}
		})
	}
}

// An index of releases is of two small files.
func TestIndexRefuses(t *testing.T) {
	put := func(t *testing.T, w *world, m registry.Manifest, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w.manifest(t, IndexTag, m)
	}
	two := func(name string, size int64) (registry.Manifest, error) {
		all := files(releases.FileName, name)
		all[0].Size = size
		return manifestOf(releasesType, all)
	}
	for _, tt := range []struct {
		name string
		make func() (registry.Manifest, error)
		want error
	}{
		{"none", nil, ErrNone},
		{"another file", func() (registry.Manifest, error) { return two("x.json", 1) }, ErrForm},
		{"one file", func() (registry.Manifest, error) { return manifestOf(releasesType, files(releases.FileName)) }, ErrForm},
		{"a release", func() (registry.Manifest, error) {
			return manifestOf(releaseType, files(releases.FileName, releases.BundleName))
		}, ErrForm},
		{"huge", func() (registry.Manifest, error) { return two(releases.BundleName, releases.MaxSize+1) }, ErrTooLarge},
		{"of another length", func() (registry.Manifest, error) { return two(releases.BundleName, 5) }, registry.ErrDigest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.blob(t, []byte(releases.FileName))
			w.blob(t, []byte(releases.BundleName))
			if tt.make != nil {
				m, err := tt.make()
				put(t, w, m, err)
			}
			if _, _, err := w.place(t).Index(context.Background()); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	w := newWorld(t)
	w.blob(t, []byte(releases.FileName))
	w.blob(t, []byte(releases.BundleName))
	m, err := IndexForm([]byte(releases.FileName), []byte(releases.BundleName))
	put(t, w, m, err)
	index, bundle, err := w.place(t).Index(context.Background())
	if err != nil || string(index) != releases.FileName || string(bundle) != releases.BundleName {
		t.Errorf("got %s, %s, %v", index, bundle, err)
	}
}

// What is read is what would be written, of whatever is no release nothing is.
func FuzzForm(f *testing.F) {
	form, err := listing().Form()
	if err != nil {
		f.Fatal(err)
	}
	index, err := IndexForm([]byte("x"), []byte("y"))
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []registry.Manifest{form.Release, form.Said, form.Index, index} {
		f.Add(m.Data)
	}
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"annotations":{"org.opencontainers.image.title":"../x"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if release, said, err := parseIndex(registry.Manifest{MediaType: ocilayout.IndexType, Data: data}); err == nil {
			if release.Digest.IsZero() || said.Digest.IsZero() || release.Size > ocilayout.MaxDocument || said.Size > ocilayout.MaxDocument {
				t.Errorf("%s reads as %+v, %+v", data, release, said)
			}
		} else if !errors.Is(err, ErrForm) {
			t.Errorf("refused with %v", err)
		}
		for _, kind := range []string{releaseType, saidType, releasesType} {
			files, err := parseManifest(registry.Manifest{MediaType: ocilayout.ManifestType, Data: data}, kind)
			if err != nil {
				if !errors.Is(err, ErrForm) {
					t.Errorf("refused with %v", err)
				}
				continue
			}
			if again, err := manifestOf(kind, files); err != nil || !bytes.Equal(again.Data, data) {
				t.Errorf("%s is written as %s, %v", data, again.Data, err)
			}
		}
	})
}

// A directory of somebody else's is read no further than a registry is.
func TestDirectoryRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  error
	}{
		{"nothing", func(string) error { return nil }, ErrNone},
		{"a link", func(dir string) error { return os.Symlink("/etc/hostname", filepath.Join(dir, "releases.json")) }, ErrForm},
		{"a folder", func(dir string) error { return os.Mkdir(filepath.Join(dir, "releases.json"), 0o755) }, ErrForm},
		{"a huge index", func(dir string) error {
			name := filepath.Join(dir, "releases.json")
			return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, releases.MaxSize+1))
		}, ErrTooLarge},
		{"no directory", os.Remove, ErrNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "site")
			if err := errors.Join(os.Mkdir(dir, 0o755), tt.spoil(dir)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Directory(dir).Index(context.Background()); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	manifest, err := (&artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  error
	}{
		{"whole", func(string) error { return nil }, nil},
		{"no release", os.RemoveAll, ErrNone},
		{"no release.json", func(dir string) error { return os.Remove(filepath.Join(dir, "release.json")) }, ErrNone},
		{"another release.json", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "release.json"), []byte("{}"), 0o600)
		}, ErrForm},
		{"notes that are not listed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, releases.NotesName), []byte("# Notes"), 0o600)
		}, ErrMismatch},
		{"a link out", func(dir string) error { return os.Symlink("/etc/hostname", filepath.Join(dir, "x")) }, ErrForm},
		{"a huge file", func(dir string) error {
			return os.Truncate(filepath.Join(dir, "SHA256SUMS"), unpack.MaxUnpacked+1)
		}, ErrTooLarge},
		{"a name of another system", func(dir string) error { return os.WriteFile(filepath.Join(dir, "aux.json"), []byte("x"), 0o600) }, unpack.ErrName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			folder := filepath.Join(dir, "v1.0.0")
			if err := os.Mkdir(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string]string{"release.json": string(manifest), "SHA256SUMS": "sums", "release.json.sigstore.json": "{}"} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.spoil(folder); err != nil {
				t.Fatal(err)
			}
			names, err := fetched(t, Directory(dir), releases.Release{Version: "1.0.0", Manifest: artifact.DigestBytes(manifest)})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (len(names) == 0) != (tt.want != nil) {
				t.Errorf("%v, want %v; fetched %q", err, tt.want, names)
			}
		})
	}
}
