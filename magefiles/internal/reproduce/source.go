package reproduce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/checkout"
	"palisade/patches"
	"palisade/recipes"
)

// Why nothing was built: what an error of Run wraps.
var (
	// ErrSource: the files that something was built from are not to be had here.
	// Somewhere else they may be.
	ErrSource = errors.New("what it was built from is not here")
	// ErrContradiction: the provenance says that something was built from a commit
	// as it is, and from files that are not that commit's. Nobody can build that.
	ErrContradiction = errors.New("the provenance contradicts itself")
)

// A need is which files of this distribution something was built from.
type need struct {
	component, variant   string
	recipe, distribution artifact.Digest
	patches              map[string][]artifact.PatchFile // of each module that was patched, by its name path@version; of a version that was not there is none
	repository           provenance.Repository
	known                bool // that the repository is named
}

// needOf is what t was built from. An image needs what its archives do.
func needOf(t Target, all []Target) (need, error) {
	n := need{patches: map[string][]artifact.PatchFile{}}
	n.repository, n.known = t.Said[0].repository()
	of := []*provenance.Provenance{t.Said[0].Archive}
	if i := t.Said[0].Image; i != nil {
		e := i.BuildDefinition.ExternalParameters
		n.component, n.variant, n.recipe, n.distribution = e.Component, e.Variant, e.Recipe, e.Distribution
		var err error
		if of, err = archives(i, all); err != nil {
			return need{}, err
		}
	} else {
		e := t.Said[0].Archive.BuildDefinition.ExternalParameters
		n.component, n.variant, n.recipe, n.distribution = e.Component, e.Variant, e.Recipe, e.Distribution
	}
	for _, p := range of {
		for _, m := range p.Dependencies(provenance.RolePatched) {
			series, err := p.Patches(m.Name)
			if err != nil {
				return need{}, err
			}
			n.patches[m.Name] = series
		}
	}
	return n, nil
}

// differs says what of a checkout is not what is needed: nothing if the build
// would be of the same files. It believes nothing but digests.
func (n need) differs(checkout fs.FS) []string {
	var all []string
	data, err := fs.ReadFile(checkout, "recipes/distribution.yaml")
	if err != nil || artifact.DigestBytes(data) != n.distribution {
		all = append(all, "recipes/distribution.yaml"+because(err))
	}
	folder := path.Join("recipes", n.component)
	inRecipes, err := fs.Sub(checkout, "recipes")
	if err != nil {
		return append(all, "recipes"+because(err))
	}
	d, err := recipes.LoadDistribution(inRecipes)
	if err != nil {
		return append(all, folder+because(err)) // what it says cannot be read without
	}
	r, err := recipes.Load(inRecipes, d, n.component)
	if err != nil || r.Digest != n.recipe {
		return append(all, folder+because(err)) // and so which patches there are
	}
	inPatches, err := fs.Sub(checkout, "patches")
	if err != nil {
		return append(all, "patches"+because(err))
	}
	for _, module := range r.Patches {
		m, ok := r.Lock.Find(module)
		if !ok {
			continue // no recipe that loads has one
		}
		all = append(all, n.patchesDiffer(inPatches, module, m.Version, r.UI.Kind())...)
	}
	return all
}

// patchesDiffer names the patches of a module's version that are not, in order,
// those that were applied to it for a web interface of that kind.
func (n need) patchesDiffer(fsys fs.FS, module, version, kind string) []string {
	folder := path.Join("patches", recipes.ShortName(module), version)
	series, err := patches.Load(fsys, recipes.ShortName(module), version)
	if err != nil {
		return []string{folder + because(err)}
	}
	var there []artifact.PatchFile
	for _, p := range series.For(n.variant, kind).Patches {
		there = append(there, artifact.PatchFile{Name: p.Name, Digest: p.Digest})
	}
	want := n.patches[module+"@"+version]
	if slices.Equal(there, want) {
		return nil
	}
	var all []string
	for _, p := range slices.Concat(there, want) {
		if name := "patches/" + p.Name; (!slices.Contains(there, p) || !slices.Contains(want, p)) && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(all) == 0 { // the same ones, in another order
		all = append(all, folder+"/series")
	}
	return all
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + shown(err.Error()) + ")"
}

// Sources are where files of this distribution may be.
type Sources struct {
	Root       string // a checkout, as it lies there
	Repository string // a checkout whose history is looked into; Root if empty
	Git        string // the git command, "" if there is none
}

// obtain puts the files that n needs into dir: those of the checkout as it lies
// there, or else those of the commit that the provenance names. Which it was is
// returned for people.
func (s Sources) obtain(ctx context.Context, n need, dir string) (string, error) {
	here := n.differs(os.DirFS(s.Root))
	if len(here) == 0 {
		if err := checkout.Copy(ctx, s.Root, s.Git, dir); err != nil {
			return "", err
		}
		if changed := n.differs(os.DirFS(dir)); len(changed) > 0 {
			return "", fmt.Errorf("copying %s: it changed meanwhile: %s", s.Root, strings.Join(changed, ", "))
		}
		return "the checkout " + s.Root, nil
	}
	differs := fmt.Sprintf("the checkout %s differs in %s", s.Root, listed(here))
	if !n.known {
		return "", fmt.Errorf("%w: %s, and the provenance names no commit: have these files as they were, and try again", ErrSource, differs)
	}
	from := s.Repository
	if from == "" {
		from = s.Root
	}
	commit := n.repository.Commit
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	err := checkout.Extract(ctx, from, s.Git, commit, dir)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s, and it was built from commit %s%s: have that in a clone, and name it with -repository=DIR: %w", ErrSource, differs, commit, address(n.repository), err)
	}
	root, err := os.OpenRoot(dir) // a commit may have links that lead anywhere
	if err != nil {
		return "", err
	}
	defer root.Close()
	if there := n.differs(root.FS()); len(there) > 0 {
		refusal, why := ErrContradiction, "though it says that it was built from that commit as it is"
		if !n.repository.Clean {
			refusal, why = ErrSource, "for it was built from files that were in no commit"
		}
		return "", fmt.Errorf("%w: %s, and so does commit %s, in %s, %s", refusal, differs, commit, listed(there), why)
	}
	return "commit " + commit + " of " + from, nil
}

func address(r provenance.Repository) string {
	if r.URI == "" {
		return ""
	}
	return " of " + shown(r.URI)
}

// listed are some names, for a line.
func listed(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// A supply obtains the files of each need once.
type supply struct {
	sources Sources
	place   func(n int) string // of the checkout of that number
	note    func(format string, args ...any)
	needs   []need
}

// checkout is the number of the one where the files of n are.
func (s *supply) checkout(ctx context.Context, n need, name string) (int, error) {
	for i, had := range s.needs {
		if reflect.DeepEqual(had, n) {
			return i, nil
		}
	}
	what, err := s.sources.obtain(ctx, n, s.place(len(s.needs)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	s.note("%s is built again from %s", name, what)
	s.needs = append(s.needs, n)
	return len(s.needs) - 1, nil
}
