//go:build e2e && unix

package e2e

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
)

// TestDocumentsAgreeWithBinaries holds the SPDX documents of every artifact, of
// every platform, against what can be read in the artifact without them: module
// by module against the build info of its binaries, and file by file against
// the archive.
func TestDocumentsAgreeWithBinaries(t *testing.T) {
	r := openRelease(t)
	cache := openModuleCache(t)
	for _, rec := range r.manifest.Artifacts {
		t.Run(rec.Name, func(t *testing.T) {
			doc := r.openSBOM(t, rec, rec.Name+".spdx.json")
			checkAlways(t, cache, rec, doc, rec.UI != nil)
			withUI := 0
			packed, infos := inspect(t, filepath.Join(r.dir, rec.Name), rec)
			checkContents(t, doc, packed)
			checkPatches(t, rec.Patched, doc)
			for _, b := range rec.Binaries {
				loose, err := buildinfo.ReadFile(r.looseBinary(rec, b.Name))
				if err != nil || !reflect.DeepEqual(loose, infos[b.Name]) {
					t.Errorf("%s: the build info of the loose binary (%v) is not that of the packed one", b.Name, err)
				}
				checkLinked(t, rec, doc, b.Name, infos[b.Name])

				own := r.openSBOM(t, rec, path.Join("bin", rec.Platform.Slug(), rec.Variant, b.Name+".spdx.json"))
				ui := embedsInterface(t, r.looseBinary(rec, b.Name), rec)
				if ui {
					withUI++
				}
				checkAlways(t, cache, rec, own, ui)
				checkContents(t, own, map[string]checksums{b.Name: sumsOf(t, r.looseBinary(rec, b.Name))})
				checkLinked(t, rec, own, b.Name, infos[b.Name])
				checkPatches(t, slices.DeleteFunc(slices.Clone(rec.Patched), func(p artifact.Patched) bool {
					return !linksModule(infos[b.Name], p.To)
				}), own)
				if n := linkingFiles(own); n != 1 {
					t.Errorf("%s speaks of the modules of %d binaries", own.name, n)
				}
			}
			if n := linkingFiles(doc); n != len(rec.Binaries) {
				t.Errorf("%s speaks of the modules of %d binaries, the artifact holds %d", doc.name, n, len(rec.Binaries))
			}
			if (withUI > 0) != (rec.UI != nil) {
				t.Errorf("%d binaries embed files of the web interface, which the record has as %v", withUI, rec.UI)
			}
			if want := 1 + len(rec.Binaries); len(rec.Documents) != want {
				t.Errorf("release.json lists %d documents, want %d", len(rec.Documents), want)
			}
		})
	}
	if len(cache.seen) == 0 && cache.dir != "" {
		t.Errorf("%s holds none of the modules", cache.dir)
	}
	t.Logf("compared with the zip files of %d modules", len(cache.seen))
}

// embedsInterface reports whether a binary holds the web interface: package
// embed keeps the name of a file, below the folder of the package, beside it.
func embedsInterface(t *testing.T, binary string, rec artifact.Record) bool {
	t.Helper()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, patched := range rec.Patched {
		for _, f := range patched.Added {
			// The package may lie in any of the folders above.
			for _, name, more := strings.Cut(f.Name, "/"); more && strings.Contains(name, "/"); _, name, more = strings.Cut(name, "/") {
				if bytes.Contains(data, []byte(name)) {
					return true
				}
			}
		}
	}
	return false
}

// checkAlways is what holds of a document of an archive and of a binary alike,
// with a web interface in it or without.
func checkAlways(t *testing.T, cache *moduleCache, rec artifact.Record, s *sbom, ui bool) {
	t.Helper()
	is := func(p *v2_3.Package) bool { return p.PackageName == rec.Component+"-web-interface" }
	if slices.ContainsFunc(s.Packages, is) != ui {
		t.Errorf("%s lists a web interface: %t; there is one: %t", s.name, !ui, ui)
	}
	s.checkPackages(t)
	s.checkGraph(t)
	for _, p := range s.Packages {
		cache.check(t, s, p)
	}
	for _, tool := range rec.Toolchains {
		is := func(p *v2_3.Package) bool {
			return s.isTool(p) && p.PackageVersion == tool.Version && (reference(p, "goModuleH1") == tool.Hash || reference(p, "npmIntegrity") == tool.Hash)
		}
		// All but Go worked on the web interface alone.
		if want := ui || tool.Name == "go"; slices.ContainsFunc(s.Packages, is) != want {
			t.Errorf("%s names the tool %s %s with the hash %s: %t, want %t", s.name, tool.Name, tool.Version, tool.Hash, !want, want)
		}
	}
	for _, e := range rec.Embedded {
		is := func(p *v2_3.Package) bool {
			return reference(p, "purl") == e.PURL && reference(p, "npmIntegrity") == e.Integrity
		}
		if strings.HasSuffix(s.name, rec.Name+".spdx.json") && !slices.ContainsFunc(s.Packages, is) {
			t.Errorf("%s does not list %s, which is embedded", s.name, e.PURL)
		}
	}
}

