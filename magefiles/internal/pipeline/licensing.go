package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/embedded"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// licensed is what was built, and under which licences everything in it is.
type licensed struct {
	gobuild.Built
	Embedded []artifact.Embedded // of all its binaries, sorted by PURL
	Verdicts []licences.Verdict  // of every package in them, sorted by PURL
	Texts    []byte              // what the archive carries as recipes.TextsName
}

// license reads the licence of everything that b holds in its verified source,
// and refuses what it cannot tell.
func (p *Pipeline) license(ctx context.Context, b gobuild.Built) (licensed, error) {
	l, r := licensed{Built: b}, b.Source.Tree.Recipe()
	fail := func(err error) (licensed, error) {
		return licensed{}, fmt.Errorf("licensing %s for %s, %s: %w", r.Name, b.Target.Platform, b.Target.Variant, err)
	}
	var err error
	if l.Embedded, err = p.embedded(ctx, b); err != nil {
		return fail(err)
	}
	var subjects []licences.Subject
	for _, of := range []func(context.Context, licensed) ([]licences.Subject, error){p.modulesIn, p.standardLibrary, p.packagesIn} {
		more, err := of(ctx, l)
		if err != nil {
			return fail(err)
		}
		subjects = append(subjects, more...)
	}
	slices.SortFunc(subjects, func(a, b licences.Subject) int { return strings.Compare(a.PURL, b.PURL) })
	if l.Verdicts, err = licences.Conclude(r, subjects); err != nil {
		return fail(err)
	}
	var texts bytes.Buffer
	title := fmt.Sprintf("%s %s for %s", r.Name, r.FullVersion(p.plan.Distribution, b.Target.Variant), b.Target.Platform)
	if err := licences.WriteTexts(&texts, title, l.Verdicts); err != nil {
		return fail(err)
	}
	l.Texts = texts.Bytes()
	return l, nil
}

