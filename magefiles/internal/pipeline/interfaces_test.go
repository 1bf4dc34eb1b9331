package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/webui"
	"palisade/recipes"
)

// errStop keeps what was refused from being made here.
var errStop = errors.New("nothing is made")

// given has one interface, as another machine made it.
type given struct {
	value   any
	refused error
	asked   int
}

func (g *given) Take(_ context.Context, _ store.Key, dir string, accept func(store.Left) error) (bool, error) {
	g.asked++
	if err := os.WriteFile(filepath.Join(dir, "embed.go"), nil, 0o644); err != nil {
		return false, err
	}
	value, err := json.Marshal(g.value)
	if err != nil {
		return false, err
	}
	if g.refused = accept(store.Left{Value: value, Files: []artifact.File{{Name: "embed.go", Mode: "0644", Digest: artifact.DigestBytes(nil)}}}); g.refused != nil {
		return false, errStop
	}
	return true, nil
}

func (*given) Offer(context.Context, store.Key, store.Left, store.Entry) {}

// An interface that another machine made is taken only if what it says of itself can
// be, if its sandbox was as is asked for, and if patched.sum has the hash of it.
func TestInterfaceTaken(t *testing.T) {
	proxy := proxytest.New(t)
	bell := module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	const lock = `lockfileVersion: '9.0'
packages:
  name@1.0.0:
    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}
`
	proxy.Add(t, bell.Path, bell.Version, map[string]string{"go.mod": "module " + bell.Path + "\n\ngo 1.24.0\n", "web/ui/pnpm-lock.yaml": lock})
	cfg := here(t)
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(cfg.Cache, "mod")) })
	cfg.Go, cfg.Fetch, cfg.Hermetic = proxytest.Go(t), proxy.Env(), true
	r := &recipes.Recipe{
		Name: "bell", Module: bell.Path, Version: "1.2.0", Revision: 1, Lock: proxy.Lock(bell),
		Dir: os.DirFS(filepath.Join(cfg.Root, "recipes", "prometheus")),
		UI:  &recipes.UI{Pnpm: &recipes.Pnpm{Dir: "web/ui", Script: "ui.mjs", Node: "24.21.0", Pnpm: "10.28.0"}},
	}
	p := openWith(t, cfg)
	tree, err := source.Fetch(t.Context(), p.hostGo, r)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := tree.Upstream()
	if err != nil {
		t.Fatal(err)
	}
	of := artifact.Package{Name: "name", Version: "1.0.0", Integrity: "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="}
	good := func() madeUI {
		return madeUI{
			UI: artifact.UI{
				Kind: "pnpm", Origin: upstream.Artifact(), Packages: []artifact.Package{of}, Report: &artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}},
				Note: "Built from the source of this module with the packages of its own lock file, each checked against its sha512; install scripts did not run.",
			},
			Embedded: []artifact.Embedded{{PURL: npm.PURL(of), Name: of.Name, Version: of.Version, Integrity: of.Integrity, Evidence: artifact.ByBundler, In: bell.Path}},
		}
	}
	no := errors.New("another hash")
	for _, tt := range []struct {
		name, want string
		change     func(*madeUI)
		fits       error
	}{
		{"another hash", no.Error(), func(*madeUI) {}, no},
		{"not hermetic, where that is wanted", "not made hermetically", func(m *madeUI) { m.UI.Report = &artifact.Sandbox{Reason: "no"} }, nil},
		{"on a worker", `by the executor "buildkit"`, func(m *madeUI) { m.UI.Report.Executor = "buildkit" }, nil},
		{"no report", webui.ErrTaken.Error(), func(m *madeUI) { m.UI.Report = nil }, nil},
		{"nothing said", webui.ErrTaken.Error(), func(m *madeUI) { *m = madeUI{} }, nil},
		{"a package more", webui.ErrTaken.Error(), func(m *madeUI) {
			m.UI.Packages = append(m.UI.Packages, artifact.Package{Name: "other", Version: "1.0.0"})
		}, nil},
		{"good", "", func(*madeUI) {}, nil},
	} {
		made := good()
		tt.change(&made)
		from := &given{value: made}
		p.Share(from)
		assets, err := p.interfaces.Make(t.Context(), tree, upstream.Dir, func(a webui.Assets) error {
			if len(a.Files) != 1 || a.Files[0].Name != "embed.go" || a.UI.Kind != "pnpm" {
				t.Errorf("%s: asked for %+v", tt.name, a)
			}
			return tt.fits
		})
		if tt.want == "" && (err != nil || from.refused != nil || len(assets.Files) != 1 || len(assets.Embedded) != 1) {
			t.Errorf("%s: %+v, %v, %v", tt.name, assets, err, from.refused)
		}
		if tt.want != "" && (!errors.Is(err, errStop) || from.refused == nil || !strings.Contains(from.refused.Error(), tt.want)) {
			t.Errorf("%s: %v, %v, want %q", tt.name, err, from.refused, tt.want)
		}
		kept, _ := filepath.Glob(filepath.Join(p.store.Dir("steps"), "webui-2", "*"))
		if (len(kept) > 0) != (tt.want == "") {
			t.Errorf("%s: kept %q", tt.name, kept)
		}
	}
}

// A bundle lies in a module, and nobody else is asked for it.
func TestBundleIsNotShared(t *testing.T) {
	p, from := open(t), &given{}
	p.Share(from)
	r := &recipes.Recipe{UI: &recipes.UI{Bundle: &recipes.Bundle{Module: "example.org/b", Version: "v1.0.0", Sum: "h1:a="}}}
	proxy := proxytest.New(t)
	bell := module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	proxy.Add(t, bell.Path, bell.Version, map[string]string{"go.mod": "module " + bell.Path + "\n"})
	p.hostGo.Go, p.hostGo.Env = proxytest.Go(t), proxy.Env()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(p.Config.Cache, "mod")) })
	r.Module, r.Lock = bell.Path, proxy.Lock(bell)
	tree, err := source.Fetch(t.Context(), p.hostGo, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.interfaces.Make(t.Context(), tree, "", nil); err == nil || from.asked > 0 {
		t.Errorf("asked %d: %v", from.asked, err)
	}
}
