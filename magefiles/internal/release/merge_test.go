package release

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/handover"
)

// recordOf is what a build of a cell leaves.
func recordOf(c Cell) artifact.Record {
	name := c.Component + "-" + c.Version + "." + c.Platform.Slug() + ".tar.gz"
	return artifact.Record{
		Name: name, Size: 1, Digest: digestOf(c.String()), Component: c.Component, Version: c.Version, UpstreamVersion: "1.0.0",
		Platform: c.Platform, Variant: c.Variant, Recipe: c.Recipe, Source: artifact.Module{Path: "x", Version: "v1.0.0", Sum: "h1:x="},
		Build:     artifact.Invocation{Sandbox: artifact.Sandbox{Hermetic: true}},
		Documents: []artifact.File{{Name: name + ".spdx.json", Digest: digestOf(c.String())}, {Name: "bin/linux-amd64/hardened/x.spdx.json", Digest: digestOf("x")}},
		Timing:    []artifact.Stage{{Name: "compiling", Seconds: 12}},
	}
}

// partsOf are what the shards of a plan leave.
func partsOf(p Plan) []Part {
	var parts []Part
	for n := range p.Shards {
		part := Part{Shard: handover.Shard{Number: n + 1, Of: p.Shards}, Manifest: artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: p.Distribution}}
		for _, c := range p.Of(part.Shard) {
			part.Manifest.Artifacts = append(part.Manifest.Artifacts, recordOf(c))
		}
		part.Manifest.Sort()
		parts = append(parts, part)
	}
	return parts
}

// mergeable is a plan whose cells have names of their own, as versions give them.
func mergeable(t *testing.T) Plan {
	t.Helper()
	in := inputs()
	for i := range in {
		if in[i].Variant == "vanilla" {
			in[i].Version = "1.0.0-vanilla"
		}
	}
	p, err := Make(in, state, options())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMerge(t *testing.T) {
	p := mergeable(t)
	parts := partsOf(p)
	m, err := Merge(p, parts)
	if err != nil {
		t.Fatal(err)
	}
	first, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Artifacts) != len(p.Cells) || strings.Contains(string(first), "timing") {
		t.Errorf("merged:\n%s", first)
	}
	if parts[0].Manifest.Artifacts[0].Timing == nil {
		t.Error("it changed what it was given")
	}
	// In whatever order they come, and however long they took.
	slices.Reverse(parts)
	parts[0].Manifest.Artifacts[0].Timing[0].Seconds = 99
	m, err = Merge(p, parts)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Encode(); err != nil || string(again) != string(first) {
		t.Errorf("%v\n%s", err, again)
	}
}

func TestMergeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		is   error
		want string
		do   func(parts *[]Part)
	}{
		{"a missing shard", ErrMissing, "hand over what release:build made of it", func(parts *[]Part) { *parts = (*parts)[1:] }},
		{"a missing cell", ErrMissing, ", of shard 1/3", func(parts *[]Part) {
			m := &(*parts)[0].Manifest
			m.Artifacts = m.Artifacts[1:]
		}},
		{"nothing", ErrMissing, "", func(parts *[]Part) { *parts = nil }},
		{"a shard twice", ErrDouble, "leave one of them out", func(parts *[]Part) { *parts = append(*parts, (*parts)[0]) }},
		{"a shard that differs", ErrDiffers, "check:reproducible", func(parts *[]Part) {
			other := (*parts)[0]
			other.Manifest.Artifacts = slices.Clone(other.Manifest.Artifacts)
			other.Manifest.Artifacts[0].Digest = digestOf("another build")
			*parts = append(*parts, other)
		}},
		{"a shard whose documents differ", ErrDiffers, "what is said of it differs", func(parts *[]Part) {
			other := (*parts)[0]
			other.Manifest.Artifacts = slices.Clone(other.Manifest.Artifacts)
			other.Manifest.Artifacts[0].Documents = nil
			*parts = append(*parts, other)
		}},
		{"another shard's cell", ErrForeign, "the plan has it in shard", func(parts *[]Part) { (*parts)[0].Shard.Number = 2 }},
		{"a component of no plan", ErrForeign, "the plan does not have it", change(func(r *artifact.Record) { r.Component = "horn" })},
		{"another version", ErrForeign, "it is version 0.9.0-palisade.1", change(func(r *artifact.Record) {
			r.Name = strings.Replace(r.Name, r.Version, "0.9.0-palisade.1", 1)
			r.Documents[0].Name = r.Name + ".spdx.json"
			r.Version = "0.9.0-palisade.1"
		})},
		{"another recipe", ErrForeign, "of recipe " + digestOf("x").String(), change(func(r *artifact.Record) { r.Recipe = digestOf("x") })},
		{"the name of something else", ErrForeign, "is not called what it is", change(func(r *artifact.Record) { r.Name = "SHA256SUMS" })},
		{"a document with another's name", ErrForeign, "is not called what it is", change(func(r *artifact.Record) { r.Documents[0].Name = "release.json" })},
		{"not hermetic", ErrForeign, "no namespaces", change(func(r *artifact.Record) {
			r.Build.Sandbox = artifact.Sandbox{Reason: "no namespaces"}
		})},
		{"an interface that was not hermetic", ErrForeign, "its web interface", change(func(r *artifact.Record) {
			r.UI = &artifact.UI{Report: &artifact.Sandbox{Reason: "no namespaces"}}
		})},
		{"another distribution", ErrForeign, `is of "other"`, func(parts *[]Part) { (*parts)[0].Manifest.Distribution = "other" }},
		{"images", ErrForeign, "or holds images", func(parts *[]Part) { (*parts)[0].Manifest.Images = make([]artifact.Image, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mergeable(t)
			parts := partsOf(p)
			tt.do(&parts)
			if _, err := Merge(p, parts); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func change(do func(r *artifact.Record)) func(parts *[]Part) {
	return func(parts *[]Part) { do(&(*parts)[0].Manifest.Artifacts[0]) }
}
