package dist

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
)

// A directory that cannot be published to stays as it was.
func TestPublishRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, f fixture, item *Item)
	}{
		{"another distribution's release", `holds the release of "other", not of "palisade"`, func(t *testing.T, f fixture, _ *Item) {
			other, err := Open(f.dir, "other", f.store)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Publish(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"an index that is none", "remove release.json to begin a new one", func(t *testing.T, f fixture, _ *Item) {
			if err := errors.Join(os.MkdirAll(f.dir, 0o755), os.WriteFile(filepath.Join(f.dir, "release.json"), []byte("{}"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}},
		{"an archive changed in the store", "publishing bell-1.0.0-palisade.1", func(t *testing.T, f fixture, item *Item) {
			forge(t, filepath.Join(item.Archive.Dir, item.Record.Name))
		}},
		{"a provenance changed in the store", "publishing bell-1.0.0-palisade.1", func(t *testing.T, f fixture, item *Item) {
			forge(t, filepath.Join(item.Provenance.Dir, Provenance(item.Record)))
		}},
		{"no provenance", "it has no provenance", func(t *testing.T, f fixture, item *Item) { item.Provenance = store.Entry{} }},
		{"a binary changed in the store", "publishing bell-1.0.0-palisade.1", func(t *testing.T, f fixture, item *Item) {
			forge(t, filepath.Join(item.Binaries.Dir, "bell"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
			tt.change(t, f, &item)
			d := f.open(t)
			before := f.files(t)
			err := d.Publish(t.Context(), []Item{item})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			after := f.files(t)
			for name, text := range after {
				// Whole artifacts may be there already; the index comes last.
				if text != before[name] && (strings.HasPrefix(name, ".") || name == "release.json" || name == "SHA256SUMS") {
					t.Errorf("it left %s", name)
				}
			}
			if strings.Contains(tt.want, "publishing") && d.Holds(item.Record, artifact.Digest{}) {
				t.Error("it holds what it refused")
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dirs := []string{file, filepath.Join(file, "dist"), "/proc/self/dist"}
	if os.Geteuid() != 0 { // to whom nothing is read-only
		readOnly := t.TempDir()
		if err := os.Chmod(readOnly, 0o555); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, readOnly, filepath.Join(readOnly, "dist"))
	}
	for _, dir := range dirs {
		if _, err := Open(dir, "palisade", s); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "PALISADE_DIST") {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

func TestOpenLeavesNothing(t *testing.T) {
	f := newFixture(t)
	f.open(t)
	if got := f.files(t); len(got) != 0 {
		t.Errorf("it left %q", got)
	}
}

func TestPublishEnds(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := f.open(t)
	item := f.item(t, "bell", "1.0.0-palisade.1", "linux/amd64", "hardened")
	cancel()
	if err := d.Publish(ctx, []Item{item}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := f.files(t); len(got) != 0 {
		t.Errorf("it left %v", got)
	}
}
