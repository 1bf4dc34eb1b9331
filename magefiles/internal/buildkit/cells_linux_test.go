package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	palisade  = flag.String("palisade", "", "the tool, as a `program`, that builds over workers")
	dist      = flag.String("dist", "../../../dist", "`directory` of results that this machine compiled, with those of -component on -platforms")
	cache     = flag.String("cache", "", "a PALISADE_CACHE of which what was fetched is taken; \"\" to fetch it")
	component = flag.String("component", "node_exporter", "that is built, hardened")
	platforms = flag.String("platforms", "linux/amd64,linux/arm64,linux/386,linux/ppc64le", "for which it is built, at least four")
)

// Cells are built over two workers, one of which is killed in the middle: while
// it compiles its second cell. They are what this machine compiled, to the byte,
// and each says which worker it was.
func TestCells(t *testing.T) {
	toolWanted(t)
	here := records(t, *dist)
	c := certify(t)
	workers := map[string]*machine{}
	var hosts []string
	for range 2 {
		m := start(t, c.options()...)
		workers[m.address], hosts = m, append(hosts, m.address)
	}
	var dead atomic.Pointer[machine]
	begun := 0
	p := newPlace(t)
	said, _ := p.build(t, hosts, c, func(line string) {
		// Of three that begin one has begun twice, whoever is the faster.
		if m := beginning.FindStringSubmatch(line); m != nil {
			if begun++; begun == 3 {
				go func() {
					for dead.Load() == nil && t.Context().Err() == nil {
						if workers[m[1]].compiles() { // it was sent everything
							workers[m[1]].kill()
							dead.Store(workers[m[1]])
						}
						time.Sleep(10 * time.Millisecond)
					}
				}()
			}
		}
	})
	if m := dead.Load(); m == nil || !strings.Contains(said, "worker "+m.address+" failed, another one takes over") {
		t.Errorf("nobody missed a worker that was killed in the middle:\n%s", said)
	}
	made, by := records(t, p.dist), map[string]int{}
	if len(made) < 4 {
		t.Errorf("%d archives, want at least four", len(made))
	}
	for name, got := range made {
		want, ok := here[name]
		switch {
		case !ok:
			t.Errorf("%s holds no %s: build -component=%s -platform=%s first", *dist, name, *component, *platforms)
		case want.Build.Sandbox.Executor != "":
			t.Errorf("%s in %s was compiled by a worker as well", name, *dist)
		case got.digests() != want.digests():
			t.Errorf("%s differs:\n%s\nby a worker, and here\n%s", name, got.digests(), want.digests())
		}
		if s := got.Build.Sandbox; s.Executor != Name || s.Worker == "" || !s.Hermetic {
			t.Errorf("%s does not say who compiled it: %+v", name, s)
		}
		by[got.Build.Sandbox.Worker]++
	}
	if len(by) != 2 {
		t.Errorf("the cells are of workers %v, want two", by)
	}
	for _, line := range regexp.MustCompile(`(?m)^worker .*`).FindAllString(said, -1) {
		t.Log(line)
	}
}

var beginning = regexp.MustCompile(`^worker (\S+) compiles$`)

// options start a daemon with the server's certificate.
func (c certificates) options() []string {
	return []string{"--tlscacert", filepath.Join(c.server, "ca.pem"), "--tlscert", filepath.Join(c.server, "cert.pem"), "--tlskey", filepath.Join(c.server, "key.pem")}
}

func toolWanted(t testing.TB) {
	t.Helper()
	workersWanted(t)
	if *palisade == "" {
		t.Skip("no -palisade given: nothing is built over workers")
	}
}

// A place is a cache and a folder of results.
type place struct{ cache, dist string }

func newPlace(t testing.TB) place {
	t.Helper()
	p := place{t.TempDir(), t.TempDir()}
	if *cache != "" {
		for _, name := range []string{"toolchains", "mod", "npm"} {
			from, err := filepath.Abs(filepath.Join(*cache, name))
			if err == nil {
				err = os.Symlink(from, filepath.Join(p.cache, name))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { // modules are read-only
		_ = exec.Command("chmod", "-R", "u+w", p.cache).Run()
	})
	return p
}

// build builds every cell on hosts, tells each line that the tool says, and
// returns them all, and what it took of this machine.
func (p place) build(t testing.TB, hosts []string, c certificates, tell func(string)) (said string, took *os.ProcessState) {
	t.Helper()
	program, err := filepath.Abs(*palisade)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "build", "-component="+*component, "-platform="+*platforms, "-sign=false")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "PALISADE_CACHE="+p.cache, "PALISADE_DIST="+p.dist, "CI=1",
		"BUILDKIT_HOST="+strings.Join(hosts, ","), "BUILDKIT_TLS_DIR="+c.right)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var all bytes.Buffer
	cmd.Stderr = io.MultiWriter(&all, &lines{tell: tell})
	if err := cmd.Run(); err != nil {
		t.Fatalf("building over %s: %v\n%s", hosts, err, all.Bytes())
	}
	return all.String(), cmd.ProcessState
}

// lines tells each whole line.
type lines struct {
	mu   sync.Mutex
	tell func(string)
	rest []byte
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, data...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(data), nil
		}
		l.tell(string(line))
		l.rest = rest
	}
}

type record struct {
	Name, Digest string
	Binaries     []struct{ Name, Digest string }
	Build        struct {
		Sandbox struct {
			Hermetic         bool
			Executor, Worker string
		}
	}
}

// digests are those of the archive and of each binary in it.
func (r record) digests() string {
	all := r.Digest
	for _, b := range r.Binaries {
		all += "\n" + b.Name + " " + b.Digest
	}
	return all
}

// records are those of the artifacts in dir, by name.
func records(t testing.TB, dir string) map[string]record {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	var release struct{ Artifacts []record }
	if err := json.Unmarshal(data, &release); err != nil {
		t.Fatal(err)
	}
	all := map[string]record{}
	for _, r := range release.Artifacts {
		all[r.Name] = r
	}
	return all
}
