package vuln

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/store"
)

// Official is the database that the Go project keeps.
const Official = "https://vuln.go.dev"

// Names of what a database has once, without the .gz that they have over HTTP.
const (
	stateName = "index/db.json"
	indexName = "index/modules.json"
	askedName = "index/asked.json" // ours: the modules that a snapshot was taken of
)

func entryName(id string) string { return "ID/" + id + ".json" }

// A Database is a snapshot: what a database knew of some modules, in the layout
// of the official one.
type Database struct {
	Dir      string          `json:"-"`        // absolute
	Digest   artifact.Digest `json:"digest"`   // of a line for each file, as sha256sum prints them, by name
	Modified time.Time       `json:"modified"` // when the whole database last changed, in whole seconds
	Modules  []string        `json:"-"`        // that were asked for, sorted

	entries map[string]entry
}

// Snapshot takes what the database at source, a directory or an https address,
// knows of these modules, and writes it to dir, which must not exist: whole or
// not at all. hc bounds how long an address may take.
func Snapshot(ctx context.Context, source string, hc *http.Client, modules []string, dir string) (Database, error) {
	src, err := open(source, hc)
	if err != nil {
		return Database{}, fmt.Errorf("reading the vulnerability database %s: %w", source, err)
	}
	defer src.close()
	t, err := take(ctx, src, modules)
	if err == nil && t.empty {
		err = fmt.Errorf("%w: %s is empty: a database that knows nothing finds nothing", ErrDatabase, indexName)
	}
	if err != nil {
		return Database{}, fmt.Errorf("reading the vulnerability database %s: %w", source, err)
	}
	if err := t.write(dir); err != nil {
		return Database{}, fmt.Errorf("writing a snapshot of the vulnerability database: %w", err)
	}
	return OpenSnapshot(ctx, dir)
}

// OpenSnapshot reads what Snapshot wrote, and refuses (ErrSnapshot, ErrDatabase)
// anything else.
func OpenSnapshot(ctx context.Context, dir string) (Database, error) {
	fail := func(err error) (Database, error) {
		return Database{}, fmt.Errorf("reading the snapshot %s: %w", dir, err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	src := &directory{root}
	defer src.close()
	data, err := src.get(ctx, askedName, indexLimits.Size)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrSnapshot, err))
	}
	var modules []string
	if err := read(askedName, data, &modules, indexLimits); err != nil {
		return fail(err)
	}
	t, err := take(ctx, src, modules)
	if err != nil {
		return fail(err)
	}
	if err := t.are(root); err != nil {
		return fail(err)
	}
	return Database{Dir: dir, Digest: t.digest(), Modified: t.state.Modified.Truncate(time.Second), Modules: t.modules, entries: t.entries}, nil
}

// A taken is a snapshot before it is written.
type taken struct {
	state   state
	modules []string
	files   map[string][]byte // by name, slash-separated
	entries map[string]entry  // by ID
	empty   bool              // it was taken of a database that knows no module
}

// take reads what src knows of these modules.
func take(ctx context.Context, src source, modules []string) (*taken, error) {
	t := &taken{modules: slices.Clone(modules), files: map[string][]byte{}, entries: map[string]entry{}}
	slices.Sort(t.modules)
	t.modules = slices.Compact(t.modules)
	for _, m := range t.modules {
		if err := module.CheckPath(m); err != nil && m != vex.Std {
			return nil, fmt.Errorf("%w: it is asked for the module %.200q: %w", ErrSnapshot, m, err)
		}
	}
	if len(t.modules) == 0 {
		return nil, fmt.Errorf("%w: it is asked for no module", ErrSnapshot)
	}
	first, err := src.get(ctx, stateName, stateLimits.Size)
	if err != nil {
		return nil, err
	}
	if t.state, err = readState(first); err != nil {
		return nil, err
	}
	data, err := src.get(ctx, indexName, indexLimits.Size)
	if err != nil {
		return nil, err
	}
	var index []listed
	if index, t.empty, err = readIndex(data, t.modules); err != nil {
		return nil, err
	}
	if err := t.take(ctx, src, index); err != nil {
		return nil, err
	}
	// Entries were read one after another: none of them may be of another time.
	if last, err := src.get(ctx, stateName, stateLimits.Size); err != nil || !bytes.Equal(first, last) {
		return nil, errors.Join(fmt.Errorf("%w: it changed while it was read: try again", ErrDatabase), err)
	}
	for name, value := range map[string]any{stateName: t.state, indexName: index, askedName: t.modules} {
		if t.files[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	total := 0
	for _, data := range t.files {
		total += len(data)
	}
	if total > maxTotal {
		return nil, fmt.Errorf("%w: more than %d bytes of these modules", ErrDatabase, maxTotal)
	}
	return t, nil
}

// take reads the entries that the index names, a few at a time.
func (t *taken) take(ctx context.Context, src source, index []listed) error {
	count, total := 0, 0
	for _, m := range index {
		count += len(m.Vulns)
	}
	if count > maxEntries {
		return fmt.Errorf("%w: %d entries of these modules, more than %d", ErrDatabase, count, maxEntries)
	}
	var mu sync.Mutex
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, m := range index {
		for _, as := range m.Vulns {
			group.Go(func() error {
				data, err := src.get(inner, entryName(as.ID), entryLimits.Size)
				if err != nil {
					return err
				}
				e, err := readEntry(data, m.Path, as, t.state)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if total += len(data); total > maxTotal {
					return fmt.Errorf("%w: more than %d bytes of these modules", ErrDatabase, maxTotal)
				}
				t.files[entryName(as.ID)], t.entries[as.ID] = data, e
				return nil
			})
		}
	}
	return group.Wait()
}

// digest is that of "digest  name" lines, in order of name.
func (t *taken) digest() artifact.Digest {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		fmt.Fprintf(&text, "%s  %s\n", artifact.DigestBytes(t.files[name]).Hex(), name)
	}
	return artifact.DigestBytes([]byte(text.String()))
}

// write makes dir under another name first.
func (t *taken) write(dir string) error {
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // of what has its name, nothing
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		file := filepath.Join(temp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := store.WriteFile(file, 0o644, writes(t.files[name])); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// are refuses a folder that holds anything but these files.
func (t *taken) are(root *os.Root) error {
	there := 0
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name != "." && path.Dir(name) != "." {
				return fmt.Errorf("%w: the folder %.200q is none of a snapshot", ErrSnapshot, name)
			}
			return nil
		}
		want, known := t.files[name]
		if !known || !e.Type().IsRegular() {
			return fmt.Errorf("%w: %.200q is no file of a snapshot", ErrSnapshot, name)
		}
		there++
		got, err := root.ReadFile(name)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%w: %s is not as it was written", ErrSnapshot, name)
		}
		return err
	})
	if err == nil && there != len(t.files) {
		err = fmt.Errorf("%w: files are missing", ErrSnapshot)
	}
	return err
}
