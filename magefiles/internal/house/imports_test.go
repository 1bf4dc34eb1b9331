package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "palisade/"
	internals = module + "magefiles/internal/"

	// sigstoretest is for tests alone.
	sigstoretest = module + "attestations/signing/sigstoretest"
)

// root is the checkout.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "recipes", "distribution.yaml")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A rule says what packages may import of this module. Each pattern, as
// path.Match reads it, is of import paths without the module's own.
type rule struct {
	packages string
	imports  []string
	never    []string // import paths that must not be reached at all, of ours or others
	std      bool     // nothing beyond the standard library is reached
}

// rules run from the leaf upwards. The first that fits a package is its own.
var rules = []rule{
	{packages: "attestations/artifact", std: true, never: []string{"os/exec"}},
	{packages: "attestations/intoto", std: true, never: []string{"os/exec"}},
	// Whoever signs may have a program keep his key. Whoever verifies has neither.
	{packages: "attestations/signing/*", imports: []string{"attestations/*"}},
	// What reads from registries asks helpers for credentials, which are programs.
	{packages: "attestations/verify/*", imports: []string{"attestations/*"}, never: []string{"plugin", module + "attestations/signing"}},
	{packages: "attestations/verify", imports: []string{"attestations/*"}, never: []string{"os/exec", "plugin", module + "attestations/signing"}},
	// What a step left is said and read here, and shared and signed elsewhere.
	{packages: "attestations/step", imports: []string{"attestations/artifact", "attestations/intoto", "attestations/provenance"}, never: []string{"os/exec", "plugin", module + "attestations/signing"}},
	// That something was rebuilt is said and read here, and done and signed elsewhere.
	{packages: "attestations/rebuild", imports: []string{"attestations/artifact", "attestations/bundle", "attestations/intoto", "attestations/provenance"}, never: []string{"os/exec", "plugin", module + "attestations/signing"}},
	// Which releases there are is said and read here, and signed and published elsewhere.
	{packages: "attestations/releases", imports: []string{"attestations/artifact", "attestations/intoto"}, never: []string{"os/exec", "plugin", module + "attestations/signing"}},
	{packages: "attestations/*", imports: []string{"attestations/*"}, never: []string{"os/exec", "plugin"}},
	{packages: "patches", imports: []string{"attestations/artifact"}, never: []string{"os/exec"}},
	{packages: "recipes", imports: []string{"attestations/artifact"}, never: []string{"os/exec"}},

	{packages: "magefiles/internal/house"},
	{packages: "magefiles/internal/stories"},
	{packages: "magefiles/internal/e2e"},
	{packages: "magefiles/internal/miniature"},
	{packages: "magefiles/internal/proxytest", imports: []string{"recipes"}},

	// The top of the house: what the targets call, and the order of the stages.
	{packages: "magefiles", imports: []string{"magefiles/internal/command"}},
	{packages: "magefiles/internal/command", imports: append(below, "magefiles/internal/attest", "magefiles/internal/audit", "magefiles/internal/diffoscope", "magefiles/internal/pipeline", "magefiles/internal/config", "magefiles/internal/console", "magefiles/internal/consume", "magefiles/internal/handover", "magefiles/internal/keys", "magefiles/internal/notes", "magefiles/internal/publish", "magefiles/internal/release", "magefiles/internal/reproduce", "magefiles/internal/resultcache", "magefiles/internal/sign", "magefiles/internal/update", "magefiles/internal/upstream", "magefiles/internal/vuln", "attestations/*", "attestations/verify/*")},
	{packages: "magefiles/internal/pipeline", imports: append(below, "magefiles/internal/buildkit", "magefiles/internal/config", "magefiles/internal/console", "attestations/*")},

	// What builds takes values: neither the configuration nor the console, nor
	// what is said of a result later.
	{packages: "magefiles/internal/config", imports: []string{"attestations/artifact"}},
	{packages: "magefiles/internal/console"},
	// Signing reads what is finished, and runs nothing. Where keys come from is
	// another matter.
	{packages: "magefiles/internal/keys", imports: []string{"magefiles/internal/config", "magefiles/internal/sign", "attestations/*", "attestations/signing/*"}},
	{packages: "magefiles/internal/sign", imports: []string{"magefiles/internal/dist", "magefiles/internal/store", "attestations/*"}, never: []string{"os/exec", "plugin"}},
	// What was published is fetched by strangers, in the form that it is written in.
	{packages: "magefiles/internal/consume", imports: []string{"attestations/*", "attestations/verify/*"}, never: []string{"plugin", module + "attestations/signing"}},
	// Attesting reads what was built and what it was built from. It has no key.
	{packages: "magefiles/internal/attest", imports: append(below, "attestations/*"), never: []string{"plugin", module + "attestations/signing"}},
	// Publishing needs no key, and builds nothing.
	{packages: "magefiles/internal/publish", imports: []string{"magefiles/internal/consume", "magefiles/internal/dist", "magefiles/internal/store", "attestations/*", "attestations/verify/*"}, never: []string{"plugin", module + "attestations/signing"}},
	// What is shared between machines is signed by whoever is handed over, and
	// nothing of it is run.
	{packages: "magefiles/internal/resultcache", imports: []string{"magefiles/internal/store", "attestations/*", "attestations/verify/*"}, never: []string{"plugin", internals + "config", internals + "sandbox"}},
	// Images are written in the form that they are read in.
	{packages: "magefiles/internal/image", imports: append(below, "attestations/ocilayout", "attestations/unpack")},
	{packages: "magefiles/internal/repro", imports: append(below, "attestations/intoto", "attestations/provenance")},
	// Rebuilding reads what was verified, and signs nothing: whose word counts is
	// known above.
	{packages: "magefiles/internal/reproduce", imports: append(below, "magefiles/internal/diffoscope", "attestations/bundle", "attestations/intoto", "attestations/ocilayout", "attestations/provenance", "attestations/rebuild"), never: []string{"plugin", module + "attestations/policy", module + "attestations/signing"}},
	// What is newer is asked for by the go command alone.
	{packages: "magefiles/internal/update", imports: append(below, "attestations/page"), never: []string{"net/http", "plugin"}},
	// What others released is read, and nothing of it is run.
	{packages: "magefiles/internal/goprogram", std: true, never: []string{"os/exec"}},
	{packages: "magefiles/internal/upstream", imports: []string{"attestations/artifact", "recipes", "magefiles/internal/goprogram"}, never: []string{"os/exec", "plugin"}},
	// Where a command runs is nobody's matter but the pipeline's.
	{packages: "magefiles/internal/buildkit", imports: []string{"attestations/artifact", "magefiles/internal/sandbox"}},
	// What one machine gives the next is read by every step, of which most know
	// nothing else of a release.
	{packages: "magefiles/internal/handover", imports: []string{"attestations/artifact", "attestations/unpack", "magefiles/internal/store"}, never: []string{"os/exec", "plugin"}},
	{packages: "magefiles/internal/release", imports: []string{"attestations/artifact", "magefiles/internal/checkout", "magefiles/internal/handover"}},
	// Release notes are made of values alone.
	{packages: "magefiles/internal/notes", imports: []string{"attestations/artifact", "attestations/page", "attestations/spdx", "attestations/vex"}, never: []string{"os/exec", "plugin"}},
	// What Elm's compiler reads and wrote is read, and the compiler is run by others.
	{packages: "magefiles/internal/elm", std: true, never: []string{"os/exec"}},
	// What a pipeline's files say is for tests to read.
	{packages: "magefiles/internal/workflows"},
	{packages: "magefiles/internal/audit", imports: []string{"attestations/artifact", "magefiles/internal/child"}},
	// What is found is said here, and signed elsewhere.
	{packages: "magefiles/internal/vuln", imports: append(below, "attestations/intoto", "attestations/unpack", "attestations/vex"), never: []string{"plugin", module + "attestations/signing"}},
	{packages: "magefiles/internal/*", imports: below},
}

