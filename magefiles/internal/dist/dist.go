// Package dist puts results where people look for them, whole or not at all:
// archives and loose binaries first, each under a temporary name until it is
// complete, then SHA256SUMS, and release.json last, so that a file that the
// index names is there. Publishing some components leaves the others alone.
// Images are published afterwards, of artifacts that are there; one whose
// artifacts are replaced goes, with the folder of its bundles.
// What was said of a file that is replaced goes before it, also by others who
// built it again: no signature lies beside what it is not of.
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
// directory already holds the record's files, but for the list of Provenance.
type Item struct {
	Record     artifact.Record
	Archive    store.Entry
	Binaries   store.Entry
	Documents  store.Entry
	Provenance store.Entry // holds the file called Provenance(Record)
}

// A Dir is a directory of results.
type Dir struct {
	dir   string
	name  string // of the distribution
	store *store.Store
	memo  *memo

	collected bool // it has no loose binaries, nor what is said of them
}

// Open checks that dir can be written before anything is built for it.
func Open(dir, distribution string, s *store.Store) (*Dir, error) {
	probe := func() error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		left, err := filepath.Glob(filepath.Join(dir, ".probe-*")) // by a run that was killed
		if err != nil {
			return err
		}
		for _, name := range left {
			_ = os.Remove(name) // verification would name it
		}
		f, err := os.CreateTemp(dir, ".probe-*")
		if err != nil {
			return err
		}
		err = os.Remove(f.Name())
		if errors.Is(err, fs.ErrNotExist) { // swept by another run
			err = nil
		}
		return errors.Join(f.Close(), err)
	}
	if err := probe(); err != nil {
		return nil, fmt.Errorf("results cannot be written to %s: make it writable, or set PALISADE_DIST: %w", dir, err)
	}
	return &Dir{dir: dir, name: distribution, store: s, memo: loadMemo(s, dir)}, nil
}

// Holds reports whether every file of r is there with the content that r says
// (the loose ones only in a directory that has any),
// and its provenance with this digest; with any, if the digest is zero.
func (d *Dir) Holds(r artifact.Record, provenance artifact.Digest) bool {
	if !d.memo.same(filepath.Join(d.dir, r.Name), r.Digest) {
		return false
	}
	for _, b := range r.Binaries {
		if !d.collected && !d.memo.same(filepath.Join(d.dir, filepath.FromSlash(BinDir(r)), b.Name), b.Digest) {
			return false
		}
	}
	for _, f := range r.Documents {
		if d.collected && path.Dir(f.Name) != "." {
			continue
		}
		if !d.memo.same(filepath.Join(d.dir, filepath.FromSlash(f.Name)), f.Digest) {
			return false
		}
	}
	beside := filepath.Join(d.dir, Provenance(r))
	if provenance.IsZero() {
		info, err := os.Lstat(beside)
		return err == nil && info.Mode().IsRegular()
	}
	return d.memo.same(beside, provenance)
}

// provenance is the digest of an item's.
func (i Item) provenance() (artifact.Digest, error) {
	f, ok := i.Provenance.File(Provenance(i.Record))
	if !ok {
		return artifact.Digest{}, errors.New("it has no provenance")
	}
	return f.Digest, nil
}

// Lock keeps others from publishing to dir, and from signing there.
func Lock(ctx context.Context, s *store.Store, dir string) (unlock func(), err error) {
	return s.Lock(ctx, "dist-"+artifact.DigestBytes([]byte(dir)).Hex()[:16])
}

// Publish puts items in place and brings the index up to date. One run at a
// time publishes to a directory.
func (d *Dir) Publish(ctx context.Context, items []Item) error {
	unlock, err := Lock(ctx, d.store, d.dir)
	if err != nil {
		return err
	}
	defer unlock()
	index, before, err := d.index()
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		provenance, err := item.provenance()
		if err != nil {
			return fmt.Errorf("publishing %s: %w", item.Record.Name, err)
		}
		if !d.Holds(item.Record, provenance) {
			if err := d.put(item, provenance); err != nil {
				return fmt.Errorf("publishing %s: %w", item.Record.Name, err)
			}
			// Read back, and so remembered: the next run need not read it.
			if !d.Holds(item.Record, provenance) {
				return fmt.Errorf("publishing %s: %s does not hold what was written to it; build again", item.Record.Name, d.dir)
			}
		}
		d.replace(index, item.Record)
	}
	dropStale(index, before)
	return d.settle(index)
}

// settle removes what the index no longer names, and writes it.
func (d *Dir) settle(index *artifact.Manifest) error {
	if err := d.prune(index); err != nil {
		return err
	}
	if err := d.writeIndex(index); err != nil {
		return err
	}
	return d.memo.save()
}

