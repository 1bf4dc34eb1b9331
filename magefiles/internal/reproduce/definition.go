package reproduce

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// A Change is one thing of a build's definition that the rebuilt one has not as
// the given one has it.
type Change struct {
	What        string // "module golang.org/x/net"
	There, Here string // of the provenance that was given, and of the rebuild
}

// nothing stands where one side has no such thing.
const nothing = "nothing"

// String is the change in one line of printable characters.
func (c Change) String() string {
	return shown(c.What) + ": " + shown(c.There) + " there, " + shown(c.Here) + " here"
}

// shown is what may be printed of a value that somebody else wrote, and line of
// a line.
func shown(s string) string { return printable(s, 200) }

func line(s string) string { return printable(s, 1000) }

func printable(s string, longest int) string {
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	if !intoto.Printable(s) {
		s = fmt.Sprintf("%q", s)
	}
	return s
}

// ArchiveChanges compares what two builds of an archive were of: every field of
// the definitions, but for those that say something of a machine alone:
//
//   - whether caches were shared, and the files of the machine that could be seen;
//   - the repository of the distribution: that its files are those of the
//     definition is known by their digests;
//   - the toolchains, but for their versions, where the one machine is of another
//     platform than the other, and they are not called the same on both;
//   - what the sandboxes say of themselves, where the given ones were not hermetic:
//     why they were not is the machine's. Which there were, and that a hermetic one
//     stays one with the same namespaces, is compared;
//   - of a given one that an executor elsewhere ran, which that was, on which
//     worker, and the namespaces, which nobody saw there. A rebuild has none: whose
//     surroundings were varied is this machine.
//
// Without a change nil is returned. Changes are in the order of the fields, and
// sorted within one.
func ArchiveChanges(given, rebuilt provenance.Provenance) []Change {
	g, r := given.BuildDefinition, rebuilt.BuildDefinition
	var all changes
	ge, re := g.ExternalParameters, r.ExternalParameters
	all.add("component", ge.Component, re.Component)
	all.add("version", ge.Version, re.Version)
	all.add("platform", ge.Platform.String(), re.Platform.String())
	all.add("variant", ge.Variant, re.Variant)
	all.add("recipe", text(ge.Recipe), text(re.Recipe))
	all.add("distribution.yaml", text(ge.Distribution), text(re.Distribution))
	gi, ri := g.InternalParameters, r.InternalParameters
	all.add("time of what is in it", fmt.Sprint(gi.SourceDateEpoch), fmt.Sprint(ri.SourceDateEpoch))
	all.add("command of the compiler", fmt.Sprintf("%q", gi.Command), fmt.Sprintf("%q", ri.Command))
	for _, key := range union(gi.Environment, ri.Environment) {
		all.add("variable "+key+" of the compiler", valueOf(gi.Environment, key), valueOf(ri.Environment, key))
	}
	all.sandboxes(gi.Sandboxes, ri.Sandboxes)
	all.dependencies(g.ResolvedDependencies, r.ResolvedDependencies)
	if len(all) > 0 {
		return all
	}
	return unnamed(sameMachine(given, rebuilt), rebuilt)
}

// ImageChanges is ArchiveChanges for images: only whether caches were shared, and
// the repository, are not compared.
func ImageChanges(given, rebuilt provenance.Image) []Change {
	g, r := given.BuildDefinition, rebuilt.BuildDefinition
	var all changes
	ge, re := g.ExternalParameters, r.ExternalParameters
	all.add("component", ge.Component, re.Component)
	all.add("version", ge.Version, re.Version)
	all.add("platforms", fmt.Sprint(ge.Platforms), fmt.Sprint(re.Platforms))
	all.add("variant", ge.Variant, re.Variant)
	all.add("recipe", text(ge.Recipe), text(re.Recipe))
	all.add("distribution.yaml", text(ge.Distribution), text(re.Distribution))
	all.add("time of what is in it", fmt.Sprint(g.InternalParameters.SourceDateEpoch), fmt.Sprint(r.InternalParameters.SourceDateEpoch))
	all.dependencies(g.ResolvedDependencies, r.ResolvedDependencies)
	if len(all) > 0 {
		return all
	}
	same := given
	same.Subject, same.RunDetails = rebuilt.Subject, rebuilt.RunDetails
	same.BuildDefinition.InternalParameters.Cache = r.InternalParameters.Cache
	same.BuildDefinition.ResolvedDependencies = r.ResolvedDependencies // compared above, whole
	var found []Change
	for _, field := range same.Differs(rebuilt) {
		found = append(found, Change{field, "one value", "another"})
	}
	return found
}