// below is what the packages that build may import of each other. That it runs
// one way is the compiler's to refuse.
var below = slices.Clip([]string{
	"attestations/artifact", "patches", "recipes",
	"magefiles/internal/archive", "magefiles/internal/checkout", "magefiles/internal/child", "magefiles/internal/dist", "magefiles/internal/elm", "magefiles/internal/embedded", "magefiles/internal/gitsource", "magefiles/internal/gobuild", "magefiles/internal/goprogram", "magefiles/internal/image",
	"magefiles/internal/licences", "magefiles/internal/lint", "magefiles/internal/modules", "magefiles/internal/npm", "magefiles/internal/patchtest", "magefiles/internal/repro", "magefiles/internal/sandbox",
	"magefiles/internal/source", "magefiles/internal/store", "magefiles/internal/surroundings",
	"magefiles/internal/toolchain", "magefiles/internal/webui",
})

func matches(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, importPath)
		return ok && err == nil
	})
}

// listed is what "go list" says of a package.
type listed struct {
	ImportPath                string
	Standard                  bool
	Imports                   []string
	Deps                      []string
	TestImports, XTestImports []string
}

// list is every package of this module and what it reaches, for one system.
func list(t *testing.T, goos string) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-tags=mage,e2e", "-json=ImportPath,Standard,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Dir, cmd.Env = root(t), append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// TestImports holds the table of the design: artifact <- patches, recipes <-
// magefiles/internal/* <- pipeline <- magefiles; attestations import only each
// other.
func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		all := list(t, goos)
		for _, seen := range []string{"attestations/artifact", "patches", "recipes", "magefiles", "magefiles/internal/pipeline"} {
			if _, ok := all[module+seen]; !ok {
				t.Errorf("%s: go list does not know %s: this test looks at nothing", goos, seen)
			}
		}
		for importPath, p := range all {
			name, ours := strings.CutPrefix(importPath, module)
			if !ours {
				continue
			}
			i := slices.IndexFunc(rules, func(r rule) bool { return matches([]string{r.packages}, name) })
			if i < 0 {
				t.Errorf("no rule speaks of %s: decide what it may import", importPath)
				continue
			}
			for _, broken := range rules[i].broken(p, all) {
				t.Errorf("%s: %s", goos, broken)
			}
		}
	}
}

