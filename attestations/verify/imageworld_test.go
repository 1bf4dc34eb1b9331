package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
)

// A madeImage is an image in the making: what tests change before it is written.
type madeImage struct {
	rec      artifact.Image
	layout   imagetest.Image
	built    imagetest.Built
	file     []byte
	document []byte
	// carry changes what is signed for registries, of each digest and kind; nil
	// leaves it out.
	carry func(d artifact.Digest, kind string, s intoto.Statement) *intoto.Statement
}

const (
	imageName = "beacon-1.2.0-palisade.1.oci.tar"
	rootsPEM  = "-----BEGIN CERTIFICATE-----\n"
	passwd    = "root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n"
)

// newImageWorld is a world whose one component was built for two platforms,
// and has an image.
func newImageWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, key, "hardened", "hardened")
	arm := w.artifacts[1]
	arm.rec.Platform.Arch = "arm64"
	arm.rec.Name = strings.Replace(arm.rec.Name, "amd64", "arm64", 1)
	// The same program, of which its build info alone says that it is for another.
	name, b := path.Join(folder, "beacon"), &arm.rec.Binaries[0]
	arm.contents[name] = bytes.ReplaceAll(arm.contents[name], []byte("GOARCH=amd64"), []byte("GOARCH=arm64"))
	b.Digest = artifact.DigestBytes(arm.contents[name])
	for n := range b.Settings {
		if b.Settings[n].Key == "GOARCH" {
			b.Settings[n].Value = "arm64"
		}
	}
	arm.finish(t, nil)
	w.audited(t, true)
	w.image = &madeImage{}
	w.image.layout = layoutOf(w)
	w.image.finish(t, w)
	return w
}

// layoutOf lays out the image as "mage image" does.
func layoutOf(w *world) imagetest.Image {
	r := w.artifacts[0].rec
	made := imagetest.Image{
		Ref: ocilayout.Ref(r.Component, r.Version), Epoch: r.Epoch,
		Annotations: map[string]string{
			"org.opencontainers.image.created": time.Unix(r.Epoch, 0).UTC().Format(time.RFC3339), "org.opencontainers.image.revision": r.Revision,
			"org.opencontainers.image.title": r.Component, "org.opencontainers.image.version": r.Version,
		},
	}
	for _, m := range w.artifacts {
		made.Platforms = append(made.Platforms, imagetest.Platform{
			Platform: m.rec.Platform, Artifact: m.rec.Name,
			Config: map[string]any{
				"User": "65532:65532", "Entrypoint": []string{"/bin/beacon"}, "Env": []string{"PATH=/bin"}, "WorkingDir": "/data",
				"Volumes": map[string]any{"/data": map[string]any{}, "/credentials": map[string]any{}},
			},
			Layers: []imagetest.Layer{
				{Name: "base", Entries: []imagetest.Entry{
					imagetest.Folder("etc", 0o755, 0), imagetest.File("etc/ca-certificates.crt", 0o644, rootsPEM), imagetest.File("etc/passwd", 0o644, passwd), imagetest.Folder("tmp", 0o1777, 0),
				}},
				{Name: "licences", Entries: []imagetest.Entry{
					imagetest.File("usr/share/licenses/beacon/LICENSE", 0o644, "Do as you like.\n"), imagetest.File("usr/share/sbom/beacon.spdx.json", 0o644, string(m.document)),
				}},
				{Name: "binaries", Entries: []imagetest.Entry{imagetest.Folder("bin", 0o755, 0), imagetest.File("bin/beacon", 0o755, string(m.contents[path.Join(folder, "beacon")]))}},
				{Name: "configuration", Entries: []imagetest.Entry{imagetest.Folder("credentials", 0o700, 65532), imagetest.Folder("data", 0o755, 65532)}},
			},
		})
	}
	return made
}

// finish builds the image and describes it anew.
func (m *madeImage) finish(t testing.TB, w *world) {
	t.Helper()
	m.built = m.layout.Build()
	m.record(t, w, m.built.Tar())
}

// record has release.json name the image as it was built, in that file.
func (m *madeImage) record(t testing.TB, w *world, file []byte) {
	t.Helper()
	r := w.artifacts[0].rec
	zip := artifact.DigestBytes([]byte("roots"))
	m.file = file
	m.rec = artifact.Image{
		Name: imageName, Size: int64(len(file)), Digest: artifact.DigestBytes(file), Component: r.Component, Version: r.Version, Variant: r.Variant, Epoch: r.Epoch,
		Index: m.built.Index, Platforms: m.built.Platforms,
		Roots: artifact.Module{Path: "example.org/roots", Version: "v0.1.0", Sum: "h1:" + strings.Repeat("A", 43) + "=", Zip: &zip},
	}
	m.describe(t, w)
}

