package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/elm"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// interfaces makes web interfaces, once for each set of inputs.
type interfaces struct{ pipeline *Pipeline }

// Inputs is upstream's module, the script, the toolchains and the packages of Elm, or
// the bundle.
func (i *interfaces) Inputs(r *recipes.Recipe) ([]string, error) {
	kind := r.UI.Kind()
	if b := r.UI.Bundle; b != nil {
		return []string{kind, b.Module, b.Version, b.Sum}, nil
	}
	tools, err := i.tools(r)
	if err != nil {
		return nil, err
	}
	dir, script := r.UI.Script()
	text, err := fs.ReadFile(r.Dir, script)
	if err != nil {
		return nil, err
	}
	// What was made without a sandbox is never taken where one is there or asked for.
	sandboxed := fmt.Sprint(i.pipeline.Config.Hermetic, sandbox.Available() == nil)
	inputs := []string{
		kind, r.Module, r.Lock.Upstream, r.Lock.Sums[module.Version{Path: r.Module, Version: r.Lock.Upstream}],
		r.Released.UTC().Format(time.RFC3339), dir, string(text), string(webui.Observer), sandboxed,
	}
	for _, t := range tools {
		inputs = append(inputs, t.Hash)
	}
	if r.UI.Elm != nil {
		for _, p := range r.UI.Elm.Packages {
			inputs = append(inputs, p.Pins()...)
		}
	}
	return inputs, nil
}

// tools is what runs to make r's interface, by name; nothing where none is made.
func (i *interfaces) tools(r *recipes.Recipe) ([]artifact.Tool, error) {
	return i.pipeline.box.Pinned(r.UI)
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
	if fits == nil { // and is not what a build takes
		fits = func(webui.Assets) error { return nil }
		inputs = append(inputs, "held against nothing")
	}
	share, produce := alone[madeUI], i.bundle // which lies in a module, and is there as soon as from elsewhere
	if r.UI.Pnpm != nil {
		share, produce = store.Shared[madeUI], i.pnpm
	} else if r.UI.Elm != nil { // which takes seconds
		produce = i.elm
	}
	if r.UI.Bundle == nil {
		folder, _ := r.UI.Script()
		sum, err := dirhash.HashDir(filepath.Join(dir, filepath.FromSlash(folder)), "ui", dirhash.Hash1)
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
	if err := webui.CheckPnpm(webui.PnpmInput{Input: webui.Input{
		Module: upstream.Artifact(), Source: dir, UI: t.Recipe().UI.Pnpm.Dir, Host: i.pipeline.Config.Host,
	}}, said); err != nil {
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
	return i.byScript(ctx, t, dir, out, func(in webui.Input, tools map[string]string) (webui.Assets, error) {
		return webui.Pnpm(ctx, webui.PnpmInput{Input: in, Pnpm: tools["pnpm"]})
	})
}

func (i *interfaces) elm(ctx context.Context, t source.Tree, dir, out string) (webui.Assets, error) {
	packages, err := i.elmPackages(ctx, t.Recipe())
	if err != nil {
		return webui.Assets{}, err
	}
	return i.byScript(ctx, t, dir, out, func(in webui.Input, tools map[string]string) (webui.Assets, error) {
		return webui.Elm(ctx, webui.ElmInput{Input: in, Compiler: tools["elm"], Packages: packages})
	})
}

// elmPackages fetches every package of Elm that r names, or says which of them are
// not to be had.
func (i *interfaces) elmPackages(ctx context.Context, r *recipes.Recipe) ([]webui.ElmPackage, error) {
	locked := r.UI.Elm.Packages
	wanted := make([]recipes.Git, len(locked))
	for n, p := range locked {
		wanted[n] = p.Git
	}
	trees, err := i.pipeline.commits.FetchAll(ctx, wanted)
	if err != nil {
		return nil, err
	}
	packages := make([]webui.ElmPackage, len(trees))
	for n, t := range trees {
		packages[n] = webui.ElmPackage{
			Package: elm.Package{Name: locked[n].Package, Version: locked[n].Version, Dir: t.Dir}, Commit: t.Artifact(),
		}
	}
	return packages, nil
}

// byScript makes an interface with a script of the recipe's, for which the tools
// that the recipe names are unpacked, each in the folder that tools has by name.
func (i *interfaces) byScript(ctx context.Context, t source.Tree, dir, out string, make func(in webui.Input, tools map[string]string) (webui.Assets, error)) (webui.Assets, error) {
	p, r := i.pipeline, t.Recipe()
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return webui.Assets{}, err
	}
	defer p.slots.Release(1)
	pinned, err := i.tools(r)
	if err != nil {
		return webui.Assets{}, err
	}
	tools := map[string]string{}
	for _, tool := range pinned {
		unpacked, err := p.box.NPMTool(ctx, tool)
		if err != nil {
			return webui.Assets{}, err
		}
		tools[tool.Name] = unpacked.Dir
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
	folder, name := r.UI.Script()
	script := filepath.Join(scratch, name)
	data, err := fs.ReadFile(r.Dir, name)
	if err != nil {
		return webui.Assets{}, err
	}
	if err := os.WriteFile(script, data, 0o644); err != nil {
		return webui.Assets{}, err
	}
	return make(webui.Input{
		Module: upstream.Artifact(), Source: dir, UI: folder, Script: script, Node: tools["node"],
		Host: p.Config.Host, NPM: p.box.NPM, Scratch: scratch, Out: out, Epoch: r.Released, Require: p.Config.Hermetic,
	}, tools)
}
