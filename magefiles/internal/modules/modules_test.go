package modules

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/store"
)

var (
	bell = module.Version{Path: "example.org/Bell", Version: "v1.2.0"} // capitals are escaped in a cache
	rope = module.Version{Path: "example.org/rope/v2", Version: "v2.1.0"}
)

var bellFiles = map[string]string{
	"go.mod":  "module example.org/Bell\n\ngo 1.24.0\n\nrequire example.org/rope/v2 v2.1.0\n",
	"bell.go": "package bell\n\nimport \"example.org/rope/v2\"\n\nconst Length = rope.Length\n",
}

// belfry is a proxy with two modules and a client of it with an empty cache.
func belfry(t *testing.T) (*proxytest.Proxy, *Client) {
	t.Helper()
	p := proxytest.New(t)
	p.Add(t, rope.Path, rope.Version, map[string]string{
		"go.mod":  "module example.org/rope/v2\n\ngo 1.24.0\n",
		"rope.go": "package rope\n\nconst Length = 12\n",
	})
	p.Add(t, bell.Path, bell.Version, bellFiles)
	return p, client(t, p)
}

func client(t *testing.T, p *proxytest.Proxy) *Client {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(dir, "mod")) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2}
}

func TestOne(t *testing.T) {
	p, c := belfry(t)
	m, err := c.One(t.Context(), bell, p.Sums[bell])
	if err != nil {
		t.Fatal(err)
	}
	zip, _, err := artifact.DigestFile(m.Zip)
	if err != nil || m.ZipDigest != zip || m.Version != bell || m.Sum != p.Sums[bell] {
		t.Errorf("got %+v, its zip file is %s, %v", m, zip, err)
	}
	if text, err := os.ReadFile(filepath.Join(m.Dir, "bell.go")); err != nil || string(text) != bellFiles["bell.go"] {
		t.Errorf("it holds %q, %v", text, err)
	}
	if a := m.Artifact(); a.Path != bell.Path || a.Version != bell.Version || a.Sum != m.Sum || *a.Zip != zip {
		t.Errorf("artifact is %+v", a)
	}
}

func TestAll(t *testing.T) {
	p, c := belfry(t)
	l := p.Lock(rope, bell)
	mods, err := c.All(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if len(mods) != 2 || mods[0].Version != bell || mods[1].Version != rope {
		t.Fatalf("got %v, want them sorted by path", mods)
	}
	if err := c.Verify(t.Context(), mods); err != nil {
		t.Error(err)
	}
	// What is there needs no network, and is not asked for again.
	before := len(p.Requests())
	p.Stop()
	again, err := c.All(t.Context(), l)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(mods) {
		t.Errorf("without a network: %v, %v", again, err)
	}
	if asked := p.Requests()[before:]; len(asked) != 0 {
		t.Errorf("asked again for %q", asked)
	}
}

func TestWithoutNetwork(t *testing.T) {
	p, c := belfry(t)
	p.Stop()
	if _, err := c.All(t.Context(), p.Lock(bell, rope)); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// Each of the two checks refuses what the other cannot see.
func TestChangedOnTheWay(t *testing.T) {
	other := maps.Clone(bellFiles)
	other["bell.go"] += "// changed\n"
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, p *proxytest.Proxy)
		sum    func(p *proxytest.Proxy) string // that is committed
		want   string
	}{
		{"proxy differs from database and lock", func(t *testing.T, p *proxytest.Proxy) {
			p.Serve(t, bell.Path, bell.Version, other)
		}, nil, "SECURITY ERROR"},
		{"proxy and lock differ from database", func(t *testing.T, p *proxytest.Proxy) {
			p.Serve(t, bell.Path, bell.Version, other)
		}, func(p *proxytest.Proxy) string { return p.Sums[module.Version{Path: "other"}] }, "SECURITY ERROR"},
		{"proxy and database differ from lock", func(*testing.T, *proxytest.Proxy) {},
			func(*proxytest.Proxy) string { return "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }, "but h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= is committed"},
		{"lock has no hash", func(*testing.T, *proxytest.Proxy) {}, func(*proxytest.Proxy) string { return "" }, "no hash of it is committed; run mage lock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, c := belfry(t)
			l := p.Lock(bell, rope)
			p.Sums[module.Version{Path: "other"}] = p.Serve(t, bell.Path, bell.Version, other)
			p.Serve(t, bell.Path, bell.Version, bellFiles)
			tt.change(t, p)
			if tt.sum != nil {
				l.Sums[bell] = tt.sum(p)
			}
			l.GoSum = l.Sums.Encode()
			for what, fetch := range map[string]func() error{
				"All": func() error { _, err := c.All(t.Context(), l); return err },
				"One": func() error { _, err := c.One(t.Context(), bell, l.Sums[bell]); return err },
			} {
				if err := fetch(); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), bell.Path) {
					t.Errorf("%s: got %v", what, err)
				}
			}
		})
	}
}

