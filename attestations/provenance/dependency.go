package provenance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"palisade/attestations/intoto"
	"palisade/attestations/spdx"
)

// annotationOf is what a role needs beside the annotation "roles".
var annotationOf = map[Role][]string{
	RoleSource: nil, RolePatched: nil, RoleSealed: {from}, RoleLinked: nil, RolePatch: {module, position}, RoleInterface: nil,
	RoleInstalled: nil, RoleCommit: nil, RoleHost: nil, RoleEmbedded: {in}, RoleToolchain: {tool}, RoleRepository: {clean},
}

// A kind is what a dependency can be, told by its URI: which roles it may have
// and which digests it has and may have.
type kind struct {
	roles     []Role
	has, may  []string
	canonical func(name string) (uri string)
}

var (
	goModule   = kind{roles: []Role{RoleSource, RolePatched, RoleLinked, RoleInterface, RoleToolchain}, has: []string{"dirHash"}, may: []string{"sha256"}, canonical: named(spdx.GoPURL)}
	goSealed   = kind{roles: []Role{RoleLinked, RoleSealed}, has: []string{"dirHash"}, canonical: named(spdx.GoPURL)}
	npmPackage = kind{roles: []Role{RoleInstalled, RoleEmbedded, RoleToolchain}, has: []string{"sha512"}, canonical: named(spdx.NPMPURL)}
	npmBrought = kind{roles: []Role{RoleEmbedded}, may: []string{"sha512"}, canonical: named(spdx.NPMPURL)}
	brought    = kind{roles: []Role{RoleEmbedded}, may: []string{"gitCommit", "dirHash"}}
	commit     = kind{roles: []Role{RoleCommit}, has: []string{"dirHash", "gitCommit"}}
	file       = kind{roles: []Role{RolePatch, RoleHost}, has: []string{"sha256"}}
	checkout   = kind{roles: []Role{RoleRepository}, has: []string{"gitCommit"}}
)

func named(purl func(name, version string) string) func(string) string {
	return func(s string) string {
		name, version := split(s)
		return purl(name, version)
	}
}

// split splits name@version at its last "@".
func split(s string) (name, version string) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func rolesOf(r intoto.Resource) []Role {
	var all []Role
	for role := range strings.SplitSeq(r.Annotations[roles], ",") {
		all = append(all, Role(role))
	}
	return all
}

func hasRole(r intoto.Resource, want Role) bool {
	for role := range strings.SplitSeq(r.Annotations[roles], ",") {
		if Role(role) == want {
			return true
		}
	}
	return false
}

func kindOf(r intoto.Resource) kind {
	switch {
	case hasRole(r, RoleRepository):
		return checkout
	case strings.HasPrefix(r.URI, "git+"):
		return commit
	case r.URI == "":
		return file
	case strings.HasPrefix(r.URI, "pkg:golang/") && hasRole(r, RoleSealed):
		return goSealed
	case strings.HasPrefix(r.URI, "pkg:golang/"):
		return goModule
	case !strings.HasPrefix(r.URI, "pkg:npm/"):
		return brought
	case r.Annotations[roles] == string(RoleEmbedded):
		return npmBrought
	}
	return npmPackage
}

// validateDependency holds one resource against what its kind and roles ask.
func validateDependency(r intoto.Resource) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Name == "" || r.DownloadLocation != "" || r.MediaType != "" {
		return errors.New("it has no name, or fields that no dependency has")
	}
	k, needs := kindOf(r), map[string]bool{roles: true}
	list := rolesOf(r)
	for i, role := range list {
		if !slices.Contains(k.roles, role) || i > 0 && list[i-1] >= role {
			return fmt.Errorf("it cannot have the roles %.200q", r.Annotations[roles])
		}
		for _, key := range annotationOf[role] {
			needs[key] = true
		}
	}
	if !maps.EqualFunc(needs, r.Annotations, func(_ bool, value string) bool { return value != "" }) {
		return fmt.Errorf("its annotations are not those of a %s", r.Annotations[roles])
	}
	for _, algorithm := range k.has {
		if r.Digest[algorithm] == "" {
			return fmt.Errorf("it has no %s", algorithm)
		}
	}
	for algorithm := range r.Digest {
		if !slices.Contains(k.has, algorithm) && !slices.Contains(k.may, algorithm) {
			return fmt.Errorf("it has a %s, which no %s has", algorithm, r.Annotations[roles])
		}
	}
	switch {
	case k.canonical != nil && k.canonical(r.Name) != r.URI:
		return fmt.Errorf("it is called %.200q", r.Name)
	case hasRole(r, RoleHost) != strings.HasPrefix(r.Name, "/"):
		return errors.New("a file of the machine has an absolute path, and nothing else has one")
	case hasRole(r, RoleEmbedded) && !strings.HasPrefix(r.URI, "pkg:"):
		return errors.New("it is embedded and has no package URL")
	case hasRole(r, RoleRepository):
		return validateRepository(r)
	case hasRole(r, RoleCommit):
		return validateCommit(r)
	}
	return nil
}

