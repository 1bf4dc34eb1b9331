package notes

import (
	"maps"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/page"
)

// A patch is one as a release names it.
type patch struct {
	module, version, file string // prometheus, v0.315.0, 0001-no-old-ui.patch
	digest                artifact.Digest
}

// String is its name without the version that it is for: under that it is known
// again when it was carried over to another.
func (p patch) String() string { return path.Join(p.module, p.file) }

// patchesOf are those of m, by module and file. One that is applied to several
// versions of a module is there for the last of them.
func patchesOf(m *artifact.Manifest) map[string]patch {
	all := map[string]patch{}
	if m == nil {
		return all
	}
	for _, r := range m.Artifacts {
		for _, changed := range r.Patched {
			for _, f := range changed.Patches {
				p := patch{file: path.Base(f.Name), digest: f.Digest}
				p.module, p.version = path.Split(path.Dir(f.Name))
				p.module = strings.TrimSuffix(p.module, "/")
				if last, ok := all[p.String()]; !ok || last.version < p.version {
					all[p.String()] = p
				}
			}
		}
	}
	return all
}

func (w *writer) patches() {
	w.section("Patches")
	was, is := patchesOf(w.Old), patchesOf(w.New)
	var added, changed, dropped []patch
	carried := 0
	for _, name := range slices.Sorted(maps.Keys(is)) {
		before, there := was[name]
		switch {
		case !there:
			added = append(added, is[name])
		case before.digest != is[name].digest:
			changed = append(changed, is[name])
		default:
			carried++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, there := is[name]; !there {
			dropped = append(dropped, was[name])
		}
	}
	if len(is)+len(was) == 0 {
		w.say("Nothing of upstream's is changed.")
		return
	}
	if w.Old == nil {
		w.listed("", added)
		return
	}
	if len(added)+len(changed)+len(dropped) == 0 {
		w.say("The same %d as before.", carried)
		return
	}
	w.listed("Added:", added)
	w.listed("Changed:", changed)
	w.listed("Dropped:", dropped)
	w.say("Unchanged: %d.", carried)
}

// listed lists patches, if there are any.
func (w *writer) listed(title string, list []patch) {
	if len(list) == 0 {
		return
	}
	if title != "" {
		w.say("%s\n", title)
	}
	for _, p := range list {
		line := page.Code(p.String())
		if p.version != "" {
			line += " for " + page.Code(p.version)
		}
		if summary := page.Prose(w.Summaries[p.digest]); summary != "" {
			line += ": " + summary
		}
		w.say("- %s", line)
	}
	if w.Old != nil {
		w.say("")
	}
}
