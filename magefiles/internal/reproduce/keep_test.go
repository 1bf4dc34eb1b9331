package reproduce

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/bundle"
	"palisade/attestations/rebuild"
)

func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "release")
	a := Attested{Target: "bell.tar.gz", Folder: "bell.tar.gz.rebuilds"}
	me := bundle.Signer{KeyID: base64.StdEncoding.EncodeToString(make([]byte, 32))}
	other := bundle.Signer{Issuer: "https://issuer.example.org", Subject: "ada@example.org"}
	for _, data := range []string{"first", "second"} {
		file, err := Keep(dir, a, me, []byte(data))
		if err != nil || file != filepath.Join(dir, a.Folder, "0000000000000000.sigstore.json") {
			t.Fatalf("%s, %v", file, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != data {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := Keep(dir, a, other, nil); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, a.Folder)); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := Keep(dir, a, bundle.Signer{}, nil); err == nil {
		t.Error("somebody who is nobody is kept")
	}
	// As many as are read, and no more; but one's own can always be replaced.
	for n := range rebuild.MaxBundles - 2 {
		if err := os.WriteFile(filepath.Join(dir, a.Folder, fmt.Sprintf("%016x.sigstore.json", n+1)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Keep(dir, a, me, nil); err != nil {
		t.Error(err)
	}
	if _, err := Keep(dir, a, bundle.Signer{Issuer: "https://issuer.example.org", Subject: "bob@example.org"}, nil); err == nil || !strings.Contains(err.Error(), "holds 32 bundles") {
		t.Errorf("got %v", err)
	}
	// Nothing is written through a link.
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link.rebuilds")); err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(dir, Attested{Folder: "link.rebuilds"}, me, nil); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("got %v", err)
	}
}
