package pipeline

import (
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/archive"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
)

// The hashes are those of FIPS 180's examples, and of what is read in more than
// one piece.
func TestHashes(t *testing.T) {
	for _, tt := range []struct{ content, sha1, sha512 string }{
		{"abc", "a9993e364706816aba3e25717850c26c9cd0d89d",
			"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
		{"", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
			"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
		{strings.Repeat("a", 1e6), "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
			"e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"},
		{strings.Repeat("a", 3<<20), "95fabf9f3f6a52aaadcf57e61a66fd56f893095b",
			"477c01d8f28d9bd805222d9aaa27fd71a037eb3527621dabfe2481e65f4612c8066b452871bbe0fa712baebae22417be27b5c2325d9a4e08f52ac54b35716d1f"},
	} {
		f := hashed{name: "file", want: artifact.DigestBytes([]byte(tt.content)), open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(tt.content)), nil
		}}
		if got, err := f.read(); err != nil || got != (spdx.Hashes{SHA1: tt.sha1, SHA512: tt.sha512}) {
			t.Errorf("%d bytes: %+v, %v", len(tt.content), got, err)
		}
	}
}

// packing is an archive of one member, with one patch and one added file, each
// of which holds "of " and its name.
func packing(t *testing.T) (*Pipeline, packed, *spdx.Input) {
	t.Helper()
	put := func(name string) (dir string, f artifact.File) {
		dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir, artifact.File{Name: name, Mode: "0644", Size: int64(len("of " + name)), Digest: artifact.DigestBytes([]byte("of " + name))}
	}
	archived, tgz := put("bell.tar.gz")
	compiled, bell := put("bell")
	tree, css := put("ui.css")
	series, patch := put("0001-ring.patch")
	p := &Pipeline{Config: here(t), workshop: &source.Workshop{Patches: os.DirFS(series)}}
	a := packed{
		files:    store.Entry{Dir: archived, Files: []artifact.File{tgz}},
		contents: map[string]content{"bell-1/bell": {Member: archive.Member{Content: filepath.Join(compiled, "bell")}, whose: spdx.Compiled}},
	}
	a.licensed.Files = store.Entry{Dir: compiled, Files: []artifact.File{bell}}
	a.licensed.Source.Sealed = []source.Sealed{{To: modules.Sealed{Dir: tree}}}
	bell.Name = "bell-1/bell"
	return p, a, &spdx.Input{Record: artifact.Record{
		Name: tgz.Name, Digest: tgz.Digest, Members: []artifact.File{bell},
		Patched: []artifact.Patched{{Patches: []artifact.PatchFile{{Name: patch.Name, Digest: patch.Digest}}, Added: []artifact.File{css}}},
	}}
}

func TestHash(t *testing.T) {
	p, a, in := packing(t)
	if err := p.hash(t.Context(), in, a); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]spdx.Hashes{
		"bell.tar.gz": in.Artifact, "bell": in.Members["bell-1/bell"].Hashes, "ui.css": in.Added["ui.css"], "0001-ring.patch": in.Patches["0001-ring.patch"],
	} {
		one, two := sha1.Sum([]byte("of "+name)), sha512.Sum512([]byte("of "+name))
		if want := (spdx.Hashes{SHA1: hex.EncodeToString(one[:]), SHA512: hex.EncodeToString(two[:])}); got != want {
			t.Errorf("%s has %+v, want %+v", name, got, want)
		}
	}
	if got := in.Members["bell-1/bell"].Whose; got != spdx.Compiled {
		t.Errorf("the binary is %q", got)
	}
}

// What is described is what was recorded, or nothing is described; and where
// the store can say what to remove, it does.
func TestHashRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		at   func(*Pipeline, packed) string
		want string
	}{
		"bell.tar.gz":     {func(_ *Pipeline, a packed) string { return a.files.Dir }, "; remove "},
		"bell":            {func(_ *Pipeline, a packed) string { return a.licensed.Files.Dir }, "; remove "},
		"ui.css":          {func(_ *Pipeline, a packed) string { return a.licensed.Source.Sealed[0].To.Dir }, "ui.css changed after it was recorded"},
		"0001-ring.patch": {func(p *Pipeline, _ packed) string { return fmt.Sprint(p.workshop.Patches) }, "0001-ring.patch changed after it was recorded"},
	} {
		p, a, in := packing(t)
		file := filepath.Join(tt.at(p, a), name)
		if err := os.WriteFile(file, []byte("Of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		err := p.hash(t.Context(), in, a)
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), tt.want) || in.Artifact != (spdx.Hashes{}) {
			t.Errorf("%s changed: %v, %+v", name, err, in.Artifact)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := p.hash(t.Context(), in, a); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s removed: %v", name, err)
		}
	}
	p, a, in := packing(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.hash(ctx, in, a); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
