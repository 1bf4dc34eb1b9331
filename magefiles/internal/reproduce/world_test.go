package reproduce

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/imagetest"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
	"palisade/patches"
	"palisade/recipes"
)

// What is built here is a real recipe, in a checkout of the real recipes and
// patches; how, is a stand-in's: this test's program, which writes down what it
// found.
const component, variant = "pushgateway", "hardened"

var platform = artifact.Platform{OS: "linux", Arch: "amd64"}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "build" || os.Args[1] == "image") {
		if err := standIn(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// standIn does what "mage build" or "mage image" would.
func standIn(what string) error {
	if _, err := os.Stat("recipes/fails"); err == nil {
		return fmt.Errorf("the build fails, in a cache of %s", os.Getenv("PALISADE_CACHE"))
	}
	b, err := builtFrom(".", "")
	if err != nil {
		return err
	}
	return b.write(os.Getenv("PALISADE_DIST"), what == "image", repository(""))
}

func digest(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func h1(s string) string {
	sum, _ := intoto.H1(digest(s).Hex())
	return sum
}

// built is what came of a checkout.
type built struct {
	record       artifact.Record
	image        artifact.Image
	distribution artifact.Digest
	files        map[string]string
}

// builtFrom builds what lies in dir, and adds something to it that was in none of
// its files.
func builtFrom(dir, more string) (b built, err error) {
	fsys := os.DirFS(filepath.Join(dir, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		return b, err
	}
	r, err := recipes.Load(fsys, d, component)
	if err != nil {
		return b, err
	}
	b.distribution, _, err = artifact.DigestFile(filepath.Join(dir, "recipes/distribution.yaml"))
	if err != nil {
		return b, err
	}
	zip := digest("zip")
	module := func(path, version string) artifact.Module {
		return artifact.Module{Path: path, Version: version, Sum: h1(path + version), Zip: &zip}
	}
	version := r.FullVersion(d, variant)
	folder := component + "-" + version + "." + platform.Slug()
	rec := artifact.Record{
		Name: folder + ".tar.gz", Component: component, Version: version, Platform: platform, Variant: variant,
		Recipe: r.Digest, Epoch: 1700000000, Source: module(r.Module, "v"+r.Version), Revision: "h1:x",
		Toolchains: []artifact.Tool{{Name: "go", Version: "1.26.8", Package: "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", Hash: h1("go"), Zip: &zip}},
		Build:      artifact.Invocation{Args: []string{"/go/bin/go", "build"}, Env: []string{"CGO_ENABLED=0"}, Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
	}
	var sums []string
	for _, p := range r.Patches {
		m, _ := r.Lock.Find(p)
		series, err := patches.Load(os.DirFS(filepath.Join(dir, "patches")), recipes.ShortName(p), m.Version)
		if err != nil {
			return b, err
		}
		if series = series.For(variant, ""); len(series.Patches) == 0 {
			continue
		}
		patched := artifact.Patched{From: module(m.Path, m.Version)}
		for _, one := range series.Patches {
			patched.Patches = append(patched.Patches, artifact.PatchFile{Name: one.Name, Digest: one.Digest})
		}
		patched.To = artifact.Module{Path: m.Path, Version: "v9.9.9-0.palisade.1", Sum: h1(fmt.Sprint(patched.Patches))}
		rec.Patched = append(rec.Patched, patched)
		sums = append(sums, patched.To.Sum)
	}
	program := fmt.Sprintf("program of %s, %v%s", r.Digest, sums, more)
	b.files = map[string]string{}
	add := func(name, content string) artifact.File {
		b.files[name] = content
		return artifact.File{Name: name, Size: int64(len(content)), Digest: digest(content)}
	}
	archive := add(rec.Name, "archive of the "+program)
	rec.Size, rec.Digest = archive.Size, archive.Digest
	bin := add(path.Join(dist.BinDir(rec), component), program)
	rec.Binaries = []artifact.Binary{{Name: component, Size: bin.Size, Digest: bin.Digest, Main: rec.Source}}
	rec.Members = []artifact.File{{Name: folder + "/" + component, Mode: "0755", Size: bin.Size, Digest: bin.Digest}}
	document := add(dist.Document(rec, ""), "document of "+archive.Digest.String())
	rec.Documents = []artifact.File{document, add(dist.Document(rec, component), "document of "+bin.Digest.String())}
	b.record = rec
	b.layOut(add, document.Digest)
	return b, nil
}

// layOut makes an image of the archive.
func (b *built) layOut(add func(name, content string) artifact.File, document artifact.Digest) {
	r := b.record
	one := imagetest.Platform{Platform: platform, Artifact: r.Name, Config: map[string]any{"User": "65532:65532"}}
	for _, l := range [][3]string{
		{"base", "etc/passwd", "root"}, {"licences", "usr/share/sbom/x.spdx.json", b.files[dist.Document(r, "")]},
		{"binaries", "bin/" + component, b.files[path.Join(dist.BinDir(r), component)]}, {"configuration", "etc/x", ""},
	} {
		mode := map[bool]int64{true: 0o755, false: 0o644}[l[0] == "binaries"]
		one.Layers = append(one.Layers, imagetest.Layer{Name: l[0], Entries: []imagetest.Entry{imagetest.File(l[1], mode, l[2])}})
	}
	made := imagetest.Image{Ref: ocilayout.Ref(r.Component, r.Version), Epoch: r.Epoch, Annotations: map[string]string{}, Platforms: []imagetest.Platform{one}}.Build()
	file := add(artifact.ImageName(r.Component, r.Version), string(made.Tar()))
	b.image = artifact.Image{
		Name: file.Name, Size: file.Size, Digest: file.Digest, Component: r.Component, Version: r.Version, Variant: r.Variant, Epoch: r.Epoch,
		Index: made.Index, Platforms: made.Platforms, Roots: artifact.Module{Path: "example.org/roots", Version: "v0.1.0", Sum: h1("roots"), Zip: b.record.Source.Zip},
	}
	b.image.Documents = []artifact.File{add(dist.ImageDocument(b.image), "document of "+file.Digest.String())}
}

func repository(commit string) provenance.Repository {
	if commit == "" {
		return provenance.Repository{}
	}
	return provenance.Repository{URI: "git+https://code.example.org/house", Commit: commit, Clean: true}
}

// statements are the provenance of the archive and of the image.
func (b built) statements(r provenance.Repository) (archive, image []byte, err error) {
	builder := provenance.Builder{ID: "https://example.org/builder", Version: map[string]string{"palisade": "v1"}, Dependencies: []intoto.Resource{}}
	run := provenance.Run{InvocationID: "1", Started: time.Unix(1, 0), Finished: time.Unix(2, 0), Repository: r, Distribution: b.distribution, Cache: provenance.Shared}
	s, err := provenance.Statement(b.record, builder, run)
	if err != nil {
		return nil, nil, err
	}
	if archive, err = intoto.Marshal(s); err != nil {
		return nil, nil, err
	}
	if s, err = provenance.ImageStatement(b.image, []artifact.Record{b.record}, builder, run); err != nil {
		return nil, nil, err
	}
	image, err = intoto.Marshal(s)
	return archive, image, err
}

// write publishes to dir, with the image or without.
func (b built) write(dir string, image bool, r provenance.Repository) error {
	archive, ofImage, err := b.statements(r)
	if err != nil {
		return err
	}
	all := map[string]string{b.record.Name + provenanceSuffix: string(archive), b.image.Name + provenanceSuffix: string(ofImage)}
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: []artifact.Record{b.record}, Images: []artifact.Image{b.image}}
	index, err := m.Encode()
	if err != nil {
		return err
	}
	all[dist.Index] = string(index)
	for name, content := range b.files {
		all[name] = content
	}
	for name, content := range all {
		if strings.HasPrefix(name, b.image.Name) && !image {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// clone is a repository with one commit, of the real recipes and patches.
func clone(t *testing.T) (root, git, commit string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("there is no git command")
	}
	root = filepath.Join(t.TempDir(), "checkout")
	for _, name := range []string{"recipes", "patches"} {
		if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join("../../..", name))); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		cmd := exec.Command(git, args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "-q")
	run("add", ".")
	run("-c", "user.name=A", "-c", "user.email=a@example.test", "commit", "-q", "-m", "one")
	return root, git, run("rev-parse", "HEAD")
}

func edit(t *testing.T, file, more string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(data, more...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
