package consumers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// linked lists the Go modules that a document says are linked, as path@version;
// the standard library is stdlib@v1.26.8. The main module is there as
// govulncheck reads it from a binary: at the version before it was replaced.
func (d *document) linked(t *testing.T, main string) map[string]bool {
	t.Helper()
	byID := d.byID()
	origin := map[string]string{}
	for _, r := range d.Relationships {
		if r.RelationshipType == "GENERATED_FROM" {
			origin[r.SpdxElementID] = r.RelatedSpdxElement
		}
	}
	set := map[string]bool{}
	for _, r := range d.Relationships {
		if r.RelationshipType != "STATIC_LINK" {
			continue
		}
		mod := goModule(t, byID[r.RelatedSpdxElement])
		if from, ok := origin[r.RelatedSpdxElement]; ok && strings.HasPrefix(mod, main+"@") {
			mod = goModule(t, byID[from])
		}
		set[mod] = true
	}
	return set
}

// goModule reads a purl as path@version, in Go's spelling of the path, which
// purls do not keep.
func goModule(t *testing.T, p *spdxPackage) string {
	t.Helper()
	if p == nil {
		t.Fatal("what is said to be linked is no package")
	}
	rest, ok := strings.CutPrefix(p.purl(), "pkg:golang/")
	path, version, _ := strings.Cut(rest, "@")
	path, err := url.PathUnescape(path)
	if !ok || err != nil || !strings.EqualFold(path, p.Name) {
		t.Fatalf("%s: the purl %q is not of the Go module %s", p.SPDXID, p.purl(), p.Name)
	}
	if version, err = url.PathUnescape(version); err != nil {
		t.Fatal(err)
	}
	return p.Name + "@v" + strings.TrimPrefix(version, "v")
}

// TestGovulncheck has govulncheck read every binary against a database in which
// every module of every document has a vulnerability, in exactly the version
// that the document names. It has to list the modules that the document of the
// binary lists, and to find a vulnerability in each of them and in no other.
func TestGovulncheck(t *testing.T) {
	t.Parallel()
	type binary struct {
		path    string
		modules map[string]bool
	}
	var binaries []binary
	all := map[string]bool{}
	for _, a := range openRelease(t).Artifacts {
		for _, b := range a.Binaries {
			name := looseBinary(a.Platform, a.Variant, b.Name)
			modules := openDocument(t, name+".spdx.json").linked(t, b.Main.Path)
			maps.Copy(all, modules)
			binaries = append(binaries, binary{filepath.Join(*distDir, name), modules})
		}
	}
	db := plant(t, slices.Sorted(maps.Keys(all)))
	for _, b := range binaries {
		t.Run(strings.TrimPrefix(b.path, *distDir), func(t *testing.T) {
			t.Parallel()
			path, err := filepath.Abs(b.path)
			if err != nil {
				t.Fatal(err)
			}
			// The database tells of modules only, so that nothing else is to be
			// looked for.
			out, err := run(t, "govulncheck", "-mode=binary", "-scan=module", "-json", "-db=file://"+db, path)
			if err != nil {
				t.Fatal(err)
			}
			listed, found := findings(t, out)
			if diff := differences(listed, b.modules); len(diff) > 0 {
				t.Errorf("govulncheck does not list the modules that the document lists:\n%s", strings.Join(diff, "\n"))
			}
			if diff := differences(found, b.modules); len(diff) > 0 {
				t.Errorf("govulncheck does not find what was planted in the document's modules:\n%s", strings.Join(diff, "\n"))
			}
		})
	}
}

// findings reads the stream that govulncheck writes: the modules that it lists,
// and those in which it finds a vulnerability.
func findings(t *testing.T, out []byte) (listed, found map[string]bool) {
	t.Helper()
	type module struct{ Path, Module, Version string }
	// The standard library is listed with Go's own version and found with v1.26.8.
	name := func(m module) string {
		return m.Path + m.Module + "@v" + strings.TrimPrefix(strings.TrimPrefix(m.Version, "go"), "v")
	}
	listed, found = map[string]bool{}, map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var message struct {
			SBOM    *struct{ Modules []module }
			Finding *struct{ Trace []module }
		}
		if err := dec.Decode(&message); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if message.SBOM != nil {
			for _, m := range message.SBOM.Modules {
				listed[name(m)] = true
			}
		}
		if message.Finding != nil {
			found[name(message.Finding.Trace[0])] = true
		}
	}
	return listed, found
}

// plant writes a vulnerability database, in the layout of
// https://go.dev/doc/security/vuln/database, and returns its directory.
func plant(t *testing.T, modules []string) string {
	t.Helper()
	const modified = "2000-01-01T00:00:00Z"
	type object map[string]any
	dir := t.TempDir()
	put := func(name string, content any) {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"ID", "index"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	index := map[string][]object{}
	var entries []object
	for i, m := range modules {
		id := fmt.Sprintf("GO-2000-%04d", i)
		path, version, _ := strings.Cut(m, "@v")
		version, _, _ = strings.Cut(version, "+") // semver.org orders by nothing behind it
		entry := object{"id": id, "modified": modified}
		entries = append(entries, entry)
		index[path] = append(index[path], entry)
		put(filepath.Join("ID", id+".json"), object{
			"schema_version": "1.3.1", "id": id, "modified": modified, "published": modified, "details": "planted",
			"affected": []object{{
				"package": object{"name": path, "ecosystem": "Go"},
				"ranges":  []object{{"type": "SEMVER", "events": []object{{"introduced": version}, {"fixed": next(version)}}}},
			}},
		})
	}
	var byModule []object
	for _, path := range slices.Sorted(maps.Keys(index)) {
		byModule = append(byModule, object{"path": path, "vulns": index[path]})
	}
	put("index/db.json", object{"modified": modified})
	put("index/modules.json", byModule)
	put("index/vulns.json", entries)
	return dir
}

// next is the lowest version that is higher: of a pre-release, the same with
// one identifier more; of a release, the first pre-release of the next patch.
func next(version string) string {
	if strings.Contains(version, "-") {
		return version + ".0"
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		panic(fmt.Sprintf("%q is no version: %v", version, err)) // a test of ours alone calls it
	}
	return fmt.Sprintf("%d.%d.%d-0", major, minor, patch+1)
}
