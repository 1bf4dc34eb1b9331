package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

var update = flag.Bool("update", false, "rewrite golden files")

// files are the regular files of a tar archive.
func files(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	walk(t, data, func(h *tar.Header, content []byte) {
		if h.Typeflag == tar.TypeReg {
			all[h.Name] = content
		}
	})
	return all
}

func walk(t *testing.T, data []byte, see func(*tar.Header, []byte)) {
	t.Helper()
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		see(h, content)
	}
}

// describeTar is a line for each entry.
func describeTar(t *testing.T, out io.Writer, data []byte) {
	walk(t, data, func(h *tar.Header, _ []byte) {
		fmt.Fprintf(out, "%04o %5d:%-5d %s %7d /%s\n", h.Mode, h.Uid, h.Gid, h.ModTime.UTC().Format(time.DateTime), h.Size, h.Name)
		if h.Uname != "" || h.Gname != "" || h.Format != tar.FormatUSTAR || h.Linkname != "" {
			fmt.Fprintf(out, "  %+v\n", h)
		}
	})
}

func indented(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// picture is the whole of an image as a text: its documents, and what lies in
// its layers.
func picture(t *testing.T, data []byte, i artifact.Image) string {
	t.Helper()
	all := files(t, data)
	blob := func(d artifact.Digest) []byte {
		content, ok := all["blobs/sha256/"+d.Hex()]
		if !ok || artifact.DigestBytes(content) != d {
			t.Errorf("blob %s is missing or another", d)
		}
		return content
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# %s, index.json\n%s", i.Name, indented(t, all["index.json"]))
	fmt.Fprintf(&out, "# manifest.json\n%s", indented(t, all["manifest.json"]))
	fmt.Fprintf(&out, "# index\n%s", indented(t, blob(i.Index)))
	drawn := map[artifact.Digest]bool{}
	for _, p := range i.Platforms {
		fmt.Fprintf(&out, "# %s of %s: manifest\n%s", p.Platform, p.Artifact, indented(t, blob(p.Manifest)))
		fmt.Fprintf(&out, "# %s: configuration\n%s", p.Platform, indented(t, blob(p.Config)))
		for _, l := range p.Layers {
			if drawn[l.Digest] {
				continue
			}
			drawn[l.Digest] = true
			packed := blob(l.Digest)
			zr, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			layer, err := io.ReadAll(zr)
			if err != nil || artifact.DigestBytes(layer) != l.DiffID || int64(len(packed)) != l.Size || zr.OS != 255 || !zr.ModTime.IsZero() {
				t.Errorf("layer %s is not what is said of it: %v", l.Name, err)
			}
			fmt.Fprintf(&out, "# %s: layer %s\n", p.Platform, l.Name)
			describeTar(t, &out, layer)
			listed := map[string][]byte{}
			for _, f := range l.Members {
				listed[f.Name] = files(t, layer)[f.Name]
				if artifact.DigestBytes(listed[f.Name]) != f.Digest || int64(len(listed[f.Name])) != f.Size {
					t.Errorf("layer %s: %s is not what is said of it", l.Name, f.Name)
				}
			}
			if !reflect.DeepEqual(listed, files(t, layer)) {
				t.Errorf("layer %s holds other files than are listed", l.Name)
			}
		}
	}
	return out.String()
}

// A change of these files changes the bytes of every release: say so in its
// commit. Digests of layers are of what the compressor makes.
func TestGolden(t *testing.T) {
	for _, tt := range [][2]string{{"bell", "hardened"}, {"bell", "vanilla"}, {"clock", "hardened"}, {"clock", "vanilla"}} {
		name := tt[0] + "-" + tt[1]
		t.Run(name, func(t *testing.T) {
			data, image := build(t, spec(t, made(t), tt[0], tt[1]))
			if image.Digest != artifact.DigestBytes(data) || image.Size != int64(len(data)) {
				t.Errorf("it is said to be %s, %d bytes", image.Digest, image.Size)
			}
			got := picture(t, data, image)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; see what changed, then run go test -update:\n%s", golden, got)
			}
		})
	}
}

// The tar file itself is as plain as what is in it.
func TestFile(t *testing.T) {
	data, image := build(t, spec(t, made(t), "clock", "hardened"))
	var out bytes.Buffer
	describeTar(t, &out, data)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	// Two of the layers are the same for both platforms.
	if blobs := 2 + 2*2 + 2*2 + 1; len(lines) != 2+blobs+3 {
		t.Errorf("%d entries:\n%s", len(lines), out.String())
	}
	var names []string
	for _, line := range lines {
		if !strings.HasPrefix(line, "0644     0:0     2025-04-23 05:44:04 ") && !strings.HasPrefix(line, "0755     0:0     2025-04-23 05:44:04       0 /blobs/") {
			t.Errorf("entry %s", line)
		}
		names = append(names, line[strings.Index(line, "/"):])
	}
	if !slices.IsSorted(names) || names[0] != "/blobs/" || names[len(names)-1] != "/oci-layout" {
		t.Errorf("in the order %q", names)
	}
	if image.Name != "clock-1.0.0-palisade.3.oci.tar" {
		t.Errorf("called %s", image.Name)
	}
}

func TestSameBytes(t *testing.T) {
	want, wantImage := build(t, spec(t, made(t), "bell", "hardened"))
	for name, how := range map[string]func(*testing.T, *Spec){
		"again": func(*testing.T, *Spec) {}, // maps are read in another order each time
		"another time zone": func(t *testing.T, s *Spec) {
			old := time.Local
			t.Cleanup(func() { time.Local = old })
			time.Local = time.FixedZone("far", 13*3600+45*60)
			s.Recipe.Released = s.Recipe.Released.Local()
		},
		"another umask": func(t *testing.T, _ *Spec) {
			old := syscall.Umask(0o077)
			t.Cleanup(func() { syscall.Umask(old) })
		},
		"one processor": func(t *testing.T, _ *Spec) {
			old := runtime.GOMAXPROCS(1)
			t.Cleanup(func() { runtime.GOMAXPROCS(old) })
		},
		"many at once": func(t *testing.T, s *Spec) { s.Workers = 8 },
		"other order": func(_ *testing.T, s *Spec) {
			slices.Reverse(s.Sources)
			for i := range s.Sources {
				slices.Reverse(s.Sources[i].Record.Members)
			}
		},
		"read in small pieces": func(_ *testing.T, s *Spec) {
			for i, from := range s.Sources {
				s.Sources[i].Open = func(f artifact.File) (io.ReadCloser, error) {
					r, err := from.Open(f)
					return io.NopCloser(io.LimitReader(pieces{r}, 1<<30)), err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, made(t), "bell", "hardened")
			how(t, &s)
			got, image := build(t, s)
			if !bytes.Equal(got, want) {
				t.Error("the bytes differ")
			}
			if !reflect.DeepEqual(image, wantImage) {
				t.Errorf("what is said differs:\n%+v\n%+v", image, wantImage)
			}
		})
	}
}

// pieces gives seven bytes at a time.
type pieces struct{ r io.Reader }

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(7, len(b))]) }

// The lowest layer is the same for all: a registry keeps it once, a host
// fetches it once.
func TestBaseIsShared(t *testing.T) {
	seen := map[artifact.Digest]bool{}
	for _, name := range []string{"bell", "clock"} {
		for _, variant := range []string{"hardened", "vanilla"} {
			_, image := build(t, spec(t, made(t), name, variant))
			for _, p := range image.Platforms {
				seen[p.Layers[0].Digest] = true
			}
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d base layers", len(seen))
	}
}
