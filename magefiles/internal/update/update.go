// Package update tells what is newer than what is pinned, and raises a recipe to
// it. Nothing is guessed: a version is told if the module proxy lists it, or had
// it when it was asked for by its number, and if its go.mod is what the checksum
// database knows. Where a proxy refuses to list, or its list lacks even what is
// pinned, the next numbers are tried; and where a list names nothing newer, or there
// is none, the proxy has to give what is pinned now, whatever the module cache
// holds: one that refuses that too says nothing of the module. That no answer came
// is an error, not the news that there is nothing.
//
// Pre-releases are not told, unless what is pinned is one of the same release.
// What upstream retracted is told with its reason, and never as newer.
package update

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/magefiles/internal/modules"
)

// ErrUnknown is wrapped when it is not known whether there is something newer.
var ErrUnknown = errors.New("not known what is newer")

// MaxNewer is how many newer versions of one module are told, the newest.
const MaxNewer = 24

// How says how versions were found.
type How string

const (
	Listed How = "listed"
	Probed How = "probed"
	Both   How = "listed, probed" // the list lacks what is pinned
)

// A Version is one that may be had, and is confirmed.
type Version struct {
	Path     string    `json:"path"` // other than that asked for if it is of a later major version
	Version  string    `json:"version"`
	Released time.Time `json:"released,omitzero"` // as the proxy says
	Commit   string    `json:"commit,omitempty"`  // likewise
	Go       string    `json:"go,omitempty"`      // that its go.mod asks for
}

// A Refusal is a version that does not count, and why.
type Refusal struct {
	Version string `json:"version"`
	Why     string `json:"why"` // upstream's or the go command's words
}

// Found is what is known of one module, or of Go.
type Found struct {
	Path    string `json:"path"`
	Current string `json:"current"`
	How     How    `json:"how"`

	Newer       []Version `json:"newer"` // ascending
	LeftOut     int       `json:"leftOut,omitempty"`
	Next        *Version  `json:"next,omitempty"`        // the newest of the next major version of a module, or of a later minor one of Go
	Refused     string    `json:"refused,omitempty"`     // why there is no list
	Retracted   *Refusal  `json:"retracted,omitempty"`   // what is pinned
	Withdrawn   []Refusal `json:"withdrawn,omitempty"`   // what is newer and retracted
	Unconfirmed []Refusal `json:"unconfirmed,omitempty"` // what is newer and not to be had or not confirmed
	Deprecated  string    `json:"deprecated,omitempty"`  // the module as a whole: upstream's words
}

// Newest is the newest version within the major one that is pinned.
func (f Found) Newest() (Version, bool) {
	if len(f.Newer) == 0 {
		return Version{}, false
	}
	return f.Newer[len(f.Newer)-1], true
}

// Behind reports whether there is something to do about what is pinned.
func (f Found) Behind() bool {
	return len(f.Newer) > 0 || f.Retracted != nil || f.Deprecated != ""
}

// A Client asks.
type Client struct{ Modules *modules.Client }

// Module tells what is newer than a module's version, and of its next major
// version. Of what is newer by its number those are left out that offer refuses,
// which may be nil: a module may have changed how it counts. Versions that are
// named are asked for besides.
func (c *Client) Module(ctx context.Context, path, current string, offer func(version string) bool, named ...string) (Found, error) {
	all, errs, err := c.all(ctx, []module.Version{{Path: path, Version: current}}, MaxNewer, offer, named...)
	if err = errors.Join(err, errors.Join(errs...)); err != nil {
		return Found{}, err
	}
	f := all[0]
	f.Next, err = c.next(ctx, path)
	return f, err
}

// Linked tells of each module its newest versions, a few. What is not known of
// one is an error of its own, and leaves its Found without a How.
func (c *Client) Linked(ctx context.Context, mods []module.Version) ([]Found, []error, error) {
	const few = 3 // the newest may be retracted
	return c.all(ctx, mods, few, nil)
}

// all asks about many modules with few runs of the go command.
func (c *Client) all(ctx context.Context, mods []module.Version, depth int, offer func(string) bool, named ...string) ([]Found, []error, error) {
	paths := make([]string, len(mods))
	for i, m := range mods {
		if !semver.IsValid(m.Version) {
			return nil, nil, fmt.Errorf("%w: %s@%s has no version that could be compared", ErrUnknown, m.Path, m.Version)
		}
		paths[i] = m.Path
	}
	lists, err := c.Modules.List(ctx, paths...)
	if err != nil {
		return nil, nil, err
	}
	found, errs := make([]Found, len(mods)), make([]error, len(mods))
	var ask []module.Version
	for i, m := range mods {
		f := &found[i]
		*f = Found{Path: m.Path, Current: m.Version, How: Listed, Newer: []Version{}, Refused: line(lists[i].Refused)}
		errs[i] = lists[i].Err
		candidates := newer(m, lists[i].Versions, offer)
		if extra := len(candidates) - depth; extra > 0 {
			f.LeftOut, candidates = extra, candidates[extra:]
		}
		candidates = append(slices.Concat(candidates, named), m.Version)
		semver.Sort(candidates)
		for _, v := range slices.Compact(candidates) {
			ask = append(ask, module.Version{Path: m.Path, Version: v})
		}
	}
	sights, err := c.look(ctx, ask)
	if err != nil {
		return nil, nil, err
	}
	for i, m := range mods {
		f, seen := &found[i], sights[m.Path]
		if refused := lists[i].Refused != ""; errs[i] == nil && (refused || incomplete(m.Version, lists[i].Versions)) {
			if f.How = Both; refused {
				f.How = Probed
			}
			var probed []modules.Sight
			err := c.answered(ctx, m, lists[i], offer)
			if err == nil {
				probed, err = c.probe(ctx, m)
			}
			if ctx.Err() != nil {
				return nil, nil, err
			}
			probed = slices.DeleteFunc(probed, func(s modules.Sight) bool { return offer != nil && !offer(s.Version.Version) })
			seen, errs[i] = append(seen, probed...), err
		}
		if errs[i] == nil {
			errs[i] = f.judge(seen)
		}
		if errs[i] != nil {
			*f, errs[i] = Found{Path: m.Path, Current: m.Version, Newer: []Version{}}, fmt.Errorf("%w: %s: %w", ErrUnknown, m.Path, errs[i])
		}
	}
	return found, errs, nil
}