// sameMachine is given with what is particular to the machine of rebuilt.
func sameMachine(given, rebuilt provenance.Provenance) provenance.Provenance {
	given.Subject, given.RunDetails = rebuilt.Subject, rebuilt.RunDetails
	d, r := &given.BuildDefinition, rebuilt.BuildDefinition
	d.InternalParameters.Cache = r.InternalParameters.Cache
	d.InternalParameters.Sandboxes, d.InternalParameters.Hermetic = r.InternalParameters.Sandboxes, r.InternalParameters.Hermetic
	d.ResolvedDependencies = r.ResolvedDependencies
	return given
}

// unnamed finds a field that nobody has given a name here: a later version may
// write it. What is not known is not equal.
func unnamed(given, rebuilt provenance.Provenance) []Change {
	var all []Change
	for _, field := range given.Differs(rebuilt) {
		all = append(all, Change{field, "one value", "another"})
	}
	return all
}

type changes []Change

func (all *changes) add(what, there, here string) {
	if there != here {
		*all = append(*all, Change{what, there, here})
	}
}

func (all *changes) sandboxes(given, rebuilt map[string]provenance.Sandbox) {
	for _, what := range union(given, rebuilt) {
		g, inGiven := given[what]
		r, inRebuilt := rebuilt[what]
		if inGiven && inRebuilt && r.Executor == "" {
			g = onMachine(g, r)
		}
		all.add("sandbox of the "+what, confined(g, inGiven), confined(r, inRebuilt))
		if confined(g, inGiven) == confined(r, inRebuilt) && !reflect.DeepEqual(g, r) {
			all.add("sandbox of the "+what, fmt.Sprintf("%+v", g), fmt.Sprintf("%+v", r))
		}
	}
}

// onMachine is what would have been said of the given sandbox on the machine that
// rebuilt says it of. What may differ is named: another field is the definition's.
func onMachine(given, rebuilt provenance.Sandbox) provenance.Sandbox {
	switch {
	case !given.Hermetic:
		given.Hermetic, given.Reason = rebuilt.Hermetic, rebuilt.Reason
		given.Executor, given.Worker, given.Namespaces = rebuilt.Executor, rebuilt.Worker, rebuilt.Namespaces
	case given.Executor != "" && rebuilt.Hermetic:
		given.Executor, given.Worker, given.Namespaces = rebuilt.Executor, rebuilt.Worker, rebuilt.Namespaces
	}
	return given
}

func confined(s provenance.Sandbox, there bool) string {
	switch {
	case !there:
		return nothing
	case !s.Hermetic:
		return "not hermetic (" + s.Reason + ")"
	case s.Executor != "":
		return "hermetic, as " + s.Executor + " promises of worker " + s.Worker
	}
	return "hermetic by " + strings.Join(s.Namespaces, ", ")
}

// dependencies pairs what is called alike, and tells how a pair differs.
func (all *changes) dependencies(given, rebuilt []intoto.Resource) {
	there, here := grouped(given), grouped(rebuilt)
	sameHost := hostOf(there) == hostOf(here)
	for _, key := range union(there, here) {
		a, b := there[key], here[key]
		// One of the same name runs anywhere.
		if strings.HasPrefix(key, toolchainKey) && !sameHost && len(a) == 1 && len(b) == 1 && a[0].Name != b[0].Name {
			all.add(key, versionOfTool(a[0]), versionOfTool(b[0]))
			continue
		}
		for _, pair := range paired(a, b) {
			all.resource(key, pair[0], pair[1])
		}
	}
}

// resource tells how two resources of one key differ, which they do: also where
// what is shown of both is the same. Either may be nil.
func (all *changes) resource(key string, a, b *intoto.Resource) {
	before := len(*all)
	all.fields(key, a, b)
	if len(*all) == before {
		*all = append(*all, Change{key, "one", "another"})
	}
}

func (all *changes) fields(key string, a, b *intoto.Resource) {
	switch {
	case a == nil || b == nil || a.Name != b.Name:
		all.add(key, calledIn(key, a), calledIn(key, b))
		return
	case !strings.HasSuffix(key, " "+a.Name):
		key += " " + calledIn(key, a)
	}
	for _, algorithm := range union(a.Digest, b.Digest) {
		all.add(key+", its "+algorithm, valueOf(a.Digest, algorithm), valueOf(b.Digest, algorithm))
	}
	for _, annotation := range union(a.Annotations, b.Annotations) {
		all.add(key+", its "+annotation, valueOf(a.Annotations, annotation), valueOf(b.Annotations, annotation))
	}
	x, y := *a, *b
	x.Digest, x.Annotations = y.Digest, y.Annotations
	if !reflect.DeepEqual(x, y) {
		all.add(key, fmt.Sprintf("%+v", x), fmt.Sprintf("%+v", y))
	}
}