// What is changed in the cache is refused by name, and building again after
// doing what the error says works.
func TestChangedInTheCache(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, m Module)
		place  func(m Module) string
	}{
		{"one byte of the zip file", func(t *testing.T, m Module) {
			data, err := os.ReadFile(m.Zip)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			proxytest.Overwrite(t, m.Zip, data)
		}, func(m Module) string { return m.Zip }},
		{"zip file of the same content", func(t *testing.T, m Module) { proxytest.Repack(t, m.Zip) }, func(m Module) string { return m.Zip }},
		{"unpacked file", func(t *testing.T, m Module) {
			proxytest.Overwrite(t, filepath.Join(m.Dir, "bell.go"), []byte(strings.Replace(bellFiles["bell.go"], "Length\n", "Length \n", 1)))
		}, func(m Module) string { return m.Dir }},
		{"unpacked file more", func(t *testing.T, m Module) {
			proxytest.Overwrite(t, filepath.Join(m.Dir, "bell.go"), []byte(bellFiles["bell.go"]))
			if err := os.WriteFile(filepath.Join(m.Dir, "more.go"), []byte("package bell\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, func(m Module) string { return m.Dir }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, c := belfry(t)
			l := p.Lock(bell, rope)
			mods, err := c.All(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, mods[0])
			err = c.Verify(t.Context(), mods)
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), tt.place(mods[0])+" was changed") || !strings.Contains(err.Error(), bell.String()) {
				t.Fatalf("got %v", err)
			}
			if err := c.Verify(t.Context(), mods[1:]); err != nil {
				t.Errorf("the other module: %v", err)
			}
			proxytest.Remove(t, mods[0].Zip, mods[0].Dir)
			mods, err = c.All(t.Context(), l)
			if err != nil {
				t.Fatalf("after removing it: %v", err)
			}
			if err := c.Verify(t.Context(), mods); err != nil {
				t.Errorf("after removing it: %v", err)
			}
		})
	}
}

func TestOneVerifies(t *testing.T) {
	p, c := belfry(t)
	m, err := c.One(t.Context(), bell, p.Sums[bell])
	if err != nil {
		t.Fatal(err)
	}
	proxytest.Overwrite(t, filepath.Join(m.Dir, "bell.go"), []byte("package bell\n"))
	if _, err := c.One(t.Context(), bell, p.Sums[bell]); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// The checksum database cannot be switched off where the go command keeps its
// settings either.
func TestDatabaseSwitchedOff(t *testing.T) {
	p, c := belfry(t)
	settings := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(settings, []byte("GOSUMDB=off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = append(p.Env()[:3], "GOENV="+settings)
	if _, err := c.One(t.Context(), bell, p.Sums[bell]); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "go env -u GOSUMDB") {
		t.Errorf("got %v", err)
	}
	if asked := p.Requests(); len(asked) != 0 {
		t.Errorf("asked for %q", asked)
	}
}

// Exempting modules from the database in the settings file has no effect.
func TestDatabaseIsAskedInSpiteOfSettings(t *testing.T) {
	p, c := belfry(t)
	settings := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(settings, []byte("GONOSUMDB=example.org\nGOFLAGS=-insecure\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = append(c.Env, "GOENV="+settings)
	sum := p.Serve(t, bell.Path, bell.Version, map[string]string{"go.mod": bellFiles["go.mod"], "x.go": "package x\n"})
	if _, err := c.One(t.Context(), bell, sum); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "SECURITY ERROR") {
		t.Errorf("got %v", err)
	}
}

// The real go command builds in a view of the cache, with a module changed and
// sealed, from nothing else.
func TestView(t *testing.T) {
	p, c := belfry(t)
	l := p.Lock(bell, rope)
	mods, err := c.All(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	goMod := "module example.org/rope/v2\n\ngo 1.24.0\n"
	for name, text := range map[string]string{"go.mod": goMod, "rope.go": "package rope\n\nconst Length = 20\n"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	to := module.Version{Path: rope.Path, Version: "v2.1.1-0.palisade.1"}
	sealed, err := dirhash.HashDir(tree, to.String(), dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	places, err := c.View(filepath.Join(work, "view"), l, mods[:1], []Sealed{{Version: to, Sum: sealed, Dir: tree, GoMod: []byte(goMod)}})
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(work, "modcache")
	for _, place := range places {
		if err := os.CopyFS(filepath.Join(cache, filepath.FromSlash(place.Target)), os.DirFS(place.Source)); err != nil {
			t.Fatal(err)
		}
	}
	sums := maps.Clone(l.Sums)
	delete(sums, rope)
	sums[to] = sealed
	sums[module.Version{Path: to.Path, Version: to.Version + "/go.mod"}] = p.Sums[module.Version{Path: rope.Path, Version: rope.Version + "/go.mod"}]
	main := map[string]string{
		"go.mod":  string(l.GoMod) + "\nreplace example.org/rope/v2 v2.1.0 => example.org/rope/v2 " + to.Version + "\n",
		"go.sum":  string(sums.Encode()),
		"main.go": "package tower\n\nimport \"example.org/Bell\"\n\nvar _ [20]int = [bell.Length]int{}\n",
	}
	dir := filepath.Join(work, "main")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range main {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), c.Go, "build", "-mod=readonly", "./...")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/dev/null", "GOCACHE=" + filepath.Join(work, "gocache"), "GOMODCACHE=" + cache,
		"GOPROXY=off", "GOSUMDB=off", "GOENV=off", "GOTOOLCHAIN=local", "GOFLAGS=",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// Nothing but what was given can be had from it.
	names, err := filepath.Glob(filepath.Join(cache, "example.org", "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("it holds %q, %v", names, err)
	}
	if _, err := os.Stat(filepath.Join(cache, "cache", "download", "example.org", "rope", "v2", "@v", rope.Version+".ziphash")); err == nil {
		t.Error("it knows the hash of the module that was replaced")
	}
}
