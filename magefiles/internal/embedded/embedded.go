// Package embedded guarantees that what a recipe says of work that lies among
// the files of a Go module, and so gets into a binary, still holds for the
// module's verified source.
//
// It refuses a file that is gone, one that differs from the npm package's that
// it is said to be, a version that the module no longer names, a list of Elm
// packages other than the module's, and a generated file system in which
// something lies that the recipe does not speak of.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/elm"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// ErrBundled is wrapped when a recipe's "bundled" does not hold.
var ErrBundled = errors.New("what the recipe says is bundled does not hold")

// Find holds what r says is bundled against the verified source that the
// function source returns, of the lock's version where it is asked for none,
// and against npm packages, which client fetches. The result is sorted by
// purl. Its errors name the entry and wrap ErrBundled where it does not hold.
func Find(ctx context.Context, r *recipes.Recipe, client *npm.Client, source func(module.Version) (modules.Module, error)) ([]artifact.Embedded, error) {
	s := &search{source: source, trees: map[module.Version]*tree{}}
	defer s.close()
	var all []artifact.Embedded
	for _, b := range r.Bundled {
		e, err := s.entry(ctx, b, client)
		if err != nil {
			return nil, fmt.Errorf("recipe %s: bundled %s in %s: %w", r.Name, b.Npm+b.PURL, b.In, err)
		}
		if b.Npm != "" || b.PURL != "" {
			all = append(all, e)
		}
	}
	if err := s.complete(r); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", r.Name, err)
	}
	slices.SortFunc(all, func(a, b artifact.Embedded) int { return strings.Compare(a.PURL, b.PURL) })
	return all, nil
}

type search struct {
	source func(module.Version) (modules.Module, error)
	trees  map[module.Version]*tree
}

func (s *search) close() {
	for _, t := range s.trees {
		t.root.Close()
	}
}

func (s *search) tree(m module.Version) (*tree, error) {
	if t := s.trees[m]; t != nil {
		return t, nil
	}
	found, err := s.source(m)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(found.Dir)
	if err != nil {
		return nil, err
	}
	s.trees[m] = &tree{root: root, generated: map[string]map[string][]byte{}, named: map[string]bool{}, elm: map[string][]string{}}
	return s.trees[m], nil
}

func (s *search) entry(ctx context.Context, b recipes.Bundled, client *npm.Client) (artifact.Embedded, error) {
	t, err := s.tree(b.Module())
	if err != nil {
		return artifact.Embedded{}, err
	}
	pairs, err := t.expand(b.Files)
	if err != nil {
		return artifact.Embedded{}, err
	}
	e := artifact.Embedded{PURL: b.PURL, Files: slices.Sorted(maps.Keys(pairs)), In: b.Module().Path, Requires: []string{}}
	if b.Npm == "" && b.PURL == "" {
		return e, nil
	}
	if b.Npm != "" {
		e.Evidence, e.Integrity = artifact.ByIdentity, b.Integrity
		e.Name, e.Version = b.NpmPackage()
		p := artifact.Package{Name: e.Name, Version: e.Version, Integrity: b.Integrity}
		e.PURL = npm.PURL(p)
		return e, t.identical(ctx, client, p, pairs)
	}
	purl, err := packageurl.FromString(b.PURL)
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrBundled, err)
	}
	e.Evidence, e.Note = artifact.Stated, b.Why
	e.Name, e.Version = path.Join(purl.Namespace, purl.Name), purl.Version
	return e, t.told(b, purl)
}

// identical compares each file with the npm package's.
func (t *tree) identical(ctx context.Context, client *npm.Client, p artifact.Package, pairs map[string]string) error {
	tarball, err := client.Fetch(ctx, p)
	if err != nil {
		return err
	}
	theirs, err := npm.Read(tarball, slices.Sorted(maps.Values(pairs)))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		data, err := t.read(name)
		if err != nil {
			return err
		}
		their, ok := theirs[pairs[name]]
		if !ok || string(their) != string(data) {
			return fmt.Errorf("%w: %s is not the package's %s, byte for byte; find the package that it is of, or state it with a purl", ErrBundled, name, pairs[name])
		}
	}
	return nil
}

// told looks up the version of a stated package where the module names it.
func (t *tree) told(b recipes.Bundled, purl packageurl.PackageURL) error {
	if b.Told == "" {
		return nil
	}
	data, err := t.read(b.Told)
	if err != nil {
		return err
	}
	if purl.Type == packageurl.TypeElm {
		t.elm[b.Told] = append(t.elm[b.Told], b.PURL)
		return nil // complete holds them against each other
	}
	if !strings.Contains(string(data), purl.Version) {
		return fmt.Errorf("%w: %s does not speak of version %s; look there for the new one", ErrBundled, b.Told, purl.Version)
	}
	return nil
}

// complete refuses a generated file system or an elm.json of which the recipe
// names only a part.
func (s *search) complete(r *recipes.Recipe) error {
	checked := map[*tree]bool{}
	for _, b := range r.Bundled {
		t := s.trees[b.Module()]
		if checked[t] {
			continue
		}
		checked[t] = true
		for _, file := range slices.Sorted(maps.Keys(t.generated)) {
			for _, inner := range slices.Sorted(maps.Keys(t.generated[file])) {
				if name := file + "#" + inner; !t.named[name] {
					return fmt.Errorf("%w: nothing is said of %s in %s: add it to bundled", ErrBundled, name, b.In)
				}
			}
		}
		for _, file := range slices.Sorted(maps.Keys(t.elm)) {
			if err := t.sameElm(file); err != nil {
				return fmt.Errorf("%w: %s in %s: %w", ErrBundled, file, b.In, err)
			}
		}
	}
	return nil
}

// sameElm refuses an elm.json that names other packages than the recipe.
func (t *tree) sameElm(file string) error {
	data, err := t.read(file)
	if err != nil {
		return err
	}
	named, err := elmPackages(data)
	if err != nil {
		return err
	}
	for _, purl := range named {
		if !slices.Contains(t.elm[file], purl) {
			return fmt.Errorf("it names %s: add that to bundled", purl)
		}
	}
	for _, purl := range t.elm[file] {
		if !slices.Contains(named, purl) {
			return fmt.Errorf("it does not name %s: take that out of bundled", purl)
		}
	}
	return nil
}

// elmPackages is what an application's elm.json names, but for its tests', as
// purls.
func elmPackages(data []byte) ([]string, error) {
	named, err := elm.Application(data)
	if err != nil {
		return nil, err
	}
	var purls []string
	for name, version := range named {
		purls = append(purls, webui.ElmPURL(elm.Package{Name: name, Version: version}))
	}
	slices.Sort(purls)
	return purls, nil
}
