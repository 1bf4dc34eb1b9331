package pipeline

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/gobuild"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

var (
	bell   = module.Version{Path: "example.org/bell", Version: "v1.2.0"}
	rope   = module.Version{Path: "example.org/rope", Version: "v0.9.0"}
	sealed = module.Version{Path: "example.org/rope", Version: "v0.9.1-0.palisade.1"}
	fork   = module.Version{Path: "example.org/fork/hook", Version: "v1.3.0"}
	wheel  = module.Version{Path: "example.org/wheel/v2", Version: "v2.1.0"}
)

// built is two binaries in which rope was patched, hook was replaced by a
// fork, and wheel is as upstream has it.
func built(t *testing.T) (*Pipeline, licensed) {
	t.Helper()
	proxy := proxytest.New(t)
	for _, m := range []module.Version{bell, rope, fork, wheel} {
		proxy.Add(t, m.Path, m.Version, map[string]string{
			"go.mod": "module " + m.Path + "\n\ngo 1.24.0\n", "LICENSE": "of " + m.Path, "font.txt": "font 1.0.0",
		})
	}
	p := open(t)
	t.Cleanup(func() { proxytest.Remove(t, p.store.Dir("mod")) })
	p.hostGo.Go, p.hostGo.Env = proxytest.Go(t), proxy.Env()
	p.Config.Root = t.TempDir()
	r := &recipes.Recipe{
		Name: "bell", Module: bell.Path, Version: "1.2.0", Revision: 1, Released: time.Date(2026, 9, 25, 7, 25, 38, 0, time.UTC),
		Binaries: []recipes.Binary{{Name: "bell", Package: bell.Path + "/cmd/bell"}, {Name: "pull", Package: bell.Path + "/cmd/pull"}},
		Archive:  []recipes.Member{{From: "LICENSE", As: "LICENSE"}, {Own: "bell.yml", As: "bell.yml"}},
		Bundled:  []recipes.Bundled{{In: wheel.Path, Files: map[string]string{"font.txt": ""}, PURL: "pkg:generic/font@1.0.0", Why: "it says so", Told: "font.txt"}},
		Lock:     proxy.Lock(bell, rope, fork, wheel), Digest: artifact.DigestBytes([]byte("bell")),
	}
	write(t, filepath.Join(p.Config.Root, "recipes/bell/bell.yml"), "loud: true\n")
	tree, err := source.Fetch(t.Context(), p.hostGo, r)
	if err != nil {
		t.Fatal(err)
	}
	upstream := slices.IndexFunc(tree.Modules(), func(m modules.Module) bool { return m.Version == rope })
	b := gobuild.Built{
		Source: source.Patched{Tree: tree, Sealed: []source.Sealed{{From: tree.Modules()[upstream], To: modules.Sealed{Version: sealed}}}},
		Target: gobuild.Target{Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened"},
		Binaries: []artifact.Binary{
			{Name: "bell", Main: named(bell), Modules: []artifact.Module{
				{Path: "example.org/hook", Version: "v1.0.0", Replace: &artifact.Module{Path: fork.Path, Version: fork.Version}},
				{Path: rope.Path, Version: rope.Version, Replace: &artifact.Module{Path: sealed.Path, Version: sealed.Version}},
			}},
			{Name: "pull", Main: named(bell), Modules: []artifact.Module{
				{Path: rope.Path, Version: rope.Version, Replace: &artifact.Module{Path: sealed.Path, Version: sealed.Version}}, named(wheel),
			}},
		},
		Links: []gobuild.Links{
			{Binary: "bell", Modules: []gobuild.Link{
				{Module: bell.Path, Packages: []string{bell.Path, bell.Path + "/cmd/bell"}},
				{Module: "example.org/hook", Packages: []string{"example.org/hook/iron"}},
				{Module: rope.Path, Packages: []string{rope.Path + "/knot"}},
				{Module: gobuild.Std, Packages: []string{"fmt"}},
			}},
			{Binary: "pull", Modules: []gobuild.Link{
				{Module: bell.Path, Packages: []string{bell.Path + "/cmd/pull"}},
				{Module: rope.Path, Packages: []string{rope.Path}},
				{Module: wheel.Path, Packages: []string{wheel.Path}},
			}},
		},
		Files: store.Entry{Dir: t.TempDir()},
	}
	for i, binary := range b.Binaries {
		write(t, filepath.Join(b.Files.Dir, binary.Name), "compiled "+binary.Name)
		b.Binaries[i].Digest = artifact.DigestBytes([]byte("compiled " + binary.Name))
		b.Files.Files = append(b.Files.Files, artifact.File{
			Name: binary.Name, Mode: "0644", Size: int64(len("compiled " + binary.Name)), Digest: b.Binaries[i].Digest,
		})
	}
	return p, licensed{Built: b, Texts: []byte("do as you like\n")}
}

func named(m module.Version) artifact.Module {
	return artifact.Module{Path: m.Path, Version: m.Version}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The licence of what is linked is that of the source that was compiled: the
// fork's where a fork was, and upstream's where we patched.
func TestLinked(t *testing.T) {
	_, l := built(t)
	all, err := linked(l.Built)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all {
		if m.source.Zip == "" {
			t.Errorf("%s has no source", m.source.Version)
		}
		got = append(got, m.source.String()+" "+strings.Join(slices.Sorted(maps.Keys(m.folders)), ","))
	}
	slices.Sort(got)
	want := []string{
		"example.org/bell@v1.2.0 ,cmd/bell,cmd/pull", "example.org/fork/hook@v1.3.0 iron",
		"example.org/rope@v0.9.0 ,knot", "example.org/wheel/v2@v2.1.0 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// What the lock did not bring has no source to read.
	l.Binaries[0].Main.Version = "v9.9.9"
	if all, err := linked(l.Built); err == nil || !strings.Contains(err.Error(), "example.org/bell@v9.9.9, which was not fetched") {
		t.Errorf("of a module that was not fetched: %+v, %v", all, err)
	}
}

// The texts come from the store as they were told, or not at all.
func TestTexts(t *testing.T) {
	p, l := built(t)
	name, err := p.texts(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != string(l.Texts) || filepath.Base(name) != recipes.TextsName {
		t.Errorf("%s holds %q, %v", name, data, err)
	}
	other := l
	other.Texts = []byte("do not\n")
	if second, err := p.texts(t.Context(), other); err != nil || second == name {
		t.Errorf("other texts are in %s, %v", second, err)
	}
	write(t, name, "do as I say\n")
	if _, err := p.texts(t.Context(), l); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("changed: %v", err)
	}
}

// What lies in a module's source is looked up once, and only in a source that
// is what the lock says.
func TestEmbedded(t *testing.T) {
	for _, changed := range []bool{false, true} {
		p, l := built(t)
		font, err := p.sourceOf(t.Context(), l.Built, wheel)
		if err != nil {
			t.Fatal(err)
		}
		if changed {
			proxytest.Overwrite(t, filepath.Join(font.Dir, "font.txt"), []byte("font 1.0.0, and more"))
		}
		got, err := p.embedded(t.Context(), l.Built)
		if changed {
			if !errors.Is(err, modules.ErrChanged) {
				t.Errorf("changed: %+v, %v", got, err)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].PURL != "pkg:generic/font@1.0.0" {
			t.Fatalf("got %+v, %v", got, err)
		}
		proxytest.Remove(t, font.Dir)
		if again, err := p.embedded(t.Context(), l.Built); err != nil || len(again) != 1 || again[0].PURL != got[0].PURL {
			t.Errorf("again: %+v, %v", again, err)
		}
		l.Source.Tree.Recipe().Digest = artifact.DigestBytes([]byte("changed"))
		if again, err := p.embedded(t.Context(), l.Built); err == nil {
			t.Errorf("of another recipe: %+v", again)
		}
	}
}

func TestArchive(t *testing.T) {
	p, l := built(t)
	a, err := p.archive(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range a.Members {
		c := a.contents[m.Name]
		got = append(got, m.Name+" "+m.Mode+" "+string(c.whose))
		if data, err := os.ReadFile(c.Content); err != nil || artifact.DigestBytes(data) != m.Digest {
			t.Errorf("%s is not what was packed: %v", m.Name, err)
		}
	}
	const in = "bell-1.2.0-palisade.1.linux-amd64/"
	want := []string{
		in + "LICENSE 0644 " + string(spdx.Upstream), in + recipes.TextsName + " 0644 " + string(spdx.Texts),
		in + "bell 0755 " + string(spdx.Compiled), in + "bell.yml 0644 " + string(spdx.Own), in + "pull 0755 " + string(spdx.Compiled),
	}
	if !slices.Equal(got, want) || a.File.Name != "bell-1.2.0-palisade.1.linux-amd64.tar.gz" {
		t.Errorf("%s holds %q", a.File.Name, got)
	}
	l.Target.Platform = artifact.Platform{OS: "windows", Arch: "amd64"}
	for i, b := range l.Binaries {
		l.Binaries[i].Name = b.Name + ".exe"
		write(t, filepath.Join(l.Files.Dir, b.Name+".exe"), "compiled "+b.Name)
	}
	if a, err := p.archive(t.Context(), l); err != nil || a.File.Name != "bell-1.2.0-palisade.1.windows-amd64.zip" {
		t.Errorf("for windows: %s, %v", a.File.Name, err)
	}
}

// What is packed is what was compiled and read back.
func TestArchiveRefuses(t *testing.T) {
	const changed = "bell-1.2.0-palisade.1.linux-amd64/pull changed before it was packed"
	for _, tt := range []struct {
		name   string
		change func(l *licensed)
		want   string
	}{
		{"another digest was read back", func(l *licensed) { l.Binaries[1].Digest = artifact.DigestBytes(nil) }, changed},
		{"a binary changed in the store", func(l *licensed) { write(t, filepath.Join(l.Files.Dir, "pull"), "Compiled pull") }, "pull: was changed: its digest differs; remove "},
	} {
		p, l := built(t)
		tt.change(&l)
		if _, err := p.archive(t.Context(), l); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if kept, _ := filepath.Glob(p.store.Dir("steps", "archive-2") + "/*"); len(kept) > 0 {
			t.Errorf("%s: it left %q", tt.name, kept)
		}
	}
	p, l := built(t)
	if err := os.Remove(filepath.Join(p.Config.Root, "recipes/bell/bell.yml")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.archive(t.Context(), l); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "recipe.yaml names a file that the recipe's folder does not have") {
		t.Errorf("no such file: %v", err)
	}
}
