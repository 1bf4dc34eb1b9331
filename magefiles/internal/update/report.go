package update

import (
	"encoding/json"
	"fmt"
	"go/version"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Schema names the form of a Report.
const Schema = "palisade.update.v1"

// The kinds of what a Report tells of.
const (
	Upstream  = "upstream"  // the module that a recipe is about
	Toolchain = "toolchain" // Go
	Linked    = "linked"    // a module that recipes link
)

// A Report is what was found, in the order of kind and name.
type Report struct {
	Schema   string    `json:"schema"`
	Subjects []Subject `json:"subjects"`
}

// A Subject is one thing that is pinned, and whose recipes pin it.
type Subject struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"` // the component; "go"; the module's path
	Recipes []string `json:"recipes"`
	Pinned  string   `json:"pinned"` // as upstream counts
	Newest  string   `json:"newest,omitempty"`
	Go      string   `json:"go,omitempty"` // with which it is built
	Behind  bool     `json:"behind"`
	Unknown string   `json:"unknown,omitempty"` // why nothing is known
	Found   *Found   `json:"found,omitempty"`

	release func(string) string // of what Found counts
}

// NewSubject tells what was found, or that it is not known. Release is the
// version as upstream counts of one that Found has; nil if they are the same.
func NewSubject(kind, name string, recipes []string, f Found, unknown error, release func(string) string) Subject {
	if release == nil {
		release = func(v string) string { return v }
	}
	s := Subject{Kind: kind, Name: name, Recipes: slices.Sorted(slices.Values(recipes)), Pinned: release(f.Current), release: release}
	if unknown != nil {
		s.Unknown = line(unknown.Error())
		return s
	}
	s.Found, s.Behind = &f, f.Behind()
	if kind == Linked { // upstream chooses what it links, unless that was withdrawn
		s.Behind = f.Retracted != nil
	}
	if v, ok := f.Newest(); ok {
		s.Newest = release(v.Version)
	}
	return s
}

// NewReport sorts the subjects.
func NewReport(subjects []Subject) Report {
	kinds := []string{Upstream, Toolchain, Linked}
	sorted := slices.Clone(subjects)
	slices.SortStableFunc(sorted, func(a, b Subject) int {
		if a.Kind != b.Kind {
			return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind)
		}
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return semver.Compare(semverOf(a.Pinned), semverOf(b.Pinned))
	})
	return Report{Schema: Schema, Subjects: sorted}
}

func semverOf(v string) string { return "v" + strings.TrimPrefix(v, "v") }

// Encode is the report as JSON.
func (r Report) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	return append(data, '\n'), err
}

// Behind names what is behind.
func (r Report) Behind() []string {
	return r.names(func(s Subject) bool { return s.Behind })
}

// Unknown names what nothing is known of.
func (r Report) Unknown() []string {
	return r.names(func(s Subject) bool { return s.Unknown != "" })
}

func (r Report) names(which func(Subject) bool) []string {
	var all []string
	for _, s := range r.Subjects {
		if which(s) {
			all = append(all, s.Name)
		}
	}
	return all
}

// Header is that of Rows.
func Header() []string { return []string{"WHAT", "PINNED", "NEWER", "FOUND", "NOTE"} }

// Rows is a row of each subject, and one for each further note.
func (r Report) Rows() [][]string {
	var rows [][]string
	for _, s := range r.Subjects {
		newer, how := "-", "-"
		if s.Found != nil {
			how = string(s.Found.How)
			var all []string
			for _, v := range s.Found.Newer {
				all = append(all, s.release(v.Version))
			}
			if s.Kind == Linked {
				all = all[max(0, len(all)-1):]
			}
			if len(all) > 0 {
				newer = strings.Join(all, ", ")
			}
		}
		notes := s.notes()
		rows = append(rows, []string{s.Name, s.Pinned, newer, how, notes[0]})
		for _, n := range notes[1:] {
			rows = append(rows, []string{"", "", "", "", n})
		}
	}
	return rows
}

// notes is what there is to say of a subject, at least one line.
func (s Subject) notes() []string {
	if s.Unknown != "" {
		return []string{"UNKNOWN: " + s.Unknown}
	}
	var all []string
	note := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	f := s.Found
	if f.Retracted != nil {
		note("RETRACTED: %s: %s", s.Pinned, f.Retracted.Why)
	}
	if f.Deprecated != "" {
		note("DEPRECATED: %s", f.Deprecated)
	}
	for _, w := range f.Withdrawn {
		note("not %s, which is retracted: %s", s.release(w.Version), w.Why)
	}
	for _, u := range f.Unconfirmed {
		note("not %s, which is not confirmed: %s", s.release(u.Version), u.Why)
	}
	if v, ok := f.Newest(); ok && s.Go != "" && version.Compare("go"+v.Go, "go"+s.Go) > 0 {
		note("%s asks for Go %s, and what is pinned is %s", s.Newest, line(v.Go), s.Go)
	}
	if f.LeftOut > 0 && s.Kind != Linked {
		note("and %d before these", f.LeftOut)
	}
	if v := f.Next; v != nil {
		if s.Kind == Toolchain {
			note("a later minor version: %s", v.Version)
		} else {
			note("a later major version: %s %s", v.Path, v.Version)
		}
	}
	if f.Refused != "" && s.Kind != Linked {
		note("no list: %s", f.Refused)
	}
	if len(f.Newer) == 0 && f.Retracted == nil && f.Deprecated == "" {
		none := "up to date"
		if f.How == Probed {
			none = "none of the next numbers is to be had"
		}
		all = append([]string{none}, all...)
	}
	if len(all) == 0 {
		all = []string{""}
	}
	return all
}
