// Package upstream has promu, by which upstream builds its releases, build them
// from upstream's own sources, and compares what it made with the vanilla archives
// of dist/. It is a test alone:
//
//	go tool mage build -variant=vanilla -component=node_exporter,pushgateway
//	go build -C .ci/upstream -o BIN/ tool
//	cd .ci/upstream && go test . -promu BIN/promu -modules CACHE/mod
//
// where CACHE is the cache that the first of these used. git and tar are the
// machine's.
package upstream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	distDir    = flag.String("dist", "../../dist", "`directory` of the release")
	promu      = flag.String("promu", "", "upstream's `program`")
	palisade   = flag.String("palisade", "", "the compiled magefiles, a `program` (default: go tool mage, in the checkout)")
	modules    = flag.String("modules", "", "module cache in which upstream's sources are, a `directory`")
	components = flag.String("components", "node_exporter,pushgateway", "which, with commas between; their vanilla archives are in the release")
)

// What a program may take.
const patience = 10 * time.Minute

// Upstream's archive of the same sources differs from ours in nothing that has no
// reason; and one that differs in anything else is refused, for that.
func TestPromu(t *testing.T) {
	if *promu == "" || *modules == "" {
		t.Fatal("say which program and where the sources are: -promu PROGRAM -modules DIRECTORY")
	}
	for component := range strings.SplitSeq(*components, ",") {
		t.Run(component, func(t *testing.T) {
			c := checkout(t, component)
			c.promu(t, "build")
			t.Run("as it is", func(t *testing.T) {
				out, status := c.compare(t, c.tarball(t))
				got := findings(t, out)
				// Go's version, the language and the packages are those of the Go that is here.
				want := map[string]string{
					"folder": "variant", "THIRD_PARTY_LICENSES: member": "licences", "times of members": "packing",
					component + ": setting -trimpath": "trimpath", component + ": setting -ldflags": "ldflags",
					component + ": stamp Version": "variant", component + ": stamp Branch": "stamp", component + ": stamp BuildUser": "stamp", component + ": stamp BuildDate": "stamp",
				}
				for what, reason := range want {
					if got[what] != reason {
						t.Errorf("%s has the reason %q, want %q", what, got[what], reason)
					}
				}
				if status != 0 || strings.Contains(out, ": unexplained\n") || strings.Contains(out, "NOT SEEN ") {
					t.Errorf("status %d", status)
				}
				alikes := []string{"LICENSE: the same ", component + ": form ELF", component + ": main package ", component + ": [0-9]+ modules, with versions and hashes", component + ": [0-9]+ packages"}
				if component == "pushgateway" {
					alikes = append(alikes, "pushgateway: [0-9]{2} assets of upstream's source")
				}
				for _, alike := range alikes {
					if !regexp.MustCompile(`(?m)^ALIKE    ` + alike).MatchString(out) {
						t.Errorf("nothing says that it is alike: %s", alike)
					}
				}
				if t.Failed() {
					t.Log(out)
				}
			})
			for _, tt := range []struct {
				name   string
				change func(t *testing.T)
				want   string // the one finding without a reason
			}{
				{"a file that is another", func(t *testing.T) { c.appendTo(t, "NOTICE", "and another\n") }, "NOTICE: content"},
				{"a file that is missing", func(t *testing.T) { c.configure(t, "        - NOTICE\n", "") }, "NOTICE: member"},
				{"a file more", func(t *testing.T) { c.configure(t, "        - NOTICE\n", "        - NOTICE\n        - VERSION\n") }, "VERSION: member"},
				{"a version that is another", func(t *testing.T) { c.write(t, "VERSION", c.version+"1\n") }, "folder"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					c.refused(t, tt.change, false, tt.want)
				})
			}
			t.Run("another commit", func(t *testing.T) {
				c.refused(t, func(t *testing.T) { c.commit(t) }, true, component+": setting vcs.revision", component+": setting vcs.time", component+": stamp Revision")
			})
			t.Run("another version of a module", func(t *testing.T) {
				const units = "github.com/alecthomas/units"
				c.refused(t, func(t *testing.T) {
					c.run(t, "go", "mod", "edit", "-replace="+units+"="+units+"@v0.0.0-20211218093645-b94a6e3cc137")
					c.run(t, "go", "list", "-mod=mod", "-deps", ".") // which writes down its hash
				}, true, component+": module "+units)
			})
			t.Run("another tag", func(t *testing.T) {
				c.refused(t, func(t *testing.T) {
					c.configure(t, "    ldflags: |\n", "    tags:\n        all:\n            - loud\n    ldflags: |\n")
				}, true, component+": build tag loud")
			})
			t.Run("something else is linked", func(t *testing.T) {
				c.refused(t, func(t *testing.T) {
					c.configure(t, "    ldflags: |\n", "    ldflags: |\n        -X main.other=1\n")
				}, true, component+": setting -ldflags")
			})
		})
	}
}

