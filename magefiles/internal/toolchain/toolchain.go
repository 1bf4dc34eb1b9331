// Package toolchain puts the pinned Go, Node, pnpm and Elm on this machine and
// hands over only a toolchain whose every file still has the hash that
// distribution.yaml pins. None of them is the one that happens to be
// installed; the host's go command does nothing but fetch the pinned one.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// ErrChanged is wrapped when an unpacked toolchain differs from its pin.
var ErrChanged = errors.New("toolchain differs from its pin")

// ErrUnpinned is wrapped when no pin fits.
var ErrUnpinned = errors.New("toolchain is not pinned")

// Installed is a toolchain that was found as pinned.
type Installed struct {
	artifact.Tool
	Dir string // its root, absolute
}

// A Box fetches toolchains and keeps them unpacked.
type Box struct {
	Store   *store.Store
	Modules *modules.Client
	NPM     *npm.Client
	Pins    *recipes.Toolchains
	Host    artifact.Platform
}

// PinnedGo is the tool that Go returns, without looking for it.
func (b *Box) PinnedGo(version string) (artifact.Tool, error) {
	pin, ok := b.Pins.FindGo(version)
	if !ok {
		return artifact.Tool{}, fmt.Errorf("go %s: %w", version, ErrUnpinned)
	}
	sum, ok := pin.Hosts[b.Host]
	if !ok {
		return artifact.Tool{}, fmt.Errorf("go %s for %s: %w; add its hash to distribution.yaml", version, b.Host, ErrUnpinned)
	}
	return artifact.Tool{Name: "go", Version: version, Package: goModule(version, b.Host).String(), Hash: sum}, nil
}

func goModule(version string, p artifact.Platform) module.Version {
	return module.Version{Path: "golang.org/toolchain", Version: fmt.Sprintf("v0.0.1-go%s.%s-%s", version, p.OS, p.Arch)}
}

// Go returns the pinned Go, fetched and unpacked if need be and verified file
// by file in any case.
func (b *Box) Go(ctx context.Context, version string) (Installed, error) {
	tool, err := b.PinnedGo(version)
	if err != nil {
		return Installed{}, err
	}
	dir, err := b.unpacked(ctx, tool, func(ctx context.Context, dir string) error {
		m := goModule(version, b.Host)
		got, err := b.Modules.One(ctx, m, tool.Hash)
		if err != nil {
			return err
		}
		if err := modzip.Unzip(dir, m, got.Zip); err != nil {
			return err
		}
		if err := b.writeOrigin(tool, got); err != nil {
			return err
		}
		return makeRunnable(dir)
	})
	if err != nil {
		return Installed{}, fmt.Errorf("unpacking %s: %w", tool.Package, err)
	}
	sum, err := dirhash.HashDir(dir, tool.Package, dirhash.Hash1)
	if err != nil {
		return Installed{}, fmt.Errorf("checking %s: %w", tool.Package, err)
	}
	if sum != tool.Hash {
		return Installed{}, fmt.Errorf("checking %s: %w: %s is %s, not %s; remove it and build again", tool.Package, ErrChanged, dir, sum, tool.Hash)
	}
	return Installed{Tool: tool, Dir: dir}, nil
}