// checksums are of a file, in hexadecimal digits.
type checksums map[common.ChecksumAlgorithm]string

func sumUp(content io.Reader, also io.Writer) (checksums, error) {
	hashes := map[common.ChecksumAlgorithm]hash.Hash{common.SHA1: sha1.New(), common.SHA256: sha256.New(), common.SHA512: sha512.New()}
	out := []io.Writer{also}
	for _, h := range hashes {
		out = append(out, h)
	}
	_, err := io.Copy(io.MultiWriter(out...), content)
	all := checksums{}
	for algorithm, h := range hashes {
		all[algorithm] = hex.EncodeToString(h.Sum(nil))
	}
	return all, err
}

func sumsOf(t *testing.T, name string) checksums {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := sumUp(f, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// inspect reads an archive: the checksums of its files by name, and the build
// info of its binaries.
func inspect(t *testing.T, archive string, rec artifact.Record) (map[string]checksums, map[string]*debug.BuildInfo) {
	t.Helper()
	all, infos := map[string]checksums{}, map[string]*debug.BuildInfo{}
	dir := t.TempDir()
	err := walk(archive, func(name string, _ fs.FileMode, content io.Reader) (err error) {
		base := path.Base(name)
		if !slices.ContainsFunc(rec.Binaries, func(b artifact.Binary) bool { return b.Name == base }) {
			all[name], err = sumUp(content, io.Discard)
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, base), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		if all[name], err = sumUp(content, f); err != nil {
			return err
		}
		infos[base], err = buildinfo.Read(f)
		return err
	})
	if err != nil {
		t.Fatalf("reading %s: %v", rec.Name, err)
	}
	if len(infos) != len(rec.Binaries) {
		t.Fatalf("%s holds the binaries %v", rec.Name, slices.Sorted(maps.Keys(infos)))
	}
	return all, infos
}

// checkContents holds the files of what a document describes against those
// that are there.
func checkContents(t *testing.T, s *sbom, there map[string]checksums) {
	t.Helper()
	listed := s.contents(s.described(t).PackageSPDXIdentifier)
	if got, want := slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(there)); !slices.Equal(got, want) {
		t.Errorf("%s lists the files\n%v, there are\n%v", s.name, got, want)
	}
	for name, f := range listed {
		if got := sums(f.Checksums); !maps.Equal(got, there[name]) {
			t.Errorf("%s: %s has the checksums\n%v, they are\n%v", s.name, name, got, there[name])
		}
	}
}

// checkLinked holds what a document says is linked into a binary against its
// build info: path, version and hash of every module as it was compiled, and
// the standard library. What was compiled in place of another names it.
func checkLinked(t *testing.T, rec artifact.Record, s *sbom, binary string, info *debug.BuildInfo) {
	t.Helper()
	var file *v2_3.File
	for name, f := range s.contents(s.described(t).PackageSPDXIdentifier) {
		if path.Base(name) == binary {
			file = f
		}
	}
	if file == nil {
		t.Errorf("%s does not list the file %s", s.name, binary)
		return
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	want := []linkedModule{{path: "stdlib", version: version}}
	replaced := map[string]*debug.Module{}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if r := m.Replace; r != nil {
			if r.Path != m.Path || r.Version != m.Version {
				replaced[r.Path+"@"+r.Version] = m
			}
			m = r
		}
		want = append(want, linkedModule{m.Path, m.Version, m.Sum})
	}
	slices.SortFunc(want, linkedModule.compare)
	if got := s.linked(t, file.FileSPDXIdentifier); !slices.Equal(got, want) {
		lacks := slices.DeleteFunc(slices.Clone(want), func(m linkedModule) bool { return slices.Contains(got, m) })
		invents := slices.DeleteFunc(slices.Clone(got), func(m linkedModule) bool { return slices.Contains(want, m) })
		t.Errorf("%s is not what is linked into %s (%d modules, %d listed): it lacks %v and has beyond it %v", s.name, binary, len(want), len(got), lacks, invents)
	}
	for _, id := range s.targets(file.FileSPDXIdentifier, common.TypeRelationshipStaticLink) {
		p := s.packages[id]
		m, ok := replaced[p.PackageName+"@"+p.PackageVersion]
		if !ok {
			continue
		}
		was := linkedModule{path: m.Path, version: m.Version}
		for _, patched := range rec.Patched {
			if patched.From.Path == m.Path && patched.From.Version == m.Version {
				was.sum = patched.From.Sum
			}
		}
		from := s.targets(id, common.TypeRelationshipGeneratedFrom)
		if !slices.ContainsFunc(from, func(id common.ElementID) bool { return s.packages[id] != nil && moduleOf(s.packages[id]) == was }) {
			t.Errorf("%s: %s %s is not said to be generated from %v, in whose place it was compiled", s.name, p.PackageName, p.PackageVersion, was)
		}
	}
}

// linkingFiles counts the files that modules are linked into.
func linkingFiles(s *sbom) int {
	all := map[common.ElementID]bool{}
	for _, r := range s.Relationships {
		if r.Relationship == common.TypeRelationshipStaticLink {
			all[r.RefA.ElementRefID] = true
		}
	}
	return len(all)
}

func linksModule(info *debug.BuildInfo, m artifact.Module) bool {
	return slices.ContainsFunc(append([]*debug.Module{&info.Main}, info.Deps...), func(linked *debug.Module) bool {
		return linked.Replace != nil && linked.Replace.Path == m.Path && linked.Replace.Version == m.Version
	})
}

// checkPatches holds the patches of a document against those in the checkout:
// each by its checksums, applied to what the record says.
func checkPatches(t *testing.T, all []artifact.Patched, s *sbom) {
	t.Helper()
	var want, got []string
	for _, patched := range all {
		for _, p := range patched.Patches {
			sum := sumsOf(t, filepath.Join("../../../patches", filepath.FromSlash(p.Name)))
			want = append(want, strings.Join([]string{path.Base(p.Name), sum[common.SHA1], sum[common.SHA256], patched.From.Path, patched.From.Version}, " "))
		}
	}
	for id, f := range s.files {
		for _, to := range s.targets(id, common.TypeRelationshipPatchApplied) {
			sum, m := sums(f.Checksums), linkedModule{}
			if p := s.packages[to]; p != nil {
				m = moduleOf(p)
			}
			got = append(got, strings.Join([]string{path.Base(f.FileName), sum[common.SHA1], sum[common.SHA256], m.path, m.version}, " "))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s has the patches\n%s\nwant\n%s", s.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A moduleCache is what the go command downloaded, where that is still there.
type moduleCache struct {
	dir  string               // "" where there is none
	seen map[string]checksums // of zip files, by name
}

func openModuleCache(t *testing.T) *moduleCache {
	t.Helper()
	dir := os.Getenv("PALISADE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(user, "palisade")
	}
	dir = filepath.Join(dir, "mod", "cache", "download")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		dir = ""
	} else if err != nil {
		t.Fatal(err)
	}
	return &moduleCache{dir, map[string]checksums{}}
}

// check holds the checksums of a Go module against its zip file. There is none
// of what was sealed here, nor of what only an earlier build downloaded.
func (c *moduleCache) check(t *testing.T, s *sbom, p *v2_3.Package) {
	t.Helper()
	name, err1 := module.EscapePath(p.PackageName)
	version, err2 := module.EscapeVersion(p.PackageVersion)
	if c.dir == "" || err1 != nil || err2 != nil || reference(p, "goModuleH1") == "" {
		return
	}
	zip := filepath.Join(c.dir, filepath.FromSlash(name), "@v", version+".zip")
	if _, ok := c.seen[zip]; !ok {
		if _, err := os.Stat(zip); errors.Is(err, fs.ErrNotExist) {
			return
		}
		c.seen[zip] = sumsOf(t, zip)
	}
	got, want := sums(p.PackageChecksums), c.seen[zip]
	for _, algorithm := range []common.ChecksumAlgorithm{common.SHA256, common.SHA512} {
		if got[algorithm] != want[algorithm] {
			t.Errorf("%s: %s %s has the %s %s, that of its zip file is %s", s.name, p.PackageName, p.PackageVersion, algorithm, got[algorithm], want[algorithm])
		}
	}
}
