package verify

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
)

// The smallest release that has everything: a component beacon, whose one
// dependency lamp was patched, compiled here as release.json tells it.
const (
	beaconPath = "example.org/beacon"
	lampPath   = "example.org/lamp"
)

var moduleFiles = map[string]map[string]string{
	beaconPath + "@v1.2.0":            {"go.mod": "module example.org/beacon\n\ngo 1.24\n\nrequire example.org/lamp v0.4.0\n", "main.go": "package main\n\nimport \"example.org/lamp\"\n\nfunc main() { println(lamp.Colour) }\n", "LICENSE": "Do as you like.\n"},
	lampPath + "@v0.4.0":              {"go.mod": "module example.org/lamp\n\ngo 1.24\n", "lamp.go": "package lamp\n\nconst Colour = \"red\"\n"},
	lampPath + "@v0.4.1-0.palisade.1": {"go.mod": "module example.org/lamp\n\ngo 1.24\n", "lamp.go": "package lamp\n\nconst Colour = \"green\"\n"},
}

const patchText = "Description: green\n\n--- a/lamp.go\n+++ b/lamp.go\n"

// A compiled component, which is made once for all tests.
type compiledOnce struct {
	modules  map[string]artifact.Module // by path@version
	sums512  map[string]string
	binaries map[string][]byte // by variant
}

var compileOnce = sync.OnceValues(compileWorld)

