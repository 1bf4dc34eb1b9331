package upstream

import (
	"fmt"
	"maps"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// programs compares two programs of one name and format.
func (r *Report) programs(name string, ours, theirs Archive, ma, mb member, k Known) error {
	var both [2]program
	for i, of := range []struct {
		archive Archive
		member  member
		whose   string
	}{{ours, ma, "our"}, {theirs, mb, "upstream's"}} {
		data, err := of.archive.load(of.member)
		if err == nil {
			both[i], err = read(data, k.Source.Assets)
		}
		if err != nil {
			return fmt.Errorf("reading %s %s: %w", of.whose, name, err)
		}
	}
	j := &judge{r, name, k, both[0], both[1]}
	j.all()
	return nil
}

// A judge gives the differences between two programs their reasons.
type judge struct {
	*Report
	name string
	k    Known
	a, b program
}

func (j *judge) all() {
	j.same("form", j.a.form, j.b.form)
	j.goVersion()
	j.same("main package", j.a.info.Path, j.b.info.Path)
	j.main()
	j.modules()
	j.settings()
	j.stamps()
	j.files()
	j.streams()
	j.packages()
}

func (j *judge) say(what, ours, theirs string, why Reason) { j.differ(j.name, what, ours, theirs, why) }

// same compares what nothing explains where it differs.
func (j *judge) same(what, ours, theirs string) {
	if ours == theirs {
		j.agree(j.name, "%s %s", what, printable(ours))
		return
	}
	j.say(what, ours, theirs, Unexplained)
}

// counted says of how many both are alike, if of any.
func (j *judge) counted(equal int, what string) {
	if equal > 0 {
		j.agree(j.name, "%d %s", equal, what)
	}
}

// when is the reason where it holds, and none where it does not.
func when(holds bool, why Reason) Reason {
	if holds {
		return why
	}
	return Unexplained
}

func (j *judge) goVersion() {
	a, b := j.a.info.GoVersion, j.b.info.GoVersion
	if a == b {
		j.agree(j.name, "compiled by %s", printable(a))
		return
	}
	j.say("compiler", a, b, when(j.toolchains(), Toolchain))
}

// toolchains reports whether the programs are of the two Gos that they should be of.
func (j *judge) toolchains() bool {
	a, b := j.a.info.GoVersion, j.b.info.GoVersion
	return a != b && a == "go"+j.k.Recipe.Lock.Go && j.k.builder(b)
}

// main compares the modules that the programs are of.
func (j *judge) main() {
	a, b := j.a.info.Main, j.b.info.Main
	if show(&a) == show(&b) && a.Path == b.Path {
		j.agree(j.name, "main module %s", printable(show(&a)))
		return
	}
	m, sum := j.k.source()
	built := a.Path == m.Path && a.Version == m.Version && (j.sealed(&a) || a.Replace == nil && a.Sum == sum && sum != "")
	theirs := b.Path == m.Path && b.Replace == nil && (b.Sum == "" || b.Sum == sum) && j.cloned(b.Version)
	if a.Path != b.Path {
		a.Version, b.Version = a.Path+" "+a.Version, b.Path+" "+b.Version
	}
	j.say("main module", show(&a), show(&b), when(built && theirs, Checkout))
	if built && theirs && j.sealed(&j.a.info.Main) {
		j.say("main module's source", show(&a), m.Version+" "+sum, Sealed)
	}
}

// cloned reports whether it is what Go makes of a clone that stands at the version
// that ours is.
func (j *judge) cloned(version string) bool {
	vcs := settingsOf(j.b.info)
	version, dirty := strings.CutSuffix(version, "+dirty")
	switch {
	case dirty && !(vcs["vcs.modified"] == "true" && j.builtIn()):
		return false
	case version == j.k.Recipe.Lock.Upstream:
		return true
	case version == "(devel)": // of a folder that is no clone, or that Go may not look at
		return !dirty && vcs["vcs.revision"] == ""
	case !module.IsPseudoVersion(version):
		return false
	}
	rev, err := module.PseudoVersionRev(version)
	return err == nil && rev != "" && j.commit(vcs["vcs.revision"]) && strings.HasPrefix(vcs["vcs.revision"], rev)
}

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}$`)

// commit reports whether a commit that theirs names is upstream's of the version:
// the recipe's; where that knows none, any that all of theirs agrees upon.
func (j *judge) commit(theirs string) bool {
	if j.k.Recipe.Commit != "" {
		return theirs == j.k.Recipe.Commit
	}
	inClone, is := settingsOf(j.b.info)["vcs.revision"]
	return commitForm.MatchString(theirs) && theirs == j.b.stamps["Revision"] && (!is || inClone == theirs)
}

// sealed reports whether a module of ours is upstream's with more in it, by the hash
// that the recipe states.
func (j *judge) sealed(m *debug.Module) bool {
	from := module.Version{Path: m.Path, Version: m.Version}
	version, err := j.k.Recipe.SealedVersion(j.k.Distribution, from, vanilla)
	if err != nil || m.Replace == nil || m.Replace.Path != m.Path || m.Replace.Version != version || m.Replace.Replace != nil {
		return false
	}
	sum := j.k.Recipe.Patched[module.Version{Path: m.Path, Version: version}]
	return sum != "" && m.Replace.Sum == sum && slices.Contains(j.k.Recipe.Lock.Requires, from)
}

// builtIn reports whether upstream builds an interface in its clone before it
// compiles, which ours is sealed with.
func (j *judge) builtIn() bool {
	return j.k.Recipe.UI != nil && j.sealed(&j.a.info.Main) && len(j.b.embedded) > 0
}

// modules compares the other modules.
func (j *judge) modules() {
	a, b := modulesOf(j.a.info.Deps), modulesOf(j.b.info.Deps)
	equal := 0
	for _, path := range slices.Sorted(maps.Keys(union(a, b))) {
		if ma, mb := a[path], b[path]; ma != nil && mb != nil && show(ma) == show(mb) {
			equal++
		} else {
			j.say("module "+path, show(ma), show(mb), j.whyModule(ma, mb))
		}
	}
	j.counted(equal, "modules, with versions and hashes")
}

// whyModule is why a module is not alike, or is on one side alone.
func (j *judge) whyModule(ours, theirs *debug.Module) Reason {
	k := j.k
	locked := ours != nil && ours.Replace == nil && k.locked(version(ours), ours.Sum)
	asked := theirs != nil && theirs.Replace == nil && k.Source.requires(version(theirs), theirs.Sum)
	switch {
	case ours == nil:
		_, is := k.Recipe.Lock.Find(theirs.Path)
		return when(asked && !is && j.raised(), Raised)
	case theirs == nil:
		return when(locked && !k.Source.names(ours.Path) && j.raised(), Raised)
	case locked && asked && semver.Compare(ours.Version, theirs.Version) > 0:
		return Raised
	}
	return when(asked && ours.Version == theirs.Version && j.sealed(ours), Sealed)
}

// raised reports whether any module that both have was: a newer version of one may
// need another, or do without.
func (j *judge) raised() bool {
	theirs := modulesOf(j.b.info.Deps)
	return slices.ContainsFunc(j.a.info.Deps, func(m *debug.Module) bool {
		other := theirs[m.Path]
		return other != nil && show(m) != show(other) && j.whyModule(m, other) == Raised
	})
}

func version(m *debug.Module) module.Version {
	return module.Version{Path: m.Path, Version: m.Version}
}

func modulesOf(all []*debug.Module) map[string]*debug.Module {
	found := map[string]*debug.Module{}
	for _, m := range all {
		found[m.Path] = m
	}
	return found
}

func union[V any](a, b map[string]V) map[string]bool {
	all := map[string]bool{}
	for _, m := range []map[string]V{a, b} {
		for k := range m {
			all[k] = true
		}
	}
	return all
}

// show is a module's version and hash.
func show(m *debug.Module) string {
	if m == nil {
		return ""
	}
	s := strings.TrimSpace(m.Version + " " + m.Sum)
	if m.Replace != nil {
		s += " => " + m.Replace.Path + " " + show(m.Replace)
	}
	return s
}

// promu's word where there is no clone.
const noClone = "non-git"

// stampDate is the form of the stamp BuildDate.
const stampDate = "20060102-15:04:05"

var (
	branchForm  = regexp.MustCompile(`^(HEAD|main|master|release-[0-9]+\.[0-9]+)$`)
	builderForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9.-]*$`)
)

