package pipeline

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/patchtest"
	"palisade/patches"
	"palisade/recipes"
)

// A PatchedModule is a module version that recipes have patched, and one of
// the recipes: it says by which hash, and with which Go.
type PatchedModule struct {
	module.Version
	recipe *recipes.Recipe
}

// PatchedModules lists, in the order of the plan, the modules that its recipes
// have patched, each version once; of those with a name of the list asked, by
// path or by the folder of their patches, if that is not empty.
func (p *Plan) PatchedModules(asked string) ([]PatchedModule, error) {
	var all, chosen []PatchedModule
	for _, cell := range p.Cells {
		for _, name := range cell.Recipe.Patches {
			m, _ := cell.Recipe.Lock.Find(name) // Validate saw to it
			if !slices.ContainsFunc(all, func(o PatchedModule) bool { return o.Version == m }) {
				all = append(all, PatchedModule{m, cell.Recipe})
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no component that was chosen has patches", config.ErrUsage)
	}
	if asked == "" {
		return all, nil
	}
	for _, name := range strings.Split(asked, ",") {
		named := func(m PatchedModule) bool { return m.Path == name || recipes.ShortName(m.Path) == name }
		i := slices.IndexFunc(all, named)
		if i < 0 {
			return nil, fmt.Errorf("%w: there are no patches of %q; there are of: %s", config.ErrUsage, name, moduleNames(all))
		}
		for _, m := range all[i:] {
			if named(m) && !slices.Contains(chosen, m) {
				chosen = append(chosen, m)
			}
		}
	}
	return chosen, nil
}

func moduleNames(all []PatchedModule) string {
	var names []string
	for _, m := range all {
		names = append(names, recipes.ShortName(m.Path))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// TestPatches runs upstream's tests of what the patches of m touch.
func (p *Pipeline) TestPatches(ctx context.Context, m PatchedModule) (report patchtest.Report, err error) {
	line := p.Console.Cell("patches of " + m.String())
	defer func() { line.Done(err) }()
	line.Stage("fetching")
	subject, err := p.subject(m.recipe, m.Version)
	if err != nil {
		return patchtest.Report{}, err
	}
	// An interface that pnpm builds is embedded only if a build tag asks for it.
	if kind := m.recipe.UI.Kind(); m.recipe.Module == m.Path && (kind == recipes.BundleUI || kind == recipes.ElmUI) {
		tree, err := p.fetch(ctx, m.recipe)
		if err != nil {
			return patchtest.Report{}, err
		}
		upstream, err := tree.Upstream()
		if err != nil {
			return patchtest.Report{}, err
		}
		// No patch changes what an interface is made of.
		ui, err := p.interfaces.Make(ctx, tree, upstream.Dir, nil)
		if err != nil {
			return patchtest.Report{}, err
		}
		subject.Interface = os.DirFS(ui.Dir)
	}
	for _, name := range m.recipe.Patches {
		if name == m.Path {
			continue
		}
		version, _ := m.recipe.Lock.Find(name) // Validate saw to it
		other, err := p.subject(m.recipe, version)
		if err != nil {
			return patchtest.Report{}, err
		}
		subject.Beside = append(subject.Beside, other)
	}
	golang, err := p.box.Go(ctx, m.recipe.Lock.Go)
	if err != nil {
		return patchtest.Report{}, err
	}
	client, err := p.pinned(ctx, m.recipe)
	if err != nil {
		return patchtest.Report{}, err
	}
	line.Stage("testing")
	bench := &patchtest.Bench{Modules: client, Go: golang, Store: p.store, Require: p.Config.Hermetic}
	return bench.Run(ctx, subject)
}

// subject is a module that r has patched.
func (p *Pipeline) subject(r *recipes.Recipe, m module.Version) (patchtest.Subject, error) {
	series, err := patches.Load(p.workshop.Patches, recipes.ShortName(m.Path), m.Version)
	return patchtest.Subject{Module: m, Sum: r.Lock.Sums[m], Series: series.For(recipes.Variants()[0], r.UI.Kind())}, err
}
