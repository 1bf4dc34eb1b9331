package spdx

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

const rootsPath, rootsVersion = "golang.org/x/crypto/x509roots/fallback", "v0.0.0-20261030153154-30a33513ff6d"

// sampleFor is the sample, built for linux on another architecture.
func sampleFor(arch string) Input {
	in := sample()
	r := &in.Record
	other := strings.TrimSuffix(folder, "amd64") + arch
	r.Name, r.Platform.Arch = other+".tar.gz", arch
	for i := range r.Binaries {
		r.Binaries[i].Digest = *digestOf(r.Binaries[i].Name + arch)
	}
	members := map[string]Member{}
	for i, m := range r.Members {
		base, given := filepath.Base(m.Name), in.Members[m.Name]
		if given.Whose == Compiled {
			given.Hashes, m.Digest = hashesOf(base+arch), *digestOf(base + arch)
		}
		m.Name = other + "/" + base
		r.Members[i], members[m.Name] = m, given
	}
	in.Members, r.Digest, in.Artifact = members, *digestOf(r.Name), hashesOf(r.Name)
	return in
}

// sampleImage is made of the sample for two architectures.
func sampleImage(t *testing.T) ImageInput {
	t.Helper()
	const name = "beacon-1.2.0-palisade.1.oci.tar"
	in := ImageInput{
		Publisher: sample().Publisher,
		Image: artifact.Image{
			Name: name, Size: 5000, Digest: *digestOf(name), Component: "beacon", Version: "1.2.0-palisade.1", Variant: "hardened",
			Epoch: 1700000000, Index: *digestOf("index"), Roots: moduleOf(rootsPath, rootsVersion),
		},
		File: hashesOf(name), Manifests: map[artifact.Digest]Hashes{}, Archives: map[string][]byte{}, Files: map[artifact.Digest]Member{},
		Roots: Package{Licence: "BSD-3-Clause AND MPL-2.0", Copyright: []string{"Copyright 2009 The Go Authors."}, SHA512: hashesOf("roots").SHA512},
	}
	for name, whose := range map[string]Whose{"ca-certificates.crt": Roots, "passwd": Own} {
		in.Files[*digestOf(name)] = Member{Hashes: hashesOf(name), Whose: whose}
	}
	at := func(dir, name string, d artifact.Digest) artifact.File {
		return artifact.File{Name: dir + "/" + name, Mode: "0644", Size: 1, Digest: d}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		archive := sampleFor(arch)
		d, err := Describe(archive)
		text := encoded(t, d, err)
		in.Archives[archive.Record.Name] = text
		binaries := []artifact.File{at("bin", "beacon", archive.Record.Binaries[0].Digest), at("bin", "beaconctl", archive.Record.Binaries[1].Digest)}
		in.Image.Platforms = append(in.Image.Platforms, artifact.PlatformImage{
			Platform: archive.Record.Platform, Manifest: *digestOf("manifest " + arch), Config: *digestOf("config " + arch), Artifact: archive.Record.Name,
			Layers: []artifact.Layer{
				{Name: "base", Members: []artifact.File{at("etc", "passwd", *digestOf("passwd")), at("etc/ssl/certs", "ca-certificates.crt", *digestOf("ca-certificates.crt"))}},
				{Name: "licences", Members: []artifact.File{
					at("usr/share/licenses/beacon", "LICENSE", *digestOf("LICENSE")), at("usr/share/licenses/beacon", "THIRD_PARTY_LICENSES", *digestOf("THIRD_PARTY_LICENSES")),
					at("usr/share/sbom", "beacon.spdx.json", artifact.DigestBytes(text)),
				}},
				{Name: "binaries", Members: binaries},
			},
		})
		in.Manifests[*digestOf("manifest " + arch)] = hashesOf("manifest " + arch)
	}
	return in
}

// The document of the image, whole, is what to read first.
func TestDescribeImage(t *testing.T) {
	d, err := DescribeImage(sampleImage(t))
	got := encoded(t, d, err)
	name := filepath.Join("testdata", "sample-image.spdx.json")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; run with -update and read what git says", name)
	}
	back, err := Parse(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Check(); err != nil {
		t.Error(err)
	}
	if again := encoded(t, back, nil); !bytes.Equal(again, got) {
		t.Error("reading and writing it again changes it")
	}
}

