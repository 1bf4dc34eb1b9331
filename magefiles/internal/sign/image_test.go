package sign

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
)

// recordFor is record, for another architecture too.
func recordFor(component, arch string) artifact.Record {
	r := record(component)
	if arch == "amd64" {
		return r
	}
	r.Name, r.Platform.Arch = component+"-1.0.0-vanilla.linux-"+arch+".tar.gz", arch
	r.Size, r.Digest, r.Binaries[0].Digest = int64(len(r.Name)), digestOf(r.Name), digestOf(component+arch)
	r.Members[0].Digest = r.Binaries[0].Digest
	r.Documents = []artifact.File{{Name: r.Name + ".spdx.json", Digest: digestOf(documentOf(component + arch))}}
	return r
}

// imaged writes what a build leaves of a component for two architectures, and
// an image of both.
func imaged(t *testing.T) (dir string, image artifact.Image, records []artifact.Record) {
	t.Helper()
	dir = t.TempDir()
	made := imagetest.Image{Ref: ocilayout.Ref("bell", "1.0.0-vanilla"), Epoch: 1700000000, Annotations: map[string]string{"org.opencontainers.image.title": "bell"}}
	for _, arch := range []string{"amd64", "arm64"} {
		r := recordFor("bell", arch)
		binary, document := "bell", documentOf("bell")
		if arch != "amd64" {
			binary, document = "bell"+arch, documentOf("bell"+arch)
		}
		r.Binaries[0].Size = int64(len(binary))
		records = append(records, r)
		write(t, dir, r.Name, r.Name)
		write(t, dir, r.Name+".spdx.json", document)
		write(t, dir, r.Name+".provenance.json", provenanceOf(t, r))
		made.Platforms = append(made.Platforms, imagetest.Platform{Platform: r.Platform, Artifact: r.Name, Layers: []imagetest.Layer{
			{Name: "base", Entries: []imagetest.Entry{imagetest.File("etc/passwd", 0o644, "root")}},
			{Name: "licences", Entries: []imagetest.Entry{imagetest.File("usr/share/sbom/bell.spdx.json", 0o644, document)}},
			{Name: "binaries", Entries: []imagetest.Entry{imagetest.File("bin/bell", 0o755, binary)}},
		}})
	}
	built := made.Build()
	layout := string(built.Tar())
	zip := digestOf("zip")
	image = artifact.Image{
		Name: "bell-1.0.0-vanilla.oci.tar", Size: int64(len(layout)), Digest: digestOf(layout), Component: "bell", Version: "1.0.0-vanilla", Variant: "vanilla",
		Epoch: 1700000000, Index: built.Index, Roots: module("roots"), Platforms: built.Platforms,
		Documents: []artifact.File{{Name: "bell-1.0.0-vanilla.oci.tar.spdx.json", Digest: digestOf(documentOf("image"))}},
	}
	image.Roots.Zip = &zip
	write(t, dir, image.Name, layout)
	write(t, dir, image.Name+".spdx.json", documentOf("image"))
	write(t, dir, image.Name+".provenance.json", imageProvenanceOf(t, image, records))
	index(t, dir, image, records)
	return dir, image, records
}

func index(t *testing.T, dir string, image artifact.Image, records []artifact.Record) {
	t.Helper()
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: records, Images: []artifact.Image{image}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "release.json", string(data))
}

func imageProvenanceOf(t *testing.T, i artifact.Image, records []artifact.Record) string {
	t.Helper()
	when := time.Unix(1700000000, 0)
	s, err := provenance.ImageStatement(i, records, provenance.Builder{ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"palisade": "devel"}},
		provenance.Run{InvocationID: "1", Started: when, Finished: when, Distribution: digestOf("d"), Cache: provenance.Shared})
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, s)
}

// tree is every regular file below a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	ofArchives = 2 * 3
	ofImage    = 3 + 3*3 // of the file; and of the index and two manifests, three each
)

