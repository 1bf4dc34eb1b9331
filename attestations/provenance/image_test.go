package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// sampleImage is an image for two platforms, with the records of its archives.
func sampleImage() (artifact.Image, []artifact.Record) {
	amd64, arm := sample(), sample()
	arm.Name, arm.Digest, arm.Platform = "beacon-1.2.0-palisade.1.linux-armv7.tar.gz", digestOf("archive for arm"), artifact.Platform{OS: "linux", Arch: "arm", Variant: "v7"}
	arm.Documents = []artifact.File{{Name: "bin/linux-armv7/hardened/beacon.spdx.json", Digest: digestOf("of beacon")}, {Name: arm.Name + ".spdx.json", Digest: digestOf("document for arm")}}
	const name = "beacon-1.2.0-palisade.1.oci.tar"
	i := artifact.Image{
		Name: name, Size: 4711, Digest: digestOf(name), Component: "beacon", Version: "1.2.0-palisade.1", Variant: "hardened", Epoch: 1700000000,
		Index: digestOf("index"), Roots: module1("golang.org/x/crypto/x509roots/fallback", "v0.0.0-20261030153154-30a33513ff6d", true),
		Documents: []artifact.File{{Name: name + ".spdx.json", Digest: digestOf("document of the image")}},
	}
	for _, r := range []artifact.Record{amd64, arm} {
		document := r.Documents[slices.IndexFunc(r.Documents, func(f artifact.File) bool { return !strings.Contains(f.Name, "/") })]
		i.Platforms = append(i.Platforms, artifact.PlatformImage{
			Platform: r.Platform, Manifest: digestOf("manifest " + r.Name), Config: digestOf("config " + r.Name), Artifact: r.Name,
			Layers: []artifact.Layer{{Name: "licences", Members: []artifact.File{{Name: "usr/share/sbom/beacon.spdx.json", Digest: document.Digest}}}},
		})
	}
	return i, []artifact.Record{vanilla(), amd64, arm}
}

