package vuln

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// unpackTxtar lays out what testdata has under that name, each file changed by the
// pairs of old and new text that are given for it.
func unpackTxtar(t testing.TB, name, dir string, edits ...[3]string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	for _, e := range edits {
		if !strings.Contains(files[e[0]], e[1]) {
			t.Fatalf("%s does not hold %q", e[0], e[1])
		}
		files[e[0]] = strings.Replace(files[e[0]], e[1], e[2], 1)
	}
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// A variant is one way to compile the component.
type variant struct{ name, goos, require, replace, flags string }

// compiledOnce are binaries by the name of their variant.
var compiledOnce sync.Map

// compile compiles beacon as a recipe does: out of a module that requires it.
func compile(t testing.TB, v variant) []byte {
	t.Helper()
	if data, ok := compiledOnce.Load(v); ok {
		return data.([]byte)
	}
	dir := t.TempDir()
	source := unpackTxtar(t, "modules.txtar", filepath.Join(dir, "source"))
	for _, m := range []module.Version{
		{Path: "example.org/beacon", Version: "v1.2.0"}, {Path: "example.org/beacon", Version: "v1.2.1-0.palisade.1"},
		{Path: "example.org/lamp", Version: "v0.4.0"}, {Path: "example.org/lamp", Version: "v0.4.1-0.palisade.1"}, {Path: "example.org/lamp", Version: "v0.9.0"},
		{Path: "example.org/lamp", Version: "v0.5.0"}, {Path: "example.org/lamp/o", Version: "v0.1.0"},
		{Path: "example.org/light", Version: "v0.4.0"},
	} {
		from := filepath.Join(source, m.String())
		var zipped bytes.Buffer
		if err := modzip.CreateFromDir(&zipped, m, from); err != nil {
			t.Fatal(err)
		}
		mod, err := os.ReadFile(filepath.Join(from, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, "proxy", m.Path, "@v", m.Version)
		put(t, at+".zip", zipped.String())
		put(t, at+".mod", string(mod))
		put(t, at+".info", fmt.Sprintf(`{"Version":%q}`, m.Version))
	}
	put(t, filepath.Join(dir, "recipe", "go.mod"), "module recipe\n\ngo 1.24\n\nrequire (\n\texample.org/beacon v1.2.0\n\texample.org/lamp "+v.require+"\n)\n\n"+v.replace)
	put(t, filepath.Join(dir, "recipe", "tools.go"), "//go:build tools\n\npackage recipe\n\nimport _ \"example.org/beacon\"\n")
	out := filepath.Join(dir, "beacon")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=mod", "-modcacherw", "-ldflags="+v.flags, "-o", out, "example.org/beacon")
	cmd.Dir = filepath.Join(dir, "recipe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+v.goos, "GOARCH=amd64", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOSUMDB=off",
		"GOPROXY=file://"+filepath.Join(dir, "proxy"), "GOMODCACHE="+filepath.Join(dir, "cache"))
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	compiledOnce.Store(v, data)
	return data
}

const patchedLamp = "replace example.org/lamp v0.4.0 => example.org/lamp v0.4.1-0.palisade.1\n"

var (
	hardened = variant{"hardened", "linux", "v0.4.0", patchedLamp + "replace example.org/beacon v1.2.0 => example.org/beacon v1.2.1-0.palisade.1\n", ""}
	vanilla  = variant{"vanilla", "linux", "v0.4.0", "", ""}
	windows  = variant{"vanilla", "windows", "v0.4.0", "", ""}
	raised   = variant{"raised", "linux", "v0.9.0", "", ""}
	nested   = variant{"nested", "linux", "v0.5.0", "", ""} // its module o is also how the package oil begins
	stripped = variant{"stripped", "linux", "v0.4.0", "", "-s -w"}
)

// record is of an archive that holds a binary.
func record(t testing.TB, v variant) (artifact.Record, []byte) {
	t.Helper()
	data := compile(t, v)
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	of := func(path, version string) artifact.Module {
		return artifact.Module{Path: path, Version: version, Sum: "h1:x"}
	}
	b := artifact.Binary{Name: "beacon", Size: int64(len(data)), Digest: artifact.DigestBytes(data), GoVersion: info.GoVersion, Package: info.Path, Main: of(info.Main.Path, info.Main.Version)}
	replaced := func(m *artifact.Module, path, version string) { r := of(path, version); m.Replace = &r }
	if r := info.Main.Replace; r != nil {
		replaced(&b.Main, r.Path, r.Version)
	}
	for _, d := range info.Deps {
		m := of(d.Path, d.Version)
		if d.Replace != nil {
			replaced(&m, d.Replace.Path, d.Replace.Version)
		}
		b.Modules = append(b.Modules, m)
	}
	platform := artifact.Platform{OS: v.goos, Arch: "amd64"}
	folder := "beacon-1.2.0-" + v.name + "." + platform.Slug()
	archive := tarGz(t, map[string][]byte{folder + "/beacon": data})
	return artifact.Record{
		Name: folder + ".tar.gz", Size: int64(len(archive)), Digest: artifact.DigestBytes(archive), Component: "beacon", Version: "1.2.0-" + v.name, UpstreamVersion: "1.2.0",
		Platform: platform, Variant: v.name, Recipe: artifact.DigestBytes(nil), Epoch: 1700000000, Source: of("example.org/beacon", "v1.2.0"),
		Binaries: []artifact.Binary{b}, Members: []artifact.File{{Name: folder + "/beacon", Mode: "0755", Size: b.Size, Digest: b.Digest}},
	}, archive
}

func tarGz(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// release is a directory with the archives of these.
func release(t testing.TB, variants ...variant) string {
	t.Helper()
	dir := t.TempDir()
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	for _, v := range variants {
		r, archive := record(t, v)
		m.Artifacts = append(m.Artifacts, r)
		put(t, filepath.Join(dir, r.Name), string(archive))
	}
	m.Sort()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "release.json"), string(data))
	return dir
}

// options look by the database of testdata.
func options(t testing.TB, triage string) Options {
	t.Helper()
	return Options{
		Source: unpackTxtar(t, "database.txtar", t.TempDir()), Now: now, Author: "Palisade", Scratch: t.TempDir(),
		Triage: func(component string) (recipes.Triage, error) {
			if component != "beacon" {
				t.Errorf("it asks for the triage of %s", component)
			}
			if triage == "" {
				return nil, nil
			}
			return recipes.ParseTriage("beacon/triage.yaml", []byte(triage))
		},
	}
}

// files is every file below a directory.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		below, _ := filepath.Rel(dir, name)
		all[below] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
