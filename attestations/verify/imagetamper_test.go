package verify

import (
	"bytes"
	"crypto"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

func TestTamperImages(t *testing.T) {
	key, otherKey = newKey(t), newKey(t)
	for _, row := range slices.Concat(ofImageFiles, ofImageStatements, ofLayouts, ofRules, ofImageContents, ofCarried) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newImageWorld(t)
			if row.before != nil {
				row.before(t, w)
			}
			dir := w.write(t)
			if row.after != nil {
				row.after(t, dir)
			}
			report, err := Release(t.Context(), dir, testPolicy(t, row.policy...), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			refused(t, report, err, row.fails, row.wants)
		})
	}
}

var ofImageFiles = []tampering{
	{name: "byte of an image", after: flip(imageName), fails: []Check{Digest}, wants: []error{ErrDigest}},
	{name: "image missing", after: remove(imageName), fails: []Check{Files, Digest}, wants: []error{ErrMissing}},
	{name: "link in place of an image", after: func(t *testing.T, dir string) {
		name := filepath.Join(dir, imageName)
		if err := os.Rename(name, filepath.Join(t.TempDir(), "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/null", name); err != nil {
			t.Fatal(err)
		}
	}, fails: []Check{Files, Digest}, wants: []error{ErrNotFile}},
	{name: "sums without an image", after: func(t *testing.T, dir string) {
		data, err := os.ReadFile(filepath.Join(dir, sumsName))
		if err != nil {
			t.Fatal(err)
		}
		lines := slices.DeleteFunc(strings.SplitAfter(string(data), "\n"), func(l string) bool { return strings.HasSuffix(l, imageName+"\n") })
		put(t, dir, sumsName, []byte(strings.Join(lines, "")))
	}, fails: []Check{Files}, wants: []error{ErrSums}},
	{name: "image by another key", before: by(imageName + bundleSuffix), fails: []Check{Signature}, wants: []error{ErrSignature}},
	{name: "signature of an archive", after: copyTo(hardened+bundleSuffix, imageName+bundleSuffix), fails: []Check{Signature}, wants: []error{ErrSignature}},
	{name: "bill of materials of an archive", after: copyTo(hardened+".spdx.sigstore.json", imageName+".spdx.sigstore.json"), fails: []Check{SPDX}, wants: []error{ErrSubject}},
	{name: "provenance of an archive", after: copyTo(hardened+".provenance.sigstore.json", imageName+".provenance.sigstore.json"), fails: []Check{Provenance}, wants: []error{ErrSubject}},
	{name: "provenance of an image's archive missing", after: remove(hardened + ".provenance.sigstore.json"), fails: []Check{Files, Provenance, Record}, wants: []error{ErrMissing}},
}

// stating changes what is signed beside the image, of one type.
func stating(predicateType string, change func(s *intoto.Statement)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.statement = func(s *intoto.Statement) {
			if s.PredicateType == predicateType && s.Subject[0].Name == imageName {
				change(s)
			}
		}
	}
}

// replacing changes the predicate's text.
func replacing(old, new string) func(*intoto.Statement) {
	return func(s *intoto.Statement) { s.Predicate = bytes.ReplaceAll(s.Predicate, []byte(old), []byte(new)) }
}

