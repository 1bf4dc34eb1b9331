package provenance

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/spdx"
)

// A Role is why something is a dependency. The annotation "roles" of a
// resource lists all of them, sorted, with commas between.
type Role string

// The roles.
const (
	RoleSource     Role = "source"     // upstream's module of the component
	RolePatched    Role = "patched"    // a module before patches were applied to it
	RoleSealed     Role = "sealed"     // the same after that; annotation "from" is the name of the one before
	RoleLinked     Role = "linked"     // a module that is in a binary, as it was compiled
	RolePatch      Role = "patch"      // applied to the module that annotation "module" names, as the one at "position", from 1
	RoleInterface  Role = "interface"  // the module whose web interface was built or taken
	RoleInstalled  Role = "installed"  // an npm package that was there when the interface was built
	RoleCommit     Role = "commit"     // a git commit whose files were built: upstream's, or a package of Elm that was there when the interface was built
	RoleHost       Role = "host"       // a file of the machine that the build of the interface could see
	RoleEmbedded   Role = "embedded"   // in a binary and no Go module; annotation "in" is the path of the module that brought it
	RoleToolchain  Role = "toolchain"  // what ran; annotation "tool" is what it is called
	RoleRepository Role = "repository" // of this distribution; annotation "clean" says whether the checkout was as committed
)

// The keys of annotations.
const (
	roles    = "roles"
	from     = "from"
	module   = "module"
	position = "position"
	in       = "in"
	tool     = "tool"
	clean    = "clean"
)

// A resolution gathers dependencies. What is added twice has to be the same
// thing, and has the roles of both.
type resolution map[string]intoto.Resource

// resolve is every dependency that the record knows.
func resolve(r artifact.Record, repository Repository) ([]intoto.Resource, error) {
	all := resolution{}
	for _, step := range []func(artifact.Record) error{all.modules, all.patches, all.ui, all.embedded, all.toolchains} {
		if err := step(r); err != nil {
			return nil, err
		}
	}
	if repository != (Repository{}) {
		if err := all.repository(repository); err != nil {
			return nil, err
		}
	}
	list := sorted(slices.Collect(maps.Values(all)))
	for i := range list {
		if len(list[i].Digest) == 0 {
			list[i].Digest = nil
		}
	}
	return list, nil
}

// add enters a resource, with annotations as pairs of key and value.
func (all resolution) add(role Role, r intoto.Resource, annotations ...string) error {
	key := r.URI
	if key == "" {
		key = string(role) + " " + r.Name
	}
	have, ok := all[key]
	if !ok {
		have = intoto.Resource{URI: r.URI, Name: r.Name, Digest: intoto.Digests{}, Annotations: map[string]string{}}
	}
	if have.Name != r.Name {
		return fmt.Errorf("%.200q is both %.200q and %.200q", r.URI, have.Name, r.Name)
	}
	for algorithm, value := range r.Digest {
		if old := have.Digest[algorithm]; old != "" && old != value {
			return fmt.Errorf("%.200q has two digests, %s %.140s and %.140s: build again", key, algorithm, old, value)
		}
		have.Digest[algorithm] = value
	}
	for i := 0; i < len(annotations); i += 2 {
		if old := have.Annotations[annotations[i]]; old != "" && old != annotations[i+1] {
			return fmt.Errorf("%.200q is there twice, with %s %.200q and %.200q", key, annotations[i], old, annotations[i+1])
		}
		have.Annotations[annotations[i]] = annotations[i+1]
	}
	list := strings.Split(have.Annotations[roles], ",")
	if have.Annotations[roles] == "" {
		list = nil
	}
	if !slices.Contains(list, string(role)) {
		list = append(list, string(role))
		slices.Sort(list)
	}
	have.Annotations[roles] = strings.Join(list, ",")
	all[key] = have
	return nil
}

func (all resolution) module(role Role, m artifact.Module, annotations ...string) error {
	hash, err := intoto.DirHash(m.Sum)
	if err != nil {
		return fmt.Errorf("module %s: %w", nameOf(m), err)
	}
	r := intoto.Resource{URI: spdx.GoPURL(m.Path, m.Version), Name: nameOf(m), Digest: intoto.Digests{"dirHash": hash}}
	if m.Zip != nil {
		r.Digest["sha256"] = m.Zip.Hex()
	}
	return all.add(role, r, annotations...)
}

func nameOf(m artifact.Module) string { return m.Path + "@" + m.Version }

// modules enters upstream's module and what is linked. Of a module that was
// replaced, the one that was compiled in its place is linked.
func (all resolution) modules(r artifact.Record) error {
	if err := all.module(RoleSource, r.Source); err != nil {
		return err
	}
	if r.Git != nil {
		if err := all.commit(*r.Git); err != nil {
			return err
		}
	}
	for _, b := range r.Binaries {
		for _, m := range append([]artifact.Module{b.Main}, b.Modules...) {
			for m.Replace != nil {
				m = *m.Replace
			}
			if err := all.module(RoleLinked, m); err != nil {
				return fmt.Errorf("binary %s: %w", b.Name, err)
			}
		}
	}
	return nil
}

