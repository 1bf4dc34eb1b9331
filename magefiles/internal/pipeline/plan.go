package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/recipes"
)

// A Cell is one thing to build: a component for a platform in a variant.
type Cell struct {
	Recipe   *recipes.Recipe
	Platform artifact.Platform
	Variant  string
}

// String names the cell for a person.
func (c Cell) String() string {
	return c.Recipe.Name + " " + c.Platform.String() + " " + c.Variant
}

// A Selection is what a person asked for: names separated by commas, or "all"
// where it is a platform. An empty field is its default: every component, the
// platform of this machine, the variant hardened.
type Selection struct{ Component, Platform, Variant string }

// A Plan is the cells of a run, in the order in which they are started.
type Plan struct {
	Distribution *recipes.Distribution
	Cells        []Cell
	LeftOut      []string // why a platform that was asked for of all components is not built for one

	// Run names the run that this is part of, which may go on in several processes:
	// what it finds in a store that it began is its own. Zero for one that shares
	// what others left.
	Run artifact.Digest

	// Collected says that the directory of results holds what other machines built:
	// no loose binaries, and nothing that this one has in its store.
	Collected bool

	settings artifact.Digest // of distribution.yaml
}

// Settings is the digest of distribution.yaml.
func (p *Plan) Settings() artifact.Digest { return p.settings }

// Only leaves those cells in the plan that keep says.
func (p *Plan) Only(keep func(Cell) bool) {
	p.Cells = slices.DeleteFunc(p.Cells, func(c Cell) bool { return !keep(c) })
	p.LeftOut = nil
}

// NewPlan loads the recipes and resolves the selection. A name that does not
// exist is refused with the list of those that do, and so is a component that
// was named together with a platform for which it is not built.
func NewPlan(cfg *config.Config, sel Selection) (*Plan, error) {
	fsys := os.DirFS(filepath.Join(cfg.Root, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		return nil, err
	}
	names, err := recipes.Names(fsys)
	if err != nil {
		return nil, err
	}
	components, err := choose("component", sel.Component, names, names)
	if err != nil {
		return nil, err
	}
	variants, err := choose("variant", sel.Variant, []string{"hardened"}, recipes.Variants())
	if err != nil {
		return nil, err
	}
	platforms, err := choosePlatforms(sel.Platform, cfg.Host, d.Platforms)
	if err != nil {
		return nil, err
	}
	settings, _, err := artifact.DigestFile(filepath.Join(cfg.Root, "recipes", "distribution.yaml"))
	if err != nil {
		return nil, err
	}
	p := &Plan{Distribution: d, settings: settings}
	for _, name := range components {
		r, err := recipes.Load(fsys, d, name)
		if err != nil {
			return nil, err
		}
		if err := p.add(r, platforms, variants, sel); err != nil {
			return nil, err
		}
	}
	if len(p.Cells) == 0 {
		return nil, fmt.Errorf("%w: nothing to build: %s", config.ErrUsage, strings.Join(p.LeftOut, "; "))
	}
	return p, nil
}

func (p *Plan) add(r *recipes.Recipe, platforms []artifact.Platform, variants []string, sel Selection) error {
	for _, platform := range platforms {
		if !r.Builds(platform) {
			why := fmt.Sprintf("%s is not built for %s, only for %s", r.Name, platform, join(r.Platforms))
			if sel.Component != "" && sel.Platform != "" && sel.Platform != "all" {
				return fmt.Errorf("%w: %s", config.ErrUsage, why)
			}
			p.LeftOut = append(p.LeftOut, why)
			continue
		}
		for _, v := range variants {
			p.Cells = append(p.Cells, Cell{Recipe: r, Platform: platform, Variant: v})
		}
	}
	return nil
}

// choose resolves a list of names against those that exist.
func choose(what, asked string, byDefault, all []string) ([]string, error) {
	if asked == "" {
		return byDefault, nil
	}
	var chosen []string
	for _, name := range strings.Split(asked, ",") {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%w: there is no %s %q; there are: %s", config.ErrUsage, what, name, strings.Join(all, ", "))
		}
		if !slices.Contains(chosen, name) {
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}

func choosePlatforms(asked string, host artifact.Platform, all []artifact.Platform) ([]artifact.Platform, error) {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.String()
	}
	if asked == "all" {
		asked = strings.Join(names, ",")
	}
	chosen, err := choose("platform", asked, []string{host.String()}, names)
	if err != nil {
		return nil, err
	}
	platforms := make([]artifact.Platform, len(chosen))
	for i, name := range chosen {
		if platforms[i], err = artifact.ParsePlatform(name); err != nil {
			return nil, err
		}
	}
	return platforms, nil
}

func join(platforms []artifact.Platform) string {
	names := make([]string, len(platforms))
	for i, p := range platforms {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}
