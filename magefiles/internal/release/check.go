package release

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/handover"
)

var (
	nameForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9_\-]{0,63}$`)
	versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.\-]+)?$`)
	commitForm  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	toolForm    = regexp.MustCompile(`^(h1:[0-9A-Za-z+/]{43}=|sha256:[0-9a-f]{64})$`)
	labelForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$`)
	addressForm = regexp.MustCompile(`^git\+https://[!-~]{1,500}$`)
)

func (p Plan) check() error {
	switch {
	case p.Schema != Schema:
		return fmt.Errorf("schema %.60q, want %q", p.Schema, Schema)
	case !nameForm.MatchString(p.Distribution):
		return fmt.Errorf("distribution %.80q is no name", p.Distribution)
	case !versionForm.MatchString(p.Release) || strings.Contains(p.Release, "-") || len(p.Release) > 32:
		return fmt.Errorf("release %.40q is no version", p.Release)
	case p.Tag != "" && p.Tag != "v"+p.Release:
		return fmt.Errorf("tag %.40q, want %q", p.Tag, "v"+p.Release)
	case !commitForm.MatchString(p.Commit):
		return fmt.Errorf("%.80q is no commit", p.Commit)
	case p.Repository != "" && !addressForm.MatchString(p.Repository):
		return fmt.Errorf("%.80q is no address of a repository", p.Repository)
	case p.Settings.IsZero():
		return errors.New("it does not say of which settings it is")
	case !toolForm.MatchString(p.Tool):
		return fmt.Errorf("%.80q does not say which tool makes it", p.Tool)
	case len(p.Cells) == 0 || len(p.Cells) > maxCells:
		return fmt.Errorf("%d cells, want one at least and %d at most", len(p.Cells), maxCells)
	case len(p.Runners) > maxRunners:
		return fmt.Errorf("%d runners, more than %d", len(p.Runners), maxRunners)
	case p.Previous != nil && (p.Previous.Digest.IsZero() || p.Previous.Number == 0 || p.Previous.Number > maxNumber):
		return errors.New("the previous index has no number, or no digest")
	}
	for platform, label := range p.Runners {
		if !labelForm.MatchString(label) {
			return fmt.Errorf("runner %.80q of %s is no plain name", label, platform)
		}
	}
	if err := p.checkCells(); err != nil {
		return err
	}
	return p.checkImages()
}

func (p Plan) checkCells() error {
	used := map[handover.Shard]artifact.Platform{}
	platforms := map[artifact.Platform]bool{}
	for i, c := range p.Cells {
		switch {
		case !nameForm.MatchString(c.Component) || !nameForm.MatchString(c.Variant) || !versionForm.MatchString(c.Version) || c.Recipe.IsZero():
			return fmt.Errorf("cell %.200q lacks component, variant, version or recipe", c)
		case i > 0 && compareCells(p.Cells[i-1], c) >= 0:
			return fmt.Errorf("cell %s is there twice or out of order", c)
		case c.Shard.Of != p.Shards:
			return fmt.Errorf("cell %s is in shard %s, and there are %d", c, c.Shard, p.Shards)
		case p.Runners[c.Platform] == "":
			return fmt.Errorf("cell %s: no machine builds for %s", c, c.Platform)
		}
		if _, err := handover.ParseShard(c.Shard.String()); err != nil {
			return fmt.Errorf("cell %s: %w", c, err)
		}
		if other, ok := used[c.Shard]; ok && other != c.Platform {
			return fmt.Errorf("shard %s is of two platforms, %s and %s", c.Shard, other, c.Platform)
		}
		used[c.Shard], platforms[c.Platform] = c.Platform, true
	}
	if len(used) != p.Shards {
		return fmt.Errorf("%d of %d shards have nothing to build", p.Shards-len(used), p.Shards)
	}
	if len(platforms) != len(p.Runners) {
		return errors.New("a runner has nothing to build")
	}
	return nil
}

func (p Plan) checkImages() error {
	for i, image := range p.Images {
		if i > 0 && compareImages(p.Images[i-1], image) >= 0 {
			return fmt.Errorf("the image of %.80q is there twice or out of order", image.Component)
		}
		if len(image.Platforms) == 0 {
			return fmt.Errorf("the image of %.80q is of no platform", image.Component)
		}
		for k, platform := range image.Platforms {
			if k > 0 && comparePlatforms(image.Platforms[k-1], platform) >= 0 {
				return fmt.Errorf("the image of %.80q: %s is there twice or out of order", image.Component, platform)
			}
			if !slices.ContainsFunc(p.Cells, func(c Cell) bool {
				return c.Component == image.Component && c.Variant == image.Variant && c.Platform == platform
			}) {
				return fmt.Errorf("the image of %.80q: nobody builds it for %s", image.Component, platform)
			}
		}
	}
	return nil
}
