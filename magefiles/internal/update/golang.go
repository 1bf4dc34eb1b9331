package update

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
)

// toolchains is the module that each version of Go is a version of.
const toolchains = "golang.org/toolchain"

var goForm = regexp.MustCompile(`^1\.(\d{1,4})\.(\d{1,4})$`)

// A golang is a version of Go 1.
type golang struct{ minor, patch int }

func (g golang) String() string { return fmt.Sprintf("1.%d.%d", g.minor, g.patch) }

func parseGo(version string) (golang, bool) {
	m := goForm.FindStringSubmatch(version)
	if m == nil {
		return golang{}, false
	}
	minor, _ := strconv.Atoi(m[1]) // of digits, and few
	patch, _ := strconv.Atoi(m[2])
	g := golang{minor, patch}
	return g, g.String() == version
}

// Go tells what is newer than a version of Go, "1.26.8", for who builds on host:
// patch versions of the same minor one, and the newest of a later minor one.
func (c *Client) Go(ctx context.Context, current string, host artifact.Platform) (Found, error) {
	f := Found{Path: "go", Current: current, How: Listed, Newer: []Version{}}
	fail := func(err error) (Found, error) {
		return Found{}, fmt.Errorf("%w: go %s: %w", ErrUnknown, current, err)
	}
	pinned, ok := parseGo(current)
	if !ok {
		return fail(errors.New("it is not of the form 1.2.3"))
	}
	of := func(minor, patch int) module.Version {
		return module.Version{Path: toolchains, Version: fmt.Sprintf("v0.0.1-go%s.%s", golang{minor, patch}, host.Slug())}
	}
	lists, err := c.Modules.List(ctx, toolchains)
	if err == nil {
		err = lists[0].Err
	}
	if err != nil {
		return fail(err)
	}
	f.Refused = line(lists[0].Refused)
	var sights []modules.Sight
	if known := releases(lists[0].Versions, host); slices.Contains(known, pinned) {
		sights, err = c.Modules.Look(ctx, wanted(known, pinned, of)...)
	} else {
		if f.How = Both; f.Refused != "" {
			f.How = Probed
		}
		next := wanted(known, pinned, of)
		if len(next) == 0 { // as for any module: see answered
			err = c.Modules.Answers(ctx, of(pinned.minor, pinned.patch))
		}
		if err == nil {
			sights, err = c.probeMinors(ctx, of, pinned.minor, pinned.patch+1)
		}
		if err == nil {
			var listed []modules.Sight
			listed, err = c.Modules.Look(ctx, next...)
			sights = append(sights, listed...)
		}
	}
	if err != nil {
		return fail(err)
	}
	if err := f.judgeGo(sights, pinned, host); err != nil {
		return fail(err)
	}
	return f, nil
}

// releases is every version of Go among those of the module that is for host,
// ascending. Release candidates are none.
func releases(versions []string, host artifact.Platform) []golang {
	form := regexp.MustCompile(`^v0\.0\.1-go(.*)\.` + regexp.QuoteMeta(host.Slug()) + `$`)
	var all []golang
	for _, v := range versions {
		if m := form.FindStringSubmatch(v); m != nil {
			if g, ok := parseGo(m[1]); ok {
				all = append(all, g)
			}
		}
	}
	slices.SortFunc(all, compareGo)
	return slices.Compact(all)
}

// wanted is what is looked at of those that are known: what is newer within the
// minor version, and the last few of all.
func wanted(known []golang, pinned golang, of series) []module.Version {
	var all []module.Version
	for i, g := range known {
		if compareGo(g, pinned) > 0 && (g.minor == pinned.minor || i >= len(known)-misses) {
			all = append(all, of(g.minor, g.patch))
		}
	}
	return all[max(0, len(all)-MaxNewer):]
}

// judgeGo is judge for Go, which retracts nothing.
func (f *Found) judgeGo(sights []modules.Sight, pinned golang, host artifact.Platform) error {
	seen := map[golang]modules.Sight{}
	for _, s := range sights {
		if s.Err != nil {
			return s.Err
		}
		for _, g := range releases([]string{s.Version.Version}, host) {
			seen[g] = s
		}
	}
	all := make([]golang, 0, len(seen))
	for g := range seen {
		all = append(all, g)
	}
	slices.SortFunc(all, compareGo)
	for _, g := range all {
		s := seen[g]
		v := Version{Path: "go", Version: g.String(), Released: s.Released}
		switch {
		case s.GoMod == nil:
			f.Unconfirmed = append(f.Unconfirmed, Refusal{g.String(), line(cmp.Or(s.Unconfirmed, s.Refused))})
		case g.minor == pinned.minor:
			f.Newer = append(f.Newer, v)
		default:
			f.Next = &v
		}
	}
	return nil
}

func compareGo(a, b golang) int {
	if a.minor != b.minor {
		return a.minor - b.minor
	}
	return a.patch - b.patch
}
