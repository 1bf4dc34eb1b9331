package artifact

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files and release.schema.json anew")

// golden compares got with a file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is made now; see what changed, then run go test -update:\n%s", name, got)
	}
}

func sum(s string) Digest { return DigestBytes([]byte(s)) }

func file(name, mode, content string) File {
	return File{Name: name, Mode: mode, Size: int64(len(content)), Digest: sum(content)}
}

const (
	upstreamSum = "h1:1111111111111111111111111111111111111111111="
	patchedSum  = "h1:2222222222222222222222222222222222222222222="
	toolSum     = "h1:3333333333333333333333333333333333333333333="
)

// sample has a value in every field of a manifest; TestSampleIsWhole sees to
// that. Its second artifact has nothing that may be left out.
func sample() *Manifest {
	zip := sum("zip")
	source := Module{Path: "github.com/prometheus/prometheus", Version: "v0.315.0", Sum: upstreamSum, Zip: &zip}
	patched := Module{Path: source.Path, Version: "v0.315.1-0.palisade.1", Sum: patchedSum}
	replaced := Module{Path: source.Path, Version: source.Version, Replace: &patched}
	hermetic := Sandbox{Hermetic: true, Namespaces: []string{"ipc", "mount", "net", "pid", "user", "uts"}}
	plain := Sandbox{Hermetic: false, Reason: "user namespaces are refused <here> & now"}
	binary := Binary{
		Name: "prometheus", Size: 10, Digest: sum("prometheus"), GoVersion: "go1.26.8",
		Package: source.Path + "/cmd/prometheus", Main: replaced,
		Modules:  []Module{{Path: "github.com/prometheus/common", Version: "v0.70.0", Sum: toolSum}},
		Settings: []Setting{{"-trimpath", "true"}, {"CGO_ENABLED", "0"}},
	}
	commit := Git{
		Name: "elm/core@1.0.0", Repository: "https://github.com/elm/core", Commit: "de38986116bd93affc1c7a12e548d1f01be9a9f1",
		Sum: toolSum, Tag: "1.0.0", SignedBy: "openpgp:" + strings.Repeat("0", 40),
	}
	full := Record{
		Name: "prometheus-3.15.0-palisade.1.linux-amd64.tar.gz", Size: 1 << 40, Digest: sum("archive"),
		Component: "prometheus", Version: "3.15.0-palisade.1", UpstreamVersion: "3.15.0",
		Platform: Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened",
		Recipe: sum("recipe"), Epoch: 1750000000, Source: source, Git: &commit, Revision: upstreamSum,
		Patched: []Patched{{
			From: source, To: patched,
			Patches: []PatchFile{{"prometheus/v0.315.0/0001-no-old-ui.patch", sum("patch")}},
			Added:   []File{file("web/ui/static/mantine-ui/index.html", "0644", "<html>")},
		}},
		UI: &UI{
			Kind: "elm", Origin: source, Note: "built from its source",
			Packages: []Package{{"react", "19.1.0", "sha512-" + strings.Repeat("A", 86) + "=="}},
			Commits:  []Git{commit},
			Host:     []File{file("/lib64/ld-linux-x86-64.so.2", "0755", "loader")},
			Report:   &plain,
		},
		Embedded: []Embedded{{
			PURL: "pkg:npm/react@19.1.0", Name: "react", Version: "19.1.0", Integrity: "sha512-" + strings.Repeat("A", 86) + "==",
			Evidence: Stated, Note: "the file's own head says so", Files: []string{"web/ui/react.js"},
			In: source.Path, Requires: []string{"pkg:npm/scheduler@0.26.0"},
		}},
		Toolchains: []Tool{{"go", "1.26.8", "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", toolSum, &zip}},
		Build:      Invocation{Args: []string{"go", "build", "-trimpath"}, Env: []string{"CGO_ENABLED=0", "GOOS=linux"}, Sandbox: hermetic},
		Binaries:   []Binary{binary},
		Members:    []File{file("LICENSE", "0644", "licence"), file("prometheus", "0755", "prometheus")},
		Documents:  []File{file("prometheus-3.15.0-palisade.1.linux-amd64.tar.gz.spdx.json", "", "document")},
		Timing:     []Stage{{"fetch", 0.25, true}, {"compile", 12.5, false}},
	}
	bare := Record{
		Name: "pushgateway-1.11.3-vanilla.linux-armv7.tar.gz", Digest: sum("other"),
		Component: "pushgateway", Version: "1.11.3-vanilla", UpstreamVersion: "1.11.3",
		Platform: Platform{"linux", "arm", "v7"}, Variant: "vanilla",
		Recipe: sum("recipe"), Source: Module{Path: "github.com/prometheus/pushgateway", Version: "v1.11.3", Sum: upstreamSum},
		Build: Invocation{Sandbox: Sandbox{Hermetic: true, Executor: "buildkit", Worker: "h5qu58hae9j4x031ziygpl3qa"}},
	}
	return &Manifest{
		Schema: ManifestSchema, Distribution: "Palisade",
		Artifacts: []Record{full, bare}, Images: []Image{sampleImage(full), sampleImage(bare)},
	}
}

