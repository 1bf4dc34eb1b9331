package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// interfaces makes web interfaces, once for each set of inputs.
type interfaces struct{ pipeline *Pipeline }

// Inputs is the script and the toolchains, or the bundle.
func (i *interfaces) Inputs(r *recipes.Recipe) ([]string, error) {
	if b := r.UI.Bundle; b != nil {
		return []string{"bundle", b.Module, b.Version, b.Sum}, nil
	}
	node, pnpm, err := i.tools(r.UI.Pnpm)
	if err != nil {
		return nil, err
	}
	script, err := fs.ReadFile(r.Dir, r.UI.Pnpm.Script)
	if err != nil {
		return nil, err
	}
	// What was made without a sandbox is never taken where one is there or asked for.
	sandboxed := fmt.Sprint(i.pipeline.Config.Hermetic, sandbox.Available() == nil)
	return []string{"pnpm", r.UI.Pnpm.Dir, string(script), node.Hash, pnpm.Hash, sandboxed}, nil
}

func (i *interfaces) tools(p *recipes.Pnpm) (node, pnpm artifact.Tool, err error) {
	if node, err = i.pipeline.box.PinnedNode(p.Node); err != nil {
		return
	}
	pnpm, err = i.pipeline.box.PinnedPnpm(p.Pnpm)
	return
}

// Make makes the interface of t's recipe out of the patched source at dir. It
// is kept under the hash of the interface's own source, so that a patch of
// other files does not build it again. What fits refuses is neither kept, wherever
// it was made, nor handed on; nil refuses nothing.
func (i *interfaces) Make(ctx context.Context, t source.Tree, dir string, fits func(webui.Assets) error) (webui.Assets, error) {
	r := t.Recipe()
	inputs, err := i.Inputs(r)
	if err != nil {
		return webui.Assets{}, err
	}
	if fits == nil {
		fits = func(webui.Assets) error { return nil }
	}
	share, produce := store.Shared[madeUI], i.pnpm
	if r.UI.Bundle != nil { // which lies in a module, and is there as soon as from elsewhere
		share, produce = alone[madeUI], i.bundle
	} else {
		sum, err := dirhash.HashDir(filepath.Join(dir, filepath.FromSlash(r.UI.Pnpm.Dir)), "ui", dirhash.Hash1)
		if err != nil {
			return webui.Assets{}, err
		}
		inputs = append(inputs, sum)
	}
	elsewhere := func(made madeUI, left store.Entry) error {
		if err := i.checkTaken(t, dir, made.assets(left)); err != nil {
			return err
		}
		return fits(made.assets(left))
	}
	made, entry, _, err := share(ctx, i.pipeline.store, store.NewKey("webui-2", inputs...), elsewhere, func(ctx context.Context, out string) (madeUI, error) {
		assets, err := produce(ctx, t, dir, out)
		if err == nil {
			err = fits(assets)
		}
		return madeUI{UI: assets.UI, Embedded: assets.Embedded}, err
	})
	if err != nil {
		return webui.Assets{}, err
	}
	return made.assets(entry), entry.Verify(ctx)
}

// alone is store.Shared for what is not shared.
func alone[T any](ctx context.Context, s *store.Store, key store.Key, _ func(T, store.Entry) error, produce func(context.Context, string) (T, error)) (T, store.Entry, bool, error) {
	return store.Do(ctx, s, key, produce)
}

// checkTaken refuses what another machine says of an interface that this one would
// not say. Its bytes are held against patched.sum, with all that they are laid over.
func (i *interfaces) checkTaken(t source.Tree, dir string, said webui.Assets) error {
	upstream, err := t.Upstream()
	if err != nil {
		return err
	}
	if err := webui.CheckPnpm(webui.PnpmInput{
		Module: upstream.Artifact(), Source: dir, UI: t.Recipe().UI.Pnpm.Dir, Host: i.pipeline.Config.Host,
	}, said); err != nil {
		return err
	}
	// Workers make no interfaces.
	return gobuild.CheckSandbox(*said.UI.Report, i.pipeline.Config.Hermetic || sandbox.Available() == nil, "")
}

// madeUI is what making an interface leaves in the store, beside its files.
type madeUI struct {
	UI       artifact.UI         `json:"ui"`
	Embedded []artifact.Embedded `json:"embedded"`
}

func (m madeUI) assets(left store.Entry) webui.Assets {
	return webui.Assets{Dir: left.Dir, Files: left.Files, UI: m.UI, Embedded: m.Embedded}
}

func (i *interfaces) bundle(ctx context.Context, t source.Tree, _, out string) (webui.Assets, error) {
	b := t.Recipe().UI.Bundle
	m, err := i.pipeline.hostGo.One(ctx, module.Version{Path: b.Module, Version: b.Version}, b.Sum)
	if err != nil {
		return webui.Assets{}, err
	}
	return webui.Bundle(ctx, webui.BundleInput{Module: m.Artifact(), Source: m.Dir, Out: out})
}

func (i *interfaces) pnpm(ctx context.Context, t source.Tree, dir, out string) (webui.Assets, error) {
	p, r := i.pipeline, t.Recipe()
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return webui.Assets{}, err
	}
	defer p.slots.Release(1)
	nodeTool, pnpmTool, err := i.tools(r.UI.Pnpm)
	if err != nil {
		return webui.Assets{}, err
	}
	node, err := p.box.NPMTool(ctx, nodeTool)
	if err != nil {
		return webui.Assets{}, err
	}
	pnpm, err := p.box.NPMTool(ctx, pnpmTool)
	if err != nil {
		return webui.Assets{}, err
	}
	scratch, remove, err := p.store.Temp("webui")
	if err != nil {
		return webui.Assets{}, err
	}
	defer remove()
	upstream, err := t.Upstream()
	if err != nil {
		return webui.Assets{}, err
	}
	script := filepath.Join(scratch, r.UI.Pnpm.Script)
	data, err := fs.ReadFile(r.Dir, r.UI.Pnpm.Script)
	if err != nil {
		return webui.Assets{}, err
	}
	if err := os.WriteFile(script, data, 0o644); err != nil {
		return webui.Assets{}, err
	}
	return webui.Pnpm(ctx, webui.PnpmInput{
		Module: upstream.Artifact(), Source: dir, UI: r.UI.Pnpm.Dir, Script: script,
		Node: node.Dir, Pnpm: pnpm.Dir, Host: p.Config.Host, NPM: p.box.NPM,
		Scratch: scratch, Out: out, Epoch: r.Released, Require: p.Config.Hermetic,
	})
}
