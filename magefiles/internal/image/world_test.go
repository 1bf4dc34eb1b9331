package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// made is the file system that testdata/recipes.txtar is, edited.
func made(t testing.TB, edits ...string) fs.FS {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "recipes.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		fsys[f.Name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(edits...).Replace(string(f.Data))), Mode: 0o644}
	}
	return fsys
}

// roots stand for the certificate authorities, whose content no image looks at.
var roots = Roots{PEM: []byte("-----BEGIN CERTIFICATE-----\n"), Licence: []byte("Trust them.\n"), Terms: "BSD-3-Clause AND MPL-2.0"}

// spec is what the image of a recipe in fsys is made of: a source for each of
// its platforms, with contents that tell what they are.
func spec(t testing.TB, fsys fs.FS, name, variant string) Spec {
	t.Helper()
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipes.Load(fsys, d, name)
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Recipe: r, Distribution: d, Variant: variant, Roots: roots, Temp: t.TempDir()}
	for _, p := range r.ImagePlatforms() {
		s.Sources = append(s.Sources, source(r, d, p, variant))
	}
	return s
}

// contents are the files of an artifact, by their names in the release.
type contents map[string][]byte

func (c contents) open(f artifact.File) (io.ReadCloser, error) {
	data, ok := c[f.Name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", f.Name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func source(r *recipes.Recipe, d *recipes.Distribution, p artifact.Platform, variant string) Source {
	folder := fmt.Sprintf("%s-%s.%s", r.Name, r.FullVersion(d, variant), p.Slug())
	rec := artifact.Record{
		Name: folder + ".tar.gz", Digest: artifact.DigestBytes([]byte(folder)), Component: r.Name, Version: r.FullVersion(d, variant), UpstreamVersion: r.Version,
		Platform: p, Variant: variant, Recipe: r.Digest, Epoch: r.Released.Unix(), Revision: r.StampedRevision(),
		Source: artifact.Module{Path: r.Module, Version: r.Lock.Upstream, Sum: "h1:source="},
	}
	c := contents{}
	file := func(name, mode string, data []byte) artifact.File {
		c[name] = data
		return artifact.File{Name: name, Mode: mode, Size: int64(len(data)), Digest: artifact.DigestBytes(data)}
	}
	for _, b := range r.Binaries {
		f := file(folder+"/"+b.Name, "0755", noise(b.Name+p.String()+variant))
		rec.Members = append(rec.Members, f)
		rec.Binaries = append(rec.Binaries, artifact.Binary{Name: b.Name, Size: f.Size, Digest: f.Digest})
	}
	for _, m := range r.Members(p, variant) {
		rec.Members = append(rec.Members, file(folder+"/"+m.As, "0644", []byte(m.As+" of "+variant+"\n")))
	}
	rec.Members = append(rec.Members, file(folder+"/"+recipes.TextsName, "0644", []byte("texts\n")))
	rec.Documents = append(rec.Documents, file(rec.Name+".spdx.json", "", []byte("{\"for\": \""+p.String()+"\"}\n")))
	return Source{Record: rec, Licence: "Apache-2.0 AND MIT", Open: c.open}
}

// noise is more than one block for the compressor, the same for a name.
func noise(name string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 1<<17; i++ {
		sum := sha256.Sum256(fmt.Append(nil, name, i))
		fmt.Fprintf(&b, "%x", sum)
	}
	return b.Bytes()
}

// build builds s, and sees to it that nothing else is left.
func build(t testing.TB, s Spec) ([]byte, artifact.Image) {
	t.Helper()
	var out bytes.Buffer
	image, err := Build(t.Context(), &out, s)
	if err != nil {
		t.Fatal(err)
	}
	empty(t, s.Temp)
	return out.Bytes(), image
}

func empty(t testing.TB, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// cancelled is a context that is over.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