// Of an image there is what stock tools want of a file, and for each digest
// that a registry serves what it carries with it, about that digest alone.
func TestImage(t *testing.T) {
	dir, i, records := imaged(t)
	r := records[1]
	write(t, dir, r.Name+".test-result.json", resultOf(t, r, r.Binaries[0].Digest, r.Digest))
	h, _ := hand(t)
	signed(t, dir, h, ofArchives+ofImage+3, 0) // and the index, and two of the audit
	got := tree(t, dir)
	if _, err := bundle.OpenSignature([]byte(got[i.Name+".sigstore.json"]), *h.Trust, i.Digest); err != nil {
		t.Error(err)
	}
	open := func(name string) intoto.Statement {
		t.Helper()
		v, err := bundle.OpenAttestation([]byte(got[name]), *h.Trust)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := intoto.Parse(v.Payload())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := open(i.Name + ".provenance.sigstore.json"); len(s.Subject) != 4 {
		t.Errorf("the provenance beside the file is about %+v", s.Subject)
	}
	if s := open(i.Name + ".spdx.sigstore.json"); len(s.Subject) != 1 || s.Subject[0].Digest["sha256"] != i.Digest.Hex() {
		t.Errorf("the document beside the file is of %+v", s.Subject)
	}
	subjects := provenance.ImageSubjects(i)[1:]
	for n, of := range subjects {
		d, err := artifact.ParseDigest("sha256:" + of.Digest["sha256"])
		if err != nil {
			t.Fatal(err)
		}
		want := map[dist.Carried]string{
			dist.CarriedSignature: intoto.Signature, dist.CarriedDocument: intoto.SPDX, dist.CarriedProvenance: provenance.PredicateType,
		}
		if n == 2 { // the audited one
			want[dist.CarriedTestResult] = intoto.TestResult
		}
		folder := "bell-1.0.0-vanilla.oci.d/" + d.Hex() + "/"
		count := 0
		for name := range got {
			if strings.HasPrefix(name, folder) {
				count++
			}
		}
		if count != len(want) {
			t.Errorf("%s holds %d bundles, want %d", folder, count, len(want))
		}
		for what, predicateType := range want {
			s := open(folder + string(what) + ".sigstore.json")
			if s.PredicateType != predicateType || len(s.Subject) != 1 || s.Subject[0].Name != of.Name || !maps.Equal(s.Subject[0].Digest, of.Digest) {
				t.Errorf("%s: %s about %+v", what, s.PredicateType, s.Subject)
			}
			switch what {
			case dist.CarriedSignature:
				if string(s.Predicate) != "{}" {
					t.Errorf("the signature says %s", s.Predicate)
				}
			case dist.CarriedProvenance:
				p, err := provenance.ParseImage(s)
				if err != nil || p.Check(i, records) != nil {
					t.Errorf("the provenance: %v, %v", err, p.Check(i, records))
				}
			case dist.CarriedTestResult:
				for _, named := range []string{r.Digest.Hex(), r.Binaries[0].Digest.Hex(), `"PASSED"`} {
					if !strings.Contains(string(s.Predicate), named) {
						t.Errorf("the test result does not name %s", named)
					}
				}
			}
		}
	}
	// Nothing is signed again, and what is gone or of something else is.
	signed(t, dir, h, 0, ofArchives+ofImage+3)
	signature := func(d artifact.Digest) string { return dist.ImageBundle(i, d, dist.CarriedSignature) }
	write(t, dir, signature(i.Index), got[signature(i.Platforms[0].Manifest)])
	if err := os.RemoveAll(filepath.Join(dir, i.BundlesDir(), i.Platforms[1].Manifest.Hex())); err != nil {
		t.Fatal(err)
	}
	signed(t, dir, h, 1+4, ofArchives+ofImage+3-5)
	if after := tree(t, dir); !slices.Equal(slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(got))) {
		t.Errorf("there is %q", slices.Sorted(maps.Keys(after)))
	}
}

// A release of which everything is signed is held against its index all the same.
func TestHoldsImages(t *testing.T) {
	dir, i, _ := imaged(t)
	h, _ := hand(t)
	signed(t, dir, h, ofArchives+ofImage+1, 0)
	write(t, dir, i.Name, strings.Repeat("x", int(i.Size)))
	if _, err := Release(t.Context(), dir, h); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), i.Name) {
		t.Errorf("= %v, want %v", err, ErrMismatch)
	}
}

// What lies among the bundles and is none of them goes; through a link nothing
// does.
func TestImageTidy(t *testing.T) {
	dir, i, records := imaged(t)
	r := records[0]
	write(t, dir, r.Name+".test-result.json", resultOf(t, r, r.Binaries[0].Digest, r.Digest))
	h, _ := hand(t)
	signed(t, dir, h, ofArchives+ofImage+3, 0)
	result := dist.ImageBundle(i, i.Platforms[0].Manifest, dist.CarriedTestResult)
	for _, name := range []string{"left", digestOf("former").Hex() + "/signature.sigstore.json"} {
		file := filepath.Join(dir, i.BundlesDir(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, r.Name+".test-result.json")), os.Symlink(dir, filepath.Join(dir, i.BundlesDir(), "link"))); err != nil {
		t.Fatal(err)
	}
	before := len(tree(t, dir))
	signed(t, dir, h, 0, ofArchives+ofImage+1)
	after := tree(t, dir)
	if _, err := os.Lstat(filepath.Join(dir, i.BundlesDir(), "link")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link is there: %v", err)
	}
	if _, stays := after[result]; stays || before-len(after) != 3 {
		t.Errorf("%d files are gone, want 3; the bundle of an audit that is gone is there: %v", before-len(after), stays)
	}
	// All bundles are found there, so that nothing would be written.
	if err := errors.Join(os.Rename(filepath.Join(dir, i.BundlesDir()), filepath.Join(dir, "moved")), os.Symlink("moved", filepath.Join(dir, i.BundlesDir()))); err != nil {
		t.Fatal(err)
	}
	if _, err := Release(t.Context(), dir, h); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a link in the folder's place: %v", err)
	}
}

