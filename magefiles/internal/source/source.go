// Package source turns a recipe into the source that is compiled: upstream's
// module, confirmed by the checksum database and the lock, then changed by
// patches that apply exactly, then sealed under a module version and a hash
// of its own. A hash other than the one that patched.sum holds is refused, so
// that neither an edited patch nor a web interface that stopped being
// reproducible reaches the compiler unnoticed.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/gitsource"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/webui"
	"palisade/patches"
	"palisade/recipes"
)

// ErrUnsealed is wrapped when a patched module is not what patched.sum says.
var ErrUnsealed = errors.New("patched source is not what the lock says")

// A Tree is a recipe's upstream source and everything it links, fetched and
// checked. Only Fetch makes one.
type Tree struct {
	recipe  *recipes.Recipe
	modules []modules.Module
	commit  *gitsource.Tree // that upstream's module was made of, nil if it was fetched as one
}

// Fetch brings a recipe's modules.
func Fetch(ctx context.Context, c *modules.Client, r *recipes.Recipe) (Tree, error) {
	mods, err := c.All(ctx, r.Lock)
	if err != nil {
		return Tree{}, fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	t := Tree{recipe: r, modules: mods}
	if _, err := t.find(r.Module); err != nil {
		return Tree{}, err
	}
	return t, nil
}

// Recipe is what the tree was fetched for.
func (t Tree) Recipe() *recipes.Recipe { return t.recipe }

// Modules is every module of the lock, sorted by path.
func (t Tree) Modules() []modules.Module { return t.modules }

func (t Tree) find(path string) (modules.Module, error) {
	for _, m := range t.modules {
		if m.Path == path {
			return m, nil
		}
	}
	return modules.Module{}, fmt.Errorf("recipe %s: its lock does not hold module %s", t.recipe.Name, path)
}

// Sealed is one changed module and what changed it.
type Sealed struct {
	From    modules.Module
	To      modules.Sealed
	Patches []artifact.PatchFile
	Added   []artifact.File // by the web interface, sorted
}

// Artifact is s as a manifest names it.
func (s Sealed) Artifact() artifact.Patched {
	return artifact.Patched{
		From:    s.From.Artifact(),
		To:      artifact.Module{Path: s.To.Path, Version: s.To.Version.Version, Sum: s.To.Sum},
		Patches: s.Patches, Added: s.Added,
	}
}

// Patched is source that may be compiled: every change of it is sealed under
// a hash that the lock holds. Only Patch makes one; nothing changed is a
// Patched with nothing in Sealed.
type Patched struct {
	Tree     Tree
	Sealed   []Sealed // in order of module path
	UI       *artifact.UI
	Embedded []artifact.Embedded // what UI was bundled of, sorted by purl; empty where no bundler ran
}

// A Workshop is where source is changed.
type Workshop struct {
	Store        *store.Store
	Distribution *recipes.Distribution
	Patches      fs.FS // rooted at patches/
	UI           WebUI
}

// WebUI makes the web interface of a recipe that has one.
type WebUI interface {
	// Inputs is everything that the interface is made of, but for the source.
	Inputs(r *recipes.Recipe) ([]string, error)
	// Make makes it out of the patched source at dir. What fits refuses is neither
	// kept nor handed on; nil refuses nothing.
	Make(ctx context.Context, t Tree, dir string, fits func(webui.Assets) error) (webui.Assets, error)
}

// Patch applies what variant needs and refuses any result whose hash is not
// in the recipe's patched.sum.
func (w *Workshop) Patch(ctx context.Context, t Tree, variant string) (Patched, error) {
	p, sums, err := w.seal(ctx, t, variant, t.locked)
	if err != nil {
		return Patched{}, err
	}
	for m, sum := range sums {
		if err := t.locked(m, sum); err != nil {
			return Patched{}, fmt.Errorf("recipe %s: %w", t.recipe.Name, err)
		}
	}
	return p, nil
}

// locked refuses a hash of a sealed module that is not the one in patched.sum.
func (t Tree) locked(m module.Version, sum string) error {
	switch locked := t.recipe.Patched[m]; locked {
	case "":
		return fmt.Errorf("%w: %s has no hash of %s; run mage lock %s and look at what changed", ErrUnsealed, t.recipe.PatchedName(), m, t.recipe.Name)
	case sum:
		return nil
	default:
		return fmt.Errorf("%w: %s is %s, but %s says %s; if the change is meant, run mage lock %s", ErrUnsealed, m, sum, t.recipe.PatchedName(), locked, t.recipe.Name)
	}
}

// Sums is what patched.sum ought to hold for variant.
func (w *Workshop) Sums(ctx context.Context, t Tree, variant string) (recipes.Sums, error) {
	_, sums, err := w.seal(ctx, t, variant, func(module.Version, string) error { return nil })
	return sums, err
}

// seal seals what variant changes. A web interface with which the hash is one
// that locked refuses is not kept.
func (w *Workshop) seal(ctx context.Context, t Tree, variant string, locked func(m module.Version, sum string) error) (Patched, recipes.Sums, error) {
	p, sums := Patched{Tree: t}, recipes.Sums{}
	paths, err := w.changes(t, variant)
	if err != nil {
		return Patched{}, nil, err
	}
	for _, c := range paths {
		s, step, err := w.sealOne(ctx, t, c, locked)
		if err != nil {
			return Patched{}, nil, fmt.Errorf("recipe %s: patching %s: %w", t.recipe.Name, c.module.Version, err)
		}
		if step.UI != nil {
			p.UI, p.Embedded = step.UI, step.Embedded
		}
		goMod := module.Version{Path: s.To.Path, Version: s.To.Version.Version + "/go.mod"}
		if sums[goMod], err = goModSum(s.To.GoMod); err != nil {
			return Patched{}, nil, err
		}
		sums[s.To.Version] = s.To.Sum
		p.Sealed = append(p.Sealed, s)
	}
	return p, sums, nil
}

// A change is one module that a variant changes.
type change struct {
	module modules.Module
	to     module.Version
	series patches.Series
	ui     bool
}

// changes lists, in order of module path, what variant changes.
func (w *Workshop) changes(t Tree, variant string) ([]change, error) {
	var all []change
	for _, m := range t.modules {
		c := change{module: m, ui: m.Path == t.recipe.Module && t.recipe.UI != nil}
		for _, p := range t.recipe.Patches {
			if p != m.Path {
				continue
			}
			series, err := patches.Load(w.Patches, recipes.ShortName(p), m.Version.Version)
			if err != nil {
				return nil, fmt.Errorf("recipe %s: %w", t.recipe.Name, err)
			}
			if len(series.Patches) == 0 {
				return nil, fmt.Errorf("recipe %s: it names patches for %s, but patches/%s/%s has none", t.recipe.Name, m.Version, recipes.ShortName(p), m.Version.Version)
			}
			c.series = series.For(variant, t.recipe.UI.Kind())
		}
		if len(c.series.Patches) == 0 && !c.ui {
			continue
		}
		version, err := t.recipe.SealedVersion(w.Distribution, m.Version, variant)
		if err != nil {
			return nil, err
		}
		c.to = module.Version{Path: m.Path, Version: version}
		all = append(all, c)
	}
	return all, nil
}

// sealedStep is what sealing leaves in the store, beside the tree itself.
type sealedStep struct {
	Sum string       `json:"sum"`
	UI  *artifact.UI `json:"ui,omitempty"`
	// Added is what the web interface brought, Embedded what it was bundled of.
	Added    []artifact.File     `json:"added"`
	Embedded []artifact.Embedded `json:"embedded"`
}

func (w *Workshop) sealOne(ctx context.Context, t Tree, c change, locked func(module.Version, string) error) (Sealed, sealedStep, error) {
	inputs := []string{c.module.Sum, c.to.String()}
	if t.commit != nil {
		inputs = append(inputs, t.commit.Hash)
	}
	s := Sealed{From: c.module}
	for _, p := range c.series.Patches {
		inputs = append(inputs, p.Digest.String())
		s.Patches = append(s.Patches, artifact.PatchFile{Name: p.Name, Digest: p.Digest})
	}
	if c.ui {
		ui, err := w.UI.Inputs(t.recipe)
		if err != nil {
			return Sealed{}, sealedStep{}, err
		}
		inputs = append(append(inputs, "ui"), ui...)
	}
	step, entry, _, err := store.Do(ctx, w.Store, store.NewKey("seal-2", inputs...), func(ctx context.Context, dir string) (sealedStep, error) {
		return w.make(ctx, t, c, filepath.Join(dir, "tree"), locked)
	})
	if err != nil {
		return Sealed{}, sealedStep{}, err
	}
	tree := filepath.Join(entry.Dir, "tree")
	goMod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		return Sealed{}, sealedStep{}, err
	}
	s.Added = step.Added
	s.To = modules.Sealed{Version: c.to, Sum: step.Sum, Dir: tree, GoMod: goMod}
	return s, step, nil
}

