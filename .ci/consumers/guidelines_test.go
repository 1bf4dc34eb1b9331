package consumers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// guidelines are those that sbomqs judges element by element, by its flag.
var guidelines = []string{"ntia", "bsi", "bsi-v2", "oct", "fsct"}

// An exception is a line of the file exceptions.
type exception struct{ guideline, field, of string }

func readExceptions(t *testing.T) []exception {
	t.Helper()
	f, err := os.Open("exceptions")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []exception
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() == "" || strings.HasPrefix(s.Text(), "#") {
			continue
		}
		parts := strings.Split(s.Text(), "|")
		if len(parts) != 4 || slices.Contains(parts, "") {
			t.Fatalf("exceptions: %q is not of the form guideline|field|of what|reason", s.Text())
		}
		if _, ok := profiles[parts[0]]; !ok && !slices.Contains(guidelines, parts[0]) {
			t.Fatalf("exceptions: nothing is held against %q", parts[0])
		}
		all = append(all, exception{parts[0], parts[1], parts[2]})
	}
	return all
}

// covers says whether an exception is of a package.
func (e exception) covers(p *spdxPackage) bool {
	switch e.of {
	case "document":
		return false
	case "every package":
		return true
	case "packages whose files are not listed":
		return !p.FilesAnalyzed
	case "packages with more than a purl":
		return len(p.ExternalRefs) > 1
	case "packages without copyright text":
		return p.CopyrightText == "NONE" // TestNoCopyright knows which
	case "packages of unknown copyright":
		return p.CopyrightText == "NOASSERTION" && p.onlyStated()
	case "sealed modules":
		return p.generated && strings.HasPrefix(p.purl(), "pkg:golang/")
	case "packages that are only stated":
		return p.onlyStated()
	case "web interfaces":
		return strings.HasSuffix(p.Name, "-web-interface")
	case "sources and tools":
		return !p.contained && !p.contains
	}
	return p.Name == e.of
}

// onlyStated reports whether a package is there because a recipe says so, and
// its own source was not fetched.
func (p *spdxPackage) onlyStated() bool {
	return strings.HasPrefix(p.Comment, "Evidence: stated in the recipe") && p.reference("npmIntegrity") == ""
}

// TestNoCopyright holds the packages that have no copyright text against the
// file no-copyright.
func TestNoCopyright(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("no-copyright")
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			unused[line] = true
		}
	}
	listed := maps.Clone(unused)
	for _, d := range documents(t) {
		for _, p := range d.Packages {
			if p.CopyrightText != "NONE" {
				continue
			}
			line := lineFor(p.Name, listed)
			if line == "" {
				t.Errorf("%s: %s %s has no copyright text: see whether its source holds none, and list it in no-copyright", d.path, p.Name, p.VersionInfo)
			}
			delete(unused, line)
		}
	}
	for line := range unused {
		t.Errorf("no-copyright lists %s, which is of nothing: take it out", line)
	}
}

// lineFor is the line that lists a name, or a folder above it with "/*".
func lineFor(name string, listed map[string]bool) string {
	if listed[name] {
		return name
	}
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if listed[folder+"/*"] {
			return folder + "/*"
		}
	}
	return ""
}

// elementID is how sbomqs names a package, shortened; several can share it.
func elementID(p *spdxPackage) string {
	name, version := path.Base(p.Name), p.VersionInfo
	if len(name) > 20 {
		name = name[:12] + "..." + name[len(name)-8:]
	}
	if len(version) > 12 {
		version = version[:6] + "..." + version[len(version)-6:]
	}
	return name + "-" + version
}

// A shortfall is an element that does not get full marks for a field.
type shortfall struct{ guideline, field, element string }

func (s shortfall) String() string { return s.guideline + ": " + s.field + ": " + s.element }

