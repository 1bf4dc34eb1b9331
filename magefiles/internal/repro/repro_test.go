package repro

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

func TestString(t *testing.T) {
	tests := []struct {
		d    Difference
		want string
	}{
		{Difference{File: "a", Offset: -1, Why: "gone"}, "a: gone"},
		{Difference{File: "a", Offset: 0, Why: "w"}, "a at byte 0: w"},
		{Difference{"a.tar.gz", "b/c", ".text", 7, "w", false}, "a.tar.gz!b/c [.text] at byte 7: w"},
		{Difference{File: "a\nb", Member: "\x1b[31m", Offset: -1, Why: "w\r"}, `a\nb!\x1b[31m: w\r`},
		{Difference{File: "größe", Offset: -1, Why: "w\xff"}, `größe: w\xff`},
		{Difference{File: strings.Repeat("x", 2000), Offset: -1, Why: "w"}, strings.Repeat("x", 1000) + "...: w"},
	}
	for _, tt := range tests {
		if got := tt.d.String(); got != tt.want {
			t.Errorf("= %q, want %q", got, tt.want)
		}
	}
}

// tree writes files; a name that ends in / is a directory.
func tree(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, path, content)
	}
	return dir
}

func TestTrees(t *testing.T) {
	same := map[string]string{"SHA256SUMS": "0 a\n", "bin/app": "app\n", "bin/empty/": ""}
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string
	}{
		{"equal", func(*testing.T, string) {}, ""},
		{
			"missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "SHA256SUMS"))) },
			"SHA256SUMS: a file only in the first build\n",
		},
		{
			"missing directory", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "bin", "empty"))) },
			"bin/empty: a directory only in the first build\n",
		},
		{
			"extra, and another before it that differs", func(t *testing.T, dir string) { tree(t, dir, map[string]string{"SHA256SUMS": "1 a\n", "bin/z": ""}) },
			"bin/z: a file only in the second build\nSHA256SUMS at byte 0: content differs\n",
		},
		{
			"longer", func(t *testing.T, dir string) { tree(t, dir, map[string]string{"SHA256SUMS": "0 a\n0 b\n"}) },
			"SHA256SUMS at byte 4: content differs (4 and 8 bytes)\n",
		},
		{
			"empty", func(t *testing.T, dir string) { tree(t, dir, map[string]string{"SHA256SUMS": ""}) },
			"SHA256SUMS at byte 0: content differs (4 and 0 bytes)\n",
		},
		{
			"run bit", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "bin", "app"), 0o755)) },
			"bin/app: file mode: 0644 in the first build, 0755 in the second\n",
		},
		{
			"umask, which a build is not asked about", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "bin", "app"), 0o600)) }, "",
		},
		{
			"file for a directory", func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "bin", "empty")))
				tree(t, dir, map[string]string{"bin/empty": ""})
			},
			"bin/empty: a directory in the first build, a file in the second\n",
		},
		{
			"link for a file of the same content", func(t *testing.T, dir string) {
				must(t, os.Rename(filepath.Join(dir, "bin", "app"), filepath.Join(dir, "bin", "empty", "app")))
				must(t, os.Symlink("empty/app", filepath.Join(dir, "bin", "app")))
			},
			"bin/empty/app: a file only in the second build\nbin/app: a file in the first build, a symbolic link in the second\n",
		},
		{
			"release.json that is no manifest", func(t *testing.T, dir string) { tree(t, dir, map[string]string{"bin/release.json": "{}"}) },
			"bin/release.json: a file only in the second build\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := tree(t, t.TempDir(), same), tree(t, t.TempDir(), same)
			tt.change(t, b)
			if got := report(t, a, b); got != tt.want {
				t.Errorf("report:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinks(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	must(t, os.Symlink("one", filepath.Join(a, "link")))
	must(t, os.Symlink("two", filepath.Join(b, "link")))
	expect(t, report(t, a, b), []string{`link: link target: "one" in the first build, "two" in the second`}, nil)
	expect(t, report(t, a, a)+"-", []string{"-"}, []string{"link"})
}

// What cannot be compared is an error: it is neither equal nor different.
func TestErrors(t *testing.T) {
	dir := tree(t, t.TempDir(), map[string]string{"a": "a", "deep/" + strings.Repeat("d/", 80): ""})
	file := filepath.Join(dir, "a")
	if ds, err := Compare(file, filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, %v, want ErrNotExist", ds, err)
	}
	if ds, err := Compare(filepath.Join(dir, "missing"), file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, %v, want ErrNotExist", ds, err)
	}
	if ds, err := Compare(dir, dir); err == nil || !strings.Contains(err.Error(), "nested too deep") {
		t.Errorf("a deep tree: %v, %v, want an error", ds, err)
	}
	if ds, err := Compare(os.DevNull, os.DevNull); err == nil {
		t.Errorf("two devices: %v, want an error", ds)
	}
	lim := defaults
	lim.files = 2
	wide := tree(t, t.TempDir(), map[string]string{"a": "", "b": "", "c": ""})
	if ds, err := compare(wide, wide, lim); err == nil || !strings.Contains(err.Error(), "more than 2 files") {
		t.Errorf("a wide tree: %v, %v, want an error", ds, err)
	}
	expect(t, report(t, file, dir), []string{"a: a file in the first build, a directory in the second"}, nil)
}

func TestDocuments(t *testing.T) {
	tests := []struct{ name, a, b, want string }{
		{"value", `{"a":{"b":[1,2]}}`, `{"a":{"b":[1,3]}}`, "x [a.b[1]] at byte 13: 2 in the first build, 3 in the second\n"},
		{"number's digits", `{"a":1.0}`, `{"a":1.00}`, "x [a] at byte 8: 1.0 in the first build, 1.00 in the second\n"},
		{"large number", `{"a":9007199254740993}`, `{"a":9007199254740992}`, "x [a] at byte 20: 9007199254740993 in the first build, 9007199254740992 in the second\n"},
		{"key missing", `{"a":1,"b":2}`, `{"a":1}`, "x [b] at byte 6: key only in the first build\n"},
		{"key that looks like a path", `{"a.b":1}`, `{"a.b":2}`, "x [\"a.b\"] at byte 7: 1 in the first build, 2 in the second\n"},
		{"null and nothing", `{"a":null}`, `{}`, "x [a] at byte 1: key only in the first build\n"},
		{"type", `{"a":[]}`, `{"a":{}}`, "x [a] at byte 5: [] in the first build, {} in the second\n"},
		{"length", `[1]`, `[1,2]`, "x at byte 2: 1 elements in the first build, 2 in the second\n"},
		{"order of keys", `{"a":1,"b":2}`, `{"b":2,"a":1}`, "x at byte 2: encoding: the values are equal; white space, escapes or the order of keys differs\n"},
		{"key twice", `{"a":1}`, `{"a":2,"a":1}`, "x at byte 5: encoding: the values are equal; white space, escapes or the order of keys differs\n"},
		{"time", `{"at":"2026-01-02T03:04:05Z"}`, `{"at":"2026-01-02T03:04:06Z"}`, `x [at] at byte 25: time stamp: "2026-01-02T03:04:05Z" in the first build, "2026-01-02T03:04:06Z" in the second` + "\n"},
		{"seconds", `{"at":1767322445}`, `{"at":1767322446}`, `x [at] at byte 15: time stamp: "1767322445" in the first build, "1767322446" in the second` + "\n"},
		{"path", `{"dir":"/build/one/src"}`, `{"dir":"/build/two/src"}`, `x [dir] at byte 15: build path: "/build/one/src" in the first build, "/build/two/src" in the second` + "\n"},
		{"user", `{"by":"root@host1"}`, `{"by":"root@host2"}`, `x [by] at byte 16: user or host name: "root@host1" in the first build, "root@host2" in the second` + "\n"},
		{"not JSON after all", `{"a":1}x`, `{"a":2}x`, "x at byte 5: content differs; \"{\\\"a\\\":1}x\" and \"{\\\"a\\\":2}x\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, "x", []byte(tt.a), []byte(tt.b))
			if got := report(t, a, b); got != tt.want {
				t.Errorf("report: %swant:   %s", got, tt.want)
			}
		})
	}
}

func manifest() *artifact.Manifest {
	record := func(name string) artifact.Record {
		return artifact.Record{
			Name: name, Size: 1, Digest: artifact.DigestBytes([]byte(name)), Component: "app",
			Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened",
			Recipe: artifact.DigestBytes(nil), Source: artifact.Module{Path: "example.test/app", Version: "v1.0.0", Sum: "h1:x"},
			Build:  artifact.Invocation{Args: []string{"go", "build"}, Sandbox: artifact.Sandbox{Hermetic: true}},
			Timing: []artifact.Stage{{Name: "compile", Seconds: 1.5}},
		}
	}
	return &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "Palisade", Artifacts: []artifact.Record{record("a.tar.gz"), record("b.tar.gz")}}
}

