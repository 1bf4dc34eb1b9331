package recipes

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/patches"
)

// shipped loads every recipe of the repository.
func shipped(t *testing.T) (*Distribution, []*Recipe) {
	t.Helper()
	fsys := os.DirFS(".")
	d, err := LoadDistribution(fsys)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Names(fsys)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"alertmanager", "blackbox_exporter", "node_exporter", "prometheus", "pushgateway", "snmp_exporter"}
	for _, name := range want {
		if !slices.Contains(names, name) {
			t.Errorf("there is no recipe %s", name)
		}
	}
	var all []*Recipe
	for _, name := range names {
		r, err := Load(fsys, d, name)
		if err != nil {
			t.Error(err)
			continue
		}
		all = append(all, r)
	}
	return d, all
}

func TestShipped(t *testing.T) {
	const toolkit = "github.com/prometheus/exporter-toolkit"
	_, all := shipped(t)
	for _, r := range all {
		if m, _ := r.Lock.Find(toolkit); m.Version != "v0.20.0" {
			t.Errorf("%s requires exporter-toolkit %q", r.Name, m.Version)
		}
		// Whatever is required is locked: its files, or its go.mod alone.
		for _, m := range r.Lock.Requires {
			if r.Lock.Sums[module.Version{Path: m.Path, Version: m.Version + "/go.mod"}] == "" {
				t.Errorf("%s: go.sum has no hash of the go.mod of %s", r.Name, m)
			}
		}
	}
	// Every folder is a recipe: one without recipe.yaml would be passed over.
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		known := e.Name() == "testdata" || slices.ContainsFunc(all, func(r *Recipe) bool { return r.Name == e.Name() })
		if e.IsDir() && !known {
			t.Errorf("folder %s holds no recipe that loads", e.Name())
		}
	}
}

// tools.go keeps the lock, so it has to name the commands that are built.
func TestShippedTools(t *testing.T) {
	_, all := shipped(t)
	for _, r := range all {
		text, err := fs.ReadFile(r.Dir, "tools.go")
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), r.Name+"/tools.go", text, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		var imported, built []string
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			imported = append(imported, path)
		}
		for _, b := range r.Binaries {
			built = append(built, b.Package)
		}
		slices.Sort(imported)
		slices.Sort(built)
		if !slices.Equal(imported, built) {
			t.Errorf("%s/tools.go imports %q, but the recipe builds %q", r.Name, imported, built)
		}
	}
}