// make lays out the changed module at dir.
func (w *Workshop) make(ctx context.Context, t Tree, c change, dir string, locked func(module.Version, string) error) (sealedStep, error) {
	var step sealedStep
	if err := Unpack(dir, c.module, c.series); err != nil {
		return step, err
	}
	if c.ui {
		whole, remove, err := w.whole(ctx, t, c, dir)
		if err != nil {
			return step, err
		}
		defer remove()
		assets, err := w.UI.Make(ctx, t, whole, func(a webui.Assets) error {
			sum, err := sumWith(dir, c.to, a)
			if err != nil {
				return err
			}
			return locked(c.to, sum)
		})
		if err != nil {
			return step, fmt.Errorf("building the web interface: %w", err)
		}
		if err := overlay(dir, assets); err != nil {
			return step, fmt.Errorf("adding the web interface: %w", err)
		}
		step.UI, step.Added, step.Embedded = &assets.UI, assets.Files, assets.Embedded
	}
	var err error
	step.Sum, err = dirhash.HashDir(dir, c.to.String(), dirhash.Hash1)
	return step, err
}

// Unpack lays out at dir, which is empty or not there, what m becomes by its
// series. It is not sealed: nothing that ships is compiled of it.
func Unpack(dir string, m modules.Module, series patches.Series) error {
	if err := unzip(dir, m); err != nil {
		return err
	}
	return apply(dir, series)
}

