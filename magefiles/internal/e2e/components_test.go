//go:build e2e && unix

package e2e

import (
	"debug/buildinfo"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// A component is how one is used: all flags that the tests start it with are
// here. Each runs in the folder of its archive and finds the configuration
// that lies there by itself.
type component struct {
	name     string
	args     []string    // beside the address to listen on
	pages    []exchange  // asked of the running daemon
	commands [][2]string // command line, and what it has to print
}

// An exchange is a request and a part of the answer.
type exchange struct{ method, path, body, want string }

var components = []component{
	{
		name: "prometheus",
		pages: []exchange{
			{path: "/api/v1/status/buildinfo", want: `"version":"{version}"`},
			{path: "/query", want: `<div id="root">`},
		},
		commands: [][2]string{
			{"promtool check config prometheus.yml", "SUCCESS"},
			{"promtool check web-config web-config.yml", "SUCCESS"},
			{"promtool check healthy --http.config.file={client} --url={url}", "SUCCESS"},
			{"promtool check ready --http.config.file={client} --url={url}", "SUCCESS"},
			{"promtool query instant --http.config.file={client} {url} 6*7", "42"},
		},
	},
	{
		name: "alertmanager",
		pages: []exchange{
			{path: "/api/v2/status", want: `"version":"{version}"`},
		},
		commands: [][2]string{
			{"amtool check-config alertmanager.yml", "SUCCESS"},
			{"amtool --http.config.file={client} --alertmanager.url={url} alert add alertname=Breach severity=page", ""},
			{"amtool --http.config.file={client} --alertmanager.url={url} alert", "Breach"},
		},
	},
	{
		name: "pushgateway",
		pages: []exchange{
			{method: "PUT", path: "/metrics/job/backup", body: "backup_files 42\n"},
			{path: "/metrics", want: `backup_files{instance="",job="backup"} 42`},
			{path: "/", want: "backup"},
		},
	},
	{
		name: "node_exporter",
		pages: []exchange{
			{path: "/metrics", want: "node_uname_info{"},
			{path: "/", want: "{version}"},
		},
	},
	{
		name: "blackbox_exporter",
		args: []string{"--probe.allow-network=127.0.0.1/32"}, // where the site is that it probes
		pages: []exchange{
			{path: "/probe?module=http_2xx&target={site}", want: "probe_success 1"},
			{path: "/", want: "Blackbox"},
		},
	},
	{
		name: "snmp_exporter",
		pages: []exchange{
			{path: "/config", want: "if_mib"},
			{path: "/", want: "SNMP"},
		},
	},
}

// Every recipe has a row in the table.
func TestComponentsAreAllHere(t *testing.T) {
	r := openRelease(t)
	names, err := recipes.Names(r.recipes)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, c := range components {
		rows = append(rows, c.name)
	}
	slices.Sort(rows)
	if slices.Sort(names); !slices.Equal(names, rows) {
		t.Errorf("the recipes are %v, the table has %v", names, rows)
	}
}

func TestComponents(t *testing.T) {
	r := openRelease(t)
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(site.Close)
	for _, c := range components {
		t.Run(c.name, func(t *testing.T) {
			recipe, rec := r.component(t, c.name)
			folder := r.unpack(t, rec)
			version := recipe.FullVersion(r.distribution, rec.Variant)
			for _, b := range recipe.Binaries {
				checkStamps(t, r, recipe, rec, folder, b.Name)
			}
			d := startComponent(t, folder, freeAddress(t), c.name)
			fill := strings.NewReplacer("{url}", d.url, "{site}", site.URL, "{version}", version, "{client}", d.keys.clientConfig(t))
			metrics, err := d.get(t, "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			if !hasBuildInfo(metrics, c.name, version) {
				t.Errorf("/metrics has no %s_build_info of version %s", c.name, version)
			}
			for _, p := range c.pages {
				page, err := d.do(t, p.method, fill.Replace(p.path), "", p.body)
				if err != nil || !strings.Contains(page, fill.Replace(p.want)) {
					t.Errorf("%s %s answered (%v), without %q:\n%.2000s", p.method, p.path, err, p.want, page)
				}
			}
			for _, line := range c.commands {
				out, err := run(t, folder, strings.Fields(fill.Replace(line[0]))...)
				if err != nil || !strings.Contains(out, line[1]) {
					t.Errorf("%s: %v, printed without %q:\n%s", line[0], err, line[1], out)
				}
			}
			d.stop(t)
		})
	}
}

// startComponent runs a component's daemon in the folder of its archive.
func startComponent(t *testing.T, folder, address, name string, more ...string) *daemon {
	t.Helper()
	i := slices.IndexFunc(components, func(c component) bool { return c.name == name })
	return start(t, folder, address, slices.Concat([]string{name, "--web.listen-address=" + address}, components[i].args, more)...)
}

func hasBuildInfo(metrics, name, version string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, name+"_build_info{") && strings.Contains(line, fmt.Sprintf("version=%q", version)) {
			return true
		}
	}
	return false
}

