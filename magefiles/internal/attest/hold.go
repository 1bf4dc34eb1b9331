// Package attest is what the job that signs a release does before it signs: it
// holds what the jobs that built observed against a checkout of its own, and
// writes every provenance anew, as the workflow that vouches for it.
//
// # What is held, and what is not
//
// Of an artifact Hold compares with the checkout: the recipe, the versions, the
// time, upstream's module and every module that is linked, by go.sum; what was
// changed, by patched.sum and the patches one by one; which web interface there is
// and what brought it; the toolchains, by their pins; the command and the
// environment of the compiler; which members the archive has, with which modes, and
// the content of those that are this distribution's own. Package
// palisade/attestations/verify then looks into the archive, which has to hold them,
// and whose binaries have to say the same of themselves.
//
// What nobody but who built can know stays his word: that the compiler was given
// that source and no other, what the sandboxes said of themselves, the state of
// caches, the times; the content of upstream's files and of the texts of licences in
// the archive; which npm packages were installed and files of the machine
// seen for a web interface, and what is embedded in it; the digests of zip files;
// and the bytes of whatever upstream's source becomes, of which only who builds it
// again can tell.
//
// Nothing that is read is run, and no key is seen.
package attest

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/toolchain"
	"palisade/patches"
	"palisade/recipes"
)

// ErrObserved is what the refusal wraps of something that this checkout does not
// make.
var ErrObserved = errors.New("it is not what this checkout makes")

// Series loads the patches of a module's version, by the folder's name.
type Series func(name, version string) (patches.Series, error)

// Hold holds what was observed of an artifact against its recipe in this checkout.
func Hold(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution, series Series) error {
	for _, check := range []func() error{
		func() error { return identity(r, rec, d) },
		func() error { return source(r, rec) },
		func() error { return changed(r, rec, d, series) },
		func() error { return webInterface(r, rec) },
		func() error { return toolchains(r, rec, d) },
		func() error { return compiled(r, rec, d) },
		func() error { return members(r, rec, d) },
	} {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w: %w: build it from this commit, or take it anew", r.Name, ErrObserved, err)
		}
	}
	return nil
}

// same is an error if two texts are not.
func same(what, said, here string) error {
	if said == here {
		return nil
	}
	return fmt.Errorf("%s is %.200q, here it is %.200q", what, said, here)
}

func identity(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution) error {
	if !slices.Contains(recipes.Variants(), r.Variant) || !rec.Builds(r.Platform) {
		return fmt.Errorf("variant %.80q for %s is none of recipe %s", r.Variant, r.Platform, rec.Name)
	}
	version := rec.FullVersion(d, r.Variant)
	return errors.Join(
		same("the component", r.Component, rec.Name),
		same("its version", r.Version, version),
		same("upstream's version", r.UpstreamVersion, rec.Version),
		same("the recipe", r.Recipe.String(), rec.Digest.String()),
		same("its time", fmt.Sprint(r.Epoch), fmt.Sprint(rec.Released.Unix())),
		same("its revision", r.Revision, rec.StampedRevision()),
	)
}

// plain is m by what a lock holds of it: the zip file it came in is not among it.
func plain(m artifact.Module) artifact.Module {
	m.Zip = nil
	return m
}

// locked is a module as the recipe's lock has it.
func locked(rec *recipes.Recipe, m module.Version) artifact.Module {
	return artifact.Module{Path: m.Path, Version: m.Version, Sum: rec.Lock.Sums[m]}
}

func source(r artifact.Record, rec *recipes.Recipe) error {
	if here := locked(rec, module.Version{Path: rec.Module, Version: rec.Lock.Upstream}); plain(r.Source) != here {
		return fmt.Errorf("upstream's module is %+v, here it is %+v", plain(r.Source), here)
	}
	if (r.Git == nil) != (rec.Git == nil) || r.Git != nil && !isOf(*r.Git, *rec.Git) {
		said, here := "none", "none"
		if r.Git != nil {
			said = fmt.Sprintf("%+v", *r.Git)
		}
		if rec.Git != nil {
			here = fmt.Sprintf("%+v, signed by one of %q", asPinned(*rec.Git), rec.Git.Signers)
		}
		return fmt.Errorf("upstream's source is the commit %s, here it is %s", said, here)
	}
	return nil
}

