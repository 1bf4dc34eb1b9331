package artifact

import (
	"errors"
	"strings"
	"testing"
)

// sampleImage is an image of r alone.
func sampleImage(r Record) Image {
	var binaries []File
	for _, b := range r.Binaries {
		binaries = append(binaries, File{Name: "bin/" + b.Name, Mode: "0555", Size: b.Size, Digest: b.Digest})
	}
	name := ImageName(r.Component, r.Version)
	zip := sum("roots zip")
	return Image{
		Name: name, Size: 1 << 30, Digest: sum(name), Component: r.Component, Version: r.Version, Variant: r.Variant,
		Epoch: r.Epoch, Index: sum(name + " index"),
		Roots: Module{Path: "golang.org/x/crypto/x509roots/fallback", Version: "v0.0.0-20261030153154-30a33513ff6d", Sum: toolSum, Zip: &zip},
		Platforms: []PlatformImage{{
			Platform: r.Platform, Manifest: sum(name + " manifest"), Config: sum(name + " config"), Artifact: r.Name,
			Layers: []Layer{
				{"base", sum("base gz"), sum("base"), 1000, []File{file("etc/passwd", "0644", "root:x:0:0"), file("etc/ssl/certs/ca-certificates.crt", "0644", "pem")}},
				{"licences", sum("licences gz"), sum("licences"), 900, []File{file("usr/share/licenses/"+r.Component+"/LICENSE", "0644", "licence")}},
				{"binaries", sum("binaries gz"), sum("binaries"), 1 << 29, binaries},
				{"configuration", sum("configuration gz"), sum("configuration"), 300, []File{file("etc/"+r.Component+".yml", "0644", "global:")}},
			},
		}},
		Documents: []File{file(name+".spdx.json", "", "document of "+name)},
	}
}

// A release without images is written as it was before there were any.
func TestImagesAreLeftOut(t *testing.T) {
	m := sample()
	m.Images = []Image{}
	if text := encode(t, m); strings.Contains(text, "images") {
		t.Errorf("a manifest without images is\n%s", text)
	}
	text := strings.TrimSuffix(encode(t, m), "\n}\n") + ",\n  \"images\": []\n}\n"
	refused(t, strings.NewReader(text))
}

func TestEncodeWritesNoNullOfImages(t *testing.T) {
	m := sample()
	m.Images[0].Platforms[0].Layers[1].Members = nil
	if text := encode(t, m); strings.Contains(text, "null") {
		t.Errorf("null in:\n%s", text)
	}
	if m.Images[0].Platforms[0].Layers[1].Members != nil {
		t.Error("Encode changed the manifest it was given")
	}
}

func TestImageNames(t *testing.T) {
	i := sample().Images[0]
	if i.Name != "prometheus-3.15.0-palisade.1.oci.tar" || i.BundlesDir() != "prometheus-3.15.0-palisade.1.oci.d" {
		t.Errorf("%q, %q", i.Name, i.BundlesDir())
	}
}

func TestSortImages(t *testing.T) {
	m := sample()
	want := encode(t, m)
	m.Images[0], m.Images[1] = m.Images[1], m.Images[0]
	if _, err := m.Encode(); !errors.Is(err, ErrManifest) {
		t.Errorf("images out of order: %v", err)
	}
	m.Sort()
	if got := encode(t, m); got != want {
		t.Errorf("sorted:\n%s\nwant:\n%s", got, want)
	}
}