func (d *Dir) put(item Item, provenance artifact.Digest) error {
	r := item.Record
	if item.Archive.Dir == "" {
		return errors.New("another run changed its files meanwhile; build again")
	}
	if err := d.retract(r, provenance); err != nil {
		return err
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
	return item.Provenance.CopyTo(Provenance(r), filepath.Join(d.dir, Provenance(r)), 0o644)
}

// retract removes what was said of files that are about to be replaced.
func (d *Dir) retract(r artifact.Record, provenance artifact.Digest) error {
	var said []string
	archive, attested := d.memo.same(filepath.Join(d.dir, r.Name), r.Digest), d.memo.same(filepath.Join(d.dir, Provenance(r)), provenance)
	if !archive {
		said = append(said, Bundle(r.Name), Bundle(TestResult(r)), TestResult(r), Bundle(VEX(r)), VEX(r))
	}
	if !attested {
		said = append(said, Bundle(Provenance(r)))
	}
	if !archive || !attested {
		if err := d.removeBundles(Rebuilds(r.Name)); err != nil {
			return err
		}
	}
	for _, f := range r.Documents {
		if f.Name == Document(r, "") && !d.memo.same(filepath.Join(d.dir, f.Name), f.Digest) {
			said = append(said, Bundle(f.Name))
		}
	}
	return d.remove(said...)
}

// remove removes files, where they are there.
func (d *Dir) remove(names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// index is the release.json that is there, without the artifacts and images
// that are not, and all the records that it had.
func (d *Dir) index() (m *artifact.Manifest, before []artifact.Record, err error) {
	f, err := os.Open(filepath.Join(d.dir, Index))
	if errors.Is(err, fs.ErrNotExist) {
		return &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: d.name}, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	m, err = artifact.ParseManifest(f)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the index of %s: %w; remove release.json to begin a new one", d.dir, err)
	}
	if m.Distribution != d.name {
		return nil, nil, fmt.Errorf("%s holds the release of %q, not of %q: choose another directory with PALISADE_DIST", d.dir, m.Distribution, d.name)
	}
	before = slices.Clone(m.Artifacts)
	m.Artifacts = slices.DeleteFunc(m.Artifacts, func(r artifact.Record) bool { return !d.Holds(r, artifact.Digest{}) })
	m.Images = slices.DeleteFunc(m.Images, func(i artifact.Image) bool { return !d.HoldsImage(i, artifact.Digest{}) })
	return m, before, nil
}

// replace puts r into the index in place of what it supersedes. The store keeps
// a record as it was first made, its timing too, so that a run that does nothing
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

// prune removes archives and images, and what lies beside them, that carry the
// name of an artifact of ours and that the index no longer names: the former
// version of what was just built.
func (d *Dir) prune(m *artifact.Manifest) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		subject := subjectOf(e.Name())
		bundles := e.IsDir() && (isBundles(e.Name()) || isRebuilds(e.Name()))
		if !e.Type().IsRegular() && !bundles {
			continue
		}
		named := slices.ContainsFunc(m.Artifacts, func(r artifact.Record) bool { return r.Name == subject }) ||
			slices.ContainsFunc(m.Images, func(i artifact.Image) bool { return i.Name == subject })
		superseded := slices.ContainsFunc(m.Artifacts, func(r artifact.Record) bool { return d.supersedes(r, subject) })
		if named || !superseded {
			continue
		}
		if bundles {
			err = d.removeBundles(e.Name())
		} else {
			err = d.remove(e.Name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// supersedes reports whether name is an archive of r's component, platform
// and variant, or an image of component and variant, of any version of this
// distribution. Upstream's own archive is not ours to remove.
func (d *Dir) supersedes(r artifact.Record, name string) bool {
	version, ok := strings.CutPrefix(name, r.Component+"-")
	if !ok {
		return false
	}
	version, image := strings.CutSuffix(version, artifact.ImageSuffix)
	version, extension, archive := strings.Cut(version, "."+r.Platform.Slug()+".")
	if !image && (!archive || extension != "tar.gz" && extension != "zip") {
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
	var sums []artifact.File
	for _, r := range m.Artifacts {
		sums = append(sums, artifact.File{Name: r.Name, Digest: r.Digest})
		for _, f := range r.Documents {
			if path.Dir(f.Name) == "." { // beside the archive
				sums = append(sums, f)
			}
		}
	}
	for _, i := range m.Images {
		sums = append(append(sums, artifact.File{Name: i.Name, Digest: i.Digest}), i.Documents...)
	}
	slices.SortFunc(sums, func(a, b artifact.File) int { return strings.Compare(a.Name, b.Name) })
	var text bytes.Buffer
	for _, f := range sums {
		fmt.Fprintf(&text, "%s  %s\n", f.Digest.Hex(), f.Name)
	}
	index, err := m.Encode()
	if err != nil {
		return err
	}
	sumsName, indexName := filepath.Join(d.dir, Sums), filepath.Join(d.dir, Index)
	if !holds(indexName, index) {
		if err := d.remove(Bundle(Index)); err != nil {
			return err
		}
	}
	if err := writeChanged(sumsName, text.Bytes()); err != nil {
		return err
	}
	return writeChanged(indexName, index)
}

func holds(name string, data []byte) bool {
	old, err := os.ReadFile(name)
	return err == nil && bytes.Equal(old, data)
}

func writeChanged(name string, data []byte) error {
	if holds(name, data) {
		return nil
	}
	return store.WriteFile(name, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
