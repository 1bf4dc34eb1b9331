package release

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// wholeOf is the release that a plan is of.
func wholeOf(t *testing.T, p Plan) artifact.Manifest {
	t.Helper()
	m, err := Merge(p, partsOf(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range p.Images {
		image := artifact.Image{Component: i.Component, Variant: i.Variant}
		for _, platform := range i.Platforms {
			c, _ := p.cellOf(artifact.Record{Component: i.Component, Platform: platform, Variant: i.Variant})
			image.Name, image.Version = artifact.ImageName(c.Component, c.Version), c.Version
			image.Platforms = append(image.Platforms, artifact.PlatformImage{Platform: platform, Artifact: recordOf(c).Name})
		}
		slices.Reverse(image.Platforms)
		m.Images = append(m.Images, image)
	}
	slices.Reverse(m.Images)
	return m
}

// Each row changes one thing of a release that is the plan's, which is refused for that.
func TestWhole(t *testing.T) {
	p := mergeable(t)
	if err := p.Whole(wholeOf(t, p)); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		is   error
		want string
		do   func(m *artifact.Manifest)
	}{
		{"nothing", ErrMissing, "bell linux/amd64 hardened", func(m *artifact.Manifest) { m.Artifacts, m.Images = nil, nil }},
		{"another distribution", ErrForeign, "release.json is of", func(m *artifact.Manifest) { m.Distribution = "other" }},
		{"a cell less", ErrMissing, "gong linux/amd64 hardened", func(m *artifact.Manifest) {
			m.Artifacts = slices.DeleteFunc(m.Artifacts, func(r artifact.Record) bool { return r.Component == "gong" })
		}},
		{"a cell more", ErrForeign, "horn-1", func(m *artifact.Manifest) {
			c := p.Cells[0]
			c.Component = "horn"
			m.Artifacts = append(m.Artifacts, recordOf(c))
		}},
		{"a platform more", ErrForeign, "the plan does not have it", func(m *artifact.Manifest) {
			c := p.Cells[0]
			c.Platform = artifact.Platform{OS: "plan9", Arch: "amd64"}
			m.Artifacts = append(m.Artifacts, recordOf(c))
		}},
		{"a cell twice, in another form", ErrDouble, "are both bell", func(m *artifact.Manifest) {
			r := m.Artifacts[0]
			r.Name, r.Documents = strings.Replace(r.Name, ".tar.gz", ".zip", 1), nil
			m.Artifacts = append(m.Artifacts, r)
		}},
		{"another recipe", ErrForeign, "of recipe " + digestOf("x").String(), func(m *artifact.Manifest) { m.Artifacts[0].Recipe = digestOf("x") }},
		{"another version", ErrForeign, "not called what it is", func(m *artifact.Manifest) { m.Artifacts[0].Version = "9.0.0" }},
		{"another variant", ErrForeign, "the plan does not have it", func(m *artifact.Manifest) { m.Artifacts[0].Variant = "soft" }},
		{"no images", ErrMissing, "the hardened image of bell", func(m *artifact.Manifest) { m.Images = nil }},
		{"an image less", ErrMissing, "image of", func(m *artifact.Manifest) { m.Images = m.Images[1:] }},
		{"an image twice", ErrDouble, "the second time", func(m *artifact.Manifest) { m.Images = append(m.Images, m.Images[0]) }},
		{"an image of what has none", ErrForeign, `image "gong-1`, func(m *artifact.Manifest) {
			m.Images = append(m.Images, artifact.Image{Name: "gong-1.oci.tar", Component: "gong", Variant: "hardened"})
		}},
		{"an image of another version", ErrForeign, "it is version", func(m *artifact.Manifest) { m.Images[0].Version = "9.0.0" }},
		{"an image made of something else", ErrForeign, "made of", func(m *artifact.Manifest) { m.Images[0].Platforms[0].Artifact = "gong" }},
		{"an image for a platform less", ErrMissing, "is for []", func(m *artifact.Manifest) { m.Images[0].Platforms = nil }},
		{"an image for a platform twice", ErrMissing, "is for [", func(m *artifact.Manifest) {
			m.Images[0].Platforms = append(m.Images[0].Platforms, m.Images[0].Platforms[0])
		}},
		{"an image for a platform more", ErrForeign, "for plan9/amd64", func(m *artifact.Manifest) {
			m.Images[0].Platforms = append(m.Images[0].Platforms, artifact.PlatformImage{Platform: artifact.Platform{OS: "plan9", Arch: "amd64"}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := wholeOf(t, p)
			tt.do(&m)
			if err := p.Whole(m); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