// calledIn is what a resource is called beside its key: its version, mostly.
func calledIn(key string, r *intoto.Resource) string {
	if r == nil {
		return nothing
	}
	if name, version := cut(r.Name); version != "" && strings.HasSuffix(key, " "+name) {
		return version
	}
	return r.Name
}

const toolchainKey = "toolchain "

// grouped are the dependencies that are compared, by what they are called
// without a version.
func grouped(list []intoto.Resource) map[string][]intoto.Resource {
	all := map[string][]intoto.Resource{}
	for _, r := range list {
		if key := keyOf(r); key != "" {
			all[key] = append(all[key], r)
		}
	}
	return all
}

// keyOf is what a dependency is called without its version; nothing if it is not
// compared.
func keyOf(r intoto.Resource) string {
	name, _ := cut(r.Name)
	roles := r.Annotations["roles"]
	is := func(role provenance.Role) bool { return slices.Contains(strings.Split(roles, ","), string(role)) }
	switch {
	case roles == string(provenance.RoleRepository), roles == string(provenance.RoleHost): // and nothing else besides
		return ""
	case is(provenance.RoleToolchain):
		return toolchainKey + r.Annotations["tool"]
	case is(provenance.RolePatch):
		return "patch " + r.Name
	case is(provenance.RoleArchive), is(provenance.RoleDocument):
		return r.Annotations["roles"] + " for " + r.Annotations["platform"]
	case is(provenance.RoleCommit):
		return "commit of " + name
	case strings.HasPrefix(r.URI, "pkg:golang/"):
		return "module " + name
	case strings.HasPrefix(r.URI, "pkg:npm/"):
		return "npm package " + name
	}
	return "embedded " + name
}

// hostOf is the platform that the Go toolchain runs on.
func hostOf(all map[string][]intoto.Resource) string {
	for _, r := range all[toolchainKey+"go"] {
		if _, host := cutHost(r.Name); host != "" {
			return host
		}
	}
	return ""
}

// cutHost cuts "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64" before the
// platform.
func cutHost(name string) (before, host string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || !strings.Contains(name[i:], "-") {
		return name, ""
	}
	return name[:i], name[i+1:]
}

func versionOfTool(r intoto.Resource) string {
	_, version := cut(r.Name)
	version, _ = cutHost(version)
	return version
}

// cut cuts name@version at its last "@".
func cut(s string) (name, version string) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// paired pairs what has the same name, then what has the same roles, then what
// is left, in order; what is equal is left out.
func paired(a, b []intoto.Resource) [][2]*intoto.Resource {
	var pairs [][2]*intoto.Resource
	left := slices.Clone(b)
	rest := slices.Clone(a)
	for _, alike := range []func(x, y intoto.Resource) bool{
		func(x, y intoto.Resource) bool { return reflect.DeepEqual(x, y) },
		func(x, y intoto.Resource) bool { return x.Name == y.Name },
		func(x, y intoto.Resource) bool { return x.Annotations["roles"] == y.Annotations["roles"] },
		func(x, y intoto.Resource) bool { return true },
	} {
		var unpaired []intoto.Resource
		for _, x := range rest {
			i := slices.IndexFunc(left, func(y intoto.Resource) bool { return alike(x, y) })
			if i < 0 {
				unpaired = append(unpaired, x)
				continue
			}
			y := left[i]
			left = slices.Delete(left, i, i+1)
			if !reflect.DeepEqual(x, y) {
				pairs = append(pairs, [2]*intoto.Resource{&x, &y})
			}
		}
		rest = unpaired
	}
	for _, x := range rest {
		pairs = append(pairs, [2]*intoto.Resource{&x, nil})
	}
	for _, y := range left {
		pairs = append(pairs, [2]*intoto.Resource{nil, &y})
	}
	slices.SortStableFunc(pairs, func(x, y [2]*intoto.Resource) int { return cmp.Compare(nameOf(x), nameOf(y)) })
	return pairs
}

func nameOf(pair [2]*intoto.Resource) string {
	if pair[0] != nil {
		return pair[0].Name
	}
	return pair[1].Name
}

func union[T any](a, b map[string]T) []string {
	keys := slices.Collect(maps.Keys(a))
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func valueOf[M ~map[string]string](m M, key string) string {
	if value, there := m[key]; there {
		return value
	}
	return nothing
}

func text(d fmt.Stringer) string { return d.String() }
