package licences

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

var (
	upstream = flag.String("upstream", "", "a module cache that holds the recipes' modules: every one that is linked is told or stated")
	printed  = flag.Bool("print", false, "with -upstream: print what is concluded")
)

// linkedModule is a module and the folders of its packages that are linked.
type linkedModule struct {
	module.Version
	dirs map[string]bool
}

// linked asks the go command what a recipe links for a platform. The standard
// library has no version.
func linked(t *testing.T, r *recipes.Recipe, p artifact.Platform, into map[string]*linkedModule) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "tools.go"} {
		data, err := os.ReadFile(filepath.Join("../../../recipes", r.Name, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"list", "-deps", "-json=ImportPath,Standard,Module", "-tags=" + strings.Join(r.Tags, ",")}
	for _, b := range r.Binaries {
		args = append(args, b.Package)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local",
		"GOMODCACHE="+*upstream, "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath string
			Standard   bool
			Module     *struct {
				Path, Version string
				Replace       *struct{ Path, Version string }
			}
		}
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		key, dir := "", path.Join("src", l.ImportPath)
		var v module.Version
		if l.Module != nil {
			key = l.Module.Path
			dir = strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, l.Module.Path), "/")
			v = module.Version{Path: l.Module.Path, Version: l.Module.Version}
			if o := l.Module.Replace; o != nil {
				v = module.Version{Path: o.Path, Version: o.Version}
			}
		}
		if into[key] == nil {
			into[key] = &linkedModule{Version: v, dirs: map[string]bool{}}
		}
		into[key].dirs[dir] = true
	}
}

// Every module that a recipe links, and the standard library, is told by its
// texts or stated; and no statement is left over.
func TestUpstream(t *testing.T) {
	if *upstream == "" {
		t.Skip("no -upstream=MODULE_CACHE: the licences of what the recipes link are not looked at")
	}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	reader := &Reader{Store: s}
	fsys := os.DirFS("../../../recipes")
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		t.Fatal(err)
	}
	names, err := recipes.Names(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		r, err := recipes.Load(fsys, d, name)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]*linkedModule{}
		for i, p := range r.Platforms {
			first := slices.IndexFunc(r.Platforms, func(o artifact.Platform) bool { return o.OS == p.OS }) == i
			if first || p.String() == "linux/arm64" || p.String() == "linux/arm/v7" {
				linked(t, r, p, all)
			}
		}
		var subjects []Subject
		for _, l := range all {
			dirs := []string{}
			for dir := range l.dirs {
				dirs = append(dirs, dir)
			}
			if l.Path == "" {
				root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
				if err != nil {
					t.Fatal(err)
				}
				found, err := reader.Dir(t.Context(), "std", os.DirFS(strings.TrimSpace(string(root))))
				if err != nil {
					t.Fatal(err)
				}
				subjects = append(subjects, Subject{PURL: "pkg:golang/stdlib@" + r.Lock.Go, Found: found.For(dirs)})
				continue
			}
			found, err := reader.Module(t.Context(), zipped(t, l.Version))
			if err != nil {
				t.Error(err)
				continue
			}
			subjects = append(subjects, Subject{PURL: "pkg:golang/" + l.Path + "@" + l.Version.Version, Found: found.For(dirs)})
		}
		for _, subject := range subjects {
			verdicts, err := Conclude(r, []Subject{subject})
			if err != nil {
				t.Error(err)
				continue
			}
			v := verdicts[0]
			if *printed {
				t.Logf("%s\t%s\t%s\t%s\t%d lines: %q", name, v.PURL, v.Expression, cmp.Or(v.Stated, "told"), len(v.Copyright), v.Copyright[:min(3, len(v.Copyright))])
			}
			if len(v.Copyright) == 0 && *printed {
				t.Logf("%s names no holder of copyright", v.PURL)
			}
		}
		for _, l := range r.Licences {
			if strings.HasPrefix(l.Of, "pkg:golang/") && !slices.ContainsFunc(subjects, func(s Subject) bool { return s.PURL == l.Of }) {
				t.Errorf("%s states the licence of %s, which it does not link", name, l.Of)
			}
		}
	}
}

// zipped is a module in the cache -upstream, as fetching would return it.
func zipped(t *testing.T, v module.Version) modules.Module {
	t.Helper()
	p, err := module.EscapePath(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	version, err := module.EscapeVersion(v.Version)
	if err != nil {
		t.Fatal(err)
	}
	zip := filepath.Join(*upstream, "cache", "download", p, "@v", version+".zip")
	sum, _, err := artifact.DigestFile(zip)
	if err != nil {
		t.Fatal(err)
	}
	return modules.Module{Version: v, Zip: zip, ZipDigest: sum}
}
