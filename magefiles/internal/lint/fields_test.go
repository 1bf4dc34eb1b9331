package lint

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

var (
	update   = flag.Bool("update", false, "write fields.txt anew")
	upstream = flag.String("upstream", "", "a module cache that holds the recipes' modules: fields.txt is compared with what it says")
)

// roots is where each kind of file begins, and whose recipe says at which
// versions.
var roots = []struct{ kind, recipe, importPath, name string }{
	{"prometheus", "prometheus", "github.com/prometheus/prometheus/config", "Config"},
	{"scrape", "prometheus", "github.com/prometheus/prometheus/config", "ScrapeConfigs"},
	{"rules", "prometheus", "github.com/prometheus/prometheus/model/rulefmt", "RuleGroups"},
	{"alertmanager", "alertmanager", "github.com/prometheus/alertmanager/config", "Config"},
	{"web", "prometheus", "github.com/prometheus/exporter-toolkit/web", "Config"},
	{"blackbox", "blackbox_exporter", "github.com/prometheus/blackbox_exporter/config", "Config"},
	{"snmp", "snmp_exporter", "github.com/prometheus/snmp_exporter/config", "Config"},
}

// required is the versions that a recipe locks.
func required(t *testing.T, recipe string) map[string]string {
	t.Helper()
	name := filepath.Join("..", "..", "..", "recipes", recipe, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(name, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	return versions
}

// good is upstream's own tests of what it accepts, by module.
var good = map[string][]string{
	"github.com/prometheus/prometheus":        {"config/testdata/conf.good.yml", "config/testdata/roundtrip.good.yml", "documentation/examples/prometheus-kubernetes.yml"},
	"github.com/prometheus/alertmanager":      {"config/testdata/conf.good.yml", "config/testdata/conf.opsgenie-both-file-and-apikey.yml", "doc/examples/simple.yml"},
	"github.com/prometheus/blackbox_exporter": {"config/testdata/blackbox-good.yml", "example.yml"},
	"github.com/prometheus/snmp_exporter":     {"snmp.yml"},
	"github.com/prometheus/exporter-toolkit":  {"docs/web-config.yml"},
}

// What upstream accepts has no unknown key and no wrong shape.
func TestUpstreamsOwn(t *testing.T) {
	if *upstream == "" {
		t.Skip("no -upstream=MODULE_CACHE: upstream's own configurations are not linted")
	}
	for _, r := range roots {
		r := newReader(*upstream, r.recipe, required(t, r.recipe))
		for mod, names := range good {
			dir, err := r.dir(mod)
			if err != nil {
				continue // another recipe's
			}
			for _, name := range names {
				report, err := Files([]string{filepath.Join(dir, name)}, "")
				if err != nil {
					t.Error(err)
				}
				for _, f := range report.Findings {
					if f.ID == "unknown-key" || f.ID == "wrong-shape" {
						t.Error(f)
					}
				}
			}
		}
	}
}

// The table is of the versions that are built: a raised recipe needs it anew.
func TestFieldsAreOfTheRecipes(t *testing.T) {
	data, err := os.ReadFile("fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(line, "# read: ")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) != 3 {
			t.Fatalf("fields.txt: %q", line)
		}
		seen++
		if got := required(t, f[0])[f[1]]; got != f[2] {
			t.Errorf("fields.txt is of %s %s, recipe %s requires %q: run go test ./magefiles/internal/lint -update -upstream=MODULE_CACHE", f[1], f[2], f[0], got)
		}
	}
	if seen == 0 {
		t.Error("fields.txt does not say what it was read from")
	}
}

func TestFields(t *testing.T) {
	if *upstream == "" {
		t.Skip("no -upstream=MODULE_CACHE: fields.txt is not compared with upstream's sources")
	}
	var out, read bytes.Buffer
	readers := map[string]*reader{}
	for _, r := range roots {
		if readers[r.recipe] == nil {
			readers[r.recipe] = newReader(*upstream, r.recipe, required(t, r.recipe))
		}
		name, err := readers[r.recipe].named(r.importPath, r.name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "root %s %s\n", r.kind, name)
	}
	for _, recipe := range []string{"prometheus", "alertmanager", "blackbox_exporter", "snmp_exporter"} {
		readers[recipe].write(&out, &read)
	}
	const head = "# Every key of every configuration, as upstream's own types declare them.\n" +
		"# Written by: go test ./magefiles/internal/lint -update -upstream=MODULE_CACHE\n"
	text := append([]byte(head), append(read.Bytes(), out.Bytes()...)...)
	if *update {
		if err := os.WriteFile("fields.txt", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	committed, err := os.ReadFile("fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, text) {
		t.Error("fields.txt is not what upstream's sources say: run this with -update and read the difference")
	}
}