// otherwise is every shipped recipe that describes its interface in more ways than
// one, as it is with the one that it does not take.
func otherwise(t *testing.T, d *Distribution) []*Recipe {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	names, err := Names(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	flip := strings.NewReplacer("\n  from: bundle\n", "\n  from: elm\n", "\n  from: elm\n", "\n  from: bundle\n")
	var all []*Recipe
	for _, name := range names {
		file := filepath.Join(dir, name, "recipe.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flipped := flip.Replace(string(text))
		if flipped == string(text) {
			continue
		}
		if err := os.WriteFile(file, []byte(flipped), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Load(os.DirFS(dir), d, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if len(all) != 1 || all[0].Name != "alertmanager" || all[0].UI.Elm != nil && len(all[0].UI.Elm.Packages) != 15 {
		t.Errorf("with two interfaces there are %+v", all)
	}
	return all
}

// patched.sum holds the sealed versions that recipe and patches imply, with
// their go.mod, and no other: neither one too few nor a leftover. So does the file
// of the interface that a recipe does not take.
func TestShippedPatched(t *testing.T) {
	d, all := shipped(t)
	all = append(all, otherwise(t, d)...)
	for _, r := range all {
		var want []string
		for _, v := range Variants() {
			for _, m := range r.Lock.Requires {
				changed := m.Path == r.Module && r.UI != nil
				if slices.Contains(r.Patches, m.Path) {
					s, err := patches.Load(os.DirFS("../patches"), ShortName(m.Path), m.Version)
					if err != nil {
						t.Fatal(err)
					}
					if len(s.Patches) == 0 {
						t.Errorf("%s names patches of %s, which has none", r.Name, m)
					}
					changed = changed || len(s.For(v, r.UI.Kind()).Patches) > 0
				}
				if !changed {
					continue
				}
				sealed, err := r.SealedVersion(d, m, v)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, m.Path+" "+sealed, m.Path+" "+sealed+"/go.mod")
			}
		}
		var got []string
		for m := range r.Patched {
			got = append(got, m.Path+" "+m.Version)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s/%s holds\n\t%s\nwant\n\t%s\nmage lock %s writes it", r.Name, r.PatchedName(), strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), r.Name)
		}
	}
}

// secret is what no file of ours may hold, not even as an example: a bcrypt
// hash, a key or certificate, or a password in the configuration itself.
var secret = regexp.MustCompile(`\$2[abxy]?\$|-----BEGIN|(?m)^[ #-]*(password|bearer_token|credentials|client_secret): *[^ #]`)

// Every component brings the rules by which it serves, the same ones but for
// its name, and a unit; nothing that ships is secret.
func TestShippedFiles(t *testing.T) {
	_, all := shipped(t)
	text := func(r *Recipe, name string) string {
		data, err := fs.ReadFile(r.Dir, name)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	model := text(all[0], "web-config.yml")
	for _, r := range all {
		var names []string
		for _, m := range r.Archive {
			if m.Own == "" {
				continue
			}
			names = append(names, m.As)
			if found := secret.FindString(text(r, m.Own)); found != "" {
				t.Errorf("%s/%s holds %q", r.Name, m.Own, found)
			}
		}
		for _, want := range []string{"web-config.yml", r.Name + ".service"} {
			if !slices.Contains(names, want) {
				t.Errorf("the archive of %s carries no %s of ours", r.Name, want)
			}
		}
		if text(r, "web-config.yml") != strings.ReplaceAll(model, all[0].Name, r.Name) {
			t.Errorf("web-config.yml of %s is not that of %s with the name changed", r.Name, all[0].Name)
		}
	}
}

// As it ships, web-config.yml lets nobody in: a configuration that is taken
// as it is must not be the open one.
func TestShippedWebConfig(t *testing.T) {
	_, all := shipped(t)
	for _, r := range all {
		var c struct {
			TLS struct {
				Cert     string `yaml:"cert_file"`
				Key      string `yaml:"key_file"`
				Min      string `yaml:"min_version"`
				Auth     string `yaml:"client_auth_type"`
				ClientCA string `yaml:"client_ca_file"`
			} `yaml:"tls_server_config"`
		}
		if err := decode(r.Dir, "web-config.yml", &c); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		dir := "credentials/" + r.Name + "/"
		if c.TLS.Cert != dir+"tls.crt" || c.TLS.Key != dir+"tls.key" || c.TLS.Min != "TLS13" ||
			c.TLS.Auth != "RequireAndVerifyClientCert" || c.TLS.ClientCA != c.TLS.Cert {
			t.Errorf("%s: %+v", r.Name, c.TLS)
		}
	}
}

// A unit restarts the service, bounds what it takes, and runs what the archive
// holds with the files that its comment installs.
func TestShippedUnits(t *testing.T) {
	_, all := shipped(t)
	for _, r := range all {
		data, err := fs.ReadFile(r.Dir, r.Name+".service")
		if err != nil {
			t.Error(err)
			continue
		}
		unit := string(data)
		for _, want := range []string{
			"ExecStart=/usr/local/bin/" + r.Name, "Restart=on-failure", "MemoryMax=", "TasksMax=", "LimitNOFILE=", "DynamicUser=yes",
			"StateDirectory=" + r.Name, "StateDirectoryMode=0700", "NoNewPrivileges=yes", "ProtectSystem=strict", "SystemCallFilter=@system-service",
		} {
			if !strings.Contains(unit, "\n"+want) {
				t.Errorf("%s.service has no %s", r.Name, want)
			}
		}
		for _, b := range r.Binaries {
			if !regexp.MustCompile(`install -m 0755 .*\b` + b.Name + `\b`).MatchString(unit) {
				t.Errorf("%s.service does not say how %s is installed", r.Name, b.Name)
			}
		}
		for _, m := range regexp.MustCompile(`--config\.file=(/etc/\S+)`).FindAllStringSubmatch(unit, -1) {
			name := path.Base(m[1])
			installed := strings.Contains(unit, "install -D -m 0644 "+name+" "+m[1])
			if !installed || !slices.ContainsFunc(r.Archive, func(a Member) bool { return a.As == name }) {
				t.Errorf("%s.service reads %s, which it does not install from the archive", r.Name, m[1])
			}
		}
	}
}