// changed holds the modules that were changed against those that the recipe
// changes, in the order of their paths.
func changed(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution, series Series) error {
	left := r.Patched
	requires := slices.Clone(rec.Lock.Requires)
	slices.SortFunc(requires, func(a, b module.Version) int { return strings.Compare(a.Path, b.Path) })
	for _, m := range requires {
		var applied []artifact.PatchFile
		if slices.Contains(rec.Patches, m.Path) {
			s, err := series(recipes.ShortName(m.Path), m.Version)
			if err != nil {
				return err
			}
			for _, p := range s.For(r.Variant, rec.UI.Kind()).Patches {
				applied = append(applied, artifact.PatchFile{Name: p.Name, Digest: p.Digest})
			}
		}
		if len(applied) == 0 && (m.Path != rec.Module || rec.UI == nil) {
			continue
		}
		version, err := rec.SealedVersion(d, m, r.Variant)
		if err != nil {
			return err
		}
		to := artifact.Module{Path: m.Path, Version: version, Sum: rec.Patched[module.Version{Path: m.Path, Version: version}]}
		switch {
		case len(left) == 0 || left[0].From.Path != m.Path:
			return fmt.Errorf("%s was not changed, and here it is", m)
		case plain(left[0].From) != locked(rec, m):
			return fmt.Errorf("what was changed is %+v, here it is %+v", plain(left[0].From), locked(rec, m))
		case to.Sum == "" || left[0].To != to:
			return fmt.Errorf("%s became %+v, here it becomes %+v", m, left[0].To, to)
		case !slices.Equal(left[0].Patches, applied):
			return fmt.Errorf("the patches of %s are %d, of which one is another, or in another place, than of the %d here", m, len(left[0].Patches), len(applied))
		}
		left = left[1:]
	}
	if len(left) > 0 {
		return fmt.Errorf("%.200s@%.80s was changed, and here it is not", left[0].From.Path, left[0].From.Version)
	}
	return nil
}

// webInterface holds where the web interface comes from against the recipe.
func webInterface(r artifact.Record, rec *recipes.Recipe) error {
	if (r.UI == nil) != (rec.UI == nil) {
		return fmt.Errorf("it has a web interface: %t, and here: %t", r.UI != nil, rec.UI != nil)
	}
	if rec.UI == nil {
		return nil
	}
	here := locked(rec, module.Version{Path: rec.Module, Version: rec.Lock.Upstream})
	if b := rec.UI.Bundle; b != nil {
		here = artifact.Module{Path: b.Module, Version: b.Version, Sum: b.Sum}
	}
	if r.UI.Kind != rec.UI.Kind() || plain(r.UI.Origin) != here {
		return fmt.Errorf("its web interface was made by %.40q of %+v, here by %s of %+v", r.UI.Kind, plain(r.UI.Origin), rec.UI.Kind(), here)
	}
	var wanted []recipes.Git
	if rec.UI.Elm != nil {
		for _, p := range rec.UI.Elm.Packages {
			wanted = append(wanted, p.Git)
		}
	}
	if len(r.UI.Commits) != len(wanted) {
		return fmt.Errorf("its web interface was made with %d packages at their commits, here with %d", len(r.UI.Commits), len(wanted))
	}
	for i, g := range wanted {
		if !isOf(r.UI.Commits[i], g) {
			return fmt.Errorf("its web interface was made with the package %+v, here with %+v", r.UI.Commits[i], asPinned(g))
		}
	}
	return nil
}

// isOf reports whether a commit is the one that a recipe names. Which of the signers
// that the recipe names signed its tag is known to who fetched it.
func isOf(said artifact.Git, g recipes.Git) bool {
	if (said.SignedBy != "") != (len(g.Signers) > 0) {
		return false
	}
	said.SignedBy = ""
	return said == asPinned(g)
}

func asPinned(g recipes.Git) artifact.Git {
	return artifact.Git{Name: g.Name, Repository: g.Repository, Commit: g.Commit, Sum: g.Hash, Tag: g.Tag}
}

// toolchains holds what ran against the pins, for one of the platforms that they
// are of.
func toolchains(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution) error {
	said := slices.Clone(r.Toolchains)
	for i := range said {
		said[i].Zip = nil
	}
	pin, _ := d.Toolchains.FindGo(rec.Lock.Go)
	for host := range pin.Hosts {
		if here, err := pinned(rec, &toolchain.Box{Pins: &d.Toolchains, Host: host}); err == nil && slices.Equal(said, here) {
			return nil
		}
	}
	return fmt.Errorf("what ran, %.300v, is not what distribution.yaml pins", said)
}

// pinned are the tools that a recipe needs, by name.
func pinned(rec *recipes.Recipe, box *toolchain.Box) ([]artifact.Tool, error) {
	golang, err := box.PinnedGo(rec.Lock.Go)
	if err != nil {
		return nil, err
	}
	tools, err := box.Pinned(rec.UI)
	tools = append(tools, golang)
	slices.SortFunc(tools, func(a, b artifact.Tool) int { return strings.Compare(a.Name, b.Name) })
	return tools, err
}