// answered is an error where nothing shows that the proxy answers about a module:
// its list names nothing newer than what is pinned, nor that, and it does not give
// that, which there is.
func (c *Client) answered(ctx context.Context, pinned module.Version, l modules.Listing, offer func(string) bool) error {
	if l.Refused == "" && len(newer(pinned, l.Versions, offer)) > 0 {
		return nil
	}
	return c.Modules.Answers(ctx, pinned)
}

// look asks for many exact versions. Of each module the result is in the order
// in which it was asked for.
func (c *Client) look(ctx context.Context, mods []module.Version) (map[string][]modules.Sight, error) {
	const atOnce = 200 // arguments of one command
	all := map[string][]modules.Sight{}
	for some := range slices.Chunk(mods, atOnce) {
		sights, err := c.Modules.Look(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, s := range sights {
			all[s.Path] = append(all[s.Path], s)
		}
	}
	return all, nil
}

// newer is those of all that may be told as newer than current, ascending. A list
// may name what cannot be a version of the module.
func newer(current module.Version, all []string, offer func(string) bool) []string {
	var kept []string
	for _, v := range all {
		if semver.Compare(v, current.Version) > 0 && module.Check(current.Path, v) == nil && offered(current.Version, v) && (offer == nil || offer(v)) {
			kept = append(kept, v)
		}
	}
	semver.Sort(kept)
	return slices.Compact(kept)
}

// offered reports whether who has pinned current may want v: a release, of a
// module whose path says which major version it is; or, who has a pre-release,
// another of the same release.
func offered(current, v string) bool {
	if module.CanonicalVersion(v) != v || module.IsPseudoVersion(v) || semver.Build(v) != semver.Build(current) {
		return false
	}
	if semver.Prerelease(v) == "" {
		return true
	}
	return semver.Prerelease(current) != "" && !module.IsPseudoVersion(current) && release(v) == release(current)
}

// release is the version that v is a pre-release of.
func release(v string) string {
	return strings.TrimSuffix(strings.TrimSuffix(semver.Canonical(v), semver.Build(v)), semver.Prerelease(v))
}

// incomplete reports whether a list lacks what is known to exist.
func incomplete(current string, list []string) bool {
	return !module.IsPseudoVersion(current) && !slices.Contains(list, current)
}

// judge fills in what the sights tell, of which those that are newer than what
// is pinned are to be told.
func (f *Found) judge(sights []modules.Sight) error {
	slices.SortStableFunc(sights, func(a, b modules.Sight) int { return semver.Compare(a.Version.Version, b.Version.Version) })
	sights = slices.CompactFunc(sights, func(a, b modules.Sight) bool { return a.Version == b.Version })
	var newest *modfile.File // counting what is retracted: there it says so
	var good []Version
	for _, s := range sights {
		if s.Err != nil {
			return s.Err
		}
		pinned := s.Version.Version == f.Current
		if s.GoMod == nil {
			if !pinned {
				f.Unconfirmed = append(f.Unconfirmed, Refusal{s.Version.Version, line(cmp.Or(s.Unconfirmed, s.Refused))})
			}
			continue
		}
		parsed, err := parseGoMod(s.Version, s.GoMod)
		if err != nil {
			return err
		}
		newest = parsed
		if !pinned {
			v := Version{Path: s.Path, Version: s.Version.Version, Released: s.Released, Commit: s.Commit}
			if parsed.Go != nil {
				v.Go = parsed.Go.Version
			}
			good = append(good, v)
		}
	}
	if newest == nil {
		return fmt.Errorf("neither %s nor a newer version is to be had", f.Current)
	}
	if newest.Module != nil {
		f.Deprecated = line(newest.Module.Deprecated)
	}
	if why, ok := retracted(newest, f.Current); ok {
		f.Retracted = &Refusal{f.Current, why}
	}
	for _, v := range good {
		if why, ok := retracted(newest, v.Version); ok {
			f.Withdrawn = append(f.Withdrawn, Refusal{v.Version, why})
		} else {
			f.Newer = append(f.Newer, v)
		}
	}
	return nil
}
