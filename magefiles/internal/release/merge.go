package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/handover"
)

// Why shards are not put together.
var (
	ErrMissing = errors.New("part of the release is missing")
	ErrDouble  = errors.New("part of the release is there twice")
	ErrDiffers = errors.New("part of the release was built twice, and differs") // not reproducible
	ErrForeign = errors.New("not part of the release")
)

// A Part is what a shard's release.json says.
type Part struct {
	Shard    handover.Shard
	Manifest artifact.Manifest
}

// Merge is the release.json of the plan's artifacts, without images. How long it
// took is left out: all else is equal wherever and whenever it was built.
func Merge(p Plan, parts []Part) (artifact.Manifest, error) {
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: p.Distribution}
	from := map[string]handover.Shard{} // by key of the cell
	for _, part := range parts {
		cells, err := p.Accept(part)
		if err != nil {
			return m, err
		}
		for i, r := range part.Manifest.Artifacts {
			c := cells[i]
			if first, ok := from[key(c)]; ok {
				return m, again(c, first, part.Shard, m, r)
			}
			from[key(c)] = part.Shard
			r.Timing = nil
			m.Artifacts = append(m.Artifacts, r)
		}
	}
	if err := p.complete(func(c Cell) bool { return from[key(c)] != (handover.Shard{}) }); err != nil {
		return m, err
	}
	m.Sort()
	_, err := m.Encode()
	return m, err
}

// complete refuses a release in which a cell of the plan is not there.
func (p Plan) complete(there func(c Cell) bool) error {
	var missing []string
	for _, c := range p.Cells {
		if !there(c) {
			missing = append(missing, fmt.Sprintf("%s, of shard %s", c, c.Shard))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s: hand over what release:build made of it", ErrMissing, strings.Join(missing, "; "))
	}
	return nil
}

// Accept finds the cells of what a shard has, and refuses what the plan does not
// have there. That nothing is missing it does not say.
func (p Plan) Accept(part Part) ([]Cell, error) {
	if part.Manifest.Distribution != p.Distribution || len(part.Manifest.Images) > 0 {
		return nil, fmt.Errorf("%w: shard %s is of %.80q, or holds images: build it again by release:build", ErrForeign, part.Shard, part.Manifest.Distribution)
	}
	var cells []Cell
	for _, r := range part.Manifest.Artifacts {
		c, err := p.accept(r, part.Shard)
		if err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// accept finds the cell that r is of, and refuses what the plan does not have
// there.
func (p Plan) accept(r artifact.Record, s handover.Shard) (Cell, error) {
	c, ok := p.cellOf(r)
	switch {
	case !ok:
		return c, fmt.Errorf("%w: %s, of shard %s: the plan does not have it", ErrForeign, r.Name, s)
	case c.Shard != s:
		return c, fmt.Errorf("%w: %s, of shard %s: the plan has it in shard %s", ErrForeign, r.Name, s, c.Shard)
	case !called(r):
		return c, fmt.Errorf("%w: %.200q, of shard %s: it is not called what it is, or one of its documents is not", ErrForeign, r.Name, s)
	case c.Version != r.Version || c.Recipe != r.Recipe:
		return c, fmt.Errorf("%w: %s, of shard %s: it is version %s of recipe %s, and the plan has %s of %s", ErrForeign, r.Name, s, r.Version, r.Recipe, c.Version, c.Recipe)
	case !r.Build.Sandbox.Hermetic:
		return c, fmt.Errorf("%w: %s, of shard %s: it was not built hermetically: %.200s", ErrForeign, r.Name, s, r.Build.Sandbox.Reason)
	case r.UI != nil && r.UI.Report != nil && !r.UI.Report.Hermetic:
		return c, fmt.Errorf("%w: %s, of shard %s: its web interface was not built hermetically: %.200s", ErrForeign, r.Name, s, r.UI.Report.Reason)
	}
	return c, nil
}

// cellOf finds the cell that r says it is of.
func (p Plan) cellOf(r artifact.Record) (Cell, bool) {
	i := slices.IndexFunc(p.Cells, func(c Cell) bool {
		return c.Component == r.Component && c.Platform == r.Platform && c.Variant == r.Variant
	})
	if i < 0 {
		return Cell{}, false
	}
	return p.Cells[i], true
}

// called reports whether an artifact, and what is said of it, have the names that
// a build gives them: none has that of something else.
func called(r artifact.Record) bool {
	name := r.Component + "-" + r.Version + "." + r.Platform.Slug()
	if r.Name != name+".tar.gz" && r.Name != name+".zip" {
		return false
	}
	return !slices.ContainsFunc(r.Documents, func(f artifact.File) bool {
		return !strings.HasPrefix(f.Name, r.Name+".") && !strings.HasPrefix(f.Name, "bin/")
	})
}

// again is the refusal of a cell that is there a second time.
func again(c Cell, first, second handover.Shard, m artifact.Manifest, r artifact.Record) error {
	i := slices.IndexFunc(m.Artifacts, func(o artifact.Record) bool {
		return o.Component == r.Component && o.Platform == r.Platform && o.Variant == r.Variant
	})
	if other := m.Artifacts[i]; other.Digest != r.Digest || !slices.Equal(other.Documents, r.Documents) {
		return fmt.Errorf("%w: %s is %s in one hand-over of shard %s and %s in another of shard %s, or what is said of it differs: find out why (mage check:reproducible) before anything is released", ErrDiffers, c, other.Digest, first, r.Digest, second)
	}
	return fmt.Errorf("%w: %s is in one hand-over of shard %s and in another of shard %s: leave one of them out", ErrDouble, c, first, second)
}