var ofImageStatements = []tampering{
	{name: "bill of materials about more than the file", before: stating(intoto.SPDX, func(s *intoto.Statement) {
		s.Subject = append(s.Subject, subjectOf("x", artifact.DigestBytes([]byte("x"))))
	}), fails: []Check{SPDX}, wants: []error{ErrSubject}},
	{name: "provenance about one platform less", before: stating(provenance.PredicateType, func(s *intoto.Statement) { s.Subject = s.Subject[:3] }), fails: []Check{Provenance}, wants: []error{ErrSubject}},
	{name: "provenance of another build type", before: stating(provenance.PredicateType, replacing(provenance.ImageBuildType, provenance.BuildType)), fails: []Check{Provenance}, wants: []error{ErrProvenance, provenance.ErrBuildType}},
	{name: "provenance of other archives", before: stating(provenance.PredicateType, func(s *intoto.Statement) {
		replacing(artifact.DigestBytes([]byte("roots")).Hex(), artifact.DigestBytes([]byte("x")).Hex())(s)
	}), fails: []Check{Record}, wants: []error{ErrRecord, provenance.ErrMismatch}},
	{name: "builder that is not accepted", before: stating(provenance.PredicateType, replacing(workstation, workflow)), fails: []Check{Policy, Carried}, wants: []error{policy.ErrBuilder}},
	{name: "images are not accepted", policy: []string{", " + provenance.ImageBuildType, ""}, fails: []Check{Policy}, wants: []error{policy.ErrBuildType}},
	{name: "patches that are not accepted", policy: []string{"version: v0.4.0", "version: v0.3.0"}, fails: []Check{Policy}, wants: []error{policy.ErrPatches}},
	{name: "changed by no patch", before: func(t *testing.T, w *world) {
		for _, m := range w.artifacts {
			m.rec.Patched[0].Patches = nil
			m.describe(t)
		}
		w.image.layout = layoutOf(w)
		w.image.finish(t, w)
	}, fails: []Check{Policy}, wants: []error{ErrProvenance}},
	{name: "audit of other checks", policy: []string{"checks: any\n  - ", "checks: " + artifact.DigestBytes([]byte("more checks")).String() + "\n  - "},
		fails: []Check{TestResult, Carried}, wants: []error{policy.ErrAudit}},
	{name: "audit of an archive failed", before: func(t *testing.T, w *world) { w.audited(t, false) }, fails: []Check{TestResult, Carried}, wants: []error{policy.ErrAudit}},
}

// laidOut changes the image before it is built.
func laidOut(name string, wants []error, change func(i *imagetest.Image)) tampering {
	return tampering{name: "image: " + name, before: func(t *testing.T, w *world) {
		change(&w.image.layout)
		w.image.finish(t, w)
	}, fails: []Check{Members}, wants: append(wants, ErrImage)}
}

// packedUp changes the pieces before they are put into a file.
func packedUp(name string, want error, change func(b *imagetest.Built)) tampering {
	return tampering{name: "image: " + name, before: func(t *testing.T, w *world) {
		b := w.image.built
		b.Blobs = maps.Clone(b.Blobs)
		change(&b)
		w.image.record(t, w, b.Tar())
	}, fails: []Check{Members}, wants: []error{ErrImage, want}}
}

// recorded changes what release.json says of the image.
func recorded(name string, want error, change func(i *artifact.Image)) tampering {
	return tampering{name: "index: " + name, before: func(t *testing.T, w *world) {
		change(&w.image.rec)
		w.image.describe(t, w)
	}, fails: []Check{Members}, wants: []error{want}}
}

