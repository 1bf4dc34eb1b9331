package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/attestations/spdx"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/update"
	"palisade/patches"
	"palisade/recipes"
)

// ErrDrift is wrapped when a patch does not apply to what a recipe is raised to.
var ErrDrift = errors.New("patches do not apply")

// A raiser raises a recipe in a copy of the checkout.
type raiser struct {
	*session
	recipe *recipes.Recipe
	copy   config.Config // as ours, but for Root
	files  []update.File // that the checkout is to have
	report raised
}

// raise raises the one recipe of the plan, and prints what became of it. Nothing
// is written to the checkout unless all of it works, or the request says so; and
// nothing once ctx has ended.
func (s *session) raise(ctx context.Context, req UpdateRequest) error {
	r := s.plan.Cells[0].Recipe
	to, err := s.aim(ctx, r, req.Version)
	if err != nil {
		return err
	}
	if to.Version == "" {
		s.console.Notef("%s: %s is the newest that is to be had", r.Name, r.Version)
		return nil
	}
	store := s.pipeline.Modules().Store
	unlock, err := store.Lock(ctx, "update")
	if err != nil {
		return err
	}
	defer unlock()
	dir, remove, err := store.Temp("update")
	if err != nil {
		return err
	}
	defer remove()
	if err := checkout.Copy(ctx, s.config.Root, s.config.Git, dir); err != nil {
		return err
	}
	work := &raiser{session: s, recipe: r, copy: *s.config}
	work.copy.Root = dir
	work.report = newRaised(r.Name, r.Version)
	failed := work.run(ctx, to)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed == nil || req.Write && len(work.files) > 0 {
		if err := work.write(ctx); err != nil {
			return err
		}
	}
	if failed != nil {
		work.report.Stopped = failed.Error()
	}
	if err := work.print(req.Output); err != nil {
		return err
	}
	if failed != nil && len(work.report.Written) == 0 {
		failed = fmt.Errorf("%w; nothing was written: -write writes what there is, to go on from", failed)
	}
	if errors.Is(failed, ErrDrift) {
		return failure{failed, statusRefused}
	}
	return failed
}

// aim is what r is raised to: the version that was asked for, which may be
// written as upstream or as its module counts; by default the newest, and the
// zero Version if there is none.
func (s *session) aim(ctx context.Context, r *recipes.Recipe, asked string) (update.Version, error) {
	var named []string
	if asked != "" {
		release, ok := r.Release(asked)
		if !strings.HasPrefix(asked, "v") {
			release, ok = r.Release(r.ModuleVersion(asked))
		}
		if !ok {
			return update.Version{}, fmt.Errorf("%w: -version=%q: it is not a release of %s: of the form 1.2.3, and no pre-release", config.ErrUsage, asked, r.Module)
		}
		if semver.Compare("v"+release, "v"+r.Version) <= 0 {
			return update.Version{}, fmt.Errorf("%w: -version=%s: %s is at %s already; what is older is git's to bring back", config.ErrUsage, asked, r.Name, r.Version)
		}
		named = []string{r.ModuleVersion(release)}
	}
	client := &update.Client{Modules: s.pipeline.Modules()}
	f, err := s.ask(ctx, r.Name, func(ctx context.Context) (update.Found, error) {
		return client.Module(ctx, r.Module, r.Lock.Upstream, later(r), named...)
	})
	if err != nil {
		return update.Version{}, err
	}
	if asked == "" {
		v, _ := f.Newest()
		return v, nil
	}
	for _, v := range f.Newer {
		if v.Version == named[0] {
			return v, nil
		}
	}
	for i, refusal := range slices.Concat(f.Withdrawn, f.Unconfirmed) {
		if refusal.Version == named[0] {
			what := "is retracted"
			if i >= len(f.Withdrawn) {
				what = "does not count"
			}
			return update.Version{}, fmt.Errorf("raising %s: %s %s %s: %s; mage update tells what there is", r.Name, r.Module, refusal.Version, what, refusal.Why)
		}
	}
	return update.Version{}, fmt.Errorf("raising %s: %w: %s %s", r.Name, update.ErrUnknown, r.Module, named[0])
}

