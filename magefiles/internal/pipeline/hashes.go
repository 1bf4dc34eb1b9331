package pipeline

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/store"
)

// A hashed file is one whose hashes a document names.
type hashed struct {
	name string
	open func() (io.ReadCloser, error)
	want artifact.Digest // that the record has of it
	keep func(spdx.Hashes)
}

// hash reads every file again whose hashes a document names, and refuses one
// that is not what was recorded.
func (p *Pipeline) hash(ctx context.Context, in *spdx.Input, a packed) error {
	in.Members, in.Patches, in.Added = map[string]spdx.Member{}, map[string]spdx.Hashes{}, map[string]spdx.Hashes{}
	place := func(elem ...string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return os.Open(filepath.Join(elem...)) }
	}
	files := []hashed{{in.Record.Name, place(a.files.Dir, in.Record.Name), in.Record.Digest, func(h spdx.Hashes) { in.Artifact = h }}}
	for _, m := range in.Record.Members {
		content := a.contents[m.Name]
		member := spdx.Member{Whose: content.whose}
		if content.whose == spdx.Own {
			data, err := os.ReadFile(content.Content)
			if err != nil {
				return err
			}
			member.Copyright = licences.Copyrights(data)
		}
		files = append(files, hashed{m.Name, place(content.Content), m.Digest, func(h spdx.Hashes) {
			member.Hashes = h
			in.Members[m.Name] = member
		}})
	}
	for i, changed := range in.Record.Patched {
		for _, patch := range changed.Patches {
			open := func() (io.ReadCloser, error) { return p.workshop.Patches.Open(patch.Name) }
			files = append(files, hashed{patch.Name, open, patch.Digest, func(h spdx.Hashes) { in.Patches[patch.Name] = h }})
		}
		tree := a.licensed.Source.Sealed[i].To.Dir
		for _, f := range changed.Added {
			files = append(files, hashed{f.Name, place(tree, filepath.FromSlash(f.Name)), f.Digest, func(h spdx.Hashes) { in.Added[f.Name] = h }})
		}
	}
	results := make([]spdx.Hashes, len(files))
	parent := ctx
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, p.Config.CPUs))
	for i, f := range files {
		g.Go(func() (err error) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			results[i], err = f.read()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return blame(parent, err, a.files, a.licensed.Files)
	}
	for i, f := range files {
		f.keep(results[i])
	}
	return nil
}

// together is hashes of the same bytes, each computed on a processor of its
// own: SHA-512 takes longer than the others, and one binary than all else.
type together []hash.Hash

func (t together) Write(p []byte) (int, error) {
	var wg sync.WaitGroup
	for _, h := range t {
		wg.Go(func() { h.Write(p) }) // never returns an error
	}
	wg.Wait()
	return len(p), nil
}

func (f hashed) read() (spdx.Hashes, error) {
	in, err := f.open()
	if err != nil {
		return spdx.Hashes{}, err
	}
	defer in.Close()
	// SPDX 2.3, 8.4 demands a SHA-1 of every file; nothing here trusts it.
	sums := together{sha1.New(), sha256.New(), sha512.New()}
	if _, err := io.CopyBuffer(sums, struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		return spdx.Hashes{}, fmt.Errorf("reading %s: %w", f.name, err)
	}
	text := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	if text(sums[1]) != f.want.Hex() {
		return spdx.Hashes{}, fmt.Errorf("%s changed after it was recorded: its SHA-256 is %s, not %s: %w; build again", f.name, text(sums[1]), f.want.Hex(), store.ErrCorrupt)
	}
	return spdx.Hashes{SHA1: text(sums[0]), SHA512: text(sums[2])}, nil
}