func compileWorld() (*compiledOnce, error) {
	dir, err := os.MkdirTemp("", "verify-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c := &compiledOnce{modules: map[string]artifact.Module{}, sums512: map[string]string{}, binaries: map[string][]byte{}}
	for name, files := range moduleFiles {
		if err := c.publish(dir, name, files); err != nil {
			return nil, err
		}
	}
	for variant, replace := range map[string]string{"hardened": "replace example.org/lamp v0.4.0 => example.org/lamp v0.4.1-0.palisade.1\n", "vanilla": ""} {
		recipe := filepath.Join(dir, variant)
		files := map[string]string{"go.mod": "module recipe\n\ngo 1.24\n\nrequire (\n\texample.org/beacon v1.2.0\n\texample.org/lamp v0.4.0\n)\n\n" + replace, "tools.go": "//go:build tools\n\npackage recipe\n\nimport _ \"example.org/beacon\"\n"}
		for n, text := range files {
			if err := writeTestFile(filepath.Join(recipe, n), text); err != nil {
				return nil, err
			}
		}
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=mod", "-modcacherw", "-ldflags=-s -w", "-o", filepath.Join(recipe, "beacon"), beaconPath)
		cmd.Dir = recipe
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOSUMDB=off",
			"GOPROXY=file://"+filepath.ToSlash(filepath.Join(dir, "proxy")), "GOMODCACHE="+filepath.Join(dir, "cache"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
		if c.binaries[variant], err = os.ReadFile(filepath.Join(recipe, "beacon")); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func writeTestFile(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// publish puts a module version into a proxy of files.
func (c *compiledOnce) publish(dir, name string, files map[string]string) error {
	path, version, _ := strings.Cut(name, "@")
	source := filepath.Join(dir, "source", strings.ReplaceAll(name, "/", "_"))
	for n, text := range files {
		if err := writeTestFile(filepath.Join(source, n), text); err != nil {
			return err
		}
	}
	var zipped bytes.Buffer
	if err := modzip.CreateFromDir(&zipped, module.Version{Path: path, Version: version}, source); err != nil {
		return err
	}
	at := filepath.Join(dir, "proxy", filepath.FromSlash(path), "@v", version)
	for suffix, text := range map[string]string{".zip": zipped.String(), ".mod": files["go.mod"], ".info": fmt.Sprintf(`{"Version":%q}`, version)} {
		if err := writeTestFile(at+suffix, text); err != nil {
			return err
		}
	}
	h1, err := dirhash.HashZip(at+".zip", dirhash.Hash1)
	if err != nil {
		return err
	}
	zip := artifact.DigestBytes(zipped.Bytes())
	m := artifact.Module{Path: path, Version: version, Sum: h1, Zip: &zip}
	if strings.Contains(version, "palisade") {
		m.Zip = nil
	}
	c.modules[name] = m
	c.sums512[name] = hashesOf(zipped.Bytes()).SHA512
	return nil
}

func hashesOf(b []byte) spdx.Hashes {
	one, big := sha1.Sum(b), sha512.Sum512(b)
	return spdx.Hashes{SHA1: hex.EncodeToString(one[:]), SHA512: hex.EncodeToString(big[:])}
}

// made is an artifact in the making: what tests change before it is written.
type made struct {
	rec      artifact.Record
	contents map[string][]byte // of members
	archive  []byte
	document []byte
	result   []byte // test result; nil if no audit ran
	vex      []byte // OpenVEX statement; nil if nobody looked
}

const goTool = "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64"

var madeOnce sync.Map // by variant: describing takes a while

// newMade is a whole artifact of that variant, the caller's to change.
func newMade(t testing.TB, variant string) *made {
	t.Helper()
	first, ok := madeOnce.Load(variant)
	if !ok {
		first, _ = madeOnce.LoadOrStore(variant, makeFirst(t, variant))
	}
	m := *first.(*made)
	m.contents = maps.Clone(m.contents)
	data, err := json.Marshal(m.rec)
	if err != nil {
		t.Fatal(err)
	}
	m.rec = artifact.Record{}
	if err := json.Unmarshal(data, &m.rec); err != nil {
		t.Fatal(err)
	}
	return &m
}

func makeFirst(t testing.TB, variant string) *made {
	t.Helper()
	c, err := compileOnce()
	if err != nil {
		t.Fatal(err)
	}
	version := map[string]string{"hardened": "1.2.0-palisade.1", "vanilla": "1.2.0-vanilla"}[variant]
	folder := "beacon-" + version + ".linux-amd64"
	m := &made{contents: map[string][]byte{folder + "/LICENSE": []byte("Do as you like.\n"), folder + "/beacon": c.binaries[variant]}}
	b, err := readBinary(c.binaries[variant])
	if err != nil {
		t.Fatal(err)
	}
	withZips(&b.Main, c.modules)
	for i := range b.Modules {
		withZips(&b.Modules[i], c.modules)
	}
	b.Name, b.Size, b.Digest = "beacon", int64(len(c.binaries[variant])), artifact.DigestBytes(c.binaries[variant])
	zip, sum := artifact.DigestBytes([]byte(goTool)), sha256.Sum256([]byte(goTool))
	m.rec = artifact.Record{
		Name: folder + ".tar.gz", Component: "beacon", Version: version, UpstreamVersion: "1.2.0",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: variant, Recipe: artifact.DigestBytes([]byte("recipe")), Epoch: 1700000000,
		Source: c.modules[beaconPath+"@v1.2.0"], Revision: c.modules[beaconPath+"@v1.2.0"].Sum,
		Toolchains: []artifact.Tool{{Name: "go", Version: strings.TrimPrefix(b.GoVersion, "go"), Package: goTool, Hash: "h1:" + base64.StdEncoding.EncodeToString(sum[:]), Zip: &zip}},
		Build:      artifact.Invocation{Args: []string{"/go/bin/go", "build"}, Env: []string{"CGO_ENABLED=0"}, Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}},
		Binaries:   []artifact.Binary{b},
	}
	if variant == "hardened" {
		m.rec.Patched = []artifact.Patched{{
			From: c.modules[lampPath+"@v0.4.0"], To: c.modules[lampPath+"@v0.4.1-0.palisade.1"],
			Patches: []artifact.PatchFile{{Name: "lamp/v0.4.0/0001-green.patch", Digest: artifact.DigestBytes([]byte(patchText))}},
		}}
	}
	m.finish(t, nil)
	return m
}

func withZips(m *artifact.Module, known map[string]artifact.Module) {
	m.Zip = known[m.Path+"@"+m.Version].Zip
	if m.Replace != nil {
		withZips(m.Replace, known)
	}
}

// finish packs the members and describes the artifact anew. change may put
// another archive in place of the packed one.
func (m *made) finish(t testing.TB, change func(headers []*tar.Header, contents [][]byte) []byte) {
	t.Helper()
	var headers []*tar.Header
	var contents [][]byte
	m.rec.Members = nil
	for name := range m.contents {
		mode := int64(0o644)
		if strings.HasSuffix(name, "/beacon") {
			mode = 0o755
		}
		m.rec.Members = append(m.rec.Members, artifact.File{Name: name, Mode: fmt.Sprintf("%04o", mode), Size: int64(len(m.contents[name])), Digest: artifact.DigestBytes(m.contents[name])})
	}
	sort.Slice(m.rec.Members, func(i, j int) bool { return m.rec.Members[i].Name < m.rec.Members[j].Name })
	folder := filepath.Dir(m.rec.Members[0].Name)
	headers, contents = append(headers, &tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}), append(contents, nil)
	for _, f := range m.rec.Members {
		mode := int64(0o644)
		if f.Mode == "0755" {
			mode = 0o755
		}
		headers, contents = append(headers, &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: mode, Size: f.Size}), append(contents, m.contents[f.Name])
	}
	if change == nil {
		change = func(h []*tar.Header, c [][]byte) []byte { return pack(t, h, c) }
	}
	m.archive = change(headers, contents)
	m.rec.Digest, m.rec.Size = artifact.DigestBytes(m.archive), int64(len(m.archive))
	m.describe(t)
}

func pack(t testing.TB, headers []*tar.Header, contents [][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for i, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// describe writes the bill of materials of the archive.
func (m *made) describe(t testing.TB) {
	t.Helper()
	c, _ := compileOnce()
	in := spdx.Input{
		Publisher: spdx.Publisher{Name: "Palisade", Distribution: "palisade", Namespace: "https://palisade.example", Licence: "Apache-2.0"},
		Component: spdx.Component{Description: "A light.", Homepage: "https://beacon.example", Originator: "The Beacon Authors", CPE: "cpe:2.3:a:example:beacon"},
		Record:    m.rec, Artifact: hashesOf(m.archive), Members: map[string]spdx.Member{},
		Patches:  map[string]spdx.Hashes{"lamp/v0.4.0/0001-green.patch": hashesOf([]byte(patchText))},
		Packages: map[string]spdx.Package{},
		Links: []spdx.Links{{Binary: "beacon", Modules: []spdx.Link{
			{Module: beaconPath, Packages: []string{beaconPath}, Requires: []string{lampPath, spdx.Std}},
			{Module: lampPath, Packages: []string{lampPath}, Requires: []string{spdx.Std}},
			{Module: spdx.Std, Packages: []string{"runtime"}},
		}}},
	}
	for name, content := range m.contents {
		whose := spdx.Upstream
		if strings.HasSuffix(name, "/beacon") {
			whose = spdx.Compiled
		}
		in.Members[name] = spdx.Member{Hashes: hashesOf(content), Whose: whose}
	}
	for name, mod := range c.modules {
		in.Packages[spdx.GoPURL(mod.Path, mod.Version)] = spdx.Package{Licence: "Apache-2.0", SHA512: c.sums512[name]}
		if mod.Zip == nil {
			in.Packages[spdx.GoPURL(mod.Path, mod.Version)] = spdx.Package{Licence: "Apache-2.0"}
		}
	}
	golang := m.rec.Toolchains[0]
	in.Packages[spdx.StdPURL(golang.Version)] = spdx.Package{Licence: "BSD-3-Clause"}
	in.Packages[spdx.ToolPURL(golang)] = spdx.Package{Licence: "BSD-3-Clause", SHA512: hashesOf([]byte(goTool)).SHA512}
	d, err := spdx.Describe(in)
	if err == nil {
		m.document, err = d.Encode()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.listDocument()
}

// listDocument names the document that is there in the record.
func (m *made) listDocument() {
	m.rec.Documents = []artifact.File{{Name: m.rec.Name + spdxSuffix, Size: int64(len(m.document)), Digest: artifact.DigestBytes(m.document)}}
}