func imageStatement(t testing.TB, run Run) intoto.Statement {
	t.Helper()
	i, records := sampleImage()
	s, err := ImageStatement(i, records, builder(), run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parsedImage(t testing.TB) Image {
	t.Helper()
	p, err := ParseImage(imageStatement(t, run()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is written is read again, by its own form, about all subjects or one,
// and holds against what it was made of.
func TestImageStatement(t *testing.T) {
	data, err := intoto.Marshal(imageStatement(t, run()))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "image.json", data)
	whole, err := intoto.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	i, records := sampleImage()
	statements := []intoto.Statement{whole}
	for _, d := range []artifact.Digest{i.Index, i.Platforms[0].Manifest, i.Platforms[1].Manifest} {
		one, err := About(whole, d)
		if err != nil {
			t.Fatal(err)
		}
		if len(one.Subject) != 1 || one.Subject[0].Digest["sha256"] != d.Hex() || !bytes.Equal(one.Predicate, whole.Predicate) {
			t.Errorf("about %s: %+v", d, one)
		}
		statements = append(statements, one)
	}
	if len(whole.Subject) != 4 {
		t.Errorf("it is about %+v", whole.Subject)
	}
	for _, s := range statements {
		p, err := ParseImage(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(i, records); err != nil {
			t.Error(err)
		}
		if _, err := Parse(s); !errors.Is(err, ErrBuildType) {
			t.Errorf("read as an archive's: %v", err)
		}
	}
	if _, err := About(whole, digestOf("x")); !errors.Is(err, ErrSubject) {
		t.Errorf("about something else: %v", err)
	}
	if _, err := ParseImage(statement(t, sample(), builder(), run())); !errors.Is(err, ErrBuildType) {
		t.Errorf("an archive's, read as an image's: %v", err)
	}
	unversioned := run()
	unversioned.Repository = Repository{}
	p, err := ParseImage(imageStatement(t, unversioned))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Repository(); ok || p.Check(i, records) != nil {
		t.Errorf("without version control: %v", p.Check(i, records))
	}
}

func TestImageViews(t *testing.T) {
	i, records := sampleImage()
	p := parsedImage(t)
	archives, err := p.Archives()
	want := []Archive{
		{i.Platforms[0].Platform, records[1].Name, records[1].Digest, digestOf("document")},
		{i.Platforms[1].Platform, records[2].Name, records[2].Digest, digestOf("document for arm")},
	}
	if err != nil || !slices.Equal(archives, want) {
		t.Errorf("archives are %+v, %v", archives, err)
	}
	roots, err := p.Roots()
	if err != nil || nameOf(roots) != nameOf(i.Roots) || roots.Sum != i.Roots.Sum || *roots.Zip != *i.Roots.Zip {
		t.Errorf("roots are %+v, %v", roots, err)
	}
	if r, ok := p.Repository(); !ok || r != run().Repository {
		t.Errorf("repository is %+v", r)
	}
}

// Two images of the same archives differ in invocationId, startedOn and
// finishedOn, in no other byte.
func TestOnlyTheseDifferOfImages(t *testing.T) {
	first, second := run(), run()
	second.InvocationID, second.Started, second.Finished = "another", first.Started.Add(time.Hour), first.Finished.Add(2*time.Hour)
	var all [2]map[string]any
	for n, with := range []Run{first, second} {
		data, err := intoto.Marshal(imageStatement(t, with))
		if err != nil {
			t.Fatal(err)
		}
		all[n] = leaves(t, data)
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(all[0])) {
		if all[0][key] != all[1][key] {
			differ = append(differ, key)
		}
	}
	want := []string{"/predicate/runDetails/metadata/finishedOn", "/predicate/runDetails/metadata/invocationId", "/predicate/runDetails/metadata/startedOn"}
	if !slices.Equal(differ, want) || len(all[0]) != len(all[1]) {
		t.Errorf("they differ in %q, want %q", differ, want)
	}
	q, err := ParseImage(imageStatement(t, second))
	if err != nil {
		t.Fatal(err)
	}
	if fields := parsedImage(t).Differs(q); len(fields) != 0 {
		t.Errorf("Differs = %q, want none", fields)
	}
}

func TestImageStatementRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		edit       func(*artifact.Image, []artifact.Record, *Run)
	}{
		{"no platform", "platforms", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Platforms = nil }},
		{"platform twice", "twice", func(i *artifact.Image, _ []artifact.Record, _ *Run) {
			i.Platforms[1].Platform = i.Platforms[0].Platform
		}},
		{"platform with the slug of another", "twice", func(i *artifact.Image, _ []artifact.Record, _ *Run) {
			i.Platforms[0].Platform = artifact.Platform{OS: "linux", Arch: "armv7"}
		}},
		{"no such artifact", "is not there", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Platforms[1].Artifact = "x.tar.gz" }},
		{"artifacts of two recipes", "another recipe", func(_ *artifact.Image, r []artifact.Record, _ *Run) { r[2].Recipe = digestOf("x") }},
		{"artifact without a document", "no document", func(_ *artifact.Image, r []artifact.Record, _ *Run) { r[1].Documents = r[1].Documents[1:] }},
		{"document that is not in the image", "does not hold", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Platforms[1].Layers = nil }},
		{"one artifact for two", "twice", func(i *artifact.Image, _ []artifact.Record, _ *Run) {
			i.Platforms[1].Artifact, i.Platforms[1].Layers = i.Platforms[0].Artifact, i.Platforms[0].Layers
		}},
		{"roots without a hash", "x509roots", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Roots.Sum = "" }},
		{"roots without a zip file", "its digests", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Roots.Zip = nil }},
		{"no digest", "sha256", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Index = artifact.Digest{} }},
		{"another name", "subjects", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Name = "x.oci.tar" }},
		{"no epoch", "sourceDateEpoch", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Epoch = 0 }},
		{"no variant", "variant", func(i *artifact.Image, _ []artifact.Record, _ *Run) { i.Variant = "" }},
		{"no distribution", "distribution", func(_ *artifact.Image, _ []artifact.Record, r *Run) { r.Distribution = artifact.Digest{} }},
		{"no cache state", "cache", func(_ *artifact.Image, _ []artifact.Record, r *Run) { r.Cache = "" }},
		{"no run", "invocationId", func(_ *artifact.Image, _ []artifact.Record, r *Run) { r.InvocationID = "" }},
		{"clean tree of no commit", "gitCommit", func(_ *artifact.Image, _ []artifact.Record, r *Run) { r.Repository.Commit = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, records := sampleImage()
			with := run()
			tt.edit(&i, records, &with)
			s, err := ImageStatement(i, records, builder(), with)
			if !errors.Is(err, ErrInput) || s.Predicate != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("= %s, %v, want ErrInput that says %q", s.Predicate, err, tt.says)
			}
		})
	}
}

func TestImageCheckRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		want       error
		provenance func(*Image)
		image      func(*artifact.Image, []artifact.Record)
	}{
		{name: "the file alone", want: ErrSubject, provenance: func(p *Image) { p.Subject = p.Subject[:1] }},
		{name: "one subject less", want: ErrSubject, provenance: func(p *Image) { p.Subject = p.Subject[:3] }},
		{name: "one with another digest", want: ErrSubject, provenance: func(p *Image) {
			p.Subject = []intoto.Subject{{Name: "beacon", Digest: sha256Of(digestOf("x"))}}
		}},
		{name: "an index under the name of a platform", want: ErrSubject, provenance: func(p *Image) {
			p.Subject = []intoto.Subject{{Name: "beacon/linux-amd64", Digest: p.Subject[1].Digest}}
		}},
		{name: "another index", want: ErrSubject, image: func(i *artifact.Image, _ []artifact.Record) { i.Index = digestOf("x") }},
		{name: "another archive", want: ErrMismatch, says: "beacon-1.2.0-palisade.1.linux-amd64.tar.gz", image: func(_ *artifact.Image, r []artifact.Record) { r[1].Digest = digestOf("x") }},
		{name: "other roots", want: ErrMismatch, says: "x509roots", image: func(i *artifact.Image, _ []artifact.Record) { i.Roots.Sum = h1Of("x") }},
		{name: "another recipe", want: ErrMismatch, says: "externalParameters.recipe", image: func(_ *artifact.Image, r []artifact.Record) { r[1].Recipe, r[2].Recipe = digestOf("x"), digestOf("x") }},
		{name: "another time", want: ErrMismatch, says: "sourceDateEpoch", image: func(i *artifact.Image, _ []artifact.Record) { i.Epoch++ }},
		{name: "another document", want: ErrMismatch, says: "byproducts", image: func(i *artifact.Image, _ []artifact.Record) { i.Documents[0].Digest = digestOf("x") }},
		{name: "vanilla by the name of hardened", want: ErrMismatch, says: "variant", image: func(i *artifact.Image, _ []artifact.Record) { i.Variant = "vanilla" }},
		{name: "no such artifact", want: ErrInput, says: "is not there", image: func(i *artifact.Image, _ []artifact.Record) { i.Platforms[0].Artifact = "x" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsedImage(t)
			i, records := sampleImage()
			if tt.provenance != nil {
				tt.provenance(&p)
			}
			if tt.image != nil {
				tt.image(&i, records)
			}
			if err := p.Check(i, records); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check = %v, want %v that says %q", err, tt.want, tt.says)
			}
		})
	}
}

// Each edit of a good provenance of an image makes it one that is refused.
func TestParseImageRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"another build type", `predicates/image/v1`, `predicates/image/v2`, ErrBuildType},
		{"unknown parameter", `"component":"beacon"`, `"component":"beacon","entrypoint":"/bin/sh"`, intoto.ErrUnknownKey},
		{"no platform", `["linux/amd64","linux/arm/v7"]`, `[]`, ErrProvenance},
		{"platform twice", `["linux/amd64","linux/arm/v7"]`, `["linux/amd64","linux/amd64"]`, ErrProvenance},
		{"one platform less", `["linux/amd64","linux/arm/v7"]`, `["linux/amd64"]`, ErrProvenance},
		{"platforms in another order", `["linux/amd64","linux/arm/v7"]`, `["linux/arm/v7","linux/amd64"]`, ErrProvenance},
		{"malformed platform", `["linux/amd64","linux/arm/v7"]`, `["linux","linux/arm/v7"]`, intoto.ErrValue},
		{"unknown cache", `"cache":"shared"`, `"cache":"warm"`, ErrProvenance},
		{"no time", `1700000000`, `0`, ErrProvenance},
		{"unknown role", `"roles":"roots"`, `"roles":"linked"`, ErrProvenance},
		{"two roles", `"roles":"archive"`, `"roles":"archive,document"`, ErrProvenance},
		{"archive for another platform", `"platform":"linux/arm/v7"`, `"platform":"linux/386"`, ErrProvenance},
		{"archive without a platform", `"platform":"linux/arm/v7",`, ``, ErrProvenance},
		{"archive for a second platform", `"platform":"linux/arm/v7"`, `"platform":"linux/amd64"`, ErrProvenance},
		{"roots without a zip file", `"dirHash":"` + rootsHash() + `",`, ``, ErrProvenance},
		{"archive that is a path", `"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz"}`, `"name":"../beacon-1.2.0-palisade.1.linux-amd64.tar.gz"}`, ErrProvenance},
		{"archive from elsewhere", `"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz"}`, `"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz","uri":"https://example.org/x"}`, ErrProvenance},
		{"package URL of another module", `"uri":"pkg:golang/golang.org/x/crypto/x509roots/fallback@v0.0.0-2`, `"uri":"pkg:golang/golang.org/x/crypto/x509roots/fallback@v0.0.0-3`, ErrProvenance},
		{"tree neither clean nor not", `"clean":"true"`, `"clean":"yes"`, ErrProvenance},
		{"subject under another name", `"name":"beacon"}`, `"name":"bacon"}`, ErrProvenance},
		{"builder without an id", `"id":"https://palisade.example/builders/workstation/v1"`, `"id":""`, ErrProvenance},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var good bytes.Buffer
			if err := json.Compact(&good, []byte(goldenText(t, "image.json"))); err != nil {
				t.Fatal(err)
			}
			broken := strings.Replace(good.String(), tt.old, tt.new, 1)
			if broken == good.String() {
				t.Fatal("the edit changes nothing")
			}
			s, err := intoto.Parse([]byte(broken))
			if err != nil {
				t.Fatal(err)
			}
			if p, err := ParseImage(s); !errors.Is(err, tt.want) || p.Subject != nil {
				t.Errorf("= %+v, %v, want %v", p, err, tt.want)
			}
		})
	}
}