var ofLayouts = []tampering{
	packedUp("blob missing", ocilayout.ErrMissing, func(b *imagetest.Built) { delete(b.Blobs, b.Platforms[0].Config) }),
	packedUp("blob changed", ocilayout.ErrDigest, func(b *imagetest.Built) { b.Blobs[b.Platforms[0].Layers[0].Digest] = []byte("x") }),
	packedUp("blob that nothing names", ocilayout.ErrUnreferenced, func(b *imagetest.Built) { b.Blobs[artifact.DigestBytes([]byte("x"))] = []byte("x") }),
	packedUp("another version of the layout", ocilayout.ErrLayout, func(b *imagetest.Built) { b.Layout = []byte("{}") }),
	packedUp("no image", ocilayout.ErrLayout, func(b *imagetest.Built) { b.IndexJSON = []byte("{}") }),
	packedUp("another name for Docker", ocilayout.ErrLayout, func(b *imagetest.Built) {
		b.Docker = bytes.ReplaceAll(b.Docker, []byte("-palisade.1"), []byte("-palisade.2"))
	}),
	laidOut("another version's name", []error{ErrImage}, func(i *imagetest.Image) { i.Ref = "beacon:latest" }),
	laidOut("another component's name", []error{ErrImage}, func(i *imagetest.Image) { i.Ref = strings.Replace(i.Ref, "beacon", "bacon", 1) }),
	laidOut("link in a layer", []error{ErrMemberType}, func(i *imagetest.Image) {
		e := imagetest.File("bin/sh", 0o777, "")
		e.Typeflag, e.Linkname = '2', "beacon"
		add(i, 2, e)
	}),
	laidOut("set-user-ID", []error{ErrMemberType}, func(i *imagetest.Image) { add(i, 0, imagetest.File("etc/x", 0o4644, "x")) }),
	laidOut("mode that the index has too", []error{ErrMemberType}, func(i *imagetest.Image) { add(i, 3, imagetest.File("etc/run", 0o6755, "x")) }),
	laidOut("letter that is another one's capital", []error{ErrMemberName}, func(i *imagetest.Image) { add(i, 0, imagetest.File("etc/pas\u017fwd", 0o644, "x")) }),
	laidOut("device of Windows", []error{ErrMemberName}, func(i *imagetest.Image) { add(i, 0, imagetest.File("etc/aux.txt", 0o644, "x")) }),
	laidOut("whiteout", []error{ocilayout.ErrWhiteout}, func(i *imagetest.Image) { add(i, 3, imagetest.File("etc/.wh.passwd", 0o644, "x")) }),
	laidOut("file in two layers", []error{ErrDuplicate}, func(i *imagetest.Image) { add(i, 3, imagetest.File("etc/PASSWD", 0o644, "x")) }),
	recorded("another image index", ErrImage, func(i *artifact.Image) { i.Index = artifact.DigestBytes([]byte("x")) }),
	recorded("another configuration", ErrImage, func(i *artifact.Image) { i.Platforms[1].Config = artifact.DigestBytes([]byte("x")) }),
	recorded("platform that is not there", ErrImage, func(i *artifact.Image) {
		i.Platforms = i.Platforms[:1]
	}),
	recorded("another layer", ErrImage, func(i *artifact.Image) { i.Platforms[1].Layers[1].Digest = artifact.DigestBytes([]byte("x")) }),
	recorded("another DiffID", ErrImage, func(i *artifact.Image) { i.Platforms[1].Layers[1].DiffID = artifact.DigestBytes([]byte("x")) }),
	recorded("layer of another size", ErrImage, func(i *artifact.Image) { i.Platforms[1].Layers[1].Size++ }),
	recorded("a layer less", ErrImage, func(i *artifact.Image) { i.Platforms[0].Layers = i.Platforms[0].Layers[:3] }),
	recorded("member of another mode", ErrMember, func(i *artifact.Image) { i.Platforms[0].Layers[0].Members[0].Mode = "0444" }),
	recorded("member that is not listed", ErrMember, func(i *artifact.Image) { i.Platforms[0].Layers[0].Members = i.Platforms[0].Layers[0].Members[:1] }),
	recorded("member that is not there", ErrMember, func(i *artifact.Image) {
		l := &i.Platforms[0].Layers[0]
		more := l.Members[1]
		more.Name = "etc/shadow"
		l.Members = append(slices.Clone(l.Members), more)
	}),
}

// add adds an entry to a layer of every platform.
func add(i *imagetest.Image, layer int, e imagetest.Entry) {
	for n := range i.Platforms {
		l := &i.Platforms[n].Layers[layer]
		l.Entries = append(slices.Clone(l.Entries), e)
	}
}

// configured sets a value of one platform's configuration.
func configured(key string, value any) func(i *imagetest.Image) {
	return func(i *imagetest.Image) { i.Platforms[1].Config[key] = value }
}

