package image

import (
	"archive/tar"
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	nothing "github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"palisade/attestations/artifact"
)

var benched = flag.String("binaries", "", "files, separated by :, that BenchmarkBuild puts into images in place of this test itself")

// BenchmarkBuild compares an image for two platforms with what crane does with
// the same binaries ("crane append" of a tar file, and an index of both): from
// binaries on the disk to an image layout on the disk, in turns. The ratio is
// ours to theirs. Theirs is binaries alone; ours has all layers and its digests.
func BenchmarkBuild(b *testing.B) {
	paths := filepath.SplitList(*benched)
	if len(paths) == 0 {
		self, err := os.Executable()
		if err != nil {
			b.Fatal(err)
		}
		paths = []string{self}
	}
	s := spec(b, made(b), "clock", "hardened")
	s.Workers = runtime.NumCPU()
	var size int64
	for i := range s.Sources {
		size += carry(b, &s, i, paths)
	}
	b.SetBytes(size)
	var ours, theirs time.Duration
	var packed [2]int64
	for b.Loop() {
		ours += timed(func() { packed[0] = buildOurs(b, s) })
		b.StopTimer()
		theirs += timed(func() { packed[1] = buildTheirs(b, paths, len(s.Sources)) })
		b.StartTimer()
	}
	n := float64(b.N)
	b.ReportMetric(ours.Seconds()*1000/n, "ours-ms")
	b.ReportMetric(theirs.Seconds()*1000/n, "crane-ms")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
	b.ReportMetric(float64(packed[0])/float64(packed[1]), "size-ratio")
}

func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

// carry has the binaries of a source be the files at paths.
func carry(b *testing.B, s *Spec, i int, paths []string) (size int64) {
	from, rec := s.Sources[i].Open, &s.Sources[i].Record
	at := map[string]string{}
	s.Recipe.Binaries = s.Recipe.Binaries[:1]
	first := s.Recipe.Binaries[0]
	folder := rec.Members[0].Name[:len(rec.Members[0].Name)-len(first.Name)]
	rec.Binaries, rec.Members = nil, rec.Members[1:]
	for k, path := range paths {
		digest, n, err := artifact.DigestFile(path)
		if err != nil {
			b.Fatal(err)
		}
		binary := first
		if k > 0 {
			binary.Name = filepath.Base(path)
			s.Recipe.Binaries = append(s.Recipe.Binaries, binary)
		}
		f := artifact.File{Name: folder + binary.Name, Mode: "0755", Size: n, Digest: digest}
		rec.Members = append(rec.Members, f)
		rec.Binaries = append(rec.Binaries, artifact.Binary{Name: binary.Name, Size: n, Digest: digest})
		at[f.Name], size = path, size+n
	}
	s.Sources[i].Open = func(f artifact.File) (io.ReadCloser, error) {
		if path, ok := at[f.Name]; ok {
			return os.Open(path)
		}
		return from(f)
	}
	return size
}

// buildOurs returns how large the layer of binaries is.
func buildOurs(b *testing.B, s Spec) int64 {
	out, err := os.CreateTemp(s.Temp, "*"+artifact.ImageSuffix)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	image, err := Build(b.Context(), out, s)
	if err != nil {
		b.Fatal(err)
	}
	layers := image.Platforms[0].Layers
	return layers[slices.IndexFunc(layers, func(l artifact.Layer) bool { return l.Name == "binaries" })].Size
}

// buildTheirs returns how large a layer is.
func buildTheirs(b *testing.B, paths []string, platforms int) (size int64) {
	dir, err := os.MkdirTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var index v1.ImageIndex = nothing.Index
	for i := range platforms {
		file := filepath.Join(dir, []string{"a.tar", "b.tar"}[i])
		if err := writeTar(file, paths, time.Unix(int64(i), 0)); err != nil {
			b.Fatal(err)
		}
		layer, err := tarball.LayerFromFile(file)
		if err != nil {
			b.Fatal(err)
		}
		if size, err = layer.Size(); err != nil {
			b.Fatal(err)
		}
		image, err := mutate.AppendLayers(nothing.Image, layer)
		if err != nil {
			b.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image})
	}
	if _, err := layout.Write(filepath.Join(dir, "layout"), index); err != nil {
		b.Fatal(err)
	}
	return size
}

// writeTar writes what "crane append" takes; at another time it is another layer.
func writeTar(name string, paths []string, at time.Time) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	tw := tar.NewWriter(out)
	for _, path := range paths {
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Name: "bin/" + filepath.Base(path), Mode: 0o755, Size: info.Size(), ModTime: at}); err != nil {
			return err
		}
		if _, err := io.Copy(tw, in); err != nil {
			return err
		}
	}
	return tw.Close()
}
