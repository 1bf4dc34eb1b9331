package update

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/magefiles/internal/modules"
)

// How far is tried where there is no list.
const (
	misses   = 3  // patch versions in a row that are not to be had end a minor version
	dry      = 2  // minor versions in a row of which none is end the search
	maxPatch = 60 // patch versions that are tried of one minor version
	maxMinor = 30 // minor versions that are tried
)

// A series is the numbers that are tried: the version of a minor and a patch one.
type series func(minor, patch int) module.Version

// probe tries the next patch versions, the next minor ones, and of a module
// before its first the first major one.
func (c *Client) probe(ctx context.Context, current module.Version) ([]modules.Sight, error) {
	major, minor, patch, ok := numbers(current.Version)
	if !ok {
		return nil, fmt.Errorf("%s cannot be probed: its version has no numbers to count on from", current)
	}
	build := semver.Build(current.Version)
	of := func(major int) series {
		return func(minor, patch int) module.Version {
			return module.Version{Path: current.Path, Version: fmt.Sprintf("v%d.%d.%d%s", major, minor, patch, build)}
		}
	}
	if semver.Prerelease(current.Version) != "" {
		patch-- // the release itself is newer
	}
	found, err := c.probeMinors(ctx, of(major), minor, patch+1)
	if err == nil && major == 0 {
		var first []modules.Sight
		first, err = c.probePatches(ctx, of(1), 0, 0)
		found = append(found, first...)
	}
	return found, err
}

// probeMinors tries a minor version from a patch version on, and the minor
// versions after it.
func (c *Client) probeMinors(ctx context.Context, s series, minor, patch int) ([]modules.Sight, error) {
	found, err := c.probePatches(ctx, s, minor, patch)
	for n, empty := 1, 0; err == nil && empty < dry; n++ {
		if n > maxMinor {
			return nil, fmt.Errorf("%s and all before it are to be had: a proxy that has whatever it is asked for says nothing", s(minor+n-1, 0))
		}
		var more []modules.Sight
		more, err = c.probePatches(ctx, s, minor+n, 0)
		if empty++; len(more) > 0 {
			empty = 0
		}
		found = append(found, more...)
	}
	return found, err
}

// probePatches tries the patch versions of a minor one.
func (c *Client) probePatches(ctx context.Context, s series, minor, patch int) ([]modules.Sight, error) {
	var found []modules.Sight
	for end := patch + misses; patch < end; {
		if len(found) > maxPatch {
			return nil, fmt.Errorf("%s and all before it are to be had: a proxy that has whatever it is asked for says nothing", s(minor, patch-1))
		}
		var ask []module.Version
		for ; patch < end; patch++ {
			ask = append(ask, s(minor, patch))
		}
		sights, err := c.Modules.Look(ctx, ask...)
		if err != nil {
			return nil, err
		}
		for i, sight := range sights {
			if sight.Err != nil {
				return nil, sight.Err
			}
			if sight.Refused == "" {
				found, end = append(found, sight), patch-len(ask)+i+1+misses
			}
		}
	}
	return found, nil
}

// next is the newest version of the module's next major one, if there is any.
func (c *Client) next(ctx context.Context, path string) (*Version, error) {
	path, major, ok := nextMajor(path)
	if !ok {
		return nil, nil
	}
	lists, err := c.Modules.List(ctx, path)
	if err != nil {
		return nil, err
	}
	if lists[0].Err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, lists[0].Err)
	}
	below := module.Version{Path: path, Version: fmt.Sprintf("v%d.%d.0", major-1, math.MaxInt32)} // all of that major version is newer
	candidates := newer(below, lists[0].Versions, nil)
	candidates = candidates[max(0, len(candidates)-MaxNewer):]
	if lists[0].Refused != "" {
		candidates = []string{fmt.Sprintf("v%d.0.0", major)}
	}
	var ask []module.Version
	for _, v := range candidates {
		ask = append(ask, module.Version{Path: path, Version: v})
	}
	sights, err := c.Modules.Look(ctx, ask...)
	if err != nil {
		return nil, err
	}
	f := Found{Path: path, Current: below.Version}
	some := false
	for _, s := range sights {
		some = some || s.GoMod != nil || s.Err != nil
	}
	if !some {
		return nil, nil
	}
	if err := f.judge(sights); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnknown, path, err)
	}
	if v, ok := f.Newest(); ok {
		return &v, nil
	}
	return nil, nil
}

// nextMajor is the path of a module's next major version.
func nextMajor(path string) (string, int, bool) {
	prefix, pathMajor, ok := module.SplitPathVersion(path)
	if !ok {
		return "", 0, false
	}
	separator, major := "/v", 1
	if pathMajor != "" {
		separator = pathMajor[:2]
		n, err := strconv.Atoi(strings.TrimSuffix(pathMajor[2:], "-unstable"))
		if err != nil {
			return "", 0, false
		}
		major = n
	}
	return fmt.Sprintf("%s%s%d", prefix, separator, major+1), major + 1, true
}

// numbers are those of a version.
func numbers(version string) (major, minor, patch int, ok bool) {
	n, err := fmt.Sscanf(release(version), "v%d.%d.%d", &major, &minor, &patch)
	return major, minor, patch, n == 3 && err == nil
}