// A clone is upstream's source in a folder of a component's name.
type clone struct{ component, version, dir string }

var required = regexp.MustCompile(`(?m)^require github\.com/prometheus/([a-z_]+) v([0-9.]+)$`)

func checkout(t *testing.T, component string) clone {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join("../../recipes", component, "go.mod"))
	must(t, err)
	m := required.FindSubmatch(lock)
	if m == nil || string(m[1]) != component {
		t.Fatalf("recipes/%s/go.mod does not require it", component)
	}
	c := clone{component, string(m[2]), filepath.Join(t.TempDir(), component)}
	source := filepath.Join(*modules, "github.com/prometheus", component+"@v"+c.version)
	if err := os.CopyFS(c.dir, os.DirFS(source)); err != nil {
		t.Fatalf("%v; build first, with: go tool mage build -variant=vanilla -component=%s", err, component)
	}
	return c
}

func (c clone) run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	// As upstream's releases are built: Go writes down the state of a repository.
	// An empty GOFLAGS would be the one of the configuration file.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=auto", "GOWORK=off", "GOTOOLCHAIN=local", "GOPATH=", "SOURCE_DATE_EPOCH=",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (c clone) promu(t *testing.T, args ...string) {
	t.Helper()
	program, err := filepath.Abs(*promu)
	must(t, err)
	c.run(t, program, args...)
}

// tarball is the archive of what was built.
func (c clone) tarball(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c.promu(t, "tarball", "--prefix", dir)
	made, err := filepath.Glob(filepath.Join(dir, "*.tar.gz"))
	must(t, err)
	if len(made) != 1 {
		t.Fatalf("promu made %q", made)
	}
	return made[0]
}

// compare has mage compare an archive.
func (c clone) compare(t *testing.T, archive string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{"reproduce:upstream", "-component=" + c.component, "-path=" + archive, "-platform=" + runtime.GOOS + "/" + runtime.GOARCH}
	program := *palisade
	if program == "" {
		program, args = "go", slices.Concat([]string{"tool", "mage"}, args)
	} else {
		absolute, err := filepath.Abs(program)
		must(t, err)
		program = absolute
	}
	dist, err := filepath.Abs(*distDir)
	must(t, err)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "PALISADE_DIST="+dist)
	var said strings.Builder
	cmd.Stderr = &said
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status := cmd.ProcessState.ExitCode(); status == 0 || status == 3 {
		return string(stdout), status
	}
	t.Fatalf("%v: %s", err, said.String())
	return "", 0
}

var differs = regexp.MustCompile(`(?m)^DIFFERS  (.*?) here, .* there: ([a-z-]+)$`)

// findings are the reasons of what differs.
func findings(t *testing.T, out string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range differs.FindAllStringSubmatch(out, -1) {
		what, reason := m[1], m[2] // of the one the last word is the value
		found[what[:max(0, strings.LastIndex(what, ": "))]] = reason
	}
	if len(found) != strings.Count("\n"+out, "\nDIFFERS  ") {
		t.Fatalf("cannot read\n%s", out)
	}
	return found
}

// refused changes a copy of the clone, and wants those findings without a reason.
func (c *clone) refused(t *testing.T, change func(*testing.T), again bool, want ...string) {
	t.Helper()
	original := c.dir
	defer func() { c.dir = original }()
	c.dir = filepath.Join(t.TempDir(), c.component)
	must(t, os.CopyFS(c.dir, os.DirFS(original)))
	change(t)
	if again {
		c.promu(t, "build")
	}
	out, status := c.compare(t, c.tarball(t))
	var unexplained []string
	for what, reason := range findings(t, out) {
		if reason == "unexplained" {
			unexplained = append(unexplained, what)
		}
	}
	slices.Sort(unexplained)
	if status != 3 || !slices.Equal(unexplained, want) {
		t.Errorf("status %d, without a reason are %q, want %q:\n%s", status, unexplained, want, out)
	}
}

func (c clone) write(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o644))
}

func (c clone) appendTo(t *testing.T, name, more string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	must(t, err)
	c.write(t, name, string(data)+more)
}

// configure changes what promu is told.
func (c clone) configure(t *testing.T, old, new string) {
	t.Helper()
	const name = ".promu.yml"
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	must(t, err)
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s of %s does not hold %q", name, c.component, old)
	}
	c.write(t, name, strings.Replace(string(data), old, new, 1))
}

// commit makes the clone a repository, at a commit that upstream does not have.
func (c clone) commit(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet"}, {"remote", "add", "origin", fmt.Sprintf("https://github.com/prometheus/%s.git", c.component)},
		{"add", "--all"},
		{"-c", "user.name=Nobody", "-c", "user.email=nobody@example.test", "commit", "--quiet", "--message=" + c.version},
		{"tag", "v" + c.version},
	} {
		c.run(t, "git", args...)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
