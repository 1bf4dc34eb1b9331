package command

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// planned is a plan of one cell, of which an image is made, and the release of it.
// All its files have the content that handed gives them.
func planned() (release.Plan, *artifact.Manifest) {
	linux, recipe, content := artifact.Platform{OS: "linux", Arch: "amd64"}, artifact.DigestBytes([]byte("recipe")), artifact.DigestBytes([]byte("content"))
	c := release.Cell{Component: "pushgateway", Version: "1.11.0-palisade.1", Platform: linux, Variant: "hardened", Recipe: recipe, Shard: handover.Shard{Number: 1, Of: 1}}
	p := release.Plan{
		Distribution: "palisade", Shards: 1, Cells: []release.Cell{c},
		Images: []release.Image{{Component: c.Component, Variant: c.Variant, Platforms: []artifact.Platform{linux}}},
	}
	file := func(name string) artifact.File {
		return artifact.File{Name: name, Size: int64(len("content")), Digest: content}
	}
	a := artifact.Record{
		Name: c.Component + "-" + c.Version + ".linux-amd64.tar.gz", Size: int64(len("content")), Digest: content,
		Component: c.Component, Version: c.Version, Platform: linux, Variant: c.Variant, Recipe: recipe,
		Build: artifact.Invocation{Sandbox: artifact.Sandbox{Hermetic: true}}, Binaries: []artifact.Binary{{Name: c.Component}},
	}
	a.Documents = []artifact.File{file(dist.Document(a, c.Component)), file(dist.Document(a, ""))}
	i := artifact.Image{
		Name: artifact.ImageName(c.Component, c.Version), Size: int64(len("content")), Digest: content, Component: c.Component, Version: c.Version, Variant: c.Variant,
		Platforms: []artifact.PlatformImage{{Platform: linux, Artifact: a.Name}},
	}
	i.Documents = []artifact.File{file(dist.ImageDocument(i))}
	return p, &artifact.Manifest{Distribution: p.Distribution, Artifacts: []artifact.Record{a}, Images: []artifact.Image{i}}
}

// What is signed is of the plan, and each file of what was assembled is one that the
// index accounts for. Each row plants one thing, which is refused for that.
func TestAccounted(t *testing.T) {
	p, m := planned()
	a, image := m.Artifacts[0], m.Images[0]
	good := []string{
		dist.Index, dist.Sums, releases.NotesName, a.Name, dist.Document(a, ""), dist.Provenance(a), dist.VEX(a), dist.TestResult(a),
		image.Name, dist.ImageDocument(image), dist.ImageProvenance(image),
	}
	other := artifact.DigestBytes([]byte("other"))
	for _, tt := range []struct {
		name   string
		is     error
		want   string
		more   string // a file that is there as well
		less   string // a file that is not there
		change func(m *artifact.Manifest)
	}{
		{name: "the release"},
		{name: "the snapshot of the database", more: "beside/vulndb/index/db.json"},
		{name: "a file that nobody knows", is: release.ErrForeign, want: `"dist/tool"`, more: "dist/tool"},
		{name: "a bundle", is: release.ErrForeign, want: "sigstore.json", more: "dist/" + dist.Bundle(a.Name)},
		{name: "a key", is: release.ErrForeign, want: dist.PublicKey, more: "dist/" + dist.PublicKey},
		{name: "an index of releases", is: release.ErrForeign, want: "beside/releases.json", more: "beside/releases.json"},
		{name: "a folder beside, with nearly the name", is: release.ErrForeign, want: "vulndb2", more: "beside/vulndb2/x"},
		{name: "an archive of no cell", is: release.ErrForeign, want: "horn.tar.gz", more: "dist/horn.tar.gz"},
		{name: "a loose binary", is: release.ErrForeign, want: "dist/bin/", more: "dist/bin/linux-amd64/hardened/pushgateway"},
		{name: "the archive elsewhere", is: release.ErrForeign, want: `"` + a.Name, more: a.Name},
		{name: "no archive", is: release.ErrMissing, want: a.Name + ",", less: a.Name},
		{name: "no document", is: release.ErrMissing, want: dist.Document(a, ""), less: dist.Document(a, "")},
		{name: "no provenance", is: release.ErrMissing, want: dist.Provenance(a), less: dist.Provenance(a)},
		{name: "no vulnerabilities", is: release.ErrMissing, want: dist.VEX(a), less: dist.VEX(a)},
		{name: "no result of the audit", is: release.ErrMissing, want: dist.TestResult(a), less: dist.TestResult(a)},
		{name: "no image", is: release.ErrMissing, want: image.Name + ",", less: image.Name},
		{name: "no notes", is: release.ErrMissing, want: releases.NotesName, less: releases.NotesName},
		{name: "another archive", is: release.ErrForeign, want: a.Name + " handed over has", change: func(m *artifact.Manifest) { m.Artifacts[0].Digest = other }},
		{name: "another image", is: release.ErrForeign, want: image.Name + " handed over has", change: func(m *artifact.Manifest) { m.Images[0].Digest = other }},
		{name: "a longer document", is: release.ErrForeign, want: "handed over has 7 bytes", change: func(m *artifact.Manifest) { m.Artifacts[0].Documents[1].Size++ }},
		{name: "an artifact of another recipe", is: release.ErrForeign, want: "of recipe " + other.String(), change: func(m *artifact.Manifest) { m.Artifacts[0].Recipe = other }},
		{name: "an artifact less", is: release.ErrMissing, want: "pushgateway linux/amd64 hardened", change: func(m *artifact.Manifest) { m.Artifacts = nil }},
		{name: "an image less", is: release.ErrMissing, want: "the hardened image of pushgateway", change: func(m *artifact.Manifest) { m.Images = nil }},
		{name: "a bundle that calls itself a document", is: release.ErrForeign, want: "is no document of", more: "dist/" + dist.Bundle(a.Name), change: func(m *artifact.Manifest) {
			m.Artifacts[0].Documents = append(m.Artifacts[0].Documents, artifact.File{Name: dist.Bundle(a.Name)})
		}},
		{name: "a document that no build wrote", is: release.ErrMissing, want: "bin/linux-amd64/hardened/second.spdx.json", change: func(m *artifact.Manifest) {
			m.Artifacts[0].Binaries = append(m.Artifacts[0].Binaries, artifact.Binary{Name: "second"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var files []string
			for _, name := range good {
				if name != tt.less {
					files = append(files, "dist/"+name)
				}
			}
			if tt.more != "" {
				files = append(files, tt.more)
			}
			slices.Sort(files)
			_, m := planned()
			if tt.change != nil {
				tt.change(m)
			}
			r := &signatory{step: &step{plan: p}, assembled: handed(t, handover.Header{Step: handover.Assemble}, files...), manifest: m}
			if err := r.accounted(); !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
