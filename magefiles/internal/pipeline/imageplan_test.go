package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
)

// holding has the directory of results hold an artifact of these: "pushgateway
// linux/arm64 hardened".
func holding(t *testing.T, cfg *config.Config, cells ...string) {
	t.Helper()
	m := artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade"}
	for _, c := range cells {
		f := strings.Fields(c)
		r := described1(t)
		platform, err := artifact.ParsePlatform(f[1])
		if err != nil {
			t.Fatal(err)
		}
		r.Component, r.Platform, r.Variant = f[0], platform, f[2]
		r.Name = strings.ReplaceAll(strings.Join(f, "-"), "/", "-") + ".tar.gz"
		m.Artifacts = append(m.Artifacts, r)
	}
	m.Sort()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(cfg.Dist, 0o755), os.WriteFile(filepath.Join(cfg.Dist, "release.json"), data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Images are for this machine's platform and what is there already, or for what
// is named; for linux alone.
func TestImagePlan(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sel    Selection
		holds  []string
		host   string
		want   string
		leaves int
	}{
		{"nothing is there", Selection{Component: "pushgateway"}, nil, "linux/amd64", "pushgateway linux/amd64 hardened", 0},
		{
			"what is there", Selection{Component: "pushgateway", Variant: "hardened,vanilla"},
			[]string{"pushgateway linux/arm64 hardened", "pushgateway windows/amd64 hardened", "node_exporter linux/386 hardened"}, "linux/amd64",
			"pushgateway linux/amd64 hardened, pushgateway linux/amd64 vanilla, pushgateway linux/arm64 hardened", 0,
		},
		{"on another system", Selection{Component: "pushgateway"}, []string{"pushgateway linux/arm64 hardened"}, "darwin/arm64", "pushgateway linux/arm64 hardened", 0},
		{"named", Selection{Component: "pushgateway", Platform: "linux/arm/v7"}, []string{"pushgateway linux/arm64 hardened"}, "linux/amd64", "pushgateway linux/arm/v7 hardened", 0},
		{"a platform of all that build for it", Selection{Platform: "linux/amd64"}, nil, "linux/arm64", "alertmanager linux/amd64 hardened, blackbox_exporter linux/amd64 hardened, " +
			"node_exporter linux/amd64 hardened, prometheus linux/amd64 hardened, pushgateway linux/amd64 hardened, snmp_exporter linux/amd64 hardened", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := here(t)
			var err error
			if cfg.Host, err = artifact.ParsePlatform(tt.host); err != nil {
				t.Fatal(err)
			}
			if tt.holds != nil {
				holding(t, cfg, tt.holds...)
			}
			p, err := NewImagePlan(cfg, tt.sel)
			if err != nil {
				t.Fatal(err)
			}
			if got := cells(p); got != tt.want || len(p.LeftOut) != tt.leaves {
				t.Errorf("got %s, left out %q, want %s", got, p.LeftOut, tt.want)
			}
		})
	}
	p, err := NewImagePlan(here(t), Selection{Component: "pushgateway", Platform: "all"})
	if err != nil || len(p.Cells) < 3 || slices.ContainsFunc(p.Cells, func(c Cell) bool { return c.Platform.OS != "linux" }) {
		t.Errorf("all platforms: %s, %v", cells(p), err)
	}
}

func TestImagePlanRefuses(t *testing.T) {
	cfg := here(t)
	text, err := os.ReadFile(filepath.Join(cfg.Root, "recipes", "pushgateway", "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?ms)^image:\n(  .*?\n)+`).FindString(string(text))
	without := edited(t, cfg, "recipes/pushgateway/recipe.yaml", section, "")
	for _, tt := range []struct {
		name string
		cfg  *config.Config
		sel  Selection
		want string
	}{
		{"a component", here(t), Selection{Component: "promethus"}, `there is no component "promethus"`},
		{"a platform", here(t), Selection{Platform: "linux"}, `there is no platform "linux"`},
		{"a component without an image", without, Selection{Component: "pushgateway"}, "pushgateway has no image"},
		{"a platform that it is not built for", here(t), Selection{Component: "node_exporter", Platform: "linux/wasm"}, `there is no platform`},
		{"another system", here(t), Selection{Platform: "linux/amd64,windows/amd64"}, "images are made for linux, not for windows/amd64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if p, err := NewImagePlan(tt.cfg, tt.sel); !errors.Is(err, config.ErrUsage) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %s", p, err, tt.want)
			}
		})
	}
	if p, err := NewImagePlan(without, Selection{}); err != nil || len(p.LeftOut) != 1 || strings.Contains(cells(p), "pushgateway") {
		t.Errorf("one of all has no image: %v", err)
	}
}

// An image is of one component and variant, whatever the order of the plan.
func TestEditions(t *testing.T) {
	cfg := here(t)
	p, err := NewPlan(cfg, Selection{Component: "pushgateway,alertmanager", Platform: "linux/amd64,windows/amd64,linux/arm64", Variant: "hardened,vanilla"})
	if err != nil {
		t.Fatal(err)
	}
	var records []artifact.Record
	for _, c := range p.Cells {
		records = append(records, artifact.Record{Name: c.String(), Component: c.Recipe.Name, Platform: c.Platform, Variant: c.Variant})
	}
	slices.Reverse(records)
	all, err := p.editions(records)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.String())
		for i, c := range e.cells {
			if e.records[i].Name != c.String() {
				t.Errorf("%s has the artifact %s", c, e.records[i].Name)
			}
		}
	}
	want := []string{
		"pushgateway image hardened linux/amd64,linux/arm64", "pushgateway image vanilla linux/amd64,linux/arm64",
		"alertmanager image hardened linux/amd64,linux/arm64", "alertmanager image vanilla linux/amd64,linux/arm64",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := p.editions(records[:3]); err == nil || !strings.Contains(err.Error(), "build it first") {
		t.Errorf("without an artifact: %v", err)
	}
}

func TestLargestFirst(t *testing.T) {
	of := func(sizes ...int64) (e edition) {
		for _, n := range sizes {
			e.records = append(e.records, artifact.Record{Size: n})
		}
		return e
	}
	if got := largestFirst([]edition{of(2), of(1, 1), of(3, 4), of(5)}); !slices.Equal(got, []int{2, 3, 0, 1}) {
		t.Errorf("got %v", got)
	}
}

// An image is made anew for every change of what it is made of.
func TestImageKey(t *testing.T) {
	p := open(t)
	cell := p.plan.Cells[0]
	e := func(change func(*artifact.Record)) edition {
		r := described1(t)
		r.Documents = []artifact.File{{Name: "d", Digest: artifact.DigestBytes([]byte("d"))}}
		change(&r)
		return edition{cells: []Cell{cell}, records: []artifact.Record{r}}
	}
	other := artifact.DigestBytes([]byte("other"))
	before := p.imageKey(e(func(*artifact.Record) {}))
	for name, change := range map[string]func(*artifact.Record){
		"archive":  func(r *artifact.Record) { r.Digest = other },
		"platform": func(r *artifact.Record) { r.Platform.Arch = "arm64" },
		"document": func(r *artifact.Record) { r.Documents[0].Digest = other },
	} {
		if p.imageKey(e(change)) == before {
			t.Errorf("another %s changes nothing", name)
		}
	}
	if p.imageKey(e(func(r *artifact.Record) { r.Timing = nil })) != before {
		t.Error("how long the build took is an input")
	}
	p.plan.settings = other // as where the authorities are pinned anew
	if p.imageKey(e(func(*artifact.Record) {})) == before {
		t.Error("other settings change nothing")
	}
}