// run raises the copy step by step. What it got to is in w.files and w.report.
func (w *raiser) run(ctx context.Context, to update.Version) error {
	r := w.recipe
	release, _ := r.Release(to.Version) // later offered no other
	w.report.To = release
	text, err := fs.ReadFile(r.Dir, "recipe.yaml")
	if err != nil {
		return err
	}
	if text, err = update.Raise(text, release, to.Released, to.Commit); err != nil {
		return fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	if r.Commit != "" && to.Commit == "" {
		w.note("recipe.yaml names no commit any more, for the module proxy names none of %s", to.Version)
	}
	goMod, err := update.RaiseGoMod(r.Lock.GoMod, r.Module, to.Version)
	if err != nil {
		return fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	next := *r
	next.Version, next.Revision, next.Released, next.Lock.GoMod, next.Lock.Upstream = release, 1, to.Released, goMod, to.Version
	if err := w.put(w.name("recipe.yaml"), text, w.name("go.mod"), goMod); err != nil {
		return err
	}
	p, err := pipeline.Open(&w.copy, w.console, w.plan)
	if err != nil {
		return err
	}
	tidied, err := p.Tidied(ctx, &next)
	if err != nil {
		return err
	}
	if err := w.put(w.name("go.mod"), tidied.Lock.GoMod, w.name("go.sum"), tidied.Lock.GoSum); err != nil {
		return err
	}
	if err := w.try(ctx, p, tidied); err != nil {
		return err
	}
	lock, err := p.Lock(ctx, tidied)
	if err != nil {
		return err
	}
	sums, err := recipes.ParseSums("go.sum", lock.GoSum)
	if err != nil {
		return err
	}
	w.report.Locks = append(recipes.DiffSums(r.Lock.Sums, sums), recipes.DiffSums(r.Patched, lock.Patched)...)
	patched := lock.Patched.Encode()
	if len(patched) == 0 {
		patched = nil
	}
	if err := w.put(w.name("go.mod"), lock.GoMod, w.name("go.sum"), lock.GoSum, w.name(r.PatchedName()), patched); err != nil {
		return err
	}
	return w.compare(ctx)
}

func (w *raiser) name(file string) string { return path.Join("recipes", w.recipe.Name, file) }

// put gives the copy files, pairs of name and content, and keeps them for the
// checkout.
func (w *raiser) put(pairs ...any) error {
	for pair := range slices.Chunk(pairs, 2) {
		f := update.File{Name: pair[0].(string), Data: pair[1].([]byte)}
		w.files = slices.DeleteFunc(w.files, func(o update.File) bool { return o.Name == f.Name })
		w.files = append(w.files, f)
		to := filepath.Join(w.copy.Root, filepath.FromSlash(f.Name))
		if f.Data == nil {
			if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, f.Data, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// try tries the series of each module that the recipe patches and that changed
// with it: that of its new version if there is one, else a copy of the former's.
func (w *raiser) try(ctx context.Context, p *pipeline.Pipeline, r *recipes.Recipe) error {
	drifts := 0
	root := os.DirFS(filepath.Join(w.copy.Root, "patches"))
	for _, modulePath := range r.Patches {
		from, _ := w.recipe.Lock.Find(modulePath) // Validate saw to it
		to, ok := r.Lock.Find(modulePath)
		if !ok {
			return fmt.Errorf("recipe %s: it names patches for %s, which %s no longer links: take it out of recipe.yaml", r.Name, modulePath, w.report.To)
		}
		if from == to {
			continue
		}
		name := recipes.ShortName(modulePath)
		if _, err := fs.Stat(root, path.Join(name, to.Version)); errors.Is(err, fs.ErrNotExist) {
			if err := w.carry(root, path.Join(name, from.Version), path.Join(name, to.Version)); err != nil {
				return err
			}
		}
		series, err := patches.Load(root, name, to.Version)
		if err == nil {
			err = w.leave(from)
		}
		if err != nil {
			return err
		}
		trials, err := p.TryPatches(ctx, r, modulePath, series)
		if err != nil {
			return err
		}
		for _, t := range trials {
			one := tried{Patch: t.Patch.Name, Applies: len(t.Errors) == 0}
			for _, e := range t.Errors {
				one.Drifts = append(one.Drifts, placeOf(e))
			}
			if !one.Applies {
				drifts++
			}
			w.report.Patches = append(w.report.Patches, one)
		}
	}
	if drifts > 0 {
		return fmt.Errorf("%w: %d of %d to what %s %s links: make each anew against that source, or drop it if its Drop-When has come true", ErrDrift, drifts, len(w.report.Patches), r.Name, w.report.To)
	}
	return nil
}

func placeOf(e *patches.ApplyError) string {
	if e.Hunk == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s hunk %d at line %d: %v", e.File, e.Hunk, e.Line, e.Err)
}

// carry copies a series to the folder of another version.
func (w *raiser) carry(root fs.FS, from, to string) error {
	entries, err := fs.ReadDir(root, from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(root, path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := w.put(path.Join("patches", to, e.Name()), data); err != nil {
			return err
		}
	}
	w.report.Series = append(w.report.Series, from+" -> "+to)
	return nil
}

// leave tells of a series that no other recipe uses.
func (w *raiser) leave(m module.Version) error {
	plan, err := pipeline.NewPlan(w.config, Selection{Platform: "all"})
	if err != nil {
		return err
	}
	for _, cell := range plan.Cells {
		other, _ := cell.Recipe.Lock.Find(m.Path)
		if cell.Recipe.Name != w.recipe.Name && other == m && slices.Contains(cell.Recipe.Patches, m.Path) {
			return nil
		}
	}
	w.note("patches/%s/%s is of no recipe any more: remove it", recipes.ShortName(m.Path), m.Version)
	return nil
}

func (w *raiser) note(format string, args ...any) {
	w.report.Notes = append(w.report.Notes, fmt.Sprintf(format, args...))
}

// compare builds the component as it is and as it is raised, for one platform,
// and tells what changed in it.
func (w *raiser) compare(ctx context.Context) error {
	platform := w.config.Host
	if !w.recipe.Builds(platform) {
		platform = w.recipe.Platforms[0]
	}
	var documents []*spdx.Document
	for _, cfg := range []*config.Config{w.config, &w.copy} {
		plan, err := pipeline.NewPlan(cfg, Selection{Component: w.recipe.Name, Platform: platform.String()})
		if err != nil {
			return err
		}
		p, err := pipeline.Open(cfg, w.console, plan)
		if err != nil {
			return err
		}
		d, err := p.Document(ctx, plan.Cells[0])
		if err != nil {
			return err
		}
		documents = append(documents, d)
	}
	for _, c := range spdx.Diff(documents[0], documents[1]) {
		w.report.SBOM = append(w.report.SBOM, c.String())
	}
	return nil
}

// write gives the checkout what differs, unless somebody changed the recipe
// meanwhile.
func (w *raiser) write(ctx context.Context) error {
	dir := filepath.Join(w.config.Root, "recipes", w.recipe.Name)
	plan, err := pipeline.NewPlan(w.config, Selection{Component: w.recipe.Name, Platform: "all"})
	if err != nil || plan.Cells[0].Recipe.Digest != w.recipe.Digest {
		return errors.Join(fmt.Errorf("raising %s: %s was changed meanwhile: nothing was written; run it again", w.recipe.Name, dir), err)
	}
	files := slices.DeleteFunc(slices.Clone(w.files), func(f update.File) bool { return f.Same(w.config.Root) })
	slices.SortFunc(files, func(a, b update.File) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(w.config.Root, filepath.FromSlash(f.Name))); err == nil && !strings.HasPrefix(f.Name, "recipes/") {
			return fmt.Errorf("raising %s: %s appeared meanwhile: nothing was written; run it again", w.recipe.Name, f.Name)
		}
	}
	if err := update.Replace(ctx, w.config.Root, files); err != nil {
		return err
	}
	for _, f := range files {
		w.report.Written = append(w.report.Written, f.Name)
	}
	return nil
}