// judge is what sbomqs finds short in a document. Everything that is about no
// package is about the document.
func judge(t *testing.T, d *document, guideline string) map[shortfall]bool {
	t.Helper()
	file, err := filepath.Abs(d.path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "sbomqs", "compliance", "--"+guideline, "--json", file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Sections []struct {
			Field   string  `json:"section_data_field"`
			Element string  `json:"element_id"`
			Score   float64 `json:"score"`
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("sbomqs --%s: %v", guideline, err)
	}
	unseen := map[string]bool{"document": true}
	for _, p := range d.Packages {
		unseen[elementID(p)] = true
	}
	known := maps.Clone(unseen)
	short := map[shortfall]bool{}
	for _, s := range report.Sections {
		if !known[s.Element] {
			s.Element = "document"
		}
		delete(unseen, s.Element)
		if s.Score < 10 {
			short[shortfall{guideline, s.Field, s.Element}] = true
		}
	}
	if len(unseen) > 0 {
		t.Errorf("sbomqs --%s did not look at %v", guideline, slices.Sorted(maps.Keys(unseen)))
	}
	return short
}

// expect is what is to be short in a document, as the exceptions have it; each
// that applies is marked in used.
func expect(d *document, guideline string, exceptions []exception, used func(exception)) map[shortfall]bool {
	short := map[shortfall]bool{}
	for _, e := range exceptions {
		if e.guideline != guideline {
			continue
		}
		if e.of == "document" {
			used(e)
			short[shortfall{guideline, e.field, "document"}] = true
		}
		for _, p := range d.Packages {
			if e.covers(p) {
				used(e)
				short[shortfall{guideline, e.field, elementID(p)}] = true
			}
		}
	}
	return short
}

// differences says in sorted lines what one set has and the other has not.
func differences[T comparable](got, want map[T]bool) []string {
	var all []string
	for v := range got {
		if !want[v] {
			all = append(all, fmt.Sprintf("unexpected: %v", v))
		}
	}
	for v := range want {
		if !got[v] {
			all = append(all, fmt.Sprintf("missing: %v", v))
		}
	}
	slices.Sort(all)
	return all
}

// TestGuidelines holds every document against the minimum elements of NTIA, BSI
// TR-03183-2 (1.1 and 2.0), the OpenChain Telco SBOM Guide and the Framing of
// CISA. What falls short is what the file exceptions lists, and nothing less.
func TestGuidelines(t *testing.T) {
	t.Parallel()
	exceptions := readExceptions(t)
	var mu sync.Mutex
	unused := map[exception]bool{}
	for _, e := range exceptions {
		unused[e] = slices.Contains(guidelines, e.guideline)
	}
	use := func(e exception) {
		mu.Lock()
		defer mu.Unlock()
		unused[e] = false
	}
	t.Run("documents", func(t *testing.T) {
		for _, d := range documents(t) {
			for _, guideline := range guidelines {
				t.Run(guideline+"/"+filepath.Base(d.path), func(t *testing.T) {
					t.Parallel()
					want := expect(d, guideline, exceptions, use)
					if diff := differences(judge(t, d, guideline), want); len(diff) > 0 {
						t.Errorf("%d elements are not as the file exceptions has it:\n%s", len(diff), strings.Join(diff[:min(len(diff), 20)], "\n"))
					}
				})
			}
		}
	})
	if t.Failed() {
		return // not every document was looked at
	}
	for e, is := range unused {
		if is {
			t.Errorf("the exception %v is of nothing: take it out", e)
		}
	}
}

// profiles are guidelines that sbomqs has but one score for: under which name,
// and of how many elements the score is the mean.
var profiles = map[string]struct {
	title    string
	elements int
}{
	"ntia-2025": {"NTIA Minimum Elements (2025) - RFC", 13},
	"oct-v1.1":  {"OpenChain Telco v1.1", 18},
}

// TestProfiles holds every document against those: the score is ten, less what
// the exceptions take away from it.
func TestProfiles(t *testing.T) {
	t.Parallel()
	exceptions := readExceptions(t)
	docs := map[string]*document{}
	args := []string{"score", "--json", "--profile", strings.Join(slices.Sorted(maps.Keys(profiles)), ",")}
	for _, d := range documents(t) {
		file, err := filepath.Abs(d.path)
		if err != nil {
			t.Fatal(err)
		}
		docs[file] = d
		args = append(args, file)
	}
	out, err := run(t, "sbomqs", args...)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Files []struct {
			Name     string `json:"file_name"`
			Profiles []struct {
				Profile string
				Score   float64
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Files {
		d := docs[f.Name]
		if d == nil {
			t.Fatalf("sbomqs scored %s, which it was not given, or twice", f.Name)
		}
		delete(docs, f.Name)
		got := map[string]float64{}
		for _, p := range f.Profiles {
			got[p.Profile] = p.Score
		}
		for name, profile := range profiles {
			want := 10 * (1 - lost(d, name, exceptions)/float64(profile.elements))
			if score, ok := got[profile.title]; !ok || math.Abs(score-want) > 1e-6 {
				t.Errorf("%s: sbomqs scores %s %f, want %f", d.path, name, score, want)
			}
		}
	}
	if len(docs) > 0 {
		t.Errorf("sbomqs scored none of %v", slices.Sorted(maps.Keys(docs)))
	}
}

// lost is how many elements the exceptions take away from a profile's score:
// an element of packages in proportion to how many are short of it, and at
// least a hundredth, so that nothing short is rounded to full marks.
func lost(d *document, profile string, exceptions []exception) float64 {
	sum := 0.0
	short := map[string]map[string]bool{} // by element and package
	for _, e := range exceptions {
		if e.guideline != profile {
			continue
		}
		if e.of == "document" {
			sum++
		}
		for _, p := range d.Packages {
			if !e.covers(p) {
				continue
			}
			if short[e.field] == nil {
				short[e.field] = map[string]bool{}
			}
			short[e.field][p.SPDXID] = true
		}
	}
	for _, packages := range short {
		sum += max(float64(len(packages))/float64(len(d.Packages)), 0.01)
	}
	return sum
}
