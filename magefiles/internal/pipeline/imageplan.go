package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
)

// NewImagePlan is the plan of the artifacts that images are made of. Where no
// platform is named an image is for this machine's, if that is of linux, and
// for those of linux of which the directory of results has artifacts. What has
// no image is refused if it was named, and else left out.
func NewImagePlan(cfg *config.Config, sel Selection) (*Plan, error) {
	everything := sel
	everything.Platform = "all"
	p, err := NewPlan(cfg, everything)
	if err != nil {
		return nil, err
	}
	p.LeftOut = nil
	wanted, err := p.wanted(cfg, sel)
	if err != nil {
		return nil, err
	}
	all := p.Cells
	p.Cells = nil
	var without []string
	for _, c := range all {
		switch {
		case c.Recipe.Image == nil:
			if !slices.Contains(without, c.Recipe.Name) {
				without = append(without, c.Recipe.Name)
			}
		case slices.Contains(c.Recipe.ImagePlatforms(), c.Platform) && wanted(c):
			p.Cells = append(p.Cells, c)
		}
	}
	for _, name := range without {
		why := fmt.Sprintf("%s has no image: recipes/%s/recipe.yaml has no image section", name, name)
		if sel.Component != "" {
			return nil, fmt.Errorf("%w: %s", config.ErrUsage, why)
		}
		p.LeftOut = append(p.LeftOut, why)
	}
	if len(p.Cells) == 0 {
		return nil, fmt.Errorf("%w: there is nothing to make an image of for linux: name a platform that the component is built for, -platform=linux/amd64", config.ErrUsage)
	}
	return p, nil
}

// wanted says of which cells images are made.
func (p *Plan) wanted(cfg *config.Config, sel Selection) (func(Cell) bool, error) {
	if sel.Platform == "" {
		there, err := published(cfg.Dist)
		return func(c Cell) bool {
			return c.Platform == cfg.Host || slices.ContainsFunc(there, func(r artifact.Record) bool {
				return r.Component == c.Recipe.Name && r.Variant == c.Variant && r.Platform == c.Platform
			})
		}, err
	}
	platforms, err := choosePlatforms(sel.Platform, cfg.Host, p.Distribution.Platforms)
	if err != nil {
		return nil, err
	}
	if sel.Platform != "all" {
		for _, platform := range platforms {
			if platform.OS != "linux" {
				return nil, fmt.Errorf("%w: images are made for linux, not for %s", config.ErrUsage, platform)
			}
			for _, c := range p.Cells {
				if sel.Component != "" && !c.Recipe.Builds(platform) {
					return nil, fmt.Errorf("%w: %s is not built for %s, only for %s", config.ErrUsage, c.Recipe.Name, platform, join(c.Recipe.Platforms))
				}
			}
		}
	}
	return func(c Cell) bool { return slices.Contains(platforms, c.Platform) }, nil
}

// published is what the index of a directory names, if it has one.
func published(dir string) ([]artifact.Record, error) {
	f, err := os.Open(filepath.Join(dir, dist.Index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w; remove release.json to begin a new one", dir, err)
	}
	return m.Artifacts, nil
}

// An edition is an image to be made: of a component in a variant.
type edition struct {
	cells   []Cell            // of one recipe and variant, for linux
	records []artifact.Record // what became of each
}

// largestFirst are the places of all, in the order to begin with them: a large
// one that is begun last has a processor to itself, and the others wait for it.
func largestFirst(all []edition) []int {
	places, sizes := make([]int, len(all)), make([]int64, len(all))
	for i, e := range all {
		places[i] = i
		for _, r := range e.records {
			sizes[i] += r.Size
		}
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	return places
}

// String names the image for a person.
func (e edition) String() string {
	var platforms []string
	for _, c := range e.cells {
		platforms = append(platforms, c.Platform.String())
	}
	return e.cells[0].Recipe.Name + " image " + e.cells[0].Variant + " " + strings.Join(platforms, ",")
}

// editions are the images that are made of the plan's artifacts, in its order.
func (p *Plan) editions(records []artifact.Record) ([]edition, error) {
	var all []edition
	for _, c := range p.Cells {
		if c.Recipe.Image == nil || !slices.Contains(c.Recipe.ImagePlatforms(), c.Platform) {
			continue
		}
		n := slices.IndexFunc(records, func(r artifact.Record) bool {
			return r.Component == c.Recipe.Name && r.Variant == c.Variant && r.Platform == c.Platform
		})
		if n < 0 {
			return nil, fmt.Errorf("there is no artifact of %s to make an image of: build it first", c)
		}
		at := slices.IndexFunc(all, func(e edition) bool {
			return e.cells[0].Recipe == c.Recipe && e.cells[0].Variant == c.Variant
		})
		if at < 0 {
			at, all = len(all), append(all, edition{})
		}
		all[at].cells, all[at].records = append(all[at].cells, c), append(all[at].records, records[n])
	}
	return all, nil
}
