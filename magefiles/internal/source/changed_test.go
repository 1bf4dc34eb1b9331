package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	modzip "golang.org/x/mod/zip"

	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
)

func TestChangedZip(t *testing.T) {
	b := newBench(t, nil)
	m := b.tree.Modules()[0]
	f, err := os.Create(filepath.Join(t.TempDir(), "m.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other := t.TempDir()
	for name, text := range map[string]string{"go.mod": goMod, "bell.go": code + "// more\n"} {
		if err := os.WriteFile(filepath.Join(other, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := modzip.CreateFromDir(f, m.Version, other); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	proxytest.Overwrite(t, m.Zip, data)
	if _, err := b.Sums(t.Context(), b.tree, "hardened"); !errors.Is(err, modules.ErrChanged) || !strings.Contains(err.Error(), m.Zip) {
		t.Errorf("got %v", err)
	}
	proxytest.Overwrite(t, m.Zip, []byte("no zip file"))
	if _, err := b.Sums(t.Context(), b.tree, "hardened"); err == nil || !strings.Contains(err.Error(), "remove "+m.Zip) {
		t.Errorf("got %v", err)
	}
}

// What is compiled is read again: a change after the sealing is found, and
// doing what the error says mends it.
func TestVerify(t *testing.T) {
	b := newBench(t, nil)
	b.lock(t)
	p, err := b.Patch(t.Context(), b.tree, "hardened")
	if err != nil {
		t.Fatal(err)
	}
	tree := p.Sealed[0].To.Dir
	if err := os.WriteFile(filepath.Join(tree, "more.go"), []byte("package bell\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = p.Verify(t.Context(), b.client)
	if !errors.Is(err, ErrUnsealed) {
		t.Fatalf("sealed tree changed: %v", err)
	}
	place := filepath.Dir(filepath.Dir(tree))
	if !strings.Contains(err.Error(), place+" was changed") {
		t.Errorf("%v does not name %s", err, place)
	}
	proxytest.Remove(t, place)
	if p, err = b.Patch(t.Context(), b.tree, "hardened"); err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(t.Context(), b.client); err != nil {
		t.Errorf("made again: %v", err)
	}
	proxytest.Overwrite(t, filepath.Join(p.Tree.Modules()[0].Dir, "bell.go"), []byte("package bell\n"))
	if err := p.Verify(t.Context(), b.client); !errors.Is(err, modules.ErrChanged) {
		t.Errorf("upstream's tree changed: %v", err)
	}
}