func (m *madeImage) describe(t testing.TB, w *world) {
	t.Helper()
	in := spdx.ImageInput{
		Publisher: spdx.Publisher{Name: "Palisade", Distribution: "palisade", Namespace: "https://palisade.example", Licence: "Apache-2.0"},
		Image:     m.rec, File: hashesOf(m.file), Manifests: map[artifact.Digest]spdx.Hashes{}, Archives: map[string][]byte{},
		Roots: spdx.Package{Licence: "BSD-3-Clause", SHA512: hashesOf([]byte("roots")).SHA512},
		Files: map[artifact.Digest]spdx.Member{
			artifact.DigestBytes([]byte(rootsPEM)): {Hashes: hashesOf([]byte(rootsPEM)), Whose: spdx.Roots},
		},
	}
	for _, a := range w.artifacts {
		in.Archives[a.rec.Name] = a.document
	}
	for n, p := range m.layout.Platforms {
		d := m.built.Platforms[n].Manifest
		in.Manifests[d] = hashesOf(m.built.Blobs[d])
		for _, l := range p.Layers {
			for _, e := range l.Entries {
				if d := artifact.DigestBytes([]byte(e.Content)); in.Files[d].Whose == "" {
					in.Files[d] = spdx.Member{Hashes: hashesOf([]byte(e.Content)), Whose: spdx.Own}
				}
			}
		}
	}
	d, err := spdx.DescribeImage(in)
	if err == nil {
		m.document, err = d.Encode()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.listDocument()
}

func (m *madeImage) listDocument() {
	m.rec.Documents = []artifact.File{{Name: m.rec.Name + spdxSuffix, Size: int64(len(m.document)), Digest: artifact.DigestBytes(m.document)}}
}

// write writes the image and what is said of it, as world.write does of an
// artifact.
func (m *madeImage) write(t testing.TB, w *world, index *artifact.Manifest, sums *bytes.Buffer, put func(string, []byte), attest func(string, []byte) []byte) {
	t.Helper()
	i := m.rec
	index.Images = []artifact.Image{i}
	fmt.Fprintf(sums, "%s  %s\n%s  %s\n", i.Digest.Hex(), i.Name, i.Documents[0].Digest.Hex(), i.Documents[0].Name)
	put(i.Name, m.file)
	put(i.Name+bundleSuffix, w.signFile(t, i.Digest, i.Name+bundleSuffix))
	put(i.Name+spdxSuffix, m.document)
	attest(i.Name+spdxSuffix, statementOf(t, intoto.SPDX, m.document, subjectOf(i.Name, i.Digest)))
	s, err := provenance.ImageStatement(i, index.Artifacts, w.builder, w.run)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := intoto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	put(i.Name+provenanceSuffix, attest(i.Name+provenanceSuffix, payload))
	m.writeCarried(t, w, s, put)
}

func (m *madeImage) writeCarried(t testing.TB, w *world, said intoto.Statement, put func(string, []byte)) {
	t.Helper()
	for n, sub := range provenance.ImageSubjects(m.rec)[1:] {
		d, err := artifact.ParseDigest("sha256:" + sub.Digest["sha256"])
		if err != nil {
			t.Fatal(err)
		}
		predicates := map[string]intoto.Statement{
			signatureKind:  {PredicateType: intoto.Signature, Predicate: []byte("{}")},
			spdxKind:       {PredicateType: intoto.SPDX, Predicate: m.document},
			provenanceKind: said,
		}
		if n > 0 && w.artifacts[n-1].result != nil {
			tested, err := intoto.Parse(w.artifacts[n-1].result)
			if err != nil {
				t.Fatal(err)
			}
			// What ran is named in the configuration: the subject is the image.
			tested.Predicate = ran(t, tested.Predicate, tested.Subject[0].Name, w.artifacts[n-1].rec.Binaries[0].Digest)
			predicates[resultKind] = tested
		}
		if n > 0 && w.artifacts[n-1].vex != nil {
			known, err := intoto.Parse(w.artifacts[n-1].vex)
			if err != nil {
				t.Fatal(err)
			}
			predicates[vexKind] = known
		}
		for _, kind := range slices.Sorted(maps.Keys(predicates)) {
			s := predicates[kind]
			s.Type, s.Subject = intoto.Type, []intoto.Subject{sub}
			if m.carry != nil {
				changed := m.carry(d, kind, s)
				if changed == nil {
					continue
				}
				s = *changed
			}
			payload, err := intoto.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			name := bundleOf(carriedName(m.rec, d, kind))
			put(name, w.signStatement(t, payload))
		}
	}
}

// ran adds to a test result what was run.
func ran(t testing.TB, predicate []byte, name string, d artifact.Digest) []byte {
	t.Helper()
	r, err := parseResult(predicate)
	if err != nil {
		t.Fatal(err)
	}
	r.Configuration = append(r.Configuration, intoto.Resource{Name: name, Digest: subjectOf(name, d).Digest})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
