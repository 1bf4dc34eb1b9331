package spdx

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"palisade/attestations/artifact"
)

var update = flag.Bool("update", false, "write the documents of the sample into testdata")

func encoded(t *testing.T, d *Document, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The documents of the sample, whole, are what to read first.
func TestDescribe(t *testing.T) {
	for _, only := range []string{"", "beacon", "beaconctl"} {
		t.Run("of "+only, func(t *testing.T) {
			d, err := describe(sample(), only)
			got := encoded(t, d, err)
			golden := filepath.Join("testdata", "sample"+strings.TrimSuffix("-"+only, "-")+".spdx.json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s; run with -update and read what git says", golden)
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
		})
	}
}

// Lists of an Input may come in any order, but for patches, whose names hold
// theirs.
func TestDescribeInAnyOrder(t *testing.T) {
	d, err := Describe(sample())
	want := encoded(t, d, err)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		in := sample()
		r := &in.Record
		shuffle(random, r.Patched, r.Embedded, r.Toolchains, r.Binaries, r.Members, in.Links)
		for i := range r.Patched {
			shuffle(random, r.Patched[i].Patches, r.Patched[i].Added)
		}
		for i := range r.Binaries {
			shuffle(random, r.Binaries[i].Modules)
		}
		for _, l := range in.Links {
			shuffle(random, l.Modules)
			for _, m := range l.Modules {
				shuffle(random, m.Packages, m.Requires)
			}
		}
		d, err := Describe(in)
		if got := encoded(t, d, err); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the document depends on the order of its input", seed)
		}
	}
}

func shuffle(random *rand.Rand, lists ...any) {
	for _, l := range lists {
		switch l := l.(type) {
		case []artifact.Patched:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.PatchFile:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.Embedded:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.Tool:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.Binary:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.File:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []artifact.Module:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []Links:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []Link:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		case []string:
			random.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		default:
			panic("a list that is not shuffled")
		}
	}
}

