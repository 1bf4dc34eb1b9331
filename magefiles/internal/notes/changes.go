package notes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/page"
	"palisade/attestations/spdx"
)

// record is the artifact called name, which validate has seen.
func (w *writer) record(name string) artifact.Record {
	i := slices.IndexFunc(w.New.Artifacts, func(r artifact.Record) bool { return r.Name == name })
	return w.New.Artifacts[i]
}

// A shared change is one, and the components in which it is the same.
type shared struct {
	change spdx.Change
	in     []string
}

// sharing puts what is the same in several archives together, in the order of
// spdx.Compare.
func (w *writer) sharing(which func(spdx.Change) bool) (all []shared) {
	for _, c := range w.Changes {
		r := w.record(c.Archive)
		of := component{r.Component, r.Variant}.String()
		for _, change := range c.Changes {
			if !which(change) {
				continue
			}
			at, found := slices.BinarySearchFunc(all, change, func(s shared, c spdx.Change) int { return spdx.Compare(s.change, c) })
			if !found {
				all = slices.Insert(all, at, shared{change: change})
			}
			if i, there := slices.BinarySearch(all[at].in, of); !there {
				all[at].in = slices.Insert(all[at].in, i, of)
			}
		}
	}
	return all
}

// isDependency reports whether c is of a version of what is linked or embedded, or
// of what compiled it. That a patched module has another version says the one that
// it is made from, and its patches.
func isDependency(c spdx.Change) bool {
	switch c.What {
	case spdx.OfModule, spdx.OfPackage, spdx.OfToolchain:
	default:
		return false
	}
	switch c.Kind {
	case spdx.Raised, spdx.Lowered, spdx.Added, spdx.Removed, spdx.ContentChanged:
	case spdx.Changed:
		if c.Detail != "" {
			return false
		}
	default:
		return false
	}
	return c.Kind == spdx.ContentChanged || !strings.HasSuffix(c.Name, " (patched)")
}

func (w *writer) dependencies() {
	if w.Old == nil {
		return
	}
	w.section("Dependencies")
	all := w.sharing(isDependency)
	if len(all) == 0 {
		w.say("The same as before.")
	} else {
		// What is raised comes first: for that one reads this.
		slices.SortStableFunc(all, func(a, b shared) int { return cmp.Compare(order(a.change.Kind), order(b.change.Kind)) })
		var rows [][]string
		for _, s := range all {
			rows = append(rows, []string{kinds[s.change.Kind], page.Code(s.change.Name), page.Code(s.change.From), page.Code(s.change.To), page.Prose(strings.Join(s.in, ", "))})
		}
		w.table([]string{"", "what", "before", "now", "in"}, rows)
	}
	licences := w.sharing(func(c spdx.Change) bool { return c.Kind == spdx.LicenceChanged || c.Kind == spdx.SupplierChanged })
	if len(licences) == 0 {
		return
	}
	w.say("\nLicences and suppliers:\n")
	for _, s := range licences {
		w.say("- %s: %s", page.Prose(strings.Join(s.in, ", ")), page.Code(s.change.String()))
	}
}

var kinds = map[spdx.Kind]string{
	spdx.Raised: "raised", spdx.Lowered: "lowered", spdx.Added: "added", spdx.Removed: "removed",
	spdx.Changed: "changed", spdx.ContentChanged: "**other content under the same version**",
}

func order(k spdx.Kind) int {
	return slices.Index([]spdx.Kind{spdx.ContentChanged, spdx.Raised, spdx.Lowered, spdx.Changed, spdx.Added, spdx.Removed}, k)
}

func (w *writer) audits() {
	w.section("Audits")
	var rows [][]string
	var failed []string
	for _, r := range w.New.Artifacts {
		a, ran := w.Audits[r.Name]
		if !ran {
			rows = append(rows, []string{page.Code(r.Name), "not audited", "", "", ""})
			continue
		}
		result := "passed"
		if a.Result != "PASSED" {
			result = "**failed**"
			failed = append(failed, fmt.Sprintf("- %s: %s", page.Code(r.Name), codes(a.Failed)))
		}
		rows = append(rows, []string{page.Code(r.Name), result, fmt.Sprint(a.Passed), fmt.Sprint(len(a.Failed)), fmt.Sprint(a.Skipped)})
	}
	w.table([]string{"artifact", "", "checks passed", "failed", "skipped"}, rows)
	if len(failed) > 0 {
		w.say("\nWhat failed:\n\n%s", strings.Join(failed, "\n"))
	}
}
