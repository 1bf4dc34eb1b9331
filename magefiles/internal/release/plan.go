// Package release says what a release consists of before anything is built, and
// puts together what several machines built of it.
//
// # Plan
//
// A Plan is the file plan.json: which cells there are, which machine builds
// which, and of which commit, tool and settings. Nothing of time or machine is in
// it, so that the same commit and the same wishes give the same bytes; its digest
// names the release in every hand-over. Each step holds its own checkout against
// it (Hold) and refuses another commit, tool or recipe.
//
// # Assembly
//
// Merge makes one release.json of those of the shards. Every cell of the plan is
// there once, from the shard that had to build it, or it is refused;
// and Whole refuses what was made of it that has other cells, or other images.
package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/handover"
)

// Schema identifies the format that this package reads and writes.
const Schema = "palisade.plan.v1"

// MaxPlan bounds a plan, in bytes.
const MaxPlan = 4 << 20

// Bounds of what a plan says.
const (
	maxCells   = 4096
	maxRunners = 64
	maxNumber  = 1<<53 - 1
)

// Why there is no plan, or none that fits.
var (
	ErrMalformed = errors.New("malformed plan of a release")
	ErrDirty     = errors.New("the checkout is not as committed")
	ErrTag       = errors.New("the tag is not that of the release")
	ErrCommit    = errors.New("the checkout is not the one of the plan")
	ErrShards    = errors.New("the release cannot be dealt so")
)

// A Plan says what a release consists of.
type Plan struct {
	Schema       string                       `json:"schema"`       // Schema
	Distribution string                       `json:"distribution"` // who publishes
	Release      string                       `json:"release"`      // its version
	Tag          string                       `json:"tag"`          // of the commit; empty of a rehearsal, which nobody publishes
	Commit       string                       `json:"commit"`
	Repository   string                       `json:"repository"` // git+https://…; empty if the checkout has no public one
	Settings     artifact.Digest              `json:"settings"`   // of distribution.yaml
	Tool         string                       `json:"tool"`       // that makes it, as handover.Header has it
	Shards       int                          `json:"shards"`
	Cells        []Cell                       `json:"cells"`    // sorted by component, platform and variant
	Images       []Image                      `json:"images"`   // sorted by component and variant
	Runners      map[artifact.Platform]string `json:"runners"`  // what the CI calls a machine of each platform of a cell
	Previous     *Previous                    `json:"previous"` // the index of releases that this one's follows; null of the first
}

// A Cell is one artifact to build.
type Cell struct {
	Component string            `json:"component"`
	Version   string            `json:"version"` // ours
	Platform  artifact.Platform `json:"platform"`
	Variant   string            `json:"variant"`
	Recipe    artifact.Digest   `json:"recipe"`
	Shard     handover.Shard    `json:"shard"`
}

// String names the cell for a person.
func (c Cell) String() string { return c.Component + " " + c.Platform.String() + " " + c.Variant }

// An Image is one image to make of what was built.
type Image struct {
	Component string              `json:"component"`
	Variant   string              `json:"variant"`
	Platforms []artifact.Platform `json:"platforms"` // sorted
}

// Previous is an index of releases.
type Previous struct {
	Number uint64          `json:"number"`
	Digest artifact.Digest `json:"digest"` // of the file
}

// An Input is a cell before it is known who builds it.
type Input struct {
	Cell
	Image  bool // an image is made of it
	Weight int  // how much there is to do, by which cells are dealt
}

// Options are what is wished of a plan.
type Options struct {
	Distribution string
	Release      string
	Tag          string // empty for a rehearsal
	Settings     artifact.Digest
	Tool         string // in place of the checkout's, where that has no sources of it
	Shards       int    // 0 for as few as there can be
	Runners      map[artifact.Platform]string
	Previous     *Previous
}