// What is in an archive is said by its own document, to which the image's
// refers by file, and not said again.
func TestDescribeImageRefers(t *testing.T) {
	in := sampleImage(t)
	d, err := DescribeImage(in)
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range in.Image.Platforms {
		archive, err := Parse(bytes.NewReader(in.Archives[p.Artifact]))
		if err != nil {
			t.Fatal(err)
		}
		ref := d.doc.ExternalDocumentReferences[n]
		if to := ReferenceTo(archive, in.Archives[p.Artifact]); string(ref.DocumentRefID) != p.Platform.Slug() || ref.URI != to.Namespace || ref.Checksum.Value != to.SHA1 {
			t.Errorf("it refers to %+v, want %+v", ref, to)
		}
		ends := map[string][]common.ElementID{}
		for _, r := range d.doc.Relationships {
			if r.RefB.DocumentRefID == ref.DocumentRefID {
				ends[r.Relationship] = append(ends[r.Relationship], r.RefB.ElementRefID)
				if !slices.ContainsFunc(archive.doc.Relationships, func(a *v2_3.Relationship) bool { return a.RefB.ElementRefID == r.RefB.ElementRefID }) {
					t.Errorf("%s is not in the document of %s", r.RefB.ElementRefID, p.Artifact)
				}
			}
		}
		if len(ends["GENERATED_FROM"]) != 1 || len(ends["COPY_OF"]) != 4 {
			t.Errorf("it refers to %v", ends)
		}
	}
	for _, p := range d.doc.Packages {
		if strings.Contains(p.PackageName, "lamp") {
			t.Errorf("it lists %s, which is in a binary", p.PackageName)
		}
	}
	// One file of both platforms is one; a binary of each is its own.
	var names []string
	for _, f := range d.doc.Files {
		names = append(names, f.FileName)
	}
	slices.Sort(names)
	want := []string{
		"./bin/beacon", "./bin/beacon", "./bin/beaconctl", "./bin/beaconctl", "./etc/passwd", "./etc/ssl/certs/ca-certificates.crt",
		"./usr/share/licenses/beacon/LICENSE", "./usr/share/licenses/beacon/THIRD_PARTY_LICENSES", "./usr/share/sbom/beacon.spdx.json", "./usr/share/sbom/beacon.spdx.json",
	}
	if !slices.Equal(names, want) {
		t.Errorf("files are %q", names)
	}
	if got := related(d, "File-etc-ssl-certs-ca-certificates.crt", "GENERATED_FROM"); !slices.Equal(got, []string{rootsPath + " " + rootsVersion}) {
		t.Errorf("certificates are made from %q", got)
	}
	// Notices that other documents say still count.
	if text := d.doc.Packages[0].PackageCopyrightText; !strings.Contains(text, "Ada <ada@lamp.example>") || !strings.Contains(text, "The Go Authors") {
		t.Errorf("copyright text is %q", text)
	}
}

// A licence that the SPDX list does not have comes with what is under it, and
// has one text.
func TestDescribeImageExtracted(t *testing.T) {
	in := sampleImage(t)
	for n := range in.Image.Platforms {
		l := in.Image.Platforms[n].Layers
		in.Image.Platforms[n].Layers = l[:2]
		l[1].Members = slices.DeleteFunc(l[1].Members, func(m artifact.File) bool { return strings.Contains(m.Name, "THIRD") })
	}
	d, err := DescribeImage(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.doc.OtherLicenses) != 0 {
		t.Errorf("it holds the text of %s, under which nothing is", d.doc.OtherLicenses[0].LicenseIdentifier)
	}
	in = sampleImage(t)
	other := sampleFor("arm64")
	glassPURL := GoPURL(glass, "v2.0.1-0.20240102030405-0123456789ab")
	p := other.Packages[glassPURL]
	p.Extracted[0].Text = "Do not look.\n"
	archive, err := Describe(other)
	in.Archives[other.Record.Name] = encoded(t, archive, err)
	if _, err := DescribeImage(in); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "another text elsewhere") {
		t.Errorf("two texts of one licence: %v", err)
	}
}

func TestImageContents(t *testing.T) {
	in := sampleImage(t)
	d, err := DescribeImage(in)
	if err != nil {
		t.Fatal(err)
	}
	said, err := d.Image()
	if err != nil {
		t.Fatal(err)
	}
	found := func() ImageContents {
		in := sampleImage(t)
		documents := map[string]Reference{}
		for name, text := range in.Archives {
			archive, err := Parse(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			documents[name] = ReferenceTo(archive, text)
		}
		return ContentsOf(in.Image, documents)
	}
	if err := said.Same(found()); err != nil {
		t.Error(err)
	}
	registry := found()
	registry.File, registry.Digest = "", artifact.Digest{}
	slices.Reverse(registry.Platforms)
	if err := said.Same(registry); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name, says string
		change     func(*ImageContents)
	}{
		{"another version", "the image", func(c *ImageContents) { c.Version = "1.2.0-vanilla" }},
		{"another file", "the image", func(c *ImageContents) { c.Digest = *digestOf("x") }},
		{"another index", "the index", func(c *ImageContents) { c.Index = *digestOf("x") }},
		{"other roots", "the roots", func(c *ImageContents) { c.Roots.Sum = h1Of("x") }},
		{"another manifest", `the manifest of "linux-amd64"`, func(c *ImageContents) { c.Platforms[0].Manifest = *digestOf("x") }},
		{"one platform less", "which is not there", func(c *ImageContents) { c.Platforms = c.Platforms[:1] }},
		{"one platform more", "does not say anything", func(c *ImageContents) {
			more := c.Platforms[0]
			more.Platform = "linux-386"
			c.Platforms = append(c.Platforms, more)
		}},
		{"a second platform of that name", "two platforms are called", func(c *ImageContents) {
			evil := c.Platforms[0]
			evil.Manifest, evil.Files = *digestOf("x"), map[string]artifact.Digest{"bin/beacon": *digestOf("x")}
			c.Platforms = append([]PlatformContents{evil}, c.Platforms...)
		}},
		{"another document", "the document of the archive", func(c *ImageContents) { c.Platforms[0].Document.SHA1 = "" }},
		{"another file", `the file "bin/beacon" of "linux-amd64"`, func(c *ImageContents) { c.Platforms[0].Files["bin/beacon"] = *digestOf("x") }},
		{"one file less", `names the file "bin/beacon"`, func(c *ImageContents) { delete(c.Platforms[0].Files, "bin/beacon") }},
		{"one file more", `anything of the file "bin/sh"`, func(c *ImageContents) { c.Platforms[1].Files["bin/sh"] = *digestOf("x") }},
	} {
		c := found()
		tt.change(&c)
		if err := said.Same(c); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want an error that says %q", tt.name, err, tt.says)
		}
	}
	archive, err := Describe(sample())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Image(); !errors.Is(err, ErrDocument) {
		t.Errorf("an archive's document as an image's: %v", err)
	}
}