// checkStamps holds all that --version prints against the recipe, so that
// there is no room for anything of the machine that built.
func checkStamps(t *testing.T, r *release, recipe *recipes.Recipe, rec artifact.Record, folder, binary string) {
	t.Helper()
	out, err := run(t, folder, binary, "--version")
	want := fmt.Sprintf(`%s, version %s (branch: v%s, revision: %s)
  build user:       %s
  build date:       %s
  go version:       go%s
  platform:         %s/%s
  tags:             %s
`, binary, recipe.FullVersion(r.distribution, rec.Variant), recipe.Version, recipe.StampedRevision(), r.distribution.Name,
		recipe.Released.UTC().Format("20060102-15:04:05"), recipe.Lock.Go, r.host.OS, r.host.Arch, strings.Join(recipe.Tags, ","))
	if err != nil || out != want {
		t.Errorf("%s --version (%v) printed\n%swant\n%s", binary, err, out, want)
	}
}

// The hash of the patched source is inside the binary, as go version -m shows.
func TestPatchedModuleIsInTheBinary(t *testing.T) {
	r := openRelease(t)
	patched := 0
	for _, c := range components {
		t.Run(c.name, func(t *testing.T) {
			recipe, rec := r.component(t, c.name)
			for _, b := range recipe.Binaries {
				info, err := buildinfo.ReadFile(r.looseBinary(rec, b.Name))
				if err != nil {
					t.Fatal(err)
				}
				if info.Path != b.Package || info.Main.Path != recipe.Module || info.Main.Version != recipe.Lock.Upstream {
					t.Errorf("%s is package %s of %s %s, not package %s of %s %s", b.Name,
						info.Path, info.Main.Path, info.Main.Version, b.Package, recipe.Module, recipe.Lock.Upstream)
				}
				if !slices.Contains(recipe.Patches, recipe.Module) {
					continue
				}
				sealed, err := recipe.SealedVersion(r.distribution, module.Version{Path: recipe.Module, Version: recipe.Lock.Upstream}, rec.Variant)
				if err != nil {
					t.Fatal(err)
				}
				sum := recipe.Patched[module.Version{Path: recipe.Module, Version: sealed}]
				if p := info.Main.Replace; sum == "" || p == nil || p.Path != recipe.Module || p.Version != sealed || p.Sum != sum {
					t.Errorf("%s: %s is replaced by %+v, want version %s with the hash %q of patched.sum", b.Name, recipe.Module, p, sealed, sum)
				}
				patched++
			}
		})
	}
	if patched == 0 && !t.Failed() {
		t.Error("no component is patched")
	}
}

// A patch of ours shows in what the binary does.
func TestOldUIIsRefused(t *testing.T) {
	r := openRelease(t)
	_, rec := r.component(t, "prometheus")
	folder := r.unpack(t, rec)
	out, err := run(t, folder, "prometheus", "--enable-feature=old-ui", "--web.listen-address="+freeAddress(t))
	if err == nil || !strings.Contains(out, "remove old-ui from --enable-feature") {
		t.Errorf("prometheus --enable-feature=old-ui (%v) did not say what to do:\n%s", err, out)
	}
}
