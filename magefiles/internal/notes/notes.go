// Package notes writes the release notes: what is in a release, what differs from
// the one before it, how its audits ended, which vulnerabilities are known in it,
// and how to verify it. It takes values and reads no file and no clock: the same
// input gives the same bytes.
//
// What it shows was chosen by many: upstream, whoever wrote a patch, whoever
// answered an advisory, the release before. Each text stays text on its line, as
// package page has it; none becomes a link, a mention, a tag, a heading or another
// column. What stands between the fences of a command is refused unless it is made
// of letters, digits and what file names have.
package notes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/page"
	"palisade/attestations/spdx"
	"palisade/attestations/vex"
)

// ErrInput is what every refusal wraps.
var ErrInput = errors.New("no release notes can be made of this")

// An Input is all that notes are made of.
type Input struct {
	Distribution string // as release.json has it
	Release      string // its version, "" of results that are no release
	Commit       string // that it was made of, "" if not said
	Since        string // version of the release before, "" if there is none or it is not known

	New   *artifact.Manifest
	Old   *artifact.Manifest // of the release before, nil if there is none, or it is not at hand
	First bool               // there is none

	// Summaries has the first line of a patch's description, by the patch's digest.
	Summaries map[artifact.Digest]string
	// Changes are what differs between the documents of archives, as spdx.Diff has
	// it. Of an archive that the release before did not have there are none.
	Changes []Changed
	// Audits has the verdict of an archive's audit, and Known what is known of its
	// vulnerabilities, by its name. An archive without either says so.
	Audits map[string]Audit
	Known  map[string]vex.Document
}

// Changed is what differs between two archives of one component.
type Changed struct {
	Archive string // of this release
	Changes []spdx.Change
}

// An Audit is how one ended.
type Audit struct {
	Result          string   // PASSED or FAILED
	Passed, Skipped int      // how many checks
	Failed          []string // ids of checks, sorted
}

// plain is what may stand in a command.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$`)

// Markdown writes the notes for GitHub's Markdown.
func Markdown(in Input) ([]byte, error) {
	if err := in.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	index, err := in.New.Encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	w := &writer{Input: in}
	w.head()
	w.components()
	w.patches()
	w.dependencies()
	w.audits()
	w.vulnerabilities()
	w.digests(artifact.DigestBytes(index))
	w.verifying()
	return w.Bytes(), nil
}

func (in Input) validate() error {
	if in.New == nil || len(in.New.Artifacts) == 0 {
		return errors.New("there is no artifact")
	}
	if in.First && (in.Old != nil || in.Since != "" || len(in.Changes) > 0) {
		return errors.New("something is before the first release")
	}
	if in.Release != "" && !plain.MatchString(in.Release) {
		return fmt.Errorf("the release's version is %.200q", in.Release)
	}
	names := map[string]bool{}
	for _, r := range in.New.Artifacts {
		if names[r.Name] = true; !plain.MatchString(r.Name) {
			return fmt.Errorf("an artifact is called %.200q", r.Name)
		}
	}
	for _, c := range in.Changes {
		if !names[c.Archive] {
			return fmt.Errorf("something changed in %.200q, which is not in the release", c.Archive)
		}
	}
	for name, a := range in.Audits {
		if !names[name] || a.Result != "PASSED" && a.Result != "FAILED" || (a.Result == "PASSED") != (len(a.Failed) == 0 && a.Passed > 0) {
			return fmt.Errorf("%.200q has the audit %+v", name, a)
		}
	}
	for name := range in.Known {
		if !names[name] {
			return fmt.Errorf("vulnerabilities are known of %.200q, which is not in the release", name)
		}
	}
	return nil
}

// A writer writes one section after the other.
type writer struct {
	Input
	bytes.Buffer
}

