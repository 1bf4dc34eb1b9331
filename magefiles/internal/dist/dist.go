// Package dist puts results where people look for them, whole or not at all:
// archives and loose binaries first, each under a temporary name until it is
// complete, then SHA256SUMS, and release.json last, so that a file that the
// index names is there. Publishing some components leaves the others alone.
package dist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// An Item is an artifact to publish. The entries are not looked at if the
// directory already holds the record's files.
type Item struct {
	Record    artifact.Record
	Archive   store.Entry
	Binaries  store.Entry
	Documents store.Entry
}

// A Dir is a directory of results.
type Dir struct {
	dir   string
	name  string // of the distribution
	store *store.Store
	memo  *memo
}

// Open checks that dir can be written before anything is built for it.
func Open(dir, distribution string, s *store.Store) (*Dir, error) {
	probe := func() error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		f, err := os.CreateTemp(dir, ".probe-*")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err := probe(); err != nil {
		return nil, fmt.Errorf("results cannot be written to %s: make it writable, or set PALISADE_DIST: %w", dir, err)
	}
	return &Dir{dir: dir, name: distribution, store: s, memo: loadMemo(s, dir)}, nil
}

// BinDir is where an artifact's loose binaries lie, below the directory.
func BinDir(r artifact.Record) string { return path.Join("bin", r.Platform.Slug(), r.Variant) }

// DocumentSuffix is what the name of a file has behind it in that of its SPDX
// document.
const DocumentSuffix = ".spdx.json"

// Document is where the document of an artifact's archive lies, or of one of
// its binaries, below the directory.
func Document(r artifact.Record, binary string) string {
	if binary == "" {
		return r.Name + DocumentSuffix
	}
	return path.Join(BinDir(r), binary) + DocumentSuffix
}

// Holds reports whether every file of r is there with the content that r says.
func (d *Dir) Holds(r artifact.Record) bool {
	if !d.memo.same(filepath.Join(d.dir, r.Name), r.Digest) {
		return false
	}
	for _, b := range r.Binaries {
		if !d.memo.same(filepath.Join(d.dir, filepath.FromSlash(BinDir(r)), b.Name), b.Digest) {
			return false
		}
	}
	for _, f := range r.Documents {
		if !d.memo.same(filepath.Join(d.dir, filepath.FromSlash(f.Name)), f.Digest) {
			return false
		}
	}
	return true
}

// Publish puts items in place and brings the index up to date. One run at a
// time publishes to a directory.
func (d *Dir) Publish(ctx context.Context, items []Item) error {
	unlock, err := d.store.Lock(ctx, "dist-"+artifact.DigestBytes([]byte(d.dir)).Hex()[:16])
	if err != nil {
		return err
	}
	defer unlock()
	index, err := d.index()
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.Holds(item.Record) {
			if err := d.put(item); err != nil {
				return fmt.Errorf("publishing %s: %w", item.Record.Name, err)
			}
			// Read back, and so remembered: the next run need not read it.
			if !d.Holds(item.Record) {
				return fmt.Errorf("publishing %s: %s does not hold what was written to it; build again", item.Record.Name, d.dir)
			}
		}
		d.replace(index, item.Record)
	}
	if err := d.prune(index); err != nil {
		return err
	}
	if err := d.writeIndex(index); err != nil {
		return err
	}
	return d.memo.save()
}

func (d *Dir) put(item Item) error {
	r := item.Record
	if item.Archive.Dir == "" {
		return errors.New("another run changed its files meanwhile; build again")
	}
	if err := item.Archive.CopyTo(r.Name, filepath.Join(d.dir, r.Name), 0o644); err != nil {
		return err
	}
	bin := filepath.Join(d.dir, filepath.FromSlash(BinDir(r)))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, b := range r.Binaries {
		if err := item.Binaries.CopyTo(b.Name, filepath.Join(bin, b.Name), 0o755); err != nil {
			return err
		}
	}
	for _, f := range r.Documents {
		if err := item.Documents.CopyTo(f.Name, filepath.Join(d.dir, filepath.FromSlash(f.Name)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// index is the release.json that is there, without the artifacts that are not.
func (d *Dir) index() (*artifact.Manifest, error) {
	empty := &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: d.name}
	f, err := os.Open(filepath.Join(d.dir, "release.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w; remove release.json to begin a new one", d.dir, err)
	}
	if m.Distribution != d.name {
		return nil, fmt.Errorf("%s holds the release of %q, not of %q: choose another directory with PALISADE_DIST", d.dir, m.Distribution, d.name)
	}
	m.Artifacts = slices.DeleteFunc(m.Artifacts, func(r artifact.Record) bool { return !d.Holds(r) })
	return m, nil
}

// replace puts r into the index in place of what it supersedes. A record that
// is the same but for its timing stays, so that a run that does nothing
// changes nothing.
func (d *Dir) replace(m *artifact.Manifest, r artifact.Record) {
	i := slices.IndexFunc(m.Artifacts, func(o artifact.Record) bool {
		return o.Component == r.Component && o.Platform == r.Platform && o.Variant == r.Variant
	})
	if i < 0 {
		m.Artifacts = append(m.Artifacts, r)
		return
	}
	m.Artifacts[i] = r
}

// prune removes archives, and the documents beside them, that carry the name of
// an artifact of ours and that the index no longer names: the former version of
// what was just built.
func (d *Dir) prune(m *artifact.Manifest) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		named := slices.ContainsFunc(m.Artifacts, func(r artifact.Record) bool {
			return r.Name == e.Name() || slices.ContainsFunc(r.Documents, func(f artifact.File) bool { return f.Name == e.Name() })
		})
		superseded := slices.ContainsFunc(m.Artifacts, func(r artifact.Record) bool { return d.supersedes(r, e.Name()) })
		if !named && superseded {
			if err := os.Remove(filepath.Join(d.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// supersedes reports whether name is an archive of r's component, platform
// and variant, of another version of this distribution, or its document. Upstream's own archive
// is not ours to remove.
func (d *Dir) supersedes(r artifact.Record, name string) bool {
	version, ok := strings.CutPrefix(name, r.Component+"-")
	if !ok {
		return false
	}
	version, extension, ok := strings.Cut(strings.TrimSuffix(version, DocumentSuffix), "."+r.Platform.Slug()+".")
	if !ok || (extension != "tar.gz" && extension != "zip") {
		return false
	}
	_, ours, _ := strings.Cut(version, "-")
	if r.Variant == "hardened" {
		return strings.HasPrefix(ours, d.name+".")
	}
	return ours == r.Variant
}

func (d *Dir) writeIndex(m *artifact.Manifest) error {
	m.Sort()
	var sums bytes.Buffer
	for _, r := range m.Artifacts {
		fmt.Fprintf(&sums, "%s  %s\n", r.Digest.Hex(), r.Name)
		for _, f := range r.Documents {
			if path.Dir(f.Name) == "." { // beside the archive
				fmt.Fprintf(&sums, "%s  %s\n", f.Digest.Hex(), f.Name)
			}
		}
	}
	index, err := m.Encode()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"SHA256SUMS", sums.Bytes()}, {"release.json", index}} {
		if err := writeChanged(filepath.Join(d.dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

func writeChanged(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return store.WriteFile(name, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
