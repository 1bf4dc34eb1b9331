// Package consumers has programs that others wrote read what dist/ holds, and
// refuses a release that one of them reads otherwise than it was meant: an SPDX
// document that the schema of the standard refuses, that lacks what a
// guideline demands of it, or that names other modules than govulncheck finds
// in the binary. The programs are the tools of go.mod, each at one version; the
// package imports nothing of Palisade, as a stranger's program would.
//
// .ci/run builds the tools and runs the tests without a network:
//
//	go build -o TOOLS tool
//	go test -exec "unshare -rn" . -dist DIST -tools TOOLS
package consumers

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	distDir  = flag.String("dist", "../../dist", "`directory` of the results")
	toolsDir = flag.String("tools", "", "`directory` of the built tools")
)

// A release is as much of release.json as these tests need.
type release struct {
	Artifacts []struct {
		Name, Platform, Variant string
		Binaries                []struct {
			Name string
			Main struct{ Path string }
		}
		Documents []struct{ Name string }
	}
}

// A document is an SPDX 2.3 document as JSON, and where it lies.
type document struct {
	path          string
	Packages      []*spdxPackage
	Relationships []struct{ SpdxElementID, RelationshipType, RelatedSpdxElement string }
}

type spdxPackage struct {
	SPDXID, Name, VersionInfo string
	CopyrightText, Comment    string
	FilesAnalyzed             bool
	ExternalRefs              []struct{ ReferenceType, ReferenceLocator string }

	contained, contains, generated bool // as the relationships have it
}

func (p *spdxPackage) purl() string { return p.reference("purl") }

func (p *spdxPackage) reference(kind string) string {
	for _, ref := range p.ExternalRefs {
		if ref.ReferenceType == kind {
			return ref.ReferenceLocator
		}
	}
	return ""
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("there is nothing to read: %v; build first, with: go tool mage build", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func openRelease(t *testing.T) *release {
	t.Helper()
	var r release
	read(t, filepath.Join(*distDir, "release.json"), &r)
	if len(r.Artifacts) == 0 {
		t.Fatalf("%s has a release.json that lists nothing", *distDir)
	}
	return &r
}

// documents reads those that release.json lists: of every archive, and of
// every binary.
func documents(t *testing.T) []*document {
	t.Helper()
	var all []*document
	for _, a := range openRelease(t).Artifacts {
		want := []string{a.Name + ".spdx.json"}
		for _, b := range a.Binaries {
			want = append(want, looseBinary(a.Platform, a.Variant, b.Name)+".spdx.json")
		}
		var listed []string
		for _, d := range a.Documents {
			listed = append(listed, d.Name)
		}
		slices.Sort(want)
		if !slices.Equal(listed, want) {
			t.Errorf("%s: release.json lists the documents %v, want %v", a.Name, listed, want)
		}
		for _, name := range want {
			all = append(all, openDocument(t, name))
		}
	}
	return all
}

func openDocument(t *testing.T, name string) *document {
	t.Helper()
	d := &document{path: filepath.Join(*distDir, name)}
	read(t, d.path, d)
	if len(d.Packages) < 2 {
		t.Fatalf("%s describes %d packages", name, len(d.Packages))
	}
	packages := d.byID()
	for _, r := range d.Relationships {
		from, to := packages[r.SpdxElementID], packages[r.RelatedSpdxElement]
		if r.RelationshipType == "CONTAINS" && from != nil && to != nil {
			from.contains, to.contained = true, true
		}
		if r.RelationshipType == "GENERATED_FROM" && from != nil {
			from.generated = true
		}
	}
	return d
}

func (d *document) byID() map[string]*spdxPackage {
	all := map[string]*spdxPackage{}
	for _, p := range d.Packages {
		all[p.SPDXID] = p
	}
	return all
}

// looseBinary is where a binary lies that is in no archive, below dist/.
func looseBinary(platform, variant, name string) string {
	return filepath.Join("bin", strings.ReplaceAll(platform, "/", "-"), variant, name)
}

// run starts a tool and returns what it printed on stdout. They have no
// configuration, no home and no cache.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	if *toolsDir == "" {
		t.Fatal("give the directory that the tools were built in, with: -tools DIR")
	}
	tool, err := filepath.Abs(filepath.Join(*toolsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + cmd.Dir, "TMPDIR=" + cmd.Dir}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%.4000s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	return out, err
}

// TestSchema validates every document against the JSON schema of SPDX 2.3 that
// sbom-utility embeds.
func TestSchema(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		t.Run(filepath.Base(d.path), func(t *testing.T) {
			t.Parallel()
			if err := validate(t, d.path); err != nil {
				t.Error(err)
			}
		})
	}
}

func validate(t *testing.T, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	_, err = run(t, "sbom-utility", "validate", "--quiet", "--input-file", path)
	return err
}