// An image is compared as an artifact is, down to the file of a layer.
func TestManifestsOfImages(t *testing.T) {
	image := func(name, content string) artifact.Image {
		same := artifact.DigestBytes(nil)
		return artifact.Image{Name: name, Digest: same, Index: same, Platforms: []artifact.PlatformImage{{
			Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Manifest: same, Config: same,
			Layers: []artifact.Layer{{Name: "binaries", Digest: same, DiffID: same, Members: []artifact.File{{Name: "bin/a", Digest: artifact.DigestBytes([]byte(content))}}}},
		}}}
	}
	for _, tt := range []struct {
		name string
		a, b []artifact.Image
		want string
	}{
		{"equal", []artifact.Image{image("a.oci.tar", "a")}, []artifact.Image{image("a.oci.tar", "a")}, ""},
		{"missing", []artifact.Image{image("a.oci.tar", "a")}, nil, `release.json [images["a.oci.tar"]]: image only in the first build`},
		{"extra", nil, []artifact.Image{image("a.oci.tar", "a")}, `release.json [images["a.oci.tar"]]: image only in the second build`},
		{"another file", []artifact.Image{image("a.oci.tar", "a")}, []artifact.Image{image("a.oci.tar", "b")}, `release.json [images["a.oci.tar"].platforms[0].layers[0].members[0].digest]: `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := manifest(), manifest()
			a.Images, b.Images = tt.a, tt.b
			got := CompareManifests(a, b)
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), tt.want)) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