// stamps compares what --version shows.
func (j *judge) stamps() {
	if j.a.stamps == nil || j.b.stamps == nil {
		j.unseen(j.name, "what is stamped into it: symbols are stripped, and nothing says what the linker was told")
		return
	}
	for _, name := range stamped {
		a, inA := j.a.stamps[name]
		b, inB := j.b.stamps[name]
		what := "stamp " + name
		if told, is := j.b.told[name]; is && inB && told != b {
			j.say(what+", and what the linker was told", b, told, Unexplained)
		}
		switch {
		case !inA && !inB:
			j.unseen(j.name, "%s", what)
		case a == b && inA == inB:
			j.agree(j.name, "%s %s", what, printable(a))
		default:
			j.say(what, a, b, j.whyStamp(name, a, b))
		}
	}
}

func (j *judge) whyStamp(name, ours, theirs string) Reason {
	r := j.k.Recipe
	none := j.b.stamps["Revision"] == noClone && j.b.stamps["Branch"] == noClone && settingsOf(j.b.info)["vcs.revision"] == ""
	switch name {
	case "Version":
		return when(ours == r.FullVersion(j.k.Distribution, vanilla) && theirs == r.Version, Variant)
	case "Revision":
		if theirs == noClone {
			return when(ours == r.StampedRevision() && none, Checkout)
		}
		return when(r.Commit == "" && ours == r.StampedRevision() && j.commit(theirs), Revision)
	case "Branch":
		return when(ours == "v"+r.Version && (branchForm.MatchString(theirs) || none && theirs == noClone), Stamp)
	case "BuildUser":
		return when(ours == j.k.Distribution.Name && builderForm.MatchString(theirs), Stamp)
	case "BuildDate":
		date, err := time.Parse(stampDate, theirs)
		return when(ours == r.Released.UTC().Format(stampDate) && err == nil && !date.Before(r.Released.Truncate(time.Second)), Stamp)
	}
	return Unexplained
}