func (all resolution) patches(r artifact.Record) error {
	for _, p := range r.Patched {
		if err := all.module(RolePatched, p.From); err != nil {
			return err
		}
		if err := all.module(RoleSealed, p.To, from, nameOf(p.From)); err != nil {
			return err
		}
		for i, file := range p.Patches {
			err := all.add(RolePatch, intoto.Resource{Name: file.Name, Digest: sha256Of(file.Digest)}, module, nameOf(p.From), position, strconv.Itoa(i+1))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (all resolution) ui(r artifact.Record) error {
	if r.UI == nil {
		return nil
	}
	if err := all.module(RoleInterface, r.UI.Origin); err != nil {
		return err
	}
	for _, p := range r.UI.Packages {
		hash, err := intoto.SHA512(p.Integrity)
		if err != nil {
			return fmt.Errorf("npm package %s@%s: %w", p.Name, p.Version, err)
		}
		resource := intoto.Resource{URI: spdx.NPMPURL(p.Name, p.Version), Name: p.Name + "@" + p.Version, Digest: intoto.Digests{"sha512": hash}}
		if err := all.add(RoleInstalled, resource); err != nil {
			return err
		}
	}
	for _, g := range r.UI.Commits {
		if err := all.commit(g); err != nil {
			return err
		}
	}
	for _, f := range r.UI.Host {
		if err := all.add(RoleHost, intoto.Resource{Name: f.Name, Digest: sha256Of(f.Digest)}); err != nil {
			return err
		}
	}
	return nil
}

// commit enters a git commit.
func (all resolution) commit(g artifact.Git) error {
	digests, err := commitDigests(g)
	if err != nil {
		return err
	}
	return all.add(RoleCommit, intoto.Resource{URI: g.Address(), Name: g.Name, Digest: digests})
}

func commitDigests(g artifact.Git) (intoto.Digests, error) {
	hash, err := intoto.DirHash(g.Sum)
	if err != nil {
		return nil, fmt.Errorf("commit %s of %s: %w", g.Commit, g.Repository, err)
	}
	return intoto.Digests{"gitCommit": g.Commit, "dirHash": hash}, nil
}

// commitOf finds the commit in a package URL of GitHub's.
var commitOf = regexp.MustCompile(`^pkg:github/[^@?#]+@([0-9a-f]{40})$`)

// embedded enters what a module brought with it. What has no hash of its own
// has none here: its bytes are among those of the module. A package of Elm that the
// interface was compiled with has those of its commit.
func (all resolution) embedded(r artifact.Record) error {
	commits := map[string]artifact.Git{}
	if r.UI != nil {
		for _, g := range r.UI.Commits {
			commits[g.Name] = g
		}
	}
	for _, e := range r.Embedded {
		resource := intoto.Resource{URI: e.PURL, Name: e.Name + "@" + e.Version, Digest: intoto.Digests{}}
		if g, ok := commits[resource.Name]; ok && e.Evidence == artifact.ByCompiler {
			var err error
			if resource.Digest, err = commitDigests(g); err != nil {
				return err
			}
		}
		if e.Integrity != "" {
			hash, err := intoto.SHA512(e.Integrity)
			if err != nil {
				return fmt.Errorf("embedded %s: %w", e.PURL, err)
			}
			resource.Digest["sha512"] = hash
		}
		if m := commitOf.FindStringSubmatch(e.PURL); m != nil {
			resource.Digest["gitCommit"] = m[1]
		}
		if err := all.add(RoleEmbedded, resource, in, e.In); err != nil {
			return err
		}
	}
	return nil
}

func (all resolution) toolchains(r artifact.Record) error {
	for _, t := range r.Toolchains {
		resource := intoto.Resource{URI: spdx.ToolPURL(t), Name: t.Package, Digest: intoto.Digests{}}
		algorithm, convert := "sha512", intoto.SHA512
		if strings.HasPrefix(t.Hash, "h1:") {
			algorithm, convert = "dirHash", intoto.DirHash
		}
		hash, err := convert(t.Hash)
		if err != nil {
			return fmt.Errorf("toolchain %s: %w", t.Name, err)
		}
		resource.Digest[algorithm] = hash
		if t.Zip != nil {
			resource.Digest["sha256"] = t.Zip.Hex()
		}
		if err := all.add(RoleToolchain, resource, tool, t.Name); err != nil {
			return err
		}
	}
	return nil
}

// repositoryName is what the repository of this distribution is called among
// the dependencies: it may have no address.
const repositoryName = "palisade"

func (all resolution) repository(r Repository) error {
	return all.add(RoleRepository, intoto.Resource{URI: r.URI, Name: repositoryName, Digest: intoto.Digests{"gitCommit": r.Commit}}, clean, strconv.FormatBool(r.Clean))
}