// unzip unpacks a module's zip file after holding it against the lock.
func unzip(dir string, m modules.Module) error {
	sum, err := dirhash.HashZip(m.Zip, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("checking %s: %w: remove %s and build again", m.Version, err, m.Zip)
	}
	if sum != m.Sum {
		return fmt.Errorf("checking %s: %w: %s is %s, not %s; remove it and build again", m.Version, modules.ErrChanged, m.Zip, sum, m.Sum)
	}
	return modzip.Unzip(dir, m.Version, m.Zip)
}

func apply(dir string, series patches.Series) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return patches.Apply(root, series)
}

// sumWith is the hash of what dir becomes when assets are laid over it.
func sumWith(dir string, to module.Version, assets webui.Assets) (string, error) {
	names, err := dirhash.DirFiles(dir, to.String())
	if err != nil {
		return "", err
	}
	places := map[string]string{}
	for _, name := range names {
		places[name] = filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(name, to.String())))
	}
	for _, f := range assets.Files {
		name := path.Join(to.String(), f.Name)
		if _, ok := places[name]; ok {
			return "", &fs.PathError{Op: "adding the web interface", Path: f.Name, Err: fs.ErrExist}
		}
		names, places[name] = append(names, name), filepath.Join(assets.Dir, filepath.FromSlash(f.Name))
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return os.Open(places[name]) })
}

// overlay copies a web interface's files into dir. None may be there already.
func overlay(dir string, assets webui.Assets) error {
	for _, f := range assets.Files {
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := copyNew(to, filepath.Join(assets.Dir, filepath.FromSlash(f.Name))); err != nil {
			return err
		}
	}
	return nil
}

func copyNew(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// Verify reads every file that is about to be compiled and refuses one that
// differs from its hash.
func (p Patched) Verify(ctx context.Context, c *modules.Client) error {
	if err := c.Verify(ctx, p.Tree.modules); err != nil {
		return err
	}
	for _, s := range p.Sealed {
		sum, err := dirhash.HashDir(s.To.Dir, s.To.String(), dirhash.Hash1)
		if err != nil {
			return fmt.Errorf("checking %s: %w", s.To.Version, err)
		}
		if sum != s.To.Sum {
			return fmt.Errorf("checking %s: %w: %s was changed after it was sealed; remove it and build again", s.To.Version, ErrUnsealed, filepath.Dir(filepath.Dir(s.To.Dir)))
		}
	}
	return nil
}

// goModSum is go.sum's hash of a go.mod file.
func goModSum(data []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

// Upstream is the module that the recipe is about.
func (t Tree) Upstream() (modules.Module, error) { return t.find(t.recipe.Module) }