// Make plans the release of cells from a checkout.
func Make(cells []Input, s checkout.State, o Options) (Plan, error) {
	if err := Clean(s); err != nil {
		return Plan{}, err
	}
	p := Plan{
		Schema: Schema, Distribution: o.Distribution, Release: o.Release, Tag: o.Tag, Commit: s.Commit, Repository: s.Address,
		Settings: o.Settings, Tool: s.Tool.Sum, Runners: map[artifact.Platform]string{}, Previous: o.Previous,
	}
	if p.Tool == "" {
		p.Tool = o.Tool
	}
	dealt, shards, err := deal(cells, o.Shards)
	if err != nil {
		return Plan{}, err
	}
	p.Cells, p.Shards = dealt, shards
	for _, c := range dealt {
		label, ok := o.Runners[c.Platform]
		if !ok {
			return Plan{}, fmt.Errorf("%w: nobody builds %s: name a runner of %s in recipes/distribution.yaml", ErrShards, c, c.Platform)
		}
		p.Runners[c.Platform] = label
	}
	p.Images = imagesOf(cells)
	if _, err := p.Encode(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// Clean refuses a checkout that is not exactly a commit.
func Clean(s checkout.State) error {
	if s.Commit == "" {
		return fmt.Errorf("%w: its version is not known: %s: release from a clone that is at the tag", ErrDirty, s.Unknown)
	}
	if !s.Clean {
		return fmt.Errorf("%w: files differ from commit %s, or are in none (git status --ignored names them): commit them or take them away", ErrDirty, s.Commit)
	}
	return nil
}

func imagesOf(cells []Input) []Image {
	images := []Image{}
	for _, c := range cells {
		if !c.Image {
			continue
		}
		at := slices.IndexFunc(images, func(i Image) bool { return i.Component == c.Component && i.Variant == c.Variant })
		if at < 0 {
			at, images = len(images), append(images, Image{Component: c.Component, Variant: c.Variant})
		}
		images[at].Platforms = append(images[at].Platforms, c.Platform)
	}
	for i := range images {
		slices.SortFunc(images[i].Platforms, comparePlatforms)
	}
	slices.SortFunc(images, compareImages)
	return images
}

func comparePlatforms(a, b artifact.Platform) int { return strings.Compare(a.String(), b.String()) }

func compareCells(a, b Cell) int { return strings.Compare(key(a), key(b)) }

// key orders cells; what is in it holds no control character.
func key(c Cell) string { return c.Component + "\x00" + c.Platform.String() + "\x00" + c.Variant }

func compareImages(a, b Image) int {
	return strings.Compare(a.Component+"\x00"+a.Variant, b.Component+"\x00"+b.Variant)
}

// Encode writes p in the one form that it has.
func (p Plan) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if p.Images == nil {
		p.Images = []Image{}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if buf.Len() > MaxPlan {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxPlan)
	}
	return buf.Bytes(), nil
}

// ParsePlan reads what Encode writes, and nothing else.
func ParsePlan(data []byte) (Plan, error) {
	if len(data) > MaxPlan {
		return Plan{}, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxPlan)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p Plan
	if err := dec.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Plan{}, fmt.Errorf("%w: something follows its value", ErrMalformed)
	}
	form, err := p.Encode()
	if err != nil {
		return Plan{}, err
	}
	if !bytes.Equal(form, data) {
		return Plan{}, fmt.Errorf("%w: not in the form that it is written in (order of keys, indentation, a key twice or null)", ErrMalformed)
	}
	return p, nil
}

// Digest names the release in every hand-over: it is that of the file. A plan
// that cannot be written has none.
func (p Plan) Digest() artifact.Digest {
	data, err := p.Encode()
	if err != nil {
		return artifact.Digest{}
	}
	return artifact.DigestBytes(data)
}

// Of are the cells of a shard.
func (p Plan) Of(s handover.Shard) []Cell {
	var cells []Cell
	for _, c := range p.Cells {
		if c.Shard == s {
			cells = append(cells, c)
		}
	}
	return cells
}

// ShardOf finds a shard by its text form.
func (p Plan) ShardOf(text string) (handover.Shard, error) {
	s, err := handover.ParseShard(text)
	if err == nil && s.Of != p.Shards {
		err = fmt.Errorf("%w: the plan has %d shards, there is no %s", ErrShards, p.Shards, s)
	}
	return s, err
}

// Hold refuses a checkout that is not the one of the plan. tool is that of the
// checkout, or of this program where the checkout has no sources of it.
func (p Plan) Hold(s checkout.State, tool string, settings artifact.Digest, recipe func(component string) (artifact.Digest, error)) error {
	if err := Clean(s); err != nil {
		return err
	}
	switch {
	case s.Commit != p.Commit:
		return fmt.Errorf("%w: it is at commit %s, and the plan is of %s: check that one out", ErrCommit, s.Commit, p.Commit)
	case tool != p.Tool:
		return fmt.Errorf("%w: it makes the tool %s, and the plan is of %s: a line ending or a file of another kind was checked out differently", ErrCommit, tool, p.Tool)
	case settings != p.Settings:
		return fmt.Errorf("%w: recipes/distribution.yaml is %s, and the plan is of %s", ErrCommit, settings, p.Settings)
	}
	seen := map[string]artifact.Digest{}
	for _, c := range p.Cells {
		digest, ok := seen[c.Component]
		if !ok {
			var err error
			if digest, err = recipe(c.Component); err != nil {
				return fmt.Errorf("%w: recipe %s: %w", ErrCommit, c.Component, err)
			}
			seen[c.Component] = digest
		}
		if digest != c.Recipe {
			return fmt.Errorf("%w: recipe %s is %s, and the plan is of %s", ErrCommit, c.Component, digest, c.Recipe)
		}
	}
	return nil
}

// A job is what a CI is told of a shard.
type job struct {
	Shard  string `json:"shard"`  // 1/2
	Name   string `json:"name"`   // 1-of-2
	Runner string `json:"runner"` // the label of a machine
}

// Matrix is what a CI makes its jobs of: JSON in one line, without its end.
func (p Plan) Matrix() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	of := map[int]artifact.Platform{}
	for _, c := range p.Cells {
		of[c.Shard.Number] = c.Platform
	}
	var jobs []job
	for _, n := range slices.Sorted(maps.Keys(of)) {
		s := handover.Shard{Number: n, Of: p.Shards}
		jobs = append(jobs, job{s.String(), s.Slug(), p.Runners[of[n]]})
	}
	return json.Marshal(map[string][]job{"include": jobs})
}
