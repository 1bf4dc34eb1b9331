package dist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// A fixture is a directory of results and a store to publish from.
type fixture struct {
	dir   string
	store *store.Store
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return fixture{filepath.Join(t.TempDir(), "dist"), s}
}

func (f fixture) open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(f.dir, "palisade", f.store)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// item is an artifact of one binary, both of a content that says which it is.
func (f fixture) item(t *testing.T, component, version, platform, variant string) Item {
	t.Helper()
	p, err := artifact.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s-%s.%s.tar.gz", component, version, p.Slug())
	leave := func(file string, perm fs.FileMode) store.Entry {
		_, e, _, err := store.Do(t.Context(), f.store, store.NewKey("test-1", file, name), func(_ context.Context, dir string) (int, error) {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
				return 0, err
			}
			return 0, os.WriteFile(filepath.Join(dir, file), []byte(file+" of "+name), perm)
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	archive, binaries := leave(name, 0o644), leave(component, 0o755)
	item := Item{Archive: archive, Binaries: binaries, Record: artifact.Record{
		Name: name, Size: archive.Files[0].Size, Digest: archive.Files[0].Digest,
		Component: component, Version: version, UpstreamVersion: "1.0.0", Platform: p, Variant: variant,
		Recipe: artifact.DigestBytes(nil), Source: artifact.Module{Path: "x", Version: "v1.0.0", Sum: "h1:x="},
		Binaries: []artifact.Binary{{Name: component, Size: binaries.Files[0].Size, Digest: binaries.Files[0].Digest}},
	}}
	item.Documents = leave(Document(item.Record, ""), 0o644)
	item.Record.Documents = item.Documents.Files
	item.Provenance = leave(Provenance(item.Record), 0o644)
	return item
}

func (f fixture) publish(t *testing.T, items ...Item) {
	t.Helper()
	if err := f.open(t).Publish(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

// files lists the directory, each file with its content.
func (f fixture) files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(f.dir, path)
		text, err := os.ReadFile(path)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (f fixture) index(t *testing.T) []string {
	t.Helper()
	r, err := os.Open(filepath.Join(f.dir, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := artifact.ParseManifest(r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range m.Artifacts {
		names = append(names, a.Name)
	}
	return names
}

// sums is what SHA256SUMS says of an item: what lies beside each other.
func sums(i Item) string {
	document := i.Record.Documents[0]
	return i.Record.Digest.Hex() + "  " + i.Record.Name + "\n" + document.Digest.Hex() + "  " + document.Name + "\n"
}

func TestPublish(t *testing.T) {
	f := newFixture(t)
	// Given out of order, indexed in order.
	prom, bell := f.item(t, "prom", "1.0.0-palisade.1", "linux/amd64", "hardened"), f.item(t, "bell", "1.0.0-vanilla", "linux/arm/v7", "vanilla")
	f.publish(t, prom, bell)
	got := f.files(t)
	for name, want := range map[string]string{
		"prom-1.0.0-palisade.1.linux-amd64.tar.gz": "prom-1.0.0-palisade.1.linux-amd64.tar.gz of prom-1.0.0-palisade.1.linux-amd64.tar.gz",
		"bin/linux-amd64/hardened/prom":            "prom of prom-1.0.0-palisade.1.linux-amd64.tar.gz",
		"bin/linux-armv7/vanilla/bell":             "bell of bell-1.0.0-vanilla.linux-armv7.tar.gz",
		"SHA256SUMS":                               sums(bell) + sums(prom),
	} {
		if got[name] != want {
			t.Errorf("%s holds %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 10 {
		t.Errorf("there are %d files", len(got))
	}
	if names := f.index(t); len(names) != 2 || names[0] != bell.Record.Name {
		t.Errorf("index names %q", names)
	}
	if info, err := os.Stat(filepath.Join(f.dir, "bin/linux-amd64/hardened/prom")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the binary is %v, %v", info.Mode(), err)
	}
	// Another run, of another component, leaves these alone.
	f.publish(t, f.item(t, "clock", "2.0.0-palisade.1", "linux/amd64", "hardened"))
	if names := f.index(t); len(names) != 3 {
		t.Errorf("index names %q", names)
	}
}

// What is there already is neither read from the store nor written again.
func TestPublishAgain(t *testing.T) {
	f := newFixture(t)
	item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
	f.publish(t, item)
	var before []os.FileInfo
	for name := range f.files(t) {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, info)
	}
	f.publish(t, Item{Record: item.Record, Provenance: item.Provenance})
	for _, was := range before {
		same := false
		for name := range f.files(t) {
			info, err := os.Stat(filepath.Join(f.dir, name))
			same = same || err == nil && os.SameFile(was, info) && was.ModTime().Equal(info.ModTime())
		}
		if !same {
			t.Errorf("%s was written again", was.Name())
		}
	}
	// If it is gone meanwhile, a record alone cannot bring it back.
	if err := os.Remove(filepath.Join(f.dir, item.Record.Name)); err != nil {
		t.Fatal(err)
	}
	if err := f.open(t).Publish(t.Context(), []Item{{Record: item.Record, Provenance: item.Provenance}}); err == nil || !strings.Contains(err.Error(), "build again") {
		t.Errorf("got %v", err)
	}
}

func TestHolds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, archive, binary string)
		want   bool
	}{
		{"nothing", func(*testing.T, string, string) {}, true},
		{"archive missing", func(t *testing.T, archive, _ string) { remove(t, archive) }, false},
		{"binary missing", func(t *testing.T, _, binary string) { remove(t, binary) }, false},
		{"provenance missing", func(t *testing.T, archive, _ string) { remove(t, archive+provenanceSuffix) }, false},
		{"provenance of the same size and time", func(t *testing.T, archive, _ string) { forge(t, archive+provenanceSuffix) }, false},
		{"document missing", func(t *testing.T, archive, _ string) { remove(t, archive+DocumentSuffix) }, false},
		{"document of the same size and time", func(t *testing.T, archive, _ string) { forge(t, archive+DocumentSuffix) }, false},
		{"archive of the same size and time", func(t *testing.T, archive, _ string) { forge(t, archive) }, false},
		{"binary of the same size and time", func(t *testing.T, _, binary string) { forge(t, binary) }, false},
		{"touched", func(t *testing.T, archive, _ string) {
			if err := os.Chtimes(archive, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"link to a copy", func(t *testing.T, archive, _ string) {
			copied := filepath.Join(t.TempDir(), "x")
			if err := errors.Join(os.Rename(archive, copied), os.Symlink(copied, archive)); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			f.publish(t, item)
			tt.change(t, filepath.Join(f.dir, item.Record.Name), filepath.Join(f.dir, "bin/linux-amd64/hardened/bell"))
			d := f.open(t) // a run of its own, which remembers through the store
			for range 2 {
				if got := d.Holds(item.Record, item.Provenance.Files[0].Digest); got != tt.want {
					t.Errorf("Holds is %v", got)
				}
			}
			// Publishing mends it.
			f.publish(t, item)
			if !f.open(t).Holds(item.Record, item.Provenance.Files[0].Digest) {
				t.Error("published again, it is not there")
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// forge changes one byte in place and restores size and modification time: a
// file's change time alone tells, once the clock that gives it has moved on.
func forge(t *testing.T, name string) {
	t.Helper()
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	was, ok := remembered(before)
	for now := was; ok && now == was; {
		if err := errors.Join(os.WriteFile(name, data, 0), os.Chtimes(name, before.ModTime(), before.ModTime())); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != before.Size() || !info.ModTime().Equal(before.ModTime()) || !os.SameFile(before, info) {
			t.Fatal("the forgery shows by size, time or inode")
		}
		now, _ = remembered(info)
	}
}

// A run that does nothing reads no file: what it remembers is believed.
func TestMemoIsUsed(t *testing.T) {
	f := newFixture(t)
	item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
	f.publish(t, item)
	d := f.open(t)
	if !d.Holds(item.Record, item.Provenance.Files[0].Digest) || d.memo.dirty {
		t.Error("a file was read again")
	}
	if err := os.WriteFile(d.memo.name, []byte("no memo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := f.open(t); !d.Holds(item.Record, artifact.Digest{}) || !d.memo.dirty {
		t.Error("a memo that cannot be read is not empty")
	}
}

// Of the archives in the directory go those that were superseded, and no other.
func TestPrune(t *testing.T) {
	f := newFixture(t)
	old := f.item(t, "node_exporter", "1.0.0-palisade.1", "linux/amd64", "hardened")
	vanilla := f.item(t, "node_exporter", "1.0.0-vanilla", "linux/amd64", "vanilla")
	arm := f.item(t, "node_exporter", "1.0.0-palisade.1", "linux/arm/v7", "hardened")
	arm64 := f.item(t, "node_exporter", "1.0.0-palisade.1", "linux/arm64", "hardened")
	node := f.item(t, "node", "1.0.0-palisade.1", "linux/amd64", "hardened")
	f.publish(t, old, vanilla, arm, arm64, node)
	stays := []string{
		"node_exporter-1.0.0.linux-amd64.tar.gz",                // upstream's
		"node_exporter-1.0.0-other.1.linux-amd64.tar.gz",        // another distribution's
		"node_exporter-0.9.0-vanilla.linux-amd64.tar.gz.backup", // no archive
		"node_exporter-1.0.0-other.1.linux-amd64.tar.gz.sigstore.json",
		"node_exporter-1.0.0-palisade.1.linux-arm64.tar.gz.test-result.json", // of one that is there
		"node_exporter_extra-1.0.0-palisade.1.linux-amd64.tar.gz",
		"prefix-node_exporter-1.0.0-palisade.1.linux-amd64.tar.gz",
		"notes.zip",
	}
	goes := []string{
		"node_exporter-0.9.0-palisade.7.linux-amd64.tar.gz", "node_exporter-0.9.0-palisade.7.linux-amd64.zip",
	}
	for _, suffix := range []string{".spdx.json", ".provenance.json", ".test-result.json", ".sigstore.json", ".spdx.sigstore.json", ".provenance.sigstore.json", ".test-result.sigstore.json"} {
		goes = append(goes, "node_exporter-0.9.0-palisade.7.linux-amd64.tar.gz"+suffix)
	}
	for _, name := range append(stays, goes...) {
		if err := os.WriteFile(filepath.Join(f.dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := "node_exporter-0.8.0-palisade.1.linux-amd64.tar.gz"
	said := map[string]bool{Rebuilds(goes[0]): false, Rebuilds(old.Record.Name): false, Rebuilds(vanilla.Record.Name): true, Rebuilds(stays[0]): true, "notes.rebuilds": true}
	for _, name := range append(slices.Collect(maps.Keys(said)), folder) {
		if err := os.MkdirAll(filepath.Join(f.dir, name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.publish(t, f.item(t, "node_exporter", "1.0.1-palisade.1", "linux/amd64", "hardened"))
	got := f.files(t)
	for _, name := range append(goes, old.Record.Name, Document(old.Record, ""), Provenance(old.Record)) {
		if _, ok := got[name]; ok {
			t.Errorf("%s stays", name)
		}
	}
	for _, name := range append(stays, vanilla.Record.Name, arm.Record.Name, arm64.Record.Name, node.Record.Name, "node_exporter-1.0.1-palisade.1.linux-amd64.tar.gz", Document(vanilla.Record, "")) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, folder)); err != nil {
		t.Error(err)
	}
	for name, want := range said {
		if _, err := os.Stat(filepath.Join(f.dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names := f.index(t); len(names) != 5 {
		t.Errorf("index names %q", names)
	}
	// A former version of the other variant goes with its own successor.
	f.publish(t, f.item(t, "node_exporter", "1.0.1-vanilla", "linux/amd64", "vanilla"))
	if _, ok := f.files(t)[vanilla.Record.Name]; ok {
		t.Errorf("%s stays", vanilla.Record.Name)
	}
}

// The index names only what is there.
func TestIndexWithoutMissing(t *testing.T) {
	f := newFixture(t)
	bell, clock := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened"), f.item(t, "clock", "1.0.0-palisade.1", "linux/amd64", "hardened")
	f.publish(t, bell, clock)
	if err := os.WriteFile(filepath.Join(f.dir, "bin/linux-amd64/hardened/clock"), []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.publish(t, bell)
	if names := f.index(t); len(names) != 1 || names[0] != bell.Record.Name {
		t.Errorf("index names %q", names)
	}
	if sums := f.files(t)["SHA256SUMS"]; strings.Contains(sums, "clock") {
		t.Errorf("SHA256SUMS holds %q", sums)
	}
}

// remembered is what tells a file from a later one of its name.
func remembered(info os.FileInfo) (int64, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return changeTime(st), true
}