// embedded is what is in b's binaries and is no Go module: what the bundler
// of the web interface named, and what the recipe says lies in the sources.
func (p *Pipeline) embedded(ctx context.Context, b gobuild.Built) ([]artifact.Embedded, error) {
	r := b.Source.Tree.Recipe()
	key := store.NewKey("embedded-1", p.tool.String(), r.Digest.String())
	bundled, _, _, err := store.Do(ctx, p.store, key, func(ctx context.Context, _ string) ([]artifact.Embedded, error) {
		return embedded.Find(ctx, r, p.box.NPM, func(m module.Version) (modules.Module, error) {
			found, err := p.sourceOf(ctx, b, m)
			if err != nil {
				return modules.Module{}, err
			}
			return found, p.hostGo.Verify(ctx, []modules.Module{found})
		})
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(b.Source.Embedded, bundled)
	slices.SortFunc(all, func(a, b artifact.Embedded) int { return strings.Compare(a.PURL, b.PURL) })
	return all, nil
}

// sourceOf is a module that b was made from: the one that held its web
// interface, or the one of its lock, where the version may be left out.
func (p *Pipeline) sourceOf(ctx context.Context, b gobuild.Built, m module.Version) (modules.Module, error) {
	r := b.Source.Tree.Recipe()
	if r.UI != nil && r.UI.Bundle != nil && m == (module.Version{Path: r.UI.Bundle.Module, Version: r.UI.Bundle.Version}) {
		return p.hostGo.One(ctx, m, r.UI.Bundle.Sum)
	}
	for _, o := range b.Source.Tree.Modules() {
		if o.Path == m.Path && (m.Version == "" || o.Version == m) {
			return o, nil
		}
	}
	return modules.Module{}, fmt.Errorf("module %s is not in the lock of recipe %s", m, r.Name)
}

// modulesIn is every Go module that is linked, with the licences above the
// packages that are.
func (p *Pipeline) modulesIn(ctx context.Context, l licensed) ([]licences.Subject, error) {
	all, err := linked(l.Built)
	if err != nil {
		return nil, err
	}
	var subjects []licences.Subject
	for _, m := range all {
		from := m.source
		found, err := p.reader.Module(ctx, from)
		if err != nil {
			return nil, err
		}
		found = found.For(slices.Sorted(maps.Keys(m.folders)))
		subjects = append(subjects, licences.Subject{PURL: spdx.GoPURL(from.Path, from.Version.Version), Found: found})
	}
	if ui := l.Source.UI; ui != nil && ui.Kind == "bundle" {
		origin, err := p.sourceOf(ctx, l.Built, module.Version{Path: ui.Origin.Path, Version: ui.Origin.Version})
		if err != nil {
			return nil, err
		}
		found, err := p.reader.Module(ctx, origin)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, licences.Subject{PURL: spdx.GoPURL(origin.Path, origin.Version.Version), Found: found.For([]string{""})})
	}
	return subjects, nil
}

// A linkedModule is a module whose packages are in a binary.
type linkedModule struct {
	source  modules.Module  // upstream's, also where a patched one was compiled
	folders map[string]bool // of the packages, below the module's root; "" is the root
}

// linked is every module of the binaries, but for the standard library.
func linked(b gobuild.Built) ([]linkedModule, error) {
	var all []linkedModule
	at := map[module.Version]int{}
	for i, links := range b.Links {
		for _, link := range links.Modules {
			if link.Module == gobuild.Std {
				continue
			}
			source, err := compiledFrom(b, b.Binaries[i], link.Module)
			if err != nil {
				return nil, err
			}
			n, ok := at[source.Version]
			if !ok {
				n, at[source.Version] = len(all), len(all)
				all = append(all, linkedModule{source: source, folders: map[string]bool{}})
			}
			for _, pkg := range link.Packages {
				all[n].folders[strings.TrimPrefix(strings.TrimPrefix(pkg, link.Module), "/")] = true
			}
		}
	}
	return all, nil
}

// compiledFrom is the module whose source was compiled as the one that a
// binary's build info calls path.
func compiledFrom(b gobuild.Built, binary artifact.Binary, path string) (modules.Module, error) {
	named := binary.Main
	for _, m := range binary.Modules {
		if m.Path == path {
			named = m
		}
	}
	version := module.Version{Path: named.Path, Version: named.Version}
	patched := slices.ContainsFunc(b.Source.Sealed, func(s source.Sealed) bool { return s.From.Version == version })
	if named.Replace != nil && !patched {
		version = module.Version{Path: named.Replace.Path, Version: named.Replace.Version}
	}
	i := slices.IndexFunc(b.Source.Tree.Modules(), func(m modules.Module) bool { return m.Version == version })
	if i < 0 {
		return modules.Module{}, fmt.Errorf("binary %s links %s, which was not fetched with the lock of recipe %s: name it in its go.mod", binary.Name, version, b.Source.Tree.Recipe().Name)
	}
	return b.Source.Tree.Modules()[i], nil
}

// standardLibrary is under the licence that lies in its toolchain.
func (p *Pipeline) standardLibrary(ctx context.Context, l licensed) ([]licences.Subject, error) {
	found, err := p.goLicence(ctx, l.Toolchain)
	if err != nil {
		return nil, err
	}
	folders := map[string]bool{}
	for _, links := range l.Links {
		for _, link := range links.Modules {
			for _, pkg := range link.Packages {
				if link.Module == gobuild.Std {
					folders["src/"+pkg] = true
				}
			}
		}
	}
	return []licences.Subject{
		{PURL: spdx.StdPURL(l.Toolchain.Version), Found: found.For(slices.Sorted(maps.Keys(folders)))},
	}, nil
}

// goLicence is what a Go toolchain holds, which this run has verified when it
// fetched with it.
func (p *Pipeline) goLicence(ctx context.Context, golang artifact.Tool) (licences.Found, error) {
	dir, ok := p.roots.Load(golang.Version)
	if !ok {
		return licences.Found{}, fmt.Errorf("toolchain %s was not verified", golang.Package)
	}
	found, err := p.reader.Dir(ctx, golang.Hash, os.DirFS(dir.(string)))
	if err != nil {
		return licences.Found{}, err
	}
	origin, err := p.box.GoOrigin(ctx, golang)
	found.SHA256, found.SHA512 = origin.Zip.Hex(), origin.SHA512
	return found, err
}

// packagesIn is every embedded package.
func (p *Pipeline) packagesIn(ctx context.Context, l licensed) ([]licences.Subject, error) {
	var all []licences.Subject
	for _, e := range l.Embedded {
		subject := licences.Subject{PURL: e.PURL}
		if g := l.commit(e); g != nil {
			tree, err := p.commits.Fetch(ctx, *g)
			if err != nil {
				return nil, err
			}
			if subject.Found, err = p.reader.Dir(ctx, "commit "+tree.Name+" "+tree.Hash, os.DirFS(tree.Dir)); err != nil {
				return nil, err
			}
		}
		if e.Integrity != "" {
			pkg := artifact.Package{Name: e.Name, Version: e.Version, Integrity: e.Integrity}
			var err error
			if subject.Found, err = p.reader.NPM(ctx, pkg, p.box.NPM.Fetch); err != nil {
				return nil, err
			}
		}
		all = append(all, subject)
	}
	return all, nil
}

// commit is the one of git that an embedded package was compiled from, nil if it
// was not fetched from there.
func (l licensed) commit(e artifact.Embedded) *recipes.Git {
	r := l.Source.Tree.Recipe()
	if e.Evidence != artifact.ByCompiler || r.UI.Kind() != recipes.ElmUI {
		return nil
	}
	for _, p := range r.UI.Elm.Packages {
		if p.Name == e.Name+"@"+e.Version {
			return &p.Git
		}
	}
	return nil
}

// texts keeps the texts in the store, where the archive takes them from.
func (p *Pipeline) texts(ctx context.Context, l licensed) (string, error) {
	key := store.NewKey("texts-1", string(l.Texts))
	_, entry, _, err := store.Do(ctx, p.store, key, func(_ context.Context, dir string) (struct{}, error) {
		return struct{}{}, os.WriteFile(filepath.Join(dir, recipes.TextsName), l.Texts, 0o644)
	})
	if err == nil {
		err = entry.Verify(ctx)
	}
	return filepath.Join(entry.Dir, recipes.TextsName), err
}