func (w *writer) say(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// section begins one.
func (w *writer) section(title string) { w.say("\n## %s\n", title) }

// table writes rows, of which each value is Markdown already.
func (w *writer) table(header []string, rows [][]string) {
	w.say("| %s |", strings.Join(header, " | "))
	w.say("|%s", strings.Repeat("---|", len(header)))
	for _, r := range rows {
		w.say("| %s |", strings.Join(r, " | "))
	}
}

func (w *writer) head() {
	title := w.Distribution
	if w.Release != "" {
		title += " " + w.Release
	}
	w.say("# %s\n", page.Prose(title))
	switch {
	case w.First:
		w.say("The first release.")
	case w.Old == nil:
		w.say("The release before was not at hand: what changed is not said.")
	case w.Since != "":
		w.say("What changed since %s.", page.Prose(w.Since))
	default:
		w.say("What changed since the release before.")
	}
	if w.Commit != "" {
		w.say("Made of the commit %s.", page.Code(w.Commit))
	}
}

// A component is one in one variant, whatever the platform.
type component struct{ name, variant string }

func (c component) String() string {
	if c.variant == "hardened" {
		return c.name
	}
	return c.name + " " + c.variant
}

// A state is what there is of a component in a release.
type state struct {
	versions, upstream, goes []string // sorted; one each, unless platforms differ
	platforms                []string
}

// states are those of m, none of nil.
func states(m *artifact.Manifest) map[component]state {
	all := map[component]state{}
	if m == nil {
		return all
	}
	add := func(list []string, s string) []string {
		at, found := slices.BinarySearch(list, s)
		if found {
			return list
		}
		return slices.Insert(list, at, s)
	}
	for _, r := range m.Artifacts {
		c := component{r.Component, r.Variant}
		s := all[c]
		s.versions, s.upstream = add(s.versions, r.Version), add(s.upstream, r.UpstreamVersion)
		s.platforms = add(s.platforms, r.Platform.String())
		for _, t := range r.Toolchains {
			if t.Name == "go" {
				s.goes = add(s.goes, t.Version)
			}
		}
		all[c] = s
	}
	return all
}

func sorted[V any](all map[component]V) []component {
	var keys []component
	for c := range all {
		keys = append(keys, c)
	}
	slices.SortFunc(keys, func(a, b component) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.variant, b.variant))
	})
	return keys
}

// moved is what something is, and what it was if that is another.
func moved(was, is []string) string {
	now := codes(is)
	if len(was) == 0 || slices.Equal(was, is) {
		return now
	}
	return codes(was) + " → " + now
}

func codes(list []string) string {
	var all []string
	for _, s := range list {
		all = append(all, page.Code(s))
	}
	return strings.Join(all, ", ")
}

func (w *writer) components() {
	w.section("Components")
	was, is := states(w.Old), states(w.New)
	var rows [][]string
	for _, c := range sorted(is) {
		now, before := is[c], was[c]
		what := "unchanged"
		switch {
		case len(before.versions) == 0 && w.Old != nil:
			what = "new"
		case w.Old == nil:
			what = ""
		case !slices.Equal(before.upstream, now.upstream):
			what = "upstream's version is another"
		case !slices.Equal(before.versions, now.versions):
			what = "ours is another"
		case w.rebuilt(c):
			what = "built anew"
		}
		row := []string{page.Prose(c.String()), moved(before.upstream, now.upstream), moved(before.versions, now.versions), moved(before.goes, now.goes), moved(before.platforms, now.platforms)}
		if w.Old != nil {
			row = append(row, what)
		}
		rows = append(rows, row)
	}
	header := []string{"component", "upstream", "version", "Go", "platforms"}
	if w.Old != nil {
		header = append(header, "")
	}
	w.table(header, rows)
	var gone []string
	for _, c := range sorted(was) {
		if _, there := is[c]; !there {
			gone = append(gone, page.Prose(c.String()))
		}
	}
	if len(gone) > 0 {
		w.say("\nNo longer in the release: %s.", strings.Join(gone, ", "))
	}
}

// rebuilt reports whether an archive of c has other bytes than the release
// before had under the name.
func (w *writer) rebuilt(c component) bool {
	before := map[string]artifact.Digest{}
	for _, r := range w.Old.Artifacts {
		before[r.Name] = r.Digest
	}
	return slices.ContainsFunc(w.New.Artifacts, func(r artifact.Record) bool {
		return r.Component == c.name && r.Variant == c.variant && before[r.Name] != r.Digest
	})
}