// Each fault of an ImageInput is refused, with the image's name, what it is
// about and what to do.
func TestDescribeImageRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*ImageInput)
		says   []string
	}{
		{"no publisher", func(in *ImageInput) { in.Publisher.Name = "()" }, []string{"publisher", "distribution.yaml"}},
		{"no time", func(in *ImageInput) { in.Image.Epoch = 0 }, []string{"epoch", "build it again"}},
		{"no index", func(in *ImageInput) { in.Image.Index = artifact.Digest{} }, []string{"index", "build it again"}},
		{"no platform", func(in *ImageInput) { in.Image.Platforms = nil }, []string{"platform", "build it again"}},
		{"no hashes of the file", func(in *ImageInput) { in.File = Hashes{} }, []string{"SHA1", "build it again"}},
		{"no hashes of a manifest", func(in *ImageInput) { in.Manifests = nil }, []string{"image manifest", "SHA512", "build it again"}},
		{"no document of an archive", func(in *ImageInput) { in.Archives = nil }, []string{folder, "build it again"}},
		{"document of another archive", func(in *ImageInput) {
			in.Archives[folder+".tar.gz"] = in.Archives[in.Image.Platforms[1].Artifact]
		}, []string{folder, "describes", "build it again"}},
		{"document that breaks a promise", func(in *ImageInput) {
			in.Archives[folder+".tar.gz"] = bytes.Replace(in.Archives[folder+".tar.gz"], []byte("1.26.8"), []byte("1.26.9"), 1)
		}, []string{folder, "build it again"}},
		{"archive of another version", func(in *ImageInput) { in.Image.Version = "1.2.1-palisade.1" }, []string{folder, "describes"}},
		{"roots without a licence", func(in *ImageInput) { in.Roots.Licence = "" }, []string{rootsPath, "recipe"}},
		{"roots without a zip file", func(in *ImageInput) { in.Image.Roots.Zip = nil }, []string{rootsPath, "zip"}},
		{"file of nobody", func(in *ImageInput) { in.Files[*digestOf("passwd")] = Member{Hashes: hashesOf("passwd")} }, []string{"etc/passwd", "whose"}},
		{"file without hashes", func(in *ImageInput) { in.Files[*digestOf("passwd")] = Member{Whose: Own} }, []string{"etc/passwd", "SHA1", "build it again"}},
		{"file that is not known", func(in *ImageInput) { in.Files = nil }, []string{"layer base", "etc/passwd", "in no archive", "build it again"}},
		{"binary of no archive", func(in *ImageInput) { in.Image.Platforms[0].Layers[2].Members[0].Digest = *digestOf("x") }, []string{"linux/amd64", "bin/beacon", "in no archive"}},
		{"nothing in it", func(in *ImageInput) { in.Image.Platforms[0].Layers = nil }, []string{"linux/amd64", "no file"}},
		{"platform twice", func(in *ImageInput) { in.Image.Platforms = append(in.Image.Platforms, in.Image.Platforms[0]) }, []string{"twice"}},
		{"file twice", func(in *ImageInput) {
			l := &in.Image.Platforms[0].Layers[1]
			l.Members = append(l.Members, artifact.File{Name: "etc/passwd", Digest: *digestOf("LICENSE")})
		}, []string{"etc-passwd", "twice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := sampleImage(t)
			tt.change(&in)
			d, err := DescribeImage(in)
			if !errors.Is(err, ErrInput) || d != nil {
				t.Fatalf("DescribeImage: %v, %v, want ErrInput", d, err)
			}
			for _, want := range append(tt.says, in.Image.Name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not name %q", err, want)
				}
			}
		})
	}
}