// About one platform alone it still speaks of all.
func TestParseImageRefusesOthers(t *testing.T) {
	i, _ := sampleImage()
	s, err := About(imageStatement(t, run()), i.Platforms[0].Manifest)
	if err != nil {
		t.Fatal(err)
	}
	s.Predicate = bytes.Replace(s.Predicate, []byte(`["linux/amd64","linux/arm/v7"]`), []byte(`["linux/amd64"]`), 1)
	if _, err := ParseImage(s); !errors.Is(err, ErrProvenance) || !strings.Contains(err.Error(), "another platform") {
		t.Errorf("archives of a platform that it does not name: %v", err)
	}
}

func rootsHash() string {
	i, _ := sampleImage()
	hash, err := intoto.DirHash(i.Roots.Sum)
	if err != nil {
		panic(err)
	}
	return hash
}

// The document of the build type names every key and every role.
func TestImageBuildTypeIsDocumented(t *testing.T) {
	text := document(t, "image.md", []byte(goldenText(t, "image.json")))
	if !strings.Contains(text, "`"+ImageBuildType+"`") {
		t.Errorf("image.md does not name %s", ImageBuildType)
	}
	words := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Za-z0-9.]+)`").FindAllStringSubmatch(text, -1) {
		for _, word := range strings.Split(m[1], ".") {
			words[word] = true
		}
	}
	for key := range keysOf(t, []byte(goldenText(t, "image.json"))) {
		if !words[key] {
			t.Errorf("image.md does not explain %s", key)
		}
	}
	for role := range imageRoles {
		if !strings.Contains(text, "\n| `"+string(role)+"` |") {
			t.Errorf("image.md has no row for the role %s", role)
		}
	}
}

// What ParseImage accepts, ImageStatement would have written: it has one form,
// and names one archive and one document for each platform.
func FuzzParseImage(f *testing.F) {
	text := goldenText(f, "image.json")
	f.Add([]byte(text))
	for _, edit := range [][2]string{
		{`"roles": "roots"`, `"roles": "archive"`}, {`"platform": "linux/amd64"`, `"platform": "linux/386"`}, {`"name": "beacon"`, `"name": "../beacon"`},
		{`Z"`, `.000Z"`}, {`"clean": "true"`, `"clean": "yes"`}, {`"linux/arm/v7"`, `"linux/armv7"`}, {`1700000000`, `1.7e9`},
	} {
		f.Add([]byte(strings.Replace(text, edit[0], edit[1], 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := intoto.Parse(data)
		if err != nil {
			return
		}
		p, err := ParseImage(s)
		if err != nil {
			if p.Subject != nil || !errors.Is(err, ErrProvenance) && !errors.Is(err, ErrPredicateType) && !errors.Is(err, ErrBuildType) {
				t.Errorf("refused with %+v, %v", p, err)
			}
			return
		}
		form, err := encode(p)
		if err != nil {
			t.Fatal(err)
		}
		s.Predicate = form
		if q, err := ParseImage(s); err != nil || len(p.Differs(q)) > 0 {
			t.Errorf("read again it differs: %v, %v", p.Differs(q), err)
		}
		archives, err := p.Archives()
		if err != nil || len(archives) != len(p.BuildDefinition.ExternalParameters.Platforms) {
			t.Errorf("archives are %+v, %v", archives, err)
		}
		for _, a := range archives {
			if a.Name == "" || a.Digest.IsZero() || a.Document.IsZero() {
				t.Errorf("of %s it was made of %+v", a.Platform, a)
			}
		}
		if roots, err := p.Roots(); err != nil || roots.Zip == nil {
			t.Errorf("roots are %+v, %v", roots, err)
		}
	})
}