// compiled holds how the compiler ran, and what every binary says of itself,
// against the recipe.
func compiled(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution) error {
	t := gobuild.Target{Platform: r.Platform, Variant: r.Variant}
	args, env := gobuild.Invocation(rec, d, t)
	switch {
	case !slices.Equal(r.Build.Args, args):
		return fmt.Errorf("the compiler was run as %.500q, here it is as %.500q", r.Build.Args, args)
	case !slices.Equal(r.Build.Env, env):
		return fmt.Errorf("the compiler's environment was %.500q, here it is %.500q", r.Build.Env, env)
	case len(r.Binaries) != len(rec.Binaries):
		return fmt.Errorf("it has %d binaries, the recipe %d", len(r.Binaries), len(rec.Binaries))
	}
	for i, b := range r.Binaries {
		if i > 0 && r.Binaries[i-1].Name >= b.Name {
			return fmt.Errorf("binary %.80q is there twice or out of order", b.Name)
		}
		if err := gobuild.CheckBinary(b, rec, r.Patched, t); err != nil {
			return err
		}
	}
	return nil
}

// members holds which files the archive has, each once and with which mode, against
// what a build lays out; and the content of those that are here, which are this
// distribution's own, and of the binaries, which were read back.
func members(r artifact.Record, rec *recipes.Recipe, d *recipes.Distribution) error {
	name, folder, layout := gobuild.Layout(rec, d, gobuild.Target{Platform: r.Platform, Variant: r.Variant})
	if err := same("its file name", r.Name, name); err != nil {
		return err
	}
	slices.SortFunc(layout, func(a, b gobuild.Place) int { return strings.Compare(a.Name, b.Name) }) // as the archive has them
	for i, at := range layout {
		want := folder + "/" + at.Name
		if i == len(r.Members) || r.Members[i].Name != want {
			return fmt.Errorf("member %d of the archive has to be %s: it is missing, or something else is there", i+1, want)
		}
		if err := same("the mode of "+want, r.Members[i].Mode, fmt.Sprintf("%04o", at.Mode)); err != nil {
			return err
		}
		if err := ours(r, r.Members[i], at, rec); err != nil {
			return err
		}
	}
	if len(r.Members) > len(layout) {
		return fmt.Errorf("member %.200q of the archive is one that the recipe does not make", r.Members[len(layout)].Name)
	}
	return nil
}

// ours holds the content of one member, where it is known.
func ours(r artifact.Record, m artifact.File, at gobuild.Place, rec *recipes.Recipe) error {
	switch {
	case at.Binary:
		i := slices.IndexFunc(r.Binaries, func(b artifact.Binary) bool { return b.Name == at.Name })
		if i < 0 || r.Binaries[i].Digest != m.Digest {
			return fmt.Errorf("%s is not the binary of that name", m.Name)
		}
	case at.Member.Own != "":
		data, err := fs.ReadFile(rec.Dir, at.Member.Own)
		if err != nil {
			return err
		}
		if m.Digest != artifact.DigestBytes(data) {
			return fmt.Errorf("its %s is not the one of recipes/%s/%s", at.Name, rec.Name, at.Member.Own)
		}
	}
	return nil
}

// HoldImage holds what was observed of an image against its recipe in this
// checkout. Of the artifacts that it was made of see Hold.
func HoldImage(i artifact.Image, rec *recipes.Recipe, d *recipes.Distribution) error {
	var roots artifact.Module
	if d.Roots != nil {
		roots = artifact.Module{Path: d.Roots.Module, Version: d.Roots.Version, Sum: d.Roots.Sum, Zip: &d.Roots.Zip}
	}
	err := errors.Join(
		same("the component", i.Component, rec.Name),
		same("its version", i.Version, rec.FullVersion(d, i.Variant)),
		same("its file name", i.Name, artifact.ImageName(rec.Name, rec.FullVersion(d, i.Variant))),
		same("its time", fmt.Sprint(i.Epoch), fmt.Sprint(rec.Released.Unix())),
	)
	for _, p := range i.Platforms {
		if !rec.Builds(p.Platform) {
			err = errors.Join(err, fmt.Errorf("%s is no platform of the recipe", p.Platform))
		}
	}
	if !reflect.DeepEqual(i.Roots, roots) {
		err = errors.Join(err, fmt.Errorf("its roots are %+v, here they are %+v", plain(i.Roots), plain(roots)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w: make it from this commit, or take it anew", i.Name, ErrObserved, err)
	}
	return nil
}
