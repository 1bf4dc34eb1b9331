package vuln

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"palisade/attestations/intoto"
	"palisade/attestations/vex"
)

// What is read of the database: of its form more is known to who scans.
// https://go.dev/security/vuln/database
type (
	// A state is index/db.json.
	state struct {
		Modified time.Time `json:"modified"`
	}
	// A listed is what index/modules.json says of one module.
	listed struct {
		Path  string        `json:"path"`
		Vulns []listedEntry `json:"vulns"`
	}
	listedEntry struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	// An entry is ID/GO-….json.
	entry struct {
		ID       string     `json:"id"`
		Modified time.Time  `json:"modified"`
		Aliases  []string   `json:"aliases"`
		Summary  string     `json:"summary"`
		Affected []affected `json:"affected"`
	}
	affected struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Specific struct {
			Imports []struct {
				Path   string   `json:"path"`
				GOOS   []string `json:"goos"`
				GOARCH []string `json:"goarch"`
			} `json:"imports"`
		} `json:"ecosystem_specific"`
	}
)

// Bounds of a database. The official one has some thousand entries of a few
// kilobytes.
var (
	stateLimits = intoto.Limits{Size: 1 << 12, Depth: 4, Items: 100}
	indexLimits = intoto.Limits{Size: 64 << 20, Depth: 8, Items: 200_000}
	entryLimits = intoto.Limits{Size: 4 << 20, Depth: 16, Items: 20_000}
)

const (
	maxEntries = 20_000    // that are of modules that are linked
	maxTotal   = 256 << 20 // bytes of a snapshot
)

// read decodes JSON of others: what it does not know is passed over, but it says
// one thing to every reader.
func read(name string, data []byte, into any, limits intoto.Limits) error {
	var whole json.RawMessage
	err := intoto.Decode(data, &whole, limits)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDatabase, name, err)
	}
	return nil
}

func readState(data []byte) (state, error) {
	var s state
	if err := read(stateName, data, &s, stateLimits); err != nil {
		return s, err
	}
	if s.Modified.Unix() <= 0 {
		return s, fmt.Errorf("%w: %s does not say when it changed", ErrDatabase, stateName)
	}
	s.Modified = s.Modified.UTC()
	return s, nil
}

// readIndex is what the index says of these modules, sorted by path; empty if it
// knows no module at all.
func readIndex(data []byte, modules []string) (ours []listed, empty bool, err error) {
	var all []listed
	if err := read(indexName, data, &all, indexLimits); err != nil {
		return nil, false, err
	}
	ours = []listed{}
	for _, m := range all {
		if !slices.Contains(modules, m.Path) {
			continue
		}
		for i := range m.Vulns {
			v := &m.Vulns[i]
			if v.Modified = v.Modified.UTC(); !vex.ValidID(v.ID) || v.Modified.Unix() <= 0 || len(v.Fixed) > 200 {
				return nil, false, fmt.Errorf("%w: %s lists %.100q of %.200q", ErrDatabase, indexName, v.ID, m.Path)
			}
		}
		slices.SortFunc(m.Vulns, func(a, b listedEntry) int { return strings.Compare(a.ID, b.ID) })
		ours = append(ours, m)
	}
	slices.SortFunc(ours, func(a, b listed) int { return strings.Compare(a.Path, b.Path) })
	for i := range ours {
		twice := i > 0 && ours[i-1].Path == ours[i].Path
		for k := 1; k < len(ours[i].Vulns); k++ {
			twice = twice || ours[i].Vulns[k-1].ID == ours[i].Vulns[k].ID
		}
		if twice {
			return nil, false, fmt.Errorf("%w: %s lists %.200q, or an entry of it, twice", ErrDatabase, indexName, ours[i].Path)
		}
	}
	return ours, len(all) == 0, nil
}

// readEntry holds an entry against what the index says of it.
func readEntry(data []byte, module string, as listedEntry, db state) (entry, error) {
	name := entryName(as.ID)
	var e entry
	if err := read(name, data, &e, entryLimits); err != nil {
		return e, err
	}
	bad := func(format string, args ...any) (entry, error) {
		return e, fmt.Errorf("%w: %s "+format, append([]any{ErrDatabase, name}, args...)...)
	}
	switch {
	case e.ID != as.ID:
		return bad("is of %.100q", e.ID)
	case !e.Modified.Equal(as.Modified):
		return bad("changed on %s, and by the index on %s: it is being written, try again", e.Modified.UTC().Format(time.RFC3339), as.Modified.Format(time.RFC3339))
	case e.Modified.After(db.Modified):
		return bad("changed after the whole database, on %s", e.Modified.UTC().Format(time.RFC3339))
	case !slices.ContainsFunc(e.Affected, func(a affected) bool { return a.Package.Name == module }):
		return bad("is not of %.200q, as the index has it", module)
	case len(e.Aliases) > 50:
		return bad("has %d aliases", len(e.Aliases))
	}
	for _, a := range e.Aliases {
		if !vex.ValidAlias(a) {
			return bad("has the alias %.100q", a)
		}
	}
	return e, nil
}

// limited reports whether an entry is of some systems alone.
func (e entry) limited() bool {
	for _, a := range e.Affected {
		for _, i := range a.Specific.Imports {
			if len(i.GOOS)+len(i.GOARCH) > 0 {
				return true
			}
		}
	}
	return false
}

// moduleOf is the module that an entry is of and that a package of it, which is in
// the binary, belongs to: the longest of those that are linked. The scanner takes
// the first one that it comes by.
func (e entry) moduleOf(pkg string, compiled map[string]string) (module string) {
	first, _, _ := strings.Cut(pkg, "/")
	for _, a := range e.Affected {
		name := a.Package.Name
		if compiled[name] == "" || name != vex.Std && name != pkg && !strings.HasPrefix(pkg, name+"/") || name == vex.Std && strings.Contains(first, ".") {
			continue
		}
		if len(name) > len(module) {
			module = name
		}
	}
	return module
}

// hidden reports whether the scanner may have missed packages that an entry names of
// a linked module: of each package it looks at one module alone, the longest whose
// path the package's begins with, letter by letter. So a/b/cd, of the module a/b, is
// looked for in a/b/c, if that is linked too.
func (e entry) hidden(module string, compiled map[string]string) bool {
	if module == vex.Std {
		return false // told by the form of a path
	}
	longer := func(pkg string) bool {
		for other := range compiled {
			if len(other) > len(module) && strings.HasPrefix(pkg, other) {
				return true
			}
		}
		return false
	}
	for _, a := range e.Affected {
		if a.Package.Name != module {
			continue
		}
		for _, i := range a.Specific.Imports {
			if longer(i.Path) {
				return true
			}
		}
		if len(a.Specific.Imports) > 0 {
			continue
		}
		for other := range compiled { // every package counts
			if other != module && strings.HasPrefix(other, module) {
				return true
			}
		}
	}
	return false
}

// aliases are those of an entry, each once, sorted.
func (e entry) aliases() []string {
	all := append([]string{}, e.Aliases...)
	slices.Sort(all)
	return slices.Compact(all)
}

// oneLine is a text of others as a table may show it.
func oneLine(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), string(unicode.ReplacementChar)))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
