package release

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/handover"
)

// A group is what one machine builds in any case: a component for a platform, so
// that its modules are fetched once.
type group struct {
	component string
	platform  artifact.Platform
	weight    int
}

// deal says which shard builds each cell: the largest first, to the machine that
// has least. With 0 there are as few shards as there can be, one a platform.
func deal(cells []Input, shards int) ([]Cell, int, error) {
	if len(cells) == 0 {
		return nil, 0, fmt.Errorf("%w: there is nothing to build", ErrShards)
	}
	groups := groupsOf(cells)
	byPlatform := map[artifact.Platform][]group{}
	for _, g := range groups {
		byPlatform[g.platform] = append(byPlatform[g.platform], g)
	}
	platforms := slices.SortedFunc(maps.Keys(byPlatform), comparePlatforms)
	if shards == 0 {
		shards = len(platforms)
	}
	if shards < len(platforms) || shards > len(groups) {
		return nil, 0, fmt.Errorf("%w: %d shards: there can be from %d to %d, for a platform is built on machines of its own, and no component of one on two", ErrShards, shards, len(platforms), len(groups))
	}
	given := share(byPlatform, platforms, shards)
	number, next := map[group]int{}, 1
	for _, platform := range platforms {
		load := make([]int, given[platform])
		for k, g := range byPlatform[platform] { // the largest first
			least := min(k, len(load)-1) // none stays empty
			if k >= len(load) {
				least = slices.Index(load, slices.Min(load))
			}
			load[least] += g.weight
			number[g] = next + least
		}
		next += len(load)
	}
	var dealt []Cell
	for _, c := range cells {
		i := slices.IndexFunc(groups, func(g group) bool { return g.component == c.Component && g.platform == c.Platform })
		c.Shard = handover.Shard{Number: number[groups[i]], Of: shards}
		dealt = append(dealt, c.Cell)
	}
	slices.SortFunc(dealt, compareCells)
	return dealt, shards, nil
}

// groupsOf are the groups of cells, the largest first.
func groupsOf(cells []Input) []group {
	var groups []group
	for _, c := range cells {
		i := slices.IndexFunc(groups, func(g group) bool { return g.component == c.Component && g.platform == c.Platform })
		if i < 0 {
			i, groups = len(groups), append(groups, group{component: c.Component, platform: c.Platform})
		}
		groups[i].weight += max(1, c.Weight)
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.component, b.component), comparePlatforms(a.platform, b.platform))
	})
	return groups
}

// share gives each platform its number of shards: one, and of the others each to
// that which has most to do on each machine, and something for one more.
func share(groups map[artifact.Platform][]group, platforms []artifact.Platform, shards int) map[artifact.Platform]int {
	given, weight := map[artifact.Platform]int{}, map[artifact.Platform]int{}
	for _, p := range platforms {
		given[p] = 1
		for _, g := range groups[p] {
			weight[p] += g.weight
		}
	}
	for range shards - len(platforms) {
		var most artifact.Platform
		for _, p := range platforms {
			if given[p] == len(groups[p]) {
				continue
			}
			if most == (artifact.Platform{}) || weight[p]*given[most] > weight[most]*given[p] {
				most = p
			}
		}
		given[most]++
	}
	return given
}