func (r rule) broken(p listed, all map[string]listed) (why []string) {
	for _, imported := range p.Imports {
		if name, ours := strings.CutPrefix(imported, module); ours && !matches(r.imports, name) {
			why = append(why, p.ImportPath+" imports "+imported)
		}
		if imported == module+"attestations/imagetest" || imported == sigstoretest || imported == internals+"miniature" {
			why = append(why, p.ImportPath+" imports "+imported+" outside its tests")
		}
		if imported == "testing" && p.ImportPath != internals+"proxytest" && p.ImportPath != sigstoretest {
			why = append(why, p.ImportPath+" imports testing outside its tests")
		}
	}
	for _, reached := range p.Deps {
		if slices.Contains(r.never, reached) {
			why = append(why, p.ImportPath+" reaches "+reached)
		}
		if d, ok := all[reached]; r.std && !(ok && d.Standard) {
			why = append(why, p.ImportPath+" reaches "+reached+", which is not of the standard library")
		}
	}
	if strings.HasPrefix(p.ImportPath, module+"attestations/") {
		for _, imported := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imported, module+"magefiles") {
				why = append(why, p.ImportPath+" reaches "+imported)
			}
		}
	}
	return why
}

// ruleOf is the rule of a package.
func ruleOf(t *testing.T, name string) rule {
	t.Helper()
	i := slices.IndexFunc(rules, func(r rule) bool { return matches([]string{r.packages}, name) })
	if i < 0 {
		t.Fatalf("no rule speaks of %s", name)
	}
	return rules[i]
}

// The test sees what it is there to see.
func TestImportsRefuses(t *testing.T) {
	all := map[string]listed{"fmt": {Standard: true}, "example.org/x": {}}
	for _, tt := range []struct {
		rule rule
		p    listed
		want string
	}{
		{rules[0], listed{ImportPath: module + "attestations/artifact", Deps: []string{"fmt", "example.org/x"}}, "reaches example.org/x"},
		{ruleOf(t, "attestations/verify"), listed{ImportPath: module + "attestations/verify", Deps: []string{"fmt", "os/exec"}}, "reaches os/exec"},
		{ruleOf(t, "attestations/verify"), listed{ImportPath: module + "attestations/verify", Imports: []string{module + "patches"}}, "imports palisade/patches"},
		{ruleOf(t, "attestations/verify"), listed{ImportPath: module + "attestations/verify", XTestImports: []string{internals + "source"}}, "reaches palisade/magefiles/internal/source"},
		{ruleOf(t, "attestations/bundle"), listed{ImportPath: module + "attestations/bundle", Deps: []string{"os/exec"}}, "reaches os/exec"},
		{ruleOf(t, "attestations/verify"), listed{ImportPath: module + "attestations/verify", Deps: []string{module + "attestations/signing"}}, "reaches palisade/attestations/signing"},
		{ruleOf(t, "attestations/rebuild"), listed{ImportPath: module + "attestations/rebuild", Imports: []string{module + "attestations/policy"}}, "imports palisade/attestations/policy"},
		{ruleOf(t, "attestations/imagediff"), listed{ImportPath: module + "attestations/imagediff", Imports: []string{module + "attestations/imagetest"}}, "outside its tests"},
		{ruleOf(t, "magefiles/internal/keys"), listed{ImportPath: internals + "keys", Imports: []string{sigstoretest}}, "outside its tests"},
		{ruleOf(t, "magefiles/internal/reproduce"), listed{ImportPath: internals + "reproduce", Imports: []string{module + "attestations/policy"}}, "imports palisade/attestations/policy"},
		{ruleOf(t, "magefiles/internal/sign"), listed{ImportPath: internals + "sign", Deps: []string{"os/exec"}}, "reaches os/exec"},
		{rules[len(rules)-1], listed{ImportPath: internals + "source", Imports: []string{internals + "config"}}, "imports palisade/magefiles/internal/config"},
		{rules[len(rules)-1], listed{ImportPath: internals + "source", Imports: []string{module + "attestations/signing"}}, "imports palisade/attestations/signing"},
		{rules[len(rules)-1], listed{ImportPath: internals + "source", Imports: []string{module + "magefiles"}}, "imports palisade/magefiles"},
		{rules[len(rules)-1], listed{ImportPath: internals + "source", Imports: []string{"testing"}}, "imports testing"},
	} {
		if why := tt.rule.broken(tt.p, all); len(why) != 1 || !strings.Contains(why[0], tt.want) {
			t.Errorf("%+v: %q, want %q", tt.p, why, tt.want)
		}
	}
}
