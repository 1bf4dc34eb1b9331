package audit

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"palisade/attestations/artifact"
)

// A Subject is a built component under audit.
type Subject struct {
	Component string
	Binary    string // absolute path
	Digest    artifact.Digest
	Variant   string           // "" if it is not known
	Dir       string           // folder with its companions: promtool, amtool
	Record    *artifact.Record // nil for a binary that was not built here
}

// Settings are where an audit works and what else belongs to the subject.
type Settings struct {
	Scratch string // an existing directory for this audit alone, on a file system where modes count
	Archive string // path of the archive that carries the binary, "" if there is none
	load    *load  // nil for fullLoad
}

// A component is how a component is started with as little as it takes.
type component struct {
	config string // content of its configuration file, "" if it has none
	args   []string
	pages  []string // that its user or another component asks for; the first holds metrics
	health bool     // it has /-/healthy and /-/ready
	post   []string // paths that read a body
}

// In args "{config}" and "{dir}" stand for the configuration file and the
// server's own directory.
var components = map[string]component{
	"prometheus": {
		config: "global: {}\n",
		args:   []string{"--config.file={config}", "--storage.tsdb.path={dir}/data"},
		pages: []string{"/metrics", "/", "/query", "/api/v1/query?query=up", "/api/v1/status/config", "/api/v1/status/flags", "/api/v1/targets",
			"/api/v1/label/__name__/values", "/federate?match[]=up", "/consoles/", "/version", "/config"},
		health: true,
		post:   []string{"/api/v1/query", "/api/v1/series", "/api/v1/read", "/api/v1/write", "/api/v1/otlp/v1/metrics"},
	},
	"alertmanager": {
		config: "route:\n  receiver: nobody\nreceivers:\n- name: nobody\n",
		args:   []string{"--config.file={config}", "--storage.path={dir}/data", "--cluster.listen-address="},
		pages:  []string{"/metrics", "/", "/api/v2/status", "/api/v2/alerts", "/api/v2/silences", "/api/v2/receivers", "/script.js"},
		health: true,
		post:   []string{"/api/v2/alerts", "/api/v2/silences"},
	},
	"pushgateway": {
		pages:  []string{"/metrics", "/", "/status", "/flags", "/api/v1/status", "/api/v1/metrics"},
		health: true,
		post:   []string{"/metrics/job/audit", "/metrics/job/audit/instance/a"},
	},
	"node_exporter": {pages: []string{"/metrics", "/"}},
	"blackbox_exporter": {
		config: "modules:\n  http_2xx:\n    prober: http\n",
		args:   []string{"--config.file={config}"},
		pages:  []string{"/metrics", "/", "/config", "/probe?target=192.0.2.1&module=none"},
	},
	"snmp_exporter": {
		config: "auths:\n  public_v2:\n    community: public\n    version: 2\nmodules:\n  if_mib:\n    walk: [1.3.6.1.2.1.2]\n",
		args:   []string{"--config.file={config}"},
		pages:  []string{"/metrics", "/", "/config", "/snmp?target=192.0.2.1&module=none"},
	},
}

// Inspect is the subject that the binary at path says it is: a component named
// as the last element of its main package's path, unless name says which.
func Inspect(binary, name string) (Subject, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return Subject{}, err
	}
	if name == "" {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return Subject{}, fmt.Errorf("reading which component %s is: %w; name it with -component", binary, err)
		}
		name = path.Base(info.Path)
	}
	s := Subject{Component: name, Binary: binary, Dir: filepath.Dir(binary)}
	s.Digest, _, err = artifact.DigestFile(binary)
	return s, err
}

// unchanged holds the binary against its digest.
func (s Subject) unchanged() error {
	digest, _, err := artifact.DigestFile(s.Binary)
	if err != nil {
		return err
	}
	if digest != s.Digest {
		return fmt.Errorf("%s is not the binary that was to be audited: its digest is %s, not %s", s.Binary, digest, s.Digest)
	}
	return nil
}

// A bench is where the checks of one subject work.
type bench struct {
	Subject
	Settings
	component component
	dir       string          // of this audit
	flags     map[string]bool // that --help lists, without dashes and "[no-]"
	help      string
	own       identity // certificate for web config files of the checks

	mu      sync.Mutex
	servers []*server // that a check started and that may run still
	count   int       // of directories made
	secrets []string  // that no observation may hold
	common  *server   // see shared
}

func newBench(ctx context.Context, s Subject, set Settings) (*bench, error) {
	c, ok := components[s.Component]
	if !ok {
		return nil, fmt.Errorf("no check knows the component %q; there are: %s", s.Component, strings.Join(Components(), ", "))
	}
	if err := s.unchanged(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(set.Scratch, s.Component+"-*")
	if err != nil {
		return nil, err
	}
	b := &bench{Subject: s, Settings: set, component: c, dir: dir}
	if b.load == nil {
		b.load = &fullLoad
	}
	if b.own, err = newIdentity(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	help := exec.CommandContext(ctx, s.Binary, "--help")
	help.Dir, help.Env = dir, b.environment(dir)
	out, err := help.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("asking %s for --help: %w", s.Binary, err)
	}
	b.help, b.flags = string(out), map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?--(?:\[no-\])?([a-z0-9][a-z0-9.-]*)`).FindAllStringSubmatch(b.help, -1) {
		b.flags[m[1]] = true
	}
	return b, nil
}

// Components are the names of those that the checks know, sorted.
func Components() []string {
	var names []string
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// has reports whether the binary's --help lists the flag, named without dashes.
func (b *bench) has(flag string) bool { return b.flags[flag] }

// close ends what runs and removes what was written.
func (b *bench) close() {
	b.mu.Lock()
	b.common = nil
	b.mu.Unlock()
	b.stopAll()
	_ = os.RemoveAll(b.dir)
}

// stopAll ends every server but the shared one.
func (b *bench) stopAll() {
	b.mu.Lock()
	keep := b.common
	all := b.servers
	b.servers = nil
	if keep != nil {
		b.servers = []*server{keep}
	}
	b.mu.Unlock()
	for _, s := range all {
		if s != keep {
			s.stop()
		}
	}
}

// shared is a server as it starts without any configuration of the web, for
// checks that only ask. It runs until the audit ends.
func (b *bench) shared(ctx context.Context) (*server, error) {
	b.mu.Lock()
	s := b.common
	b.mu.Unlock()
	if s != nil && s.running() {
		return s, nil
	}
	s, err := b.start(ctx, options{})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.common = s
	b.mu.Unlock()
	return s, nil
}

// secret keeps s out of every observation.
func (b *bench) secret(s string) {
	if s == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secrets = append(b.secrets, s)
}

// temp is a new directory of this audit.
func (b *bench) temp() (string, error) {
	b.mu.Lock()
	b.count++
	n := b.count
	b.mu.Unlock()
	dir := filepath.Join(b.dir, fmt.Sprint(n))
	return dir, os.Mkdir(dir, 0o700)
}

// environment is all that a subject learns of this machine.
func (b *bench) environment(dir string) []string {
	return []string{"HOME=" + dir, "TMPDIR=" + dir, "PATH=/usr/bin:/bin"}
}