// labelled edits one document.
func labelled(what, list, key, value string) func(i *imagetest.Image) {
	return func(i *imagetest.Image) {
		i.Edit = func(name string, doc map[string]any) {
			if name != what {
				return
			}
			if config, ok := doc["config"].(map[string]any); ok && list == "Labels" {
				doc = config
			}
			labels := maps.Clone(doc[list].(map[string]string))
			labels["org.opencontainers.image."+key] = value
			doc[list] = labels
		}
	}
}

var ofRules = []tampering{
	laidOut("root", nil, func(i *imagetest.Image) {
		configured("User", "0:0")(i)
		i.Platforms[1].Layers[3].Entries = []imagetest.Entry{imagetest.Folder("data", 0o755, 0)}
	}),
	laidOut("root's group", nil, configured("User", "65532:0")),
	laidOut("user by name", nil, configured("User", "nonroot")),
	laidOut("nobody said who", nil, configured("User", "")),
	laidOut("index of another version", nil, labelled("index", "annotations", "version", "9.9.9")),
	laidOut("manifest of another component", nil, labelled("manifest linux/arm64", "annotations", "title", "lamp")),
	laidOut("label of another revision", nil, labelled("config linux/arm64", "Labels", "revision", "x")),
	laidOut("label of another time", nil, labelled("config linux/amd64", "Labels", "created", "2030-01-01T00:00:00Z")),
	laidOut("configuration of another time", nil, func(i *imagetest.Image) {
		i.Edit = func(what string, doc map[string]any) {
			if what == "config linux/amd64" {
				doc["created"] = "2030-01-01T00:00:00Z"
			}
		}
	}),
	laidOut("folder that everybody may write to", nil, func(i *imagetest.Image) { add(i, 0, imagetest.Folder("srv", 0o777, 0)) }),
	laidOut("folder of the user's that is no volume", nil, func(i *imagetest.Image) { add(i, 3, imagetest.Folder("srv", 0o755, 65532)) }),
	laidOut("volume that everybody may write to", nil, func(i *imagetest.Image) {
		i.Platforms[0].Layers[3].Entries = []imagetest.Entry{imagetest.Folder("data", 0o777, 65532)}
	}),
	laidOut("file in a volume", nil, func(i *imagetest.Image) { add(i, 3, imagetest.File("data/x", 0o644, "x")) }),
	laidOut("programs in a volume", nil, func(i *imagetest.Image) {
		for n := range i.Platforms {
			i.Platforms[n].Config["WorkingDir"] = "/bin"
		}
	}),
	laidOut("file of the user's", nil, func(i *imagetest.Image) {
		e := imagetest.File("etc/x", 0o644, "x")
		e.Uid, e.Gid = 65532, 65532
		add(i, 3, e)
	}),
	laidOut("file that everybody may write to", nil, func(i *imagetest.Image) { add(i, 3, imagetest.File("etc/x", 0o666, "x")) }),
	laidOut("program outside of bin", nil, func(i *imagetest.Image) { add(i, 3, imagetest.File("etc/x", 0o755, "#!/bin/beacon")) }),
}

