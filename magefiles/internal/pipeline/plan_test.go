package pipeline

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/recipes"
)

// here is the configuration of a linux/amd64 machine in this checkout.
func here(t *testing.T) *config.Config {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &config.Config{
		Root: root, Cache: filepath.Join(dir, "cache"), Dist: filepath.Join(dir, "dist"),
		Host: artifact.Platform{OS: "linux", Arch: "amd64"}, CPUs: 2, Memory: 8 << 30, Go: "/nonexistent/go",
	}
}

func cells(p *Plan) string {
	var all []string
	for _, c := range p.Cells {
		all = append(all, c.String())
	}
	return strings.Join(all, ", ")
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sel     Selection
		want    string
		leftOut int
	}{
		{"nothing said", Selection{}, "alertmanager linux/amd64 hardened, blackbox_exporter linux/amd64 hardened, node_exporter linux/amd64 hardened, " +
			"prometheus linux/amd64 hardened, pushgateway linux/amd64 hardened, snmp_exporter linux/amd64 hardened", 0},
		{"one component", Selection{Component: "prometheus"}, "prometheus linux/amd64 hardened", 0},
		{"as asked for, once", Selection{Component: "snmp_exporter,pushgateway,snmp_exporter"}, "snmp_exporter linux/amd64 hardened, pushgateway linux/amd64 hardened", 0},
		{"variants", Selection{Component: "pushgateway", Variant: "vanilla,hardened"}, "pushgateway linux/amd64 vanilla, pushgateway linux/amd64 hardened", 0},
		{"platforms", Selection{Component: "pushgateway", Platform: "linux/arm/v7,windows/amd64"}, "pushgateway linux/arm/v7 hardened, pushgateway windows/amd64 hardened", 0},
		{"a platform that one has not", Selection{Component: "node_exporter,pushgateway", Platform: "all", Variant: "vanilla"}, "", 4},
		{"a platform for all that build for it", Selection{Platform: "windows/amd64"}, "alertmanager windows/amd64 hardened, blackbox_exporter windows/amd64 hardened, " +
			"prometheus windows/amd64 hardened, pushgateway windows/amd64 hardened, snmp_exporter windows/amd64 hardened", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewPlan(here(t), tt.sel)
			if err != nil {
				t.Fatal(err)
			}
			if got := cells(p); tt.want != "" && got != tt.want || len(p.LeftOut) != tt.leftOut {
				t.Errorf("got %s, left out %q", got, p.LeftOut)
			}
			for _, why := range p.LeftOut {
				if !strings.Contains(why, "node_exporter is not built for ") || !strings.Contains(why, "only for linux/amd64, linux/arm64") {
					t.Errorf("left out because %q", why)
				}
			}
		})
	}
	p, err := NewPlan(here(t), Selection{Component: "pushgateway", Platform: "all"})
	if err != nil || len(p.Cells) != len(p.Distribution.Platforms) {
		t.Errorf("everywhere: %v, %v", p, err)
	}
}

// A wrong name is refused with the right ones, before anything starts.
func TestPlanRefuses(t *testing.T) {
	for _, tt := range []struct {
		sel  Selection
		want []string
	}{
		{Selection{Component: "promethus"}, []string{`no component "promethus"`, "alertmanager, blackbox_exporter, node_exporter, prometheus, pushgateway, snmp_exporter"}},
		{Selection{Component: "prometheus,"}, []string{`no component ""`}},
		{Selection{Component: "prometheus, pushgateway"}, []string{`no component " pushgateway"`}},
		{Selection{Component: "testdata"}, []string{`no component "testdata"`}},
		{Selection{Component: "../recipes/prometheus"}, []string{`no component "../recipes/prometheus"`}},
		{Selection{Component: "all"}, []string{`no component "all"`}},
		{Selection{Platform: "linux-amd64"}, []string{`no platform "linux-amd64"`, "linux/amd64, linux/arm64, linux/arm/v7"}},
		{Selection{Platform: "all,linux/amd64"}, []string{`no platform "all"`}},
		{Selection{Variant: "fips"}, []string{`no variant "fips"`, "hardened, vanilla"}},
		{Selection{Variant: "all"}, []string{`no variant "all"`}},
		{Selection{Component: "node_exporter", Platform: "windows/amd64"}, []string{"node_exporter is not built for windows/amd64, only for linux/amd64"}},
		{Selection{Component: "pushgateway,node_exporter", Platform: "windows/amd64"}, []string{"node_exporter is not built for windows/amd64"}},
	} {
		p, err := NewPlan(here(t), tt.sel)
		if !errors.Is(err, config.ErrUsage) || p != nil {
			t.Errorf("%+v: got %v, %v", tt.sel, p, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got %v, want %s", tt.sel, err, want)
			}
		}
	}
	cfg := here(t)
	cfg.Host = artifact.Platform{OS: "plan9", Arch: "386"}
	if _, err := NewPlan(cfg, Selection{}); !errors.Is(err, config.ErrUsage) && err == nil {
		t.Errorf("on a machine that nothing is built for: %v", err)
	}
	cfg.Host = artifact.Platform{OS: "windows", Arch: "amd64"}
	if _, err := NewPlan(cfg, Selection{Component: "node_exporter"}); !errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), "nothing to build: node_exporter is not built for windows/amd64") {
		t.Errorf("got %v", err)
	}
}

