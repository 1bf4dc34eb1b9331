package provenance

import (
	"fmt"
	"slices"
	"strconv"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// Dependencies is every dependency with that role, in the order in which they
// are written.
func (p Provenance) Dependencies(role Role) []intoto.Resource {
	return having(role, p.BuildDefinition.ResolvedDependencies)
}

func having(role Role, list []intoto.Resource) []intoto.Resource {
	var all []intoto.Resource
	for _, r := range list {
		if hasRole(r, role) {
			all = append(all, r)
		}
	}
	return all
}

// Modules is every Go module with that role, with its hash as go.sum has it.
func (p Provenance) Modules(role Role) ([]artifact.Module, error) {
	var all []artifact.Module
	for _, r := range p.Dependencies(role) {
		m, err := moduleIn(r)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// moduleIn is the Go module that r is.
func moduleIn(r intoto.Resource) (artifact.Module, error) {
	path, version := split(r.Name)
	sum, err := intoto.H1(r.Digest["dirHash"])
	if err != nil {
		return artifact.Module{}, fmt.Errorf("module %s: %w", r.Name, err)
	}
	m := artifact.Module{Path: path, Version: version, Sum: sum}
	if zip := r.Digest["sha256"]; zip != "" {
		d, err := artifact.ParseDigest("sha256:" + zip)
		if err != nil {
			return artifact.Module{}, fmt.Errorf("module %s: %w", r.Name, err)
		}
		m.Zip = &d
	}
	return m, nil
}

// Patches is the series that was applied to the module called name, its
// path@version, in the order applied.
func (p Provenance) Patches(name string) ([]artifact.PatchFile, error) {
	type placed struct {
		at   int
		file artifact.PatchFile
	}
	var series []placed
	for _, r := range p.Dependencies(RolePatch) {
		if r.Annotations[module] != name {
			continue
		}
		at, err := strconv.Atoi(r.Annotations[position])
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", r.Name, err)
		}
		d, err := artifact.ParseDigest("sha256:" + r.Digest["sha256"])
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", r.Name, err)
		}
		series = append(series, placed{at, artifact.PatchFile{Name: r.Name, Digest: d}})
	}
	slices.SortFunc(series, func(a, b placed) int { return a.at - b.at })
	var files []artifact.PatchFile
	for _, s := range series {
		files = append(files, s.file)
	}
	return files, nil
}

// Repository is the state of the sources of the distribution. ok is false
// where the provenance does not name it: nothing is known of it then, least of
// all that it was clean.
func (p Provenance) Repository() (_ Repository, ok bool) {
	return repositoryIn(p.BuildDefinition.ResolvedDependencies)
}

func repositoryIn(list []intoto.Resource) (_ Repository, ok bool) {
	for _, r := range having(RoleRepository, list) {
		return Repository{URI: r.URI, Commit: r.Digest["gitCommit"], Clean: r.Annotations[clean] == "true"}, true
	}
	return Repository{}, false
}