// Every field of every type that a manifest is made of is set somewhere in
// the sample, so that the golden file shows it and the schema is tried on it.
func TestSampleIsWhole(t *testing.T) {
	set := map[string]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Name() + "." + v.Type().Field(i).Name
				set[name] = set[name] || !v.Field(i).IsZero()
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(*sample()))
	for name, ok := range set {
		if !ok {
			t.Errorf("the sample manifest leaves %s empty", name)
		}
	}
}

func encode(t testing.TB, m *Manifest) string {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestManifestGolden(t *testing.T) {
	text := encode(t, sample())
	golden(t, filepath.Join("testdata", "release.json"), []byte(text))
	back, err := ParseManifest(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(t, back); again != text {
		t.Errorf("read and written again it is another text:\n%s", again)
	}
	want := filled(*sample())
	if !reflect.DeepEqual(*back, want) {
		t.Errorf("read back:\n%+v\nwant:\n%+v", *back, want)
	}
}

// A list that nobody filled and an empty one are the same statement, and have
// one form.
func TestEncodeWritesNoNull(t *testing.T) {
	m := sample()
	m.Artifacts[0].Patched[0].Patches = nil
	m.Artifacts[0].Patched[0].Added = nil
	m.Artifacts[0].UI.Packages = nil
	m.Artifacts[0].Binaries[0].Modules = nil
	m.Artifacts[0].Binaries[0].Settings = nil
	if text := encode(t, m); strings.Contains(text, "null") {
		t.Errorf("null in:\n%s", text)
	}
	if m.Artifacts[1].Members != nil || m.Artifacts[0].UI.Packages != nil {
		t.Errorf("Encode changed the manifest it was given")
	}
	if text := encode(t, &Manifest{Schema: ManifestSchema}); !strings.Contains(text, `"artifacts": []`) {
		t.Errorf("a manifest without artifacts is\n%s", text)
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Manifest)
		also   error
	}{
		{"no schema", func(m *Manifest) { m.Schema = "" }, nil},
		{"another schema", func(m *Manifest) { m.Schema = "palisade.release.v2" }, nil},
		{"out of order", func(m *Manifest) { m.Artifacts[0], m.Artifacts[1] = m.Artifacts[1], m.Artifacts[0] }, nil},
		{"twice", func(m *Manifest) { m.Artifacts[1].Name = m.Artifacts[0].Name }, nil},
		{"no name", func(m *Manifest) { m.Artifacts[0].Name = "" }, nil},
		{"name is a path", func(m *Manifest) { m.Artifacts[0].Name = "bin/prometheus" }, nil},
		{"name is a Windows path", func(m *Manifest) { m.Artifacts[0].Name = `bin\prometheus` }, nil},
		{"name is the folder", func(m *Manifest) { m.Artifacts[0].Name = "." }, nil},
		{"name is the folder above", func(m *Manifest) { m.Artifacts[0].Name = ".." }, nil},
		{"name ends early", func(m *Manifest) { m.Artifacts[0].Name = "a\x00.tar.gz" }, nil},
		{"no digest", func(m *Manifest) { m.Artifacts[0].Digest = Digest{} }, nil},
		{"no component", func(m *Manifest) { m.Artifacts[0].Component = "" }, nil},
		{"no variant", func(m *Manifest) { m.Artifacts[0].Variant = "" }, nil},
		{"no source", func(m *Manifest) { m.Artifacts[0].Source.Sum = "" }, nil},
		{"no recipe", func(m *Manifest) { m.Artifacts[0].Recipe = Digest{} }, ErrDigest},
		{"member without digest", func(m *Manifest) { m.Artifacts[0].Members[0].Digest = Digest{} }, ErrDigest},
		{"no platform", func(m *Manifest) { m.Images, m.Artifacts[0].Platform = nil, Platform{} }, ErrPlatform},
		{"endless time", func(m *Manifest) { m.Artifacts[0].Timing[0].Seconds = math.Inf(1) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sample()
			tt.change(m)
			text, err := m.Encode()
			if !errors.Is(err, ErrManifest) {
				t.Fatalf("Encode = %s, %v, want ErrManifest", text, err)
			}
			if tt.also != nil && !errors.Is(err, tt.also) {
				t.Errorf("error %v does not say %v", err, tt.also)
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	text := encode(t, sample())
	tests := []struct{ name, old, new string }{
		{"unknown field", `"component": "prometheus",`, `"component": "prometheus", "extra": 1,`},
		{"unknown field deep inside", `"goVersion":`, `"extra": {}, "goVersion":`},
		{"field in other capitals", `"component": "prometheus"`, `"Component": "prometheus"`},
		{"field twice", `"component": "prometheus",`, `"component": "alertmanager", "component": "prometheus",`},
		{"field left out", "      \"upstreamVersion\": \"3.15.0\",\n", ""},
		{"null for a list", `"patched": []`, `"patched": null`},
		{"null for a digest", `"recipe": "` + sum("recipe").String() + `"`, `"recipe": null`},
		{"another schema", ManifestSchema, "palisade.release.v2"},
		{"out of order", `"name": "prometheus-3`, `"name": "zzz-3`},
		{"twice", `"pushgateway-1.11.3-vanilla.linux-armv7.tar.gz"`, `"prometheus-3.15.0-palisade.1.linux-amd64.tar.gz"`},
		{"name is a path", `"name": "prometheus-3`, `"name": "../prometheus-3`},
		{"name is a path, escaped", `"name": "prometheus-3`, `"name": "..\u002fprometheus-3`},
		{"short digest", sum("archive").Hex(), sum("archive").Hex()[1:]},
		{"platform in capitals", `"linux/amd64"`, `"linux/AMD64"`},
		{"number as text", `"epoch": 1750000000`, `"epoch": "1750000000"`},
		{"number too large", `"epoch": 1750000000`, `"epoch": 9223372036854775808`},
		{"fraction", `"epoch": 1750000000`, `"epoch": 1750000000.5`},
		{"number in another form", `"seconds": 12.5`, `"seconds": 1.25e1`},
		{"other indentation", "\n  \"", "\n\t\""},
		{"Windows line ends", "\n", "\r\n"},
		{"invalid UTF-8", `"Palisade"`, "\"Palisade\xff\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(text, tt.old) {
				t.Fatalf("nothing to replace: %q is not in the manifest", tt.old)
			}
			refused(t, strings.NewReader(strings.ReplaceAll(text, tt.old, tt.new)))
		})
	}
	for name, in := range map[string]string{
		"nothing":              "",
		"null":                 "null",
		"a list":               "[]",
		"an empty object":      "{}",
		"a part of it":         text[:len(text)/2],
		"a byte order mark":    "\ufeff" + text,
		"a second value":       text + text,
		"text behind it":       text + "x",
		"white space behind":   text + "\n",
		"no line end":          strings.TrimSuffix(text, "\n"),
		"white space before":   " " + text,
		"deeply nested arrays": strings.Repeat("[", 1<<20),
	} {
		t.Run(name, func(t *testing.T) { refused(t, strings.NewReader(in)) })
	}
}

// A refusal that a person will meet says what is wrong.
func TestParseManifestExplains(t *testing.T) {
	text := encode(t, sample())
	for _, tt := range []struct{ in, want string }{
		{strings.Replace(text, `"component"`, `"komponent"`, 1), `unknown field "komponent"`},
		{text + "{}", "something follows its value"},
		{strings.Replace(text, ManifestSchema, "other", 1), `schema "other", want "` + ManifestSchema + `"`},
		{text + "\n", "not in the form that it is written in"},
	} {
		if _, err := ParseManifest(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v does not say %q", err, tt.want)
		}
	}
}

func refused(t *testing.T, r io.Reader) {
	t.Helper()
	if m, err := ParseManifest(r); !errors.Is(err, ErrManifest) {
		t.Fatalf("ParseManifest = %+v, %v, want ErrManifest", m, err)
	} else if m != nil {
		t.Error("a refused manifest is handed out all the same")
	}
}

// Reading stops at the bound; without it this test would not end.
func TestParseManifestTooLarge(t *testing.T) {
	r := &endless{}
	refused(t, r)
	if r.read > MaxManifestSize+1<<20 {
		t.Errorf("read %d bytes of at most %d", r.read, MaxManifestSize)
	}
}

// endless is white space, which a JSON decoder would go on reading.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestParseManifestReadError(t *testing.T) {
	failing := errors.New("failing")
	if _, err := ParseManifest(&failingReader{failing}); !errors.Is(err, failing) || errors.Is(err, ErrManifest) {
		t.Errorf("= %v, want the reader's error and not ErrManifest: the manifest may be sound", err)
	}
}

func TestSort(t *testing.T) {
	m := sample()
	want := encode(t, m)
	m.Artifacts[0], m.Artifacts[1] = m.Artifacts[1], m.Artifacts[0]
	m.Sort()
	if got := encode(t, m); got != want {
		t.Errorf("sorted:\n%s\nwant:\n%s", got, want)
	}
}

// What is read has one form, the one that was read.
func FuzzParseManifest(f *testing.F) {
	text := encode(f, sample())
	f.Add([]byte(text))
	f.Add([]byte(encode(f, &Manifest{Schema: ManifestSchema})))
	f.Add([]byte(strings.Replace(text, "artifacts", "Artifacts", 1)))
	f.Add([]byte(`{"schema":"` + ManifestSchema + `","artifacts":null}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Errorf("refused with %v, want ErrManifest", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is written as %q, %v", data, again, err)
		}
		for _, r := range m.Artifacts {
			if filepath.Base(r.Name) != r.Name || r.Digest.IsZero() {
				t.Errorf("accepted artifact %q with digest %q", r.Name, r.Digest)
			}
		}
	})
}