var ofImageContents = []tampering{
	// A file that anybody can run is refused for its mode, one in /bin by the form of release.json.
	{name: "image with a program that is named as no binary", before: func(t *testing.T, w *world) {
		add(&w.image.layout, 3, imagetest.File("etc/run.EXE", 0o644, "#!/bin/beacon\n"))
		w.image.finish(t, w)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "binary of another platform in the image", before: func(t *testing.T, w *world) {
		for n, m := range w.artifacts {
			m.contents[path.Join(folder, "beacon")] = w.artifacts[0].contents[path.Join(folder, "beacon")]
			m.rec.Binaries[0].Digest = w.artifacts[0].rec.Binaries[0].Digest
			m.rec.Binaries[0].Settings = w.artifacts[0].rec.Binaries[0].Settings
			m.finish(t, nil)
			w.image.layout.Platforms[n].Layers = layoutOf(w).Platforms[n].Layers
		}
		w.audited(t, true)
		w.image.finish(t, w)
	}, fails: []Check{Binaries}, wants: []error{ErrBuildInfo}},
	{name: "image with another licence", before: func(t *testing.T, w *world) {
		w.image.layout.Platforms[1].Layers[1].Entries[0] = imagetest.File("usr/share/licenses/beacon/LICENSE", 0o644, "All rights reserved.\n")
		w.image.finish(t, w)
	}, fails: []Check{Binaries}, wants: []error{ErrImage}},
	{name: "image with the bill of materials elsewhere", before: func(t *testing.T, w *world) {
		e := &w.image.layout.Platforms[0].Layers[1].Entries[1]
		*e = imagetest.File("usr/share/sbom/x.spdx.json", 0o644, e.Content)
		w.image.finish(t, w)
	}, fails: []Check{Binaries}, wants: []error{ErrImage}},
	{name: "bill of materials with another file", before: described(`"./etc/passwd"`, `"./etc/shadow"`), fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials with another content", before: described(artifact.DigestBytes([]byte(passwd)).Hex(), artifact.DigestBytes(nil).Hex()), fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials of another version", before: described(`"versionInfo": "1.2.0-palisade.1"`, `"versionInfo": "1.2.0-palisade.2"`), fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials of other certificates", before: describedAs(func(i *artifact.Image) { i.Roots.Version = "v0.2.0" }), fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials without a file", before: describedAs(func(i *artifact.Image) {
		for n := range i.Platforms {
			l := &i.Platforms[n].Layers[0]
			l.Members = l.Members[:1]
		}
	}), fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials that is an archive's", before: func(_ *testing.T, w *world) {
		w.image.document = w.artifacts[0].document
		w.image.listDocument()
	}, fails: []Check{Contents}, wants: []error{ErrContents}},
	{name: "bill of materials that was not signed so", before: stating(intoto.SPDX, replacing("Apache-2.0", "MIT")), fails: []Check{Contents}, wants: []error{ErrDocument}},
}

// described signs another bill of materials, which release.json names.
func described(old, new string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		if !bytes.Contains(w.image.document, []byte(old)) {
			t.Fatalf("the document does not hold %s", old)
		}
		w.image.document = bytes.ReplaceAll(w.image.document, []byte(old), []byte(new))
		w.image.listDocument()
	}
}

// describedAs signs the bill of materials of another image, which release.json
// names: a valid one.
func describedAs(change func(i *artifact.Image)) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		was := w.image.rec
		w.image.rec.Platforms = nil
		for _, p := range was.Platforms {
			p.Layers = slices.Clone(p.Layers)
			w.image.rec.Platforms = append(w.image.rec.Platforms, p)
		}
		change(&w.image.rec)
		w.image.describe(t, w)
		w.image.rec = was
		w.image.listDocument()
	}
}

// carries changes what is signed for registries of the index, of one kind.
func carries(kind string, change func(s *intoto.Statement)) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.image.carry = func(d artifact.Digest, k string, s intoto.Statement) *intoto.Statement {
			if k == kind && (d == w.image.rec.Index || kind == resultKind) {
				change(&s)
			}
			return &s
		}
	}
}

// skipping has a test result say that a check was skipped.
func skipping(s *intoto.Statement) {
	for _, list := range []string{`"findings":[`, `"findings": [`} { // as it is made, and as it is signed
		replacing(list, list+`{"check":"web.x","observation":"","row":1,"status":"SKIP"},`)(s)
	}
}