// related lists the names of what an element is related to.
func related(d *Document, from common.ElementID, kind string) []string {
	names := map[common.ElementID]string{}
	for _, p := range d.doc.Packages {
		names[p.PackageSPDXIdentifier] = p.PackageName + " " + p.PackageVersion
	}
	for _, f := range d.doc.Files {
		names[f.FileSPDXIdentifier] = f.FileName
	}
	all := map[string]bool{}
	for _, r := range d.doc.Relationships {
		if r.RefA.ElementRefID == from && r.Relationship == kind {
			all[names[r.RefB.ElementRefID]] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// A binary's document says nothing of what is only in the other binary: no
// web interface, none of its packages, nothing that built it, no patch of a
// module that is not linked.
func TestDescribeBinaryAlone(t *testing.T) {
	d, err := DescribeBinary(sample(), "beaconctl")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.doc.Packages {
		if slices.Contains([]string{"beacon-web-interface", "@shiny/buttons", "ticks", "node", lamp, "letters"}, p.PackageName) {
			t.Errorf("it lists %s %s", p.PackageName, p.PackageVersion)
		}
	}
	var files []string
	for _, f := range d.doc.Files {
		files = append(files, f.FileName)
	}
	if want := []string{"./beaconctl", "./patches/beacon/v1.2.0/0001-off-by-default.patch"}; !slices.Equal(files, want) {
		t.Errorf("its files are %q, want %q", files, want)
	}
	linked := related(d, "File-beaconctl", common.TypeRelationshipStaticLink)
	if want := []string{glass + " v2.0.1-0.20240102030405-0123456789ab", beacon + " v1.2.1-0.palisade.1", "stdlib 1.26.8"}; !slices.Equal(linked, want) {
		t.Errorf("it links %q, want %q", linked, want)
	}
	if root := d.doc.Packages[0]; root.PackageLicenseConcluded != "Apache-2.0 AND BSD-3-Clause AND LicenseRef-palisade-glass" || root.PackageName != "beaconctl" || root.PackageChecksums[1].Value != digestOf("beaconctl").Hex() {
		t.Errorf("described is %s under %s with %v", root.PackageName, root.PackageLicenseConcluded, root.PackageChecksums)
	}
}

// What a bundler spread over a web interface, and a font that lies in the
// source of a module, each hang where they are.
func TestDescribeEmbedded(t *testing.T) {
	d, err := Describe(sample())
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[common.ElementID][]string{
		"Interface-beacon-web-interface-1.2.0-palisade.1":  {"./web/static/app.js", "./web/static/index.html", "@shiny/buttons 3.1.0", "ticks 1.0.0-rc.1"},
		"Go-github.com-example-beacon-v1.2.1-0.palisade.1": {"beacon-web-interface 1.2.0-palisade.1"},
		"Go-example.org-Bright-lamp-v0.4.1-0.palisade.1":   {"letters 2.0"},
		"Tool-go-1.26.8": {"stdlib 1.26.8"},
	} {
		if got := related(d, from, common.TypeRelationshipContains); !slices.Equal(got, want) {
			t.Errorf("%s contains %q, want %q", from, got, want)
		}
	}
}

// The web interface can be of another version of the module that embeds it, as
// that of alertmanager is. What lies in a file of that version is in the
// interface; what lies in a linked package of the module is in the module, and
// in every binary that links the package; and a package can be in both.
func TestDescribeEmbeddedInBoth(t *testing.T) {
	const mail = "pkg:npm/mail@1.0.0"
	for _, tt := range []struct {
		name               string
		files              []string
		inUI, inModule     bool
		documents, missing []string
	}{
		{name: "of the origin", files: []string{"asset/data.go#mail.html"}, inUI: true, documents: []string{"", "beacon"}, missing: []string{"beaconctl"}},
		{name: "of what holds the interface", files: []string{"web/static/mail.ttf"}, inUI: true, documents: []string{"", "beacon"}, missing: []string{"beaconctl"}},
		{name: "of another package", files: []string{"template/mail.html"}, inModule: true, documents: []string{"", "beacon", "beaconctl"}},
		{name: "of both", files: []string{"asset/data.go#mail.html", "template/mail.html"}, inUI: true, inModule: true, documents: []string{"", "beacon", "beaconctl"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := sample()
			origin := moduleOf(beacon, "v1.0.0")
			in.Record.UI = &artifact.UI{Kind: "bundle", Origin: origin, Note: "Taken out of this module."}
			in.Packages[GoPURL(origin.Path, origin.Version)] = in.Packages[GoPURL(beacon, "v1.2.0")]
			for i := range in.Links {
				modules := in.Links[i].Modules
				at := slices.IndexFunc(modules, func(l Link) bool { return l.Module == beacon })
				modules[at].Packages = append(modules[at].Packages, beacon+"/template")
			}
			e := artifact.Embedded{PURL: mail, Name: "mail", Version: "1.0.0", Evidence: artifact.Stated, Note: "It says so.", Files: tt.files, In: beacon}
			in.Record.Embedded = append(in.Record.Embedded, e)
			in.Packages[mail] = Package{Licence: "MIT", Stated: "It says so."}

			for _, only := range tt.documents {
				d, err := describe(in, only)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(d.doc.Packages, func(p *v2_3.Package) bool { return p.PackageName == "mail" })
				if got, want := d.doc.Packages[i].PackageDownloadLocation, "https://registry.npmjs.org/mail/-/mail-1.0.0.tgz"; got != want {
					t.Errorf("it is had from %s, want %s", got, want)
				}
				for from, want := range map[common.ElementID]bool{
					d.doc.Packages[0].PackageSPDXIdentifier:            true,
					"Interface-beacon-web-interface-1.0.0":             tt.inUI && only != "beaconctl",
					"Go-github.com-example-beacon-v1.2.1-0.palisade.1": tt.inModule,
				} {
					if got := slices.Contains(related(d, from, common.TypeRelationshipContains), "mail 1.0.0"); got != want {
						t.Errorf("in the document of %q: %s contains it: %t, want %t", only, from, got, want)
					}
				}
			}
			for _, only := range tt.missing {
				d, err := describe(in, only)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(d.doc.Packages, func(p *v2_3.Package) bool { return p.PackageName == "mail" }) {
					t.Errorf("the document of %s lists it", only)
				}
			}
		})
	}
}

// What was made of a git commit is had there, and has the commit's hash: the
// component's module, and a package of Elm that the interface was compiled with.
func TestDescribeCommits(t *testing.T) {
	const purl = "pkg:elm/lights/lamp@1.0.0"
	in := sample()
	source := artifact.Git{Name: beacon + "@v1.2.0", Repository: "https://git.example.org/beacon", Commit: strings.Repeat("01", 20), Sum: "h1:" + strings.Repeat("A", 43) + "="}
	lamp := artifact.Git{Name: "lights/lamp@1.0.0", Repository: "https://git.example.org/lamp", Commit: strings.Repeat("23", 20), Sum: "h1:" + strings.Repeat("B", 42) + "A="}
	in.Record.Git = &source
	ui := *in.Record.UI
	ui.Kind, ui.Commits = "elm", []artifact.Git{lamp}
	in.Record.UI = &ui
	in.Record.Embedded = append(in.Record.Embedded, artifact.Embedded{PURL: purl, Name: "lights/lamp", Version: "1.0.0", Evidence: artifact.ByCompiler, In: beacon})
	in.Packages[purl] = Package{Licence: "BSD-3-Clause", Copyright: []string{"Copyright (c) the lamp"}}
	d, err := Describe(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]artifact.Git{beacon + " v1.2.0": source, "lights/lamp 1.0.0": lamp} {
		i := slices.IndexFunc(d.doc.Packages, func(p *v2_3.Package) bool { return p.PackageName+" "+p.PackageVersion == name })
		if i < 0 {
			t.Fatalf("%s is not there", name)
		}
		p := d.doc.Packages[i]
		if p.PackageDownloadLocation != want.Address() || referenced(p, refGitH1) != want.Sum || !strings.Contains(p.PackageSourceInfo, want.Commit) || strings.Contains(p.PackageComment, "was not read") {
			t.Errorf("%s is had from %s, by %q, %q, %q", name, p.PackageDownloadLocation, referenced(p, refGitH1), p.PackageSourceInfo, p.PackageComment)
		}
	}
	if got := related(d, "Interface-beacon-web-interface-1.2.0-palisade.1", common.TypeRelationshipContains); !slices.Contains(got, "lights/lamp 1.0.0") {
		t.Errorf("the interface contains %q", got)
	}
	if !strings.Contains(d.doc.Packages[0].PackageSourceInfo, source.Address()) {
		t.Errorf("the artifact is %q", d.doc.Packages[0].PackageSourceInfo)
	}
	in.Record.UI = nil
	if _, err := Describe(in); !errors.Is(err, ErrInput) {
		t.Errorf("without an interface: %v", err)
	}
}

// Of a package whose own source was not read nobody knows that it holds no
// notice; what it is under, and where it is had, is what the recipe names.
func TestDescribeUnread(t *testing.T) {
	in := sample()
	p := in.Packages[font]
	p.Copyright = nil
	in.Packages[font] = p
	d, err := Describe(in)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(d.doc.Packages, func(p *v2_3.Package) bool { return p.PackageName == "letters" })
	got := d.doc.Packages[i]
	if want := "git+https://github.com/fontmaker/letters@2.0"; got.PackageCopyrightText != "NOASSERTION" || got.PackageDownloadLocation != want {
		t.Errorf("copyright %q, from %s; want NOASSERTION, from %s", got.PackageCopyrightText, got.PackageDownloadLocation, want)
	}
	if strings.Contains(d.doc.Packages[0].PackageCopyrightText, "NOASSERTION") {
		t.Errorf("%q is a copyright text of the artifact", d.doc.Packages[0].PackageCopyrightText)
	}
}

// Only the file with the texts of all licences is known to hold any.
func TestDescribeLicencesInFiles(t *testing.T) {
	d, err := Describe(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.doc.Files {
		unknown := slices.Equal(f.LicenseInfoInFiles, []string{"NOASSERTION"})
		if texts := strings.HasSuffix(f.FileName, "/THIRD_PARTY_LICENSES"); texts == unknown {
			t.Errorf("%s holds the licences %q", f.FileName, f.LicenseInfoInFiles)
		}
	}
	for _, p := range d.doc.Packages {
		switch {
		case p.PackageName == "beacon" && !slices.Equal(p.PackageLicenseInfoFromFiles, identifiers(p.PackageLicenseConcluded)),
			p.PackageName == "beacon-web-interface" && !slices.Equal(p.PackageLicenseInfoFromFiles, []string{"NOASSERTION"}):
			t.Errorf("files of %s hold the licences %q", p.PackageName, p.PackageLicenseInfoFromFiles)
		}
	}
}

func TestDescribeRefusesUnknownBinary(t *testing.T) {
	for _, name := range []string{"", "beacon.exe"} {
		if _, err := DescribeBinary(sample(), name); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), folder) {
			t.Errorf("DescribeBinary(%q): %v, want ErrInput that names the artifact", name, err)
		}
	}
}