func TestPlanOnly(t *testing.T) {
	p, err := NewPlan(here(t), Selection{Platform: "all"})
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := artifact.DigestFile("../../../recipes/distribution.yaml")
	if err != nil || p.Settings() != want {
		t.Errorf("settings %s, %v, want %s", p.Settings(), err, want)
	}
	p.Only(func(c Cell) bool {
		return c.Recipe.Name == "pushgateway" && c.Platform.OS == "linux" && c.Platform.Arch == "amd64"
	})
	if got := cells(p); got != "pushgateway linux/amd64 hardened" || len(p.LeftOut) > 0 {
		t.Errorf("it holds %s, and %q is left out", got, p.LeftOut)
	}
}

func TestSlots(t *testing.T) {
	for _, tt := range []struct {
		cpus   int
		memory int64
		want   int64
	}{
		{1, 0, 1}, {2, 24 << 30, 1}, {8, 24 << 30, 2}, {16, 24 << 30, 4}, {64, 24 << 30, 6}, {64, 0, 16}, {64, 1 << 30, 1},
	} {
		if got := Slots(&config.Config{CPUs: tt.cpus, Memory: tt.memory}); got != tt.want {
			t.Errorf("%d processors, %d GiB: got %d, want %d", tt.cpus, tt.memory>>30, got, tt.want)
		}
	}
}

func TestStopwatch(t *testing.T) {
	var shown []string
	s := &stopwatch{show: func(stage string) { shown = append(shown, stage) }}
	if got := s.stop(); len(got) != 0 {
		t.Errorf("before it began: %v", got)
	}
	s.begin("fetching")
	s.begin("waiting")
	s.begin("compiling")
	s.cached(true)
	s.begin("archiving")
	var got []string
	for _, st := range s.stop() {
		got = append(got, st.Name)
		if st.Seconds < 0 || st.Cached != (st.Name == "compiling") {
			t.Errorf("recorded %+v", st)
		}
	}
	if want := []string{"fetching", "compiling", "archiving"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
	if want := []string{"fetching", "waiting", "compiling", "archiving"}; !slices.Equal(shown, want) {
		t.Errorf("showed %q, want %q", shown, want)
	}
}

// A module that several recipes have patched is tested once.
func TestPatchedModules(t *testing.T) {
	lock := func(version string) recipes.Lock {
		return recipes.Lock{Requires: []module.Version{{Path: "example.org/rope/v2", Version: version}, {Path: "example.org/bell", Version: "v1.0.0"}}}
	}
	plan := &Plan{Cells: []Cell{
		{Recipe: &recipes.Recipe{Name: "a", Patches: []string{"example.org/rope/v2"}, Lock: lock("v2.0.0")}},
		{Recipe: &recipes.Recipe{Name: "b", Patches: []string{"example.org/bell", "example.org/rope/v2"}, Lock: lock("v2.0.0")}},
		{Recipe: &recipes.Recipe{Name: "c", Patches: []string{"example.org/rope/v2"}, Lock: lock("v2.1.0")}},
		{Recipe: &recipes.Recipe{Name: "d", Lock: lock("v2.2.0")}},
	}}
	for _, tt := range []struct{ asked, want string }{
		{"", "example.org/rope/v2@v2.0.0 example.org/bell@v1.0.0 example.org/rope/v2@v2.1.0"},
		{"rope", "example.org/rope/v2@v2.0.0 example.org/rope/v2@v2.1.0"},
		{"bell,example.org/bell", "example.org/bell@v1.0.0"},
		{"bell,drum", `wrong usage: there are no patches of "drum"; there are of: bell, rope`},
	} {
		all, err := plan.PatchedModules(tt.asked)
		var names []string
		for _, m := range all {
			names = append(names, m.String())
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.asked, got, tt.want)
		}
	}
	plan.Cells = plan.Cells[3:]
	if _, err := plan.PatchedModules(""); !errors.Is(err, config.ErrUsage) {
		t.Errorf("without patches: %v", err)
	}
}