// makeRunnable sets the run bits that a module's zip file cannot carry.
func makeRunnable(dir string) error {
	for _, pattern := range []string{"bin/*", "pkg/tool/*/*"} {
		names, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := os.Chmod(n, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// PinnedNode is the npm package of that version that holds Node for this host.
func (b *Box) PinnedNode(version string) (artifact.Tool, error) {
	return b.program("node", b.Pins.FindNode, version)
}

// PinnedElm is the one that holds Elm's compiler.
func (b *Box) PinnedElm(version string) (artifact.Tool, error) {
	return b.program("elm", b.Pins.FindElm, version)
}

func (b *Box) program(name string, find func(string) (recipes.ProgramToolchain, bool), version string) (artifact.Tool, error) {
	pin, ok := find(version)
	if !ok {
		return artifact.Tool{}, fmt.Errorf("%s %s: %w", name, version, ErrUnpinned)
	}
	p, ok := pin.Hosts[b.Host]
	if !ok {
		return artifact.Tool{}, fmt.Errorf("%s %s for %s: %w: this web interface can be built on a platform of distribution.yaml's list alone", name, version, b.Host, ErrUnpinned)
	}
	return artifact.Tool{Name: name, Version: version, Package: p.Package + "@" + version, Hash: p.Integrity}, nil
}

// PinnedPnpm is the tool that Pnpm returns, without looking for it.
func (b *Box) PinnedPnpm(version string) (artifact.Tool, error) {
	pin, ok := b.Pins.FindPnpm(version)
	if !ok {
		return artifact.Tool{}, fmt.Errorf("pnpm %s: %w", version, ErrUnpinned)
	}
	return artifact.Tool{Name: "pnpm", Version: version, Package: "pnpm@" + version, Hash: pin.Integrity}, nil
}

// Pinned is what runs to make a web interface, by name. Nothing runs for one that is
// taken, or where there is none.
func (b *Box) Pinned(ui *recipes.UI) ([]artifact.Tool, error) {
	var tools []artifact.Tool
	var failed error
	add := func(t artifact.Tool, err error) {
		tools, failed = append(tools, t), errors.Join(failed, err)
	}
	switch ui.Kind() {
	case recipes.PnpmUI:
		add(b.PinnedNode(ui.Pnpm.Node))
		add(b.PinnedPnpm(ui.Pnpm.Pnpm))
	case recipes.ElmUI:
		add(b.PinnedElm(ui.Elm.Compiler))
		add(b.PinnedNode(ui.Elm.Node))
	}
	return tools, failed
}

// NPMTool returns a tool that is an npm package, unpacked and verified.
func (b *Box) NPMTool(ctx context.Context, tool artifact.Tool) (Installed, error) {
	name, version, _ := cutLast(tool.Package, "@")
	var tarball string
	dir, err := b.unpacked(ctx, tool, func(ctx context.Context, dir string) (err error) {
		tarball, err = b.NPM.Fetch(ctx, artifact.Package{Name: name, Version: version, Integrity: tool.Hash})
		if err != nil {
			return err
		}
		return npm.Unpack(tarball, dir)
	})
	if err != nil {
		return Installed{}, fmt.Errorf("unpacking %s: %w", tool.Package, err)
	}
	if err := b.checkRecord(tool, dir); err != nil {
		return Installed{}, err
	}
	return Installed{Tool: tool, Dir: dir}, nil
}

// unpacked is the tool's directory in the store, made by fill if it is not
// there. It appears whole or not at all.
func (b *Box) unpacked(ctx context.Context, tool artifact.Tool, fill func(ctx context.Context, dir string) error) (string, error) {
	dir := b.place(tool)
	if isDir(dir) {
		return dir, nil
	}
	unlock, err := b.Store.Lock(ctx, "toolchain-"+filepath.Base(dir))
	if err != nil {
		return "", err
	}
	defer unlock()
	if isDir(dir) {
		return dir, nil
	}
	tmp, remove, err := b.Store.Temp("toolchain")
	if err != nil {
		return "", err
	}
	defer remove()
	tree := filepath.Join(tmp, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	if err := fill(ctx, tree); err != nil {
		return "", err
	}
	if err := b.writeRecord(tool, tree, dir); err != nil {
		return "", err
	}
	return dir, os.Rename(tree, dir)
}

// An npm package's integrity is of its tarball, not of its files, so the hash
// of the unpacked files is recorded when they are made. The record lies
// beside the directory, and names the pin that it stands for.
func (b *Box) writeRecord(tool artifact.Tool, tree, dir string) error {
	sum, err := dirhash.HashDir(tree, tool.Package, dirhash.Hash1)
	if err != nil {
		return err
	}
	return store.WriteFile(dir+".h1", 0o600, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, tool.Hash, sum)
		return err
	})
}

func (b *Box) checkRecord(tool artifact.Tool, dir string) error {
	record, err := os.ReadFile(dir + ".h1")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sum, err := dirhash.HashDir(dir, tool.Package, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("checking %s: %w", tool.Package, err)
	}
	if strings.TrimSpace(string(record)) != tool.Hash+" "+sum {
		return fmt.Errorf("checking %s: %w: %s is not what was unpacked; remove it and %s.h1, and build again", tool.Package, ErrChanged, dir, dir)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// List is every toolchain that is pinned for this host, sorted by name and
// version; Dir is empty where one is not unpacked. Nothing is verified.
func (b *Box) List() ([]Installed, error) {
	var tools []artifact.Tool
	for _, g := range b.Pins.Go {
		if t, err := b.PinnedGo(g.Version); err == nil {
			tools = append(tools, t)
		}
	}
	for _, n := range b.Pins.Node {
		if t, err := b.PinnedNode(n.Version); err == nil {
			tools = append(tools, t)
		}
	}
	for _, e := range b.Pins.Elm {
		if t, err := b.PinnedElm(e.Version); err == nil {
			tools = append(tools, t)
		}
	}
	for _, p := range b.Pins.Pnpm {
		if t, err := b.PinnedPnpm(p.Version); err == nil {
			tools = append(tools, t)
		}
	}
	var all []Installed
	for _, t := range tools {
		i := Installed{Tool: t}
		if dir := b.place(t); isDir(dir) {
			i.Dir = dir
		}
		all = append(all, i)
	}
	return all, nil
}

// place is where a tool is, or will be, unpacked.
func (b *Box) place(tool artifact.Tool) string {
	return b.Store.Dir("toolchains", strings.NewReplacer("/", "_", "@", "-").Replace(tool.Package))
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
