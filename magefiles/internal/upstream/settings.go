package upstream

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"palisade/magefiles/internal/goprogram"
)

// settings compares how the programs were built.
func (j *judge) settings() {
	a, b := settingsOf(j.a.info), settingsOf(j.b.info)
	equal := 0
	for _, key := range slices.Sorted(maps.Keys(union(a, b))) {
		va, inA := a[key]
		vb, inB := b[key]
		what := "setting " + key
		switch {
		case inA == inB && va == vb:
			equal++
		case key == "-tags":
			j.tags(va, vb)
		case key == "-trimpath":
			j.say(what, va, vb, when(va == "true" && !inB, Trimpath))
		case key == "-ldflags":
			j.say(what, va, vb, when(!inA && a["-trimpath"] == "true" && j.static(), Ldflags))
		case key == "DefaultGODEBUG":
			j.say(what, va, vb, when(j.defaulted(va, vb), Language))
		case strings.HasPrefix(key, "vcs"):
			j.say(what, va, vb, when(!inA && j.clone(key, vb), Checkout))
		default:
			j.say(what, va, vb, Unexplained)
		}
	}
	j.counted(equal, "build settings")
}

func settingsOf(info *debug.BuildInfo) map[string]string {
	found := map[string]string{}
	for _, s := range info.Settings {
		found[s.Key] = s.Value
	}
	return found
}

// static reports whether all that upstream's linker was told beside stamps is
// promu's -extldflags '-static', and there is no cgo.
func (j *judge) static() bool {
	if settingsOf(j.b.info)["CGO_ENABLED"] != "0" {
		return false
	}
	return len(j.b.linker) == 0 || slices.Equal(j.b.linker, []string{"-extldflags", "-static"})
}

// clone reports whether a setting is what Go writes down of a clone that stands at
// the commit that ours is of.
func (j *judge) clone(key, theirs string) bool {
	switch key {
	case "vcs":
		return theirs == "git"
	case "vcs.revision":
		return j.commit(theirs)
	case "vcs.time":
		_, err := time.Parse(time.RFC3339, theirs)
		return err == nil && j.commit(settingsOf(j.b.info)["vcs.revision"])
	case "vcs.modified":
		// In a clone lies what its commit does not hold where the interface was built
		// in it, which is compared by itself.
		return theirs == "false" || theirs == "true" && j.builtIn()
	}
	return false
}

// defaulted reports whether each setting of GODEBUG that is not alike is what Go's
// own table gives for the go lines of the two main modules.
func (j *judge) defaulted(ours, theirs string) bool {
	goMod, err := modfile.ParseLax("go.mod", j.k.Recipe.Lock.GoMod, nil)
	if err != nil || goMod.Go == nil {
		return false
	}
	a, okA := debugsOf(ours)
	b, okB := debugsOf(theirs)
	wantA, wantB := j.k.Source.defaults(goMod.Go.Version), j.k.Source.defaults(j.k.Source.Language)
	if !okA || !okB || wantA == nil || wantB == nil {
		return false
	}
	for key := range union(a, b) {
		if a[key] != b[key] && (a[key] != wantA[key] || b[key] != wantB[key]) {
			return false
		}
	}
	return true
}

// debugsOf takes apart a list of settings, and reports whether it has none twice.
func debugsOf(list string) (map[string]string, bool) {
	found := map[string]string{}
	for word := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(word, "=")
		if _, twice := found[key]; twice || !ok && word != "" {
			return nil, false
		}
		if ok {
			found[key] = value
		}
	}
	return found, true
}

// tags judges each build tag. One is explained only where ours has what the recipe
// says, and theirs what .promu.yml does.
func (j *judge) tags(ours, theirs string) {
	a, b := tagsOf(ours), tagsOf(theirs)
	told := [2]map[string]bool{tagsOf(strings.Join(j.k.tags(), ",")), tagsOf(strings.Join(j.k.Source.Tags, ","))}
	cgo := settingsOf(j.a.info)["CGO_ENABLED"] != "0" || settingsOf(j.b.info)["CGO_ENABLED"] != "0"
	for _, tag := range slices.Sorted(maps.Keys(union(a, b))) {
		as := a[tag] == told[0][tag] && b[tag] == told[1][tag]
		switch what := "build tag " + tag; {
		case a[tag] == b[tag]:
			j.agree(j.name, "%s", printable(what))
		case tag == "netgo":
			j.say(what, yes(a[tag]), yes(b[tag]), when(as && !cgo, Netgo))
		case tag == "timetzdata":
			j.say(what, yes(a[tag]), yes(b[tag]), when(as && a[tag], Timezones))
		default:
			j.say(what, yes(a[tag]), yes(b[tag]), Unexplained)
		}
	}
}

func tagsOf(s string) map[string]bool {
	found := map[string]bool{}
	for _, tag := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		found[tag] = true
	}
	return found
}

func yes(b bool) string {
	if b {
		return "set"
	}
	return ""
}

// packages compares of which packages there is code.
func (j *judge) packages() {
	if j.a.packages == nil || j.b.packages == nil {
		why := cmp.Or(j.a.err, j.b.err)
		if why == nil {
			j.unseen(j.name, "packages: a program has no table of its functions")
			return
		}
		j.unseen(j.name, "packages: %s", printable(why.Error()))
		return
	}
	a, b := countsOf(j.a.packages), countsOf(j.b.packages)
	equal := 0
	for _, path := range slices.Sorted(maps.Keys(union(a, b))) {
		if a[path] > 0 && b[path] > 0 {
			equal++
			continue
		}
		j.say("package "+path, functions(a[path]), functions(b[path]), j.whyPackage(path, a[path], b[path]))
	}
	j.counted(equal, "packages of which there is code")
}

func countsOf(all []goprogram.Package) map[string]int {
	found := map[string]int{}
	for _, p := range all {
		found[p.Path] = p.Functions
	}
	return found
}

func functions(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d functions", n)
}

// whyPackage is why only one side has code of a package. What another Go has made
// is explained only where it could be nothing else: packages that only Go's own
// library can import, and those that the Go that builds ours does not have.
func (j *judge) whyPackage(path string, ours, theirs int) Reason {
	info := j.a.info
	tagged := tagsOf(settingsOf(info)["-tags"])["timetzdata"] && !tagsOf(settingsOf(j.b.info)["-tags"])["timetzdata"]
	elements := strings.Split(path, "/")
	private := standard(path) && (slices.Contains(elements, "internal") || elements[0] == "vendor")
	switch {
	case path == "time/tzdata" && ours > 0 && tagged && slices.Contains(j.k.tags(), "timetzdata"):
		return Timezones
	case j.toolchains() && (private || standard(path) && ours == 0 && !j.k.Source.standard(path)):
		return Toolchain
	case j.sealed(&info.Main) && ours > 0 && (standard(path) || path == info.Main.Path || strings.HasPrefix(path, info.Main.Path+"/")):
		return Sealed
	}
	return Unexplained
}