// Nothing is signed of a release in which an image is not what the index says.
func TestRefusesImages(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		is         error
		change     func(t *testing.T, dir string, i artifact.Image, records []artifact.Record)
	}{
		{"another image", "has the digest", ErrMismatch, func(t *testing.T, dir string, i artifact.Image, _ []artifact.Record) {
			write(t, dir, i.Name, strings.Repeat("x", int(i.Size)))
		}},
		{"no image", "oci.tar", os.ErrNotExist, func(t *testing.T, dir string, i artifact.Image, _ []artifact.Record) {
			os.Remove(filepath.Join(dir, i.Name))
		}},
		{"a file that is no image", "reading an image layout", ErrMismatch, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			i.Digest, i.Size = digestOf("x"), 1
			write(t, dir, i.Name, "x")
			write(t, dir, i.Name+".provenance.json", imageProvenanceOf(t, i, records))
			index(t, dir, i, records)
		}},
		{"another index in the image", "holds the index", ErrMismatch, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			i.Index = digestOf("x")
			write(t, dir, i.Name+".provenance.json", imageProvenanceOf(t, i, records))
			index(t, dir, i, records)
		}},
		{"another manifest in the image", "other images", ErrMismatch, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			i.Platforms[0].Manifest = digestOf("x")
			write(t, dir, i.Name+".provenance.json", imageProvenanceOf(t, i, records))
			index(t, dir, i, records)
		}},
		{"another document", "spdx.json has the digest", ErrMismatch, func(t *testing.T, dir string, i artifact.Image, _ []artifact.Record) {
			write(t, dir, i.Name+".spdx.json", documentOf("bell"))
		}},
		{"the provenance of an archive", "make the image again", provenance.ErrBuildType, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			write(t, dir, i.Name+".provenance.json", provenanceOf(t, records[0]))
		}},
		{"a provenance that says something else", "make the image again", provenance.ErrMismatch, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			i.Roots.Sum = module("other").Sum
			write(t, dir, i.Name+".provenance.json", imageProvenanceOf(t, i, records))
		}},
		{"a provenance about the index alone", "make the image again", provenance.ErrSubject, func(t *testing.T, dir string, i artifact.Image, records []artifact.Record) {
			s, err := intoto.Parse([]byte(imageProvenanceOf(t, i, records)))
			if err == nil {
				s, err = provenance.About(s, i.Index)
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, i.Name+".provenance.json", marshal(t, s))
		}},
		{"the result of another binary", "run mage audit again", ErrMismatch, func(t *testing.T, dir string, _ artifact.Image, records []artifact.Record) {
			write(t, dir, records[0].Name+".test-result.json", resultOf(t, records[0], digestOf("ball"), records[0].Digest))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, i, records := imaged(t)
			tt.change(t, dir, i, records)
			before := len(tree(t, dir))
			h, opened := hand(t)
			_, err := Release(t.Context(), dir, h)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v: %s", err, tt.is, tt.want)
			}
			if *opened != 0 || len(tree(t, dir)) != before {
				t.Error("it signed something")
			}
		})
	}
}

// A run that remembers sees that a bundle of an image is gone.
func TestRememberingImages(t *testing.T) {
	dir, i, _ := imaged(t)
	name := filepath.Join(t.TempDir(), "memo")
	h, _ := hand(t)
	if got, err := Remembering(t.Context(), dir, h, name); err != nil || got.Signed != ofArchives+ofImage+1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, dist.ImageBundle(i, i.Index, dist.CarriedSignature))); err != nil {
		t.Fatal(err)
	}
	if got, err := Remembering(t.Context(), dir, h, name); err != nil || got.Signed != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	h.Open = nil
	if got, err := Remembering(t.Context(), dir, h, name); err != nil || got != (Result{Kept: ofArchives + ofImage + 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