func TestEncodeRefusesImages(t *testing.T) {
	first := func(change func(*Image, *PlatformImage)) func(*Manifest) {
		return func(m *Manifest) { change(&m.Images[0], &m.Images[0].Platforms[0]) }
	}
	second := func(i *Image) *PlatformImage {
		p := i.Platforms[0]
		p.Layers = append([]Layer(nil), p.Layers...)
		i.Platforms = append(i.Platforms, p)
		return &i.Platforms[1]
	}
	tests := []struct {
		name, says string
		change     func(*Manifest)
	}{
		{"twice", "twice", func(m *Manifest) { m.Images[1] = m.Images[0] }},
		{"name is a path", "plain file name", first(func(i *Image, _ *PlatformImage) { i.Name = "x/" + i.Name })},
		{"another name", "is called", first(func(i *Image, _ *PlatformImage) { i.Name = "a.oci.tar" })},
		{"no digest", "lacks", first(func(i *Image, _ *PlatformImage) { i.Digest = Digest{} })},
		{"no index", "lacks", first(func(i *Image, _ *PlatformImage) { i.Index = Digest{} })},
		{"no variant", "lacks", first(func(i *Image, _ *PlatformImage) { i.Variant = "" })},
		{"no roots", "lacks", first(func(i *Image, _ *PlatformImage) { i.Roots.Sum = "" })},
		{"no document", "document", first(func(i *Image, _ *PlatformImage) { i.Documents = nil })},
		{"document of another", "document", first(func(i *Image, _ *PlatformImage) { i.Documents[0].Name = "x.spdx.json" })},
		{"two documents", "document", first(func(i *Image, _ *PlatformImage) { i.Documents = append(i.Documents, i.Documents[0]) })},
		{"no platform", "no platform", first(func(i *Image, _ *PlatformImage) { i.Platforms = nil })},
		{"platform twice", "there twice", first(func(i *Image, _ *PlatformImage) { second(i).Manifest = sum("other") })},
		{"manifest is the index", "of its own", first(func(i *Image, p *PlatformImage) { p.Manifest = i.Index })},
		{"no manifest", "of its own", first(func(_ *Image, p *PlatformImage) { p.Manifest = Digest{} })},
		{"no config", "of its own", first(func(_ *Image, p *PlatformImage) { p.Config = Digest{} })},
		{"no such artifact", "not in this release", first(func(_ *Image, p *PlatformImage) { p.Artifact = "other" })},
		{"artifact of another component", "made of artifact", first(func(_ *Image, p *PlatformImage) { p.Artifact = "pushgateway-1.11.3-vanilla.linux-armv7.tar.gz" })},
		{"artifact for another platform", "made of artifact", first(func(_ *Image, p *PlatformImage) { p.Platform.Arch = "arm64" })},
		{"artifact of another variant", "made of artifact", func(m *Manifest) { m.Artifacts[0].Variant = "vanilla" }},
		{"artifact of another time", "made of artifact", func(m *Manifest) { m.Artifacts[0].Epoch++ }},
		{"another base layer", "same base layer", func(m *Manifest) {
			r := m.Artifacts[0]
			r.Name, r.Platform.Arch = "prometheus-3.15.0-palisade.1.linux-arm64.tar.gz", "arm64"
			m.Artifacts = append(m.Artifacts, r)
			m.Sort()
			p := second(&m.Images[0])
			p.Platform, p.Artifact, p.Manifest = r.Platform, r.Name, sum("arm64")
			p.Layers[0].Digest = sum("other")
		}},
		{"two layers", "2 layers", first(func(_ *Image, p *PlatformImage) { p.Layers = p.Layers[:2] })},
		{"five layers", "5 layers", first(func(_ *Image, p *PlatformImage) { p.Layers = append(p.Layers, p.Layers[0]) })},
		{"layers out of order", `layer 1 is "licences"`, first(func(_ *Image, p *PlatformImage) { p.Layers[0].Name = "licences" })},
		{"layer without digest", "lacks its digests", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Digest = Digest{} })},
		{"layer without content", "lacks its digests", first(func(_ *Image, p *PlatformImage) { p.Layers[1].DiffID = Digest{} })},
		{"absolute member", "no plain path", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Members[0].Name = "/LICENSE" })},
		{"member above", "no plain path", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Members[0].Name = "../LICENSE" })},
		{"member without mode", "no mode", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Members[0].Mode = "" })},
		{"members out of order", "out of order", first(func(_ *Image, p *PlatformImage) { p.Layers[0].Members[0].Name = "zzz" })},
		{"member in two layers", "in a lower one too", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Members[0].Name = "etc/passwd" })},
		{"binary in another layer", "among the binaries", first(func(_ *Image, p *PlatformImage) { p.Layers[1].Members[0].Name = "bin/sh" })},
		{"no binary", "holds 0 of the", first(func(_ *Image, p *PlatformImage) { p.Layers[2].Members = nil })},
		{"binary of another digest", "no binary of artifact", first(func(_ *Image, p *PlatformImage) { p.Layers[2].Members[0].Digest = sum("other") })},
		{"binary of another name", "no binary of artifact", first(func(_ *Image, p *PlatformImage) { p.Layers[2].Members[0].Name = "bin/other" })},
		{"binary elsewhere", "no binary of artifact", first(func(_ *Image, p *PlatformImage) { p.Layers[2].Members[0].Name = "sbin/prometheus" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sample()
			tt.change(m)
			if text, err := m.Encode(); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Encode = %d bytes, %v, want ErrManifest that says %q", len(text), err, tt.says)
			}
		})
	}
}