// validateCommit wants an address that names the very commit.
func validateCommit(r intoto.Resource) error {
	repository, revision := split(r.URI)
	if !strings.HasPrefix(repository, "git+https://") || strings.ContainsAny(repository, "@?#") || revision != r.Digest["gitCommit"] {
		return errors.New("its address is not git+https://, without user, and @ with its commit")
	}
	if _, version := split(r.Name); version == "" {
		return errors.New("its name is not that of a version")
	}
	return nil
}

func validateRepository(r intoto.Resource) error {
	if r.URI != "" && !strings.HasPrefix(r.URI, "git+https://") && !strings.HasPrefix(r.URI, "git+ssh://") || strings.ContainsAny(r.URI, "@?#") {
		return errors.New("the address of the repository is not git+https:// or git+ssh:// alone, without user and revision")
	}
	if r.Name != repositoryName || r.Annotations[clean] != "true" && r.Annotations[clean] != "false" {
		return errors.New("the repository has another name, or is neither clean nor not")
	}
	return nil
}

// validateDependencies holds all of them against each other.
func (p Provenance) validateDependencies() error {
	list := p.BuildDefinition.ResolvedDependencies
	if err := validateOrder(list); err != nil {
		return fmt.Errorf("resolvedDependencies: %w", err)
	}
	count := map[Role]int{}
	names := map[Role]map[string]bool{}
	paths := map[string]bool{} // of Go modules
	tools := map[string]bool{}
	for _, r := range list {
		if err := validateDependency(r); err != nil {
			return fmt.Errorf("resolvedDependencies: %.200q: %w", r.URI+" "+r.Name, err)
		}
		for _, role := range rolesOf(r) {
			if names[role] == nil {
				names[role] = map[string]bool{}
			}
			count[role]++
			names[role][r.Name] = true
		}
		if strings.HasPrefix(r.URI, "pkg:golang/") {
			path, _ := split(r.Name)
			paths[path] = true
		}
		if t := r.Annotations[tool]; t != "" {
			if tools[t] {
				return fmt.Errorf("resolvedDependencies: there are two toolchains %.40q", t)
			}
			tools[t] = true
		}
	}
	_, interfaceRan := p.BuildDefinition.InternalParameters.Sandboxes[ui]
	switch {
	case count[RoleSource] != 1 || count[RoleLinked] == 0 || !tools["go"]:
		return errors.New("resolvedDependencies lack the component's source, what is linked, or the Go toolchain")
	case count[RoleRepository] > 1 || count[RoleInterface] > 1 || count[RoleSealed] != count[RolePatched]:
		return errors.New("resolvedDependencies have two repositories or interfaces, or a patched module without its sealed one")
	case (interfaceRan || count[RoleInstalled]+count[RoleHost] > 0) && count[RoleInterface] == 0:
		return errors.New("resolvedDependencies have no module whose interface was built")
	}
	return validateReferences(list, names[RolePatched], paths)
}

// validateReferences follows what annotations name.
func validateReferences(list []intoto.Resource, patched, paths map[string]bool) error {
	sealed := map[string]bool{}
	positions := map[string][]int{}
	for _, r := range list {
		switch a := r.Annotations; {
		case hasRole(r, RoleSealed):
			if !patched[a[from]] || sealed[a[from]] {
				return fmt.Errorf("resolvedDependencies: %.200q is sealed from %.200q, which was not patched, or twice", r.Name, a[from])
			}
			sealed[a[from]] = true
		case hasRole(r, RolePatch):
			n, err := strconv.Atoi(a[position])
			if err != nil || strconv.Itoa(n) != a[position] || !patched[a[module]] {
				return fmt.Errorf("resolvedDependencies: patch %.200q is at %.20q of %.200q, which is no place", r.Name, a[position], a[module])
			}
			positions[a[module]] = append(positions[a[module]], n)
		case hasRole(r, RoleEmbedded) && !paths[a[in]]:
			return fmt.Errorf("resolvedDependencies: %.200q came with %.200q, which is not there", r.Name, a[in])
		}
	}
	for name, all := range positions {
		slices.Sort(all)
		for i, n := range all {
			if n != i+1 {
				return fmt.Errorf("resolvedDependencies: the patches of %.200q are not numbered from 1 without a gap", name)
			}
		}
	}
	return nil
}