func TestManifests(t *testing.T) {
	first := artifact.DigestBytes([]byte("a.tar.gz")).Hex()
	other := artifact.DigestBytes([]byte("other"))
	tests := []struct {
		name   string
		change func(*artifact.Manifest)
		want   string
	}{
		{"equal", func(*artifact.Manifest) {}, ""},
		{
			"timing, which may differ", func(m *artifact.Manifest) {
				m.Artifacts[0].Timing = nil
				m.Artifacts[1].Timing[0] = artifact.Stage{Name: "compile", Seconds: 0, Cached: true}
			}, "",
		},
		{
			"digest", func(m *artifact.Manifest) { m.Artifacts[0].Digest = other },
			`release.json [artifacts["a.tar.gz"].digest]: other content: "` + first + `" in the first build, "` + other.Hex() + "\" in the second\n",
		},
		{
			"not hermetic, and timing", func(m *artifact.Manifest) {
				m.Artifacts[1].Build.Sandbox = artifact.Sandbox{Reason: "refused"}
				m.Artifacts[1].Timing = nil
			},
			"release.json [artifacts[\"b.tar.gz\"].build.sandbox.hermetic]: true in the first build, false in the second\n" +
				"release.json [artifacts[\"b.tar.gz\"].build.sandbox.reason]: key only in the second build\n",
		},
		{
			"artifact missing", func(m *artifact.Manifest) { m.Artifacts = m.Artifacts[1:] },
			"release.json [artifacts[\"a.tar.gz\"]]: artifact only in the first build\n",
		},
		{
			"artifact extra", func(m *artifact.Manifest) {
				r := m.Artifacts[1]
				r.Name = "c.tar.gz"
				m.Artifacts = append(m.Artifacts, r)
			},
			"release.json [artifacts[\"c.tar.gz\"]]: artifact only in the second build\n",
		},
		{
			"distribution", func(m *artifact.Manifest) { m.Distribution = "Other" },
			"release.json [distribution]: \"Palisade\" in the first build, \"Other\" in the second\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := manifest(), manifest()
			tt.change(b)
			var got string
			for _, d := range CompareManifests(a, b) {
				got += d.String() + "\n"
			}
			if got != tt.want {
				t.Errorf("CompareManifests: %s\nwant: %s", got, tt.want)
			}
			fileA, fileB := pair(t, "release.json", encode(t, a), encode(t, b))
			if got := report(t, fileA, fileB); got != tt.want {
				t.Errorf("Compare of files: %s\nwant: %s", got, tt.want)
			}
			if got := report(t, filepath.Dir(fileA), filepath.Dir(fileB)); got != tt.want {
				t.Errorf("Compare of directories: %s\nwant: %s", got, tt.want)
			}
		})
	}
}

func encode(t *testing.T, m *artifact.Manifest) []byte {
	t.Helper()
	data, err := m.Encode()
	must(t, err)
	return data
}

// Timing may differ in release.json beside the artifacts, and nowhere else.
func TestTimingElsewhere(t *testing.T) {
	a, b := manifest(), manifest()
	b.Artifacts[0].Timing[0].Seconds = 2
	x, y := encode(t, a), encode(t, b)
	want := "timing[0].seconds]"
	fileA, fileB := pair(t, "other.json", x, y)
	expect(t, report(t, fileA, fileB), []string{"other.json [artifacts[0]." + want}, nil)
	inTar := func(data []byte) []byte {
		return tarOf(t, []planted{{"release.json", string(data), 0o644, epoch, "", 0}})
	}
	fileA, fileB = pair(t, "release.json", inTar(x), inTar(y))
	expect(t, report(t, fileA, fileB), []string{"compared as bytes", "release.json!release.json [artifacts[0]." + want}, nil)
	fileA, fileB = pair(t, "in/release.json", x, y)
	expect(t, report(t, filepath.Dir(filepath.Dir(fileA)), filepath.Dir(filepath.Dir(fileB))), []string{"in/release.json [artifacts[0]." + want}, nil)

	// Another form of an equal manifest is no timing.
	var v any
	must(t, json.Unmarshal(x, &v))
	compact, err := json.Marshal(v)
	must(t, err)
	fileA, fileB = pair(t, "release.json", x, compact)
	expect(t, report(t, fileA, fileB), []string{"release.json at byte "}, nil)
}