var ofCarried = []tampering{
	{name: "carried: of something else", before: carries(signatureKind, func(s *intoto.Statement) {
		s.Subject = []intoto.Subject{subjectOf("beacon", artifact.DigestBytes([]byte("x")))}
	}), fails: []Check{Carried}, wants: []error{ErrSubject}},
	{name: "carried: of more than its digest", before: carries(signatureKind, func(s *intoto.Statement) {
		s.Subject = append(s.Subject, subjectOf("x", artifact.DigestBytes([]byte("x"))))
	}), fails: []Check{Carried}, wants: []error{ErrSubject}},
	{name: "carried: attestation in place of the signature", before: carries(signatureKind, func(s *intoto.Statement) { s.PredicateType = intoto.SPDX }), fails: []Check{Carried}, wants: []error{ErrPredicateType}},
	{name: "carried: signature that says something", before: carries(signatureKind, func(s *intoto.Statement) { s.Predicate = []byte(`{"x":1}`) }), fails: []Check{Carried}, wants: []error{ErrAttestation}},
	{name: "carried: another bill of materials", before: carries(spdxKind, replacing("Apache-2.0", "MIT")), fails: []Check{Carried}, wants: []error{ErrDocument}},
	{name: "carried: another provenance", before: carries(provenanceKind, replacing("3b241101", "3b241102")), fails: []Check{Carried}, wants: []error{ErrDocument}},
	{name: "carried: provenance that is none", before: carries(provenanceKind, func(s *intoto.Statement) { s.Predicate = []byte("{}") }), fails: []Check{Carried}, wants: []error{ErrProvenance}},
	{name: "carried: result of another archive", before: carries(resultKind, replacing(hardened, vanilla)), fails: []Check{Carried}, wants: []error{ErrSubject}},
	{name: "carried: result of another binary", before: func(t *testing.T, w *world) {
		d := w.artifacts[0].rec.Binaries[0].Digest.Hex()
		carries(resultKind, replacing(d, strings.Repeat("0", 64)))(t, w)
	}, fails: []Check{Carried}, wants: []error{ErrSubject}},
	{name: "carried: result of a tool's binary", before: func(t *testing.T, w *world) {
		carries(resultKind, replacing(`"name":"beacon"`, `"name":"tool"`))(t, w)
	}, fails: []Check{Carried}, wants: []error{ErrSubject}},
	{name: "carried: result of no checks", before: carries(resultKind, replacing("checks of beacon", "checks of a beacon")), fails: []Check{Carried}, wants: []error{ErrTestResult}},
	{name: "carried: result of other checks", before: carries(resultKind, replacing(artifact.DigestBytes([]byte("checks")).Hex(), artifact.DigestBytes([]byte("fewer")).Hex())),
		policy: []string{"checks: any\n  - ", "checks: " + artifact.DigestBytes([]byte("checks")).String() + "\n  - "}, fails: []Check{Carried}, wants: []error{policy.ErrAudit}},
	{name: "carried: result of which a check was skipped", before: carries(resultKind, skipping),
		policy: []string{"checks: any\n  - ", "checks: " + artifact.DigestBytes([]byte("checks")).String() + "\n  - "}, fails: []Check{Carried}, wants: []error{policy.ErrAudit}},
	{name: "carried: result that is none", before: carries(resultKind, replacing("PASSED", "FAILED")), fails: []Check{Carried}, wants: []error{ErrTestResult}},
	{name: "carried: signature missing", before: func(_ *testing.T, w *world) {
		w.image.carry = func(_ artifact.Digest, kind string, s intoto.Statement) *intoto.Statement {
			if kind == signatureKind {
				return nil
			}
			return &s
		}
	}, fails: []Check{Files, Carried}, wants: []error{ErrMissing}},
	{name: "carried: bundle of a digest that is none", after: func(t *testing.T, dir string) {
		put(t, dir, "beacon-1.2.0-palisade.1.oci.d/"+strings.Repeat("0", 64)+"/signature.sigstore.json", []byte("{}"))
	}, fails: []Check{Files}, wants: []error{ErrUnlisted}},
	{name: "carried: bundle of another kind", after: func(t *testing.T, dir string) {
		found, err := filepath.Glob(filepath.Join(dir, "*.oci.d", "*"))
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		put(t, found[0], "more.sigstore.json", []byte("{}"))
	}, fails: []Check{Files}, wants: []error{ErrUnlisted}},
}
