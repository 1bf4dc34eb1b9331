// Package config is the only reader of the environment. It turns what a
// person set into a Config, a value that is passed on and can be printed; no
// other package that builds asks for a variable, a home directory or a host
// name.
//
// # Variables
//
//	PALISADE_CACHE        directory of everything fetched and built
//	                      (default: palisade in the user's cache directory)
//	PALISADE_DIST         directory of the results (default: dist)
//	GOPROXY, GOSUMDB      as the go command reads them; the checksum database
//	                      cannot be switched off
//	npm_config_registry   as npm reads it
//	HTTP(S)_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
//	                      for fetching alone
package config

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"palisade/attestations/artifact"
)

// ErrUsage is what every error wraps that the person who started the tool can
// mend by saying something else.
var ErrUsage = errors.New("wrong usage")

// defaultRegistry is npm's own default.
const defaultRegistry = "https://registry.npmjs.org/"

// A Config is all that the tool knows of the place where it runs.
type Config struct {
	Root     string            // the checkout, absolute
	Cache    string            // absolute
	Dist     string            // absolute
	Host     artifact.Platform // that builds
	CPUs     int               // that may be used
	Memory   int64             // bytes of the machine, 0 if unknown
	Go       string            // path of the go command, used only to fetch the pinned one
	Registry string            // of npm packages
	Fetch    []string          // environment of the commands that fetch, without what those set themselves
	Hermetic bool              // a build without a sandbox is an error
	Terminal bool              // stderr can show a live view
}

// Load reads the environment of a process whose working directory is root or
// a directory below it.
func Load() (*Config, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	c := &Config{
		Root:     root,
		Host:     artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH},
		CPUs:     runtime.GOMAXPROCS(0),
		Memory:   totalMemory(),
		Registry: firstSet("npm_config_registry", "NPM_CONFIG_REGISTRY"),
		Fetch:    fetchEnv(os.Environ()),
		Terminal: os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "",
	}
	if c.Registry == "" {
		c.Registry = defaultRegistry
	}
	if c.Cache = os.Getenv("PALISADE_CACHE"); c.Cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: there is no cache directory: set PALISADE_CACHE: %w", ErrUsage, err)
		}
		c.Cache = filepath.Join(user, "palisade")
	}
	if c.Dist = os.Getenv("PALISADE_DIST"); c.Dist == "" {
		c.Dist = filepath.Join(root, "dist")
	}
	for _, p := range []*string{&c.Cache, &c.Dist} {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	if c.Go, err = exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("%w: the go command is not in PATH: %w", ErrUsage, err)
	}
	if os.Getenv("GOSUMDB") == "off" {
		return nil, fmt.Errorf("%w: GOSUMDB=off: nothing is built that the checksum database did not confirm; unset it", ErrUsage)
	}
	return c, nil
}

// findRoot is the nearest directory, from the working directory upwards, that
// holds recipes/distribution.yaml.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "recipes", "distribution.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%w: %s is not in a checkout: no recipes/distribution.yaml there or above", ErrUsage, dir)
		}
	}
}

// fetchEnv is the environment without every variable that could make the go
// command skip a check, use another toolchain or put files elsewhere.
func fetchEnv(environ []string) []string {
	dropped := map[string]bool{
		"GOFLAGS":       true, // could add -modfile, -insecure …
		"GOTOOLCHAIN":   true, // the toolchain that runs is chosen here
		"GOMODCACHE":    true, // ours
		"GOPATH":        true, // its bin and pkg are not ours to write
		"GOCACHE":       true,
		"GOCACHEPROG":   true, // a program that would stand in for it
		"GOROOT":        true, // of another Go
		"GOWORK":        true, // a workspace replaces modules
		"GONOSUMDB":     true, // each of these exempts modules from the checksum database
		"GONOSUMCHECK":  true,
		"GOPRIVATE":     true,
		"GOINSECURE":    true,
		"GO111MODULE":   true,
		"GOEXPERIMENT":  true,
		"GODEBUG":       true,
		"GIT_DIR":       true,
		"GIT_WORK_TREE": true,
	}
	var kept []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); !dropped[name] {
			kept = append(kept, kv)
		}
	}
	return kept
}

func firstSet(names ...string) string {
	for _, n := range names {
		if v := os.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}
